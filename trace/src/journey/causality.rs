//! No event stands before its cause, and nobody touches what is another's.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::journey::interrupts::{Wire, Wires};
use crate::journey::listed::listed;
use crate::journey::{At, FenceId, Frame, Journeys, Stage, Work};

listed! {
    /// What must not be. `docs/trace-report.md` says what joins the two events of each.
    Rule {
        /// A stage of a frame before a stage that brings it about.
        StageOrder => "stage-order",
        /// The guest's fence signalled before the engine wrote it.
        SignalBeforeWrite => "signal-before-write",
        /// A fence written before it was made.
        WriteBeforeMade => "write-before-made",
        /// The CPU took a function's interrupt that was not raised.
        DeliveredUnraised => "delivered-unraised",
        /// A handler began without its interrupt.
        HandlerUnraised => "handler-unraised",
        /// A job ended before it began, or began before its doorbell.
        JobOrder => "job-order",
        /// An engine wrote a buffer that a sink still showed.
        WriteWhileShown => "write-while-shown",
        /// A source wrote a buffer that a job was reading.
        WriteWhileRead => "write-while-read",
        /// A source began to write a buffer that was the guest's.
        CaptureNotQueued => "capture-not-queued",
    }
}

impl Rule {
    /// One line that says what happened.
    pub fn says(self) -> &'static str {
        match self {
            Rule::StageOrder => "a stage stands before its cause",
            Rule::SignalBeforeWrite => "a dma-fence was signalled before the engine wrote it",
            Rule::WriteBeforeMade => "an engine wrote a fence before the kernel made it",
            Rule::DeliveredUnraised => "the CPU took an interrupt that no function raised",
            Rule::HandlerUnraised => "an interrupt handler began without its interrupt",
            Rule::JobOrder => "a job began before its doorbell or ended before its begin",
            Rule::WriteWhileShown => "an engine wrote a buffer that a sink still showed",
            Rule::WriteWhileRead => "a source wrote a buffer that a job was reading",
            Rule::CaptureNotQueued => "a source wrote a buffer that was not queued",
        }
    }
}

/// Two events in the wrong order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// What must not be.
    pub rule: Rule,
    /// What should come first, or whose time it was; absent where there is no cause at all.
    pub cause: Option<At>,
    /// What should come after it.
    pub effect: At,
    /// The stages, for [`Rule::StageOrder`].
    pub stages: Option<(Stage, Stage)>,
    /// The frame, where it is known.
    pub frame: Option<usize>,
    /// The buffer, where it is about one.
    pub buffer: Option<usize>,
}

/// Causes and effects among a frame's stages.
pub const STAGE_ORDER: [(Stage, Stage); 30] = {
    use Stage::*;
    [
        (FrameStart, FrameEnd),
        (FrameEnd, CaptureMsi),
        (CaptureMsi, CaptureDelivered),
        (CaptureMsi, CaptureHandler),
        (CaptureDelivered, CaptureHandler),
        (FrameEnd, BufferDone),
        (BufferDone, Dequeued),
        (Dequeued, JobStart),
        (Dequeued, Requeued),
        (Submitted, Scheduled),
        (Scheduled, FenceMade),
        (FenceMade, JobDoorbell),
        (JobDoorbell, JobStart),
        (FrameEnd, JobStart),
        (JobStart, JobEnd),
        (JobEnd, FenceWrite),
        (FenceWrite, FenceMsi),
        (FenceMsi, FenceDelivered),
        (FenceDelivered, FenceHandler),
        (FenceWrite, FenceSignaled),
        (FrameEnd, Latch),
        (FenceSignaled, Commit),
        (JobEnd, Latch),
        (Commit, Latch),
        (Latch, Flip),
        (Flip, FlipMsi),
        (FlipMsi, FlipDelivered),
        (FlipDelivered, FlipHandler),
        (Latch, OutFence),
        (Latch, FlipEvent),
    ]
};

/// All violations, by time of the effect.
pub(super) fn check(journeys: &Journeys, wires: &Wires) -> Vec<Violation> {
    let mut found = journeys.violations.clone();
    stages(journeys, &mut found);
    fences(journeys, &mut found);
    jobs(journeys, &mut found);
    for wire in wires.wires.values() {
        interrupts(wire, &mut found);
    }
    shown(journeys, &mut found);
    read(journeys, &mut found);
    found.truncate(VIOLATIONS_MAX);
    found.sort_by_key(|violation| (violation.effect, violation.rule));
    found
}

/// At most so many are reported.
const VIOLATIONS_MAX: usize = 1 << 16;

fn violation(rule: Rule, cause: Option<At>, effect: At) -> Violation {
    Violation { rule, cause, effect, stages: None, frame: None, buffer: None }
}

/// Whether the effect is before its cause. What happens in one cycle is in order.
fn reversed(cause: At, effect: At) -> bool {
    effect.stamp.cycles < cause.stamp.cycles
}

fn stages(journeys: &Journeys, found: &mut Vec<Violation>) {
    for frame in &journeys.frames {
        for (cause_stage, effect_stage) in STAGE_ORDER {
            for (cause, effect) in pairs(frame, cause_stage, effect_stage) {
                if reversed(cause, effect) {
                    found.push(Violation {
                        stages: Some((cause_stage, effect_stage)),
                        frame: Some(frame.number),
                        buffer: frame.source.or(frame.shown),
                        ..violation(Rule::StageOrder, Some(cause), effect)
                    });
                }
            }
        }
    }
}

/// The times of two stages: those of one visit, or, where they are of two engines, those of a visit and the next.
fn pairs(frame: &Frame, cause: Stage, effect: Stage) -> Vec<(At, At)> {
    let causes = frame.steps.iter().filter(|step| step.stage == cause);
    let effect_at = |visit| frame.at_visit(visit, effect);
    let copied_at = usize::from(frame.copied);
    causes
        .filter_map(|step| {
            let own = effect_at(step.visit);
            // What a program copied is ordered by its own steps alone.
            let next = || {
                effect_at(step.visit + 1).filter(|_| step.visit + 1 != copied_at || cause == Stage::Dequeued)
            };
            Some((step.at, own.or_else(next)?))
        })
        .collect()
}

/// Fences of no frame; those of frames are stages.
fn fences(journeys: &Journeys, found: &mut Vec<Violation>) {
    let of_frames: BTreeSet<_> = journeys.frames.iter().filter_map(|frame| frame.fence).collect();
    for timeline in &journeys.timelines {
        for point in &timeline.points {
            let Some(write) = point.written.and_then(|at| journeys.fences.get(at)) else { continue };
            let id = FenceId { context: timeline.context, seqno: point.seqno };
            if let Some(made) = point.made
                && reversed(made, write.at)
            {
                found.push(violation(Rule::WriteBeforeMade, Some(made), write.at));
            }
            if let Some(signaled) = point.signaled
                && reversed(write.at, signaled)
                && !of_frames.contains(&id)
            {
                found.push(violation(Rule::SignalBeforeWrite, Some(write.at), signaled));
            }
        }
    }
}

fn jobs(journeys: &Journeys, found: &mut Vec<Violation>) {
    let visits = journeys.frames.iter().flat_map(|frame| &frame.visits);
    let of_frames: BTreeSet<Work> = visits.map(|visit| visit.work).collect();
    let jobs = journeys.jobs.iter().enumerate();
    for (_, job) in jobs.filter(|(number, _)| !of_frames.contains(&Work::Job(*number))) {
        let pairs = [(job.doorbell, Some(job.start)), (Some(job.start), job.end)];
        for (cause, effect) in pairs {
            if let (Some(cause), Some(effect)) = (cause, effect)
                && reversed(cause, effect)
            {
                found.push(violation(Rule::JobOrder, Some(cause), effect));
            }
        }
    }
}

/// An interrupt is pending from its raising to its delivery; raisings meanwhile are one.
fn interrupts(wire: &Wire, found: &mut Vec<Violation>) {
    let mut next = 0;
    for (number, delivered) in wire.delivered.iter().enumerate() {
        let before = next;
        while wire.raised.get(next).is_some_and(|raised| !reversed(*raised, *delivered)) {
            next += 1;
        }
        // What was raised before the trace began is not in it.
        if next == before && number > 0 {
            found.push(violation(Rule::DeliveredUnraised, wire.raised.get(next).copied(), *delivered));
        }
    }
    let causes = if wire.delivered.is_empty() { &wire.raised } else { &wire.delivered };
    handlers(causes, &wire.handled, found);
}

/// One interrupt can be in service and one more be pending: so many handlers can follow without another cause.
const PENDING: usize = 2;

fn handlers(causes: &[At], handled: &[At], found: &mut Vec<Violation>) {
    let (mut next, mut pending) = (0, 0usize);
    for (number, handler) in handled.iter().enumerate() {
        while causes.get(next).is_some_and(|cause| !reversed(*cause, *handler)) {
            next += 1;
            pending = (pending + 1).min(PENDING);
        }
        // What caused the first may have come before the trace began.
        if pending == 0 && number > 0 {
            found.push(violation(Rule::HandlerUnraised, causes.get(next).copied(), *handler));
        }
        pending = pending.saturating_sub(1);
    }
}

/// Writes to a buffer between the latch that shows it and a later read for the same commit: the screen tore.
fn shown(journeys: &Journeys, found: &mut Vec<Violation>) {
    let mut writes: BTreeMap<usize, Vec<(At, Option<usize>)>> = BTreeMap::new();
    for (number, capture) in journeys.captures.iter().enumerate() {
        if let (Some(buffer), Some(at)) = (capture.buffer, capture.end) {
            writes.entry(buffer).or_default().push((at, Some(number)));
        }
    }
    for job in &journeys.jobs {
        for buffer in &job.writes {
            if let Some(end) = job.end {
                writes.entry(*buffer).or_default().push((end, job.captures.first().copied()));
            }
        }
    }
    for all in writes.values_mut() {
        all.sort_unstable();
    }
    for flip in &journeys.flips {
        let (Some(buffer), Some(last)) = (flip.buffer, flip.last_read) else { continue };
        let Some(all) = writes.get(&buffer) else { continue };
        let first = all.partition_point(|(at, _)| at.stamp.cycles <= flip.latch.stamp.cycles);
        for (at, frame) in all.get(first..).unwrap_or_default() {
            if at.stamp.cycles >= last.stamp.cycles || found.len() >= VIOLATIONS_MAX {
                break;
            }
            found.push(Violation {
                frame: *frame,
                buffer: Some(buffer),
                ..violation(Rule::WriteWhileShown, Some(last), *at)
            });
        }
    }
}

/// A source's writing of a buffer while a job reads it.
fn read(journeys: &Journeys, found: &mut Vec<Violation>) {
    let mut captured: BTreeMap<usize, Vec<(At, At, usize)>> = BTreeMap::new();
    for (number, capture) in journeys.captures.iter().enumerate() {
        if let (Some(buffer), Some(start), Some(end)) = (capture.buffer, capture.start, capture.end) {
            captured.entry(buffer).or_default().push((start, end, number));
        }
    }
    for job in &journeys.jobs {
        let Some(end) = job.end else { continue };
        for buffer in &job.reads {
            let Some(all) = captured.get(buffer) else { continue };
            let first = all.partition_point(|(_, done, _)| done.stamp.cycles <= job.start.stamp.cycles);
            for (start, _, frame) in all.get(first..).unwrap_or_default() {
                if start.stamp.cycles >= end.stamp.cycles || found.len() >= VIOLATIONS_MAX {
                    break;
                }
                found.push(Violation {
                    frame: Some(*frame),
                    buffer: Some(*buffer),
                    ..violation(Rule::WriteWhileRead, Some(end), *start)
                });
            }
        }
    }
}
