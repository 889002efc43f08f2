//! The two back ends that run the guest's CPU around the same machine.

pub mod soft;

use fencepost_softcpu::state::CpuState;

use crate::control::{Control, StopReason};
use crate::error::HostError;
use crate::machine::{GuestEnd, Machine};

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
    /// The CPU's state.
    pub state: CpuState,
    /// Instructions that were not known, by name, with how often each was met.
    pub unknown: Vec<(String, u64)>,
}

/// Runs a guest to its end.
pub trait BackEnd {
    /// Runs until the guest or the host ends it, and gives the machine back.
    fn run(&mut self, machine: Machine, control: &Control) -> Result<(Machine, Ran), HostError>;
}
