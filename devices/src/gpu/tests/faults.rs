use zerocopy::little_endian::{U32, U64};

use super::fixture::*;
use crate::function::Words;
use crate::gpu::GpuConfig;
use crate::gpu::packet::{RawOperand, RawPacket};

const OPCODE: u32 = 1;
const PACKET: u32 = 2;
const SG_LIST: u32 = 3;
const BOUNDS: u32 = 4;
const DMA: u32 = 5;
const RING: u32 = 7;

const ENABLED: u32 = 1;
const ERROR: u32 = 8;

/// Runs a good packet and then a bad one: the ring halts on the second with `code`, and works again after a reset.
fn halts(mut driver: Driver, bad: RawPacket, code: u32, why: &str) {
    driver.run(0, &[packet(0), bad, fence(1)]);
    assert_eq!(driver.read(0, ERROR_CODE), code, "{why}");
    assert_eq!((driver.read(0, ERROR_PACKET), driver.read(0, HEAD)), (1, 1), "{why}");
    assert_eq!(driver.read(0, STATUS), ENABLED | ERROR, "{why}");
    assert_eq!(driver.world.take_raised(), [ERRORS], "{why}");
    assert_eq!(driver.word(fence_word(0)), 0, "{why}");
    recovers(&mut driver, 0);
}

pub fn recovers(driver: &mut Driver, ring: u32) {
    let count = driver.read(ring, ERROR_COUNT);
    driver.write(ring, CONTROL, 2);
    assert_eq!((driver.read(ring, STATUS), driver.read(ring, ERROR_CODE)), (0, 0));
    driver.enable(ring);
    driver.run(ring, &[fence(77)]);
    assert_eq!(driver.word(fence_word(ring)), 77);
    assert_eq!(driver.read(ring, ERROR_COUNT), count);
}

#[test]
fn bad_packets_halt_the_ring() {
    let mut list_driver = Driver::new();
    let list = list_driver.pages(&PAGES);
    let good = fill(list.at(0, 16), 16, 4, 1);
    let yuyv = RawPacket {
        dst: list.at(0, 64),
        src: list.at(0, 32),
        width: U32::new(16),
        height: U32::new(4),
        ..packet(3)
    };
    let (one, odd, zero) = (U32::new(1), U32::new(15), U32::ZERO);
    let rows: &[(&str, RawPacket, u32)] = &[
        ("the first opcode beyond the table", packet(12), OPCODE),
        ("an opcode with high bits", packet(0x1_0001), OPCODE),
        ("a reserved byte", RawPacket { reserved: [1; 4], ..good }, PACKET),
        ("an unused flag", RawPacket { flags: one, ..good }, PACKET),
        ("an unused operand", RawPacket { src: list.at(0, 0), ..good }, PACKET),
        ("an unused address", RawPacket { address: U64::new(8), ..packet(0) }, PACKET),
        ("no rows", RawPacket { height: zero, ..good }, PACKET),
        ("no bytes", RawPacket { width: zero, ..good }, PACKET),
        ("half a pattern", RawPacket { width: U32::new(14), ..good }, PACKET),
        ("a pattern of 33 bits", RawPacket { value: U64::new(1 << 32), ..good }, PACKET),
        ("rows that overlap", RawPacket { dst: list.at(0, 12), ..good }, PACKET),
        ("more than 1 GiB", fill(list.at(0, 0), 0x4000_0004, 1, 0), PACKET),
        ("too many rows", fill(list.at(0, 4), 4, 65_537, 0), PACKET),
        ("an odd width", RawPacket { width: odd, ..yuyv }, PACKET),
        ("too wide", RawPacket { width: U32::new(8194), ..yuyv }, PACKET),
        ("an unknown format", RawPacket { flags: U32::new(2), ..yuyv }, PACKET),
        ("an unknown flag", RawPacket { flags: U32::new(8), ..yuyv }, PACKET),
        ("a second plane for YUYV", RawPacket { src2: list.at(0, 32), ..yuyv }, PACKET),
        (
            "odd rows of NV12",
            RawPacket { flags: one, height: U32::new(3), src2: list.at(0, 16), ..yuyv },
            PACKET,
        ),
        ("no second plane for NV12", RawPacket { flags: one, ..yuyv }, PACKET),
        ("a misaligned semaphore", RawPacket { address: U64::new(SEMAPHORE + 4), ..packet(5) }, PACKET),
        ("an empty list", RawPacket { dst: RawOperand { entries: zero, ..good.dst }, ..good }, SG_LIST),
        (
            "a long list",
            RawPacket { dst: RawOperand { entries: U32::new(32_769), ..good.dst }, ..good },
            SG_LIST,
        ),
        ("a byte beyond the end", fill(list.at(4 * 4096 - 12, 0), 16, 1, 0), BOUNDS),
        ("a last row beyond the end", fill(list.at(0, 4096), 16, 5, 0), BOUNDS),
        ("an offset that wraps", fill(list.at(u64::MAX - 3, 16), 16, 2, 0), BOUNDS),
        ("a list without memory", fill(List { table: 1 << 40, entries: 1 }.at(0, 0), 16, 1, 0), DMA),
        (
            "a list at the end of the address space",
            fill(List { table: u64::MAX, entries: 1 }.at(0, 0), 16, 1, 0),
            DMA,
        ),
        ("a semaphore without memory", RawPacket { address: U64::new(1 << 40), ..packet(5) }, DMA),
        ("a wait without memory", RawPacket { address: U64::new(1 << 40), ..packet(4) }, DMA),
    ];
    for &(why, bad, code) in rows {
        // The same allocations give the same list in every driver.
        let mut driver = Driver::new();
        driver.pages(&PAGES);
        halts(driver, bad, code, why);
    }
}

#[test]
fn refused_pixels_halt_the_ring_with_their_address() {
    let mut driver = Driver::new();
    let list = driver.pages(&PAGES);
    driver.world.refuse(PAGES[1], PAGES[1] + 4096);
    driver.run(0, &[fill(list.at(0, 0), 8192, 1, 1)]);
    assert_eq!((driver.read(0, ERROR_CODE), driver.read64(0, ERROR_ADDRESS)), (DMA, PAGES[1]));
}

#[test]
fn a_refused_packet_halts_the_ring() {
    let mut driver = Driver::new();
    driver.world.refuse(ring_base(0), ring_base(0) + 128);
    driver.run(0, &[packet(0)]);
    assert_eq!((driver.read(0, ERROR_CODE), driver.read64(0, ERROR_ADDRESS)), (DMA, ring_base(0)));
}

#[test]
fn a_refused_fence_word_halts_the_ring_without_its_vector() {
    let mut driver = Driver::new();
    driver.world.refuse(fence_word(0), fence_word(0) + 8);
    driver.run(0, &[fence(1)]);
    assert_eq!((driver.read(0, ERROR_CODE), driver.read64(0, SEQNO)), (DMA, 0));
    assert_eq!(driver.world.take_raised(), [ERRORS]);
}

#[test]
fn one_rings_error_leaves_the_other_alone() {
    let mut driver = Driver::new();
    driver.run(0, &[packet(99)]);
    driver.run(1, &[fence(3)]);
    assert_eq!(driver.word(fence_word(1)), 3);
    assert_eq!(driver.gpu.read(0x030, &mut driver.world.ports()), 0b01);
}

#[test]
fn errors_are_counted_over_resets() {
    let mut driver = Driver::new();
    for count in 1..=3 {
        driver.run(1, &[packet(99)]);
        assert_eq!(driver.read(1, ERROR_COUNT), count);
        driver.write(1, CONTROL, 2);
        driver.enable(1);
    }
}

#[test]
fn a_halted_ring_ignores_doorbells_and_enabling() {
    let mut driver = Driver::new();
    driver.run(0, &[packet(99)]);
    driver.write(0, CONTROL, 1);
    driver.run(0, &[fence(1)]);
    assert_eq!((driver.read(0, STATUS), driver.word(fence_word(0))), (ENABLED | ERROR, 0));
}

#[test]
fn a_stopped_ring_keeps_its_error_until_it_is_reset() {
    let mut driver = Driver::new();
    driver.run(0, &[packet(99)]);
    driver.write(0, CONTROL, 0);
    assert_eq!((driver.read(0, STATUS), driver.read(0, ERROR_CODE)), (ERROR, OPCODE));
    driver.write(0, CONTROL, 3);
    assert_eq!((driver.read(0, STATUS), driver.read(0, ERROR_CODE)), (ENABLED, 0));
}

#[test]
fn a_reset_drops_the_job_in_execution() {
    let mut driver = Driver::new();
    let list = driver.pages(&PAGES);
    driver.submit(0, &[fill(list.at(0, 0), 4096, 1, 1), fence(1)]);
    driver.wait_ns(100);
    driver.write(0, CONTROL, 2);
    driver.wait_ns(1_000_000);
    assert!(driver.contents(&PAGES).iter().all(|&byte| byte == 0));
    recovers(&mut driver, 0);
}

#[test]
fn a_ring_that_is_not_valid_does_not_enable() {
    let rows: [(&str, u64, u32, u64); 7] = [
        ("no packets", 0x4000, 0, 0x6000),
        ("one packet", 0x4000, 1, 0x6000),
        ("not a power of two", 0x4000, 6, 0x6000),
        ("too many packets", 0x4000, 8192, 0x6000),
        ("a misaligned base", 0x4040, 8, 0x6000),
        ("a ring that wraps", u64::MAX - 0x7f, 8, 0x6000),
        ("a misaligned fence", 0x4000, 8, 0x6004),
    ];
    for (why, base, size, fence) in rows {
        let mut driver = Driver::disabled(GpuConfig::default());
        driver.write64(0, 0x00, base);
        driver.write(0, 0x08, size);
        driver.write64(0, 0x20, fence);
        driver.write(0, CONTROL, 1);
        assert_eq!((driver.read(0, STATUS), driver.read(0, ERROR_CODE)), (ERROR, RING), "{why}");
        assert_eq!(driver.world.take_raised(), [ERRORS], "{why}");
    }
}

#[test]
fn a_tail_beyond_the_ring_halts_it() {
    let mut driver = Driver::new();
    driver.write(0, TAIL, RING_PACKETS);
    assert_eq!((driver.read(0, ERROR_CODE), driver.read(0, HEAD)), (RING, 0));
    recovers(&mut driver, 0);
}

#[test]
fn a_packet_or_list_that_changes_after_the_start_is_not_read_again() {
    let mut driver = Driver::new();
    let list = driver.pages(&PAGES[..1]);
    driver.submit(0, &[fill(list.at(0, 16), 16, 4, 0x1111_1111)]);
    let other = OTHER_PAGES[0];
    driver.set_word(list.table, other);
    driver.set_word(ring_base(0) + 96, 0x2222_2222);
    driver.wait_ns(1_000_000);
    assert_eq!((driver.read(0, ERROR_CODE), driver.read(0, HEAD)), (0, 1));
    assert_eq!((driver.word(PAGES[0]), driver.word(other)), (0x1111_1111_1111_1111, 0));
}
