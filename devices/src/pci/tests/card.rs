//! A card of an odd shape: BARs of every kind, accesses as issued, MSI, INTx, and MSI-X beside registers.
//!
//! Offsets and bits are restated from the PCI Local Bus Specification 3.0.

use fencepost_trace::Event;

use super::odd_card::{OddCard, Seen};
use super::testing::{FakePlatform, windows};
use super::*;
use crate::function::{Bar, Function, Pin};
use crate::state::{Stateful, pack, unpack};
use crate::testing::Random;

const SLOT: u8 = 6;
/// The firmware's choice: the first port, page and 64 MiB of each window.
const PORTS: u64 = 0xc000;
const SMALL: u64 = 0xc000_0000;
const LARGE: u64 = 0xc400_0000;

struct Bench {
    root: PciRoot,
    platform: FakePlatform,
}

impl Bench {
    /// Ports, memory and bus mastering on.
    fn new(card: OddCard) -> Self {
        let mut root = PciRoot::new();
        root.add(SLOT, Box::new(card)).unwrap();
        root.assign_bars(&windows()).unwrap();
        let mut bench = Bench { root, platform: FakePlatform::new(0x1000, Untranslated) };
        bench.config_write(0x04, 2, 0x0007);
        bench
    }

    fn config(&mut self, register: u64) -> u32 {
        let mut data = [0; 4];
        let root = &mut self.root;
        self.platform.lend(|p| root.ecam_read((u64::from(SLOT) << 15) + register, &mut data, p));
        u32::from_le_bytes(data)
    }

    fn config_write(&mut self, register: u64, bytes: usize, value: u32) {
        let (root, data) = (&mut self.root, &value.to_le_bytes()[..bytes]);
        self.platform.lend(|p| root.ecam_write((u64::from(SLOT) << 15) + register, data, p));
    }

    fn read<const N: usize>(&mut self, space: Space, address: u64) -> Option<[u8; N]> {
        let (root, mut data) = (&mut self.root, [0; N]);
        self.platform.lend(|p| root.read(space, address, &mut data, p)).then_some(data)
    }

    fn write(&mut self, space: Space, address: u64, data: &[u8]) -> bool {
        let root = &mut self.root;
        self.platform.lend(|p| root.write(space, address, data, p))
    }

    fn seen(&mut self) -> Vec<Seen> {
        let function = self.root.function_mut(requester_id(SLOT)).unwrap();
        std::mem::take(&mut function.as_any().downcast_mut::<OddCard>().unwrap().seen)
    }

    fn asserted(&self) -> Vec<(u8, Pin)> {
        self.root.asserted().collect()
    }

    fn sent(&mut self) -> Vec<(u64, u32)> {
        std::mem::take(&mut self.platform.messages).iter().map(|m| (m.address, m.data)).collect()
    }

    /// Enables MSI with `allowed` (a logarithm), at 0xfee0_1000 with data 0x5064.
    fn enable_msi(&mut self, allowed: u32) {
        self.config_write(0xa4, 4, 0xfee0_1003);
        self.config_write(0xa8, 4, 0);
        self.config_write(0xac, 2, 0x5067);
        self.config_write(0xa2, 2, allowed << 4 | 1);
    }
}

#[test]
fn the_header_is_the_identitys() {
    let mut bench = Bench::new(OddCard::conventional());
    assert_eq!(bench.config(0x00), 0xab1e_5ca1);
    assert_eq!(bench.config(0x08), 0x0401_0010);
    assert_eq!(bench.config(0x2c), 0xa4d5_0ddc);
    assert_eq!(bench.config(0x3c) >> 8 & 0xff, 2, "INTB#");
    let bars: Vec<u32> = (0..6).map(|bar| bench.config(0x10 + 4 * bar)).collect();
    assert_eq!(bars, [0xc001, 0xc000_0000, 0xc400_000c, 0, 0, 0xc021]);
    let mut at = u64::from(bench.config(0x34) & 0xff);
    let mut ids = Vec::new();
    while at != 0 {
        let header = bench.config(at);
        ids.push((at, header & 0xff));
        at = u64::from(header >> 8 & 0xff);
    }
    assert_eq!(ids, [(0x40, 0x01), (0xa0, 0x05)], "power management and MSI alone");
    assert_eq!(bench.config(0xa0) >> 16, 0x0184, "64-bit, masks, four messages");
}

#[test]
fn every_kind_of_bar_gives_its_size() {
    let mut bench = Bench::new(OddCard::conventional());
    (0..6).for_each(|bar| bench.config_write(0x10 + 4 * bar, 4, u32::MAX));
    let bars: Vec<u32> = (0..6).map(|bar| bench.config(0x10 + 4 * bar)).collect();
    assert_eq!(bars, [0xffff_ffe1, 0xffff_ffc0, 0xfc00_000c, 0xffff_ffff, 0, 0xffff_fffd]);
}

#[test]
fn a_64_bit_bar_without_room_below_4_gib_is_above() {
    let huge = Bar::Memory64 { bytes: 4 << 30, prefetchable: true };
    let mut bars = [Bar::None; 6];
    (bars[0], bars[2], bars[4]) = (huge, Bar::Memory32 { bytes: 16, prefetchable: false }, huge);
    let mut bench = Bench::new(OddCard::with_bars(bars));
    let low: Vec<u32> = (0..6).map(|bar| bench.config(0x10 + 4 * bar)).collect();
    assert_eq!(low, [0xc, 0x40, 0xc000_0000, 0, 0xc, 0x41]);
    assert_eq!(
        bench.read::<2>(Space::Memory, 0x41_1234_5678),
        Some([0xf8, 0xf9]),
        "offset 0x1_..78 of BAR 4"
    );
    bars[4] = Bar::Memory32 { bytes: 1 << 30, prefetchable: false };
    let mut root = PciRoot::new();
    root.add(1, Box::new(OddCard::with_bars(bars))).unwrap();
    assert_eq!(root.assign_bars(&windows()), Err(PciError::Window));
}

#[test]
fn accesses_arrive_as_they_were_issued() {
    let mut bench = Bench::new(OddCard::conventional());
    bench.platform.trace.events.clear();
    assert_eq!(bench.read(Space::Ports, PORTS + 3), Some([3]));
    assert_eq!(bench.read(Space::Memory, SMALL + 5), Some([37, 38]));
    assert_eq!(bench.read::<8>(Space::Memory, LARGE + 0x10_0001).unwrap()[..2], [65, 66]);
    assert!(bench.write(Space::Memory, LARGE + 0xff, &[1, 2, 3, 4, 5, 6, 7, 8]));
    assert!(bench.write(Space::Ports, PORTS + 0x22, &[9, 9]));
    let read = |bar, offset| Seen { bar, offset, written: None };
    let wrote = |bar, offset, data: &[u8]| Seen { bar, offset, written: Some(data.to_vec()) };
    let expected = [
        read(0, 3),
        read(1, 5),
        read(2, 0x10_0001),
        wrote(2, 0xff, &[1, 2, 3, 4, 5, 6, 7, 8]),
        wrote(5, 2, &[9, 9]),
    ];
    assert_eq!(bench.seen(), expected);
    let (rid, events) = (requester_id(SLOT), &bench.platform.trace.events);
    assert_eq!(events[1], Event::RegisterRead { cpu: 0, rid, offset: 1 << 60 | 5, value: 0x2625 });
    assert_eq!(
        events[3],
        Event::RegisterWrite { cpu: 0, rid, offset: 2 << 60 | 0xff, value: 0x0807_0605_0403_0201 }
    );
    assert_eq!(events.len(), 5, "one event an access");
}

#[test]
fn nothing_answers_beyond_the_end_of_a_bar() {
    let mut bench = Bench::new(OddCard::conventional());
    assert_eq!(bench.read(Space::Ports, PORTS + 30), Some([30, 31, 0xff, 0xff]));
    assert!(bench.write(Space::Ports, PORTS + 30, &[1, 2, 3, 4]));
    assert_eq!(bench.seen()[1].written.as_deref(), Some(&[1u8, 2][..]));
    assert_eq!(bench.read::<1>(Space::Ports, PORTS + 0x24), None);
}

#[test]
fn ports_and_memory_are_enabled_apart() {
    let mut bench = Bench::new(OddCard::conventional());
    for (command, ports, memory) in [(0, false, false), (1, true, false), (2, false, true), (7, true, true)] {
        bench.config_write(0x04, 2, command);
        assert_eq!(bench.read::<1>(Space::Ports, PORTS).is_some(), ports, "command {command}");
        assert_eq!(bench.read::<1>(Space::Memory, SMALL).is_some(), memory, "command {command}");
    }
    bench.config_write(0x44, 2, 3);
    assert_eq!(bench.read::<1>(Space::Ports, PORTS), None, "not in D3hot");
}

#[test]
fn a_line_is_asserted_until_the_function_ceases_to() {
    let mut bench = Bench::new(OddCard::conventional());
    bench.write(Space::Ports, PORTS, &[1]);
    assert_eq!((bench.asserted(), bench.config(0x04) >> 16), (vec![(SLOT, Pin::B)], 0x0018));
    bench.config_write(0x04, 2, 0x0407);
    assert_eq!((bench.asserted(), bench.config(0x04) >> 16), (vec![], 0x0018), "disabled, and still pending");
    bench.config_write(0x04, 2, 0x0007);
    bench.config_write(0x44, 2, 3);
    assert_eq!(bench.asserted(), [], "not in D3hot");
    bench.config_write(0x44, 2, 0);
    assert_eq!(bench.asserted(), [(SLOT, Pin::B)]);
    bench.enable_msi(0);
    assert_eq!((bench.asserted(), bench.config(0x04) >> 16), (vec![], 0x0010), "messages instead");
    bench.config_write(0xa2, 2, 0);
    bench.write(Space::Ports, PORTS, &[0]);
    assert_eq!((bench.asserted(), bench.config(0x04) >> 16), (vec![], 0x0010));
}

#[test]
fn msi_puts_the_vector_into_the_low_bits_that_software_allows() {
    for (allowed, expected) in [
        (0, [0x5067, 0x5067, 0x5067, 0x5067]),
        (1, [0x5066, 0x5067, 0x5066, 0x5067]),
        (2, [0x5064, 0x5065, 0x5066, 0x5067]),
        // More than there are.
        (5, [0x5064, 0x5065, 0x5066, 0x5067]),
    ] {
        let mut bench = Bench::new(OddCard::conventional());
        bench.enable_msi(allowed);
        (0..6).for_each(|vector| assert!(bench.write(Space::Ports, PORTS + 1, &[vector])));
        let expected: Vec<_> = expected.iter().map(|&data| (0xfee0_1000, data)).collect();
        assert_eq!(bench.sent(), expected, "allowed 2^{allowed}; vectors 4 and 5 are none");
    }
}

#[test]
fn a_masked_message_is_pending_until_unmasked() {
    let mut bench = Bench::new(OddCard::conventional());
    bench.enable_msi(2);
    bench.config_write(0xb0, 4, u32::MAX);
    assert_eq!(bench.config(0xb0), 0xf, "four mask bits");
    (0..3).for_each(|_| assert!(bench.write(Space::Ports, PORTS + 1, &[2])));
    assert_eq!((bench.sent(), bench.config(0xb4)), (vec![], 0b100));
    bench.config_write(0xb4, 4, 0);
    assert_eq!(bench.config(0xb4), 0b100, "pending bits are read-only");
    let open = |bench: &Bench| bench.root.open_vectors().map(|m| m.data).collect::<Vec<_>>();
    assert_eq!(open(&bench), [0u32; 0]);
    bench.config_write(0xb0, 4, 0b1010);
    assert_eq!((bench.sent(), bench.config(0xb4)), (vec![(0xfee0_1000, 0x5066)], 0), "once");
    assert_eq!(open(&bench), [0x5064, 0x5066]);
}

#[test]
fn messages_wait_for_bus_mastering_and_are_dropped_without_msi() {
    let mut bench = Bench::new(OddCard::conventional());
    bench.write(Space::Ports, PORTS + 1, &[0]);
    bench.enable_msi(2);
    assert_eq!(bench.sent(), []);
    bench.config_write(0x04, 2, 0x0003);
    bench.write(Space::Ports, PORTS + 1, &[3]);
    assert_eq!((bench.sent(), bench.config(0xb4)), (vec![], 0b1000));
    bench.config_write(0x04, 2, 0x0007);
    assert_eq!((bench.sent(), bench.config(0xb4)), (vec![(0xfee0_1000, 0x5067)], 0));
}

#[test]
fn an_msix_table_can_be_beside_registers() {
    let mut bench = Bench::new(OddCard::with_msix());
    bench.config_write(0x52, 2, 0x8000);
    assert_eq!((bench.config(0x50) >> 16, bench.config(0x54), bench.config(0x58)), (0x8004, 0x200a, 0x21));
    assert!(bench.write(Space::Memory, LARGE + 0x2008 + 4 * 16, &0xfee0_0000u32.to_le_bytes()));
    assert!(bench.write(Space::Memory, LARGE + 0x2008 + 4 * 16 + 8, &0x4321u32.to_le_bytes()));
    bench.write(Space::Memory, SMALL + 1, &[4]);
    assert_eq!((bench.sent(), bench.read(Space::Memory, SMALL + 0x20)), (vec![], Some([0x10, 0, 0, 0])));
    bench.seen();
    assert!(bench.write(Space::Memory, LARGE + 0x2008 + 4 * 16 + 12, &[0; 4]));
    assert_eq!(bench.sent(), [(0xfee0_0000, 0x4321)]);
    assert_eq!(bench.seen(), [], "the table is the adapter's");
    for (address, value) in [(LARGE + 0x2004, 0x44), (LARGE + 0x2008 + 80, 0x98), (SMALL + 0x28, 0x48)] {
        assert_eq!(bench.read(Space::Memory, address), Some([value]), "{address:#x} is the card's");
    }
}

#[test]
fn a_restored_card_has_its_line_and_its_pending_messages() {
    let mut bench = Bench::new(OddCard::conventional());
    bench.write(Space::Ports, PORTS, &[1]);
    bench.enable_msi(2);
    bench.config_write(0xb0, 4, 0b10);
    bench.write(Space::Ports, PORTS + 1, &[1]);
    let saved = pack(&bench.root);
    let card = || -> Vec<Box<dyn Function>> { vec![Box::new(OddCard::conventional())] };
    bench.root = unpack(card(), &saved).unwrap();
    assert_eq!(pack(&bench.root), saved);
    assert_eq!((bench.sent(), bench.config(0xb4)), (vec![], 0b10));
    bench.config_write(0xb0, 4, 0);
    assert_eq!(bench.sent(), [(0xfee0_1000, 0x5065)]);
    bench.config_write(0xa2, 2, 0);
    assert_eq!(bench.asserted(), [(SLOT, Pin::B)]);
    let mut impossible = PciRoot::save(&bench.root);
    impossible.endpoints[0].msi_pending = 0x10;
    assert!(PciRoot::restore(card(), impossible).is_err());
}

/// What the specification says of a BAR, once more: size, flags, registers.
struct NaiveBar {
    space: Space,
    bytes: u64,
    index: u8,
    wide: bool,
}

const NAIVE: [NaiveBar; 4] = [
    NaiveBar { space: Space::Ports, bytes: 32, index: 0, wide: false },
    NaiveBar { space: Space::Memory, bytes: 64, index: 1, wide: false },
    NaiveBar { space: Space::Memory, bytes: 64 << 20, index: 2, wide: true },
    NaiveBar { space: Space::Ports, bytes: 4, index: 5, wide: false },
];

/// The BAR and offset that an address should reach, by the values that were written to the registers.
fn naive_decode(registers: &[u32; 6], command: u32, space: Space, address: u64) -> Option<(u8, u64)> {
    let enabled = command & if space == Space::Ports { 1 } else { 2 } != 0;
    NAIVE.iter().filter(|bar| enabled && bar.space == space).find_map(|bar| {
        let low = u64::from(registers[usize::from(bar.index)]);
        let high = if bar.wide { u64::from(registers[usize::from(bar.index) + 1]) } else { 0 };
        let base = (high << 32 | low) / bar.bytes * bar.bytes;
        let inside = base != 0 && address >= base && address - base < bar.bytes;
        inside.then(|| (bar.index, address - base))
    })
}

#[test]
fn random_bars_decode_as_a_naive_decoder_says() {
    let mut random = Random::new(0x51ab_1e5c_a1ed_c0de);
    let mut bench = Bench::new(OddCard::conventional());
    let mut registers = [0xc001, 0xc000_0000, 0xc400_0000, 0, 0, 0xc021];
    let (mut command, mut hits) = (7, 0);
    for step in 0..80_000 {
        match random.below(8) {
            0 => {
                command = (random.bits() & 7) as u32;
                bench.config_write(0x04, 2, command);
            }
            // Few values, so that BARs meet each other and the addresses below.
            1..4 => {
                let index = random.below(6) as usize;
                let few = [0, 0xc000, 0xc010, 0xc024, 0xc000_0000, 0xc000_0040, 0xc400_0000, 1, u32::MAX];
                registers[index] = random.pick(&few);
                bench.config_write(0x10 + 4 * index as u64, 4, registers[index]);
            }
            _ => {
                let space = random.pick(&[Space::Ports, Space::Memory]);
                let base = random.pick(&[0, 0xc000, 0xc000_0000, 0xc400_0000, 0x1_c000_0000, 0xffff_ffe0]);
                let address = base + random.below(0x60);
                let expected = naive_decode(&registers, command, space, address);
                let found = bench.read::<1>(space, address).map(|_| {
                    let seen = bench.seen().pop().unwrap();
                    (seen.bar, seen.offset)
                });
                assert_eq!(found, expected, "step {step}: {space:?} {address:#x}, BARs {registers:x?}");
                hits += u32::from(found.is_some());
            }
        }
        bench.platform.trace.events.clear();
    }
    assert!(hits > 1000, "{hits} accesses found a BAR");
}
