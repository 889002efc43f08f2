//! What a back end and a debugger have to do with each other. A debugger works on a machine that stands still at an instruction
//! boundary, and says how it goes on; a back end stops where it is told to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fencepost_softcpu::state::CpuState;
use fencepost_softcpu::stops::{Access, Stops};

use crate::control::StopReason;
use crate::machine::Machine;

/// Why a machine stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It has not executed anything yet.
    Start,
    /// The debugger has called.
    Called,
    /// The one instruction that was wanted has retired.
    Stepped,
    /// The next instruction is one to stop before.
    Breakpoint,
    /// What is watched was accessed.
    Accessed(Access),
    /// The guest's kernel has panicked or oopsed.
    Failed,
    /// The guest is about to end by a death.
    Dying,
}

/// How it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// It runs.
    #[default]
    Run,
    /// It executes one instruction.
    Step,
    /// The machine ends.
    End(StopReason),
}

/// A debugger.
pub trait Debugger: Send {
    /// Whether it wants the machine to stand still. Looked at often.
    fn calls(&self) -> bool;

    /// Works on the machine, and on its CPU, for as long as its user likes. `cpu` is set in the machine if it was changed.
    fn attend(&mut self, why: Why, cpu: &mut CpuState, machine: &mut Machine) -> Order;

    /// Whether one is connected.
    fn is_there(&self) -> bool;

    /// Whether the guest is to wait for one when its kernel fails.
    fn waits_for_failures(&self) -> bool;

    /// Where the CPU is to stop from now on.
    fn stops(&self) -> Stops;
}

/// A debugger that several back ends of one machine know, of which one runs.
#[derive(Clone)]
pub struct Attached(Arc<Mutex<dyn Debugger>>);

impl Attached {
    /// Shares `debugger`.
    pub fn new(debugger: Arc<Mutex<dyn Debugger>>) -> Self {
        Attached(debugger)
    }

    /// The debugger.
    pub fn get(&self) -> MutexGuard<'_, dyn Debugger + 'static> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
