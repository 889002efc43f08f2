//! Intel VT-d in legacy mode: one remapping unit for every function on the bus (specification 3.3; the register page
//! and what is announced are in `docs/iommu.md`).
//!
//! The unit is a pure state machine. The machine gives it register accesses ([`Iommu::read`], [`Iommu::write`]) and
//! lends it as [`Translation`] to the bus; faults and events come back as MSIs in the outbox.

mod cache;
mod commands;
mod faults;
mod queue;
mod registers;
mod walk;

#[cfg(test)]
mod tests;

use fencepost_trace::Event;
use serde::{Deserialize, Serialize};
use vm_memory::GuestMemoryMmap;

use crate::pci::{DmaRequest, GpaRange, Outbox, Translation};
use crate::ports::{Access, DmaFault, Gpa, Iova};
use crate::registers::RegisterFile;
use crate::state::{StateError, Stateful, require};

use cache::{ContextCache, Hit, Iotlb};
use registers::{GLOBAL_STATUS, TRANSLATION};
use walk::{Context, Reason, Refusal};

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
    file: RegisterFile,
    /// The root table that the last "set root table pointer" took.
    root: u64,
    /// The fault record to be used next.
    next_record: usize,
    contexts: ContextCache,
    iotlb: Iotlb,
    faults: u64,
}

/// The saved state of an [`Iommu`]. The caches are part of it: what is stale stays stale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IommuState {
    /// The register page.
    pub registers: Vec<u8>,
    /// Root table in use.
    pub root: u64,
    /// The fault record to be used next.
    pub next_record: usize,
    /// Context cache.
    pub contexts: ContextCache,
    /// IOTLB.
    pub iotlb: Iotlb,
    /// Refused requests since power-on.
    pub faults: u64,
}

impl Default for Iommu {
    fn default() -> Self {
        Iommu {
            file: RegisterFile::new(registers::table(), registers::PAGE_BYTES),
            root: 0,
            next_record: 0,
            contexts: ContextCache::default(),
            iotlb: Iotlb::default(),
            faults: 0,
        }
    }
}

impl Iommu {
    /// A unit after power-on: translation off, requests pass untranslated.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests refused since power-on, recorded or not.
    pub fn faults(&self) -> u64 {
        self.faults
    }

    /// Whether the guest switched translation on.
    pub fn is_translating(&self) -> bool {
        self.file.word(GLOBAL_STATUS) & TRANSLATION != 0
    }

    fn context(&mut self, rid: u16, memory: &GuestMemoryMmap) -> Result<Context, Refusal> {
        if let Some(context) = self.contexts.get(rid) {
            return Ok(context);
        }
        let context = walk::context(memory, self.root, rid)?;
        self.contexts.put(rid, context);
        Ok(context)
    }

    /// Translates up to the end of one page.
    fn page(
        &mut self,
        context: &Context,
        table: u64,
        at: &DmaRequest,
        memory: &GuestMemoryMmap,
        out: &mut Outbox<'_>,
    ) -> Result<Hit, Reason> {
        let iova = at.iova.0;
        if let Some(hit) = self.iotlb.get(context.domain, iova, at.access) {
            out.trace.record(Event::IotlbHit { rid: at.rid, iova });
            return Ok(hit);
        }
        if !walk::is_within_width(iova) {
            return Err(Reason::AddressBeyond);
        }
        out.trace.record(Event::IotlbMiss { rid: at.rid, iova });
        let leaf = walk::translate(memory, table, iova, at.access)?;
        Ok(self.iotlb.put(context.domain, iova, &leaf))
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
            self.record_fault(request.rid, iova, request.access, refusal.reason, out);
        }
        DmaFault::Refused { iova: Iova(iova), access: request.access }
    }
}

impl Stateful for Iommu {
    const KIND: &'static str = "iommu";
    const VERSION: u32 = 2;
    type Parts = ();
    type State = IommuState;

    fn save(&self) -> IommuState {
        IommuState {
            registers: self.file.save(),
            root: self.root,
            next_record: self.next_record,
            contexts: self.contexts.clone(),
            iotlb: self.iotlb.clone(),
            faults: self.faults,
        }
    }

    fn restore((): (), state: IommuState) -> Result<Self, StateError> {
        let IommuState { registers, root, next_record, contexts, iotlb, faults } = state;
        require::<Self>(next_record < registers::FAULT_RECORD_COUNT, "a fault record beyond the last")?;
        require::<Self>(contexts.is_well_formed() && iotlb.is_well_formed(), "caches of another size")?;
        let file = RegisterFile::restore(registers::table(), registers::PAGE_BYTES, &registers)
            .ok_or(StateError::Impossible { kind: Self::KIND, why: "a register page of another size" })?;
        Ok(Iommu { file, root, next_record, contexts, iotlb, faults })
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
            push(ranges, start, len);
            return Ok(());
        }
        if start < INTERRUPT_RANGE.end && end > INTERRUPT_RANGE.start {
            return Err(DmaFault::NoMemory { iova: Iova(start.max(INTERRUPT_RANGE.start)) });
        }
        let context =
            self.context(request.rid, memory).map_err(|refusal| self.refuse(request, start, refusal, out))?;
        let refusal = |reason| Refusal { reason, silent: context.silent };
        let Some(table) = context.table else {
            if !walk::is_within_width(end.saturating_sub(1)) {
                return Err(self.refuse(request, start, refusal(Reason::AddressBeyond), out));
            }
            push(ranges, start, len);
            return Ok(());
        };
        let mut at = start;
        while at < end {
            let part = DmaRequest { iova: Iova(at), ..*request };
            let hit = self.page(&context, table, &part, memory, out);
            let hit = hit.map_err(|reason| self.refuse(request, at, refusal(reason), out))?;
            let take = hit.bytes.min(end.saturating_sub(at));
            push(ranges, hit.gpa, take);
            at = at.saturating_add(take);
        }
        Ok(())
    }
}

/// Appends a range, merged with the last one where they touch.
fn push(ranges: &mut Vec<GpaRange>, gpa: u64, len: u64) {
    let last = ranges.last_mut().filter(|last| last.gpa.0.checked_add(last.len) == Some(gpa));
    match last {
        Some(last) => last.len = last.len.saturating_add(len),
        None => ranges.push(GpaRange { gpa: Gpa(gpa), len }),
    }
}
