//! What `fencepost trace` says of a trace: a report, the difference of two, the events of one frame, buffer or fence.
//!
//! The schemas of the JSON forms are in `docs/trace-report.md`; each names itself and its version in `schema`.

mod converted;
mod describe;
mod diff;
mod jsonl;
mod query;
mod text;
mod waits;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::Stamp;
use crate::event::{Accel, Category};
use crate::file::{Header, TraceFile};
use crate::journey::{
    At, Buffer, Component, Frame, Handoff, HandoffKind, InterruptLine, Journeys, Leg, Outcome, Rule, Side,
    Split, Stage, Step,
};

pub use converted::Converted;
pub use describe::{describe, event_name};
pub use diff::{Change, Diff, Verdict};
pub use jsonl::{Line, write as write_jsonl};
pub use query::{Found, Query, QueryError, QueryHead, find};
pub use waits::WaitLine;

/// The report's schema.
pub const SCHEMA: &str = "fencepost-trace-report/2";

/// One kind of hand-off over all frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Which: lower case, words joined by hyphens.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Which part of the way it is.
    pub leg: Leg,
    /// How many there were.
    pub count: usize,
    /// The sum of all.
    pub total: Stamp,
    /// Half took no longer (nearest rank).
    pub p50: Stamp,
    /// 99 of 100 took no longer (nearest rank).
    pub p99: Stamp,
    /// The longest.
    pub worst: Stamp,
    /// The frame whose was the longest; the first of several.
    pub worst_frame: usize,
    /// Where the time of all went.
    pub split: Split,
}

/// A step of a frame as outputs show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepLine {
    /// The stage.
    pub stage: Stage,
    /// Its name.
    pub name: String,
    /// Who saw it.
    pub side: Side,
    /// When.
    pub at: Stamp,
    /// How long after the step before it in time.
    pub after: Stamp,
    /// What that time was spent on.
    pub component: Component,
}

/// A frame as outputs show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FrameLine {
    /// [`Frame::number`].
    pub number: usize,
    /// The engines that had it, in their order.
    pub engines: Vec<String>,
    /// A program copied it on the way: inferred.
    pub copied: bool,
    /// The source's number for it; absent for what began with a program.
    pub sequence: Option<u32>,
    /// How it ended.
    pub outcome: Outcome,
    /// Its way to the screen.
    pub took: Option<Stamp>,
    /// Its steps in the order of time.
    pub steps: Vec<StepLine>,
}

/// An event that a violation is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventLine {
    /// When.
    pub at: Stamp,
    /// The record's place in the trace.
    pub record: usize,
    /// What happened, in words.
    pub event: String,
}

/// A violation as outputs show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ViolationLine {
    /// The rule.
    pub rule: Rule,
    /// What happened, in words.
    pub says: String,
    /// What should have come first.
    pub cause: Option<EventLine>,
    /// What came too early.
    pub effect: EventLine,
    /// The frame.
    pub frame: Option<usize>,
    /// The buffer.
    pub buffer: Option<usize>,
}

/// What was lost and what is damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Losses {
    /// Whether the file has its end.
    pub complete: bool,
    /// Events that the recorder lost; absent from a file without end.
    pub events: Option<u64>,
    /// Events that the guest lost.
    pub guest_events: Option<u64>,
    /// Events that came when the file had reached its limit.
    pub beyond_limit: Option<u64>,
    /// What cannot be read, in words.
    pub damage: Vec<String>,
}

/// How many frames ended how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FrameCounts {
    /// All.
    pub total: usize,
    /// With every stage.
    pub complete: usize,
    /// By outcome, in words.
    pub outcomes: BTreeMap<&'static str, usize>,
    /// By the engines that had them, in their order and in words.
    pub ways: BTreeMap<String, usize>,
    /// Those with a stage that is missing and should not be: number, stage, and the stage in words.
    pub missing: Vec<(usize, Stage, String)>,
}

/// A buffer as outputs show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BufferLine {
    /// Its number, which a query takes.
    pub id: usize,
    /// Bytes of its pages.
    pub bytes: u64,
    /// Inodes of its dma-bufs.
    pub inodes: Vec<u64>,
    /// The functions that accessed it.
    pub functions: Vec<String>,
}

/// A counter as outputs show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CounterLine {
    /// Who counts.
    pub of: String,
    /// What.
    pub name: String,
    /// How many; absent from a file without end.
    pub value: Option<u64>,
}

/// A trace in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// What the stamps are worth.
    pub stamps: String,
    /// The back end that the machine started on.
    pub accel: Accel,
    /// Guest cycles a second.
    pub tsc_hz: u64,
    /// `--seed`.
    pub seed: Option<u64>,
    /// The cycle of the snapshot from which the machine went on, if it did.
    pub snapshot: Option<u64>,
    /// Whether an idle guest's clock went as the host's, where the trace says so.
    pub paced: Option<bool>,
    /// What was counted.
    pub counters: Vec<CounterLine>,
    /// Cost models.
    pub costs: Vec<(String, String)>,
    /// What was traced.
    pub categories: Vec<&'static str>,
    /// Records by category.
    pub records: BTreeMap<&'static str, u64>,
    /// What is not there.
    pub lost: Losses,
    /// Whether the guest's own tracepoints are in the trace.
    pub guest: bool,
    /// Frames.
    pub frames: FrameCounts,
    /// Hand-offs, those that happened.
    pub handoffs: Vec<Summary>,
    /// Who waited for whose fences, the longest sums first.
    pub waits: Vec<WaitLine>,
    /// The frame with the longest whole journey.
    pub worst_frame: Option<FrameLine>,
    /// Buffers.
    pub buffers: Vec<BufferLine>,
    /// Message interrupts.
    pub interrupts: Vec<InterruptLine>,
    /// Events before their cause.
    pub violations: Vec<ViolationLine>,
}

impl Report {
    /// Sums up `trace`, whose journeys are `journeys`.
    pub fn new(trace: &TraceFile, journeys: &Journeys) -> Report {
        let worst_frame = journeys.longest().and_then(|handoff| {
            journeys.frames.get(handoff.frame).map(|frame| frame_line(trace, frame, Some(handoff.took)))
        });
        Report {
            schema: SCHEMA,
            stamps: trace.stamps(),
            accel: trace.header.accel,
            tsc_hz: trace.header.tsc_hz,
            seed: trace.header.seed,
            snapshot: trace.header.snapshot,
            paced: trace.header.paced,
            counters: counters(trace),
            costs: trace.header.costs.clone(),
            categories: trace.header.categories.iter().copied().map(Category::name).collect(),
            records: records(trace),
            lost: Losses::of(trace),
            guest: journeys.guest,
            frames: FrameCounts::of(&journeys.frames, &trace.header),
            handoffs: summaries(trace, journeys),
            waits: waits::waits(trace, journeys),
            worst_frame,
            buffers: journeys.buffers.iter().map(|buffer| buffer_line(trace, buffer)).collect(),
            interrupts: journeys.interrupts.clone(),
            violations: journeys.violations.iter().map(|v| violation_line(trace, journeys, v)).collect(),
        }
    }

    /// What `--check` objects to, one line each: violations, frames that lost a stage, fewer than `least` complete frames,
    /// lost events, damage.
    pub fn objections(&self, least: usize) -> Vec<String> {
        let mut all = Vec::new();
        let mut object = |count: usize, what: &str| {
            if count > 0 {
                all.push(format!("{count} {what}"));
            }
        };
        object(self.violations.len(), &format!("violations of causality ({})", self.broken_rules()));
        object(self.frames.missing.len(), "frames lack a stage that later frames have");
        object(self.lost.events.unwrap_or(0) as usize, "events were lost");
        object(self.lost.guest_events.unwrap_or(0) as usize, "events were lost by the guest");
        object(
            self.lost.beyond_limit.unwrap_or(0) as usize,
            "events came when the file had reached its limit",
        );
        object(self.lost.damage.len(), "places of the file are damaged");
        if self.frames.complete < least {
            all.push(format!("{} complete journeys, {least} wanted", self.frames.complete));
        }
        all
    }

    /// The rules that are broken, each once.
    fn broken_rules(&self) -> String {
        let rules: BTreeSet<Rule> = self.violations.iter().map(|violation| violation.rule).collect();
        rules.into_iter().map(Rule::name).collect::<Vec<_>>().join(", ")
    }

    /// Writes it for people.
    pub fn write_text(&self, out: &mut impl std::io::Write) -> std::io::Result<()> {
        text::write(self, out)
    }
}

/// All counters.
fn counters(trace: &TraceFile) -> Vec<CounterLine> {
    let line = |(of, name, value): (&str, &str, _)| CounterLine { of: of.into(), name: name.into(), value };
    trace.counters().map(line).collect()
}

/// Records by category.
fn records(trace: &TraceFile) -> BTreeMap<&'static str, u64> {
    let mut records = BTreeMap::new();
    for record in &trace.records {
        *records.entry(record.event.category().name()).or_default() += 1;
    }
    records
}

impl Losses {
    /// All events that are known to be missing.
    fn all(&self) -> u64 {
        let each = [self.events, self.guest_events, self.beyond_limit];
        each.into_iter().flatten().fold(0, u64::saturating_add)
    }

    fn of(trace: &TraceFile) -> Losses {
        Losses {
            complete: trace.totals.is_some(),
            events: trace.totals.map(|totals| totals.lost),
            guest_events: trace.totals.map(|totals| totals.guest_lost),
            beyond_limit: trace.totals.map(|totals| totals.beyond_limit),
            damage: trace.damage.iter().map(ToString::to_string).collect(),
        }
    }
}

impl FrameCounts {
    fn of(frames: &[Frame], header: &Header) -> FrameCounts {
        let mut outcomes = BTreeMap::new();
        for frame in frames {
            *outcomes.entry(frame.outcome.name()).or_default() += 1;
        }
        let missing = frames.iter().filter_map(|frame| match frame.outcome {
            Outcome::Missing(stage) => Some((frame.number, stage, frame.stage_text(stage, header))),
            _ => None,
        });
        FrameCounts {
            total: frames.len(),
            complete: frames.iter().filter(|frame| frame.outcome == Outcome::Complete).count(),
            missing: missing.collect(),
            ways: ways(frames, header),
            outcomes,
        }
    }
}

/// The element of `sorted` that `percent` of all do not exceed: the nearest rank. `sorted` is not empty.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// How many frames went which way.
fn ways(frames: &[Frame], header: &Header) -> BTreeMap<String, usize> {
    let mut ways = BTreeMap::new();
    for frame in frames {
        *ways.entry(way(frame, header).join(" -> ")).or_default() += 1;
    }
    ways
}

/// Who had a frame, in their order and in words.
pub fn way(frame: &Frame, header: &Header) -> Vec<String> {
    let mut names: Vec<String> = frame.visits.iter().map(|visit| header.engine_label(visit.engine)).collect();
    let program = || "program".to_string();
    if !frame.of_source() {
        names.insert(0, program());
    } else if frame.copied {
        names.insert(names.len().min(1), "program (copies)".to_string());
    } else if names.len() == 1 && frame.at(Stage::Dequeued).is_some() {
        names.push(program());
    }
    names
}

/// All kinds of hand-offs, in the order of the way.
fn summaries(trace: &TraceFile, journeys: &Journeys) -> Vec<Summary> {
    let mut kinds: BTreeMap<HandoffKind, Vec<&Handoff>> = BTreeMap::new();
    for handoff in &journeys.handoffs {
        kinds.entry(handoff.kind).or_default().push(handoff);
    }
    kinds.into_iter().filter_map(|(kind, all)| summary(kind, &all, &trace.header)).collect()
}

fn summary(kind: HandoffKind, all: &[&Handoff], header: &Header) -> Option<Summary> {
    let worst = all.iter().max_by_key(|handoff| (handoff.took.cycles, std::cmp::Reverse(handoff.frame)))?;
    let sorted = |of: fn(Stamp) -> u64| {
        let mut times: Vec<u64> = all.iter().map(|handoff| of(handoff.took)).collect();
        times.sort_unstable();
        times
    };
    let (cycles, ns) = (sorted(|took| took.cycles), sorted(|took| took.ns));
    let at = |percent| Stamp { cycles: percentile(&cycles, percent), ns: percentile(&ns, percent) };
    let sum = |times: &[u64]| times.iter().fold(0u64, |sum, time| sum.saturating_add(*time));
    let mut split = Split::default();
    for handoff in all {
        for component in Component::ALL {
            split.add(component, handoff.split.part(component));
        }
    }
    Some(Summary {
        kind: kind.key(header),
        name: kind.name(header),
        leg: kind.leg,
        count: all.len(),
        total: Stamp { cycles: sum(&cycles), ns: sum(&ns) },
        p50: at(50),
        p99: at(99),
        worst: at(100),
        worst_frame: worst.frame,
        split,
    })
}

/// A frame with its steps in the order of time.
pub fn frame_line(trace: &TraceFile, frame: &Frame, took: Option<Stamp>) -> FrameLine {
    let mut steps: Vec<&Step> = frame.steps.iter().collect();
    steps.sort_by_key(|step| (step.at.stamp, step.visit, step.stage));
    let mut before = steps.first().map(|step| step.at.stamp).unwrap_or_default();
    let lines = steps.into_iter().map(|step| {
        let at = step.at.stamp;
        let after = crate::journey::between(std::mem::replace(&mut before, at), at);
        let stage = step.stage;
        let engine = frame.visits.get(step.visit).map(|visit| trace.header.engine_label(visit.engine));
        let name = stage.text(&engine.unwrap_or_default());
        StepLine { stage, name, side: stage.side(), at, after, component: stage.component() }
    });
    let steps = lines.collect();
    FrameLine {
        number: frame.number,
        engines: frame.visits.iter().map(|visit| trace.header.engine_label(visit.engine)).collect(),
        copied: frame.copied,
        sequence: frame.sequence,
        outcome: frame.outcome,
        took,
        steps,
    }
}

fn buffer_line(trace: &TraceFile, buffer: &Buffer) -> BufferLine {
    BufferLine {
        id: buffer.id,
        bytes: buffer.bytes(),
        inodes: buffer.dma_bufs.iter().map(|name| name.inode).collect(),
        functions: buffer.mappings.iter().map(|mapping| trace.header.function_label(mapping.rid)).collect(),
    }
}

fn violation_line(
    trace: &TraceFile,
    journeys: &Journeys,
    violation: &crate::journey::Violation,
) -> ViolationLine {
    let line = |at: At| EventLine {
        at: at.stamp,
        record: at.record,
        event: trace.records.get(at.record).map(|record| describe(trace, record)).unwrap_or_default(),
    };
    let frame = violation.frame.and_then(|frame| journeys.frames.get(frame));
    let says = match violation.stages.zip(frame) {
        Some(((cause, effect), frame)) => {
            let [cause, effect] = [cause, effect].map(|stage| frame.stage_text(stage, &trace.header));
            format!("\"{effect}\" stands before \"{cause}\"")
        }
        None => violation.rule.says().to_string(),
    };
    ViolationLine {
        rule: violation.rule,
        says,
        cause: violation.cause.map(line),
        effect: line(violation.effect),
        frame: violation.frame,
        buffer: violation.buffer,
    }
}
