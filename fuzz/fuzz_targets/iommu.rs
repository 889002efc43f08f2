//! The VT-d unit: registers, tables and queue in guest memory, requests of devices, interrupts.
#![no_main]

use fencepost_devices::iommu::{Iommu, Surroundings};
use fencepost_devices::pci::testing::FakePlatform;
use fencepost_devices::pci::{DmaRequest, Outbox, Platform, Translation, Untranslated};
use fencepost_devices::ports::{Access, DmaFault, Iova};
use fencepost_devices::state::Stateful;
use fencepost_fuzz::bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use vm_memory::{Bytes as _, GuestAddress};

const MEMORY_BYTES: usize = 0x2_0000;

fuzz_target!(|data: &[u8]| {
    let mut from = Bytes::new(data);
    let unit = if from.u8() & 1 == 0 { Iommu::new() } else { Iommu::remapping_interrupts() };
    let mut bench = Bench { unit, platform: FakePlatform::new(MEMORY_BYTES, Untranslated) };
    while !from.is_empty() {
        bench.act(&mut from);
        bench.platform.messages.clear();
        bench.platform.trace.events.clear();
        bench.keeps_its_rules();
    }
    let state = bench.unit.save();
    let again = Iommu::restore((), state.clone()).map(|unit| unit.save());
    assert_eq!(again, Ok(state), "restored, it is in another state");
});

struct Bench {
    unit: Iommu,
    platform: FakePlatform,
}

impl Bench {
    fn act(&mut self, from: &mut Bytes<'_>) {
        let tag = from.u8();
        let width = if tag & 0x80 == 0 { 4 } else { 8 };
        match tag & 7 {
            0 | 1 => {
                let offset = u64::from(from.u16());
                let value = from.number(width).to_le_bytes();
                self.write(offset, &value[..width]);
            }
            2 => {
                let offset = u64::from(from.u16());
                self.unit.read(offset, &mut [0; 8][..width]);
            }
            3 | 4 => {
                let (at, len) = (from.u16(), from.u8());
                let at = u64::from(at) << 1;
                let bytes = from.take((len as usize).min(MEMORY_BYTES - at as usize));
                self.platform.memory.write_slice(bytes, GuestAddress(at)).expect("inside");
            }
            5 | 6 => self.request(from, tag),
            _ => self.platform.clock.now_ns += u64::from(from.u32()),
        }
    }

    fn surrounded<R>(&mut self, call: impl FnOnce(&mut Iommu, &mut Platform<'_>) -> R) -> R {
        let unit = &mut self.unit;
        self.platform.lend(|platform| call(unit, platform))
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        self.surrounded(|unit, it| {
            let out = Outbox { trace: it.trace, messages: it.messages, now_ns: it.clock.now().ns };
            unit.write(offset, data, &mut Surroundings { memory: it.memory, written: it.written, out });
        });
    }

    fn request(&mut self, from: &mut Bytes<'_>, tag: u8) {
        let (rid, iova, len) = (u16::from(from.u8()), from.u64(), u64::from(from.u16()) + 1);
        let access = if tag & 0x40 == 0 { Access::Read } else { Access::Write };
        let request = DmaRequest { rid, iova: Iova(iova), len, access };
        let mut ranges = Vec::new();
        let done = self.surrounded(|unit, it| {
            let mut out = Outbox { trace: it.trace, messages: it.messages, now_ns: it.clock.now().ns };
            unit.translate(&request, it.memory, &mut ranges, &mut out)
        });
        match done {
            Ok(()) => assert_eq!(ranges.iter().map(|range| range.len).sum::<u64>(), len),
            Err(DmaFault::Refused { iova: at, .. }) => {
                assert!(
                    (iova..iova.saturating_add(len)).contains(&at.0),
                    "it is refused for its own address"
                );
            }
            Err(_) => {}
        }
    }

    /// What holds whatever the guest does (VT-d 3.3, chapter 10).
    fn keeps_its_rules(&self) {
        let read = |offset: u64, width: usize| {
            let mut data = [0; 8];
            self.unit.read(offset, &mut data[..width]);
            u64::from_le_bytes(data)
        };
        assert_eq!(read(0x08, 8), 0x00d2_078c_222f_0406, "CAP is read-only");
        let any = (0..8).any(|n| read(0x228 + 16 * n, 8) >> 63 != 0);
        assert_eq!(read(0x34, 4) >> 1 & 1 != 0, any, "PPF is the OR of the records");
        let pending = read(0x38, 4) >> 30 & 1 != 0;
        assert!(!pending || read(0x38, 4) >> 31 != 0, "the fault event is pending only while it is masked");
    }
}
