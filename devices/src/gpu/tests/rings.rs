//! What the rings are to each other: general ones, and one that copies.

use zerocopy::little_endian::U64;

use super::fixture::*;
use crate::gpu::packet::RawPacket;

const OPCODE: u32 = 1;

#[test]
fn the_copy_ring_takes_copies_semaphores_and_fences() {
    let mut driver = Driver::new();
    let bytes = noise(64);
    driver.store(&PAGES, &bytes);
    let (from, to) = (driver.pages(&PAGES), driver.pages(&OTHER_PAGES));
    driver.set_word(SEMAPHORE, 1);
    let packets = [
        packet(0),
        fill(to.at(4096, 0), 4, 1, 0x0403_0201),
        copy(to.at(0, 0), from.at(0, 0), 64, 1),
        wait(1),
        signal(2),
        fence(9),
    ];
    driver.run(COPY_RING, &packets);
    assert_eq!(driver.contents(&OTHER_PAGES)[..64], bytes);
    assert_eq!(driver.contents(&OTHER_PAGES)[4096..4100], [1, 2, 3, 4]);
    assert_eq!((driver.word(SEMAPHORE), driver.word(fence_word(COPY_RING))), (2, 9));
    assert_eq!(driver.world.take_raised(), [COPY_RING as u16]);
}

#[test]
fn the_copy_ring_refuses_what_the_others_take() {
    for ring in 0..3 {
        let mut driver = Driver::new();
        let (from, to) = (driver.pages(&PAGES), driver.pages(&OTHER_PAGES));
        let (width, height) = (2.into(), 1.into());
        let convert = RawPacket { dst: to.at(0, 0), src: from.at(0, 0), width, height, ..packet(3) };
        driver.run(ring, &[convert]);
        let code = if ring == COPY_RING { OPCODE } else { 0 };
        assert_eq!(driver.read(ring, ERROR_CODE), code, "ring {ring}");
    }
}

#[test]
fn three_rings_run_in_the_time_of_one() {
    let mut driver = Driver::new();
    let list = driver.pages(&PAGES);
    for ring in 0..3u32 {
        driver.submit(ring, &[fill(list.at(4096 * u64::from(ring), 0), 4096, 1, 7), fence(1)]);
    }
    driver.wait_ns(500 + 256 + 500);
    assert_eq!([0, 1, 2].map(|ring| driver.word(fence_word(ring))), [1, 1, 1]);
}

#[test]
fn a_reset_of_one_ring_leaves_the_jobs_of_the_others() {
    let mut driver = Driver::new();
    driver.submit(0, &[wait(1)]);
    driver.submit(1, &[packet(0), fence(5)]);
    driver.submit(COPY_RING, &[packet(0), fence(6)]);
    driver.wait_ns(600);
    driver.write(0, CONTROL, 2);
    driver.wait_ns(400);
    assert_eq!((driver.word(fence_word(1)), driver.word(fence_word(COPY_RING))), (5, 6));
    assert_eq!(driver.read(0, STATUS), 0);
}

#[test]
fn a_ring_counts_the_cycles_of_its_packets_but_not_of_waiting() {
    let mut driver = Driver::new();
    let list = driver.pages(&PAGES);
    driver.run(0, &[fill(list.at(0, 0), 4096, 1, 7), wait(1)]);
    assert_eq!(driver.read64(0, BUSY_CYCLES), 500 + 256);
    driver.set_word(SEMAPHORE, 1);
    driver.wait_ns(20_000);
    assert_eq!((driver.read64(0, BUSY_CYCLES), driver.read64(1, BUSY_CYCLES)), (500 + 256 + 500, 0));
}

#[test]
fn a_fence_writes_the_cycles_before_it_where_it_is_told() {
    let mut driver = Driver::new();
    let at = 0x7800;
    let told = RawPacket { address: U64::new(at), ..fence(3) };
    driver.run(1, &[packet(0), packet(0), told]);
    assert_eq!((driver.word(at), driver.word(fence_word(1))), (1000, 3));
    // A refused word: no fence either.
    driver.world.refuse(at, at + 8);
    driver.run(1, &[RawPacket { address: U64::new(at), ..fence(4) }]);
    assert_eq!((driver.read(1, ERROR_CODE), driver.word(fence_word(1))), (5, 3));
}

#[test]
fn a_fault_of_one_ring_passes_over_the_others() {
    let mut driver = Driver::new();
    driver.world.give_fault("gpu:job-error,ring=2");
    driver.run(0, &[fence(1)]);
    driver.run(1, &[fence(1)]);
    driver.run(COPY_RING, &[fence(1)]);
    assert_eq!([0, 1, 2].map(|ring| driver.read(ring, ERROR_CODE)), [0, 0, 8]);
}
