//! How a journey ended.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::Serialize;

use crate::engine::EngineId;
use crate::journey::{Frame, Journeys, Side, Stage, Work};

/// How a frame's journey ended, or where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "stage")]
pub enum Outcome {
    /// No stage is missing: what came from a source was shown and its buffer came back; what came from a program was done.
    Complete,
    /// The source had no buffer for it.
    Dropped,
    /// The source began and did not end it: an error, or the stream was stopped.
    Abandoned,
    /// Nobody took it.
    Unclaimed,
    /// The program took it, and no engine read it or what the program gave out thereafter.
    Discarded,
    /// A job read it, and its output was never latched.
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
            Outcome::Dropped => "dropped: the source had no buffer",
            Outcome::Abandoned => "abandoned by the source",
            Outcome::Unclaimed => "taken by nobody",
            Outcome::Discarded => "ended with the program",
            Outcome::NotShown => "processed, never shown",
            Outcome::BegunBefore => "begun before the snapshot",
            Outcome::Missing(_) => "a stage is missing",
            Outcome::CutOff(_) => "cut off by the trace's end",
        }
    }
}

/// Stages of the host that every journey from a source through a processor to a sink has.
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
/// Stages that a journey without a job does not have.
const OF_JOB: RangeInclusive<Stage> = Stage::Submitted..=Stage::FenceSignaled;

/// The last frame that has each stage, by the engine that a journey begins with.
type Lasts = BTreeMap<EngineId, Vec<Option<usize>>>;

/// Says of every frame how it ended.
pub(super) fn settle(journeys: &mut Journeys) {
    let mut lasts = Lasts::new();
    for frame in &journeys.frames {
        let Some(key) = begin(frame) else { continue };
        let last = lasts.entry(key).or_insert_with(|| vec![None; Stage::ALL.len()]);
        for step in &frame.steps {
            if let Some(last) = last.get_mut(step.stage as usize) {
                *last = Some(frame.number);
            }
        }
    }
    let groups = Groups::new(journeys);
    let outcomes: Vec<Outcome> = journeys
        .frames
        .iter()
        .map(|frame| {
            let last = |stage: Stage| lasts.get(&begin(frame)?)?.get(stage as usize).copied().flatten();
            let early = if frame.of_source() { early_end(journeys, &groups, frame) } else { None };
            early.unwrap_or_else(|| {
                required(frame, journeys.guest, &last)
                    .into_iter()
                    .find(|stage| frame.at(*stage).is_none())
                    .map_or(Outcome::Complete, |stage| {
                        if journeys.from_snapshot && frame.steps.iter().all(|step| step.stage > stage) {
                            return Outcome::BegunBefore;
                        }
                        let later = last(stage) > Some(frame.number);
                        if later { Outcome::Missing(stage) } else { Outcome::CutOff(stage) }
                    })
            })
        })
        .collect();
    for (frame, outcome) in journeys.frames.iter_mut().zip(outcomes) {
        frame.outcome = outcome;
    }
}

/// The engine that a journey begins with. A source's frames are compared with each other, and so are those that a program gave to an
/// engine.
fn begin(frame: &Frame) -> Option<EngineId> {
    frame.visits.first().map(|visit| visit.engine)
}

/// The stages that a frame needs to be complete.
fn required(frame: &Frame, guest: bool, last: &impl Fn(Stage) -> Option<usize>) -> Vec<Stage> {
    if !frame.of_source() {
        let of = |work: Work| match work {
            Work::Capture(_) => &[][..],
            Work::Job(_) => &[Stage::JobStart, Stage::JobEnd][..],
            Work::Flip(_) => &[Stage::Latch, Stage::Flip][..],
            Work::Pending(_) => &[Stage::Commit, Stage::Latch][..],
        };
        return frame.visits.iter().flat_map(|visit| of(visit.work)).copied().collect();
    }
    let is_required = |stage: &Stage| {
        last(*stage).is_some() || ALWAYS.contains(stage) || guest && ALWAYS_GUEST.contains(stage)
    };
    let stages = Stage::ALL.into_iter().filter(is_required);
    stages.filter(|stage| frame.job.is_some() || !OF_JOB.contains(stage)).collect()
}

/// The last frame of each source that was shown, and that came into a program's hands.
struct Groups {
    shown: BTreeMap<EngineId, usize>,
    dequeued: BTreeMap<EngineId, usize>,
}

impl Groups {
    fn new(journeys: &Journeys) -> Groups {
        let (mut shown, mut dequeued) = (BTreeMap::new(), BTreeMap::new());
        for frame in journeys.frames.iter().filter(|frame| frame.of_source()) {
            let Some(engine) = begin(frame) else { continue };
            if frame.flip.is_some() {
                shown.insert(engine, frame.number);
            }
            if frame.at(Stage::Dequeued).is_some() {
                dequeued.insert(engine, frame.number);
            }
        }
        Groups { shown, dequeued }
    }
}

/// An end before the screen that nothing is wrong with.
fn early_end(journeys: &Journeys, groups: &Groups, frame: &Frame) -> Option<Outcome> {
    let later = |last: &BTreeMap<EngineId, usize>| {
        last.get(&begin(frame)?).is_some_and(|last| *last > frame.number).then_some(())
    };
    let capture = journeys.captures.get(frame.number)?;
    if capture.dropped.is_some() {
        return Some(Outcome::Dropped);
    }
    if capture.end.is_none() {
        return Some(Outcome::Abandoned);
    }
    if frame.job.is_some() {
        let done = frame.at(Stage::FenceSignaled).or(frame.at(Stage::FenceWrite)).is_some();
        return (frame.flip.is_none() && done && later(&groups.shown).is_some()).then_some(Outcome::NotShown);
    }
    if frame.flip.is_some() {
        return None;
    }
    let claimed = frame.steps.iter().any(|step| step.stage == Stage::Dequeued);
    let guest = frame.steps.iter().any(|step| step.stage.side() == Side::Guest);
    match (claimed, guest) {
        (true, _) => Some(Outcome::Discarded),
        // A driver that never saw a frame which later frames overtook lost it.
        (false, _) if journeys.guest && !guest && later(&groups.dequeued).is_some() => None,
        _ => Some(Outcome::Unclaimed),
    }
}
