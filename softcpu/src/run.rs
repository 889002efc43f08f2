//! The run loop: events at instruction boundaries, blocks between them.

use std::sync::atomic::Ordering;

use fencepost_time::Cycles;

use crate::blocks::{BLOCK_OPS, Block, Link};
use crate::bus::{Bus, Exit};
use crate::cpu::{Alone, Cpu};
use crate::flags::{IF, TF};
use crate::lower::LowerCtx;
use crate::mem::access::Circumstance;
use crate::mem::tlb::PAGE_MASK;
use crate::mem::walk::Want;
use crate::op::{Fault, Op, RIP_BASE, Step, Trap, vector};

/// Cycles after which the run loop looks at the stop flag again.
const SLICE: u64 = 1 << 18;
/// Blocks that may wait to be freed before the run loop is asked to.
const MOST_DROPPED: usize = 1000;
/// Longest instruction.
const MOST_BYTES: usize = 15;

impl Cpu {
    /// Runs until the machine's counter reaches `until` (exactly), or something else ends it. `bus` is the machine.
    pub fn run(&mut self, bus: &mut dyn Bus, until: Cycles) -> Exit {
        self.with_bus(bus, |cpu| cpu.run_until(until))
    }

    fn run_until(&mut self, until: Cycles) -> Exit {
        loop {
            if self.yielding {
                self.yielding = false;
                return Exit::Yield;
            }
            if self.cycles >= until {
                return Exit::Deadline;
            }
            if self.stop.load(Ordering::Relaxed) {
                return Exit::Stopped;
            }
            if self.code.is_dirty() {
                self.drain_code_reports();
            }
            if self.blocks.has_dropped() {
                self.blocks.bury();
            }
            if self.take_events().is_err() {
                return Exit::TripleFault;
            }
            if self.sys.halted {
                return Exit::Halted;
            }
            let timer = self.next_timer().unwrap_or(Cycles::MAX).max(self.cycles + 1);
            let limit = until.min(timer).min(self.cycles + SLICE);
            let alone = self.alone == Alone::Wanted;
            let singly = alone || self.sys.interrupt_shadow || self.limited_code;
            let ended =
                if singly || self.control & TF != 0 { self.single_step() } else { self.run_blocks(limit) };
            if self.alone == Alone::Wanted {
                continue;
            }
            if ended.is_err() && self.deliver_fault().is_err() {
                return Exit::TripleFault;
            }
        }
    }

    /// Delivers what waits at this instruction boundary, in the order of priority (Intel SDM vol. 3, table 7-2).
    fn take_events(&mut self) -> Result<(), crate::sys::interrupts::TripleFault> {
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

    /// One instruction, then the end of the interrupt shadow and the single-step trap.
    pub(crate) fn single_step(&mut self) -> Result<(), Trap> {
        let stepping = self.control & TF != 0;
        self.trap_held = false;
        let shadowed = std::mem::take(&mut self.sys.interrupt_shadow);
        let before = self.cycles;
        self.alone = Alone::Yes;
        let ended = self.find_allowed_block().and_then(|block| self.run_some(block, 1));
        self.alone = Alone::No;
        if ended.is_err() || self.cycles == before {
            self.sys.interrupt_shadow |= shadowed && ended.is_ok();
            return ended;
        }
        if stepping && !self.trap_held {
            const SINGLE_STEP: u64 = 1 << 14;
            self.sys.dr[6] |= SINGLE_STEP;
            self.fault = Fault { vector: vector::DB, error: None, trap: true };
            return Err(Trap);
        }
        Ok(())
    }

    /// Runs blocks until the limit, or until something must be looked at. An error: an exception waits.
    fn run_blocks(&mut self, limit: Cycles) -> Result<(), Trap> {
        let mut block = self.find_block()?;
        loop {
            // SAFETY: the block was live when it was found just now, or linked in this epoch. If it is dropped while it runs
            // it stays allocated: only `bury` frees, and that is called between runs alone. The reference is to its
            // operations, which nobody changes, and not to the rest, which a drop changes.
            let ops: &[Op] = unsafe { &(*block).ops };
            let most = limit - self.cycles;
            if ops.len() as u64 - 1 > most {
                return if most == 0 { Ok(()) } else { self.run_some(block, most) };
            }
            let start = self.rip;
            self.gpr[RIP_BASE as usize / 8] = start;
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
                return self.end_run(op, start, step);
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

    /// Brings time and RIP up to date after the last instruction of a run.
    fn end_run(&mut self, op: &Op, start: u64, step: Step) -> Result<(), Trap> {
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
        Ok(())
    }

    /// The block after a direct branch: by its link when it stays in the page, which is translated already. (A block
    /// that straddles pages has no links to it: its second page must be looked up each time.)
    #[inline(always)]
    fn follow(&mut self, from: *mut Block, start: u64, side: usize) -> Result<*mut Block, Trap> {
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

    /// Runs at most `most` instructions of a block.
    fn run_some(&mut self, block: *mut Block, most: u64) -> Result<(), Trap> {
        let start = self.rip;
        self.gpr[RIP_BASE as usize / 8] = start;
        // SAFETY: as in `run_blocks`.
        let ops = unsafe { &(*block).ops };
        for (n, op) in ops.iter().enumerate() {
            if n as u64 == most {
                self.cycles += most;
                self.rip = start.wrapping_add(u64::from(op.off));
                return Ok(());
            }
            let step = (op.run)(self, op);
            if step != Step::Next {
                return self.end_run(op, start, step);
            }
        }
        Ok(())
    }

    /// The block at RIP, decoded if need be. An error: fetching faults.
    #[inline(always)]
    fn find_block(&mut self) -> Result<*mut Block, Trap> {
        // Code that runs over the end of 4 GiB goes on at zero.
        self.rip &= self.linear_mask;
        let at = self.code_linear(self.rip);
        if let Some(page) = self.tlb.code(self.user, at) {
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
    fn find_allowed_block(&mut self) -> Result<*mut Block, Trap> {
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
    fn find_block_slow(&mut self) -> Result<*mut Block, Trap> {
        let rip = self.rip;
        let at = self.code_linear(rip);
        let gpa = match self.tlb.code(self.user, at) {
            Some(page) => page | at & !PAGE_MASK,
            None => self.code_address(at)?,
        };
        let block = self.blocks.find(gpa, self.mode);
        if !block.is_null() {
            // SAFETY: found just now.
            let Some(second) = (unsafe { (*block).second }) else { return Ok(block) };
            // An instruction that straddles pages: the second may be another one now.
            let next = self.next_page(at);
            let found = match self.tlb.code(self.user, next) {
                Some(page) => page,
                None => self.code_address(next)?,
            };
            if found == second {
                return Ok(block);
            }
        }
        if self.blocks.is_full() {
            self.drop_all_code();
        }
        self.decode(rip, gpa)
    }

    /// The linear address of the code at an instruction pointer.
    #[inline(always)]
    pub(crate) fn code_linear(&self, rip: u64) -> u64 {
        rip.wrapping_add(self.code_base) & self.linear_mask
    }

    fn next_page(&self, linear: u64) -> u64 {
        self.beyond(linear & PAGE_MASK, 0x1000)
    }

    /// The physical address of the code at a linear address.
    pub(crate) fn code_address(&mut self, linear: u64) -> Result<u64, Trap> {
        let how = Circumstance { user: self.user != 0, mask: self.linear_mask, ..self.system() };
        self.translate(how, linear, Want::Fetch)
    }

    /// The bytes from `rip`, which is at `gpa`, to the end of the page, or of the one instruction that straddles it.
    pub(crate) fn fetch(&mut self, rip: u64, gpa: u64) -> Result<Fetched, Trap> {
        let mut bytes = [0u8; FETCH_MOST + 16];
        let allowed = self.code_bytes(rip).min(FETCH_MOST as u64) as usize;
        let in_page = (4096 - (gpa & 0xfff) as usize).min(allowed);
        let mut len = in_page;
        let Some(host) = self.ram.host(gpa, in_page as u64) else {
            self.count_unknown("code outside RAM");
            self.raise(vector::UD, None);
            return Err(Trap);
        };
        // SAFETY: `host` gives `in_page` mapped bytes that nobody else accesses now, and the buffer is longer.
        unsafe { std::ptr::copy_nonoverlapping(host, bytes.as_mut_ptr(), in_page) };
        let mut second = None;
        if in_page < MOST_BYTES {
            let mut probe = iced_x86::Decoder::with_ip(self.code_bits(), &bytes[..len], rip, DECODER_OPTIONS);
            let _ = probe.decode();
            let cut = probe.last_error() == iced_x86::DecoderError::NoMoreBytes;
            if cut && in_page == allowed {
                self.raise(vector::GP, Some(0));
                return Err(Trap);
            }
            if cut {
                let next = self.code_address(self.next_page(self.code_linear(rip)))?;
                if let Some(host) = self.ram.host(next, MOST_BYTES as u64) {
                    // SAFETY: `host` gives 15 mapped bytes that nobody else accesses now, and the buffer has room for
                    // them: fewer than 15 are in it.
                    unsafe {
                        std::ptr::copy_nonoverlapping(host, bytes.as_mut_ptr().add(len), MOST_BYTES);
                    }
                    len += MOST_BYTES;
                    second = Some(next);
                }
            }
        }
        Ok(Fetched { bytes, len, second })
    }

    /// Decodes the block at a physical address.
    fn decode(&mut self, rip: u64, gpa: u64) -> Result<*mut Block, Trap> {
        let Fetched { bytes, len, second } = self.fetch(rip, gpa)?;
        self.counters.blocks_decoded += 1;
        let block = lower_block(&bytes[..len], rip, gpa, self.code_bits(), second);
        // An instruction that straddles into two pages in turn is decoded again each time, without an end to the slice.
        if self.blocks.dropped() > MOST_DROPPED {
            self.code.call_for_attention();
        }
        for page in [Some(gpa), second].into_iter().flatten() {
            if !self.code.holds_code(page >> 12) {
                self.code.set_holds_code(page >> 12, true);
                self.tlb.protect(page & PAGE_MASK);
            }
        }
        Ok(self.blocks.insert(block))
    }
}

/// Most bytes of code that are looked at at once.
const FETCH_MOST: usize = 512;

/// Code out of memory.
pub(crate) struct Fetched {
    /// What was read, zeroes after it.
    pub bytes: [u8; FETCH_MOST + 16],
    /// How much.
    pub len: usize,
    /// Physical address of the next page, when the first instruction straddles into it.
    pub second: Option<u64>,
}

/// Everything iced knows is decoded, so that what is not implemented can be refused by name. But hints of later
/// processors (RDSSP, ENDBR, CLDEMOTE, prefetches) are what CPUID promises: 0F 0D and 0F 18 to 0F 1F are NOPs with any
/// operand (Intel SDM vol. 2, appendix A, "reserved NOP"); and a prefix that makes WBINVD into WBNOINVD or NOP into PAUSE
/// is ignored (before a NOP that is XCHG R8, PAUSE would be wrong).
pub(crate) const DECODER_OPTIONS: u32 = iced_x86::DecoderOptions::FORCE_RESERVED_NOP
    | iced_x86::DecoderOptions::NO_WBNOINVD
    | iced_x86::DecoderOptions::NO_PAUSE;

/// Decodes instructions up to the end of the block. `second`: the first instruction straddles into this page, and is
/// alone.
fn lower_block(bytes: &[u8], rip: u64, gpa: u64, bits: u32, second: Option<u64>) -> Block {
    let mut decoder = iced_x86::Decoder::with_ip(bits, bytes, rip, DECODER_OPTIONS);
    let mut ctx = LowerCtx::new(rip, bits);
    let mut ops: Vec<Op> = Vec::with_capacity(16);
    let most = if second.is_some() { 1 } else { BLOCK_OPS };
    let mut instr = iced_x86::Instruction::default();
    let mut end = 0;
    while ops.len() < most && end < bytes.len() {
        decoder.decode_out(&mut instr);
        // What cannot be decoded here is the first of a block of its own.
        if instr.is_invalid() && !ops.is_empty() {
            break;
        }
        ctx.nth = ops.len() as u8;
        ops.push(crate::lower::lower(&instr, &ctx));
        end = decoder.position();
        if instr.is_invalid() || instr.flow_control() != iced_x86::FlowControl::Next {
            break;
        }
    }
    // The end counts as the last instruction: that is how many have retired when it is reached.
    let mut last = ctx.bare(&instr, end_of_block);
    (last.off, last.len) = (end as u16, 0);
    ops.push(last);
    Block::new(gpa, bits as u8, second.map(|p| p & PAGE_MASK), ops, ctx.into_extended())
}

/// Not an instruction: the next block follows.
fn end_of_block(cpu: &mut Cpu, op: &Op) -> Step {
    cpu.rip = cpu.following(op);
    Step::Fall
}
