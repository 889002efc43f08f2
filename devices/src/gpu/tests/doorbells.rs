//! The tail word and its doorbell.

use fencepost_trace::{EngineId, Event};

use super::fixture::*;
use crate::function::{Doorbell, Function};
use crate::gpu::GpuConfig;
use crate::gpu::packet::RawPacket;
use crate::ports::Access;

const DMA: u32 = 5;
const RING: u32 = 7;
const ERROR: u32 = 8;

/// Both rings enabled, with tail words.
fn driver() -> Driver {
    let mut driver = Driver::disabled(GpuConfig::default());
    for ring in 0..2 {
        driver.write64(ring, TAIL_ADDR, tail_word(ring));
        driver.enable(ring);
    }
    driver
}

fn set_tail(driver: &mut Driver, ring: u32, tail: u32) {
    let at = tail_word(ring) as usize;
    driver.world.memory_mut()[at..at + 4].copy_from_slice(&tail.to_le_bytes());
}

fn submit(driver: &mut Driver, ring: u32, packets: &[RawPacket]) {
    let tail = driver.put(ring, packets);
    set_tail(driver, ring, tail);
    driver.write(ring, DOORBELL, 0xdead_beef);
}

#[test]
fn a_doorbell_takes_the_tail_from_memory() {
    let mut driver = driver();
    submit(&mut driver, 1, &[packet(0), fence(7)]);
    assert_eq!((driver.read(1, TAIL), driver.read(1, DOORBELL)), (2, 0));
    driver.wait_ns(1000);
    assert_eq!((driver.word(fence_word(1)), driver.read(1, HEAD)), (7, 2));
    assert_eq!(driver.world.take_raised(), [1]);
    assert!(driver.world.take_accesses().contains(&(tail_word(1), 4, Access::Read)));
    let told = Event::Doorbell { engine: EngineId::new(crate::testing::FAKE_RID, 0), queue: 1, tail: 2 };
    assert!(driver.world.trace.events.contains(&told));
}

/// Several rounds over the end of the ring, by one way or the other; what the guest sees of it.
fn rounds(way: fn(&mut Driver, u32, &[RawPacket])) -> (Vec<u8>, Vec<u16>, u64) {
    let mut driver = driver();
    let list = driver.pages(&PAGES);
    for round in 0..9 {
        way(&mut driver, 0, &[fill(list.at(round * 64, 0), 64, 1, round), signal(round)]);
        way(&mut driver, 0, &[fence(round)]);
        way(&mut driver, 1, &[wait(round), fence(round)]);
        driver.wait_ns(12_000);
    }
    (driver.contents(&PAGES), driver.world.take_raised(), driver.read64(0, SEQNO))
}

#[test]
fn both_ways_of_ringing_do_the_same() {
    let by_register = rounds(Driver::submit);
    assert_eq!((by_register.1.len(), by_register.2), (18, 8));
    assert_eq!(rounds(submit), by_register);
}

#[test]
fn one_doorbell_does_for_several_and_a_late_one_does_no_harm() {
    let mut driver = driver();
    let tail = driver.put(0, &[fence(1), fence(2)]);
    set_tail(&mut driver, 0, tail);
    driver.write(0, DOORBELL, 0);
    driver.write(0, DOORBELL, 0);
    driver.wait_ns(5000);
    driver.write(0, DOORBELL, 0);
    driver.wait_ns(5000);
    assert_eq!(driver.world.take_raised(), [0, 0]);
}

#[test]
fn a_doorbell_lets_waits_look_again() {
    let mut driver = driver();
    submit(&mut driver, 0, &[wait(1), fence(1)]);
    driver.wait_ns(600);
    driver.set_word(SEMAPHORE, 1);
    driver.write(1, DOORBELL, 0);
    driver.wait_ns(500);
    assert_eq!(driver.word(fence_word(0)), 1);
}

#[test]
fn a_refused_tail_word_halts_the_ring() {
    let mut driver = driver();
    submit(&mut driver, 0, &[fence(1), fence(2)]);
    driver.wait_ns(600);
    driver.world.refuse(tail_word(0), tail_word(0) + 4);
    driver.write(0, DOORBELL, 0);
    assert_eq!((driver.read(0, ERROR_CODE), driver.read64(0, ERROR_ADDRESS)), (DMA, tail_word(0)));
    assert_eq!(driver.read(0, ERROR_PACKET), 1);
    driver.wait_ns(5000);
    assert_eq!((driver.world.take_raised(), driver.word(fence_word(0))), (vec![0, ERRORS], 1));
    // Halted, it does not look again.
    driver.write(0, DOORBELL, 0);
    assert_eq!(driver.read(0, ERROR_COUNT), 1);
}

#[test]
fn a_tail_word_beyond_the_ring_halts_it() {
    let mut driver = driver();
    set_tail(&mut driver, 0, RING_PACKETS);
    driver.write(0, DOORBELL, 0);
    assert_eq!((driver.read(0, ERROR_CODE), driver.read(0, HEAD)), (RING, 0));
}

#[test]
fn without_a_tail_word_or_enabling_a_doorbell_does_nothing() {
    let mut driver = Driver::new();
    driver.put(0, &[fence(1)]);
    driver.write(0, DOORBELL, 1);
    let mut off = Driver::disabled(GpuConfig::default());
    off.write64(0, TAIL_ADDR, 1 << 40);
    off.write(0, DOORBELL, 1);
    for driver in [&mut driver, &mut off] {
        driver.wait_ns(5000);
        assert_eq!((driver.read(0, TAIL), driver.read(0, STATUS) & ERROR), (0, 0));
        assert!(driver.world.take_raised().is_empty());
    }
}

#[test]
fn the_address_is_checked_when_the_ring_is_enabled_and_locked_from_then_on() {
    let mut driver = Driver::disabled(GpuConfig::default());
    driver.write64(0, TAIL_ADDR, tail_word(0) + 2);
    driver.enable(0);
    assert_eq!((driver.read(0, STATUS), driver.read(0, ERROR_CODE)), (ERROR, RING));
    driver.write(0, CONTROL, 2);
    driver.write64(0, TAIL_ADDR, tail_word(0));
    driver.enable(0);
    driver.write64(0, TAIL_ADDR, 0xffff_ffff_0000);
    assert_eq!((driver.read(0, ERROR_CODE), driver.read64(0, TAIL_ADDR)), (0, tail_word(0)));
}

#[test]
fn the_doorbells_are_the_pages_registers() {
    let doorbells = driver().gpu.doorbells();
    let any = |offset| Doorbell { offset, bytes: 4, value: None };
    assert_eq!(doorbells, [any(0x158), any(0x258), any(0x358)]);
}
