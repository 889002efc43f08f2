//! Jobs that move much are done in parts, and whatever takes the host long in several calls.

use zerocopy::little_endian::U32;

use super::fixture::*;
use crate::function::Function;
use crate::gpu::packet::RawPacket;
use crate::gpu::{Gpu, GpuConfig};
use crate::state::Stateful;

/// Two places of 64 KiB, of which a list of 32 MiB names each 256 times, one behind the other.
const FIRST: u64 = 0x8_0000;
const SECOND: u64 = 0xa_0000;
const SEGMENT: u32 = 0x1_0000;
/// docs/gpu.md: 16 bytes a cycle, and 500 cycles.
const FILL_NS: u64 = 500 + (32 << 20) / 16;
const DMA: u32 = 5;

fn large() -> (Driver, RawPacket) {
    let mut driver = Driver::new();
    let segments: Vec<_> = (0..512).map(|n| (if n < 256 { FIRST } else { SECOND }, SEGMENT)).collect();
    let list = driver.list(&segments);
    (driver, fill(list.at(0, 0), 32 << 20, 1, 0x0707_0707))
}

fn filled(driver: &mut Driver) -> [bool; 2] {
    let memory = driver.world.memory_mut();
    [FIRST, SECOND]
        .map(|at| memory[at as usize..at as usize + SEGMENT as usize].iter().all(|&byte| byte == 7))
}

#[test]
fn half_of_a_job_of_two_parts_is_done_in_half_its_time() {
    let (mut driver, job) = large();
    driver.submit(0, &[job, fence(1)]);
    driver.wait_ns(FILL_NS / 2 - 1);
    assert_eq!(filled(&mut driver), [false, false]);
    driver.wait_ns(1);
    assert_eq!(filled(&mut driver), [true, false]);
    driver.wait_ns(FILL_NS - FILL_NS / 2 - 1);
    assert_eq!((filled(&mut driver), driver.read(0, HEAD)), ([true, false], 0));
    driver.wait_ns(1);
    assert_eq!((filled(&mut driver), driver.read(0, HEAD)), ([true, true], 1));
    driver.wait_ns(500);
    assert_eq!(driver.word(fence_word(0)), 1);
}

#[test]
fn a_reset_between_two_parts_keeps_the_first_and_drops_the_second() {
    let (mut driver, job) = large();
    driver.submit(0, &[job, fence(1)]);
    driver.wait_ns(FILL_NS / 2);
    driver.write(0, CONTROL, 2);
    driver.wait_ns(2 * FILL_NS);
    assert_eq!((filled(&mut driver), driver.word(fence_word(0))), ([true, false], 0));
    // The ring is as after any reset.
    driver.enable(0);
    driver.run(0, &[fence(9)]);
    assert_eq!((driver.word(fence_word(0)), driver.read(0, ERROR_CODE)), (9, 0));
}

#[test]
fn memory_that_is_taken_away_between_two_parts_faults_the_second() {
    let (mut driver, job) = large();
    driver.submit(0, &[job]);
    driver.wait_ns(FILL_NS / 2);
    driver.world.refuse(FIRST, FIRST + 1);
    driver.world.refuse(SECOND, SECOND + 1);
    driver.wait_ns(FILL_NS / 2 - 1);
    assert_eq!(driver.read(0, ERROR_CODE), 0);
    driver.wait_ns(1);
    assert_eq!((driver.read(0, ERROR_CODE), driver.read64(0, ERROR_ADDRESS)), (DMA, SECOND));
    assert_eq!(filled(&mut driver), [true, false]);
}

/// Its JSON, as a snapshot would have it, is what another GPU goes on from.
fn restore(driver: &mut Driver) {
    let text = serde_json::to_string(&driver.gpu.save()).unwrap();
    driver.gpu = Gpu::restore(GpuConfig::default(), serde_json::from_str(&text).unwrap()).unwrap();
    driver.world.clock = driver.world.clock.without_calls();
    driver.gpu.rearm(&mut driver.world.ports());
}

#[test]
fn a_job_goes_on_where_a_restored_gpu_was() {
    let (mut driver, job) = large();
    driver.submit(0, &[job]);
    driver.wait_ns(FILL_NS / 2);
    restore(&mut driver);
    driver.world.memory_mut()[FIRST as usize..][..SEGMENT as usize].fill(0);
    driver.wait_ns(FILL_NS - FILL_NS / 2 - 1);
    assert_eq!(filled(&mut driver), [false, false]);
    driver.wait_ns(1);
    assert_eq!(
        (filled(&mut driver), driver.read(0, HEAD)),
        ([false, true], 1),
        "and the first is not done again"
    );
}

/// A program that adds up the numbers below 3,000,000, and stores the sum: 9,000,004 instructions at one place.
fn long_program() -> (Driver, RawPacket) {
    let mut driver = Driver::new();
    let code: [[u8; 8]; 7] = [
        [1, 4, 0, 0, 0xc0, 0xc6, 0x2d, 0],
        [1, 5, 0, 0, 1, 0, 0, 0],
        // r6 += r7; r7 += 1; again while r7 < r4.
        [2, 6, 6, 7, 0, 0, 0, 0],
        [2, 7, 7, 5, 0, 0, 0, 0],
        [12, 0, 7, 4, 2, 0, 0, 0],
        [11, 6, 8, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ];
    driver.store(&PAGES, &code.concat());
    let (src, dst) = (driver.pages(&PAGES), driver.pages(&OTHER_PAGES));
    let (width, height, src_width) = (U32::new(1), U32::new(1), U32::new(7));
    let job = RawPacket { dst: dst.at(0, 16), src2: src.at(0, 0), width, height, src_width, ..packet(11) };
    (driver, job)
}

#[test]
fn a_long_program_takes_many_calls_at_one_time_and_goes_on_after_a_restore() {
    let (mut driver, job) = long_program();
    driver.submit(0, &[job, fence(3)]);
    let due_ns = driver.world.clock.pending(0).unwrap();
    let mut calls = 0;
    while driver.read(0, HEAD) == 0 {
        driver.gpu.timer(0, &mut driver.world.ports());
        calls += 1;
        if driver.read(0, HEAD) == 0 {
            assert_eq!(driver.world.clock.pending(0), Some(due_ns), "it takes the guest no longer");
            assert_eq!(driver.contents(&OTHER_PAGES)[..4], [0; 4], "nothing is written before all is done");
        }
        if calls == 2 {
            restore(&mut driver);
        }
    }
    // Far fewer than a million instructions a call, of 9,000,004.
    assert!(calls >= 9, "{calls}");
    let sum = (0..3_000_000u32).fold(0, u32::wrapping_add);
    assert_eq!(driver.contents(&OTHER_PAGES)[..4], sum.to_le_bytes());
}

#[test]
fn many_segments_take_more_than_one_call() {
    // One row of many segments, and many rows.
    for (segment, count, width, rows) in [(1, 20_000, 20_000, 1), (8, 32_768, 4, 65_536)] {
        let mut driver = Driver::new();
        let list = driver.list(&vec![(FIRST, segment); count]);
        driver.submit(0, &[fill(list.at(0, 4), width, rows, 0x0707_0707)]);
        driver.gpu.timer(0, &mut driver.world.ports());
        assert_eq!(driver.read(0, HEAD), 0);
        driver.run(0, &[]);
        assert_eq!((driver.read(0, HEAD), driver.world.memory_mut()[FIRST as usize]), (1, 7));
    }
}

#[test]
fn a_state_that_is_further_than_its_job_is_refused() {
    let (mut driver, job) = large();
    driver.submit(0, &[job]);
    driver.wait_ns(FILL_NS / 2);
    let good = driver.gpu.save();
    let refused = |change: &dyn Fn(&mut crate::gpu::active::Active)| {
        let mut state = good.clone();
        change(state.rings[0].active.as_mut().unwrap());
        Gpu::restore(GpuConfig::default(), state).is_err()
    };
    assert!(!refused(&|_| {}));
    assert!(refused(&|active| active.course.parts_done = 2));
    assert!(refused(&|active| active.course.progress.at = 513));
    let (mut driver, job) = long_program();
    driver.submit(0, &[job]);
    driver.gpu.timer(0, &mut driver.world.ports());
    let mut state = driver.gpu.save();
    state.rings[0].active.as_mut().unwrap().course.progress.running = None;
    assert!(Gpu::restore(GpuConfig::default(), state).is_err(), "a program that has read nothing");
}

/// Pictures that are wider and higher than a tile, against the formula of docs/gpu.md.
#[test]
fn large_pictures_turn_as_small_ones_do() {
    const WIDTH: u32 = 70;
    const HEIGHT: u32 = 1030;
    const BYTES: u32 = 4 * WIDTH * HEIGHT;
    let (from, to) = (0x2_0000, 0x8_0000);
    for flags in 0..16u32 {
        let mut driver = Driver::new();
        for (at, pixel) in (1u32..).zip(driver.world.memory_mut()[from..][..BYTES as usize].chunks_mut(4)) {
            pixel.copy_from_slice(&at.to_le_bytes());
        }
        let width = if flags & 1 == 1 { HEIGHT } else { WIDTH };
        let (src, dst) = (driver.list(&[(from as u64, BYTES)]), driver.list(&[(to as u64, BYTES)]));
        let (src, dst) = (src.at(0, 4 * WIDTH), dst.at(0, 4 * width));
        let flip = U32::new(flags);
        driver.run(
            0,
            &[RawPacket {
                flags: flip,
                dst,
                src,
                width: U32::new(WIDTH),
                height: U32::new(HEIGHT),
                ..packet(9)
            }],
        );
        for (number, y, x) in (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (y * WIDTH + x + 1, y, x))) {
            let (mut at, mut size) = ((x, y), (WIDTH, HEIGHT));
            at.0 = if flags & 4 != 0 { WIDTH - 1 - x } else { x };
            at.1 = if flags & 8 != 0 { HEIGHT - 1 - y } else { y };
            for _ in 0..flags & 3 {
                at = (size.1 - 1 - at.1, at.0);
                size = (size.1, size.0);
            }
            let place = to + 4 * (at.1 * width + at.0) as usize;
            assert_eq!(
                driver.world.memory_mut()[place..place + 4],
                number.to_le_bytes(),
                "{flags}: {x}, {y}"
            );
        }
    }
}
