//! The picture of made-up machines, whose truth is known.

use super::*;
use crate::event::Event;
use crate::guest::GuestEvent;
use crate::journey::Stage;
use crate::journey::synthetic::Machine;
use crate::{Record, Stamp};

/// A name that a guest might give a thread to break a page.
pub(crate) const HOSTILE: &str = "</script><img src=x onerror=alert(1)>&\"'\u{202e}\u{1}";

/// A machine that sent `frames` frames to the screen.
pub(crate) fn machine(frames: u32, guest: bool) -> Machine {
    let mut machine = Machine::new(guest);
    for index in 0..4 {
        machine.queue(u64::from(index), index);
    }
    let mut now = 1000;
    for frame in 0..frames {
        let gaps = std::array::from_fn(|step| 7 + (step as u64 * 37 + u64::from(frame) * 11) % 300);
        now = machine.journey(now, frame % 4, u64::from(frame % 3), &gaps) + 50;
    }
    machine
}

/// Its trace, with a thread of a hostile name and a job that never ends.
pub(crate) fn trace(frames: u32, guest: bool) -> TraceFile {
    let mut trace = machine(frames, guest).trace();
    trace.tasks.insert(100, HOSTILE.to_string());
    let last = trace.records.last().map(|one| one.stamp).unwrap_or_default();
    let late = Stamp { cycles: last.cycles + 10, ns: last.ns + 30 };
    let start = Event::JobStart {
        engine: crate::testing::GPU_ENGINE,
        queue: 1,
        seqno: 9,
        kind: crate::JobKind::SemaphoreWait,
    };
    trace.records.push(Record { stamp: late, event: start });
    let unknown = GuestEvent { format: 9999, cpu: 0, pid: 7, values: vec![Value::Bytes(vec![0, 255])] };
    let later = Stamp { cycles: late.cycles + 10, ns: late.ns + 30 };
    trace.records.push(Record { stamp: later, event: Event::Guest(Box::new(unknown)) });
    trace
}

fn timeline(frames: u32, guest: bool) -> (TraceFile, Journeys, Timeline) {
    let trace = trace(frames, guest);
    let journeys = Journeys::build(&trace);
    let timeline = Timeline::build(&trace, &journeys);
    (trace, journeys, timeline)
}

fn lane<'a>(timeline: &'a Timeline, name: &str) -> &'a Lane {
    timeline.lanes.iter().find(|lane| lane.name == name).unwrap_or_else(|| panic!("lane {name}"))
}

#[test]
fn engines_worked_when_the_machine_says_they_did() {
    let truth = machine(9, true).truth;
    let (_, _, timeline) = timeline(9, true);
    let spans = |name: &str, word: &str| -> Vec<(u64, u64)> {
        let slices = lane(&timeline, name).rows.iter().flatten();
        let of = slices.filter(|slice| slice.name.contains(word));
        of.map(|slice| (slice.from.stamp.cycles, slice.to.stamp.cycles)).collect()
    };
    let pairs = |from, to| (0..9).map(|f| (truth[&(f, from)], truth[&(f, to)])).collect::<Vec<_>>();
    assert_eq!(spans("camera", "frame"), pairs(Stage::FrameStart, Stage::FrameEnd));
    assert_eq!(spans("gpu ring 0", "convert"), pairs(Stage::JobStart, Stage::JobEnd));
    let shown = spans("display", "commit");
    assert_eq!(shown.len(), 9);
    for frame in 0..8 {
        let next = truth[&(frame + 1, Stage::Latch)];
        assert_eq!(shown[frame], (truth[&(frame, Stage::Latch)], next));
    }
    let waits = lane(&timeline, "gpu ring 1").rows.iter().flatten().collect::<Vec<_>>();
    assert!(matches!(waits[..], [slice] if slice.open && slice.to == timeline.span.1), "{waits:?}");
    let fences = lane(&timeline, "gpu ring, context 17, gpu ring 0");
    let fences = fences.rows.iter().flatten().map(|s| (s.from.stamp.cycles, s.to.stamp.cycles));
    assert_eq!(fences.collect::<Vec<_>>(), pairs(Stage::FenceMade, Stage::FenceSignaled));
}

#[test]
fn nothing_in_a_row_overlaps_and_arrows_run_forward() {
    for guest in [false, true] {
        let (_, journeys, timeline) = timeline(30, guest);
        for row in timeline.lanes.iter().flat_map(|lane| &lane.rows) {
            assert!(row.iter().all(|slice| slice.from <= slice.to));
            assert!(row.windows(2).all(|pair| pair[0].to <= pair[1].from));
        }
        for arrow in &timeline.arrows {
            let (from, to) =
                (timeline.place(arrow.from).expect("there"), timeline.place(arrow.to).expect("there"));
            assert!(from.0 <= to.0, "{arrow:?}");
        }
        // Camera, interrupt, GPU, interrupt, display, interrupt; the guest adds what it did between them.
        let hands = if guest { 10 } else { 6 };
        for frame in 0..journeys.frames.len() {
            let arrows = timeline.arrows.iter().filter(|arrow| arrow.frame == frame);
            assert_eq!(arrows.count(), hands - 1, "frame {frame}");
        }
    }
}

#[test]
fn buffers_go_from_hand_to_hand() {
    let (_, _, timeline) = timeline(8, true);
    let buffers: Vec<_> = timeline.lanes.iter().filter(|lane| lane.group == Group::Buffers).collect();
    assert_eq!(buffers.len(), 7, "four capture buffers and three screens");
    let names = |lane: &Lane| {
        let mut slices: Vec<&Slice> = lane.rows.iter().flatten().collect();
        slices.sort_by_key(|slice| slice.from);
        slices.iter().map(|slice| slice.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(buffers[0]), ["camera writes", "gpu reads", "camera writes", "gpu reads"]);
    let screen = buffers.iter().find(|lane| names(lane).contains(&"display shows".to_string()));
    assert_eq!(names(screen.expect("a screen"))[..2], ["gpu writes", "display shows"]);
}

#[test]
fn a_counter_counts_what_is_under_way() {
    let (_, _, timeline) = timeline(5, true);
    let frames = &timeline.counters[0];
    let values: Vec<u64> = frames.points.iter().map(|(_, value)| *value).collect();
    assert_eq!(values, [1, 0, 1, 0, 1, 0, 1, 0, 1, 0]);
    assert!(timeline.counters.iter().any(|counter| counter.name.contains("context 17")));
}

#[test]
fn an_empty_trace_has_an_empty_picture() {
    let mut trace = machine(0, false).trace();
    trace.records.clear();
    let timeline = Timeline::build(&trace, &Journeys::build(&trace));
    assert!(timeline.lanes.is_empty() && timeline.arrows.is_empty() && timeline.counters.is_empty());
}

#[test]
fn an_interrupt_whose_end_is_not_traced_takes_no_time() {
    let mut machine = machine(2, false);
    for cycles in [20_000, 21_000, 22_000] {
        machine.tick(cycles);
    }
    let trace = machine.trace();
    let timeline = Timeline::build(&trace, &Journeys::build(&trace));
    let cpu = lane(&timeline, "CPU 0: interrupts");
    assert_eq!(cpu.rows.len(), 1);
    let ticks = cpu.rows.iter().flatten().filter(|slice| slice.name == "vector 0xec");
    assert!(ticks.map(|slice| slice.to.stamp.cycles - slice.from.stamp.cycles).eq([0, 0, 0]));
}

#[test]
fn faults_and_marks_stand_where_they_took_place() {
    use crate::FaultKind;
    let mut trace = trace(2, false);
    let stamp = |ns| Stamp { cycles: ns, ns };
    let last = trace.records.last().map(|one| one.stamp.ns).unwrap_or_default();
    let gpu = crate::testing::GPU_ENGINE.rid;
    for (after, rid, kind, occasion) in
        [(1, gpu, FaultKind::OutOfOrder, 7), (2, 0, FaultKind::Stale, 1), (3, gpu, FaultKind::Hang, 2)]
    {
        trace
            .records
            .push(Record { stamp: stamp(last + after), event: Event::Fault { rid, kind, occasion } });
    }
    trace.records.push(Record { stamp: stamp(last + 4), event: Event::Mark { text: HOSTILE.into() } });
    let timeline = Timeline::build(&trace, &Journeys::build(&trace));
    let marks = |name: &str| -> Vec<(String, u64)> {
        lane(&timeline, name).marks.iter().map(|mark| (mark.name.clone(), mark.at.stamp.ns - last)).collect()
    };
    assert_eq!(marks("faults of gpu"), [("out-of-order".into(), 1), ("hang".into(), 3)]);
    assert_eq!(marks("faults of iommu"), [("stale".into(), 2)]);
    assert_eq!(marks("marks"), [(HOSTILE.to_string(), 4)]);
    let faults = lane(&timeline, "faults of gpu");
    assert!(faults.marks.iter().all(|mark| mark.tone == Tone::Bad && mark.details.len() == 1));
}
