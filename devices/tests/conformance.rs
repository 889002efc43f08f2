//! Every model of this crate does what every model must do (`testing::conformance`).

use fencepost_devices::registry::{MODELS, find};
use fencepost_devices::testing::conformance::{self, Start};
use fencepost_devices::virtio::testing::Part;

#[test]
fn a_device_that_is_saved_and_restored_goes_on_as_one_that_is_not() {
    MODELS.iter().for_each(conformance::goes_on_when_it_is_restored);
}

#[test]
fn a_damaged_or_foreign_state_is_refused() {
    MODELS.iter().for_each(conformance::refuses_a_state_that_is_not_its_own);
}

#[test]
fn the_keys_of_every_configuration_are_declared_as_they_are() {
    MODELS.iter().for_each(conformance::declares_its_keys);
}

#[test]
fn a_restored_device_asks_again_for_the_calls_that_it_waits_for() {
    for model in MODELS {
        let start = STARTS.iter().find(|(kind, _)| *kind == model.kind);
        let (_, start) = start.unwrap_or_else(|| panic!("what starts a {}? Add it to STARTS", model.kind));
        conformance::asks_again_for_its_calls(model, start);
    }
}

#[test]
fn kinds_and_slots_are_unique() {
    for (at, model) in MODELS.iter().enumerate() {
        assert_eq!(find(model.kind).map(|found| found.kind), Ok(model.kind));
        conformance::has_a_name_and_a_slot(model);
        for other in &MODELS[..at] {
            assert!(model.kind != other.kind && (model.slot.is_none() || model.slot != other.slot));
        }
    }
    let error = find("gup").err();
    assert_eq!(
        error.as_deref().and_then(|why| why.split_once("; ")).map(|(_, hint)| hint),
        Some("did you mean gpu?")
    );
}

/// What starts the engine of each.
const STARTS: &[(&str, Start)] = &[
    (
        "gpu",
        Start::Registers {
            // A fence packet; its ring, fence word, enable bit and tail.
            memory: &[(0x1000, 6), (0x1008, 7)],
            registers: &[(0x100, 0x1000), (0x108, 2), (0x120, 0x2000), (0x114, 1), (0x110, 1)],
        },
    ),
    (
        "camera",
        Start::Registers {
            // Queue, completions, ring entries, stream on: frames are dropped, for there is no buffer.
            memory: &[],
            registers: &[(0x98, 0x1000), (0xa0, 0x2000), (0xa8, 4), (0x0c0, 1)],
        },
    ),
    (
        "display",
        Start::Registers {
            // Interrupts, a mode of 640x480 and its clock, on.
            memory: &[],
            registers: &[
                (0x14, 7),
                (0x104, 640 | 480 << 16),
                (0x108, 800 | 493 << 16),
                (0x10c, 23_660),
                (0x100, 1),
            ],
        },
    ),
    // The factorial of 5.
    ("edu", Start::Registers { memory: &[], registers: &[(0x08, 5)] }),
    ("pvpanic", Start::NoEngine),
    (
        "virtio-console",
        Start::Virtio { memory: &[(0x1000, b"hello")], queue: 1, parts: &[Part::Read(0x1000, 5)] },
    ),
    ("virtio-net", Start::Virtio { memory: &[], queue: 1, parts: &[Part::Read(0x1000, 72)] }),
    ("virtio-rng", Start::Virtio { memory: &[], queue: 0, parts: &[Part::Write(0x1000, 64)] }),
    // GET_DISPLAY_INFO.
    (
        "virtio-gpu",
        Start::Virtio {
            memory: &[(0x1000, &[0, 1])],
            queue: 0,
            parts: &[Part::Read(0x1000, 24), Part::Write(0x2000, 408)],
        },
    ),
    // Caps lock is lit.
    ("virtio-keyboard", Start::Virtio { memory: CAPS_LOCK, queue: 1, parts: &[Part::Read(0x1000, 8)] }),
    ("virtio-tablet", Start::Virtio { memory: CAPS_LOCK, queue: 1, parts: &[Part::Read(0x1000, 8)] }),
    // A request, of whatever kind.
    (
        "virtio-fs",
        Start::Virtio {
            memory: &[(0x1000, &[40, 0, 0, 0, 1])],
            queue: 1,
            parts: &[Part::Read(0x1000, 40), Part::Write(0x2000, 144)],
        },
    ),
    // Requests are answered at once.
    ("virtio-iommu", Start::NoEngine),
    // A write of 256 sectors to sector 8: it takes two parts.
    (
        "virtio-blk",
        Start::Virtio {
            memory: &[(0x1000, &[1, 0, 0, 0, 0, 0, 0, 0, 8])],
            queue: 0,
            parts: &[Part::Read(0x1000, 16), Part::Read(0x2000, 0x2_0000), Part::Write(0x1100, 1)],
        },
    ),
];

/// An event of an input device: EV_LED, LED_CAPSL, on.
const CAPS_LOCK: &[(u64, &[u8])] = &[(0x1000, &[0x11, 0, 1, 0, 1, 0, 0, 0])];
