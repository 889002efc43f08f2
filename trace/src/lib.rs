//! Typed events on one clock.
//!
//! Devices and the machine record [`Event`]s through the [`Trace`] port; the implementation stamps them.
//! This crate knows nothing of devices: requester ids, I/O virtual addresses and vectors are plain numbers here, and words in outputs come
//! from the names and roles that devices declare for their engines.
//!
//! [`file`](mod@file) is the trace file, [`journey`] says what a trace means, [`report`] sums it up, and [`perfetto`], [`html`] and [`svg`] draw it.
//!
//! # Example
//! A scanner fills a buffer and a printer takes it: recorded, written, read and reported.
//!
//! ```
//! use fencepost_trace::file::{EngineName, FileWriter, FunctionName, Header, TraceFile};
//! use fencepost_trace::journey::Journeys;
//! use fencepost_trace::report::Report;
//! use fencepost_trace::{Accel, Category, EngineId, Event, Record, Role, Stamp};
//!
//! let function = |rid, name: &str, role| FunctionName {
//!     rid,
//!     name: name.into(),
//!     engines: vec![EngineName { name: name.into(), role }],
//! };
//! let header = Header {
//!     accel: Accel::Soft,
//!     tsc_hz: 1_000_000_000,
//!     categories: Category::DEFAULT.to_vec(),
//!     functions: vec![function(8, "scanner", Role::Source), function(16, "printer", Role::Sink)],
//!     counters: Vec::new(),
//!     costs: Vec::new(),
//!     seed: None,
//!     limit: None,
//!     snapshot: None,
//!     paced: Some(false),
//! };
//! let (scanner, printer) = (EngineId::new(8, 0), EngineId::new(16, 0));
//! let (gpa, len) = (0x10_0000, 8192);
//! let events = [
//!     (100, Event::FrameStart { engine: scanner, sequence: 0, buffer: Some(0) }),
//!     (900, Event::DmaWrite { rid: 8, iova: 0x4000, gpa, len }),
//!     (900, Event::FrameEnd { engine: scanner, sequence: 0, buffer: 0, bytes: 8192, crc: 0 }),
//!     (1000, Event::Doorbell { engine: printer, queue: 0, tail: 1 }),
//!     (1500, Event::Latch { engine: printer, frame: 1, commit: 1 }),
//!     (1500, Event::Flip { engine: printer, frame: 1, flip: 1 }),
//!     (1600, Event::DmaRead { rid: 16, iova: 0x9000, gpa, len }),
//!     (1600, Event::ScanOut { engine: printer, frame: 1, crc: 0 }),
//! ];
//! let mut bytes = Vec::new();
//! let mut writer = FileWriter::new(&mut bytes, &header)?;
//! for (cycles, event) in events {
//!     writer.record(&Record { stamp: Stamp { cycles, ns: cycles }, event })?;
//! }
//! writer.finish()?;
//!
//! let trace = TraceFile::read(&bytes[..])?;
//! let journeys = Journeys::build(&trace);
//! let report = Report::new(&trace, &journeys);
//! assert_eq!(report.frames.complete, 1);
//! let whole = report.handoffs.last().expect("the frame was shown");
//! assert_eq!((&whole.name[..], whole.p50.cycles), ("whole journey: scanner -> printer", 1400));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(missing_docs)]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

#[cfg(test)]
mod allocations;
pub mod conditions;
mod engine;
mod event;
mod fault;
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
pub use fault::FaultKind;
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

    /// Whether somebody hears events, and not only their number. Those that come by the thousand need not be made otherwise.
    fn is_heard(&self) -> bool;

    /// Counts so many events that nobody hears.
    fn count(&mut self, events: u64);
}
