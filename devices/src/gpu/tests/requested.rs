//! Faults that were asked for.

use super::fixture::*;
use crate::function::Function;
use crate::gpu::{Gpu, GpuConfig};
use crate::state::{pack, unpack};

#[test]
fn a_ring_that_hangs_stays_busy_until_it_is_reset_and_then_works() {
    let mut driver = Driver::new();
    driver.world.give_fault("gpu:hang,after=2");
    driver.run(0, &[fence(1), fence(2)]);
    assert_eq!((driver.word(fence_word(0)), driver.read(0, STATUS)), (1, 3), "enabled and busy");
    // For ever: a hang is not a long job.
    driver.wait_ns(1 << 50);
    assert_eq!((driver.word(fence_word(0)), driver.read(0, ERROR_CODE)), (1, 0));
    // The other ring goes on.
    driver.run(1, &[fence(7)]);
    assert_eq!(driver.word(fence_word(1)), 7);
    driver.write(0, CONTROL, 2);
    driver.enable(0);
    driver.run(0, &[fence(3)]);
    assert_eq!(driver.word(fence_word(0)), 3);
}

#[test]
fn a_saved_hang_still_hangs() {
    let mut driver = Driver::new();
    driver.world.give_fault("gpu:hang");
    driver.run(0, &[fence(1)]);
    let again: Gpu = unpack(GpuConfig::default(), &pack(&driver.gpu)).unwrap();
    driver.world.clock = driver.world.clock.without_calls();
    again.rearm(&mut driver.world.ports());
    assert_eq!(driver.world.clock.pending(0), None);
    assert_eq!(again.save_state(), pack(&driver.gpu));
}

#[test]
fn a_job_that_fails_halts_its_ring_with_the_engines_code() {
    let mut driver = Driver::new();
    driver.world.give_fault("gpu:job-error,after=2");
    driver.run(0, &[fence(1), fence(2), fence(3)]);
    assert_eq!((driver.word(fence_word(0)), driver.read(0, ERROR_CODE)), (1, 8));
    assert_eq!(driver.read(0, ERROR_PACKET), 1);
    assert_eq!(driver.world.take_raised(), [0, ERRORS], "the fence, then the error's vector");
}

#[test]
fn a_slow_job_takes_as_many_times_as_long() {
    let fixed = GpuConfig::default().fixed_cycles;
    let mut driver = Driver::new();
    driver.world.give_fault("gpu:slow,factor=7");
    driver.submit(0, &[fence(1)]);
    driver.wait_ns(7 * fixed - 1);
    assert_eq!(driver.word(fence_word(0)), 0);
    driver.wait_ns(1);
    assert_eq!(driver.word(fence_word(0)), 1);
}

#[test]
fn a_fence_out_of_order_is_written_behind_the_next() {
    let mut driver = Driver::new();
    driver.world.give_fault("gpu:out-of-order,after=2");
    driver.run(0, &[fence(1), fence(2)]);
    assert_eq!(driver.word(fence_word(0)), 1);
    driver.run(0, &[fence(3)]);
    assert_eq!((driver.word(fence_word(0)), driver.read64(0, SEQNO)), (2, 3));
    driver.run(0, &[fence(4)]);
    assert_eq!(driver.word(fence_word(0)), 4);
}

#[test]
fn a_descriptor_that_cannot_be_read_halts_the_ring_at_its_address() {
    let mut driver = Driver::new();
    driver.world.give_fault("gpu:descriptor-error,after=2");
    driver.run(0, &[fence(1), fence(2)]);
    assert_eq!((driver.word(fence_word(0)), driver.read(0, ERROR_CODE)), (1, 5));
    assert_eq!(driver.read64(0, ERROR_ADDRESS), ring_base(0) + 128);
}
