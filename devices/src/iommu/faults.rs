//! Fault recording and the two event interrupts (Intel VT-d specification 3.3, 7.2 to 7.4, 10.4.9 to 10.4.14).

use crate::pci::{MsiSource, MsiWrite, Outbox};
use crate::ports::Access;

use super::core::Iommu;
use super::registers::*;

const RECORD_IN_USE: u64 = 1 << 63;
const RECORD_READ: u64 = 1 << 62;

impl Iommu {
    /// Records a refused request and raises the fault event, as far as neither is already pending.
    pub(super) fn record_fault(
        &mut self,
        rid: u16,
        iova: u64,
        access: Access,
        reason: u8,
        out: &mut Outbox<'_>,
    ) {
        // "If the PFO field is already set, the fault is not recorded" (7.2.1).
        if self.file.word(FAULT_STATUS) & PRIMARY_OVERFLOW != 0 {
            return;
        }
        let offset = fault_record_offset(self.next_record);
        let high = offset.saturating_add(8);
        if self.file.word64(high) & RECORD_IN_USE != 0 {
            self.set_fault_status(PRIMARY_OVERFLOW, out);
            return;
        }
        let direction = match access {
            Access::Write => 0,
            Access::Read => RECORD_READ,
        };
        self.file.set_word64(offset, iova & !0xfff);
        self.file.set_word64(high, RECORD_IN_USE | direction | u64::from(reason) << 32 | u64::from(rid));
        if self.file.word(FAULT_STATUS) & PRIMARY_PENDING == 0 {
            // FRI: the record that was the first to be used while none was pending.
            let status = self.file.word(FAULT_STATUS) & !RECORD_INDEX;
            self.file.set_word(FAULT_STATUS, status | (self.next_record as u32) << 8);
        }
        self.next_record = self.next_record.saturating_add(1) % FAULT_RECORD_COUNT;
        self.set_fault_status(PRIMARY_PENDING, out);
    }

    /// Sets a bit of the fault status register. The event is raised unless one was already due (7.3).
    pub(super) fn set_fault_status(&mut self, bit: u32, out: &mut Outbox<'_>) {
        let before = self.file.word(FAULT_STATUS);
        self.file.set_word(FAULT_STATUS, before | bit);
        if before & !RECORD_INDEX == 0 {
            self.raise_event(FAULT_CONTROL, out);
        }
    }

    /// Software cleared fault records or status bits: PPF is the OR of the records, and an event that is no longer
    /// due is no longer pending.
    pub(super) fn update_fault_status(&mut self) {
        let in_use = |index| self.file.word64(fault_record_offset(index).saturating_add(8)) & RECORD_IN_USE;
        let pending = (0..FAULT_RECORD_COUNT).any(|index| in_use(index) != 0);
        let mut status = self.file.word(FAULT_STATUS) & !PRIMARY_PENDING;
        if pending {
            status |= PRIMARY_PENDING;
        }
        self.file.set_word(FAULT_STATUS, status);
        if status & !RECORD_INDEX == 0 {
            self.clear_pending_event(FAULT_CONTROL);
        }
    }

    /// Sends the event whose control register is at `control`, or leaves it pending while masked.
    pub(super) fn raise_event(&mut self, control: usize, out: &mut Outbox<'_>) {
        let value = self.file.word(control);
        if value & EVENT_MASKED != 0 {
            self.file.set_word(control, value | EVENT_PENDING);
            return;
        }
        self.file.set_word(control, value & !EVENT_PENDING);
        out.messages.push(self.event_message(control));
    }

    /// What the event whose control register is at `control` sends.
    fn event_message(&self, control: usize) -> MsiWrite {
        let part = |offset: usize| self.file.word(control.saturating_add(offset));
        let address = u64::from(part(EVENT_UPPER_ADDRESS)) << 32 | u64::from(part(EVENT_ADDRESS));
        let source =
            if control == FAULT_CONTROL { MsiSource::FaultEvent } else { MsiSource::CompletionEvent };
        MsiWrite { source, address, data: part(EVENT_DATA) }
    }

    /// What the fault event and the completion event would send now; none while masked.
    pub fn open_events(&self) -> [Option<MsiWrite>; 2] {
        [FAULT_CONTROL, COMPLETION_CONTROL]
            .map(|control| (self.file.word(control) & EVENT_MASKED == 0).then(|| self.event_message(control)))
    }

    /// After a write to an event control register: a pending event that is unmasked is sent.
    pub(super) fn release_event(&mut self, control: usize, out: &mut Outbox<'_>) {
        if self.file.word(control) & EVENT_PENDING != 0 {
            self.raise_event(control, out);
        }
    }

    pub(super) fn clear_pending_event(&mut self, control: usize) {
        let value = self.file.word(control);
        self.file.set_word(control, value & !EVENT_PENDING);
    }
}
