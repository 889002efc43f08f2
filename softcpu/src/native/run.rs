//! Into generated code, and what it calls.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use fencepost_time::Cycles;
use iced_x86::{Decoder, Instruction};

use super::block::{Source, translate};
use super::ends::{FALL, TAKEN};
use super::handlers::Handled;
use super::routines;
use crate::blocks::Block;
use crate::cpu::{Alone, Cpu, Op, Translate};
use crate::decode::DECODER_OPTIONS;
use crate::file::{self, RIP_BASE};
use crate::flags::{Flags, IF, RF, TF};
use crate::generated::{Entry, FLOAT_OFF, FLOAT_UNMASKED, Generated};
use crate::mem::tlb::PAGE_MASK;
use crate::step::{Step, Trap};

/// Of the saved flags: what LAHF gives of the status flags.
const LAHF_FLAGS: u16 = 0xd5;

/// MXCSR's bits that keep exceptions from being raised (Intel SDM vol. 1, 10.2.3).
const MXCSR_MASKS: u32 = 0x1f80;
/// The MXCSR that Rust code expects.
const MXCSR_OF_RUST: u32 = 0x1f80;

/// Flags as generated code keeps them.
fn saved(flags: &Flags) -> u16 {
    let bits = flags.bits() as u16;
    (bits & LAHF_FLAGS) << 8 | bits >> 11 & 1
}

fn unsaved(saved: u16) -> Flags {
    Flags::from_bits(u64::from(saved >> 8 & LAHF_FLAGS | (saved & 1) << 11))
}

/// Runs of a block by the interpreter after which it is translated (docs/translator.md has what other numbers gave).
const OFTEN: u32 = 64;

/// Begins with no generated code; none if the host does not allow it.
fn begin() -> Option<Generated> {
    if !super::host::is_as_expected() {
        return None;
    }
    let mut generated = Generated::new().ok()?;
    generated.routines = routines::make(&mut generated.buffer).ok()?;
    generated.kept = generated.buffer.used();
    Some(generated)
}

impl Cpu {
    /// Sets up what generated code needs, if blocks are to be translated and the host allows it. [`run`](Self::run) does so
    /// too: this is for a caller who wants to be confined before.
    pub fn prepare(&mut self) {
        if self.blocks.prepared && self.runs_to_translate != 0 {
            return;
        }
        self.runs_to_translate = match self.config.translate {
            Translate::Never => return,
            Translate::Often => OFTEN,
            Translate::Always => 1,
        };
        if !self.blocks.prepared {
            self.blocks.prepared = true;
            self.blocks.generated = begin();
        }
    }

    /// Runs generated code from a block on, at RIP. How its last instruction ended.
    pub(crate) fn run_generated(&mut self, code: u64, limit: Cycles) -> Result<Step, Trap> {
        let Some(generated) = &self.blocks.generated else { return Ok(Step::Jump) };
        let enter = generated.routines.enter;
        self.generated.jumps = generated.table();
        self.generated.limit = limit.0;
        self.generated.left = limit.0 - self.cycles.0;
        self.generated.page = self.rip & PAGE_MASK;
        self.generated.flags = saved(&self.flags);
        self.generated.epoch = self.blocks.epoch;
        self.generated.mxcsr = MXCSR_OF_RUST;
        self.set_views();
        // SAFETY: `enter` is the address of such a function, which `routines` has made; it jumps to the code of a block, which is
        // what `code` is. They keep to the calling convention. They access this CPU and the RAM that the TLB's entries name, by
        // way of the one pointer, while nobody else uses `self`.
        unsafe {
            let enter = std::ptr::with_exposed_provenance::<()>(enter as usize);
            let enter: extern "sysv64" fn(*mut Cpu, u64) = std::mem::transmute(enter);
            enter(self, code);
        }
        self.flags = unsaved(self.generated.flags);
        if let Some(panic) = self.panic.take() {
            resume_unwind(panic);
        }
        self.generated.ended.take().unwrap_or(Ok(Step::Jump))
    }

    /// Shows generated code the translations of the current view, and what else it looks at.
    fn set_views(&mut self) {
        (self.generated.data, self.generated.code) = self.tlb.addresses(self.view);
        self.generated.simd = u8::from(crate::simd::is_usable(self));
        self.generated.waits = u8::from(self.sys.nmi_pending || self.apic.has_requests());
        let masked = self.fpu.mxcsr & MXCSR_MASKS == MXCSR_MASKS;
        self.generated.float = if masked { FLOAT_OFF } else { FLOAT_UNMASKED };
    }

    /// The code of a block that is about to be run, if it has some, or is to have some now.
    #[inline(always)]
    pub(crate) fn generated_code(&mut self, block: *mut Block<Cpu>) -> Option<u64> {
        // SAFETY: found just now, or linked in this epoch.
        let code = unsafe { (*block).entry.code };
        if code != 0 {
            return Some(code);
        }
        // SAFETY: as above.
        unsafe { (*block).runs = (*block).runs.wrapping_add(1) };
        // SAFETY: as above.
        if unsafe { (*block).runs } == self.runs_to_translate { self.translate_block(block) } else { None }
    }

    /// Makes code for a block, if it can be had.
    #[cold]
    fn translate_block(&mut self, block: *mut Block<Cpu>) -> Option<u64> {
        // Of the pointer that stays good, not of the reference.
        let address = block.expose_provenance() as u64;
        // SAFETY: the block was found just now, and nothing else refers to it while this does: `drop_generated` comes last.
        let block = unsafe { &mut *block };
        if block.mode != 64 {
            return None;
        }
        block.asked = block.asked.saturating_add(1);
        let patience = self.blocks.generated.as_ref().map_or(1, |generated| generated.patience(block.gpa));
        if self.config.translate == Translate::Often && block.asked < patience {
            block.runs = 0;
            return None;
        }
        let last = block.ops.last().map_or(0, |op| u64::from(op.off));
        let bytes = self.bytes_of(block, last)?;
        let decoder = Decoder::with_ip(64, &bytes, block.gpa & !PAGE_MASK, DECODER_OPTIONS);
        let mut instructions: Vec<Instruction> = Vec::with_capacity(block.ops.len());
        instructions.extend(decoder.into_iter().take(block.ops.len() - 1));
        if instructions.len() != block.ops.len() - 1 {
            return None;
        }
        let model = self.config.cpuid.model;
        let source = Source { instructions: &instructions, block: address, second: block.second, model };
        let generated = self.blocks.generated.as_mut()?;
        let start = generated.buffer.next();
        let buffer = std::mem::take(&mut generated.spare);
        let made = translate(&source, &generated.routines, start, buffer);
        debug_assert!(made.is_ok(), "{:?}", made.err());
        let made = made.ok()?;
        let has_room = generated.buffer.push(&made.code);
        generated.spare = made.code;
        if has_room {
            self.counters.blocks_translated += 1;
            let nth = generated.count();
            block.entry =
                Entry { code: start, quick: made.quick, sides: made.sides, incoming: Vec::new(), nth };
            return Some(start);
        }
        block.runs = 0;
        self.counters.translations_dropped += 1;
        self.blocks.drop_generated();
        None
    }

    /// The bytes that a block was decoded from.
    fn bytes_of(&self, block: &Block<Cpu>, len: u64) -> Option<Vec<u8>> {
        let in_page = len.min(0x1000 - (block.gpa & !PAGE_MASK));
        let parts = [(block.gpa, in_page), (block.second.unwrap_or(0), len - in_page)];
        let mut bytes = Vec::with_capacity(len as usize);
        for (gpa, len) in parts.into_iter().filter(|(_, len)| *len != 0) {
            let host = self.ram.host(gpa, len)?;
            let from = bytes.len();
            bytes.resize(from + len as usize, 0);
            // SAFETY: `host` gives that many mapped bytes that nobody else accesses now, and so many were just added.
            unsafe { std::ptr::copy_nonoverlapping(host, bytes[from..].as_mut_ptr(), len as usize) };
        }
        Some(bytes)
    }

    /// Sets RIP and time to a block's start, after generated code has taken it off what is left.
    fn at_block(&mut self, block: Running<'_>) -> u64 {
        let count = block.ops.len() as u64 - 1;
        self.cycles = Cycles(self.generated.limit - self.generated.left - count);
        self.generated.page | block.gpa & !PAGE_MASK
    }

    /// Runs instructions by their handlers. Where generated code goes on; zero: behind them. `flags` says whether the interpreter has
    /// the flags meanwhile.
    fn by_handlers(&mut self, handled: Handled, block: Running<'_>, flags: bool) -> u64 {
        let start = self.at_block(block);
        self.gpr[file::word(RIP_BASE)] = start;
        for op in &block.ops[handled.nth..handled.nth + handled.count] {
            let step = (op.run)(self, op);
            if step != Step::Next {
                return self.after_handler(op, start, step, flags);
            }
        }
        self.set_views();
        if self.code.is_dirty() || self.generated.epoch != self.blocks.epoch {
            self.end_soon();
        }
        0
    }

    /// Where generated code goes on after an instruction that does not just lead to the next one.
    fn after_handler(&mut self, op: &Op, start: u64, step: Step, flags: bool) -> u64 {
        let ended = self.end_run(op, start, step);
        match ended {
            Ok(Step::Taken | Step::Fall | Step::Jump) => self.onward(None),
            Ok(Step::Leave | Step::Stop) => self.after_leaving(flags),
            _ => self.leave(ended),
        }
    }

    /// Goes on behind an instruction after which the run loop looks at everything, if there is nothing to be seen.
    fn after_leaving(&mut self, flags: bool) -> u64 {
        if self.sys.interrupt_shadow && self.is_settled() {
            if !flags {
                self.flags = unsaved(self.generated.flags);
            }
            let ended = self.single_step();
            self.generated.flags = saved(&self.flags);
            if let Err(trap) = ended {
                return self.leave(Err(trap));
            }
        }
        let settled = !self.sys.interrupt_shadow && (self.is_settled() || self.is_interrupted(flags));
        if settled { self.onward(None) } else { self.leave(Ok(Step::Leave)) }
    }

    /// Takes messages of the machine's and an interrupt, as the run loop would if it had control now. Whether that is all that it
    /// would do: an interrupt then costs no way out of generated code and back.
    fn is_interrupted(&mut self, flags: bool) -> bool {
        let waits = self.sys.halted || self.sys.pending_exception.is_some();
        if self.returns || waits || self.cycles.0 >= self.generated.limit || self.is_looked_at() {
            return false;
        }
        if !flags {
            self.flags = unsaved(self.generated.flags);
        }
        let all = !self.yielding || self.takes_messages();
        if all {
            self.yielding = false;
            // A message may have reset it.
            if !self.sys.halted && !self.is_looked_at() {
                self.generated.dead = self.take_events().is_err();
            }
        }
        self.generated.flags = saved(&self.flags);
        all && !self.generated.dead && self.is_settled()
    }

    /// Whether there is something that the run loop must see, beside events.
    fn is_looked_at(&mut self) -> bool {
        let wanted = self.accessed.is_some() || self.paused || self.alone != Alone::No;
        let code = self.code.is_dirty() || self.blocks.has_dropped() || self.mode != 64;
        let stepping = self.control & (TF | RF) != 0 || self.has_debug_trap() || self.is_stopping();
        wanted || code || stepping
    }

    /// Whether the run loop, if it had control now, would come back without having done anything.
    fn is_settled(&mut self) -> bool {
        if self.yielding || self.is_looked_at() || self.cycles.0 >= self.generated.limit {
            return false;
        }
        let now = self.moment(self.cycles);
        self.apic.advance(now);
        let timed = self.next_timer().is_some_and(|timer| timer.0 < self.generated.limit);
        let nmi = self.sys.nmi_pending && !self.sys.nmi_blocked;
        let interrupt = self.control & IF != 0 && self.apic.highest_pending().is_some();
        let event = !self.sys.interrupt_shadow && (nmi || interrupt);
        !(timed || event || self.sys.halted || self.sys.pending_exception.is_some())
    }

    /// Lets generated code end with the running block.
    fn end_soon(&mut self) {
        self.generated.limit -= self.generated.left;
        self.generated.left = 0;
    }

    fn leave(&mut self, ended: Result<Step, Trap>) -> u64 {
        self.generated.ended = Some(ended);
        self.blocks.generated.as_ref().map_or(0, |generated| generated.routines.leave)
    }

    /// Goes on at RIP, where a side of a block leads: at generated code, if there is some.
    fn onward(&mut self, from: Option<(*mut Block<Cpu>, usize)>) -> u64 {
        if self.cycles.0 >= self.generated.limit || self.code.is_dirty() {
            return self.leave(Ok(Step::Jump));
        }
        self.generated.left = self.generated.limit - self.cycles.0;
        let block = match self.find_block() {
            Ok(block) => block,
            Err(trap) => return self.leave(Err(trap)),
        };
        // SAFETY: found just now.
        let (code, gpa) = unsafe { ((*block).entry.code, (*block).gpa) };
        if code == 0 {
            return self.leave(Ok(Step::Jump));
        }
        self.generated.page = self.rip & PAGE_MASK;
        self.generated.epoch = self.blocks.epoch;
        self.set_views();
        if let Some(generated) = &mut self.blocks.generated {
            // SAFETY: both blocks are allocated, since nothing was buried, and nobody else refers to their entries now.
            let side = from.and_then(|(from, side)| unsafe { (&(*from).entry.sides)[side] });
            match side {
                // SAFETY: as above.
                Some(side) => generated.link(side, unsafe { &mut (*block).entry }),
                None => generated.know(gpa, code),
            }
        }
        code
    }

    /// Calls what generated code wants; a panic waits until that has been left.
    fn guarded(&mut self, work: impl FnOnce(&mut Cpu) -> u64) -> u64 {
        match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(next) => next,
            Err(panic) => {
                self.panic = Some(panic);
                self.leave(Ok(Step::Leave))
            }
        }
    }
}

/// What is needed of a block that generated code runs. There is no reference to the block itself: one of its instructions may write to
/// the code that it was made of, which drops it ([`Blocks::drop_page`](crate::blocks::Blocks::drop_page) changes all but this).
#[derive(Clone, Copy)]
struct Running<'a> {
    gpa: u64,
    ops: &'a [Op],
}

impl<'a> Running<'a> {
    /// # Safety
    /// The address of a block that generated code runs, for as long as the result is used.
    unsafe fn at(address: u64) -> Self {
        let block = std::ptr::with_exposed_provenance::<Block<Cpu>>(address as usize);
        // SAFETY: `translate_block` exposed the address. A dropped block stays allocated until `bury`, which is called between
        // runs alone, and nobody changes a block's operations or address.
        unsafe { Running { gpa: (*block).gpa, ops: &(*block).ops } }
    }
}

/// # Safety
/// `cpu` is a CPU that runs generated code, `block` the address of a block, and `handled` says which of its instructions.
pub(super) unsafe extern "sysv64" fn handle(cpu: *mut Cpu, handled: u64, block: u64) -> u64 {
    // SAFETY: as the caller says.
    let (cpu, block) = unsafe { (&mut *cpu, Running::at(block)) };
    cpu.guarded(|cpu| cpu.by_handlers(Handled::unpacked(handled), block, false))
}

/// # Safety
/// As [`handle`].
pub(super) unsafe extern "sysv64" fn handle_with_flags(cpu: *mut Cpu, handled: u64, block: u64) -> u64 {
    // SAFETY: as in `handle`.
    let (cpu, block) = unsafe { (&mut *cpu, Running::at(block)) };
    cpu.flags = unsaved(cpu.generated.flags);
    let next = cpu.guarded(|cpu| cpu.by_handlers(Handled::unpacked(handled), block, true));
    cpu.generated.flags = saved(&cpu.flags);
    next
}

/// # Safety
/// As [`handle`], with a side of the block.
pub(super) unsafe extern "sysv64" fn side(cpu: *mut Cpu, block: u64, side: u64) -> u64 {
    // SAFETY: as in `handle`.
    let (cpu, from) = unsafe { (&mut *cpu, Running::at(block)) };
    let start = cpu.at_block(from);
    let count = from.ops.len() - 1;
    let last = &from.ops[count - 1];
    let distance = if side as usize == FALL { last.end() } else { last.imm };
    cpu.rip = start.wrapping_add(distance);
    cpu.cycles += count as u64;
    let from = std::ptr::with_exposed_provenance_mut::<Block<Cpu>>(block as usize);
    cpu.guarded(|cpu| cpu.onward(Some((from, side as usize & (FALL | TAKEN)))))
}

/// # Safety
/// As [`handle`], without an instruction.
pub(super) unsafe extern "sysv64" fn limit(cpu: *mut Cpu, block: u64, _: u64) -> u64 {
    // SAFETY: as in `handle`.
    let (cpu, block) = unsafe { (&mut *cpu, Running::at(block)) };
    cpu.cycles = Cycles(cpu.generated.limit - cpu.generated.left);
    cpu.rip = cpu.generated.page | block.gpa & !PAGE_MASK;
    cpu.leave(Ok(Step::Jump))
}
