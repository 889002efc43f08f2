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
