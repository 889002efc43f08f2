//! Offsets and bits are restated from the PCI Express specification, not taken from `config`.

mod card;
mod faults;
mod random;

use fencepost_trace::Event;

use super::testing::{FakePlatform, ToyFunction, windows};
use super::*;
use crate::function::{
    Bar, Counter, Doorbell, Function, Identity, Inbox, Interrupts, MsixTable, Pin, Registers, Words,
};
use crate::state::{SavedState, Stateful, pack, unpack};

const SLOT: u64 = 1;
const BAR0_BASE: u64 = 0xc000_0000;
const BAR2_BASE: u64 = 0xc000_1000;
const MSIX_CAPABILITY: u64 = 0x50;
const PCIE_CAPABILITY: u64 = 0x60;

struct Bench {
    root: PciRoot,
    platform: FakePlatform,
}

impl Bench {
    fn new() -> Self {
        let mut root = PciRoot::new();
        root.add(1, Box::new(ToyFunction::default())).unwrap();
        root.assign_bars(&windows()).unwrap();
        Bench { root, platform: FakePlatform::new(0x10000, Untranslated) }
    }

    /// Memory decoding and bus mastering on, MSI-X enabled, vector 0 unmasked to a made-up address.
    fn running() -> Self {
        let mut bench = Self::new();
        bench.config_write(0x04, 2, 0x0006);
        bench.config_write(MSIX_CAPABILITY + 2, 2, 0x8000);
        bench.write(BAR2_BASE, 0xfee0_0000);
        bench.write(BAR2_BASE + 8, 0x41);
        bench.write(BAR2_BASE + 12, 0);
        bench
    }

    fn config_read(&mut self, register: u64, bytes: usize) -> u32 {
        let mut data = [0; 4];
        let root = &mut self.root;
        self.platform.lend(|p| root.ecam_read((SLOT << 15) + register, &mut data[..bytes], p));
        u32::from_le_bytes(data)
    }

    fn config_write(&mut self, register: u64, bytes: usize, value: u32) {
        let (root, data) = (&mut self.root, &value.to_le_bytes()[..bytes]);
        self.platform.lend(|p| root.ecam_write((SLOT << 15) + register, data, p));
    }

    fn read(&mut self, gpa: u64) -> u32 {
        let mut data = [0; 4];
        assert!(self.platform.lend(|p| self.root.read(Space::Memory, gpa, &mut data, p)));
        u32::from_le_bytes(data)
    }

    fn write(&mut self, gpa: u64, value: u32) {
        assert!(self.platform.lend(|p| self.root.write(Space::Memory, gpa, &value.to_le_bytes(), p)));
    }

    /// The capability with this id, found as software finds it.
    fn capability(&mut self, id: u32) -> Option<u32> {
        let mut at = self.config_read(0x34, 1);
        while at != 0 {
            if self.config_read(u64::from(at), 1) == id {
                return Some(at);
            }
            at = self.config_read(u64::from(at) + 1, 1);
        }
        None
    }
}

#[test]
fn the_host_bridge_is_where_and_what_software_expects() {
    let mut bench = Bench::new();
    let mut data = [0; 4];
    bench.platform.lend(|p| bench.root.ecam_read(0x00, &mut data, p));
    assert_eq!(u32::from_le_bytes(data), 0x1000_fe9c);
    bench.platform.lend(|p| bench.root.ecam_read(0x08, &mut data, p));
    assert_eq!(u32::from_le_bytes(data), 0x0600_0000);
}

#[test]
fn an_empty_slot_and_other_functions_read_as_all_ones() {
    let mut bench = Bench::new();
    for offset in [5 << 15, (SLOT << 15) + (1 << 12), 1 << 20] {
        let mut data = [0; 4];
        bench.platform.lend(|p| bench.root.ecam_read(offset, &mut data, p));
        assert_eq!(data, [0xff; 4], "offset {offset:#x}");
    }
}

#[test]
fn the_header_carries_the_cores_identity() {
    let mut bench = Bench::new();
    assert_eq!(bench.config_read(0x00, 4), 0x0099_fe9c);
    assert_eq!(bench.config_read(0x08, 4), 0xff00_0001);
    assert_eq!(bench.config_read(0x0e, 1), 0);
    assert_eq!(bench.config_read(0x06, 2) & 0x10, 0x10, "has capabilities");
    assert_eq!(bench.config_read(0x3d, 1), 0, "no INTx");
}

#[test]
fn the_capability_list_holds_pm_msix_and_pcie_and_ends() {
    let mut bench = Bench::new();
    assert!(bench.capability(0x01).is_some());
    let msix = bench.capability(0x11).unwrap();
    assert_eq!(bench.config_read(u64::from(msix) + 2, 2) & 0x7ff, 2, "three vectors");
    let pcie = bench.capability(0x10).unwrap();
    let flags = bench.config_read(u64::from(pcie) + 2, 2);
    assert_eq!((flags & 0xf, flags >> 4 & 0xf), (2, 9), "version 2, integrated endpoint");
    assert_eq!(bench.config_read(u64::from(pcie) + 4, 4) >> 28 & 1, 1, "function-level reset");
    assert_eq!(bench.capability(0x05), None, "no plain MSI");
    assert_eq!(bench.config_read(0x100, 4), 0, "no extended capability");
}

#[test]
fn writing_ones_to_a_bar_gives_its_size() {
    let mut bench = Bench::new();
    assert_eq!(bench.config_read(0x10, 4), BAR0_BASE as u32, "assigned as firmware would");
    bench.config_write(0x10, 4, u32::MAX);
    assert_eq!(bench.config_read(0x10, 4), 0xffff_f000);
    bench.config_write(0x14, 4, u32::MAX);
    assert_eq!(bench.config_read(0x14, 4), 0, "no BAR 1");
    bench.config_write(0x18, 4, u32::MAX);
    assert_eq!(bench.config_read(0x18, 4), 0xffff_f000);
}

#[test]
fn a_bar_decodes_where_it_is_programmed_and_only_when_enabled() {
    let mut bench = Bench::new();
    assert!(!bench.root.decodes(BAR0_BASE), "memory space is off after reset");
    bench.config_write(0x04, 2, 2);
    assert!(bench.root.decodes(BAR0_BASE));
    bench.config_write(0x10, 4, 0xd000_0000);
    assert!(!bench.root.decodes(BAR0_BASE));
    bench.write(0xd000_0000, 0x1234);
    assert_eq!(bench.read(0xd000_0000), 0x1234);
    bench.config_write(0x44, 2, 3);
    assert!(!bench.root.decodes(0xd000_0000), "not in D3hot");
}

#[test]
fn a_64_bit_access_is_two_words_and_a_narrow_read_part_of_one() {
    let mut bench = Bench::running();
    let bytes = 0x1122_3344_5566_7788u64.to_le_bytes();
    bench.platform.lend(|p| bench.root.write(Space::Memory, BAR0_BASE, &bytes, p));
    assert_eq!((bench.read(BAR0_BASE), bench.read(BAR0_BASE + 4)), (0x5566_7788, 0x1122_3344));
    let mut part = [0; 2];
    bench.platform.lend(|p| bench.root.read(Space::Memory, BAR0_BASE + 5, &mut part, p));
    assert_eq!(part, [0x33, 0x22]);
}

fn narrow_writes(root: &PciRoot) -> u64 {
    let counted = root.counters().flat_map(|(_, counters)| counters);
    counted.filter(|counter| counter.name == "narrow-writes").map(|counter| counter.value).sum()
}

#[test]
fn a_narrow_write_is_ignored_and_counted() {
    let mut bench = Bench::running();
    bench.write(BAR0_BASE, 0xffff_ffff);
    bench.platform.lend(|p| bench.root.write(Space::Memory, BAR0_BASE + 1, &[0], p));
    assert_eq!((bench.read(BAR0_BASE), narrow_writes(&bench.root)), (0xffff_ffff, 1));
}

#[test]
fn register_accesses_are_traced() {
    let mut bench = Bench::running();
    bench.write(BAR0_BASE, 7);
    bench.read(BAR0_BASE);
    let expected = [
        Event::RegisterWrite { cpu: 0, rid: 8, offset: 0, value: 7 },
        Event::RegisterRead { cpu: 0, rid: 8, offset: 0, value: 7 },
    ];
    assert_eq!(bench.platform.trace.events, expected);
}

#[test]
fn dma_needs_bus_mastering() {
    let mut bench = Bench::running();
    bench.write(BAR0_BASE, 0x2000);
    bench.write(BAR0_BASE + 8, 0xabcd);
    assert_eq!((bench.read(BAR0_BASE + 8), bench.platform.read_u64(0x2000)), (0, 0xabcd));
    assert_eq!(*bench.platform.written.borrow(), [(0x2000, 8)]);
    bench.config_write(0x04, 2, 2);
    bench.write(BAR0_BASE + 8, 0x5555);
    assert_eq!((bench.read(BAR0_BASE + 8), bench.platform.read_u64(0x2000)), (2, 0xabcd));
}

#[test]
fn dma_beyond_ram_is_refused() {
    let mut bench = Bench::running();
    bench.write(BAR0_BASE, 0xfffc);
    bench.write(BAR0_BASE + 8, 1);
    assert_eq!(
        (bench.read(BAR0_BASE + 8), bench.platform.read_u64(0xfff8)),
        (1, 0),
        "not even the part inside"
    );
}

#[test]
fn a_raised_vector_sends_its_tables_message() {
    let mut bench = Bench::running();
    bench.write(BAR0_BASE + 0xc, 0);
    assert_eq!(
        bench.platform.messages,
        [MsiWrite { source: MsiSource::Vector { rid: 8, vector: 0 }, address: 0xfee0_0000, data: 0x41 }]
    );
    assert!(bench.platform.trace.events.contains(&Event::MsiRaised { rid: 8, vector: 0 }));
}

#[test]
fn a_masked_vector_is_pending_until_unmasked() {
    let mut bench = Bench::running();
    bench.write(BAR2_BASE + 12, 1);
    bench.write(BAR0_BASE + 0xc, 0);
    assert_eq!(bench.platform.messages, []);
    assert_eq!(bench.read(BAR2_BASE + 3 * 16), 1, "the pending bits follow the table");
    bench.write(BAR2_BASE + 12, 0);
    assert_eq!(bench.platform.messages.len(), 1);
    assert_eq!(bench.read(BAR2_BASE + 3 * 16), 0);
}

#[test]
fn the_function_mask_and_bus_mastering_hold_back_every_vector() {
    for (register, held, free) in [(MSIX_CAPABILITY + 2, 0xc000, 0x8000), (0x04, 0x0002, 0x0006)] {
        let mut bench = Bench::running();
        bench.config_write(register, 2, held);
        bench.write(BAR0_BASE + 0xc, 0);
        assert_eq!(bench.platform.messages, [], "register {register:#x}");
        bench.config_write(register, 2, free);
        assert_eq!(bench.platform.messages.len(), 1, "register {register:#x}");
    }
}

#[test]
fn vectors_beyond_the_table_or_without_msix_are_dropped() {
    let mut bench = Bench::running();
    bench.write(BAR0_BASE + 0xc, 3);
    bench.config_write(MSIX_CAPABILITY + 2, 2, 0);
    bench.write(BAR0_BASE + 0xc, 0);
    bench.config_write(MSIX_CAPABILITY + 2, 2, 0x8000);
    assert_eq!(bench.platform.messages, []);
}

#[test]
fn a_timer_call_reaches_the_function_that_asked() {
    let mut bench = Bench::running();
    bench.write(BAR0_BASE + 0x10, 500);
    assert_eq!(bench.platform.clock.pending.get(&(8, 0)), Some(&500));
    bench.platform.lend(|p| bench.root.timer(8, 0, p));
    assert_eq!(bench.read(BAR0_BASE + 0x10), 1);
}

#[test]
fn a_function_level_reset_reaches_core_bars_and_vectors() {
    let mut bench = Bench::running();
    bench.write(BAR0_BASE, 0x55);
    bench.write(BAR0_BASE + 0x10, 500);
    bench.config_write(PCIE_CAPABILITY + 8, 2, 0x8000);
    assert_eq!(bench.config_read(PCIE_CAPABILITY + 8, 2) & 0x8000, 0, "reads as zero");
    assert_eq!((bench.config_read(0x04, 2), bench.config_read(0x10, 4)), (0, 0));
    assert!(bench.platform.clock.pending.is_empty());
    bench.config_write(0x10, 4, BAR0_BASE as u32);
    bench.config_write(0x18, 4, BAR2_BASE as u32);
    bench.config_write(0x04, 2, 6);
    assert_eq!((bench.read(BAR0_BASE), bench.read(BAR0_BASE + 0x18)), (0, 1));
    assert_eq!(bench.read(BAR2_BASE + 12), 1, "masked again");
}

#[test]
fn restoring_a_saved_bus_changes_nothing() {
    let mut bench = Bench::running();
    bench.write(BAR2_BASE + 12, 1);
    bench.write(BAR0_BASE + 0xc, 0);
    bench.write(BAR0_BASE + 0x10, 70);
    let saved = pack(&bench.root);
    let state = bench.root.save();
    let toy = |state: &PciRootState| -> Vec<Box<dyn Function>> {
        vec![Box::new(unpack::<ToyFunction>((), &state.endpoints[0].function).unwrap())]
    };
    bench.root = unpack(toy(&state), &saved).unwrap();
    assert_eq!(pack(&bench.root), saved);
    assert_eq!(bench.platform.messages, [], "restoring raises nothing");
    bench.platform.clock.pending.clear();
    bench.platform.lend(|p| bench.root.rearm(p));
    assert_eq!(bench.platform.clock.pending.values().collect::<Vec<_>>(), [&70]);
    bench.write(BAR2_BASE + 12, 0);
    assert_eq!(bench.platform.messages.len(), 1, "the pending vector survived");
    let refused = |change: &dyn Fn(&mut PciRootState)| {
        let mut state = state.clone();
        change(&mut state);
        PciRoot::restore(toy(&state), state).is_err()
    };
    assert!(!refused(&|_| {}));
    assert!(refused(&|state| state.endpoints[0].config.truncate(1)));
    assert!(refused(&|state| state.endpoints[0].msix.table[3] = 2));
    assert!(refused(&|state| state.endpoints[0].msix.pending.truncate(1)));
    assert!(refused(&|state| state.endpoints.push(state.endpoints[0].clone())));
    assert!(PciRoot::restore(vec![Box::<ToyFunction>::default()], state).is_err(), "another's state");
}

/// A function that is nothing but an identity.
struct Odd(Identity);

impl Words for Odd {
    fn read(&mut self, _: u32, _: &mut crate::ports::Ports<'_>) -> u32 {
        0
    }
    fn write(&mut self, _: u32, _: u32, _: &mut crate::ports::Ports<'_>) {}
}

impl Function for Odd {
    fn identity(&self) -> Identity {
        self.0
    }
    fn registers(&mut self) -> Registers<'_> {
        Registers::Words(self)
    }
    fn timer(&mut self, _: u32, _: &mut crate::ports::Ports<'_>) {}
    fn reset(&mut self, _: &mut crate::ports::Ports<'_>) {}
    fn doorbells(&self) -> Vec<Doorbell> {
        Vec::new()
    }

    fn inbox(&mut self) -> Option<&mut dyn Inbox> {
        None
    }
    fn save_state(&self) -> SavedState {
        SavedState { kind: "odd".into(), version: 1, bytes: Vec::new() }
    }
    fn rearm(&self, _: &mut crate::ports::Ports<'_>) {}
    fn counters(&self) -> Vec<Counter> {
        Vec::new()
    }
    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}

#[test]
fn a_function_that_cannot_be_described_is_refused() {
    let good = ToyFunction::default().identity();
    let mut root = PciRoot::new();
    let mut add = |slot, identity| root.add(slot, Box::new(Odd(identity)));
    assert_eq!(add(0, good), Err(PciError::Slot(0)));
    assert_eq!(add(32, good), Err(PciError::Slot(32)));
    let mut refused = |change: &dyn Fn(&mut Identity)| {
        let mut identity = good;
        change(&mut identity);
        add(1, identity).unwrap_err().to_string()
    };
    let memory = |bytes| Bar::Memory32 { bytes, prefetchable: false };
    let size = "BAR 3: its size is not a power of two from 16 up (ports: 4 to 256)";
    assert_eq!(refused(&|identity| identity.bars[3] = memory(0x1800)), size);
    assert_eq!(refused(&|identity| identity.bars[3] = memory(8)), size);
    assert_eq!(refused(&|identity| identity.bars[3] = Bar::Port { bytes: 512 }), size);
    let wide = Bar::Memory64 { bytes: 0x1000, prefetchable: true };
    let half = "BAR 2: it is the upper half of the one before it";
    assert_eq!(refused(&|identity| identity.bars[1] = wide), half);
    assert_eq!(
        refused(&|identity| identity.bars[5] = wide),
        "BAR 5: there is no register for its upper half"
    );
    let ports = "An Express function integrated in the root complex has no port BAR";
    assert_eq!(refused(&|identity| identity.bars[3] = Bar::Port { bytes: 8 }), ports);
    for vectors in [0, 2049] {
        let table = Some(MsixTable::alone_in(2, vectors));
        let why = "Interrupts: an MSI-X table has 1 to 2048 vectors";
        assert_eq!(refused(&|identity| identity.interrupts.msix = table), why);
    }
    let table = MsixTable::alone_in(2, 3);
    let lost = "Interrupts: its MSI-X table or pending bits do not fit in their BAR";
    for table in [
        MsixTable { table_bar: 1, ..table },
        MsixTable { pending_bar: 6, ..table },
        MsixTable { pending_offset: 0x1000, ..table },
        MsixTable { pending_offset: 40, ..table },
        MsixTable { pending_offset: 52, ..table },
    ] {
        assert_eq!(refused(&|identity| identity.interrupts.msix = Some(table)), lost, "{table:?}");
    }
    for msi in [3, 33, 64] {
        let why = "Interrupts: MSI has 1, 2, 4, 8, 16 or 32 messages";
        assert_eq!(refused(&|identity| identity.interrupts.msi = msi), why);
    }
    let line = Interrupts { msix: None, msi: 0, pin: Some(Pin::A) };
    let why = "Interrupts: an Express function with a line has MSI or MSI-X too";
    assert_eq!(refused(&|identity| identity.interrupts = line), why);
    assert_eq!(add(1, good), Ok(()));
    assert_eq!(add(1, good), Err(PciError::Taken(1)));
}

#[test]
fn a_table_of_2048_vectors_has_its_pending_bits_behind_it() {
    let mut root = PciRoot::new();
    let identity = Identity::registers_and_msix(0x1000, 2048);
    root.add(1, Box::new(Odd(identity))).unwrap();
    let mut data = [0; 4];
    let mut platform = FakePlatform::new(0x1000, Untranslated);
    platform.lend(|p| root.ecam_read((1 << 15) + MSIX_CAPABILITY + 8, &mut data, p));
    assert_eq!(u32::from_le_bytes(data), 0x8002);
    platform.lend(|p| root.ecam_write((1 << 15) + 0x18, &[0xff; 4], p));
    platform.lend(|p| root.ecam_read((1 << 15) + 0x18, &mut data, p));
    assert_eq!(u32::from_le_bytes(data), 0xffff_0000);
}

#[test]
fn an_access_is_split_at_words() {
    let words: Vec<_> = words::split(3, 6).map(|w| (w.offset, w.first, w.bytes, w.at)).collect();
    assert_eq!(words, [(0, 3, 1, 0), (4, 0, 4, 1), (8, 0, 1, 5)]);
}
