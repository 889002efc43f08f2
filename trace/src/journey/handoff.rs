//! Hand-offs: how long each took, and where the time went.

use serde::Serialize;

use crate::Stamp;
use crate::engine::EngineId;
use crate::file::Header;
use crate::journey::{At, Component, Flip, Frame, Stage, Visit, Work};

/// Who gives a content or gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// An engine.
    Engine(EngineId),
    /// Programs of the guest, and its kernel.
    Program,
    /// The kernel's fence for an engine's job: it is for whoever waits for it.
    Fence,
}

impl Party {
    /// Its name in outputs.
    pub fn name(self, header: &Header) -> String {
        match self {
            Party::Engine(engine) => header.engine_label(engine),
            Party::Program => "program".to_string(),
            Party::Fence => "fence".to_string(),
        }
    }
}

/// A part of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leg {
    /// From a source's last byte to the program that takes the buffer.
    Taken,
    /// From a program to an engine's begin: a job, or a latch.
    Given,
    /// From a job's begin to the signal of its fence.
    Worked,
    /// From one engine, or the fence of its job, to the next engine's begin.
    Passed,
    /// From a latch to the event in the program's hands.
    Told,
    /// From the last that read a source's buffer to the source's queue.
    Back,
    /// From the begin to the screen.
    Whole,
}

/// A hand-off's kind: the two that it joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct HandoffKind {
    /// Which part of the way.
    pub leg: Leg,
    /// Who gives.
    pub from: Party,
    /// Who gets.
    pub to: Party,
    /// It stands in for one whose guest half is not in the trace.
    pub devices_only: bool,
}

impl HandoffKind {
    fn new(leg: Leg, from: Party, to: Party) -> HandoffKind {
        HandoffKind { leg, from, to, devices_only: false }
    }

    fn devices_only(self) -> HandoffKind {
        HandoffKind { devices_only: true, ..self }
    }

    /// Its name in outputs.
    pub fn name(self, header: &Header) -> String {
        let (from, to) = (self.from.name(header), self.to.name(header));
        match (self.leg, self.devices_only) {
            (Leg::Whole, _) => format!("whole journey: {from} -> {to}"),
            (_, true) => format!("{from} -> {to} (devices only)"),
            (_, false) => format!("{from} -> {to}"),
        }
    }

    /// Its name in JSON and on command lines: lower case, words joined by hyphens.
    pub fn key(self, header: &Header) -> String {
        let words = self.name(header).replace(" -> ", " to ");
        let plain: String =
            words.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { ' ' }).collect();
        plain.to_lowercase().split_whitespace().collect::<Vec<_>>().join("-")
    }
}

/// Where a hand-off's time went, by [`Component`]. The parts sum to the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Split {
    /// Standing in a queue.
    pub queue: Stamp,
    /// A device at work.
    pub device: Stamp,
    /// From an interrupt's being raised to its effect.
    pub interrupt: Stamp,
    /// Guest threads.
    pub scheduler: Stamp,
    /// Waiting for something of no concern to the frame.
    pub wait: Stamp,
}

impl Split {
    /// A part.
    pub fn part(&self, component: Component) -> Stamp {
        match component {
            Component::Queue => self.queue,
            Component::Device => self.device,
            Component::Interrupt => self.interrupt,
            Component::Scheduler => self.scheduler,
            Component::Wait => self.wait,
        }
    }

    /// Adds a time to a part.
    pub fn add(&mut self, component: Component, time: Stamp) {
        let part = match component {
            Component::Queue => &mut self.queue,
            Component::Device => &mut self.device,
            Component::Interrupt => &mut self.interrupt,
            Component::Scheduler => &mut self.scheduler,
            Component::Wait => &mut self.wait,
        };
        add(part, time);
    }
}

/// A hand-off of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Handoff {
    /// Which.
    pub kind: HandoffKind,
    /// [`Frame::number`].
    pub frame: usize,
    /// Its begin.
    pub from: At,
    /// Its end.
    pub to: At,
    /// How long it took.
    pub took: Stamp,
    /// Where the time went.
    pub split: Split,
}

/// The time from `from` to `to`, zero when it runs backwards.
pub(crate) fn between(from: Stamp, to: Stamp) -> Stamp {
    Stamp { cycles: to.cycles.saturating_sub(from.cycles), ns: to.ns.saturating_sub(from.ns) }
}

/// Adds a time to a sum of times.
pub(crate) fn add(sum: &mut Stamp, time: Stamp) {
    sum.cycles = sum.cycles.saturating_add(time.cycles);
    sum.ns = sum.ns.saturating_add(time.ns);
}

/// A stage of a visit.
type Place = (usize, Stage);

/// The hand-offs of all frames. One whose end is before its begin is left out; the causality check names it.
pub(super) fn measure(frames: &[Frame], flips: &[Flip]) -> Vec<Handoff> {
    let of = |frame| {
        let found = legs(frame).into_iter().filter_map(move |(kind, path)| one(kind, &path, frame, flips));
        let mut found: Vec<Handoff> = found.chain(released(frame, flips)).collect();
        found.sort_by_key(|handoff| handoff.kind);
        found
    };
    frames.iter().flat_map(of).collect()
}

/// The hand-offs that a frame can have, and the stages on each one's way: the first and the last are its ends, those between may be missing.
fn legs(frame: &Frame) -> Vec<(HandoffKind, Vec<Place>)> {
    use Stage::*;
    let mut legs = Vec::new();
    for (at, visit) in frame.visits.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| Some((before, frame.visits.get(before)?)));
        let own = |stages: &[Stage]| stages.iter().map(|stage| (at, *stage)).collect::<Vec<Place>>();
        let engine = Party::Engine(visit.engine);
        let begin: &[Stage] = match visit.work {
            Work::Capture(_) => {
                let way = [FrameEnd, CaptureMsi, CaptureDelivered, CaptureHandler, BufferDone, Dequeued];
                legs.push((HandoffKind::new(Leg::Taken, engine, Party::Program), own(&way)));
                continue;
            }
            Work::Job(_) => {
                let way =
                    [JobStart, JobEnd, FenceWrite, FenceMsi, FenceDelivered, FenceHandler, FenceSignaled];
                let kind = HandoffKind::new(Leg::Worked, engine, Party::Fence);
                match frame.at_visit(at, FenceSignaled) {
                    Some(_) => legs.push((kind, own(&way))),
                    None => legs.push((kind.devices_only(), own(&[JobStart, JobEnd, FenceWrite]))),
                }
                &[Submitted, Scheduled, FenceMade, JobDoorbell, JobStart]
            }
            Work::Flip(_) | Work::Pending(_) => {
                let way = [Latch, Flip, FlipMsi, FlipDelivered, FlipHandler, OutFence, FlipEvent];
                legs.push((HandoffKind::new(Leg::Told, engine, Party::Program), own(&way)));
                &[Commit, Latch]
            }
        };
        let (kind, mut way) = entry(frame, engine, (at, begin), before);
        way.extend(own(begin));
        legs.push((kind, way));
    }
    legs.extend(back(frame));
    legs.extend(whole(frame));
    legs
}

/// How an engine that begins with the stages `begin` came by the content, and the way to there.
fn entry(
    frame: &Frame,
    engine: Party,
    (at, begin): (usize, &[Stage]),
    before: Option<(usize, &Visit)>,
) -> (HandoffKind, Vec<Place>) {
    use Stage::*;
    let Some((giver, visit)) = before else {
        return (HandoffKind::new(Leg::Given, Party::Program, engine), Vec::new());
    };
    let places = |stages: &[Stage]| stages.iter().map(|stage| (giver, *stage)).collect();
    let begun = begin.last().and_then(|stage| frame.at_visit(at, *stage));
    let in_time = |stage: Stage| {
        let then = frame.at_visit(giver, stage);
        then.filter(|then| begun.is_none_or(|begun| then.stamp.cycles <= begun.stamp.cycles)).is_some()
    };
    let from = Party::Engine(visit.engine);
    match visit.work {
        Work::Capture(_) if frame.at_visit(giver, Dequeued).is_some() => {
            (HandoffKind::new(Leg::Given, Party::Program, engine), places(&[Dequeued]))
        }
        Work::Capture(_) => {
            let kind = HandoffKind::new(Leg::Passed, from, engine).devices_only();
            (kind, places(&[FrameEnd, CaptureMsi, CaptureDelivered]))
        }
        _ if in_time(FenceSignaled) => {
            (HandoffKind::new(Leg::Passed, Party::Fence, engine), places(&[FenceSignaled]))
        }
        _ if in_time(FenceWrite) => {
            let kind = HandoffKind::new(Leg::Passed, Party::Fence, engine).devices_only();
            (kind, places(&[FenceWrite, FenceMsi, FenceDelivered]))
        }
        _ => (HandoffKind::new(Leg::Passed, from, engine).devices_only(), places(&[JobEnd])),
    }
}

/// A source's buffer on its way back: from the job that read it, or from the program.
fn back(frame: &Frame) -> Option<(HandoffKind, Vec<Place>)> {
    use Stage::*;
    let source = Party::Engine(frame.visits.first().filter(|_| frame.of_source())?.engine);
    match frame.visits.get(1).filter(|_| !frame.copied) {
        Some(Visit { engine, work: Work::Job(_) }) => {
            let mut way: Vec<Place> =
                [JobEnd, FenceWrite, FenceMsi, FenceDelivered, FenceHandler, FenceSignaled]
                    .map(|stage| (1, stage))
                    .to_vec();
            way.push((0, Requeued));
            Some((HandoffKind::new(Leg::Back, Party::Engine(*engine), source), way))
        }
        // A sink lets go of it without a stage: see `released`.
        Some(_) => None,
        None => {
            let way = vec![(0, Dequeued), (0, Requeued)];
            Some((HandoffKind::new(Leg::Back, Party::Program, source), way))
        }
    }
}

/// From a sink that showed a source's buffer, and shows it no more, to the source's queue.
fn released(frame: &Frame, flips: &[Flip]) -> Option<Handoff> {
    let source = frame.visits.first().filter(|_| frame.of_source())?;
    let flip = match frame.visits.get(1).filter(|_| !frame.copied)?.work {
        Work::Flip(number) => flips.get(number)?,
        _ => return None,
    };
    let (from, to) = (flip.until?, frame.at(Stage::Requeued)?);
    if to.stamp.cycles < from.stamp.cycles {
        return None;
    }
    let took = between(from.stamp, to.stamp);
    let mut split = Split::default();
    split.add(Stage::Requeued.component(), took);
    let kind = HandoffKind::new(Leg::Back, Party::Engine(flip.engine), Party::Engine(source.engine));
    Some(Handoff { kind, frame: frame.number, from, to, took, split })
}

/// From the first step to the screen.
fn whole(frame: &Frame) -> Option<(HandoffKind, Vec<Place>)> {
    let last = frame.visits.last().filter(|visit| matches!(visit.work, Work::Flip(_)))?;
    let first = frame.visits.first()?;
    let from = if frame.of_source() { Party::Engine(first.engine) } else { Party::Program };
    let way = frame.steps.iter().filter(|step| step.stage <= Stage::Flip);
    let way: Vec<Place> = way.map(|step| (step.visit, step.stage)).collect();
    let ends = way.last().is_some_and(|(_, stage)| *stage == Stage::Flip);
    // A frame whose begin is not in the trace has no whole journey.
    let begins = !frame.of_source() || frame.at(Stage::FrameStart).is_some();
    (ends && begins).then(|| (HandoffKind::new(Leg::Whole, from, Party::Engine(last.engine)), way))
}

fn one(kind: HandoffKind, path: &[Place], frame: &Frame, flips: &[Flip]) -> Option<Handoff> {
    let when = |(visit, stage): &Place| frame.at_visit(*visit, *stage);
    // What a program gave begins with the first that the trace has of it.
    let begun =
        kind.leg == Leg::Given && frame.visits.first().is_some_and(|v| !matches!(v.work, Work::Capture(_)));
    let first = if begun { path.iter().position(|place| when(place).is_some())? } else { 0 };
    let path = path.get(first..)?;
    let (from, to) = (when(path.first()?)?, when(path.last().filter(|_| path.len() > 1)?)?);
    if to.stamp.cycles < from.stamp.cycles {
        return None;
    }
    let mut split = Split::default();
    let mut before = from.stamp;
    for place in path.get(1..)? {
        let Some(at) = when(place) else { continue };
        // A stage that is not between its neighbours (a fence that was polled before its interrupt) parts nothing.
        if at.stamp.cycles < before.cycles || at.stamp.cycles > to.stamp.cycles {
            continue;
        }
        let (_, stage) = *place;
        let mut begin = before;
        if stage == Stage::Commit
            && let Some(free) = frame.flip.and_then(|flip| screen_free(flip, flips))
            && free.cycles > begin.cycles
            && free.cycles <= at.stamp.cycles
        {
            split.add(Component::Wait, between(begin, free));
            begin = free;
        }
        split.add(stage.component(), between(begin, at.stamp));
        before = at.stamp;
    }
    Some(Handoff { kind, frame: frame.number, from, to, took: between(from.stamp, to.stamp), split })
}

/// When the sink could take this commit: the flip before was done.
fn screen_free(flip: usize, flips: &[Flip]) -> Option<Stamp> {
    flips.get(flip)?.before.map(|before| before.stamp)
}
