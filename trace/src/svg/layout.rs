//! Where a frame's steps, bars and lanes stand.

use crate::Stamp;
use crate::engine::EngineId;
use crate::file::Header;
use crate::journey::{Frame, Journeys, Stage, Step, Use};
use crate::svg::WIDTH;
use crate::timeline::Tone;

/// Where the lanes' times begin, and their width.
const LEFT: u64 = 150;
const RIGHT: u64 = WIDTH - 40;
/// Steps are at least this far from each other.
const LEAST: u64 = 22;

/// What a lane shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneOf {
    Engine(EngineId, Tone),
    Guest,
    /// A buffer, in `Journeys::buffers`.
    Buffer(usize),
}

/// A bar on a lane.
pub(super) struct Bar {
    pub lane: usize,
    pub tone: Tone,
    pub from: u64,
    pub to: u64,
    pub label: &'static str,
}

/// A frame laid out.
pub(super) struct Layout<'a> {
    pub frame: &'a Frame,
    pub lanes: Vec<(LaneOf, String)>,
    /// Steps in the order of time, with their lanes and where they stand.
    pub steps: Vec<(Step, usize, u64)>,
    pub bars: Vec<Bar>,
}

impl<'a> Layout<'a> {
    /// The layout of a frame that has a step.
    pub fn new(frame: &'a Frame, journeys: &Journeys, header: &Header) -> Option<Layout<'a>> {
        let mut lanes = engine_lanes(frame, header);
        for (buffer, what) in [(frame.source, "captured"), (frame.shown, "shown")] {
            let fresh = buffer.filter(|id| !lanes.iter().any(|(lane, _)| *lane == LaneOf::Buffer(*id)));
            lanes.extend(fresh.map(|id| (LaneOf::Buffer(id), format!("buffer {id}, {what}"))));
        }
        let steps = place(frame, &lanes);
        steps.first()?;
        let mut layout = Layout { frame, lanes, steps, bars: Vec::new() };
        layout.engine_bars();
        layout.buffer_bars(journeys, header);
        Some(layout)
    }

    /// How long the journey took, from its first step to what is on the screen, or as far as it came.
    pub fn took(&self) -> (u64, u64) {
        let begin = self.steps.first().map(|(step, ..)| step.at.stamp).unwrap_or_default();
        let last = self.steps.last().map(|(step, ..)| step.at.stamp).unwrap_or_default();
        let end = self.frame.at(Stage::Flip).or(self.frame.at(Stage::Latch)).map_or(last, |at| at.stamp);
        (end.cycles.saturating_sub(begin.cycles), end.ns.saturating_sub(begin.ns))
    }

    /// Where a time stands: on the step of that time, or between its neighbours.
    pub fn x(&self, stamp: Stamp) -> u64 {
        let after = self.steps.iter().position(|(step, ..)| step.at.stamp >= stamp);
        let Some(after) = after else { return RIGHT + 20 };
        let Some((next, _, x)) = self.steps.get(after) else { return RIGHT };
        if next.at.stamp == stamp || after == 0 {
            return *x;
        }
        self.steps.get(after - 1).map_or(*x, |(_, _, before)| u64::midpoint(*before, *x))
    }

    /// Whether a lane is a buffer's.
    pub fn is_buffer(&self, lane: usize) -> bool {
        matches!(self.lanes.get(lane), Some((LaneOf::Buffer(_), _)))
    }

    /// The colour of a lane.
    pub fn tone(&self, lane: usize) -> Tone {
        match self.lanes.get(lane) {
            Some((LaneOf::Engine(_, tone), _)) => *tone,
            _ => Tone::Guest,
        }
    }

    /// What the table calls a step.
    pub fn text(&self, step: &Step, header: &Header) -> String {
        let engine = self.frame.visits.get(step.visit).map(|visit| header.engine_label(visit.engine));
        step.stage.text(&engine.unwrap_or_default())
    }

    fn of(&self, visit: usize, stage: Stage) -> Option<(u64, usize)> {
        let step = self.steps.iter().find(|(step, ..)| step.visit == visit && step.stage == stage);
        step.map(|(_, lane, x)| (*x, *lane))
    }

    /// The engines at work, and the guest between an interrupt and what it does about it.
    fn engine_bars(&mut self) {
        use Stage::*;
        let mut bars = Vec::new();
        for visit in 0..self.frame.visits.len() {
            let x = |stage| self.of(visit, stage).map(|(x, _)| x);
            for (from, to, label) in
                [(FrameStart, FrameEnd, "writes"), (JobStart, JobEnd, "works"), (Latch, Latch, "shows")]
            {
                let Some((begin, lane)) = self.of(visit, from) else { continue };
                let end = if to == from { Some(RIGHT + 20) } else { x(to) };
                bars.extend(end.map(|end| Bar { lane, tone: self.tone(lane), from: begin, to: end, label }));
            }
            // The guest's last step of a visit, and for what a program took the first of the next.
            let ways: [(&[Stage], &[Stage]); 3] = [
                (&[CaptureDelivered, CaptureHandler], &[Dequeued]),
                (&[FenceDelivered, FenceHandler], &[FenceSignaled]),
                (&[FlipDelivered, FlipHandler], &[FlipEvent, OutFence]),
            ];
            for (from, to) in ways {
                let first = |visit, stages: &[Stage]| {
                    stages.iter().find_map(|stage| self.of(visit, *stage)).map(|(x, _)| x)
                };
                let next = || first(visit + 1, &[JobDoorbell, FenceMade, Scheduled, Submitted, Commit]);
                let end =
                    if to.contains(&FlipEvent) { first(visit, to) } else { next().or(first(visit, to)) };
                if let (Some(from), Some(to)) = (first(visit, from), end) {
                    bars.push(Bar { lane: self.guest(), tone: Tone::Guest, from, to, label: "" });
                }
            }
        }
        self.bars.extend(bars.into_iter().filter(|bar| bar.from <= bar.to));
    }

    /// The guest's lane.
    fn guest(&self) -> usize {
        self.lanes.iter().position(|(lane, _)| *lane == LaneOf::Guest).unwrap_or_default()
    }

    fn buffer_bars(&mut self, journeys: &Journeys, header: &Header) {
        let (begin, number) = (self.steps.first().map(|(step, ..)| step.at), self.frame.number);
        let mut bars = Vec::new();
        for (lane, (of, _)) in self.lanes.iter().enumerate() {
            let LaneOf::Buffer(id) = of else { continue };
            let Some(buffer) = journeys.buffers.get(*id) else { continue };
            let holds =
                buffer.holds.iter().filter(|hold| hold.frame == Some(number) && Some(hold.from) >= begin);
            for hold in holds {
                let label = match hold.does {
                    Use::Writes => "written",
                    Use::Reads => "read",
                    Use::Shows => "shown",
                };
                let tone = header.engine(hold.engine).map_or(Tone::Engine, |engine| engine.role.into());
                let to = hold.until.map_or(RIGHT + 20, |until| self.x(until.stamp));
                bars.push(Bar { lane, tone, from: self.x(hold.from.stamp), to, label });
            }
        }
        self.bars.extend(bars);
    }
}

/// Lanes of the engines in the order of the way, the guest's behind the first source's or before all.
fn engine_lanes(frame: &Frame, header: &Header) -> Vec<(LaneOf, String)> {
    let mut lanes: Vec<(LaneOf, String)> = Vec::new();
    for visit in &frame.visits {
        let tone = header.engine(visit.engine).map_or(Tone::Engine, |engine| engine.role.into());
        let lane = LaneOf::Engine(visit.engine, tone);
        if !lanes.iter().any(|(known, _)| *known == lane) {
            lanes.push((lane, header.engine_label(visit.engine)));
        }
    }
    lanes.insert(usize::from(frame.of_source()), (LaneOf::Guest, "guest".to_string()));
    lanes
}

/// The lane of a step.
fn lane(frame: &Frame, step: &Step, lanes: &[(LaneOf, String)]) -> usize {
    use Stage::*;
    let engine = frame.visits.get(step.visit).map(|visit| visit.engine);
    let in_engine = matches!(
        step.stage,
        FrameStart
            | FrameEnd
            | CaptureMsi
            | JobDoorbell
            | JobStart
            | JobEnd
            | FenceWrite
            | FenceMsi
            | Commit
            | Latch
            | Flip
            | FlipMsi
    );
    let is_its = |lane: &LaneOf| match lane {
        LaneOf::Engine(id, _) => in_engine && Some(*id) == engine,
        LaneOf::Guest => !in_engine,
        LaneOf::Buffer(_) => false,
    };
    lanes.iter().position(|(lane, _)| is_its(lane)).unwrap_or_default()
}

/// Gives each step its lane and its place: the gaps grow with the logarithm of the time.
fn place(frame: &Frame, lanes: &[(LaneOf, String)]) -> Vec<(Step, usize, u64)> {
    let mut steps = frame.steps.clone();
    steps.sort_by_key(|step| step.at);
    // In sixteenths of a power of two, as whole numbers, so that the picture is the same everywhere.
    let weight = |pair: &[Step]| match pair {
        [a, b] => log16(b.at.stamp.cycles.saturating_sub(a.at.stamp.cycles)),
        _ => 0,
    };
    let weights: Vec<u64> = steps.windows(2).map(weight).collect();
    let all: u64 = weights.iter().sum::<u64>().max(1);
    let room = (RIGHT - LEFT).saturating_sub(LEAST * weights.len() as u64);
    let mut so_far = 0;
    let mut placed = Vec::with_capacity(steps.len());
    for (number, step) in (0..).zip(steps) {
        placed.push((step, lane(frame, &step, lanes), LEFT + LEAST * number + room * so_far / all));
        so_far += weights.get(number as usize).copied().unwrap_or(0);
    }
    placed
}

/// 16 times the logarithm of 1 + `number` to base 2, by straight lines between the powers of two; small gaps count for nothing.
fn log16(number: u64) -> u64 {
    let power = u64::from(number.saturating_add(1).ilog2());
    let part = ((u128::from(number) + 1 - (1u128 << power)) * 16) >> power;
    (power * 16 + part as u64).saturating_sub(6 * 16)
}
