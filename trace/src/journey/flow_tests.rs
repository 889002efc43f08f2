//! Journeys of flows of other shapes than the one from camera through GPU to display.

use super::synthetic::{CAMERA, CONTEXT, DISPLAY, GPU, Machine, SCREEN_PAGES, SOURCE_PAGES};
use super::*;
use crate::engine::{EngineId, Role};
use crate::event::{Event, JobKind};
use crate::file::TraceFile;
use crate::guest::Value;
use crate::report::{Report, way};
use crate::testing::{CAMERA_ENGINE, DISPLAY_ENGINE, GPU_ENGINE, function};

/// A camera at `engine` writes the pages from `page` on into buffer `index` of vb2 queue `owner`; the program takes it at the end.
fn capture(
    machine: &mut Machine,
    engine: EngineId,
    now: u64,
    sequence: u32,
    (owner, index, page): (u64, u32, u64),
) -> u64 {
    let queue = |machine: &mut Machine, at, name| {
        machine.guest(at, name, 100, vec![Value::Unsigned(owner), Value::Unsigned(index.into())]);
    };
    queue(machine, now, "vb2_buf_queue");
    machine.host(now + 10, Event::FrameStart { engine, sequence, buffer: Some(index) });
    machine.dma(now + 60, engine.rid, true, page, SOURCE_PAGES);
    let bytes = (SOURCE_PAGES * PAGE_BYTES) as u32;
    machine.host(now + 60, Event::FrameEnd { engine, sequence, buffer: index, bytes, crc: 1 });
    machine.host(now + 60, Event::MsiRaised { rid: engine.rid, vector: 0 });
    let irq = u64::from(engine.rid);
    let handler = vec![Value::Unsigned(irq), Value::Text(format!("source {irq}"))];
    machine.guest(now + 70, "irq_handler_entry", 0, handler);
    queue(machine, now + 80, "vb2_buf_done");
    queue(machine, now + 100, "vb2_dqbuf");
    now + 100
}

/// A commit of the pages from `page` on, latched after 500 cycles and read then; the program has the flip's event at the end.
fn show(machine: &mut Machine, now: u64, commit: u64, (page, pages): (u64, u64)) -> u64 {
    let engine = DISPLAY_ENGINE;
    machine.host(now, Event::Doorbell { engine, queue: 0, tail: commit });
    machine.host(now + 500, Event::Latch { engine, frame: commit, commit });
    machine.host(now + 500, Event::Flip { engine, frame: commit, flip: commit });
    machine.host(now + 500, Event::MsiRaised { rid: DISPLAY, vector: 1 });
    let handler = vec![Value::Unsigned(31), Value::Text("display".into())];
    machine.guest(now + 520, "irq_handler_entry", 0, handler);
    machine.guest(now + 530, "drm_vblank_event_delivered", 0, [1, 0, commit].map(Value::Unsigned).to_vec());
    machine.dma(now + 540, DISPLAY, false, page, pages);
    machine.host(now + 540, Event::ScanOut { engine, frame: commit, crc: 9 });
    now + 540
}

/// A job from `from` to `to`, with its fence; `None` reads nothing.
fn job(machine: &mut Machine, engine: EngineId, now: u64, seqno: u64, (from, to): (Option<u64>, u64)) -> u64 {
    let queue = 0;
    machine.host(now + 4, Event::Doorbell { engine, queue, tail: 2 * seqno });
    let kind = JobKind::Convert;
    machine.host(now + 5, Event::JobStart { engine, queue, seqno, kind });
    if let Some(from) = from {
        machine.dma(now + 50, engine.rid, false, from, SOURCE_PAGES);
    }
    machine.dma(now + 50, engine.rid, true, to, SCREEN_PAGES);
    machine.host(now + 50, Event::JobEnd { engine, queue, seqno, ok: true });
    machine.host(now + 50, Event::JobStart { engine, queue, seqno, kind: JobKind::Fence });
    machine.host(now + 55, Event::FenceWrite { engine, queue, seqno });
    machine.host(now + 55, Event::JobEnd { engine, queue, seqno, ok: true });
    let context = CONTEXT + u64::from(engine.rid);
    machine.fence(now, "dma_fence_init", 100, ("gpu", "ring", context, seqno));
    machine.fence(now + 70, "dma_fence_signaled", 0, ("gpu", "ring", context, seqno));
    now + 70
}

/// Who had each journey's content, and how it ended.
fn ways(trace: &TraceFile, journeys: &Journeys) -> Vec<(String, Outcome)> {
    journeys.frames.iter().map(|frame| (way(frame, &trace.header).join(" -> "), frame.outcome)).collect()
}

/// The hand-offs by name, with their counts.
fn handoffs(trace: &TraceFile, journeys: &Journeys) -> Vec<(String, usize)> {
    let report = Report::new(trace, journeys);
    report.handoffs.into_iter().map(|one| (one.name, one.count)).collect()
}

fn named(all: &[(&str, usize)]) -> Vec<(String, usize)> {
    all.iter().map(|(name, count)| (name.to_string(), *count)).collect()
}

fn build(machine: &Machine) -> (TraceFile, Journeys) {
    let trace = machine.trace();
    let journeys = Journeys::build(&trace);
    assert_eq!(journeys.violations, []);
    (trace, journeys)
}

/// GStreamer's `v4l2src ! videoconvert ! kmssink`: the program converts each frame itself into one of two buffers of the display.
fn by_a_programs_hand() -> Machine {
    let mut machine = Machine::new(true);
    let mut now = 1000;
    for frame in 0..6u32 {
        let taken =
            capture(&mut machine, CAMERA_ENGINE, now, frame, (7, frame % 3, Machine::source_page(frame % 3)));
        now = show(
            &mut machine,
            taken + 200,
            u64::from(frame) + 1,
            (Machine::screen_page(u64::from(frame) % 2), SCREEN_PAGES),
        ) + 10;
    }
    machine
}

#[test]
fn a_frame_that_a_program_copies_is_followed_to_the_screen() {
    let (trace, journeys) = build(&by_a_programs_hand());
    assert_eq!(journeys.frames.len(), 6);
    for (number, frame) in journeys.frames.iter().enumerate() {
        assert!(frame.copied);
        assert_eq!((frame.source.is_some(), frame.flip), (true, Some(number)));
        assert_ne!(frame.source, frame.shown);
    }
    let found = ways(&trace, &journeys);
    assert!(found.iter().all(|(way, _)| way == "camera -> program (copies) -> display"), "{found:?}");
    // The last buffers do not come back in this trace.
    assert_eq!(found.iter().filter(|(_, end)| *end == Outcome::Complete).count(), 3, "{found:?}");
    let expected = [
        ("camera -> program", 6),
        ("program -> display", 6),
        ("display -> program", 6),
        ("program -> camera", 3),
        ("whole journey: camera -> display", 6),
    ];
    assert_eq!(handoffs(&trace, &journeys), named(&expected));
    // From the program's taking it to the latch: the program's copying, then the wait for the vertical blank.
    let given = journeys.handoffs.iter().find(|one| one.kind.leg == Leg::Given).expect("measured");
    assert_eq!((given.took.cycles, given.split.scheduler.cycles, given.split.wait.cycles), (700, 200, 500));
}

/// The program writes to a disk between taking a frame and showing it.
#[test]
fn what_a_program_stores_is_no_way_of_a_frame() {
    const DISK: EngineId = EngineId::new(0x28, 0);
    let mut machine = Machine::new(true);
    let mut now = 1000;
    for frame in 0..6u32 {
        let taken =
            capture(&mut machine, CAMERA_ENGINE, now, frame, (7, frame % 3, Machine::source_page(frame % 3)));
        let (engine, queue, seqno) = (DISK, 0, u64::from(frame));
        machine.host(taken + 10, Event::JobStart { engine, queue, seqno, kind: JobKind::Copy });
        machine.dma(taken + 50, DISK.rid, false, Machine::source_page(20), 1);
        machine.host(taken + 50, Event::JobEnd { engine, queue, seqno, ok: true });
        let page = Machine::screen_page(u64::from(frame) % 2);
        now = show(&mut machine, taken + 200, u64::from(frame) + 1, (page, SCREEN_PAGES)) + 10;
    }
    let mut trace = machine.trace();
    trace.header.functions.push(function(DISK.rid, "virtio-blk", Role::Storage));
    let journeys = Journeys::build(&trace);
    assert_eq!(journeys.violations, []);
    let found = ways(&trace, &journeys);
    assert_eq!(found.len(), 6, "{found:?}");
    assert!(found.iter().all(|(way, _)| way == "camera -> program (copies) -> display"), "{found:?}");
}

#[test]
fn a_frame_that_is_not_copied_ends_with_the_program() {
    let mut machine = by_a_programs_hand();
    let end = machine.records.iter().map(|record| record.stamp.cycles).max().expect("records") + 100;
    // Two frames are taken, and only then something is shown: it is of the later one.
    capture(&mut machine, CAMERA_ENGINE, end, 6, (7, 0, Machine::source_page(0)));
    let taken = capture(&mut machine, CAMERA_ENGINE, end + 200, 7, (7, 1, Machine::source_page(1)));
    show(&mut machine, taken + 10, 9, (Machine::screen_page(0), SCREEN_PAGES));
    let (trace, journeys) = build(&machine);
    let found = ways(&trace, &journeys);
    assert_eq!(found[6], ("camera -> program".to_string(), Outcome::Discarded));
    assert_eq!(found[7].0, "camera -> program (copies) -> display");
}

#[test]
fn a_gpu_and_a_display_alone_make_journeys() {
    let mut machine = Machine::new(true);
    let mut now = 1000;
    for frame in 0..5u64 {
        let page = Machine::screen_page(frame % 3);
        let done = job(&mut machine, GPU_ENGINE, now, frame + 1, (None, page));
        now = show(&mut machine, done + 30, frame + 1, (page, SCREEN_PAGES)) + 10;
    }
    let (trace, journeys) = build(&machine);
    let found = ways(&trace, &journeys);
    assert_eq!(found, vec![("program -> gpu -> display".to_string(), Outcome::Complete); 5]);
    let expected = [
        ("program -> gpu", 5),
        ("gpu -> fence", 5),
        ("fence -> display", 5),
        ("display -> program", 5),
        ("whole journey: program -> display", 5),
    ];
    assert_eq!(handoffs(&trace, &journeys), named(&expected));
}

#[test]
fn a_cameras_buffer_is_shown_directly_and_goes_back_from_the_display() {
    let mut machine = Machine::new(true);
    let mut now = 1000;
    for frame in 0..6u32 {
        let page = Machine::source_page(frame % 3);
        let taken = capture(&mut machine, CAMERA_ENGINE, now, frame, (7, frame % 3, page));
        now = show(&mut machine, taken + 20, u64::from(frame) + 1, (page, SOURCE_PAGES)) + 10;
    }
    let (trace, journeys) = build(&machine);
    let found = ways(&trace, &journeys);
    assert!(found.iter().all(|(way, _)| way == "camera -> display"), "{found:?}");
    assert!(journeys.frames.iter().all(|frame| !frame.copied && frame.source == frame.shown));
    let expected = [
        ("camera -> program", 6),
        ("program -> display", 6),
        ("display -> program", 6),
        ("display -> camera", 3),
        ("whole journey: camera -> display", 6),
    ];
    assert_eq!(handoffs(&trace, &journeys), named(&expected));
}

/// Two cameras and two GPUs: each camera's frames go through a GPU of their own, and the second's through both.
#[test]
fn two_cameras_and_two_gpus_are_told_apart() {
    const SECOND_CAMERA: EngineId = EngineId::new(0x28, 0);
    const SECOND_GPU: EngineId = EngineId::new(0x30, 0);
    let mut machine = Machine::new(true);
    let mut now = 1000;
    for frame in 0..4u32 {
        let seqno = u64::from(frame) + 1;
        let (first, second) = (Machine::source_page(frame % 2), Machine::source_page(8 + frame % 2));
        capture(&mut machine, CAMERA_ENGINE, now, frame, (7, frame % 2, first));
        let taken = capture(&mut machine, SECOND_CAMERA, now + 3, frame, (9, frame % 2, second));
        let [one, between, two] =
            [0, 4, 5].map(|screen| Machine::screen_page(screen + u64::from(frame % 2) * 8));
        job(&mut machine, GPU_ENGINE, taken + 10, 2 * seqno - 1, (Some(first), one));
        let made = job(&mut machine, SECOND_GPU, taken + 14, seqno, (Some(second), between));
        let done = job(&mut machine, GPU_ENGINE, made + 200, 2 * seqno, (Some(between), two));
        let shown = show(&mut machine, done + 10, 2 * seqno - 1, (one, SCREEN_PAGES));
        now = show(&mut machine, shown + 10, 2 * seqno, (two, SCREEN_PAGES)) + 50;
    }
    let mut trace = machine.trace();
    trace.header.functions.push(function(SECOND_CAMERA.rid, "camera", Role::Source));
    trace.header.functions.push(function(SECOND_GPU.rid, "gpu", Role::Processor));
    let journeys = Journeys::build(&trace);
    assert_eq!(journeys.violations, []);
    assert_eq!(journeys.frames.len(), 8);
    for frame in &journeys.frames {
        let first = frame.visits[0].engine == CAMERA_ENGINE;
        let path: Vec<EngineId> = frame.visits.iter().map(|visit| visit.engine).collect();
        let expected: &[EngineId] = match first {
            true => &[CAMERA_ENGINE, GPU_ENGINE, DISPLAY_ENGINE],
            false => &[SECOND_CAMERA, SECOND_GPU, GPU_ENGINE, DISPLAY_ENGINE],
        };
        assert_eq!(path, expected);
        // Every frame has its own queue's events, and the timeline of each ring its own fences.
        assert!(frame.at(Stage::Dequeued).is_some() && frame.fence.is_some());
    }
    let of = |rid: u16| {
        journeys.timelines.iter().find(|one| one.context == CONTEXT + u64::from(rid)).expect("known")
    };
    assert_eq!((of(GPU).queue, of(SECOND_GPU.rid).queue), (Some((GPU_ENGINE, 0)), Some((SECOND_GPU, 0))));
    assert_ne!(CAMERA, SECOND_CAMERA.rid);
    let names = handoffs(&trace, &journeys);
    let has = |name: &str, count| assert!(names.contains(&(name.to_string(), count)), "{name}: {names:?}");
    has("camera 00:02.0 -> program", 4);
    has("camera 00:05.0 -> program", 4);
    has("program -> gpu 00:06.0", 4);
    has("fence -> gpu 00:01.0", 4);
    has("whole journey: camera 00:05.0 -> display", 4);
    // Every output takes it.
    let mut text = Vec::new();
    Report::new(&trace, &journeys).write_text(&mut text).expect("memory takes it");
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("4 went camera 00:05.0 -> gpu 00:06.0 -> gpu 00:01.0 -> display"), "{text}");
    crate::svg::write(&trace, &journeys, 7, Vec::new()).expect("memory takes it");
    let mut page = Vec::new();
    crate::html::write(&trace, &journeys, &mut page).expect("memory takes it");
    assert!(String::from_utf8_lossy(&page).contains("gpu 00:06.0 ring 0"));
}

/// A compositor draws into three buffers in turn, and only flips.
fn compositor(frames: u64) -> Machine {
    let mut machine = Machine::new(true);
    let mut now = 1000;
    for frame in 0..frames {
        now = show(&mut machine, now, frame + 1, (Machine::screen_page(frame % 3), SCREEN_PAGES)) + 60;
    }
    machine
}

#[test]
fn a_compositors_three_buffers_go_to_and_fro() {
    let (trace, journeys) = build(&compositor(9));
    assert_eq!(ways(&trace, &journeys), vec![("program -> display".to_string(), Outcome::Complete); 9]);
    assert_eq!(journeys.buffers.len(), 3);
    let expected =
        [("program -> display", 9), ("display -> program", 9), ("whole journey: program -> display", 9)];
    assert_eq!(handoffs(&trace, &journeys), named(&expected));
    let of = |leg| journeys.handoffs.iter().filter(move |one| one.kind.leg == leg).map(|one| one.took.cycles);
    assert!(of(Leg::Given).all(|took| took == 500) && of(Leg::Told).all(|took| took == 30));
    let report = Report::new(&trace, &journeys);
    assert_eq!(report.objections(9), [""; 0]);
    assert_eq!(report.worst_frame.expect("one").sequence, None);
}

/// A sink's vertical blanks and flips are two lines that are raised at the same moments, but for the first flip and the last blank.
#[test]
fn two_lines_that_are_raised_together_are_told_apart() {
    let mut machine = compositor(9);
    let latches: Vec<u64> = machine
        .records
        .iter()
        .filter(|one| matches!(one.event, Event::Latch { .. }))
        .map(|one| one.stamp.cycles)
        .collect();
    let last = latches[8] + 600;
    for (number, at) in latches.into_iter().chain([last]).enumerate() {
        if number < 9 {
            machine.host(at, Event::InterruptDelivered { cpu: 0, vector: 38 });
        }
        if number > 0 {
            machine.host(at, Event::MsiRaised { rid: DISPLAY, vector: 0 });
            machine.host(at + 45, Event::InterruptDelivered { cpu: 0, vector: 37 });
            let handler = vec![Value::Unsigned(29), Value::Text("blank".into())];
            machine.guest(at + 60, "irq_handler_entry", 0, handler);
        }
    }
    // At one moment: the flip is raised, then the blank, then the CPU takes the flip.
    let order = |event: &Event| matches!(event, Event::InterruptDelivered { .. });
    machine.records.sort_by_key(|one| (one.stamp, order(&one.event)));
    let (_, journeys) = build(&machine);
    let lines: Vec<_> =
        journeys.interrupts.iter().map(|line| (line.msi, line.cpu_vector, line.irq)).collect();
    assert_eq!(lines, [(0, Some(37), Some(29)), (1, Some(38), Some(31))]);
}

#[test]
fn what_never_completes_says_what_is_missing() {
    let engine = DISPLAY_ENGINE;
    let mut machine = compositor(3);
    let end = machine.records.iter().map(|record| record.stamp.cycles).max().expect("records") + 100;
    // A commit that is not latched, and a job that does not end, at the trace's end: the trace ended first.
    machine.host(end, Event::Doorbell { engine, queue: 0, tail: 4 });
    let begun = Event::JobStart { engine: GPU_ENGINE, queue: 0, seqno: 1, kind: JobKind::Copy };
    machine.host(end + 1, begun);
    let (trace, journeys) = build(&machine);
    let found = ways(&trace, &journeys);
    assert_eq!(found[3], ("program -> display".to_string(), Outcome::CutOff(Stage::Latch)));
    assert_eq!(found[4], ("program -> gpu".to_string(), Outcome::CutOff(Stage::JobEnd)));
    assert_eq!(Report::new(&trace, &journeys).objections(0), [""; 0]);
    // Where a later commit is latched, the one before was lost.
    show(&mut machine, end + 300, 5, (Machine::screen_page(1), SCREEN_PAGES));
    let (trace, journeys) = build(&machine);
    let lost = journeys.frames.iter().filter(|frame| frame.outcome == Outcome::Missing(Stage::Latch));
    assert_eq!(lost.count(), 1);
    let objections = Report::new(&trace, &journeys).objections(0);
    assert_eq!(objections, ["1 frames lack a stage that later frames have"]);
}
