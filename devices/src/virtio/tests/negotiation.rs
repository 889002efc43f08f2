//! Status, features, registers. Numbers are restated from the standard and from `virtio-bindings`.

use virtio_bindings::virtio_config::{VIRTIO_F_ACCESS_PLATFORM, VIRTIO_F_VERSION_1};
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};

use crate::parameters::Parameters;
use crate::registry::{Model, NoHost, find};
use crate::virtio::registers::Id;
use crate::virtio::testing::{Driver, Part};
use crate::virtio::{ACCESS_PLATFORM, EVENT_IDX, INDIRECT_DESC, VERSION_1};
use crate::virtio_rng::{RngConfig, RngParts, VirtioRng};

fn driver() -> Driver {
    let parts = RngParts { config: RngConfig::default(), entropy: None };
    Driver::new(Box::new(VirtioRng::power_on(parts).unwrap()), 0)
}

#[test]
fn feature_bits_are_those_of_the_kernels_headers() {
    let bits = [
        (INDIRECT_DESC, VIRTIO_RING_F_INDIRECT_DESC),
        (EVENT_IDX, VIRTIO_RING_F_EVENT_IDX),
        (VERSION_1, VIRTIO_F_VERSION_1),
        (ACCESS_PLATFORM, VIRTIO_F_ACCESS_PLATFORM),
    ];
    for (ours, theirs) in bits {
        assert_eq!(ours, 1 << theirs);
    }
    let mut driver = driver();
    driver.set(Id::DeviceFeatureSelect, 0);
    let low = driver.get(Id::DeviceFeature);
    driver.set(Id::DeviceFeatureSelect, 1);
    assert_eq!(driver.get(Id::DeviceFeature) << 32 | low, 0x3_3000_0000);
    driver.set(Id::DeviceFeatureSelect, 2);
    assert_eq!(driver.get(Id::DeviceFeature), 0);
}

/// The status that the driver reads back after it took `features`, reset first.
fn status_with(driver: &mut Driver, features: u64) -> u64 {
    driver.set(Id::Status, 0);
    driver.set(Id::Status, 3);
    for select in 0..2 {
        driver.set(Id::DriverFeatureSelect, select);
        driver.set(Id::DriverFeature, features >> (32 * select) & 0xffff_ffff);
    }
    driver.set(Id::Status, 0xb);
    driver.get(Id::Status)
}

#[test]
fn features_that_are_not_offered_or_must_be_taken_are_refused() {
    let mut driver = driver();
    assert_eq!(status_with(&mut driver, VERSION_1 | ACCESS_PLATFORM), 0xb);
    assert_eq!(status_with(&mut driver, VERSION_1), 3, "without the IOMMU");
    assert_eq!(status_with(&mut driver, ACCESS_PLATFORM), 3, "legacy");
    assert_eq!(status_with(&mut driver, VERSION_1 | ACCESS_PLATFORM | 1), 3, "not offered");
    driver.set(Id::Status, 0xf);
    assert_eq!(driver.get(Id::Status), 3, "no DRIVER_OK without FEATURES_OK");
}

#[test]
fn features_are_locked_once_they_are_taken() {
    let mut driver = driver();
    driver.set(Id::DriverFeatureSelect, 1);
    driver.set(Id::DriverFeature, 0);
    assert_eq!(driver.get(Id::DriverFeature), 3);
    driver.set(Id::Status, 0);
    assert_eq!(driver.get(Id::DriverFeature), 0, "a reset forgets them");
}

#[test]
fn an_enabled_queue_is_locked_but_for_its_vector() {
    let mut driver = driver();
    driver.set(Id::QueueSelect, 0);
    let before = (driver.get(Id::QueueSize), driver.get(Id::QueueDescriptors), driver.get(Id::QueueDevice));
    driver.set(Id::QueueSize, 4);
    driver.set(Id::QueueDescriptors, 0x1_2340);
    driver.set(Id::QueueDevice, 0x1_2340);
    driver.set(Id::QueueEnable, 0);
    let after = (driver.get(Id::QueueSize), driver.get(Id::QueueDescriptors), driver.get(Id::QueueDevice));
    assert_eq!((after, driver.get(Id::QueueEnable)), (before, 1));
    driver.set(Id::QueueVector, 1);
    assert_eq!(driver.get(Id::QueueVector), 1);
    driver.set(Id::QueueVector, 2);
    assert_eq!(driver.get(Id::QueueVector), 0xffff, "there are two");
}

#[test]
fn sizes_that_are_no_power_of_two_or_too_large_are_ignored() {
    let mut driver = driver();
    driver.set(Id::Status, 0);
    for (written, read) in [(32, 32), (33, 32), (0, 32), (128, 32), (64, 64)] {
        driver.set(Id::QueueSize, written);
        assert_eq!(driver.get(Id::QueueSize), read, "{written}");
    }
    driver.set(Id::QueueSelect, 1);
    assert_eq!((driver.get(Id::QueueSize), driver.get(Id::QueueVector)), (0, 0xffff), "there is one queue");
}

#[test]
fn without_a_vector_the_line_is_asserted_until_the_isr_is_read() {
    let mut driver = driver();
    driver.set(Id::QueueSelect, 0);
    driver.set(Id::QueueVector, 0xffff);
    assert_eq!(driver.request(0, &[Part::Write(0x1000, 8)]), Some(8));
    assert!(driver.world.msi.line && driver.world.take_raised().is_empty());
    assert_eq!(driver.read(0x1000, 1), 1);
    assert_eq!((driver.world.msi.line, driver.read(0x1000, 1)), (false, 0));
}

#[test]
fn addresses_are_written_whole_or_in_halves() {
    let mut driver = driver();
    driver.set(Id::Status, 0);
    driver.write(0x20, 4, 0x8765_4321);
    driver.write(0x24, 4, 0x1234);
    assert_eq!(driver.read(0x20, 8), 0x1234_8765_4320, "the low four bits are not there");
    driver.write(0x22, 4, 0);
    driver.write(0x20, 2, 0);
    driver.write(0x18, 4, 0);
    assert_eq!(driver.read(0x20, 8), 0x1234_8765_4320, "other accesses are ignored");
    assert_eq!(driver.read(0x14, 4), 0, "registers are read together");
}

#[test]
fn a_buffer_that_waits_when_the_driver_becomes_ready_is_found() {
    let mut driver = driver();
    driver.add(0, &[Part::Write(0x1000, 8)]);
    driver.set(Id::Status, 0xf);
    driver.wait(1_000_000);
    assert!(driver.used(0).is_empty(), "it was ready before, and is not told again");
    driver.kick(0);
    driver.wait(1_000_000);
    assert_eq!(driver.used(0), [(0, 8)]);
}

/// 4.1.4: id 9, and the types 1 to 4 each once, inside BAR 0.
#[test]
fn the_capabilities_lead_to_the_registers() {
    let device = find("virtio-rng").unwrap().build(&Parameters::new(), &mut NoHost).unwrap();
    let registers = crate::pci::configuration_space(&device.identity());
    let file = crate::registers::RegisterFile::new(&registers, 256);
    let byte = |at: usize| {
        let mut data = [0];
        file.read(at, &mut data);
        usize::from(data[0])
    };
    let word = |at: usize| (0..4).fold(0, |sum, index| sum | byte(at + index) << (8 * index));
    let (mut at, mut found) = (byte(0x34), Vec::new());
    while at != 0 {
        if byte(at) == 9 {
            assert_eq!(byte(at + 4), 0, "BAR 0");
            found.push((byte(at + 2), byte(at + 3), word(at + 8), word(at + 12)));
        }
        at = byte(at + 1);
    }
    let places = [(16, 1, 0, 0x38), (20, 2, 0x3000, 0x1000), (16, 3, 0x1000, 1), (16, 4, 0x2000, 0x1000)];
    assert_eq!(found, places);
}
