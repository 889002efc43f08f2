//! Where a frame's steps, bars and lanes stand.

use crate::Stamp;
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
    Camera,
    Guest,
    Gpu,
    Display,
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
        let mut lanes: Vec<(LaneOf, String)> = [
            (LaneOf::Camera, "camera"),
            (LaneOf::Guest, "guest"),
            (LaneOf::Gpu, "GPU"),
            (LaneOf::Display, "display"),
        ]
        .map(|(lane, name)| (lane, name.to_string()))
        .to_vec();
        for (buffer, what) in [(frame.source, "captured"), (frame.shown, "shown")] {
            let fresh = buffer.filter(|id| !lanes.iter().any(|(lane, _)| *lane == LaneOf::Buffer(*id)));
            lanes.extend(fresh.map(|id| (LaneOf::Buffer(id), format!("buffer {id}, {what}"))));
        }
        let steps = place(frame);
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

    fn of(&self, stage: Stage) -> Option<u64> {
        self.steps.iter().find(|(step, ..)| step.stage == stage).map(|(_, _, x)| *x)
    }

    fn engine_bars(&mut self) {
        let (camera, guest, gpu, display) = (0, 1, 2, 3);
        let mut bars = Vec::new();
        let mut add = |lane, tone, from: Option<u64>, to: Option<u64>, label| {
            if let (Some(from), Some(to)) = (from, to) {
                bars.push(Bar { lane, tone, from, to, label });
            }
        };
        use Stage::*;
        add(camera, Tone::Source, self.of(FrameStart), self.of(FrameEnd), "writes");
        add(gpu, Tone::Processor, self.of(JobStart), self.of(JobEnd), "converts");
        add(display, Tone::Sink, self.of(Latch), Some(RIGHT + 20), "shows");
        let ways: [(&[Stage], &[Stage]); 3] = [
            (&[CaptureDelivered, CaptureHandler], &[GpuDoorbell, FenceMade, Scheduled, Submitted, Dequeued]),
            (&[FenceDelivered, FenceHandler], &[Commit, FenceSignaled]),
            (&[FlipDelivered, FlipHandler], &[FlipEvent, OutFence]),
        ];
        for (from, to) in ways {
            let first = |stages: &[Stage]| stages.iter().find_map(|stage| self.of(*stage));
            add(guest, Tone::Guest, first(from), first(to), "");
        }
        self.bars.extend(bars.into_iter().filter(|bar| bar.from <= bar.to));
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

/// The lane of a stage.
fn lane(stage: Stage) -> usize {
    use Stage::*;
    match stage {
        FrameStart | FrameEnd | CaptureMsi => 0,
        GpuDoorbell | JobStart | JobEnd | FenceWrite | FenceMsi => 2,
        Commit | Latch | Flip | FlipMsi => 3,
        _ => 1,
    }
}

/// Gives each step its lane and its place: the gaps grow with the logarithm of the time.
fn place(frame: &Frame) -> Vec<(Step, usize, u64)> {
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
        placed.push((step, lane(step.stage), LEFT + LEAST * number + room * so_far / all));
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
