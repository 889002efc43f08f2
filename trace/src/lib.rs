//! Typed events on one clock.
//!
//! Devices and the machine record [`Event`]s through the [`Trace`] port; the implementation stamps them.
//! This crate knows nothing of devices: requester ids, I/O virtual addresses and vectors are plain numbers here.

#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

#[cfg(test)]
mod allocations;
mod engine;
mod event;
pub mod file;
pub mod ftrace;
mod guest;
#[cfg(test)]
mod hostile_tests;
pub mod html;
pub mod journey;
mod outputs;
pub mod perfetto;
mod recorder;
pub mod report;
pub mod svg;
pub mod testing;
pub mod timeline;

pub use engine::{EngineId, EngineSpec, Role, rid_text};
pub use event::{Accel, Category, Event, ExitReason, JobKind};
pub use guest::{GuestEvent, GuestFormat, GuestView, Value};
pub use outputs::{is_plain, plain_text};
pub use recorder::{Record, Recorder};

/// A point in time: cycles of the machine's counter and nanoseconds since the machine started.
///
/// Under `soft` both are exact and virtual; under `kvm` both come from the host's TSC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Stamp {
    /// Cycles: what the guest's own RDTSC reads, unless the guest has set its counter.
    pub cycles: u64,
    /// Nanoseconds since the machine started.
    pub ns: u64,
}

/// The port through which devices record what they do. The implementation adds the stamp.
pub trait Trace {
    /// Records `event` as happening now.
    fn record(&mut self, event: Event);
}
