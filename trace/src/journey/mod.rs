//! What a trace means: whose every buffer was, which fence told it, and how each camera frame came to the screen.
//!
//! [`Journeys::build`] joins the devices' events with each other (a buffer by its guest pages, an interrupt by its
//! vector) and with the guest's (a capture buffer by its index between two queueings, a fence by context and sequence
//! number, an interrupt by its number). A trace without guest events gives the devices' half. `docs/trace-report.md`
//! says what each stage, hand-off and rule is.

mod buffers;
mod causality;
mod devices;
mod doorbells;
mod frames;
mod guest;
mod handoff;
mod interrupts;
mod listed;
mod lives;
#[cfg(test)]
mod lives_tests;
mod outcome;
mod ranges;
#[cfg(test)]
mod rule_tests;
mod stage;
#[cfg(test)]
pub(crate) mod synthetic;
#[cfg(test)]
mod tests;
mod work;

use serde::Serialize;

use crate::Stamp;
use crate::file::TraceFile;

pub use buffers::{Buffer, DmaBuf, Hold, IovaRange, Mapping, PAGE_BYTES, Use};
pub use causality::{Rule, STAGE_ORDER, Violation};
pub use guest::{FencePoint, FenceTimeline, Wait};
pub use handoff::{Handoff, HandoffKind, Split};
pub(crate) use handoff::{add, between};
pub use interrupts::InterruptLine;
pub use outcome::Outcome;
pub use stage::{Component, Side, Stage};
pub use work::{Capture, FenceWrite, Flip, Job, Msi, Pending};

/// A record of the trace and when it happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct At {
    /// When.
    pub stamp: Stamp,
    /// Its place in [`TraceFile::records`].
    pub record: usize,
}

/// One step of a frame's journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    pub stage: Stage,
    /// When, and the record that says so.
    pub at: At,
}

/// A fence of the guest's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct FenceId {
    /// Its context: the timeline.
    pub context: u64,
    /// Its sequence number.
    pub seqno: u64,
}

/// One camera frame on its way to the screen and its buffer's way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// Its place in [`Journeys::frames`]: frames count from the first of the trace, dropped ones too.
    pub number: usize,
    /// The camera's number for it, which begins at 0 with every stream.
    pub sequence: u32,
    /// The index of the capture queue's buffer.
    pub index: Option<u32>,
    /// The buffer that the camera wrote, in [`Journeys::buffers`].
    pub source: Option<usize>,
    /// The buffer that was shown.
    pub shown: Option<usize>,
    /// The GPU job that read it, in [`Journeys::jobs`].
    pub job: Option<usize>,
    /// The flip that showed it, in [`Journeys::flips`].
    pub flip: Option<usize>,
    /// The guest's fence for the job.
    pub fence: Option<FenceId>,
    /// How the journey ended.
    pub outcome: Outcome,
    /// What happened, in the order of [`Stage`].
    pub steps: Vec<Step>,
}

impl Frame {
    /// When it came to a stage, if it did.
    pub fn at(&self, stage: Stage) -> Option<At> {
        self.steps.iter().find(|step| step.stage == stage).map(|step| step.at)
    }
}

/// All that a trace says of buffers, fences and frames.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Journeys {
    /// Whether the guest's own tracepoints are in the trace.
    pub guest: bool,
    /// Whether the machine went on from a snapshot: journeys may have begun before it.
    pub from_snapshot: bool,
    /// Buffers, by first use.
    pub buffers: Vec<Buffer>,
    /// The guest's fence timelines by context.
    pub timelines: Vec<FenceTimeline>,
    /// The message interrupts that were raised, and what the guest makes of them.
    pub interrupts: Vec<InterruptLine>,
    /// Frames that the camera wrote or dropped, in their order.
    pub captures: Vec<Capture>,
    /// GPU jobs in the order of their start.
    pub jobs: Vec<Job>,
    /// Fences that the GPU wrote.
    pub fences: Vec<FenceWrite>,
    /// Latched commits.
    pub flips: Vec<Flip>,
    /// Commits that were never latched.
    pub pending: Vec<Pending>,
    /// Journeys, one for each of `captures`.
    pub frames: Vec<Frame>,
    /// The hand-offs of all frames, by frame and kind.
    pub handoffs: Vec<Handoff>,
    /// Events that stand before their cause, by time of the effect.
    pub violations: Vec<Violation>,
}

impl Journeys {
    /// Works out what `trace` says. Takes memory for the buffers, jobs, interrupts and fences in it, not for its records.
    pub fn build(trace: &TraceFile) -> Journeys {
        let mut guest = guest::scan(trace);
        let devices = devices::scan(trace, &std::mem::take(&mut guest.lives).endings());
        let wires = interrupts::Wires::learn(trace, &guest);
        let mut journeys = Journeys {
            guest: !trace.formats.is_empty(),
            from_snapshot: trace.header.snapshot.is_some(),
            ..Journeys::default()
        };
        frames::join(&mut journeys, devices, guest, &wires);
        outcome::settle(&mut journeys);
        journeys.handoffs = handoff::measure(&journeys.frames, &journeys.flips);
        journeys.violations = causality::check(&journeys, &wires);
        journeys.interrupts = wires.into_lines();
        buffers::fill_holds(&mut journeys);
        journeys
    }

    /// The fence `id`, with its timeline.
    pub fn fence(&self, id: FenceId) -> Option<(&FenceTimeline, &FencePoint)> {
        let at = self.timelines.binary_search_by_key(&id.context, |timeline| timeline.context).ok()?;
        let timeline = self.timelines.get(at)?;
        let point = timeline.points.binary_search_by_key(&id.seqno, |point| point.seqno).ok()?;
        Some((timeline, timeline.points.get(point)?))
    }
}
