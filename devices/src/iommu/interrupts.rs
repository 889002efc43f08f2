//! Interrupt remapping (Intel VT-d specification 3.3, chapter 5; entries in 9.10, xAPIC mode): a function's message or an
//! I/O APIC's names an entry of a table in guest memory, which says what the CPU gets.

use fencepost_trace::Event;
use serde::{Deserialize, Serialize};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::pci::{MsiSource, MsiWrite, Outbox};
use crate::ports::Access;

use super::core::Iommu;
use super::registers::{COMPATIBILITY, GLOBAL_STATUS, REMAPPING};

/// Entries that are cached.
const CACHED: usize = 64;

/// Why an interrupt request was refused, with the fault reason code that software reads (chapter 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Reason {
    /// Reserved bits are set in the request.
    RequestReserved = 0x20,
    /// The index is beyond the table.
    IndexBeyond = 0x21,
    /// The present bit of the entry is clear.
    NotPresent = 0x22,
    /// The entry lies outside memory.
    TableAccess = 0x23,
    /// Reserved bits are set in the entry.
    EntryReserved = 0x24,
    /// The request is in compatibility format, and such are blocked.
    Compatibility = 0x25,
    /// The entry is not for this requester.
    Source = 0x26,
}

/// A refused request.
struct Refusal {
    reason: Reason,
    /// What it asked for, where that is known.
    index: u16,
    /// The entry asks that its faults are not recorded (FPD).
    silent: bool,
}

/// An entry as it is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    low: u64,
    high: u64,
}

impl Entry {
    const PRESENT: u64 = 1;
    const FAULTS_OFF: u64 = 1 << 1;
    /// Bits 12 to 14; IM (15), which asks for posting; bits 24 to 31; of the destination all but bits 8 to 15, where
    /// xAPIC mode has it.
    const LOW_RESERVED: u64 = 0xffff_00ff_ff00_f000;
    /// Above SID, SQ and SVT.
    const HIGH_RESERVED: u64 = !0xf_ffff;

    /// What of a present entry cannot be.
    fn is_reserved(self) -> bool {
        let delivery_mode = self.low >> 5 & 7;
        self.low & Self::LOW_RESERVED != 0
            || self.high & Self::HIGH_RESERVED != 0
            || matches!(delivery_mode, 3 | 6)
            || self.high >> 18 & 3 == 3
    }

    /// Whether it is for requester `rid`: by SVT and SQ (9.10).
    fn is_for(self, rid: u16) -> bool {
        let source = self.high as u16;
        match self.high >> 18 & 3 {
            0 => true,
            1 => {
                // SQ: 0 all bits count, 1 ignore bit 2, 2 ignore bits 2 and 1, 3 ignore all three of the function.
                let significant = match self.high >> 16 & 3 {
                    0 => 0xffff,
                    1 => 0xfffb,
                    2 => 0xfff9,
                    _ => 0xfff8u16,
                };
                (source ^ rid) & significant == 0
            }
            _ => (source >> 8..=source & 0xff).contains(&(rid >> 8)),
        }
    }

    /// The message that the CPU gets, in compatibility format.
    fn message(self, source: MsiSource) -> MsiWrite {
        const LEVEL_ASSERT: u32 = 1 << 14;
        let (low, destination) = (self.low as u32, self.low >> 40 & 0xff);
        let (logical, hint) = (u64::from(low >> 2 & 1), u64::from(low >> 3 & 1));
        let (level, delivery_mode, vector) = (low >> 4 & 1, low >> 5 & 7, low >> 16 & 0xff);
        MsiWrite {
            source,
            address: 0xfee0_0000 | destination << 12 | hint << 3 | logical << 2,
            data: level << 15 | LEVEL_ASSERT | delivery_mode << 8 | vector,
        }
    }
}

/// The table in use and the cache of its entries, direct-mapped by the index. An entry stays until it is invalidated or
/// replaced; as CAP.CM = 0 promises, none that is not present or faulted is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterruptTable {
    /// IRTA as the last "set interrupt remapping table pointer" took it.
    pub(super) table: u64,
    cache: Vec<Option<(u16, Entry)>>,
    pub(super) remapped: u64,
    pub(super) refused: u64,
}

impl Default for InterruptTable {
    fn default() -> Self {
        InterruptTable { table: 0, cache: vec![None; CACHED], remapped: 0, refused: 0 }
    }
}

impl InterruptTable {
    /// Drops the cached entries whose index `matches`.
    pub(super) fn invalidate(&mut self, matches: impl Fn(u16) -> bool) {
        for place in &mut self.cache {
            if place.is_some_and(|(index, _)| matches(index)) {
                *place = None;
            }
        }
    }

    /// Whether a saved table has this implementation's shape.
    pub(super) fn is_well_formed(&self) -> bool {
        let in_place = |(at, place): (usize, &Option<(u16, Entry)>)| {
            place.is_none_or(|(index, _)| usize::from(index) % CACHED == at)
        };
        self.cache.len() == CACHED && self.cache.iter().enumerate().all(in_place)
    }

    /// The entry that `rid` asks for by `index`.
    fn entry(&mut self, index: u16, rid: u16, memory: &GuestMemoryMmap) -> Result<Entry, Refusal> {
        let loud = |reason| Refusal { reason, index, silent: false };
        // S: the table has 2^(S + 1) entries.
        if u32::from(index) >> (self.table & 0xf).saturating_add(1) != 0 {
            return Err(loud(Reason::IndexBeyond));
        }
        let place = self.cache.get_mut(usize::from(index) % CACHED);
        let cached = place.as_deref().copied().flatten().filter(|(of, _)| *of == index);
        let entry = match cached {
            Some((_, entry)) => entry,
            None => {
                let at = (self.table & !0xfff).saturating_add(u64::from(index).saturating_mul(16));
                let words: Option<[u64; 2]> = memory.read_obj(GuestAddress(at)).ok();
                let [low, high] = words.ok_or(loud(Reason::TableAccess))?;
                Entry { low, high }
            }
        };
        let refusal = |reason| Refusal { reason, index, silent: entry.low & Entry::FAULTS_OFF != 0 };
        if entry.low & Entry::PRESENT == 0 {
            return Err(refusal(Reason::NotPresent));
        }
        if entry.is_reserved() {
            return Err(refusal(Reason::EntryReserved));
        }
        if let Some(place) = place {
            *place = Some((index, entry));
        }
        if entry.is_for(rid) { Ok(entry) } else { Err(refusal(Reason::Source)) }
    }
}

/// The index that a request in remappable format names (5.1.2.2); `None` where reserved bits are set.
fn index_of(message: &MsiWrite) -> Option<u16> {
    const SUBHANDLE_VALID: u64 = 1 << 3;
    let handle = (message.address >> 5 & 0x7fff | (message.address >> 2 & 1) << 15) as u16;
    let subhandle = u16::try_from(message.data).ok()?;
    let valid = message.address & SUBHANDLE_VALID != 0;
    // The sum is as wide as the index.
    Some(if valid { handle.wrapping_add(subhandle) } else { handle })
}

impl Iommu {
    /// What becomes of an interrupt request on its way to the CPU; `None` if it is refused. The unit's own events and
    /// the CPU's stores do not come this way.
    pub fn remap_interrupt(
        &mut self,
        message: MsiWrite,
        memory: &GuestMemoryMmap,
        out: &mut Outbox<'_>,
    ) -> Option<MsiWrite> {
        const REMAPPABLE: u64 = 1 << 4;
        let rid = match message.source {
            MsiSource::Vector { rid, .. } | MsiSource::Pin { rid } => rid,
            MsiSource::FaultEvent | MsiSource::CompletionEvent | MsiSource::Processor => {
                return Some(message);
            }
        };
        let status = self.file.word(GLOBAL_STATUS);
        // Elsewhere it is no interrupt.
        if status & REMAPPING == 0 || message.address >> 20 != 0xfee {
            return Some(message);
        }
        let loud = |reason| Refusal { reason, index: 0, silent: false };
        let entry = if message.address & REMAPPABLE == 0 {
            if status & COMPATIBILITY != 0 {
                return Some(message);
            }
            Err(loud(Reason::Compatibility))
        } else {
            let index = index_of(&message).ok_or(loud(Reason::RequestReserved));
            index.and_then(|index| self.interrupts.entry(index, rid, memory))
        };
        match entry {
            Ok(entry) => {
                self.interrupts.remapped = self.interrupts.remapped.saturating_add(1);
                Some(entry.message(message.source))
            }
            Err(refusal) => {
                self.refuse_interrupt(rid, &refusal, out);
                None
            }
        }
    }

    /// Reports a refused request to software. Where a DMA fault has the address, it has the index in the top 16 bits.
    fn refuse_interrupt(&mut self, rid: u16, refusal: &Refusal, out: &mut Outbox<'_>) {
        let (at, reason) = (u64::from(refusal.index) << 48, refusal.reason as u8);
        self.interrupts.refused = self.interrupts.refused.saturating_add(1);
        out.trace.record(Event::IommuFault { rid, iova: at, write: true, reason });
        if !refusal.silent {
            self.record_fault(rid, at, Access::Write, reason, out);
        }
    }
}
