//! Loads and stores by linear address: the TLB's fast path inline, everything else out of line.

use super::segment::OUTSIDE_STACK;
use super::tlb::{Fill, PAGE_MASK};
use super::view::SUPERVISOR;
use super::walk::{Mapping, Want};
use fencepost_time::Cycles;

use crate::bus::Flow;
use crate::cpu::{Alone, Cpu, Op};
use crate::file;
use crate::op::NO_SEG;
use crate::step::{Step, Trap};
use crate::tri;
use crate::value::Plain;
use crate::vector;

/// The circumstances of an access out of line.
#[derive(Clone, Copy)]
pub(crate) struct Circumstance {
    /// Time of the access.
    pub now: Cycles,
    /// With whose rights.
    pub view: usize,
    /// Through the stack segment: a non-canonical address is #SS.
    pub stack: bool,
    /// By the instruction itself, which a failure leaves undone.
    pub restarts: bool,
    /// What of the address counts.
    pub mask: u64,
}

/// Whether an address is canonical for four-level paging.
#[inline(always)]
pub fn canonical(addr: u64) -> bool {
    ((addr << 16) as i64 >> 16) as u64 == addr
}

impl Cpu {
    /// The linear address of the memory operand. (Outside 64-bit code its operation was given an address that is
    /// already linear, by `lower::extended`.)
    #[inline(always)]
    pub(crate) fn ea(&self, op: &Op) -> u64 {
        self.offset(op).wrapping_add(self.seg_base[(op.seg & 7) as usize])
    }

    /// The offset of the memory operand in its segment (what LEA gives).
    #[inline(always)]
    pub(crate) fn offset(&self, op: &Op) -> u64 {
        self.reg::<u64>(op.base)
            .wrapping_add(self.reg::<u64>(op.index) << (op.scale & 3))
            .wrapping_add(op.disp as i64 as u64)
    }

    /// The linear address of an offset in a segment (an index of `seg_base`).
    #[inline(always)]
    pub(crate) fn linear(&self, segment: u8, offset: u64) -> u64 {
        offset.wrapping_add(self.seg_base[(segment & 7) as usize]) & self.linear_mask
    }

    /// The linear address `bytes` after another one of the same operand.
    #[inline(always)]
    pub(crate) fn beyond(&self, addr: u64, bytes: u64) -> u64 {
        addr.wrapping_add(bytes) & self.linear_mask
    }

    /// Reads memory if the TLB knows the page: for handlers that leave everything else to a function of their own.
    #[inline(always)]
    pub(crate) fn probe<T: Plain>(&self, addr: u64) -> Option<T> {
        self.probe_in(self.view, addr)
    }

    /// The same with the rights of a view.
    #[inline(always)]
    fn probe_in<T: Plain>(&self, view: usize, addr: u64) -> Option<T> {
        let entry = self.tlb.entry(view, addr);
        if entry.read != addr.wrapping_add(T::SIZE as u64 - 1) & PAGE_MASK {
            return None;
        }
        let host = entry.host(addr).cast::<T>();
        // SAFETY: as in `load`.
        Some(unsafe { host.read_unaligned() })
    }

    /// Writes memory if the TLB knows that the page may be written; whether it did.
    #[inline(always)]
    pub(crate) fn put<T: Plain>(&mut self, addr: u64, value: T) -> bool {
        self.put_in(self.view, addr, value)
    }

    /// The same with the rights of a view.
    #[inline(always)]
    fn put_in<T: Plain>(&mut self, view: usize, addr: u64, value: T) -> bool {
        let entry = self.tlb.entry(view, addr);
        if entry.write != addr.wrapping_add(T::SIZE as u64 - 1) & PAGE_MASK {
            return false;
        }
        let host = entry.host(addr).cast::<T>();
        // SAFETY: as in `store`.
        unsafe { host.write_unaligned(value) };
        true
    }

    /// Reads memory with the rights of the current privilege.
    #[inline(always)]
    pub(crate) fn load<T: Plain>(&mut self, op: &Op, addr: u64) -> Result<T, Trap> {
        let entry = self.tlb.entry(self.view, addr);
        if entry.read == addr.wrapping_add(T::SIZE as u64 - 1) & PAGE_MASK {
            let host = entry.host(addr).cast::<T>();
            // SAFETY: the entry is of the page of the access's last byte. That is also the page of the first: the slot is
            // that byte's, and pages next to each other have different ones. The whole page is at this distance, in RAM
            // that stays mapped (`Tlb::fill_data`) and that nobody else accesses now (`Ram`).
            return Ok(unsafe { host.read_unaligned() });
        }
        self.load_slow(op, addr)
    }

    /// Writes memory with the rights of the current privilege. Not [`Step::Next`]: pass it on.
    #[inline(always)]
    pub(crate) fn store<T: Plain>(&mut self, op: &Op, addr: u64, value: T) -> Step {
        let entry = self.tlb.entry(self.view, addr);
        if entry.write == addr.wrapping_add(T::SIZE as u64 - 1) & PAGE_MASK {
            let host = entry.host(addr).cast::<T>();
            // SAFETY: as in `load`; the entry says the page may be written.
            unsafe { host.write_unaligned(value) };
            return Step::Next;
        }
        self.store_slow(op, addr, value)
    }

    /// Reads, applies `change`, writes. `change` runs only when the write cannot fault any more.
    #[inline(always)]
    pub(crate) fn modify<T: Plain>(
        &mut self,
        op: &Op,
        addr: u64,
        change: impl FnOnce(&mut Cpu, T) -> T,
    ) -> Step {
        let entry = self.tlb.entry(self.view, addr);
        if entry.write == addr.wrapping_add(T::SIZE as u64 - 1) & PAGE_MASK {
            let host = entry.host(addr).cast::<T>();
            // SAFETY: as in `load` and `store`. `change` has the CPU, but RAM stays mapped for as long as that lives.
            unsafe {
                let old = host.read_unaligned();
                host.write_unaligned(change(self, old));
            }
            return Step::Next;
        }
        let old = tri!(self.load_to_write(op, addr));
        let new = change(self, old);
        self.store_slow(op, addr, new)
    }

    /// Reads what will be written back: faults like a write.
    pub(crate) fn load_to_write<T: Plain>(&mut self, op: &Op, addr: u64) -> Result<T, Trap> {
        let how = self.circumstance(op);
        self.check_range(how, addr, T::SIZE as u64, Want::Write)?;
        self.load(op, addr)
    }

    /// Time of the access an operation makes.
    #[inline(always)]
    pub(crate) fn now(&self, op: &Op) -> Cycles {
        self.cycles + u64::from(op.nth)
    }

    /// What an access through the operation's memory operand is made under.
    pub(crate) fn circumstance(&self, op: &Op) -> Circumstance {
        let stack = op.seg == NO_SEG && (op.base == file::RSP || op.base == file::RBP);
        let view = self.view;
        Circumstance { now: self.now(op), view, stack, restarts: true, mask: self.linear_mask }
    }

    /// As the processor itself (descriptor tables, TSS): supervisor's rights whatever the privilege, 64-bit addresses
    /// whatever the mode.
    pub(crate) fn system(&self) -> Circumstance {
        Circumstance { now: self.cycles, view: SUPERVISOR, stack: false, restarts: false, mask: !0 }
    }

    #[cold]
    #[inline(never)]
    fn load_slow<T: Plain>(&mut self, op: &Op, addr: u64) -> Result<T, Trap> {
        let how = self.circumstance(op);
        self.load_as(how, addr)
    }

    #[cold]
    #[inline(never)]
    fn store_slow<T: Plain>(&mut self, op: &Op, addr: u64, value: T) -> Step {
        let how = self.circumstance(op);
        self.store_as(how, addr, value)
    }

    /// Writes any number of bytes with the rights of the current privilege.
    pub(crate) fn store_block(&mut self, op: &Op, addr: u64, bytes: &[u8]) -> Step {
        let how = self.circumstance(op);
        self.store_bytes(how, addr, bytes)
    }

    /// Reads memory under given circumstances.
    pub(crate) fn load_as<T: Plain>(&mut self, how: Circumstance, addr: u64) -> Result<T, Trap> {
        if let Some(value) = self.probe_in(how.view, addr) {
            return Ok(value);
        }
        let mut value = T::NIL;
        // SAFETY: the bytes of a live local, and a `Plain` may be filled with any bytes.
        let bytes = unsafe { std::slice::from_raw_parts_mut((&raw mut value).cast::<u8>(), T::SIZE) };
        self.load_bytes(how, addr, bytes)?;
        Ok(value)
    }

    /// Writes memory under given circumstances.
    pub(crate) fn store_as<T: Plain>(&mut self, how: Circumstance, addr: u64, value: T) -> Step {
        if self.put_in(how.view, addr, value) {
            return Step::Next;
        }
        // SAFETY: the bytes of a live local, and a `Plain` has no padding.
        let bytes = unsafe { std::slice::from_raw_parts((&raw const value).cast::<u8>(), T::SIZE) };
        self.store_bytes(how, addr, bytes)
    }

    /// Reads any number of bytes; nothing is read from a device before all pages are known to be readable.
    pub(crate) fn load_bytes(&mut self, how: Circumstance, addr: u64, bytes: &mut [u8]) -> Result<(), Trap> {
        let mut gpa = self.check_range(how, addr, bytes.len() as u64, Want::Read)?;
        let mut at = addr;
        let mut rest = bytes;
        while !rest.is_empty() {
            let in_page = (4096 - (at & 0xfff) as usize).min(rest.len());
            let (chunk, tail) = rest.split_at_mut(in_page);
            if at != addr {
                gpa = self.translate(how, at, Want::Read)?;
            }
            match self.ram.host(gpa, chunk.len() as u64) {
                // SAFETY: `host` gives as many mapped bytes as the chunk is long, which are not the chunk's own: that is
                // a value or an array of the CPU's.
                Some(host) => unsafe {
                    std::ptr::copy_nonoverlapping(host, chunk.as_mut_ptr(), chunk.len());
                },
                None => self.device_read(how, gpa, chunk)?,
            }
            rest = tail;
            at = at.wrapping_add(in_page as u64);
        }
        Ok(())
    }

    /// Writes any number of bytes; nothing is written before all pages are known to be writable.
    pub(crate) fn store_bytes(&mut self, how: Circumstance, addr: u64, bytes: &[u8]) -> Step {
        let mut gpa = tri!(self.check_range(how, addr, bytes.len() as u64, Want::Write));
        let mut step = Step::Next;
        let mut at = addr;
        let mut rest = bytes;
        while !rest.is_empty() {
            let in_page = (4096 - (at & 0xfff) as usize).min(rest.len());
            let (chunk, tail) = rest.split_at(in_page);
            if at != addr {
                gpa = tri!(self.translate(how, at, Want::Write));
            }
            match self.ram.host(gpa, chunk.len() as u64) {
                Some(host) => {
                    if self.code.holds_code(gpa >> 12) {
                        self.drop_code(gpa >> 12);
                        step = Step::Stop;
                    }
                    // SAFETY: as in `load_bytes`.
                    unsafe { std::ptr::copy_nonoverlapping(chunk.as_ptr(), host, chunk.len()) };
                }
                None => {
                    if self.device_write(how.now, gpa, chunk) == Flow::Yield {
                        step = Step::Stop;
                    }
                }
            }
            rest = tail;
            at = at.wrapping_add(in_page as u64);
        }
        step
    }

    /// Checks every page of a range; raises the fault of the first byte that may not be accessed. The physical address of the first byte.
    fn check_range(&mut self, how: Circumstance, addr: u64, len: u64, want: Want) -> Result<u64, Trap> {
        let first = self.translate(how, addr, want)?;
        let further = ((addr & !PAGE_MASK) + len.saturating_sub(1)) >> 12;
        for page in 1..=further {
            self.translate(how, (addr & PAGE_MASK).wrapping_add(page << 12), want)?;
        }
        if self.watches() {
            self.note_access(how, addr & how.mask, len, want == Want::Write)?;
        }
        Ok(first)
    }

    /// Notes an access that somebody watches. It stops the CPU, or the guest, after its instruction, which runs alone for that: an error
    /// says that it is to run again.
    #[cold]
    fn note_access(&mut self, how: Circumstance, addr: u64, len: u64, write: bool) -> Result<(), Trap> {
        let access = self.stops.access(addr, len, write);
        let hits = self.met_by_access(addr, len, write);
        if access.is_none() && hits == 0 {
            return Ok(());
        }
        if how.restarts && self.alone == Alone::No {
            self.alone = Alone::Wanted;
            return Err(Trap);
        }
        self.accessed = self.accessed.or(access);
        self.sys.debug_hits |= hits;
        Ok(())
    }

    /// The physical address of a linear one; fills the TLB on the way, or raises the fault. Who wants to write to RAM has
    /// said so after this.
    pub(crate) fn translate(&mut self, how: Circumstance, addr: u64, want: Want) -> Result<u64, Trap> {
        if !canonical(addr) {
            let stack = how.stack || addr == OUTSIDE_STACK;
            self.raise(if stack { vector::SS } else { vector::GP }, Some(0));
            return Err(Trap);
        }
        let addr = addr & how.mask;
        let (page, view) = (addr & PAGE_MASK, how.view);
        let entry = self.tlb.entry(view, addr);
        let known =
            entry.linear() == page && (want == Want::Read || (want == Want::Write && entry.writable()));
        if known {
            let gpa = entry.gpa();
            if want == Want::Write {
                self.code.note_change(gpa >> 12);
                if self.code.may_be_written(gpa >> 12) {
                    self.tlb.open(view, page);
                }
            }
            return Ok(gpa | addr & !PAGE_MASK);
        }
        match self.walk(addr, want, view) {
            Ok(map) => {
                self.remember(view, page, &map, want);
                Ok(map.gpa)
            }
            Err(code) => {
                self.sys.cr2 = addr;
                self.raise(vector::PF, Some(code));
                Err(Trap)
            }
        }
    }

    /// Puts a translation that was just found into the TLB, if that takes it.
    fn remember(&mut self, view: usize, page: u64, map: &Mapping, want: Want) {
        let Mapping { global, large, writable, .. } = *map;
        let fill = Fill { page, gpa: map.gpa & PAGE_MASK, global, large, writable };
        let dropped = if want == Want::Fetch {
            self.tlb.fill_code(view, fill)
        } else if let Some(host) = self.ram.host(fill.gpa, 4096) {
            if want == Want::Write {
                self.code.note_change(fill.gpa >> 12);
            }
            let dropped = self.tlb.fill_data(view, fill, host, self.code.may_be_written(fill.gpa >> 12));
            if self.watches() && self.watches_page(page) {
                self.tlb.watch_page(view, page);
            }
            dropped
        } else {
            self.tlb.fill_device(view, fill)
        };
        if dropped {
            // Code goes on by links only in a page that is translated: its next block is looked up whether there is a
            // link or not, so that what the TLB holds does not depend on which links there are.
            self.blocks.forget_links();
        }
    }

    /// Reads device registers, in pieces of at most 8 bytes that need not be aligned. An error: the instruction is to
    /// run again, alone.
    fn device_read(&mut self, how: Circumstance, gpa: u64, bytes: &mut [u8]) -> Result<(), Trap> {
        if self.apic.page() == Some(gpa & PAGE_MASK) {
            let offset = (gpa & 0xffc) as u32;
            if how.restarts && self.alone == Alone::No && self.apic.read_interrupts(offset) {
                self.alone = Alone::Wanted;
                return Err(Trap);
            }
            let value = self.apic.read(offset, self.moment(how.now)).to_le_bytes();
            for (n, byte) in bytes.iter_mut().enumerate() {
                *byte = value.get((gpa & 3) as usize + n).copied().unwrap_or(0);
            }
            return Ok(());
        }
        if self.bus().read_interrupts(gpa) {
            if how.restarts && self.alone == Alone::No {
                self.alone = Alone::Wanted;
                return Err(Trap);
            }
            self.yielding = true;
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = gpa + done as u64;
            let len = PIECE_BYTES.min(bytes.len() - done);
            self.bus().mmio_read(how.now, at, &mut bytes[done..done + len]);
            done += len;
        }
        self.obey_guards();
        self.look_after_device();
        Ok(())
    }

    /// What a device does for one access may take long: whoever wants the CPU's attention need not wait for more than that. Whether
    /// somebody does.
    pub(crate) fn look_after_device(&mut self) -> bool {
        self.device_accesses = self.device_accesses.wrapping_add(1);
        self.listen()
    }

    /// Writes device registers, in the same pieces.
    fn device_write(&mut self, now: Cycles, gpa: u64, bytes: &[u8]) -> Flow {
        if self.apic.page() == Some(gpa & PAGE_MASK) {
            let mut value = [0u8; 4];
            for (to, from) in value.iter_mut().zip(bytes) {
                *to = *from;
            }
            let moment = self.moment(now);
            let effect = self.apic.write((gpa & 0xfff) as u32, u32::from_le_bytes(value), moment);
            self.apic_effect(effect, now);
            // An interrupt may have become deliverable, or the timer's deadline have moved.
            return Flow::Yield;
        }
        let mut done = 0;
        let mut flow = Flow::Continue;
        while done < bytes.len() {
            let at = gpa + done as u64;
            let len = PIECE_BYTES.min(bytes.len() - done);
            let wants = self.bus().mmio_write(now, at, &bytes[done..done + len]);
            if wants != Flow::Continue {
                self.yielding = true;
                self.returns |= wants == Flow::Yield;
                flow = Flow::Yield;
            }
            done += len;
        }
        self.obey_guards();
        if self.look_after_device() { Flow::Yield } else { flow }
    }
}

/// The longest access that a bus takes, as KVM hands them over too. How an unaligned one meets registers is the
/// device's business: splitting it here could leave no piece that covers a whole register.
const PIECE_BYTES: usize = 8;

impl Cpu {
    /// Where a byte may be read in the host, and the rest of its page, when the TLB knows.
    #[inline(always)]
    pub(crate) fn readable(&self, addr: u64) -> Option<*const u8> {
        let entry = self.tlb.entry(self.view, addr);
        (entry.read == addr & PAGE_MASK).then(|| entry.host(addr).cast_const())
    }

    /// Where a byte may be written in the host, and the rest of its page, when the TLB knows.
    #[inline(always)]
    pub(crate) fn writable(&self, addr: u64) -> Option<*mut u8> {
        let entry = self.tlb.entry(self.view, addr);
        (entry.write == addr & PAGE_MASK).then(|| entry.host(addr))
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
