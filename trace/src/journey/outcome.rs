//! How a journey ended.

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::journey::{Frame, Journeys, Side, Stage};

/// How a frame's journey ended, or where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "stage")]
pub enum Outcome {
    /// It was on the screen and its buffer came back; no stage is missing.
    Complete,
    /// The camera had no buffer for it.
    Dropped,
    /// The camera began and did not end it: an error, or the stream was stopped.
    Abandoned,
    /// Nobody took it.
    Unclaimed,
    /// The program took it and gave no GPU job or commit that reads it.
    Discarded,
    /// The GPU's output was never latched.
    NotShown,
    /// It began before the snapshot from which the machine went on, so that its first stages are not in the trace.
    BegunBefore,
    /// This stage is missing, and later frames have it: something was lost.
    Missing(Stage),
    /// This stage is missing, and so it is in all later frames: the trace ended before it.
    CutOff(Stage),
}

impl Outcome {
    /// Whether it is what a program may do, or the trace's end, and no sign of a mistake.
    pub fn is_sound(self) -> bool {
        !matches!(self, Outcome::Missing(_))
    }

    /// Its name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Complete => "complete",
            Outcome::Dropped => "dropped: the camera had no buffer",
            Outcome::Abandoned => "abandoned by the camera",
            Outcome::Unclaimed => "taken by nobody",
            Outcome::Discarded => "discarded by the program",
            Outcome::NotShown => "converted, never shown",
            Outcome::BegunBefore => "begun before the snapshot",
            Outcome::Missing(_) => "a stage is missing",
            Outcome::CutOff(_) => "cut off by the trace's end",
        }
    }
}

/// Stages of the host that every journey through the GPU has.
const ALWAYS: [Stage; 7] = [
    Stage::FrameStart,
    Stage::FrameEnd,
    Stage::JobStart,
    Stage::JobEnd,
    Stage::FenceWrite,
    Stage::Latch,
    Stage::Flip,
];
/// Stages of the guest that every journey has in a trace with guest events.
const ALWAYS_GUEST: [Stage; 7] = [
    Stage::CaptureHandler,
    Stage::BufferDone,
    Stage::Dequeued,
    Stage::FenceHandler,
    Stage::FenceSignaled,
    Stage::FlipHandler,
    Stage::Requeued,
];
/// Stages that a journey without a GPU does not have.
const OF_GPU: RangeInclusive<Stage> = Stage::Submitted..=Stage::FenceSignaled;

/// Says of every frame how it ended.
pub(super) fn settle(journeys: &mut Journeys) {
    let frames = &journeys.frames;
    // The last frame that has each stage.
    let last: Vec<Option<usize>> =
        Stage::ALL.iter().map(|stage| frames.iter().rposition(|frame| frame.at(*stage).is_some())).collect();
    let required = |stage: Stage| {
        let seen = last.get(stage as usize).copied().flatten().is_some();
        seen || ALWAYS.contains(&stage) || journeys.guest && ALWAYS_GUEST.contains(&stage)
    };
    let outcomes: Vec<Outcome> = frames
        .iter()
        .map(|frame| match early_end(journeys, frame) {
            Some(outcome) => outcome,
            None => Stage::ALL
                .into_iter()
                .filter(|stage| required(*stage))
                .filter(|stage| frame.job.is_some() || !OF_GPU.contains(stage))
                .find(|stage| frame.at(*stage).is_none())
                .map_or(Outcome::Complete, |stage| {
                    if journeys.from_snapshot && frame.steps.iter().all(|step| step.stage > stage) {
                        return Outcome::BegunBefore;
                    }
                    let later = last.get(stage as usize).copied().flatten() > Some(frame.number);
                    if later { Outcome::Missing(stage) } else { Outcome::CutOff(stage) }
                }),
        })
        .collect();
    for (frame, outcome) in journeys.frames.iter_mut().zip(outcomes) {
        frame.outcome = outcome;
    }
}

/// An end before the screen that nothing is wrong with.
fn early_end(journeys: &Journeys, frame: &Frame) -> Option<Outcome> {
    let capture = journeys.captures.get(frame.number)?;
    if capture.dropped.is_some() {
        return Some(Outcome::Dropped);
    }
    if capture.end.is_none() {
        return Some(Outcome::Abandoned);
    }
    if frame.job.is_some() {
        let done = frame.at(Stage::FenceSignaled).or(frame.at(Stage::FenceWrite)).is_some();
        return (frame.flip.is_none() && done && a_later_one_was_shown(journeys, frame))
            .then_some(Outcome::NotShown);
    }
    if frame.flip.is_some() {
        return None;
    }
    let claimed = frame.steps.iter().any(|step| step.stage == Stage::Dequeued);
    let guest = frame.steps.iter().any(|step| step.stage.side() == Side::Guest);
    match (claimed, guest) {
        (true, _) => Some(Outcome::Discarded),
        // A driver that never saw a frame which later frames overtook lost it.
        (false, _) if journeys.guest && !guest && overtaken(journeys, frame) => None,
        _ => Some(Outcome::Unclaimed),
    }
}

/// Whether a later frame was shown.
fn a_later_one_was_shown(journeys: &Journeys, frame: &Frame) -> bool {
    journeys.frames.get(frame.number + 1..).unwrap_or_default().iter().any(|later| later.flip.is_some())
}

/// Whether a later frame came into the program's hands.
fn overtaken(journeys: &Journeys, frame: &Frame) -> bool {
    let later = journeys.frames.get(frame.number + 1..).unwrap_or_default();
    later.iter().any(|later| later.at(Stage::Dequeued).is_some())
}
