//! One who conducts a run from within: the machine is lent to it at instruction boundaries, so that what it does takes place at times of
//! the guest's, and under `soft` at the same ones in every run.

use std::path::Path;

use crate::error::HostError;
use crate::machine::Machine;

/// Saves the machine as a file.
pub type Save<'s> = dyn FnMut(&mut Machine, &Path) -> Result<(), HostError> + 's;

/// Gets the machine whenever it pauses: before its first instruction, at each of its
/// [`Pauses`](crate::machine::Pauses), and when [`Control::request_pause`](crate::control::Control::request_pause) was called.
pub trait Conductor: Send {
    /// The machine stands. It goes on when this returns, unless it was told to end.
    fn paused(&mut self, machine: &mut Machine, save: &mut Save<'_>);
}
