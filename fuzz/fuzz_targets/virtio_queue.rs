//! The rings and the descriptor table of a virtio queue, as bytes: a driver that keeps to nothing.
#![no_main]

use fencepost_devices::parameters::Parameters;
use fencepost_devices::registry::{NoHost, find};
use fencepost_devices::virtio::EVENT_IDX;
use fencepost_devices::virtio::registers::Id;
use fencepost_devices::virtio::testing::Driver;
use fencepost_fuzz::bytes::Bytes;
use libfuzzer_sys::fuzz_target;

/// Where the driver's ring is behind the table.
const DRIVER_RING: u64 = 0x4000;

fuzz_target!(|data: &[u8]| {
    let mut from = Bytes::new(data);
    let (how, size) = (from.u8(), from.u16());
    let model = find("virtio-rng").expect("it is in the list");
    let device = model.build(&Parameters::new(), &mut NoHost).expect("it can be built");
    let mut driver = Driver::new(device, if how & 1 != 0 { EVENT_IDX } else { 0 });
    if how & 2 != 0 {
        // Another size, sound or not, before the queue is enabled again.
        [
            (Id::Status, 0),
            (Id::Status, 0xb),
            (Id::QueueSize, u64::from(size)),
            (Id::QueueEnable, 1),
            (Id::Status, 0xf),
        ]
        .into_iter()
        .for_each(|(id, value)| driver.set(id, value));
    }
    while !from.is_empty() {
        let (what, at, len) = (from.u8(), u64::from(from.u16()), from.u8());
        let place = if what & 0x40 == 0 { Driver::RINGS } else { Driver::RINGS + DRIVER_RING } + at % 0x1000;
        driver.store(if what & 0x80 == 0 { place } else { at }, from.take(len.into()));
        if what & 1 != 0 {
            driver.kick(0);
        }
        if what & 2 != 0 {
            driver.wait(1_000_000);
        }
        if what & 4 != 0 && driver.get(Id::Status) & 0x40 != 0 {
            driver.restart();
        }
    }
    driver.wait(1_000_000_000);
    driver.used(0);
});
