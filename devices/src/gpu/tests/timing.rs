use std::collections::BTreeSet;

use zerocopy::little_endian::U32;

use super::fixture::*;
use crate::gpu::packet::{RawOperand, RawPacket};
use crate::testing::Random;

fn convert(flags: u32, src2: bool) -> (Driver, RawPacket) {
    let mut driver = Driver::new();
    let (from, to) = (driver.pages(&PAGES), driver.pages(&OTHER_PAGES));
    let src2 = if src2 { from.at(0, 32) } else { RawOperand::default() };
    let (flags, width, height) = (U32::new(flags), U32::new(32), U32::new(16));
    let packet =
        RawPacket { flags, dst: to.at(0, 128), src: from.at(0, 64), src2, width, height, ..packet(3) };
    (driver, packet)
}

fn ends_after(mut driver: Driver, packet: RawPacket, ns: u64) {
    driver.submit(0, &[packet]);
    driver.wait_ns(ns - 1);
    assert_eq!(driver.read(0, HEAD), 0, "ended early");
    driver.wait_ns(1);
    assert_eq!(driver.read(0, HEAD), 1, "ended late");
}

#[test]
fn a_packet_that_moves_nothing_takes_the_fixed_cycles() {
    ends_after(Driver::new(), packet(0), 500);
}

#[test]
fn a_fill_takes_its_bytes_rounded_up() {
    let mut driver = Driver::new();
    let list = driver.pages(&PAGES);
    ends_after(driver, fill(list.at(0, 0), 4100, 1, 0), 500 + 257);
}

#[test]
fn a_conversion_of_yuyv_takes_six_bytes_a_pixel() {
    let (driver, packet) = convert(0, false);
    ends_after(driver, packet, 500 + 32 * 16 * 6 / 16);
}

#[test]
fn a_conversion_of_nv12_takes_five_and_a_half_bytes_a_pixel() {
    let (driver, packet) = convert(1, true);
    ends_after(driver, packet, 500 + 32 * 16 * 11 / 2 / 16);
}

/// When the fences of both rings, begun together, were written, in nanoseconds; and the vectors raised.
fn fences(seed: u64) -> (Vec<u64>, Vec<u16>) {
    let mut driver = Driver::new();
    driver.world.clock.varied = Some(Random::new(seed));
    for ring in 0..2 {
        driver.submit(ring, &[fence(1), fence(2), fence(3)]);
    }
    let mut times = Vec::new();
    for ns in 1..=3 * 625 {
        driver.wait_ns(1);
        let written = [0, 1].map(|ring| driver.read64(ring, SEQNO)).iter().sum::<u64>();
        times.resize(written as usize, ns);
    }
    (times, driver.world.take_raised())
}

#[test]
fn varied_jobs_take_up_to_a_quarter_longer_and_raise_every_vector() {
    let mut orders = BTreeSet::new();
    for seed in 1..=200 {
        let (times, raised) = fences(seed);
        assert_eq!(times.len(), 6, "seed {seed}");
        assert!(times[0] >= 500 && times[5] >= 1500, "seed {seed}: {times:?}");
        assert_eq!([0, 1].map(|ring| raised.iter().filter(|&&vector| vector == ring).count()), [3, 3]);
        orders.insert(raised);
    }
    assert!(orders.len() > 4, "{orders:?}");
}

#[test]
fn nothing_is_written_before_a_job_ends() {
    let mut driver = Driver::new();
    let list = driver.pages(&PAGES);
    driver.submit(0, &[fill(list.at(0, 0), 4096, 1, 0xffff_ffff)]);
    driver.wait_ns(500 + 255);
    assert!(driver.contents(&PAGES).iter().all(|&byte| byte == 0));
    driver.wait_ns(1);
    assert_eq!(driver.contents(&PAGES)[..4096], [0xff; 4096]);
}
