//! The side that translates.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fencepost_trace::{Event, FaultKind};
use vm_memory::GuestMemoryMmap;

use super::core::TIMER_REPORT;
use super::facts::{MESSAGES, REPORTS_MAX, Reason};
use super::state::{Common, Report};
use crate::faults::FaultSpec;
use crate::pci::{DmaRequest, GpaRange, Outbox, Translation};
use crate::ports::{Access, DmaFault, Iova};

/// What translates, and what the device changes: two handles of one thing.
#[derive(Clone, Debug)]
pub struct Unit {
    common: Arc<Mutex<Common>>,
    /// The requester id of the device itself, whose addresses are physical.
    own: u16,
    /// Whom it translates for.
    endpoints: Arc<BTreeSet<u16>>,
}

impl Unit {
    /// One after power-on: its device is `own`, and it translates for `endpoints`, all of them requester ids.
    pub fn new(own: u16, endpoints: impl IntoIterator<Item = u16>) -> Self {
        let endpoints = endpoints.into_iter().filter(|rid| *rid != own).collect();
        Unit { common: Arc::default(), own, endpoints: Arc::new(endpoints) }
    }

    /// The state. Whoever has it must not use memory meanwhile.
    pub(super) fn common(&self) -> MutexGuard<'_, Common> {
        self.common.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The endpoint that a driver means by `id`.
    pub(super) fn endpoint(&self, id: u32) -> Option<u16> {
        u16::try_from(id).ok().filter(|rid| self.endpoints.contains(rid))
    }

    /// The requester id and token of the call by which the device tells of faults, and when it is to be made, if somebody has to
    /// see to that.
    pub fn take_call(&self) -> Option<(u16, u32, u64)> {
        let mut common = self.common();
        let at_ns = common.report_ns.filter(|_| std::mem::take(&mut common.new))?;
        Some((self.own, TIMER_REPORT, at_ns))
    }

    /// Tells it to have a fault.
    ///
    /// # Errors
    ///
    /// Too many faults, as part of a line.
    pub fn give_fault(&self, spec: &FaultSpec, seed: u64, now_ns: u64) -> Result<(), String> {
        self.common().requested.give(spec, seed, now_ns)
    }

    /// What it was told to have, how many occasions that has seen, and how often it took place.
    pub fn faults(&self) -> Vec<(FaultSpec, u64, u64)> {
        self.common().requested.all().map(|(spec, seen, struck)| (spec.clone(), seen, struck)).collect()
    }
}

impl Common {
    /// Notes that the part of `request` from `iova` on is refused, and makes it the device's fault.
    fn refuse(
        &mut self,
        request: &DmaRequest,
        (iova, reason): (u64, Reason),
        out: &mut Outbox<'_>,
    ) -> DmaFault {
        let (rid, write) = (request.rid, request.access == Access::Write);
        out.trace.record(Event::IommuFault { rid, iova, write, reason: reason as u8 });
        self.faults = self.faults.saturating_add(1);
        if self.reports.len() < REPORTS_MAX {
            self.reports.push_back(Report { reason, write, endpoint: rid, address: iova });
            self.new |= self.report_ns.is_none();
            self.report_ns.get_or_insert(out.now_ns);
        } else {
            self.lost = self.lost.saturating_add(1);
        }
        DmaFault::Refused { iova: Iova(iova), access: request.access }
    }

    /// Whether a translation that is there is refused because somebody asked for it.
    fn fails(&mut self, rid: u16, out: &mut Outbox<'_>) -> bool {
        if self.requested.is_empty() {
            return false;
        }
        let kind = FaultKind::Translation;
        let struck = self.requested.see(kind, out.now_ns, |spec| spec.is_for(rid));
        if let Some(struck) = &struck {
            out.trace.record(Event::Fault { rid, kind, occasion: struck.occasion });
        }
        struck.is_some()
    }
}

impl Translation for Unit {
    fn translate(
        &mut self,
        request: &DmaRequest,
        _memory: &GuestMemoryMmap,
        ranges: &mut Vec<GpaRange>,
        out: &mut Outbox<'_>,
    ) -> Result<(), DmaFault> {
        let DmaRequest { rid, iova, len, access } = *request;
        let start = iova.0;
        let end = start.checked_add(len).ok_or(DmaFault::Overflow { iova, len })?;
        if rid == self.own {
            GpaRange::append(ranges, start, len);
            return Ok(());
        }
        let mut common = self.common();
        match common.domains.of(rid) {
            Err(reason) => return Err(common.refuse(request, (start, reason), out)),
            Ok(None) => {
                GpaRange::append(ranges, start, len);
                return Ok(());
            }
            Ok(Some(_)) => {}
        }
        if start <= MESSAGES.1 && end > MESSAGES.0 {
            return Err(DmaFault::NoMemory { iova: Iova(start.max(MESSAGES.0)) });
        }
        if common.fails(rid, out) {
            return Err(common.refuse(request, (start, Reason::Unknown), out));
        }
        let mut at = start;
        while at < end {
            let found = match common.domains.of(rid) {
                Ok(Some(domain)) => domain.translate(at, access),
                _ => Err(Reason::Domain),
            };
            let (gpa, bytes) = found.map_err(|reason| common.refuse(request, (at, reason), out))?;
            let take = bytes.min(end.saturating_sub(at));
            GpaRange::append(ranges, gpa, take);
            at = at.saturating_add(take);
        }
        Ok(())
    }
}
