//! Instructions that KVM gives up on, executed by the software CPU on the vCPU's state.
//!
//! KVM without hardware under it emulates kernel code, and ends at an instruction that its emulator does not know with
//! KVM_EXIT_INTERNAL_ERROR. The state is taken out, the software CPU executes exactly that instruction against the same
//! machine and memory, and what changed is put back. Time is not touched (the guest's counter cannot go back), and the
//! local APIC is not, unless the instruction itself changed it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use fencepost_softcpu::code::CodePages;
use fencepost_softcpu::cpuid::CpuidConfig;
use fencepost_softcpu::one::{Executed, Outcome};
use fencepost_softcpu::state::CpuState;
use fencepost_softcpu::{Config, Cpu, vector};
use kvm_ioctls::VcpuFd;
use vm_memory::GuestMemoryMmap;

use super::convert::VcpuState;
use super::syscalls;
use crate::error::HostError;
use crate::lengths::Lengths;
use crate::machine::Machine;
use crate::machine::memory;

/// What was done for KVM, and how long it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assists {
    /// Instructions executed, by mnemonic.
    pub by_name: BTreeMap<String, u64>,
    /// Those that the software CPU does not know either, by name: the guest got an invalid-opcode exception.
    pub unknown: Vec<(String, u64)>,
    /// From the exit to the state's return, each.
    pub lengths: Lengths,
}

/// A software CPU that stands by for one of KVM's.
pub struct Assistant {
    cpu: Cpu,
    done: Assists,
}

impl Assistant {
    /// Stands by for a CPU with this CPUID, on this memory.
    pub fn new(memory: &GuestMemoryMmap, cpuid: CpuidConfig) -> Self {
        // Code is decoded anew each time, so writes to memory need no watching.
        let code = Arc::new(CodePages::new(memory::end(memory)));
        let stop = Arc::new(AtomicBool::new(false));
        // SAFETY: the CPU works in `assist` and `page_fault` alone. The only vCPU is out of the guest then, since its
        // descriptor is lent to them, and so is the machine, whose devices alone access the memory besides. (A second
        // vCPU would have to be stopped first, or locked instructions be executed as such.)
        let cpu = unsafe { Cpu::new(memory.clone(), code, stop, Config { cpuid }) };
        Assistant { cpu, done: Assists::default() }
    }

    /// Executes the instruction at which the vCPU stands, and moves the vCPU behind it (or into the handler of the
    /// exception that it raised).
    pub fn assist(&mut self, fd: &VcpuFd, machine: &mut Machine) -> Result<Outcome, HostError> {
        self.on_state(fd, |cpu, state| execute(cpu, state, machine))
    }

    /// The vCPU stands at the breakpoint on its page-fault handler: completes the SYSCALL that led there, or passes the
    /// breakpoint.
    pub fn page_fault(
        &mut self,
        fd: &VcpuFd,
        memory: &GuestMemoryMmap,
        machine: &mut Machine,
    ) -> Result<Outcome, HostError> {
        self.on_state(fd, |cpu, state| match syscalls::completed(fd, memory, &state) {
            Some(after) => {
                cpu.set_state(&after);
                Executed { name: "syscall".into(), outcome: Outcome::Retired }
            }
            None => Executed { name: "page fault".into(), ..execute(cpu, state, machine) },
        })
    }

    /// Runs `work` on the software CPU in the vCPU's state, and gives the new state to the vCPU.
    fn on_state(
        &mut self,
        fd: &VcpuFd,
        work: impl FnOnce(&mut Cpu, CpuState) -> Executed,
    ) -> Result<Outcome, HostError> {
        let start = Instant::now();
        let before = VcpuState::get(fd)?;
        let state = before.to_cpu();
        let executed = work(&mut self.cpu, state.clone());
        let mut after = self.cpu.state();
        after.cycles = state.cycles;
        let mut wanted = VcpuState::from_cpu(&after);
        wanted.xsave = before.xsave.clone();
        if after.fpu != state.fpu {
            wanted.xsave.put(&after.fpu);
        }
        wanted.update(fd, &before)?;
        *self.done.by_name.entry(executed.name).or_default() += 1;
        self.done.lengths.push(start.elapsed());
        Ok(executed.outcome)
    }

    /// What was done so far.
    pub fn done(&self) -> Assists {
        let unknown = self.cpu.counters().unknown.into_iter().collect();
        Assists { unknown, ..self.done.clone() }
    }
}

/// Exactly one instruction, from `state`.
fn execute(cpu: &mut Cpu, mut state: CpuState, machine: &mut Machine) -> Executed {
    // KVM queues this one for the instruction that it does not know, and then stops all the same.
    if state.pending_exception.is_some_and(|waiting| waiting.vector == vector::UD) {
        state.pending_exception = None;
    }
    cpu.set_state(&state);
    cpu.execute_one(machine)
}

#[cfg(test)]
#[path = "assist_tests.rs"]
mod tests;
