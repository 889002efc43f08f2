//! Instructions that KVM gives up on, executed by the software CPU on the vCPU's state.
//!
//! KVM without hardware under it emulates kernel code, and ends at an instruction that its emulator does not know with
//! KVM_EXIT_INTERNAL_ERROR. The state is taken out, the software CPU executes exactly that instruction against the same
//! machine and memory, and what changed is put back. Time is not touched (the guest's counter cannot go back), and the
//! local APIC is not, unless the instruction itself changed it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use fencepost_devices::pci::{MsiSource, MsiWrite};
use fencepost_softcpu::apic::{BROADCAST, InterruptMessage};
use fencepost_softcpu::code::CodePages;
use fencepost_softcpu::cpuid::CpuidConfig;
use fencepost_softcpu::one::{Executed, Outcome};
use fencepost_softcpu::state::CpuState;
use fencepost_softcpu::stop_flag::StopFlag;
use fencepost_softcpu::{Config, Cpu, Translate, vector};
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

impl Assists {
    /// These and others.
    pub fn and(mut self, others: Assists) -> Assists {
        for (name, count) in others.by_name {
            *self.by_name.entry(name).or_default() += count;
        }
        for (name, count) in others.unknown {
            match self.unknown.iter_mut().find(|known| known.0 == name) {
                Some(known) => known.1 += count,
                None => self.unknown.push((name, count)),
            }
        }
        self.lengths.add(&others.lengths);
        self
    }
}

/// A software CPU that stands by for one of KVM's.
pub struct Assistant {
    cpu: Cpu,
    cpuid: CpuidConfig,
    done: Assists,
}

impl Assistant {
    /// Stands by for a CPU with this CPUID, on this memory.
    pub fn new(memory: &GuestMemoryMmap, cpuid: CpuidConfig) -> Self {
        // Code is decoded anew each time, so writes to memory need no watching.
        let code = Arc::new(CodePages::new(memory::end(memory)));
        let stop = Arc::new(StopFlag::default());
        // SAFETY: the CPU works in `assist` alone, whose caller has guest memory for itself (`Shared::alone`): no vCPU is in the
        // guest, and no vCPU's thread reads memory, which it does as one in the guest (`Vcpu::page_fault` and
        // `Vcpu::follow_page_faults_beside`). The machine, through which all others access the memory, is lent to it.
        let cpu =
            unsafe { Cpu::new(memory.clone(), code, stop, Config { cpuid, translate: Translate::Never }) };
        Assistant { cpu, cpuid, done: Assists::default() }
    }

    /// Executes the instruction at which the vCPU stands, and moves the vCPU behind it (or into the handler of the
    /// exception that it raised). It counts by its name, or as `what`.
    pub fn assist(
        &mut self,
        fd: &VcpuFd,
        machine: &mut Machine,
        what: Option<&str>,
    ) -> Result<Outcome, HostError> {
        let start = Instant::now();
        let before = VcpuState::get(fd)?;
        let state = before.to_cpu();
        let executed = execute(&mut self.cpu, state.clone(), machine);
        let after = CpuState { cycles: state.cycles, ..self.cpu.state() };
        before.change(fd, &state, &after)?;
        for icr in self.cpu.take_sent() {
            to_others(icr, self.cpuid).for_each(|message| machine.carry_message(message));
        }
        self.count(what.map_or(executed.name, str::to_owned), start);
        Ok(executed.outcome)
    }

    /// The vCPU stands at the breakpoint on its page-fault handler: completes the SYSCALL that led there, if one did. The software CPU
    /// does not work for that, so the other vCPUs may run; but nobody may have guest memory for himself.
    pub fn complete_syscall(&mut self, fd: &VcpuFd, memory: &GuestMemoryMmap) -> Result<bool, HostError> {
        let start = Instant::now();
        let before = VcpuState::get(fd)?;
        let state = before.to_cpu();
        let Some(after) = syscalls::completed(fd, memory, &state) else { return Ok(false) };
        before.change(fd, &state, &after)?;
        self.count("syscall".into(), start);
        Ok(true)
    }

    fn count(&mut self, name: String, start: Instant) {
        *self.done.by_name.entry(name).or_default() += 1;
        self.done.lengths.push(start.elapsed());
    }

    /// What was done so far.
    pub fn done(&self) -> Assists {
        let unknown = self.cpu.counters().unknown.into_iter().collect();
        Assists { unknown, ..self.done.clone() }
    }
}

/// What a CPU has sent to others, as the writes that KVM's APICs take: their ids have eight bits there. What goes to all others is a
/// write for each.
fn to_others(icr: u64, sender: CpuidConfig) -> impl Iterator<Item = MsiWrite> {
    const WINDOW: u64 = 0xfee0_0000;
    const LOGICAL: u64 = 1 << 2;
    const ASSERT: u32 = 1 << 14;
    /// Vector and delivery mode.
    const WHAT: u32 = 0x7ff;
    let message = InterruptMessage::from_icr(icr);
    let destinations = match message {
        Some(InterruptMessage { destination: BROADCAST, .. }) => 0..sender.cpus,
        Some(InterruptMessage { destination, .. }) => destination..destination.saturating_add(1),
        None => 0..0,
    };
    let logical =
        if message.is_some_and(|it| it.logical && it.destination != BROADCAST) { LOGICAL } else { 0 };
    let data = icr as u32 & WHAT | ASSERT;
    // The sender has had its share.
    let others = destinations.filter(move |id| logical != 0 || *id != sender.apic_id);
    let address = move |id| WINDOW | u64::from(id as u8) << 12 | logical;
    others.map(move |id| MsiWrite { source: MsiSource::Processor, address: address(id), data })
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
