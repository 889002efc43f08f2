//! The run loop: events at instruction boundaries, blocks between them.

use fencepost_time::Cycles;

use crate::apic::{DeliveryMode, InterruptMessage};
use crate::blocks::{Block, Link};
use crate::breakpoints::SINGLE_STEP;
use crate::bus::{Bus, Exit, Waiting};
use crate::cpu::{Alone, Cpu, Op};
use crate::file::{self, RIP_BASE};
use crate::flags::{IF, RF, TF};
use crate::mem::access::Circumstance;
use crate::mem::tlb::PAGE_MASK;
use crate::mem::walk::Want;
use crate::step::{Fault, Step, Trap};
use crate::stop_flag::Done;
use crate::sys::interrupts::TripleFault;
use crate::vector;

/// Cycles after which the run loop looks at the stop flag again. More than a block has, which is not cut for that.
const SLICE: u64 = 1 << 16;

impl Cpu {
    /// Runs until the machine's counter reaches `until` (exactly), or something else ends it. `bus` is the machine.
    pub fn run(&mut self, bus: &mut dyn Bus, until: Cycles) -> Exit {
        self.prepare();
        self.with_bus(bus, |cpu| cpu.run_until(until))
    }

    fn run_until(&mut self, until: Cycles) -> Exit {
        self.returns &= self.yielding;
        loop {
            if let Some(access) = self.accessed.take() {
                return Exit::Accessed(access);
            }
            if self.yielding {
                let asks = !std::mem::take(&mut self.returns) && self.cycles < until;
                let goes_on = asks && self.takes_messages();
                (self.yielding, self.returns) = (false, false);
                if !goes_on {
                    return Exit::Yield;
                }
            }
            if std::mem::take(&mut self.paused) {
                return Exit::Paused;
            }
            if self.cycles >= until {
                return Exit::Deadline;
            }
            if self.stop.look(Done::Run) {
                return Exit::Stopped;
            }
            if self.code.is_dirty() {
                self.drain_code_reports();
                // Before all code that was written is dropped none may run.
                continue;
            }
            if self.blocks.has_dropped() {
                self.blocks.bury();
            }
            match self.before_instruction() {
                Err(exit) => return exit,
                Ok(false) => continue,
                // An exception that waited has taken a cycle to be delivered.
                Ok(true) if self.cycles >= until => continue,
                Ok(true) => {}
            }
            let timer = self.next_timer().unwrap_or(Cycles::MAX).max(self.cycles + 1);
            let (exact, slice) = (until.min(timer), self.cycles + SLICE);
            let limit = exact.min(slice);
            let alone = self.alone == Alone::Wanted;
            let singly = alone || self.sys.interrupt_shadow || self.limited_code;
            let ended = if singly || self.control & (TF | RF) != 0 {
                self.single_step()
            } else if self.is_stopping() {
                self.run_to_stop(limit)
            } else {
                self.run_blocks(limit, exact <= slice)
            };
            if std::mem::take(&mut self.generated.dead) {
                return Exit::TripleFault;
            }
            if self.alone == Alone::Wanted {
                continue;
            }
            if ended.is_err() && self.deliver_fault().is_err() {
                return Exit::TripleFault;
            }
        }
    }

    /// What comes before the next instruction: events, and stops. Whether that is to run now.
    fn before_instruction(&mut self) -> Result<bool, Exit> {
        if self.has_debug_trap() && self.debug_trap().is_err() {
            return self.delivered();
        }
        if self.take_events().is_err() {
            return Err(Exit::TripleFault);
        }
        if self.sys.halted {
            return Err(Exit::Halted);
        }
        if !self.is_stopping() {
            return Ok(true);
        }
        // What was delivered just now may have accessed something.
        if self.accessed.is_some() || self.has_debug_trap() {
            return Ok(false);
        }
        if let Some(exit) = self.stop_here() {
            return Err(exit);
        }
        if self.break_here().is_err() { self.delivered() } else { Ok(true) }
    }

    fn delivered(&mut self) -> Result<bool, Exit> {
        self.deliver_fault().map(|()| false).map_err(|TripleFault| Exit::TripleFault)
    }

    /// Whether there are stops, from outside or the guest's own.
    pub(crate) fn is_stopping(&self) -> bool {
        !self.stops.is_empty() || !self.own_stops.is_empty()
    }

    /// Gives the local APIC the messages that the machine waits with. Whether that was all, as if the machine had been returned to:
    /// that would have delivered them, and let this CPU go on to the same moment.
    pub(crate) fn takes_messages(&mut self) -> bool {
        if !self.solitary {
            return false;
        }
        let now = self.cycles;
        loop {
            let (message, last) = match self.bus().waiting(now) {
                Waiting::Machine => {
                    self.returns = true;
                    return false;
                }
                Waiting::Nothing => return true,
                Waiting::Message(address, data) => (InterruptMessage::from_msi(address, data), false),
                Waiting::Last(address, data) => (InterruptMessage::from_msi(address, data), true),
            };
            let chosen = |message: &InterruptMessage| {
                message.delivery_mode != DeliveryMode::LowestPriority || self.apic.is_candidate(message)
            };
            if let Some(message) = message.filter(chosen) {
                self.deliver(message);
            }
            if last {
                return true;
            }
        }
    }

    /// Delivers what waits at this instruction boundary, in the order of priority (Intel SDM vol. 3, table 7-2).
    pub(crate) fn take_events(&mut self) -> Result<(), TripleFault> {
        let now = self.moment(self.cycles);
        self.apic.advance(now);
        if let Some(pending) = self.sys.pending_exception.take() {
            self.fault = Fault { vector: pending.vector, error: pending.error_code, trap: false };
            return self.deliver_fault();
        }
        if self.sys.interrupt_shadow {
            return Ok(());
        }
        if self.sys.nmi_pending && !self.sys.nmi_blocked {
            self.sys.nmi_pending = false;
            self.sys.nmi_blocked = true;
            self.sys.halted = false;
            return self.deliver_external(vector::NMI);
        }
        if self.control & IF != 0
            && let Some(vector) = self.apic.highest_pending()
        {
            self.apic.accept(vector);
            self.sys.halted = false;
            self.bus().interrupt_delivered(now.cycles, vector);
            return self.deliver_external(vector);
        }
        Ok(())
    }

    /// One instruction, then the end of the interrupt shadow. The traps of breakpoints and the single step wait from then on
    /// ([`has_debug_trap`](Self::has_debug_trap)): they take a cycle of their own, which may be beyond the deadline.
    pub(crate) fn single_step(&mut self) -> Result<(), Trap> {
        let stepping = self.control & TF != 0;
        self.trap_held = false;
        let shadowed = std::mem::take(&mut self.sys.interrupt_shadow);
        let held = std::mem::take(&mut self.sys.debug_held);
        // It covers this instruction, unless that sets it anew.
        let resumed = self.control & RF;
        self.control &= !RF;
        let before = self.cycles;
        self.alone = Alone::Yes;
        let ended = self.find_allowed_block().and_then(|block| self.run_some(block, 1)).map(|_| ());
        self.alone = Alone::No;
        if ended.is_err() || self.cycles == before {
            self.sys.interrupt_shadow |= shadowed && ended.is_ok();
            self.sys.debug_held |= held && ended.is_ok();
            self.control |= resumed;
            // What it has accessed before its fault it will access again.
            self.sys.debug_hits = 0;
            return ended;
        }
        if stepping && !self.trap_held {
            self.sys.debug_hits |= SINGLE_STEP;
        }
        Ok(())
    }

    /// Runs blocks until the limit, `exactly` or with the last block that ends before it, or until something must be looked at. An
    /// error: an exception waits.
    fn run_blocks(&mut self, limit: Cycles, exactly: bool) -> Result<(), Trap> {
        let mut block = self.find_block()?;
        loop {
            // SAFETY: the block was live when it was found just now, or linked in this epoch. If it is dropped while it runs
            // it stays allocated: only `bury` frees, and that is called between runs alone. The reference is to its
            // operations, which nobody changes, and not to the rest, which a drop changes.
            let ops: &[Op] = unsafe { &(*block).ops };
            let most = limit - self.cycles;
            if ops.len() as u64 - 1 > most {
                return if most == 0 || !exactly { Ok(()) } else { self.run_some(block, most).map(|_| ()) };
            }
            if let Some(code) = self.generated_code(block) {
                let step = self.run_generated(code, limit)?;
                if step as u8 > Step::Jump as u8 || self.cycles >= limit || self.code.is_dirty() {
                    return Ok(());
                }
                block = self.find_block()?;
                continue;
            }
            let start = self.rip;
            self.gpr[file::word(RIP_BASE)] = start;
            let mut at = ops.as_ptr();
            let (op, step) = loop {
                // SAFETY: `at` stays inside the block: its last operation never returns `Next`.
                let op = unsafe { &*at };
                let step = (op.run)(self, op);
                if step != Step::Next {
                    break (op, step);
                }
                // SAFETY: see above.
                at = unsafe { at.add(1) };
            };
            // No table of cases here: which side a branch took is data, not another jump to be guessed.
            if step as u8 > Step::Jump as u8 {
                return self.end_run(op, start, step).map(|_| ());
            }
            self.cycles += u64::from(op.nth) + 1;
            if self.cycles >= limit || self.code.is_dirty() {
                return Ok(());
            }
            block = if step == Step::Jump {
                self.find_block()?
            } else {
                self.follow(block, start, step as usize - Step::Taken as usize)?
            };
        }
    }

    /// Brings time and RIP up to date after the last instruction of a run. Gives `step` if that retired.
    pub(crate) fn end_run(&mut self, op: &Op, start: u64, step: Step) -> Result<Step, Trap> {
        let before = u64::from(op.nth);
        match step {
            Step::Taken | Step::Fall | Step::Jump | Step::Leave => self.cycles += before + 1,
            Step::Next | Step::Stop => {
                self.cycles += before + 1;
                self.rip = start.wrapping_add(op.end());
            }
            Step::Trap => {
                self.cycles += before;
                self.rip = start.wrapping_add(u64::from(op.off));
                return Err(Trap);
            }
        }
        Ok(step)
    }

    /// The block after a direct branch: by its link when it stays in the page, which is translated already. (A block
    /// that straddles pages has no links to it: its second page must be looked up each time.)
    #[inline(always)]
    fn follow(&mut self, from: *mut Block<Cpu>, start: u64, side: usize) -> Result<*mut Block<Cpu>, Trap> {
        // SAFETY: `from` has just run, and nothing was buried since.
        let link = unsafe { (&(*from).links)[side & 1] };
        if link.epoch == self.blocks.epoch {
            return Ok(link.to);
        }
        let to = self.find_block()?;
        // SAFETY: found just now, and nothing was buried since.
        let straddles = unsafe { (*to).second.is_some() };
        let same_page = (self.code_linear(self.rip) ^ self.code_linear(start)) & PAGE_MASK == 0;
        if same_page && !straddles {
            // SAFETY: as above; no reference to the block is held here. A block that was dropped in between is not
            // reachable any more, but still allocated.
            unsafe { (&mut (*from).links)[side & 1] = Link { to, epoch: self.blocks.epoch } };
        }
        Ok(to)
    }

    /// Runs at most `most` instructions of a block; what the last one led to.
    pub(crate) fn run_some(&mut self, block: *mut Block<Cpu>, most: u64) -> Result<Step, Trap> {
        let start = self.rip;
        self.gpr[file::word(RIP_BASE)] = start;
        // SAFETY: as in `run_blocks`.
        let ops = unsafe { &(*block).ops };
        for (n, op) in ops.iter().enumerate() {
            if n as u64 == most {
                self.cycles += most;
                self.rip = start.wrapping_add(u64::from(op.off));
                return Ok(Step::Next);
            }
            let step = (op.run)(self, op);
            if step != Step::Next {
                return self.end_run(op, start, step);
            }
        }
        Ok(Step::Next)
    }

    /// The block at RIP, decoded if need be. An error: fetching faults.
    #[inline(always)]
    pub(crate) fn find_block(&mut self) -> Result<*mut Block<Cpu>, Trap> {
        // Code that runs past 4 GiB continues at zero.
        self.rip &= self.linear_mask;
        let at = self.code_linear(self.rip);
        if let Some(page) = self.tlb.code(self.view, at) {
            let block = self.blocks.find(page | at & !PAGE_MASK, self.mode);
            if !block.is_null() {
                // SAFETY: found just now.
                if unsafe { (*block).second.is_none() } {
                    return Ok(block);
                }
            }
        }
        self.find_block_slow()
    }

    /// The same, if its first instruction lies within the code segment.
    fn find_allowed_block(&mut self) -> Result<*mut Block<Cpu>, Trap> {
        let rip = self.rip & self.linear_mask;
        let allowed = self.code_bytes(rip);
        if allowed > 0 {
            let block = self.find_block()?;
            // SAFETY: found just now.
            let first = unsafe { (&(*block).ops)[0].len };
            if u64::from(first) <= allowed {
                return Ok(block);
            }
        }
        self.raise(vector::GP, Some(0));
        Err(Trap)
    }

    #[cold]
    #[inline(never)]
    fn find_block_slow(&mut self) -> Result<*mut Block<Cpu>, Trap> {
        let rip = self.rip;
        let at = self.code_linear(rip);
        let gpa = match self.tlb.code(self.view, at) {
            Some(page) => page | at & !PAGE_MASK,
            None => self.code_address(at)?,
        };
        let block = self.blocks.find(gpa, self.mode);
        if !block.is_null() {
            // SAFETY: found just now.
            let Some(second) = (unsafe { (*block).second }) else { return Ok(block) };
            // An instruction that straddles pages: the second may be another one now.
            let next = self.next_page(at);
            let found = match self.tlb.code(self.view, next) {
                Some(page) => page,
                None => self.code_address(next)?,
            };
            if found == second {
                return Ok(block);
            }
        }
        if self.blocks.is_full() {
            self.make_room_for_code();
        }
        self.decode(rip, gpa)
    }

    /// The linear address of the code at an instruction pointer.
    #[inline(always)]
    pub(crate) fn code_linear(&self, rip: u64) -> u64 {
        rip.wrapping_add(self.code_base) & self.linear_mask
    }

    pub(crate) fn next_page(&self, linear: u64) -> u64 {
        self.beyond(linear & PAGE_MASK, 0x1000)
    }

    /// The physical address of the code at a linear address.
    pub(crate) fn code_address(&mut self, linear: u64) -> Result<u64, Trap> {
        let how = Circumstance { view: self.view, mask: self.linear_mask, ..self.system() };
        self.translate(how, linear, Want::Fetch)
    }
}
