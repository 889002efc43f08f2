//! One remapping unit: what it keeps, and the translation of a request.

use fencepost_trace::{Event, FaultKind};
use serde::{Deserialize, Serialize};
use vm_memory::GuestMemoryMmap;

use crate::faults::{FaultSet, FaultSpec};
use crate::function::Counter;
use crate::pci::{DmaRequest, GpaRange, Outbox, Translation};
use crate::ports::{Access, DmaFault, Gpa, Iova};
use crate::registers::RegisterFile;

use super::cache::{ContextCache, Hit, Iotlb};
use super::interrupts::InterruptTable;
use super::registers::{self, ECAP, ECAP_REMAPPING, ECAP_VALUE, GLOBAL_STATUS, TRANSLATION};
use super::walk::{self, Context, Reason, Refusal, Walker};

/// Accesses here are interrupt messages, never memory (3.14).
const INTERRUPT_RANGE: std::ops::Range<u64> = 0xfee0_0000..0xfef0_0000;

/// What the unit needs for one register write.
pub struct Surroundings<'a> {
    /// Guest RAM, where queues and tables are.
    pub memory: &'a GuestMemoryMmap,
    /// Called after the unit wrote `(gpa, len)`: cached code there is stale.
    pub written: &'a dyn Fn(Gpa, u64),
    /// Events and interrupts.
    pub out: Outbox<'a>,
}

/// One remapping unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iommu {
    pub(super) file: RegisterFile,
    /// The root table that the last "set root table pointer" took.
    pub(super) root: u64,
    /// The fault record to be used next.
    pub(super) next_record: usize,
    pub(super) contexts: ContextCache,
    pub(super) iotlb: Iotlb,
    /// Walks that ended at a leaf, by its size: 4 KiB, 2 MiB, 1 GiB.
    pub(super) walks: [u64; 3],
    pub(super) faults: u64,
    pub(super) interrupts: InterruptTable,
    /// The faults that it was told to have.
    pub requested: FaultSet,
    /// Until when the wait descriptor at the queue's head takes, in nanoseconds.
    pub(super) waits_until_ns: Option<u64>,
    /// When the queue goes on, of which many descriptors were run at once, in nanoseconds.
    pub(super) pauses_until_ns: Option<u64>,
    pub(super) invalidations: Invalidations,
}

/// What the unit counts of invalidations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalidations {
    /// Those done, by descriptor or register.
    pub(super) done: u64,
    /// How often the queue paused.
    pub(super) pauses: u64,
}

impl Default for Iommu {
    fn default() -> Self {
        Iommu {
            file: RegisterFile::new(registers::REGISTERS, registers::PAGE_BYTES),
            root: 0,
            next_record: 0,
            contexts: ContextCache::default(),
            iotlb: Iotlb::default(),
            walks: [0; 3],
            faults: 0,
            interrupts: InterruptTable::default(),
            requested: FaultSet::default(),
            waits_until_ns: None,
            pauses_until_ns: None,
            invalidations: Invalidations::default(),
        }
    }
}

impl Iommu {
    /// A unit after power-on: translation off, requests pass untranslated.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, but it can remap interrupts, too.
    pub fn remapping_interrupts() -> Self {
        let mut unit = Self::default();
        unit.file.set_word64(ECAP, ECAP_VALUE | ECAP_REMAPPING);
        unit
    }

    /// What the unit has counted since power-on.
    pub fn counters(&self) -> Vec<Counter> {
        let [small, large, huge] = self.walks;
        vec![
            Counter { name: "walks-4k", value: small },
            Counter { name: "walks-2m", value: large },
            Counter { name: "walks-1g", value: huge },
            Counter { name: "faults", value: self.faults },
            Counter { name: "requested-faults", value: self.requested.count() },
            Counter { name: "interrupts", value: self.interrupts.remapped },
            Counter { name: "interrupt-faults", value: self.interrupts.refused },
            Counter { name: "evictions", value: self.iotlb.evictions() },
            Counter { name: "invalidations", value: self.invalidations.done },
            Counter { name: "pauses", value: self.invalidations.pauses },
        ]
    }

    /// Whether interrupt remapping is announced.
    pub(super) fn can_remap_interrupts(&self) -> bool {
        self.file.word64(ECAP) & ECAP_REMAPPING != 0
    }

    /// Whether the guest switched translation on.
    pub fn is_translating(&self) -> bool {
        self.file.word(GLOBAL_STATUS) & TRANSLATION != 0
    }

    /// An occasion for a fault of `kind`: whether it takes place.
    pub(super) fn requested_fault(
        &mut self,
        kind: FaultKind,
        rid: u16,
        out: &mut Outbox<'_>,
        fits: impl Fn(&FaultSpec) -> bool,
    ) -> bool {
        if self.requested.is_empty() {
            return false;
        }
        let struck = self.requested.see(kind, out.now_ns, fits);
        if let Some(struck) = &struck {
            out.trace.record(Event::Fault { rid, kind, occasion: struck.occasion });
        }
        struck.is_some()
    }

    fn context(&mut self, rid: u16, memory: &GuestMemoryMmap) -> Result<Context, Refusal> {
        if let Some(context) = self.contexts.get(rid) {
            return Ok(context);
        }
        let context = walk::context(memory, self.root, rid)?;
        self.contexts.put(rid, context);
        Ok(context)
    }

    /// Translates a request page by page; in case of a refusal says where, and why.
    fn pages(
        &mut self,
        (domain, table): (u16, u64),
        request: &DmaRequest,
        memory: &GuestMemoryMmap,
        ranges: &mut Vec<GpaRange>,
        out: &mut Outbox<'_>,
    ) -> Result<(), (u64, Reason)> {
        let (rid, access) = (request.rid, request.access);
        let heard = out.trace.is_heard();
        let mut tables = Walker::new(table);
        let mut unheard = 0u64;
        let (mut at, end) = (request.iova.0, request.iova.0.saturating_add(request.len));
        let mut refused = Ok(());
        while at < end {
            let hit = match self.iotlb.get(domain, at, access) {
                Some(hit) => {
                    if heard {
                        out.trace.record(Event::IotlbHit { rid, iova: at });
                    } else {
                        unheard = unheard.saturating_add(1);
                    }
                    Ok(hit)
                }
                None => {
                    self.page(domain, &mut tables, &DmaRequest { iova: Iova(at), ..*request }, memory, out)
                }
            };
            let hit = match hit {
                Ok(hit) => hit,
                Err(reason) => {
                    refused = Err((at, reason));
                    break;
                }
            };
            let take = hit.bytes.min(end.saturating_sub(at));
            GpaRange::append(ranges, hit.gpa, take);
            at = at.saturating_add(take);
        }
        out.trace.count(unheard);
        refused
    }

    /// Walks the tables for a page that the IOTLB does not hold, up to its end.
    fn page(
        &mut self,
        domain: u16,
        tables: &mut Walker,
        at: &DmaRequest,
        memory: &GuestMemoryMmap,
        out: &mut Outbox<'_>,
    ) -> Result<Hit, Reason> {
        let iova = at.iova.0;
        if !walk::is_within_width(iova) {
            return Err(Reason::AddressBeyond);
        }
        out.trace.record(Event::IotlbMiss { rid: at.rid, iova });
        let leaf = tables.translate(memory, iova, at.access)?;
        if let Some(walks) = self.walks.get_mut((leaf.page_bits.saturating_sub(12) / 9) as usize) {
            *walks = walks.saturating_add(1);
        }
        Ok(self.iotlb.put(domain, iova, &leaf))
    }

    /// Reports `refusal` of the request's part at `iova` to software, and makes it the device's fault.
    fn refuse(
        &mut self,
        request: &DmaRequest,
        iova: u64,
        refusal: Refusal,
        out: &mut Outbox<'_>,
    ) -> DmaFault {
        let (rid, write) = (request.rid, request.access == Access::Write);
        out.trace.record(Event::IommuFault { rid, iova, write, reason: refusal.reason as u8 });
        self.faults = self.faults.saturating_add(1);
        if !refusal.silent {
            self.record_fault(request.rid, iova, request.access, refusal.reason as u8, out);
        }
        DmaFault::Refused { iova: Iova(iova), access: request.access }
    }
}

impl Translation for Iommu {
    fn translate(
        &mut self,
        request: &DmaRequest,
        memory: &GuestMemoryMmap,
        ranges: &mut Vec<GpaRange>,
        out: &mut Outbox<'_>,
    ) -> Result<(), DmaFault> {
        let (start, len) = (request.iova.0, request.len);
        let end = start.checked_add(len).ok_or(DmaFault::Overflow { iova: request.iova, len })?;
        if !self.is_translating() {
            GpaRange::append(ranges, start, len);
            return Ok(());
        }
        if start < INTERRUPT_RANGE.end && end > INTERRUPT_RANGE.start {
            return Err(DmaFault::NoMemory { iova: Iova(start.max(INTERRUPT_RANGE.start)) });
        }
        let rid = request.rid;
        let context =
            self.context(request.rid, memory).map_err(|refusal| self.refuse(request, start, refusal, out))?;
        let refusal = |reason| Refusal { reason, silent: context.silent };
        if self.requested_fault(FaultKind::Translation, rid, out, |spec| spec.is_for(rid)) {
            let reason = if request.access == Access::Write { Reason::Write } else { Reason::Read };
            return Err(self.refuse(request, start, refusal(reason), out));
        }
        let Some(table) = context.table else {
            if !walk::is_within_width(end.saturating_sub(1)) {
                return Err(self.refuse(request, start, refusal(Reason::AddressBeyond), out));
            }
            GpaRange::append(ranges, start, len);
            return Ok(());
        };
        self.pages((context.domain, table), request, memory, ranges, out)
            .map_err(|(at, reason)| self.refuse(request, at, refusal(reason), out))
    }
}
