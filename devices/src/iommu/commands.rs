//! Register accesses and what follows from them.

use crate::pci::Outbox;

use super::core::{Iommu, Surroundings};
use super::registers::*;

impl Iommu {
    /// Reads 4 or 8 aligned bytes at `offset` of the register page; anything else reads as zero.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        if is_register_access(offset, data.len()) {
            self.file.read(offset as usize, data);
        }
    }

    /// Writes 4 or 8 aligned bytes at `offset` of the register page; anything else is ignored. Commands complete
    /// within the write. Messages go to `around.out`, to be delivered after the call.
    pub fn write(&mut self, offset: u64, data: &[u8], around: &mut Surroundings<'_>) {
        if !is_register_access(offset, data.len()) {
            return;
        }
        let stopped = self.file.word(FAULT_STATUS) & QUEUE_STOPPED != 0;
        self.file.write(offset as usize, data);
        // An 8-byte access acts as its low word, then its high word.
        for (at, word) in (offset as usize..).step_by(4).zip(data.chunks_exact(4)) {
            let value = word.try_into().map_or(0, u32::from_le_bytes);
            self.written(at, value, stopped, around);
        }
    }

    fn written(&mut self, offset: usize, value: u32, stopped: bool, around: &mut Surroundings<'_>) {
        const CONTEXT_COMMAND_HIGH: usize = CONTEXT_COMMAND + 4;
        const IOTLB_COMMAND_HIGH: usize = IOTLB_COMMAND + 4;
        const RECORDS_END: usize = FAULT_RECORDS + FAULT_RECORD_BYTES * FAULT_RECORD_COUNT;
        match offset {
            GLOBAL_COMMAND => self.global_command(value, around),
            CONTEXT_COMMAND_HIGH => self.context_command(),
            IOTLB_COMMAND_HIGH => self.iotlb_command(&mut around.out),
            QUEUE_TAIL => self.run_queue(around),
            FAULT_STATUS => {
                self.update_fault_status();
                if stopped && self.file.word(FAULT_STATUS) & QUEUE_STOPPED == 0 {
                    // Software fixed the descriptor at the head: go on from there.
                    self.file.set_word64(QUEUE_ERROR, 0);
                    self.run_queue(around);
                }
            }
            FAULT_CONTROL | COMPLETION_CONTROL => self.release_event(offset, &mut around.out),
            COMPLETION_STATUS if self.file.word(COMPLETION_STATUS) & 1 == 0 => {
                self.clear_pending_event(COMPLETION_CONTROL);
            }
            FAULT_RECORDS..RECORDS_END => self.update_fault_status(),
            _ => {}
        }
    }

    /// GCMD (10.4.4): one-shot commands act on a one, modes follow their bit.
    fn global_command(&mut self, value: u32, around: &mut Surroundings<'_>) {
        let mut status = self.file.word(GLOBAL_STATUS);
        if value & SET_ROOT != 0 {
            self.root = self.file.word64(ROOT_TABLE);
            status |= SET_ROOT;
        }
        let mut modes = TRANSLATION | QUEUED_INVALIDATION;
        if self.can_remap_interrupts() {
            modes |= REMAPPING | COMPATIBILITY;
            if value & SET_INTERRUPT_TABLE != 0 {
                self.interrupts.table = self.file.word64(INTERRUPT_TABLE);
                status |= SET_INTERRUPT_TABLE;
            }
        }
        let before = status;
        status = status & !modes | value & modes;
        self.file.set_word(GLOBAL_STATUS, status);
        if before & QUEUED_INVALIDATION != 0 && status & QUEUED_INVALIDATION == 0 {
            self.file.set_word64(QUEUE_HEAD, 0);
        }
        self.run_queue(around);
    }

    /// CCMD (10.4.7): ICC asks for an invalidation and reads as zero when it is done; CAIG says what was done.
    fn context_command(&mut self) {
        let command = self.file.word64(CONTEXT_COMMAND);
        if command >> 63 == 0 {
            return;
        }
        let (domain, rid, function_mask) = (command as u16, (command >> 16) as u16, command >> 32 & 3);
        let done = self.invalidate_contexts(command >> 61 & 3, domain, rid, function_mask);
        let answer = command & !(1 << 63) & !(3 << 59) | done << 59;
        self.file.set_word64(CONTEXT_COMMAND, answer);
    }

    /// The IOTLB invalidate register (10.4.8.1): IVT and IAIG likewise.
    fn iotlb_command(&mut self, out: &mut Outbox<'_>) {
        let command = self.file.word64(IOTLB_COMMAND);
        if command >> 63 == 0 {
            return;
        }
        let page = self.file.word64(IOTLB);
        let done = self.invalidate_iotlb(command >> 60 & 3, (command >> 32) as u16, page, out);
        let answer = command & !(1 << 63) & !(3 << 57) | done << 57;
        self.file.set_word64(IOTLB_COMMAND, answer);
    }
}

fn is_register_access(offset: u64, bytes: usize) -> bool {
    let aligned = matches!(bytes, 4 | 8) && offset & (bytes as u64).saturating_sub(1) == 0;
    aligned && offset < PAGE_BYTES as u64
}
