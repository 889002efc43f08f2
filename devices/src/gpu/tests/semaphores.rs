use fencepost_trace::Event;
use zerocopy::little_endian::{U32, U64};

use super::fixture::*;
use crate::gpu::packet::RawPacket;

const WAITING: u32 = 1 << 2;

#[test]
fn a_wait_on_a_satisfied_semaphore_ends_at_once() {
    let mut driver = Driver::new();
    driver.set_word(SEMAPHORE, 9);
    driver.submit(0, &[wait(5), fence(1)]);
    driver.wait_ns(1000);
    assert_eq!(driver.read64(0, SEQNO), 1);
}

#[test]
fn a_wait_for_equality_does_not_take_more() {
    let mut driver = Driver::new();
    driver.set_word(SEMAPHORE, 9);
    driver.run(0, &[RawPacket { flags: U32::new(1), ..wait(5) }, fence(1)]);
    assert_eq!(driver.read(0, STATUS) & WAITING, WAITING);
}

#[test]
fn a_signal_on_one_ring_releases_the_other_in_the_same_moment() {
    let mut driver = Driver::new();
    driver.submit(0, &[wait(3), fence(1)]);
    driver.submit(1, &[signal(3)]);
    // The wait first looks after 500 ns, just before the signal; its next poll would be at 10,500 ns.
    driver.wait_ns(1000);
    assert_eq!(driver.read64(0, SEQNO), 1);
    let engine = fencepost_trace::EngineId::new(crate::testing::FAKE_RID, 0);
    let signalled = Event::SemaphoreSignal { engine, iova: SEMAPHORE, value: 3 };
    let acquired = Event::SemaphoreAcquire { engine, iova: SEMAPHORE, value: 3 };
    let semaphores: Vec<_> =
        driver.world.trace.events.iter().filter(|event| [&signalled, &acquired].contains(event)).collect();
    assert_eq!(semaphores, [&signalled, &acquired]);
}

#[test]
fn a_store_by_the_cpu_is_seen_at_the_next_poll() {
    let mut driver = Driver::new();
    driver.submit(0, &[wait(1), fence(1)]);
    driver.wait_ns(600);
    driver.set_word(SEMAPHORE, 1);
    driver.wait_ns(10_499 - 600);
    assert_eq!(driver.read(0, STATUS) & WAITING, WAITING);
    driver.wait_ns(1);
    assert_eq!(driver.read(0, STATUS) & WAITING, 0);
}

#[test]
fn a_store_by_the_cpu_is_seen_at_a_doorbell() {
    let mut driver = Driver::new();
    driver.submit(0, &[wait(1), fence(1)]);
    driver.wait_ns(600);
    driver.set_word(SEMAPHORE, 1);
    driver.submit(1, &[]);
    assert_eq!(driver.read(0, STATUS) & WAITING, 0);
}

#[test]
fn a_wait_that_nobody_satisfies_times_out_to_the_nanosecond() {
    let mut driver = Driver::new();
    driver.write(0, WAIT_TIMEOUT, 25);
    driver.submit(0, &[packet(0), wait(1), fence(1)]);
    driver.wait_ns(500 + 24_999);
    assert_eq!(driver.read(0, ERROR_CODE), 0);
    driver.wait_ns(1);
    assert_eq!((driver.read(0, ERROR_CODE), driver.read(0, ERROR_PACKET)), (6, 1));
    assert_eq!(driver.world.take_raised(), [ERRORS]);
}

#[test]
fn a_timeout_of_zero_waits_for_ever() {
    let mut driver = Driver::new();
    driver.write(0, WAIT_TIMEOUT, 0);
    driver.submit(0, &[wait(1)]);
    driver.wait_ns(2_000_000_000);
    assert_eq!(driver.read(0, STATUS), 0b111);
}

#[test]
fn the_other_ring_runs_while_one_waits() {
    let mut driver = Driver::new();
    driver.submit(0, &[wait(1)]);
    driver.run(1, &[fence(5)]);
    assert_eq!(driver.word(fence_word(1)), 5);
}

#[test]
fn a_patient_wait_does_not_time_out() {
    let mut driver = Driver::new();
    driver.write(0, WAIT_TIMEOUT, 25);
    driver.submit(0, &[RawPacket { flags: U32::new(2), ..wait(1) }, fence(1)]);
    driver.wait_ns(2_000_000_000);
    assert_eq!(driver.read(0, STATUS), 0b111);
    driver.set_word(SEMAPHORE, 1);
    driver.wait_ns(10_000 + 500);
    assert_eq!(driver.read64(0, SEQNO), 1);
}

#[test]
fn a_fence_of_one_ring_releases_the_other_in_the_same_moment() {
    let mut driver = Driver::new();
    let on_fence = RawPacket { address: U64::new(fence_word(1)), ..wait(7) };
    driver.submit(0, &[on_fence, fence(1)]);
    driver.submit(1, &[packet(0), packet(0), fence(7)]);
    // Ring 1's third packet ends at 1,500 ns; the poll of ring 0 would be at 10,500 ns.
    driver.wait_ns(1500);
    assert_eq!(driver.read(0, STATUS) & WAITING, 0);
    driver.wait_ns(500);
    assert_eq!(driver.read64(0, SEQNO), 1);
}
