//! Offsets, bits and fault codes are restated from the specification, not taken from `registers`.

mod faults;
mod interrupts;
mod invalidation;
mod random;
mod requested;
mod state;
mod translation;
mod with_bus;

use fencepost_trace::Event;

use super::*;
use crate::pci::testing::FakePlatform;
use crate::pci::{DmaRequest, MsiSource, MsiWrite, Outbox, Translation};
use crate::ports::{Access, DmaFault, Iova};

pub const RID: u16 = 0x08;
pub const ROOT: u64 = 0x1000;
pub const CONTEXTS: u64 = 0x2000;
pub const TABLE: u64 = 0x3000;
pub const QUEUE: u64 = 0x8000;
pub const STATUS: u64 = 0x9000;
pub const READ_WRITE: u64 = 3;

/// A unit and its memory, with a guest's hand on both.
pub struct Bench {
    pub unit: Iommu,
    pub platform: FakePlatform,
    tail: u64,
    next_table: u64,
}

impl Bench {
    /// Sixteen MiB of RAM, nothing programmed.
    pub fn new() -> Self {
        let platform = FakePlatform::new(16 << 20, crate::pci::Untranslated);
        Bench { unit: Iommu::new(), platform, tail: 0, next_table: 0x10_0000 }
    }

    /// One requester in domain 5 with an empty table, fault event to an MSI, queue on, translation on.
    pub fn running() -> Self {
        let mut bench = Self::new();
        bench.platform.write_u64(ROOT, CONTEXTS | 1);
        bench.context(RID, TABLE | 1, 5 << 8 | 2);
        bench.write64(0x20, ROOT);
        bench.write32(0x18, 1 << 30);
        bench.write32(0x3c, 0x4021);
        bench.write32(0x40, 0xfee0_0000);
        bench.write32(0x38, 0);
        bench.write64(0x90, QUEUE);
        bench.write32(0x18, 1 << 26);
        bench.write32(0x18, 1 << 31 | 1 << 26);
        bench
    }

    pub fn context(&mut self, rid: u16, low: u64, high: u64) {
        let at = CONTEXTS + u64::from(rid) * 16;
        self.platform.write_u64(at, low);
        self.platform.write_u64(at + 8, high);
    }

    /// Requests refused so far.
    pub fn faults(&self) -> u64 {
        self.counter("faults")
    }

    pub fn counter(&self, name: &str) -> u64 {
        self.unit.counters().iter().find(|counter| counter.name == name).unwrap().value
    }

    pub fn read32(&self, offset: u64) -> u32 {
        let mut data = [0; 4];
        self.unit.read(offset, &mut data);
        u32::from_le_bytes(data)
    }

    pub fn read64(&self, offset: u64) -> u64 {
        let mut data = [0; 8];
        self.unit.read(offset, &mut data);
        u64::from_le_bytes(data)
    }

    pub fn write32(&mut self, offset: u64, value: u32) {
        self.write(offset, &value.to_le_bytes());
    }

    pub fn write64(&mut self, offset: u64, value: u64) {
        self.write(offset, &value.to_le_bytes());
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        let unit = &mut self.unit;
        self.platform.lend(|p| {
            let out = Outbox { trace: p.trace, messages: p.messages, now_ns: p.clock.now().ns };
            unit.write(offset, data, &mut Surroundings { memory: p.memory, written: p.written, out });
        });
    }

    pub fn translate(
        &mut self,
        rid: u16,
        iova: u64,
        len: u64,
        access: Access,
    ) -> Result<Vec<(u64, u64)>, DmaFault> {
        let unit = &mut self.unit;
        self.platform.lend(|p| {
            let mut out = Outbox { trace: p.trace, messages: p.messages, now_ns: p.clock.now().ns };
            let mut ranges = Vec::new();
            let request = DmaRequest { rid, iova: Iova(iova), len, access };
            unit.translate(&request, p.memory, &mut ranges, &mut out)?;
            Ok(ranges.iter().map(|range| (range.gpa.0, range.len)).collect())
        })
    }

    /// Sends an interrupt request; what the CPU gets.
    pub fn interrupt(&mut self, source: MsiSource, address: u64, data: u32) -> Option<MsiWrite> {
        let unit = &mut self.unit;
        self.platform.lend(|p| {
            let mut out = Outbox { trace: p.trace, messages: p.messages, now_ns: p.clock.now().ns };
            unit.remap_interrupt(MsiWrite { source, address, data }, p.memory, &mut out)
        })
    }

    /// Reads one byte at `iova`; the physical address, or the refusal.
    pub fn probe(&mut self, iova: u64) -> Result<u64, DmaFault> {
        self.translate(RID, iova, 1, Access::Read).map(|ranges| ranges[0].0)
    }

    /// Maps a page of `4096 << 9 * (level - 1)` bytes the way a guest does, adding tables as needed.
    pub fn map(&mut self, iova: u64, level: u32, entry: u64) {
        let mut table = TABLE;
        for at in (level + 1..=4).rev() {
            let place = table + (iova >> (9 * at + 3) & 0x1ff) * 8;
            if self.platform.read_u64(place) == 0 {
                self.platform.write_u64(place, self.next_table | READ_WRITE);
                self.next_table += 0x1000;
            }
            table = self.platform.read_u64(place) & !0xfff;
        }
        self.platform.write_u64(table + (iova >> (9 * level + 3) & 0x1ff) * 8, entry);
    }

    /// Queues a descriptor and rings the tail.
    pub fn queue(&mut self, low: u64, high: u64) {
        self.platform.write_u64(QUEUE + self.tail, low);
        self.platform.write_u64(QUEUE + self.tail + 8, high);
        self.tail = (self.tail + 16) % 4096;
        self.write32(0x88, self.tail as u32);
    }

    pub fn take_messages(&mut self) -> Vec<MsiWrite> {
        std::mem::take(&mut self.platform.messages)
    }
}

#[test]
fn the_unit_announces_what_the_stock_driver_needs() {
    let bench = Bench::new();
    assert_eq!(bench.read32(0x00), 0x10, "version 1.0");
    let (cap, ecap) = (bench.read64(0x08), bench.read64(0x10));
    assert_eq!(4 + 2 * (cap & 7), 16, "bits of a domain id");
    assert_eq!(cap >> 7 & 1, 0, "no caching mode");
    assert_eq!(cap >> 8 & 0x1f, 0b00100, "four-level tables");
    assert_eq!((cap >> 16 & 0x3f) + 1, 48, "MGAW");
    assert_eq!((cap >> 24 & 0x3ff) * 16, 0x220, "fault records");
    assert_eq!(cap >> 34 & 0xf, 0b0011, "2 MiB and 1 GiB pages");
    assert_eq!(cap >> 39 & 1, 1, "page-selective invalidation");
    assert_eq!((cap >> 40 & 0xff) + 1, 8, "number of fault records");
    assert_eq!(cap >> 48 & 0x3f, 18, "address mask");
    assert_eq!(ecap & 0b11, 0b11, "coherent, queued invalidation");
    assert_eq!(ecap >> 2 & 0b11, 0, "no device TLB, no interrupt remapping");
    assert_eq!(ecap >> 6 & 0b11, 0b11, "pass-through, snoop control");
    assert_eq!((ecap >> 8 & 0x3ff) * 16, 0x200, "IOTLB registers");
    assert_eq!(ecap >> 40, 0, "nothing of scalable mode");
}

#[test]
fn reset_values_mask_both_events() {
    let bench = Bench::new();
    assert_eq!((bench.read32(0x38), bench.read32(0xa0)), (0x8000_0000, 0x8000_0000));
    assert_eq!(bench.read32(0x1c), 0);
}

/// The clock calls the unit.
fn go_on(bench: &mut Bench, now_ns: u64) {
    bench.platform.clock.now_ns = now_ns;
    let unit = &mut bench.unit;
    bench.platform.lend(|p| {
        let out = Outbox { trace: p.trace, messages: p.messages, now_ns };
        unit.go_on(&mut Surroundings { memory: p.memory, written: p.written, out });
    });
}
