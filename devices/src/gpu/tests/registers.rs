use super::fixture::*;
use crate::function::Words;
use crate::gpu::{Gpu, GpuConfig};
use crate::state::Stateful;

#[test]
fn unknown_offsets_read_as_zero_and_ignore_writes() {
    let mut driver = Driver::disabled(GpuConfig::default());
    let before = driver.gpu.save();
    let holes = [0x03c, 0x0fc, 0x11c, 0x15c, 0x1fc, 0x400, 0xffc, 0x1000, 0xffff_fffc];
    for offset in holes {
        driver.gpu.write(offset, u32::MAX, &mut driver.world.ports());
        assert_eq!(driver.gpu.read(offset, &mut driver.world.ports()), 0, "{offset:#x}");
    }
    assert_eq!(driver.gpu.save(), before);
}

#[test]
fn a_64_bit_register_is_written_and_read_by_halves() {
    let mut driver = Driver::disabled(GpuConfig::default());
    driver.write64(1, 0x00, 0x1234_5678_9abc_de80);
    driver.write(1, 0x04, 0x55);
    assert_eq!(driver.read64(1, 0x00), 0x55_9abc_de80);
}

#[test]
fn base_size_and_fence_are_locked_while_enabled() {
    let mut driver = Driver::new();
    driver.write64(0, 0x00, 0x8000);
    driver.write(0, 0x08, 4);
    driver.write64(0, 0x20, 0x8000);
    let now = (driver.read64(0, 0x00), driver.read(0, 0x08), driver.read64(0, 0x20));
    assert_eq!(now, (ring_base(0), RING_PACKETS, fence_word(0)));
}

#[test]
fn the_control_register_resets_everything() {
    let mut driver = Driver::new();
    driver.submit(0, &[wait(1)]);
    driver.wait_ns(1000);
    driver.gpu.write(0x034, 1, &mut driver.world.ports());
    assert_eq!(driver.gpu.save(), Gpu::new(GpuConfig::default()).save());
    assert_eq!(driver.world.clock.pending(0), None);
}

#[test]
fn the_cost_model_is_readable() {
    let config = GpuConfig { fixed_cycles: 0x1_0000_0002, bytes_per_cycle: 7.try_into().unwrap() };
    let mut driver = Driver::disabled(config);
    let mut read = |offset| driver.gpu.read(offset, &mut driver.world.ports());
    assert_eq!([0x020, 0x024, 0x028].map(&mut read), [2, 1, 7]);
}
