//! Faults that were asked for.

use super::*;

#[test]
fn a_stuck_flip_waits_until_the_scan_out_starts_anew() {
    let mut bench = Bench::on("");
    bench.world.give_fault("display:flip-stuck");
    bench.flip(1);
    bench.at(10 * FRAME_NS);
    assert_eq!((bench.read(COMMIT), bench.world.take_raised().contains(&1)), (1, false));
    bench.write(CRTC_ENABLE, 0);
    bench.write(CRTC_ENABLE, 1);
    bench.write(COMMIT, 1);
    bench.at(12 * FRAME_NS);
    assert_eq!((bench.read(COMMIT), bench.world.take_raised().contains(&1)), (0, true));
}

#[test]
fn an_underrun_is_black_and_late_and_the_next_frame_is_whole() {
    let mut bench = Bench::on("");
    let picture = bench.flip(1);
    bench.at(FRAME_NS + FRAME_NS / 2);
    bench.world.give_fault("display:underrun");
    bench.at(3 * FRAME_NS + FRAME_NS / 2);
    let shown: Vec<bool> = bench.seen().iter().map(|seen| seen.xrgb == picture).collect();
    assert_eq!(shown, [true, false, true]);
    assert!(bench.world.trace.events.iter().any(|event| matches!(event, Event::Underrun { frame: 2, .. })));
}

#[test]
fn a_lost_vertical_blank_is_counted_and_not_told() {
    let mut bench = Bench::on("");
    bench.write(IRQ_ENABLE, VBLANK);
    bench.world.give_fault("display:vblank-lost,after=2");
    bench.at(3 * FRAME_NS + 1);
    assert_eq!((bench.world.take_raised(), bench.read(VBLANK_COUNT)), (vec![0, 0], 3));
}
