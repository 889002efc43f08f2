//! A trace as lanes of slices and marks with arrows between them: what every picture of it is drawn from.
//!
//! [`Timeline::build`] is the one place that decides what stands where; [`crate::perfetto`], [`crate::html`] and [`crate::svg`] only
//! write it down. `docs/trace-outputs.md` says what each lane means.

mod arrows;
mod buffers;
mod cpu;
mod engines;
mod faults;
mod guest;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::file::TraceFile;
use crate::guest::Value;
use crate::journey::{At, Journeys};
use crate::{EngineId, Role};

/// What a lane is about. Lanes stand in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Group {
    /// Devices at work.
    Engines,
    /// Whose each buffer was.
    Buffers,
    /// Fences of the guest's kernel.
    Fences,
    /// The hand-offs of the frames.
    Handoffs,
    /// From a function's message to the CPU.
    Interrupts,
    /// The CPU: interrupts in service, exits, the guest's handlers.
    Cpu,
    /// The guest's threads.
    Guest,
}

impl Group {
    /// All of them, in order.
    pub const ALL: [Group; 7] = [
        Group::Engines,
        Group::Buffers,
        Group::Fences,
        Group::Handoffs,
        Group::Interrupts,
        Group::Cpu,
        Group::Guest,
    ];

    /// Its name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Group::Engines => "Engines",
            Group::Buffers => "Buffers",
            Group::Fences => "Fence timelines",
            Group::Handoffs => "Hand-offs",
            Group::Interrupts => "Interrupts",
            Group::Cpu => "CPU",
            Group::Guest => "Guest threads",
        }
    }
}

/// What a slice is coloured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Tone {
    /// Engines that make content.
    Source,
    /// Engines that make content from content.
    Processor,
    /// Engines that show content.
    Sink,
    /// Engines of any other role.
    Engine,
    /// The guest's.
    Guest,
    /// Fences.
    Fence,
    /// Interrupts.
    Interrupt,
    /// Something was lost or went wrong.
    Bad,
}

impl Tone {
    /// All of them, in order.
    pub const ALL: [Tone; 8] = [
        Tone::Source,
        Tone::Processor,
        Tone::Sink,
        Tone::Engine,
        Tone::Guest,
        Tone::Fence,
        Tone::Interrupt,
        Tone::Bad,
    ];

    /// Its colour, readable on white and on near-black.
    pub fn colour(self) -> &'static str {
        match self {
            Tone::Source => "#2b9a66",
            Tone::Processor => "#d9730d",
            Tone::Sink => "#3b82f6",
            Tone::Engine => "#0d9488",
            Tone::Guest => "#8b5cf6",
            Tone::Fence => "#c2479f",
            Tone::Interrupt => "#b08900",
            Tone::Bad => "#e5484d",
        }
    }
}

impl From<Role> for Tone {
    fn from(role: Role) -> Tone {
        match role {
            Role::Source => Tone::Source,
            Role::Processor => Tone::Processor,
            Role::Sink => Tone::Sink,
            Role::Storage | Role::Other => Tone::Engine,
        }
    }
}

/// A named value of a slice or mark.
pub type Detail = (String, Value);

/// A time in which something went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// What.
    pub name: String,
    /// Its colour.
    pub tone: Tone,
    /// Its begin.
    pub from: At,
    /// Its end, the trace's when `open`.
    pub to: At,
    /// The trace does not have its end.
    pub open: bool,
    /// The frame it is for, in [`Journeys::frames`].
    pub frame: Option<usize>,
    /// More about it.
    pub details: Vec<Detail>,
}

/// Something that took no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What.
    pub name: String,
    /// Its colour.
    pub tone: Tone,
    /// When.
    pub at: At,
    /// The frame it is for, in [`Journeys::frames`].
    pub frame: Option<usize>,
    /// More about it.
    pub details: Vec<Detail>,
}

/// One line of the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// What it is about.
    pub group: Group,
    /// Its name, which may have words of the guest's in it.
    pub name: String,
    /// What its slices mean.
    pub about: &'static str,
    /// Slices by time; in one row none overlaps the next, so what overlaps stands in rows below each other.
    pub rows: Vec<Vec<Slice>>,
    /// Marks by time.
    pub marks: Vec<Mark>,
}

/// A number over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its name.
    pub name: String,
    /// Each new value, by time.
    pub points: Vec<(At, u64)>,
}

/// A slice or mark of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The lane, in [`Timeline::lanes`].
    pub lane: usize,
    /// The row of a slice; `None` for a mark.
    pub row: Option<usize>,
    /// Its place in the row or among the marks.
    pub item: usize,
}

/// A hand-off: what is at `to` came about through what is at `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// The frame it is for, in [`Journeys::frames`].
    pub frame: usize,
    /// Where it begins.
    pub from: Spot,
    /// Where it ends: not before it begins.
    pub to: Spot,
}

/// The whole picture.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// Lanes in their order.
    pub lanes: Vec<Lane>,
    /// Counters.
    pub counters: Vec<Counter>,
    /// Arrows by frame and time.
    pub arrows: Vec<Arrow>,
    /// Where the trace begins and ends.
    pub span: (At, At),
}

impl Timeline {
    /// The picture of a trace.
    pub fn build(trace: &TraceFile, journeys: &Journeys) -> Timeline {
        let at = |record: usize| At {
            stamp: trace.records.get(record).map(|one| one.stamp).unwrap_or_default(),
            record,
        };
        let span = (at(0), at(trace.records.len().saturating_sub(1)));
        let scene = Scene { trace, journeys, frames: FrameIndex::new(journeys), end: span.1 };
        let mut lanes = engines::lanes(&scene);
        lanes.extend(faults::lanes(&scene));
        lanes.extend(buffers::lanes(&scene));
        lanes.extend(guest::fence_lanes(&scene));
        lanes.extend(buffers::handoff_lanes(&scene));
        lanes.extend(cpu::lanes(&scene));
        lanes.extend(guest::thread_lanes(&scene));
        lanes.retain(|lane| !lane.rows.is_empty() || !lane.marks.is_empty());
        let arrows = arrows::between(journeys, &lanes);
        let counters = guest::counters(&scene);
        Timeline { lanes, counters, arrows, span }
    }

    /// Begin, end, and tone of what is at a spot.
    pub fn place(&self, spot: Spot) -> Option<(At, At, Tone)> {
        let lane = self.lanes.get(spot.lane)?;
        match spot.row {
            Some(row) => lane.rows.get(row)?.get(spot.item).map(|s| (s.from, s.to, s.tone)),
            None => lane.marks.get(spot.item).map(|m| (m.at, m.at, m.tone)),
        }
    }
}

/// What lanes are made from.
struct Scene<'a> {
    trace: &'a TraceFile,
    journeys: &'a Journeys,
    frames: FrameIndex,
    end: At,
}

impl Scene<'_> {
    /// A slice whose end may be missing from the trace.
    fn slice(&self, name: impl Into<String>, tone: Tone, from: At, to: Option<At>) -> Slice {
        Slice {
            name: name.into(),
            tone,
            from,
            to: to.filter(|to| *to >= from).unwrap_or(self.end.max(from)),
            open: to.is_none(),
            frame: None,
            details: Vec::new(),
        }
    }

    /// The colour of an engine.
    fn tone(&self, engine: EngineId) -> Tone {
        self.trace.header.engine(engine).map_or(Tone::Engine, |engine| engine.role.into())
    }
}

/// Which frame a record, job or flip is for.
struct FrameIndex {
    of_record: BTreeMap<usize, usize>,
}

impl FrameIndex {
    fn new(journeys: &Journeys) -> FrameIndex {
        let mut of_record = BTreeMap::new();
        for frame in &journeys.frames {
            for step in &frame.steps {
                of_record.entry(step.at.record).or_insert(frame.number);
            }
        }
        FrameIndex { of_record }
    }

    fn of(&self, at: At) -> Option<usize> {
        self.of_record.get(&at.record).copied()
    }
}

impl Slice {
    fn detail(mut self, name: &str, value: impl Into<Value>) -> Slice {
        self.details.push((name.to_string(), value.into()));
        self
    }

    fn of_frame(mut self, frame: Option<usize>) -> Slice {
        self.frame = frame;
        self
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Value {
        Value::Unsigned(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Text(value.to_string())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::Text(value)
    }
}

impl Lane {
    /// A lane of slices that may overlap, in any order, and marks in any order.
    fn new(
        group: Group,
        name: impl Into<String>,
        about: &'static str,
        slices: Vec<Slice>,
        marks: Vec<Mark>,
    ) -> Lane {
        let mut marks = marks;
        marks.sort_by_key(|mark| mark.at);
        Lane { group, name: name.into(), about, rows: rows(slices), marks }
    }
}

/// Puts each slice into the first row that is free at its begin.
fn rows(mut slices: Vec<Slice>) -> Vec<Vec<Slice>> {
    slices.sort_by_key(|slice| (slice.from, slice.to));
    let mut rows: Vec<Vec<Slice>> = Vec::new();
    for slice in slices {
        let free = rows.iter_mut().find(|row| row.last().is_none_or(|last| last.to <= slice.from));
        match free {
            Some(row) => row.push(slice),
            None => rows.push(vec![slice]),
        }
    }
    rows
}
