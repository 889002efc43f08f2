//! What is said on standard error after a run.

use fencepost_softcpu::state::{CpuState, reg, seg};

use crate::backend::End;
use crate::backend::kvm::assist::Assists;
use crate::cli::RunArgs;
use crate::control::StopReason;
use crate::lengths::us;
use crate::machine::{GuestEnd, Unclaimed};
use crate::run::{Outcome, RunStats};

/// The lines that `fencepost run` ends with.
pub fn lines(args: &RunArgs, outcome: &Outcome) -> Vec<String> {
    let mut lines = end_lines(&outcome.end);
    lines.extend(assists_line(&outcome.stats.assists));
    if args.stats {
        lines.extend(stats_lines(outcome));
    }
    if let Some(seed) = args.seed {
        lines.push(format!("seed: {seed}"));
    }
    if args.event_log.is_some() || args.memory_hash {
        lines.push(format!("event log: {} events, sha256 {}", outcome.log.count, outcome.log.digest));
    }
    if let Some(digest) = &outcome.memory_digest {
        lines.push(format!("guest memory: sha256 {digest}"));
    }
    lines
}

fn end_lines(end: &End) -> Vec<String> {
    let line = |text: &str| vec![format!("fencepost: {text}")];
    match end {
        End::Guest(GuestEnd::Exit(_) | GuestEnd::PowerOff) => vec![],
        End::Guest(GuestEnd::Reset) => line("the guest asked for a reset"),
        End::Guest(GuestEnd::TripleFault(state)) => with_dump(
            "the guest died of a triple fault (an exception while it handled a double fault)",
            state,
        ),
        End::Guest(GuestEnd::Dead(state)) => {
            with_dump("the guest halted and nothing is left that could wake it", state)
        }
        End::Host(StopReason::Timeout) => line("stopped: the time of --timeout is over"),
        End::Host(StopReason::Quit) => line("stopped by the escape key"),
        End::Host(StopReason::Signal(signal)) => line(&format!("stopped by signal {signal}")),
    }
}

fn with_dump(text: &str, state: &CpuState) -> Vec<String> {
    let mut lines = vec![format!("fencepost: {text}")];
    lines.extend(dump(state));
    lines
}

/// The registers, as a kernel's own oops shows them.
pub fn dump(state: &CpuState) -> Vec<String> {
    const NAMES: [&str; 16] = [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15",
    ];
    let mut lines = vec![format!(
        "  rip {:#018x}  rflags {:#010x}  cs {:#06x}  ss {:#06x}  tsc {}  retired {}",
        state.rip,
        state.rflags,
        state.seg[seg::CS].selector,
        state.seg[seg::SS].selector,
        state.tsc,
        state.retired
    )];
    for (index, names) in NAMES.chunks(4).enumerate() {
        let values = &state.gpr[index * 4..];
        let parts: Vec<String> = names.iter().zip(values).map(|(n, v)| format!("{n:>3} {v:#018x}")).collect();
        lines.push(format!("  {}", parts.join("  ")));
    }
    lines.push(format!(
        "  cr0 {:#x}  cr2 {:#x}  cr3 {:#x}  cr4 {:#x}  efer {:#x}",
        state.cr0, state.cr2, state.cr3, state.cr4, state.efer
    ));
    lines.push(format!(
        "  fs {:#x}  gs {:#x}  kernel gs {:#x}  gdt {:#x}+{:#x}  idt {:#x}+{:#x}  stack {:#x}",
        state.seg[seg::FS].base,
        state.seg[seg::GS].base,
        state.msr.kernel_gs_base,
        state.gdtr.base,
        state.gdtr.limit,
        state.idtr.base,
        state.idtr.limit,
        state.gpr[reg::RSP]
    ));
    lines
}

fn stats_lines(outcome: &Outcome) -> Vec<String> {
    let stats: &RunStats = &outcome.stats;
    let mut lines = vec![format!(
        "stats: accel {}, started in {:.1} ms, ran {:.3} s",
        outcome.accel.name(),
        stats.startup.as_secs_f64() * 1e3,
        stats.wall.as_secs_f64()
    )];
    if let (Some(instructions), Some(mips)) = (stats.instructions, stats.mips()) {
        lines.push(format!(
            "stats: {instructions} guest instructions, {mips:.1} MIPS, guest clock {:.3} s",
            stats.cycles as f64 / crate::machine::time::SOFT_TSC_HZ as f64
        ));
    }
    if let Some(bytes) = stats.beyond_ram_bytes {
        lines.push(format!(
            "stats: {:.1} MiB of host memory beyond guest RAM",
            bytes as f64 / f64::from(1 << 20)
        ));
    }
    for (name, count) in &stats.unknown {
        lines.push(format!("stats: not known: {name}, {count} times"));
    }
    lines.push(unclaimed_line(&stats.unclaimed));
    lines
}

/// Says which instructions KVM left to the software CPU, if it did, and how long that took.
fn assists_line(assists: &Assists) -> Option<String> {
    let lengths = &assists.lengths;
    let (half, most) = (lengths.percentile(50)?, lengths.percentile(99)?);
    let mut names: Vec<(&String, u64)> = assists.by_name.iter().map(|(name, count)| (name, *count)).collect();
    names.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
    let names: Vec<String> = names.iter().map(|(name, count)| format!("{name} {count}")).collect();
    Some(format!(
        "fencepost: assists: {} instructions that KVM did not know ({}), p50 {}, p99 {} each",
        lengths.count(),
        names.join(", "),
        us(half),
        us(most)
    ))
}

/// Most ports named in a line.
const PORTS_NAMED: usize = 4;

fn unclaimed_line(unclaimed: &Unclaimed) -> String {
    let total: u64 = unclaimed.ports.values().sum();
    let mut most: Vec<(u16, u64)> = unclaimed.ports.iter().map(|(port, count)| (*port, *count)).collect();
    most.sort_by_key(|&(port, count)| (std::cmp::Reverse(count), port));
    let named: Vec<String> =
        most.iter().take(PORTS_NAMED).map(|(port, count)| format!("{port:#x} {count} times")).collect();
    let named = if named.is_empty() { String::new() } else { format!(" (most: {})", named.join(", ")) };
    format!(
        "stats: accesses that nobody answered: {total} port bytes{named}, {} memory-mapped",
        unclaimed.mmio
    )
}
