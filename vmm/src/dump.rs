//! What is shown of CPUs that will not run again: their registers, the bytes at RIP, and the last events.

use fencepost_softcpu::state::{CpuState, Segment};
use fencepost_time::TscOffset;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::backend::SavedCpus;
use crate::machine::recent::{Exit, Recent};
use crate::paging::{linear_rip, physical};

/// Bytes shown at RIP: as long as the longest instruction, and one.
const CODE_BYTES: u64 = 16;

/// The end of the CPUs.
#[derive(Clone, Debug)]
pub struct LastMoment {
    /// All of them, and which one ran last.
    pub cpus: SavedCpus,
    /// The bytes at the RIP of each, as far as they are in RAM.
    pub code: Vec<Vec<u8>>,
    /// The last events between them and the machine, oldest first.
    pub exits: Vec<Exit>,
}

impl LastMoment {
    /// Looks at what is left.
    pub fn new(cpus: SavedCpus, memory: &GuestMemoryMmap, recent: &Recent) -> Self {
        let code = cpus.cpus.iter().map(|cpu| code_at(memory, &cpu.state)).collect();
        LastMoment { cpus, code, exits: recent.exits().copied().collect() }
    }

    /// The numbers of all CPUs, that of the one that ran last in front.
    fn numbers(&self) -> impl Iterator<Item = usize> {
        let first = self.cpus.turn.cpu as usize;
        std::iter::once(first).chain((0..self.cpus.cpus.len()).filter(move |number| *number != first))
    }

    /// All of it, as a kernel's own oops shows it.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for number in self.numbers() {
            if self.code.len() > 1 {
                lines.push(format!("  CPU {number}:"));
            }
            lines.extend(registers(&self.cpus.cpus[number].state));
            let bytes: Vec<String> = self.code[number].iter().map(|byte| format!("{byte:02x}")).collect();
            lines.push(match bytes.is_empty() {
                true => "  code at rip: not in memory".into(),
                false => format!("  code at rip: {}", bytes.join(" ")),
            });
        }
        if self.exits.is_empty() {
            lines.push("  no events between the CPU and the machine".into());
        } else {
            lines.push(format!("  the last {} events between the CPU and the machine:", self.exits.len()));
            let several = self.code.len() > 1;
            let by = |exit: &Exit| if several { format!("  CPU {}", exit.cpu) } else { String::new() };
            lines.extend(self.exits.iter().map(|exit| format!("  {exit}{}", by(exit))));
        }
        lines
    }
}

fn registers(state: &CpuState) -> Vec<String> {
    const NAMES: [&str; 16] = [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15",
    ];
    let halted = if state.halted { "  halted" } else { "" };
    // The same, unless the guest has set its counter.
    let tsc = if state.tsc_offset == TscOffset(0) { String::new() } else { format!("  tsc {}", state.tsc()) };
    let mut lines = vec![format!(
        "  rip {:#018x}  rflags {:#010x}  cycles {}{tsc}  retired {}{halted}",
        state.rip, state.rflags, state.cycles, state.retired
    )];
    for (names, values) in NAMES.chunks(4).zip(state.gpr.chunks(4)) {
        let parts: Vec<String> = names.iter().zip(values).map(|(n, v)| format!("{n:>3} {v:#018x}")).collect();
        lines.push(format!("  {}", parts.join("  ")));
    }
    let segments = ["es", "cs", "ss", "ds", "fs", "gs"].into_iter().zip(&state.seg);
    for (name, segment) in segments.chain([("ldt", &state.ldtr), ("tr", &state.tr)]) {
        lines.push(segment_line(name, segment));
    }
    lines.push(format!(
        "  gdt {:#x}+{:#x}  idt {:#x}+{:#x}  kernel gs {:#x}",
        state.gdtr.base, state.gdtr.limit, state.idtr.base, state.idtr.limit, state.msr.kernel_gs_base
    ));
    lines.push(format!(
        "  cr0 {:#x}  cr2 {:#x}  cr3 {:#x}  cr4 {:#x}  efer {:#x}",
        state.cr0, state.cr2, state.cr3, state.cr4, state.efer
    ));
    lines
}

fn segment_line(name: &str, segment: &Segment) -> String {
    let Segment { selector, base, limit, attributes } = segment;
    format!(
        "  {name:>3} {selector:#06x}  base {base:#018x}  limit {limit:#010x}  attributes {attributes:#06x}"
    )
}

/// The bytes at RIP; fewer, or none, where they are not in RAM.
fn code_at(memory: &GuestMemoryMmap, state: &CpuState) -> Vec<u8> {
    let byte = |offset: u64| {
        let gpa = physical(memory, state, linear_rip(state).wrapping_add(offset))?;
        memory.read_obj::<u8>(GuestAddress(gpa)).ok()
    };
    (0..CODE_BYTES).map_while(byte).collect()
}

#[cfg(test)]
#[path = "dump_tests.rs"]
mod tests;
