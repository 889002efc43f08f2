//! A driver that writes anything, to registers and packets.

use zerocopy::IntoBytes;
use zerocopy::little_endian::U32;

use super::faults::recovers;
use super::fixture::*;
use crate::function::{Function, Words};
use crate::gpu::packet::RawPacket;
use crate::gpu::{Gpu, GpuConfig};
use crate::state::Stateful;

#[test]
fn a_driver_that_writes_anything_breaks_nothing_and_can_be_saved_at_any_time() {
    let bytes = noise(1 << 16);
    let mut driver = Driver::new();
    let list = driver.pages(&PAGES);
    for (turn, chunk) in bytes.chunks_exact(16).enumerate() {
        let small = |index: usize| u32::from(chunk[index]);
        let mut raw = RawPacket {
            dst: list.at(u64::from(small(0)) << (small(1) % 40), small(2) * 16),
            src: list.at(u64::from(small(3)) << (small(4) % 20), small(5) * 16),
            width: U32::new(small(6) << (small(7) % 24)),
            height: U32::new(small(8)),
            flags: U32::new(small(9) % 8),
            ..packet(small(10) % 13)
        };
        // One byte in eight packets is anything.
        if small(11) < 32 {
            raw.as_mut_bytes()[small(12) as usize % 128] = chunk[13];
        }
        driver.submit((turn % 2) as u32, &[raw]);
        driver.gpu.write(small(14) * 4, u32::from(chunk[15]), &mut driver.world.ports());
        driver.wait_ns(2000);
        if turn % 64 == 63 {
            let saved = driver.gpu.save();
            driver.gpu = Gpu::restore(GpuConfig::default(), saved.clone()).expect("its own state");
            driver.gpu.rearm(&mut driver.world.ports());
            assert_eq!(driver.gpu.save(), saved);
        }
        if turn % 8 == 7 {
            driver.write(0, CONTROL, 2);
            driver.write(1, CONTROL, 2);
            driver.enable(0);
            driver.enable(1);
        }
    }
    // The counters do not tell: the driver resets the function now and then.
    let errors = driver.world.take_raised().iter().filter(|&&vector| vector == ERRORS).count();
    assert!(errors > 100, "{errors} errors");
    recovers(&mut driver, 0);
}
