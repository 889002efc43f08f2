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
    /// There is nothing before this moment to go back to.
    Began,
    /// The machine is where it was farthest.
    Ended,
}

/// The CPUs of a machine that stands still.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// By their numbers: one at least.
    pub cpus: Vec<CpuState>,
    /// The one that the reason to stand still is of.
    pub current: usize,
    /// The machine has been farther already: nothing can be changed.
    pub past: bool,
    /// Memory was changed.
    pub changed: bool,
}

/// How it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// It runs.
    #[default]
    Run,
    /// The CPU with this number executes one instruction; the others what they do meanwhile.
    Step(usize),
    /// It goes back to before the last instruction that the CPU with this number has executed.
    StepBack(usize),
    /// It goes back to the last moment at which it would have stopped.
    RunBack,
    /// The machine ends.
    End(StopReason),
}

/// What a back end can stop at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// Instructions and watched ranges together.
    pub stops: usize,
    /// Whether ranges can be watched.
    pub watches: bool,
    /// They may have any length and kind; otherwise 1, 2, 4 or 8 bytes, at a multiple of that, for writes or for all accesses.
    pub any_range: bool,
    /// Whether the machine can go back.
    pub back: bool,
}

/// A debugger.
pub trait Debugger: Send {
    /// Works on the machine, and on its CPUs, for as long as its user likes. Those that were changed are set in the machine.
    fn attend(&mut self, why: Why, cpus: &mut Stopped, machine: &mut Machine) -> Order;

    /// Whether it has said how the machine is to go on when it attended last; otherwise that goes on as it was.
    fn has_ordered(&self) -> bool;

    /// What the back end that runs now can stop at.
    fn limit(&mut self, most: Most);

    /// Whether one is connected.
    fn is_there(&self) -> bool;

    /// Where the CPU is to stop from now on.
    fn stops(&self) -> Stops;
}

/// A debugger that several back ends of one machine know, of which one runs.
#[derive(Clone)]
pub struct Attached {
    debugger: Arc<Mutex<dyn Debugger>>,
    calls: Arc<dyn Calls>,
    waits: Waits,
}

/// For what a machine is to wait for a debugger, beside its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Its guest's kernel has failed.
    pub at_failure: bool,
    /// It is over, however that came.
    pub at_end: bool,
}

/// Whether a debugger wants the machine to stand still. Looked at often, and while it works on the machine too.
pub trait Calls: Send + Sync {
    /// Whether it does.
    fn calls(&self) -> bool;
}

impl Attached {
    /// Shares `debugger`, for which the guest waits where `waits` says.
    pub fn new(debugger: Arc<Mutex<dyn Debugger>>, calls: Arc<dyn Calls>, waits: Waits) -> Self {
        Attached { debugger, calls, waits }
    }

    /// The debugger.
    pub fn get(&self) -> MutexGuard<'_, dyn Debugger + 'static> {
        self.debugger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it wants the machine to stand still.
    pub fn calls(&self) -> bool {
        self.calls.calls()
    }

    /// Whether the guest is to wait for one when its kernel fails.
    pub fn waits_for_failures(&self) -> bool {
        self.waits.at_failure
    }

    /// Whether it is to wait for one when it is over.
    pub fn waits_at_end(&self) -> bool {
        self.waits.at_end
    }
}
