//! Invalidations: by queue (Intel VT-d specification 3.3, 6.5.2) and by register (6.5.1).

use fencepost_trace::{Event, FaultKind};
use vm_memory::{Bytes, GuestAddress};

use crate::pci::Outbox;
use crate::ports::Gpa;

use super::core::{Iommu, Surroundings};
use super::registers::*;

const DESCRIPTOR_BYTES: u64 = 16;
/// Descriptors that are run at once. The others follow, so many at a time, each after the time that they take.
const BATCH: u32 = 256;
const BATCH_NS: u64 = 25_600;
/// How long a slow wait descriptor takes, unless its fault says.
const SLOW_NS: u64 = 1_000_000;

/// What a queue error record says (10.4.29).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QueueError {
    TailBeyondQueue = 1,
    Fetch = 2,
    DescriptorType = 3,
    Reserved = 4,
    /// No error: the descriptor is to be taken again later.
    NotYet = 0xf,
}

/// Which caches an invalidation drops, by its granularity field: 1 all, 2 one domain, 3 the narrowest.
const GLOBAL: u64 = 1;
const DOMAIN: u64 = 2;
const NARROWEST: u64 = 3;

impl Iommu {
    /// Fetches and carries out descriptors until the queue is empty, stops at an error, or has gone on for long.
    pub(super) fn run_queue(&mut self, around: &mut Surroundings<'_>) {
        let address = self.file.word64(QUEUE_ADDRESS);
        let bytes = 4096u64 << (address & 7);
        let mut left = BATCH;
        loop {
            let enabled = self.file.word(GLOBAL_STATUS) & QUEUED_INVALIDATION != 0;
            let stopped = self.file.word(FAULT_STATUS) & QUEUE_STOPPED != 0;
            let (head, tail) = (self.file.word64(QUEUE_HEAD), self.file.word64(QUEUE_TAIL));
            if !enabled || stopped || head == tail {
                // The descriptor that took long was taken away.
                (self.waits_until_ns, self.pauses_until_ns) = (None, None);
                return;
            }
            if self.goes_on_ns().is_some_and(|until_ns| around.out.now_ns < until_ns) {
                return;
            }
            self.pauses_until_ns = None;
            let Some(fewer) = left.checked_sub(1) else {
                self.invalidations.pauses = self.invalidations.pauses.saturating_add(1);
                self.pauses_until_ns = Some(around.out.now_ns.saturating_add(BATCH_NS));
                return;
            };
            left = fewer;
            let done = if tail >= bytes {
                Err(QueueError::TailBeyondQueue)
            } else {
                self.run_descriptor((address & !0xfff).saturating_add(head), around)
            };
            if done == Err(QueueError::NotYet) {
                return;
            }
            self.waits_until_ns = None;
            if let Err(error) = done {
                self.file.set_word64(QUEUE_ERROR, error as u64);
                self.set_fault_status(QUEUE_STOPPED, &mut around.out);
                return;
            }
            let next = head.saturating_add(DESCRIPTOR_BYTES);
            self.file.set_word64(QUEUE_HEAD, if next >= bytes { 0 } else { next });
        }
    }

    fn run_descriptor(&mut self, gpa: u64, around: &mut Surroundings<'_>) -> Result<(), QueueError> {
        let words: [u64; 2] = around.memory.read_obj(GuestAddress(gpa)).map_err(|_| QueueError::Fetch)?;
        let [low, high] = words;
        // Bits 9..12 extend the type.
        match low & 0xf | low >> 5 & 0x70 {
            1 => self.context_descriptor(low, high),
            2 => self.iotlb_descriptor(low, high, &mut around.out),
            4 if self.can_remap_interrupts() => self.interrupt_descriptor(low, high),
            5 => self.wait_descriptor(low, high, around),
            // Device TLBs (3) are not announced.
            _ => Err(QueueError::DescriptorType),
        }
    }

    fn context_descriptor(&mut self, low: u64, high: u64) -> Result<(), QueueError> {
        if low & !0x0003_ffff_ffff_003f != 0 || high != 0 {
            return Err(QueueError::Reserved);
        }
        let (domain, rid) = ((low >> 16) as u16, (low >> 32) as u16);
        let granted = self.invalidate_contexts(low >> 4 & 3, domain, rid, low >> 48 & 3);
        if granted == 0 { Err(QueueError::Reserved) } else { Ok(()) }
    }

    fn iotlb_descriptor(&mut self, low: u64, high: u64, out: &mut Outbox<'_>) -> Result<(), QueueError> {
        if low & !0xffff_00ff != 0 || high & 0xf80 != 0 {
            return Err(QueueError::Reserved);
        }
        if self.requested_fault(FaultKind::Stale, 0, out, |_| true) {
            return Ok(());
        }
        let granted = self.invalidate_iotlb(low >> 4 & 3, (low >> 16) as u16, high, out);
        if granted == 0 { Err(QueueError::Reserved) } else { Ok(()) }
    }

    /// Interrupt entry cache (6.5.2.7): all of it, or those whose index is the given one but for its lowest IM bits.
    fn interrupt_descriptor(&mut self, low: u64, high: u64) -> Result<(), QueueError> {
        const SELECTIVE: u64 = 1 << 4;
        if low & 0x07ff_ffe0 != 0 || low >> 48 != 0 || high != 0 {
            return Err(QueueError::Reserved);
        }
        let (index, ignored) = ((low >> 32) as u16, low >> 27 & 0x1f);
        let significant = u16::MAX.checked_shl(ignored as u32).unwrap_or(0);
        self.interrupts.invalidate(|of| low & SELECTIVE == 0 || (of ^ index) & significant == 0);
        Ok(())
    }

    /// Everything before a wait descriptor is complete when it is fetched, so the fence flag needs no work.
    fn wait_descriptor(
        &mut self,
        low: u64,
        high: u64,
        around: &mut Surroundings<'_>,
    ) -> Result<(), QueueError> {
        const INTERRUPT: u64 = 1 << 4;
        const STATUS_WRITE: u64 = 1 << 5;
        // Page-request drain (bit 7) belongs to a capability that is not announced.
        if low & 0xffff_ff80 != 0 || high & 3 != 0 {
            return Err(QueueError::Reserved);
        }
        if self.waits_until_ns.is_none()
            && let Some(struck) = self.slow_wait(&mut around.out)
        {
            self.waits_until_ns = Some(struck);
            return Err(QueueError::NotYet);
        }
        if low & STATUS_WRITE != 0 {
            let status = (low >> 32) as u32;
            // A status address outside memory is a write to nowhere, as on the bus.
            if around.memory.write_obj(status, GuestAddress(high)).is_ok() {
                (around.written)(Gpa(high), 4);
            }
        }
        if low & INTERRUPT != 0 && self.file.word(COMPLETION_STATUS) & 1 == 0 {
            self.file.set_word(COMPLETION_STATUS, 1);
            self.raise_event(COMPLETION_CONTROL, &mut around.out);
        }
        Ok(())
    }

    /// Until when a wait descriptor takes, if it takes long.
    fn slow_wait(&mut self, out: &mut Outbox<'_>) -> Option<u64> {
        let kind = FaultKind::SlowInvalidation;
        let struck = self.requested.see(kind, out.now_ns, |_| true)?;
        out.trace.record(Event::Fault { rid: 0, kind, occasion: struck.occasion });
        let for_ns = struck.spec.time_ns("for").unwrap_or(SLOW_NS);
        Some(out.now_ns.saturating_add(for_ns))
    }

    /// When the unit goes on with its queue, if it waits or pauses, in nanoseconds.
    pub fn goes_on_ns(&self) -> Option<u64> {
        self.waits_until_ns.or(self.pauses_until_ns)
    }

    /// Goes on with the queue when it has waited long enough.
    pub fn go_on(&mut self, around: &mut Surroundings<'_>) {
        if self.goes_on_ns().is_some() {
            self.run_queue(around);
        }
    }

    /// Drops cached contexts. Returns the granularity performed, 0 for a reserved request.
    pub(super) fn invalidate_contexts(
        &mut self,
        granularity: u64,
        domain: u16,
        rid: u16,
        function_mask: u64,
    ) -> u64 {
        // FM: 0 all function bits count, 1 ignore bit 2, 2 ignore bits 2 and 1, 3 ignore all three.
        let significant = match function_mask {
            0 => 0xffff,
            1 => 0xfffb,
            2 => 0xfff9,
            _ => 0xfff8u16,
        };
        match granularity {
            GLOBAL => self.contexts.invalidate(|_, _| true),
            DOMAIN => self.contexts.invalidate(|_, of| of == domain),
            NARROWEST => self.contexts.invalidate(|of, _| (of ^ rid) & significant == 0),
            _ => return 0,
        }
        self.invalidations.done = self.invalidations.done.saturating_add(1);
        granularity
    }

    /// Drops cached translations. `page` is the address word: address, hint (ignored: only leaves are cached) and
    /// address mask. Returns the granularity performed, 0 for a reserved request.
    pub(super) fn invalidate_iotlb(
        &mut self,
        granularity: u64,
        domain: u16,
        page: u64,
        out: &mut Outbox<'_>,
    ) -> u64 {
        let event = match granularity {
            GLOBAL => {
                self.iotlb.invalidate_all();
                Event::IotlbInvalidate { domain: None, iova: 0, len: u64::MAX }
            }
            DOMAIN => {
                self.iotlb.invalidate_domain(domain);
                Event::IotlbInvalidate { domain: Some(domain), iova: 0, len: u64::MAX }
            }
            NARROWEST => {
                let address_mask = (page & 0x3f) as u32;
                if address_mask > MAX_ADDRESS_MASK {
                    return 0;
                }
                let len = 4096u64 << address_mask;
                let last_offset = len.saturating_sub(1);
                let first = page & !0xfff & !last_offset;
                self.iotlb.invalidate_pages(domain, first, first | last_offset);
                Event::IotlbInvalidate { domain: Some(domain), iova: first, len }
            }
            _ => return 0,
        };
        self.invalidations.done = self.invalidations.done.saturating_add(1);
        out.trace.record(event);
        granularity
    }
}
