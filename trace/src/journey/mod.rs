//! What a trace means: whose every buffer was, which fence told it, and which way each content went.
//!
//! [`Journeys::build`] joins the devices' events with each other (a buffer by its guest pages, an interrupt by its
//! vector) and with the guest's (a capture buffer by its index between two queueings, a fence by context and sequence
//! number, an interrupt by its number). A trace without guest events gives the devices' half. `docs/trace-report.md`
//! says what each stage, hand-off and rule is.

mod buffers;
mod causality;
mod devices;
mod doorbells;
mod flow;
#[cfg(test)]
mod flow_tests;
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
use crate::file::{Header, TraceFile};

pub use buffers::{Buffer, DmaBuf, Hold, IovaRange, Mapping, PAGE_BYTES, Use};
pub use causality::{Rule, STAGE_ORDER, Violation};
pub use flow::{Visit, Work};
pub use guest::{FencePoint, FenceTimeline, Wait};
pub use handoff::{Handoff, HandoffKind, Leg, Party, Split};
pub(crate) use handoff::{add, between};
pub use interrupts::{InterruptLine, Latency};
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
    /// The engine that it is of, in [`Frame::visits`].
    pub visit: usize,
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

/// One content on its way from engine to engine: a frame of a source, or what a program gave to an engine itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// Its place in [`Journeys::frames`]: frames of sources count from the first of the trace, dropped ones too; those that begin with
    /// a program follow.
    pub number: usize,
    /// The source's number for it, which begins at 0 with every stream.
    pub sequence: Option<u32>,
    /// The index of the capture queue's buffer.
    pub index: Option<u32>,
    /// The engines that had it, in their order.
    pub visits: Vec<Visit>,
    /// A program copied it after it took it from the source. That is inferred: the engine behind the source read, next, what no engine
    /// had written.
    pub copied: bool,
    /// The buffer that the source wrote, in [`Journeys::buffers`].
    pub source: Option<usize>,
    /// The buffer that was shown.
    pub shown: Option<usize>,
    /// The last job that had it, in [`Journeys::jobs`].
    pub job: Option<usize>,
    /// The flip that showed it, in [`Journeys::flips`].
    pub flip: Option<usize>,
    /// The guest's fence for the job.
    pub fence: Option<FenceId>,
    /// How the journey ended.
    pub outcome: Outcome,
    /// What happened, by visit and in the order of [`Stage`].
    pub steps: Vec<Step>,
}

impl Frame {
    /// When it came to a stage, if it did; the first time.
    pub fn at(&self, stage: Stage) -> Option<At> {
        self.steps.iter().find(|step| step.stage == stage).map(|step| step.at)
    }

    /// The same for one visit.
    pub fn at_visit(&self, visit: usize, stage: Stage) -> Option<At> {
        self.steps.iter().find(|step| step.visit == visit && step.stage == stage).map(|step| step.at)
    }

    /// Whether it began at a source.
    pub fn of_source(&self) -> bool {
        self.visits.first().is_some_and(|visit| matches!(visit.work, Work::Capture(_)))
    }

    /// What outputs call a stage of it.
    pub fn stage_text(&self, stage: Stage, header: &Header) -> String {
        let visit = self.steps.iter().find(|step| step.stage == stage).map(|step| step.visit);
        let engine = self.visits.get(visit.unwrap_or_else(|| self.visit_of(stage)));
        stage.text(&engine.map_or_else(|| "engine".to_string(), |visit| header.engine_label(visit.engine)))
    }

    /// The visit that a stage would be of.
    fn visit_of(&self, stage: Stage) -> usize {
        let of = |visit: &Visit| match visit.work {
            Work::Capture(_) => stage <= Stage::Dequeued || stage == Stage::Requeued,
            Work::Job(_) => (Stage::Submitted..=Stage::FenceSignaled).contains(&stage),
            Work::Flip(_) | Work::Pending(_) => (Stage::Commit..=Stage::FlipEvent).contains(&stage),
        };
        self.visits.iter().position(of).unwrap_or(usize::MAX)
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
    /// Frames that sources wrote or dropped, in their order.
    pub captures: Vec<Capture>,
    /// Jobs in the order of their start.
    pub jobs: Vec<Job>,
    /// Fences that engines wrote.
    pub fences: Vec<FenceWrite>,
    /// Latched commits.
    pub flips: Vec<Flip>,
    /// Commits that were never latched.
    pub pending: Vec<Pending>,
    /// Journeys: one for each of `captures`, then those that begin with a program.
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

    /// The whole journey that took longest: a frame's, where any came to a screen, or else of what began with a program.
    pub fn longest(&self) -> Option<&Handoff> {
        let whole = self.handoffs.iter().filter(|handoff| handoff.kind.leg == Leg::Whole);
        whole.max_by_key(|handoff| {
            let of_source = handoff.kind.from != Party::Program;
            (of_source, handoff.took.cycles, std::cmp::Reverse(handoff.frame))
        })
    }

    /// The fence `id`, with its timeline.
    pub fn fence(&self, id: FenceId) -> Option<(&FenceTimeline, &FencePoint)> {
        let at = self.timelines.binary_search_by_key(&id.context, |timeline| timeline.context).ok()?;
        let timeline = self.timelines.get(at)?;
        let point = timeline.points.binary_search_by_key(&id.seqno, |point| point.seqno).ok()?;
        Some((timeline, timeline.points.get(point)?))
    }
}
