//! Each rule of causality, broken alone: by one event that comes too early or too late in a trace that is sound otherwise.

use super::synthetic::{CONTEXT, GPU, Machine};
use super::*;
use crate::event::{Event, JobKind};
use crate::guest::Value;
use crate::testing::{CAMERA_ENGINE, DISPLAY_ENGINE, GPU_ENGINE};

/// The ring of jobs that are for no frame, and its fences' timeline.
const RING: u32 = 1;
const RING_CONTEXT: u64 = 40;

/// A machine that sent 6 frames to the screen, over 4 capture buffers and 3 screens, and the time after.
fn machine() -> (Machine, u64) {
    let mut machine = Machine::new(true);
    for index in 0..4 {
        machine.queue(u64::from(index), index);
    }
    let mut now = 1000;
    for frame in 0..6 {
        let gaps = std::array::from_fn(|step| 11 + (step as u64 * 29 + u64::from(frame) * 7) % 90);
        now = machine.journey(now, frame % 4, u64::from(frame % 3), &gaps) + 50;
    }
    (machine, now + 1000)
}

/// `sound` and `broken` are what a trace has after 6 sound frames: events by the time since. The one breaks nothing, the other `rule`,
/// and that once.
fn breaks(rule: Rule, sound: impl Fn(&mut Machine, u64), broken: impl Fn(&mut Machine, u64)) {
    let violations = |events: &dyn Fn(&mut Machine, u64)| {
        let (mut machine, now) = machine();
        events(&mut machine, now);
        Journeys::build(&machine.trace()).violations
    };
    assert_eq!(violations(&sound), [], "{}", rule.name());
    let found = violations(&broken);
    assert_eq!(found.iter().map(|one| one.rule).collect::<Vec<_>>(), [rule], "{found:#?}");
    // What is named as the cause of an unqueued write is that the buffer was given back.
    let before = rule == Rule::CaptureNotQueued;
    assert!(found[0].cause.is_none_or(|cause| before == (cause < found[0].effect)), "{found:#?}");
}

fn job(kind: JobKind, seqno: u64) -> [Event; 2] {
    [
        Event::JobStart { engine: GPU_ENGINE, queue: RING, seqno, kind },
        Event::JobEnd { engine: GPU_ENGINE, queue: RING, seqno, ok: true },
    ]
}

/// A job that fills memory of nobody's: its doorbell, begin and end at these times.
fn fill(machine: &mut Machine, seqno: u64, [doorbell, start, end]: [u64; 3]) {
    let [begun, ended] = job(JobKind::Fill, seqno);
    machine.host(doorbell, Event::Doorbell { engine: GPU_ENGINE, queue: RING, tail: seqno });
    machine.host(start, begun);
    machine.host(end, ended);
}

#[test]
fn a_job_ends_after_it_begins_after_its_doorbell() {
    let sound = |machine: &mut Machine, now| {
        fill(machine, 1, [now, now + 10, now + 20]);
        fill(machine, 2, [now + 30, now + 40, now + 50]);
    };
    breaks(Rule::JobOrder, sound, |machine, now| {
        fill(machine, 1, [now, now + 10, now + 20]);
        fill(machine, 2, [now + 45, now + 40, now + 50]);
    });
    breaks(Rule::JobOrder, sound, |machine, now| {
        fill(machine, 1, [now, now + 10, now + 20]);
        fill(machine, 2, [now + 30, now + 40, now + 35]);
    });
    // While the job before is at work.
    breaks(Rule::JobOrder, sound, |machine, now| {
        fill(machine, 1, [now, now + 10, now + 20]);
        fill(machine, 2, [now + 5, now + 40, now + 15]);
    });
}

/// A fence of no frame: made, written and signalled at these times.
fn fence(machine: &mut Machine, seqno: u64, [made, written, signaled]: [u64; 3]) {
    let values = ["gpu", "copies"].map(|text| Value::Text(text.into())).into_iter();
    let values: Vec<Value> = values.chain([RING_CONTEXT, seqno].map(Value::Unsigned)).collect();
    machine.guest(made, "dma_fence_init", 60, values.clone());
    machine.host(written, Event::FenceWrite { engine: GPU_ENGINE, queue: RING, seqno });
    machine.guest(signaled, "dma_fence_signaled", 0, values);
}

#[test]
fn a_fence_of_no_frame_is_made_then_written_then_signalled() {
    assert_ne!(RING_CONTEXT, CONTEXT);
    let sound = |machine: &mut Machine, now| {
        fence(machine, 1, [now, now + 10, now + 20]);
        fence(machine, 2, [now + 30, now + 40, now + 50]);
    };
    breaks(Rule::SignalBeforeWrite, sound, |machine, now| {
        fence(machine, 1, [now, now + 10, now + 20]);
        fence(machine, 2, [now + 30, now + 40, now + 35]);
    });
    breaks(Rule::WriteBeforeMade, sound, |machine, now| {
        fence(machine, 1, [now, now + 10, now + 20]);
        fence(machine, 2, [now + 45, now + 40, now + 50]);
    });
}

#[test]
fn an_interrupt_is_raised_then_taken_then_handled() {
    let taken = Event::InterruptDelivered { cpu: 0, vector: 0x31 };
    let raised = Event::MsiRaised { rid: synthetic::CAMERA, vector: 0 };
    let handler = [Value::Unsigned(24), Value::Text("camera".into())];
    let interrupt = |machine: &mut Machine, raised_at, taken_at, handled_at| {
        machine.host(raised_at, raised.clone());
        machine.host(taken_at, taken.clone());
        machine.guest(handled_at, "irq_handler_entry", 0, handler.to_vec());
    };
    let sound = |machine: &mut Machine, now| interrupt(machine, now, now + 10, now + 20);
    breaks(Rule::DeliveredUnraised, sound, |machine, now| interrupt(machine, now + 15, now + 10, now + 20));
    breaks(Rule::HandlerUnraised, sound, |machine, now| interrupt(machine, now, now + 10, now + 5));
    // And where there is no cause at all.
    breaks(Rule::DeliveredUnraised, sound, |machine, now| machine.host(now, taken.clone()));
    breaks(Rule::HandlerUnraised, sound, |machine, now| {
        machine.guest(now, "irq_handler_entry", 0, handler.to_vec());
    });
}

/// The camera writes capture buffer `index` from `start` to `end`.
fn capture(machine: &mut Machine, index: u32, [start, end]: [u64; 2]) {
    let (sequence, buffer) = (90, index);
    machine.host(start, Event::FrameStart { engine: CAMERA_ENGINE, sequence, buffer: Some(buffer) });
    machine.dma(end, synthetic::CAMERA, true, Machine::source_page(index), synthetic::SOURCE_PAGES);
    let bytes = (synthetic::SOURCE_PAGES * PAGE_BYTES) as u32;
    machine.host(end, Event::FrameEnd { engine: CAMERA_ENGINE, sequence, buffer, bytes, crc: 2 });
}

#[test]
fn the_camera_does_not_write_what_a_job_reads() {
    let read = |machine: &mut Machine, now: u64, index: u32| {
        let [begun, ended] = job(JobKind::Copy, 1);
        machine.host(now, Event::Doorbell { engine: GPU_ENGINE, queue: RING, tail: 1 });
        machine.host(now + 10, begun);
        machine.dma(now + 50, GPU, false, Machine::source_page(index), synthetic::SOURCE_PAGES);
        machine.host(now + 50, ended);
    };
    let sound = |machine: &mut Machine, now| {
        read(machine, now, 1);
        capture(machine, 1, [now + 60, now + 90]);
    };
    breaks(Rule::WriteWhileRead, sound, |machine, now| {
        read(machine, now, 1);
        capture(machine, 1, [now + 40, now + 90]);
    });
    // What it writes meanwhile is no matter when it is another buffer.
    breaks(
        Rule::WriteWhileRead,
        |machine, now| {
            read(machine, now, 1);
            capture(machine, 2, [now + 40, now + 90]);
        },
        |machine, now| {
            read(machine, now, 2);
            capture(machine, 2, [now + 5, now + 60]);
        },
    );
}

#[test]
fn the_camera_writes_only_what_is_queued() {
    let dequeue = |machine: &mut Machine, now: u64, index: u32| {
        for (name, at) in [("vb2_buf_done", now), ("vb2_dqbuf", now + 1)] {
            machine.vb2(at, name, index);
        }
    };
    let sound = |machine: &mut Machine, now| {
        capture(machine, 3, [now, now + 10]);
        dequeue(machine, now + 20, 3);
        machine.queue(now + 30, 3);
        capture(machine, 3, [now + 40, now + 50]);
    };
    breaks(Rule::CaptureNotQueued, sound, |machine, now| {
        capture(machine, 3, [now, now + 10]);
        dequeue(machine, now + 20, 3);
        machine.queue(now + 45, 3);
        capture(machine, 3, [now + 40, now + 50]);
    });
}

#[test]
fn nobody_writes_what_the_display_shows() {
    // The display reads frame 5's screen again at `read`; a job fills it meanwhile or thereafter.
    let shown = |machine: &mut Machine, read: u64, filled: u64| {
        machine.dma(read, synthetic::DISPLAY, false, Machine::screen_page(2), synthetic::SCREEN_PAGES);
        machine.host(read, Event::ScanOut { engine: DISPLAY_ENGINE, frame: 99, crc: 9 });
        let [begun, ended] = job(JobKind::Fill, 1);
        machine.host(filled - 10, Event::Doorbell { engine: GPU_ENGINE, queue: RING, tail: 1 });
        machine.host(filled - 5, begun);
        machine.dma(filled, GPU, true, Machine::screen_page(2), synthetic::SCREEN_PAGES);
        machine.host(filled, ended);
    };
    let sound = |machine: &mut Machine, now: u64| shown(machine, now + 20, now + 50);
    breaks(Rule::WriteWhileShown, sound, |machine, now| shown(machine, now + 50, now + 20));
}

#[test]
fn a_frames_stages_stand_in_their_order() {
    let (machine, _) = machine();
    let written = machine.truth[&(3, Stage::FenceWrite)];
    let sound = machine.trace();
    assert_eq!(Journeys::build(&sound).violations, []);
    let broken = super::tests::moved(&machine, 3, Stage::FenceSignaled, written - 1);
    let found = Journeys::build(&broken).violations;
    let says = |one: &Violation| (one.rule, one.stages, one.frame);
    let stages = Some((Stage::FenceWrite, Stage::FenceSignaled));
    assert_eq!(found.iter().map(says).collect::<Vec<_>>(), [(Rule::StageOrder, stages, Some(3))]);
    // A job before its doorbell.
    let late = super::tests::moved(&machine, 3, Stage::JobDoorbell, machine.truth[&(3, Stage::JobStart)] + 1);
    let found = Journeys::build(&late).violations;
    let stages = Some((Stage::JobDoorbell, Stage::JobStart));
    assert_eq!(found.iter().map(says).collect::<Vec<_>>(), [(Rule::StageOrder, stages, Some(3))]);
}
