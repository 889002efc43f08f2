//! Faults that were asked for.

use super::*;

#[test]
fn a_dropped_frame_keeps_its_number_and_its_buffer_gets_the_next() {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    bench.world.give_fault("camera:drop,after=2");
    (0..2).for_each(|index| bench.post(index, 0x400));
    bench.stream_on();
    bench.run_to_frame(2);
    // At 16 of a record is the frame's number, at 44 the count of drops (docs/camera.md).
    assert_eq!([RECORDS + 16, RECORDS + 44].map(|at| bench.word(at)), [0, 0]);
    assert_eq!([RECORDS + 80, RECORDS + 108].map(|at| bench.word(at)), [2, 1]);
    let dropped = |event: &&Event| matches!(event, Event::FrameDropped { sequence: 1, .. });
    assert_eq!(bench.world.trace.events.iter().filter(dropped).count(), 1);
    assert_eq!(bench.world.take_raised(), [0, 2, 0], "frame done, overrun, frame done");
}

/// A frame with a fault: its record's status and bytes, and how many bytes of its buffer were written.
fn spoilt(fault: &str) -> (u32, u32, usize) {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    bench.world.give_fault(fault);
    bench.post(0, 0x400);
    let dark = 0x77;
    let at = PIXELS as usize;
    bench.world.memory_mut()[at..at + 0x2000].fill(dark);
    bench.stream_on();
    bench.run_to_frame(0);
    let whole = bench.buffer(0, 0x400);
    // Frame 0 of the ramp is nowhere 0x77 at the end of a line's first pixel; count up to the last written byte.
    let written = whole.iter().rposition(|&byte| byte != dark).map_or(0, |last| last + 1);
    (bench.word(RECORDS + 12), bench.word(RECORDS + 20), written)
}

#[test]
fn a_short_frame_has_half_its_lines_and_says_how_many_bytes() {
    assert_eq!(spoilt("camera:short,after=2"), (0, 0x400, 0x400), "no fault yet");
    assert_eq!(spoilt("camera:short"), (0, 0x200, 0x200));
}

#[test]
fn a_frame_that_overruns_breaks_off_and_says_so() {
    assert_eq!(spoilt("camera:overrun"), (11, 0, 0x200));
}

#[test]
fn corrupt_lines_are_the_inverse_and_the_frame_says_so() {
    let picture = |fault: Option<&str>| {
        let mut bench = Bench::new();
        bench.configure(YUYV, 64);
        fault.into_iter().for_each(|fault| bench.world.give_fault(fault));
        bench.post(0, 0x400);
        bench.stream_on();
        bench.run_to_frame(0);
        (bench.word(RECORDS + 12), bench.buffer(0, 0x400))
    };
    let (good, bad) = (picture(None), picture(Some("camera:corrupt,lines=3")));
    assert_eq!((good.0, bad.0), (0, 12));
    let wrong: Vec<usize> = (0..16)
        .filter(|line| good.1[64 * line..64 * (line + 1)] != bad.1[64 * line..64 * (line + 1)])
        .collect();
    assert_eq!(wrong, [6, 7, 8]);
    assert!(good.1[64 * 6..64 * 9].iter().zip(&bad.1[64 * 6..64 * 9]).all(|(good, bad)| *good == !bad));
}

#[test]
fn a_lost_sensor_gives_nothing_until_the_stream_is_started_again() {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    bench.world.give_fault("camera:sensor-lost,after=2");
    (0..2).for_each(|index| bench.post(index, 0x400));
    bench.stream_on();
    bench.run_to_frame(30);
    assert_eq!((bench.read(0xd0), bench.world.take_raised()), (1, vec![0]), "one completed");
    bench.write(0xc0, 0);
    (bench.posted, _) = (0, bench.world.take_raised());
    bench.post(0, 0x400);
    bench.stream_on();
    bench.run_to_frame(32);
    assert_eq!(bench.world.take_raised()[0], 0, "a frame");
}

#[test]
fn a_saved_camera_without_its_sensor_asks_for_no_call() {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    bench.world.give_fault("camera:sensor-lost");
    bench.stream_on();
    bench.run_to_frame(1);
    let state = bench.camera.save();
    let again = Camera::restore(parts(), state).unwrap();
    bench.world.clock = bench.world.clock.without_calls();
    again.rearm(&mut bench.world.ports());
    assert_eq!(bench.world.clock.pending(0), None);
}
