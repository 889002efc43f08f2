//! Matrix and table, and commits that do not wait or do not keep others waiting.

use super::*;

const COLOR_CONTROL: u32 = 0x160;
const MATRIX: u32 = 0x180;
const GAMMA: u32 = 0xc00;
const GO_NOW: u32 = 3;
const GO_REPLACE: u32 = 5;

impl Bench {
    /// What the newest frame shows.
    fn newest(&self) -> Vec<u8> {
        self.seen().pop().unwrap().xrgb
    }
}

#[test]
fn the_table_is_looked_up_behind_the_matrix() {
    let mut bench = Bench::on("");
    let picture = bench.flip(1);
    bench.at(FRAME_NS);
    // Red and blue change places, green is half of itself, rounded.
    for (index, factor) in [(2, 1 << 16), (4, 1 << 15), (6, 1 << 16)] {
        bench.write(MATRIX + 4 * index, factor);
    }
    for value in 0..256 {
        bench.write(GAMMA + 4 * value, (255 - value) << 16 | value << 8 | (value ^ 1));
    }
    bench.write(COLOR_CONTROL, 3);
    bench.write(COMMIT, 1);
    bench.at(3 * FRAME_NS - 1);
    let want: Vec<u8> = picture
        .chunks(4)
        .flat_map(|bgrx| [bgrx[2] ^ 1, ((u32::from(bgrx[1]) + 1) >> 1) as u8, 255 - bgrx[0], 0])
        .collect();
    assert_eq!(bench.newest(), want);
    assert_eq!((bench.read(GAMMA + 4), bench.read(MATRIX + 16)), (254 << 16 | 1 << 8, 1 << 15));
}

#[test]
fn a_matrix_clamps_what_is_too_large_or_less_than_nothing() {
    let mut bench = Bench::on("");
    let picture = bench.flip(1);
    bench.at(FRAME_NS);
    // Red: 300 times itself; green: less than nothing; blue: itself.
    for (index, factor) in [(0, 300 << 16), (4, (-1i32 << 16) as u32), (8, 1 << 16)] {
        bench.write(MATRIX + 4 * index, factor);
    }
    bench.write(COLOR_CONTROL, 1);
    bench.write(COMMIT, 1);
    bench.at(3 * FRAME_NS - 1);
    let want: Vec<u8> =
        picture.chunks(4).flat_map(|bgrx| [bgrx[0], 0, if bgrx[2] == 0 { 0 } else { 255 }, 0]).collect();
    assert_eq!(bench.newest(), want);
}

#[test]
fn a_flip_now_is_done_at_once_and_shown_by_the_frame_that_is_not_read_yet() {
    let mut bench = Bench::on("latency=1000000");
    bench.flip(1);
    bench.at(FRAME_NS);
    bench.world.take_raised();
    // The same list somewhere else.
    let list = bench.world.memory_mut()[TABLE as usize..][..32].to_vec();
    bench.world.memory_mut()[0x2000..0x2020].copy_from_slice(&list);
    bench.write(0x408, 0x2000);
    bench.write(COMMIT, GO_NOW);
    assert_eq!((bench.read64(0x120), bench.world.take_raised()), (2, vec![1]));
    bench.at(2 * FRAME_NS - 1);
    assert_eq!((bench.seen()[0].frame, bench.seen()[0].flip), (1, 2));
    // Behind the reading of a frame the next one shows it.
    bench.write(0x408, TABLE as u32);
    bench.write(COMMIT, GO_NOW);
    bench.at(3 * FRAME_NS - 1);
    assert_eq!((bench.seen()[1].frame, bench.seen()[1].flip, bench.seen()[1].fresh), (2, 3, true));
}

#[test]
fn more_than_a_flip_is_refused_now() {
    for (offset, value) in [(0x418, 44), (0x424, 1), (0x42c, 0x8000), (0x480, 1), (COLOR_CONTROL, 1)] {
        let mut bench = Bench::on("");
        bench.flip(1);
        bench.at(FRAME_NS);
        bench.write(offset, value);
        bench.write(COMMIT, GO_NOW);
        assert_eq!(bench.errors(), 1 << 2, "{offset:#x}");
    }
    let mut bench = Bench::on("");
    bench.stage();
    bench.write(COMMIT, GO_NOW);
    assert_eq!(bench.errors(), 1 << 2, "nothing is shown");
}

#[test]
fn a_commit_takes_the_place_of_one_that_waits() {
    let mut bench = Bench::on("");
    let picture = bench.flip(1);
    bench.write(PLANE_CONTROL, 0);
    bench.write(COMMIT, GO_REPLACE);
    bench.write(PLANE_CONTROL, 1);
    bench.write(COMMIT, GO_REPLACE);
    assert_eq!((bench.errors(), bench.read64(0x118), bench.read64(0x120)), (0, 3, 0));
    bench.at(2 * FRAME_NS - 1);
    assert_eq!((bench.read64(0x120), bench.newest()), (3, picture));
}
