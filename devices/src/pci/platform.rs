//! What the machine lends the bus for one call, and the four ports of a function made from it.

use std::cell::RefCell;

use fencepost_trace::{Event, Stamp, Trace};
use vm_memory::{
    GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap, VolatileSlice,
};

use crate::faults::FaultSet;
use crate::ports::{Access, Clock, Dma, DmaFault, Gpa, Iova, Kept, Msi, Seen};

use super::dma_log::DmaLog;
use super::interrupts::{Gates, InterruptState};
use super::order::BusOrder;

/// Bytes of a page whose writes are counted together.
const PAGE_BYTES: u64 = 4096;

/// Who sends a message, so that a machine can give each sender a way to the CPU of its own (KVM's irqfd).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum MsiSource {
    /// A message of a function's: MSI-X or MSI, whichever it has enabled.
    Vector {
        /// Requester id of the function.
        rid: u16,
        /// Its vector.
        vector: u16,
    },
    /// A pin of an I/O APIC.
    Pin {
        /// Requester id of the I/O APIC.
        rid: u16,
    },
    /// The remapping unit's fault event.
    FaultEvent,
    /// The remapping unit's invalidation completion event.
    CompletionEvent,
    /// A processor's own store to the interrupt range.
    Processor,
}

/// A message-signalled interrupt: a 32-bit write to the interrupt range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct MsiWrite {
    /// Who sends it.
    pub source: MsiSource,
    /// Where.
    pub address: u64,
    /// What.
    pub data: u32,
}

/// A DMA access before translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaRequest {
    /// Requester id.
    pub rid: u16,
    /// First address.
    pub iova: Iova,
    /// Length in bytes; `iova + len` does not overflow.
    pub len: u64,
    /// Direction.
    pub access: Access,
}

/// A piece of guest-physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpaRange {
    /// First address.
    pub gpa: Gpa,
    /// Length in bytes.
    pub len: u64,
}

impl GpaRange {
    /// Appends a range to `ranges`, merged with the last one where they touch.
    pub fn append(ranges: &mut Vec<GpaRange>, gpa: u64, len: u64) {
        let last = ranges.last_mut().filter(|last| last.gpa.0.checked_add(last.len) == Some(gpa));
        match last {
            Some(last) => last.len = last.len.saturating_add(len),
            None => ranges.push(GpaRange { gpa: Gpa(gpa), len }),
        }
    }
}

/// Where a translation leaves what it has to say.
pub struct Outbox<'a> {
    /// Events.
    pub trace: &'a mut dyn Trace,
    /// Interrupts, such as a fault event.
    pub messages: &'a mut Vec<MsiWrite>,
    /// Now, in nanoseconds.
    pub now_ns: u64,
}

/// From I/O virtual to guest-physical addresses.
pub trait Translation {
    /// Appends to `ranges` the memory behind the whole request, in address order, or refuses the whole of it.
    fn translate(
        &mut self,
        request: &DmaRequest,
        memory: &GuestMemoryMmap,
        ranges: &mut Vec<GpaRange>,
        out: &mut Outbox<'_>,
    ) -> Result<(), DmaFault>;
}

/// A machine without an IOMMU: every address is physical.
#[derive(Clone, Copy, Debug, Default)]
pub struct Untranslated;

impl Translation for Untranslated {
    fn translate(
        &mut self,
        request: &DmaRequest,
        _memory: &GuestMemoryMmap,
        ranges: &mut Vec<GpaRange>,
        _out: &mut Outbox<'_>,
    ) -> Result<(), DmaFault> {
        ranges.push(GpaRange { gpa: Gpa(request.iova.0), len: request.len });
        Ok(())
    }
}

/// Time, for all functions: [`Clock`] with the requester id beside each token.
pub trait BusClock {
    /// Now.
    fn now(&self) -> Stamp;
    /// Asks for [`super::PciRoot::timer`] with `rid` and `token` at `at_ns`; replaces an earlier request of the pair.
    fn call_at(&mut self, rid: u16, token: u32, at_ns: u64);
    /// Withdraws the pending call of the pair, if any.
    fn cancel(&mut self, rid: u16, token: u32);
    /// The length of `cycles` guest cycles in nanoseconds, rounded up.
    fn cycles_to_ns(&self, cycles: u64) -> u64;
    /// [`Clock::vary`].
    fn vary(&mut self, cycles: u64) -> u64;
}

/// What the machine lends for one call.
pub struct Platform<'a> {
    /// The CPU whose access the call is, for traces.
    pub cpu: u32,
    /// Guest RAM.
    pub memory: &'a GuestMemoryMmap,
    /// The IOMMU, or [`Untranslated`].
    pub translation: &'a mut dyn Translation,
    /// Called after a device wrote `(gpa, len)`: cached code there is stale.
    pub written: &'a dyn Fn(Gpa, u64),
    /// The number that the page at an address has until somebody writes to it, if that can be told.
    pub observe: &'a dyn Fn(Gpa) -> Option<u32>,
    /// Time.
    pub clock: &'a mut dyn BusClock,
    /// Events.
    pub trace: &'a mut dyn Trace,
    /// MSIs that the call raised, in order; the machine delivers them after the call.
    pub messages: &'a mut Vec<MsiWrite>,
}

/// The part of the platform that more than one port of a function uses. The cells are never borrowed while a
/// device's code runs, so they cannot be found borrowed.
pub(super) struct Shared<'a> {
    pub trace: RefCell<&'a mut dyn Trace>,
    pub messages: RefCell<&'a mut Vec<MsiWrite>>,
    pub dma_log: RefCell<DmaLog>,
    /// The faults that the function was told to have.
    pub faults: &'a RefCell<FaultSet>,
    /// Now, which does not advance within a call, in nanoseconds.
    pub now_ns: u64,
}

impl Shared<'_> {
    /// Records the DMA that is not recorded yet.
    #[inline]
    pub fn flush_dma(&self, rid: u16) {
        let mut log = self.dma_log.borrow_mut();
        if !log.is_empty() {
            log.flush(rid, &mut **self.trace.borrow_mut());
        }
    }

    #[inline]
    pub fn record(&self, rid: u16, event: Event) {
        self.flush_dma(rid);
        let mut trace = self.trace.borrow_mut();
        if trace.is_heard() {
            trace.record(event);
        } else {
            trace.count(1);
        }
    }
}

/// [`Dma`] of one function.
pub(super) struct DmaPort<'s, 'a> {
    pub rid: u16,
    pub bus_master: bool,
    pub memory: &'a GuestMemoryMmap,
    pub translation: &'a mut dyn Translation,
    pub written: &'a dyn Fn(Gpa, u64),
    pub observe: &'a dyn Fn(Gpa) -> Option<u32>,
    pub shared: &'s Shared<'a>,
    pub order: BusOrder,
    /// Kept between accesses only for their allocations.
    pub ranges: Vec<GpaRange>,
    pub pieces: Vec<(Gpa, VolatileSlice<'a>)>,
}

impl Dma for DmaPort<'_, '_> {
    fn visit(
        &mut self,
        iova: Iova,
        len: u64,
        access: Access,
        visit: &mut dyn FnMut(VolatileSlice<'_>),
    ) -> Result<(), DmaFault> {
        self.find(iova, len, access)?;
        self.pieces.iter().for_each(|(_, piece)| visit(*piece));
        if access == Access::Write {
            self.ranges.iter().for_each(|range| (self.written)(range.gpa, range.len));
        }
        Ok(())
    }

    fn visit_again(
        &mut self,
        iova: Iova,
        len: u64,
        seen: &mut Seen,
        visit: &mut dyn FnMut(VolatileSlice<'_>, Kept),
    ) -> Result<(), DmaFault> {
        self.find(iova, len, Access::Read)?;
        // All are looked at before the first is read: what the reader does with one keeps the host's processor from the next.
        let kept: Vec<Kept> =
            spans(&self.pieces).map(|(gpa, span)| seen.next(gpa, span.len(), (self.observe)(gpa))).collect();
        spans(&self.pieces).zip(kept).for_each(|((_, span), kept)| visit(span, kept));
        Ok(())
    }
}

impl DmaPort<'_, '_> {
    /// Finds the pieces of memory behind an access, and records it.
    fn find(&mut self, iova: Iova, len: u64, access: Access) -> Result<(), DmaFault> {
        self.ranges.clear();
        self.pieces.clear();
        if !self.bus_master {
            return Err(DmaFault::NotBusMaster);
        }
        iova.0.checked_add(len).ok_or(DmaFault::Overflow { iova, len })?;
        if len == 0 {
            return Ok(());
        }
        self.order.keep(access);
        if self.shared.dma_fails(self.rid, access) {
            return Err(DmaFault::NoMemory { iova });
        }
        let request = DmaRequest { rid: self.rid, iova, len, access };
        self.translate(&request)?;
        self.find_memory(iova)?;
        self.log(&request);
        Ok(())
    }

    fn translate(&mut self, request: &DmaRequest) -> Result<(), DmaFault> {
        let mut trace = self.shared.trace.borrow_mut();
        let mut messages = self.shared.messages.borrow_mut();
        let mut out = Outbox { trace: &mut **trace, messages: &mut messages, now_ns: self.shared.now_ns };
        self.translation.translate(request, self.memory, &mut self.ranges, &mut out)
    }

    fn log(&self, request: &DmaRequest) {
        let mut log = self.shared.dma_log.borrow_mut();
        let mut trace = self.shared.trace.borrow_mut();
        log.add(request.access, request.iova, &self.ranges, self.rid, &mut **trace);
    }

    /// Finds the memory of all ranges, all of which must be RAM before anything is visited.
    fn find_memory(&mut self, iova: Iova) -> Result<(), DmaFault> {
        self.pieces.clear();
        let mut at = iova.0;
        // Ranges of one access are nearly always in one region.
        let mut region: Option<&GuestRegionMmap> = None;
        for range in &self.ranges {
            let (start, len) = (GuestAddress(range.gpa.0), range.len as usize);
            let mut at_start = region.and_then(|region| region.to_region_addr(start));
            if at_start.is_none() {
                region = self.memory.find_region(start);
                at_start = region.and_then(|region| region.to_region_addr(start));
            }
            let inside = region.zip(at_start).and_then(|(region, at)| region.get_slice(at, len).ok());
            match inside {
                Some(piece) => self.pieces.push((range.gpa, piece)),
                // It may go on from one region to the next.
                None => {
                    let mut gpa = range.gpa;
                    for piece in self.memory.get_slices(start, len) {
                        let piece = piece.map_err(|_| DmaFault::NoMemory { iova: Iova(at) })?;
                        self.pieces.push((gpa, piece));
                        gpa = Gpa(gpa.0.saturating_add(piece.len() as u64));
                    }
                }
            }
            at = at.saturating_add(range.len);
        }
        Ok(())
    }
}

/// The spans of pieces, none of which reaches over the end of a page.
fn spans<'p>(pieces: &'p [(Gpa, VolatileSlice<'p>)]) -> impl Iterator<Item = (Gpa, VolatileSlice<'p>)> {
    pieces.iter().flat_map(|&(start, piece)| {
        let mut done = 0usize;
        std::iter::from_fn(move || {
            let gpa = Gpa(start.0.saturating_add(done as u64));
            let len = in_page(gpa).min(piece.len().saturating_sub(done));
            let span = piece.subslice(done, len).ok().filter(|span| !span.is_empty())?;
            done = done.saturating_add(len);
            Some((gpa, span))
        })
    })
}

/// Bytes from an address to the end of its page.
fn in_page(gpa: Gpa) -> usize {
    PAGE_BYTES.saturating_sub(gpa.0 % PAGE_BYTES) as usize
}

/// [`Msi`] of one function.
pub(super) struct MsiPort<'s, 'a, 'm> {
    pub rid: u16,
    pub interrupts: &'m mut InterruptState,
    pub gates: Gates,
    pub shared: &'s Shared<'a>,
}

impl Msi for MsiPort<'_, '_, '_> {
    fn raise(&mut self, vector: u16) {
        let raised = Event::MsiRaised { rid: self.rid, vector };
        self.shared.record(self.rid, raised);
        for message in 0..self.shared.sent(self.rid, vector) {
            if message > 0 {
                self.shared.record(self.rid, Event::MsiRaised { rid: self.rid, vector });
            }
            if let Some(outgoing) = self.interrupts.raise(vector, &self.gates) {
                self.shared.messages.borrow_mut().push(outgoing.sent_by(self.rid));
            }
        }
    }

    fn set_line(&mut self, asserted: bool) {
        self.interrupts.set_line(asserted);
    }
}

/// [`Clock`] of one function.
pub(super) struct ClockPort<'a> {
    pub rid: u16,
    pub clock: &'a mut dyn BusClock,
}

impl Clock for ClockPort<'_> {
    fn now(&self) -> Stamp {
        self.clock.now()
    }

    fn call_at(&mut self, at_ns: u64, token: u32) {
        self.clock.call_at(self.rid, token, at_ns);
    }

    fn cancel(&mut self, token: u32) {
        self.clock.cancel(self.rid, token);
    }

    fn cycles_to_ns(&self, cycles: u64) -> u64 {
        self.clock.cycles_to_ns(cycles)
    }

    fn vary(&mut self, cycles: u64) -> u64 {
        self.clock.vary(cycles)
    }
}

/// [`Trace`] of one function.
pub(super) struct TracePort<'s, 'a> {
    pub rid: u16,
    pub shared: &'s Shared<'a>,
}

impl Trace for TracePort<'_, '_> {
    fn record(&mut self, event: Event) {
        self.shared.record(self.rid, event);
    }

    fn is_heard(&self) -> bool {
        self.shared.trace.borrow().is_heard()
    }

    fn count(&mut self, events: u64) {
        self.shared.trace.borrow_mut().count(events);
    }
}
