//! MSI-X: the table, the pending bits and the masks, beside a model of 3 vectors that is written down from the specification.
#![no_main]

use fencepost_devices::pci::testing::{FakePlatform, ToyFunction, windows};
use fencepost_devices::pci::{MsiSource, MsiWrite, PciRoot, Space, Untranslated, requester_id};
use fencepost_fuzz::bytes::Bytes;
use libfuzzer_sys::fuzz_target;

const SLOT: u8 = 1;
const CONFIG: u64 = (SLOT as u64) << 15;
/// Of the capability: message control, whose bit 15 enables and bit 14 masks all (PCI Local Bus 3.0, 6.8.2.3).
const CONTROL: u64 = CONFIG + 0x52;
const VECTORS: usize = 3;
/// BAR 0 has the toy's registers, BAR 2 the table and behind it the pending bits.
const RAISE: u64 = 0xc000_0000 + 0x0c;
const TABLE: u64 = 0xc000_1000;
const PENDING: u64 = TABLE + 16 * VECTORS as u64;

/// What the specification says that the function holds.
#[derive(Clone, Copy, Default)]
struct Vector {
    address: u64,
    data: u32,
    unmasked: bool,
    pending: bool,
}

#[derive(Default)]
struct Expected {
    vectors: [Vector; VECTORS],
    enabled: bool,
    masked: bool,
    master: bool,
}

impl Expected {
    /// What leaves now, of what is pending.
    fn leave(&mut self) -> Vec<MsiWrite> {
        let (on, rid) = (self.enabled && self.master && !self.masked, requester_id(SLOT));
        let open = |vector: &&mut (u16, &mut Vector)| on && vector.1.unmasked && vector.1.pending;
        let mut numbered: Vec<_> = (0u16..).zip(&mut self.vectors).collect();
        let leaving = numbered.iter_mut().filter(open).map(|(number, vector)| {
            vector.pending = false;
            let source = MsiSource::Vector { rid, vector: *number };
            MsiWrite { source, address: vector.address, data: vector.data }
        });
        leaving.collect()
    }
}

fuzz_target!(|data: &[u8]| {
    let mut from = Bytes::new(data);
    let mut root = PciRoot::new();
    root.add(SLOT, Box::new(ToyFunction::default())).expect("the slot is free");
    root.assign_bars(&windows()).expect("there is room");
    let mut platform = FakePlatform::new(0x1000, Untranslated);
    let mut expected = Expected::default();
    // Memory decoding is always on; what else the guest switches, the model follows.
    platform.lend(|it| root.ecam_write(CONFIG + 4, &[2, 0], it));
    while !from.is_empty() {
        let left = act(&mut root, &mut platform, &mut expected, &mut from);
        let sent = std::mem::take(&mut platform.messages);
        assert_eq!(sent, left, "what leaves");
        let mut bits = [0; 8];
        platform.lend(|it| root.read(Space::Memory, PENDING, &mut bits, it));
        let pending =
            (0..).zip(&expected.vectors).map(|(number, vector)| u64::from(vector.pending) << number);
        assert_eq!(u64::from_le_bytes(bits), pending.sum::<u64>(), "what is pending");
        platform.trace.events.clear();
    }
});

fn act(
    root: &mut PciRoot,
    platform: &mut FakePlatform,
    expected: &mut Expected,
    from: &mut Bytes<'_>,
) -> Vec<MsiWrite> {
    let (tag, value) = (from.u8(), from.u32());
    let number = usize::from(tag >> 4) % VECTORS;
    let vector = &mut expected.vectors[number];
    let entry = TABLE + 16 * number as u64;
    let mut write = |at: u64, value: u32| {
        platform.lend(|it| _ = root.write(Space::Memory, at, &value.to_le_bytes(), it));
    };
    match tag & 7 {
        0 => {
            // The lowest two bits of an address are zero.
            write(entry, value);
            vector.address = vector.address >> 32 << 32 | u64::from(value & !3);
        }
        1 => {
            write(entry + 4, value);
            vector.address = vector.address & 0xffff_ffff | u64::from(value) << 32;
        }
        2 => {
            write(entry + 8, value);
            vector.data = value;
        }
        3 | 4 => {
            write(entry + 12, value);
            vector.unmasked = value & 1 == 0;
        }
        5 => {
            (expected.enabled, expected.masked) = (value & 0x8000 != 0, value & 0x4000 != 0);
            platform.lend(|it| root.ecam_write(CONTROL, &(value as u16).to_le_bytes(), it));
        }
        6 => {
            expected.master = value & 4 != 0;
            platform.lend(|it| root.ecam_write(CONFIG + 4, &[2 | value as u8 & 4, 0], it));
        }
        _ => {
            // One that is not enabled loses it.
            vector.pending |= expected.enabled;
            write(RAISE, number as u32);
        }
    }
    expected.leave()
}
