//! Variable refresh: frames wait for a commit.

use super::*;

const VRR_CONTROL: u32 = 0x170;
const VRR_TOTAL: u32 = 0x174;

/// Frames of 10 to 25 ms; the first commit was latched at the first vertical blank.
fn waiting() -> Bench {
    let mut bench = Bench::on("");
    bench.write(VRR_CONTROL, 1);
    bench.write(VRR_TOTAL, 250);
    bench.flip(1);
    bench.at(FRAME_NS);
    bench.world.take_raised();
    bench
}

impl Bench {
    /// The newest vertical blank: which, and when it began.
    fn vblank(&mut self) -> (u64, u64) {
        (self.read64(VBLANK_COUNT), self.read64(VBLANK_NS))
    }
}

#[test]
fn a_commit_is_shown_when_it_comes() {
    let mut bench = waiting();
    bench.at(FRAME_NS + 17_000_001);
    assert_eq!(bench.vblank(), (1, FRAME_NS));
    let picture = bench.flip(2);
    assert_eq!((bench.vblank(), bench.world.take_raised()), ((2, FRAME_NS + 17_000_001), vec![1]));
    bench.at(FRAME_NS + 17_000_001 + FRAME_NS);
    assert_eq!((bench.read64(CRC_FRAME), bench.read(CRC_VALUE)), (2, naive_crc(&picture)));
    assert_eq!(bench.vblank(), (2, FRAME_NS + 17_000_001));
}

#[test]
fn a_commit_that_comes_early_waits_for_the_shortest_frame() {
    let mut bench = waiting();
    bench.at(FRAME_NS + 1);
    bench.flip(2);
    bench.at(FRAME_NS * 2 - 1);
    assert_eq!((bench.vblank(), bench.read(COMMIT)), ((1, FRAME_NS), 1));
    bench.at(FRAME_NS * 2);
    assert_eq!((bench.vblank(), bench.read(COMMIT)), ((2, FRAME_NS * 2), 0));
}

#[test]
fn without_a_commit_frames_are_as_long_as_they_may() {
    let mut bench = waiting();
    bench.write(IRQ_ENABLE, VBLANK);
    bench.at(FRAME_NS + 25_000_000 * 3);
    assert_eq!((bench.vblank(), bench.world.take_raised()), ((4, FRAME_NS + 75_000_000), vec![0; 3]));
    assert_eq!((bench.read64(CRC_FRAME), bench.seen().len()), (3, 3));
}

#[test]
fn frames_are_the_modes_again_when_a_commit_says_so() {
    let mut bench = waiting();
    bench.at(FRAME_NS + 13_000_000);
    bench.write(VRR_CONTROL, 0);
    bench.flip(2);
    bench.at(FRAME_NS * 4);
    assert_eq!(bench.vblank(), (3, FRAME_NS + 13_000_000 + FRAME_NS));
    assert_eq!(bench.read64(ENABLE_NS), 0, "it was enabled at the start");
}

#[test]
fn a_longest_frame_that_is_shorter_than_the_mode_or_longer_than_a_second_is_refused() {
    for (lines, errors) in [(99, 4), (100, 0), (10_000, 0), (10_001, 4)] {
        let mut bench = Bench::on("");
        bench.write(VRR_CONTROL, 1);
        bench.write(VRR_TOTAL, lines);
        bench.flip(1);
        assert_eq!(bench.errors(), errors, "{lines}");
    }
}

#[test]
fn a_fetch_is_late_that_does_not_end_within_the_shortest_frame() {
    let mut bench = Bench::on(&format!("latency={FRAME_NS}"));
    bench.write(VRR_CONTROL, 1);
    bench.write(VRR_TOTAL, 250);
    bench.flip(1);
    bench.at(FRAME_NS + 25_000_000);
    assert_eq!((bench.errors(), bench.read(0x150)), (1 << 5, 1));
}

#[test]
fn a_display_restored_while_a_frame_waits_waits_on() {
    let mut bench = waiting();
    bench.at(FRAME_NS + 12_000_000);
    bench.flip(2);
    let saved = bench.display.save();
    let sinks = bench.album.sinks();
    bench.display =
        Display::restore(DisplayParts { config: Config::default(), sinks }, saved.clone()).unwrap();
    bench.display.rearm(&mut bench.world.ports());
    assert_eq!(bench.display.save(), saved);
    assert_eq!(bench.vblank(), (2, FRAME_NS + 12_000_000));
    bench.at(FRAME_NS + 12_000_000 + 25_000_000);
    assert_eq!(bench.vblank(), (3, FRAME_NS + 37_000_000));
    let mut wrong = saved;
    wrong.heads[0].shown.as_mut().unwrap().vrr.total_lines = 3;
    let parts = DisplayParts { config: Config::default(), sinks: unseen() };
    assert!(Display::restore(parts, wrong).is_err());
}
