//! The two back ends that run the guest's CPU around the same machine.

mod cpu;
mod debugged;
mod going;
pub mod kvm;
pub mod moves;
mod pace;
mod past;
pub mod soft;

use std::sync::Arc;

use fencepost_firmware::Entry;
use fencepost_softcpu::code::CodePages;
use fencepost_softcpu::cpuid::CpuidConfig;
use fencepost_softcpu::cpus::{Cpus, Turn};
use fencepost_softcpu::mem::saved::TlbState;
use fencepost_softcpu::model::Model;
use fencepost_softcpu::state::CpuState;
use serde::{Deserialize, Serialize};
use vm_memory::GuestMemoryMmap;

use crate::accel::Chosen;
use crate::control::{Control, StopReason};
use crate::debug::Attached;
use crate::error::HostError;
use crate::machine::irq::{InterruptController, SoftInterrupts};
use crate::machine::saved::MachineState;
use crate::machine::time::{SOFT_TSC_HZ, TimeBase};
use crate::machine::{GuestEnd, Machine};
use kvm::assist::Assists;
use moves::{Moves, Moving};
use soft::Soft;

/// Why a run is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest ended.
    Guest(GuestEnd),
    /// The host ended it.
    Host(StopReason),
}

/// What a back end tells at the end.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Why it is over.
    pub end: End,
    /// The CPUs; without translations under `kvm`, which does not tell.
    pub cpus: SavedCpus,
    /// Instructions that were not known, by name, with how often each was met.
    pub unknown: Vec<(String, u64)>,
    /// Exceptions that the software CPU delivered, by name, and how many of each. Those under `kvm` nobody counts.
    pub exceptions: Vec<(&'static str, u64)>,
    /// What became of the guest's code in the software CPU, by name; nothing under `kvm`.
    pub code: Vec<(&'static str, u64)>,
    /// What the software CPU did for KVM.
    pub assists: Assists,
    /// The moves between back ends.
    pub moves: Moves,
}

/// A CPU between two instructions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedCpu {
    /// All but its translations.
    pub state: CpuState,
    /// The translations that it holds.
    pub translations: TlbState,
}

/// All CPUs of a machine, each between two instructions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedCpus {
    /// By their numbers.
    pub cpus: Vec<SavedCpu>,
    /// Whose turn it is.
    pub turn: Turn,
}

impl SavedCpus {
    /// The only one.
    pub fn one(state: CpuState, translations: TlbState) -> Self {
        SavedCpus { cpus: vec![SavedCpu { state, translations }], turn: Turn::default() }
    }

    /// Those of a back end that tells no translations; `current` has ended the run.
    pub fn untranslated(states: Vec<CpuState>, current: u32) -> Self {
        let ends = states.first().map_or_else(Default::default, |state| state.cycles);
        let turn = Turn { cpu: current, ends, next: None, awake: 1 << current };
        let saved = |state| SavedCpu { state, translations: TlbState::default() };
        SavedCpus { cpus: states.into_iter().map(saved).collect(), turn }
    }

    /// The state of the one that ran last.
    pub fn current(&self) -> &CpuState {
        &self.cpus[self.turn.cpu as usize].state
    }

    /// Instructions that all of them have retired.
    pub fn retired(&self) -> u64 {
        self.cpus.iter().map(|cpu| cpu.state.retired).fold(0, u64::wrapping_add)
    }
}

/// A back end that goes on from a snapshot.
pub enum Resumed {
    /// The software CPU alone.
    Soft(Box<Soft<Cpus>>),
    /// KVM, and the software CPU to be saved with.
    Kvm(Box<Moving>),
}

/// Time and interrupt delivery of a machine that was saved.
type Surroundings = (TimeBase, Box<dyn InterruptController>);

fn impossible(what: &str) -> HostError {
    HostError::Input(format!("its {what} is impossible"))
}

fn surroundings(machine: &MachineState) -> Result<Surroundings, HostError> {
    let time = TimeBase::resume(&machine.time).ok_or_else(|| impossible("time"))?;
    let interrupts = SoftInterrupts::restore(&machine.ioapic).ok_or_else(|| impossible("I/O APIC"))?;
    Ok((time, Box::new(interrupts)))
}

/// Makes the chosen back end, its CPUs, which are of `model`, and its time as they were saved.
///
/// # Errors
///
/// A CPU that cannot be of this memory, and a TSC frequency that the back end cannot give, are refused as bad input.
pub fn resume(
    (chosen, model): (Chosen, Model),
    memory: &GuestMemoryMmap,
    code: &Arc<CodePages>,
    cpus: &SavedCpus,
    machine: &MachineState,
    control: &Control,
) -> Result<(Resumed, TimeBase, Box<dyn InterruptController>), HostError> {
    let (time, interrupts) = surroundings(machine)?;
    let tsc_hz = u32::try_from(time.hz()).map_err(|_| impossible("TSC frequency"))?;
    let cpuid = CpuidConfig { tsc_hz, model, ..CpuidConfig::default() };
    let cpus = cpu::restored(memory, code, cpus, control, cpuid)
        .ok_or_else(|| impossible("set of CPUs with their translations"))?;
    let soft = Soft::new(cpus);
    let back_end = match chosen {
        Chosen::Soft => {
            code.count_writes();
            Resumed::Soft(Box::new(soft))
        }
        Chosen::Kvm => Resumed::Kvm(Box::new(Moving::resume((soft, model), memory, &time)?)),
    };
    Ok((back_end, time, interrupts))
}

impl Resumed {
    /// The CPU as it was saved once more, with the time and the interrupt delivery that belong to it. Memory is as it was
    /// saved too, and what was written to it for that has been reported.
    ///
    /// # Errors
    ///
    /// Those of [`resume`].
    pub fn restart(&mut self, cpus: &SavedCpus, machine: &MachineState) -> Result<Surroundings, HostError> {
        let soft = match self {
            Resumed::Soft(soft) => &mut **soft,
            Resumed::Kvm(moving) => moving.restart(),
        };
        soft.restart(cpus).ok_or_else(|| impossible("set of translations"))?;
        surroundings(machine)
    }
}

impl BackEnd for Resumed {
    fn attach(&mut self, debugger: Attached) {
        match self {
            Resumed::Soft(soft) => soft.attach(debugger),
            Resumed::Kvm(moving) => moving.attach(debugger),
        }
    }

    fn prepare(&mut self) {
        match self {
            Resumed::Soft(soft) => soft.prepare(),
            Resumed::Kvm(moving) => moving.prepare(),
        }
    }

    fn run(&mut self, machine: Machine, control: &Control) -> Result<(Machine, Ran), HostError> {
        match self {
            Resumed::Soft(soft) => soft.run(machine, control),
            Resumed::Kvm(moving) => moving.run(machine, control),
        }
    }
}

/// Runs a guest to its end.
pub trait BackEnd {
    /// Runs until the guest or the host ends it, and gives the machine back.
    fn run(&mut self, machine: Machine, control: &Control) -> Result<(Machine, Ran), HostError>;

    /// From now on a debugger stops the machine and works on it.
    fn attach(&mut self, debugger: Attached);

    /// Has what it needs of the host now, so that the process may be confined before it runs.
    fn prepare(&mut self);
}

/// A back end with the clock and the interrupt delivery that belong to it.
pub type Built = (Box<dyn BackEnd>, TimeBase, Box<dyn InterruptController>);

/// Makes the chosen back end with CPUs that are as `cpuid` says but for its frequency, the first one at `entry`; with a plan, one that changes between both. A machine that is to be saved under
/// `kvm` has both too, since its state is whole under `soft` only.
pub fn build(
    (chosen, cpuid): (Chosen, CpuidConfig),
    plan: &moves::Plan,
    saved: bool,
    memory: &GuestMemoryMmap,
    code: &Arc<CodePages>,
    entry: &Entry,
    control: &Control,
) -> Result<Built, HostError> {
    if !plan.is_empty() || (saved && chosen == Chosen::Kvm) {
        return Moving::build((chosen, cpuid), plan, memory, code, entry, control);
    }
    match chosen {
        Chosen::Soft => {
            let cpuid = CpuidConfig { tsc_hz: SOFT_TSC_HZ as u32, ..cpuid };
            let soft = Soft::new(cpu::at_entry(memory, code, entry, control, cpuid));
            code.count_writes();
            Ok((Box::new(soft), TimeBase::virtual_from_zero(), Box::<SoftInterrupts>::default()))
        }
        Chosen::Kvm => {
            let kvm = kvm::KvmBackEnd::new(memory, Some(entry), (cpuid.cpus, cpuid.model))?;
            let (time, interrupts) = (kvm.time()?, Box::new(kvm.interrupts()));
            Ok((Box::new(kvm), time, interrupts))
        }
    }
}
