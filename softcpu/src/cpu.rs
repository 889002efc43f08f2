//! The CPU itself: hot fields come first, flat; the others stay in the state struct.

use std::any::Any;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use fencepost_time::{Cycles, Moment, Tsc};
use serde::{Deserialize, Serialize};
use vm_memory::GuestMemoryMmap;

use crate::apic::{InterruptMessage, LocalApic};
use crate::blocks::Blocks;
use crate::bus::Reach;
use crate::code::CodePages;
use crate::control::Cr4;
use crate::cpuid::CpuidConfig;
use crate::descriptor::attr;
use crate::file::{FILE, FILE_BYTES, ZERO};
use crate::flags::{self, Flags};
use crate::generated::Context;
use crate::mem::ram::Ram;
use crate::mem::saved::TlbState;
use crate::mem::tlb::Tlb;
use crate::mem::view::{OPENED, SUPERVISOR, USER};
use crate::state::{CpuState, FpuState, seg};
use crate::step::{Fault, Step};
use crate::stop_flag::{Done, StopFlag};
use crate::stops::{Access, Stops};
use crate::value::Plain;

/// What is fixed over a CPU's life.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    /// What CPUID answers.
    pub cpuid: CpuidConfig,
    /// Whether blocks are translated to the host's code.
    pub translate: Translate,
}

/// Whether blocks are translated to the host's code, where that is possible: on x86-64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Translate {
    /// Never: the interpreter runs all.
    Never,
    /// When they have been run some times.
    #[default]
    Often,
    /// When they are run the first time, for tests.
    Always,
}

/// What the CPU counted, for the host's user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Instructions that are not implemented, by name, and how often the guest executed them.
    pub unknown: BTreeMap<String, u64>,
    /// MSRs that are not implemented, and how often the guest accessed them: the first [`MSRS_NAMED`].
    pub unknown_msrs: BTreeMap<u32, u64>,
    /// How often the guest accessed other MSRs that are not implemented.
    pub other_msrs: u64,
    /// Blocks decoded.
    pub blocks_decoded: u64,
    /// Blocks translated to the host's code.
    pub blocks_translated: u64,
    /// How often all such code was dropped because there was no room for more.
    pub translations_dropped: u64,
    /// Pages whose blocks were dropped because they were written.
    pub pages_dropped: u64,
    /// How often decoded code gave way to other.
    pub code_gave_way: u64,
    /// Translations put into the TLB.
    pub tlb_fills: u64,
    /// TLB flushes (all or all but global).
    pub tlb_flushes: u64,
    /// Interrupts taken.
    pub interrupts: u64,
    /// Exceptions delivered, by vector.
    pub exceptions: [u64; 32],
}

/// Unknown MSRs that are counted one by one: a guest that tries all of them must not fill the host's memory.
pub const MSRS_NAMED: usize = 256;

impl Counters {
    /// Counts an access to an MSR that is not implemented.
    pub(crate) fn count_msr(&mut self, msr: u32) {
        let full = self.unknown_msrs.len() >= MSRS_NAMED;
        let count = match self.unknown_msrs.entry(msr) {
            Entry::Vacant(_) if full => &mut self.other_msrs,
            entry => entry.or_default(),
        };
        *count = count.saturating_add(1);
    }
}

/// Whether an instruction runs alone, so that the run loop checks its effects right after it. A load has no other way to
/// end a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alone {
    /// It runs in a block.
    No,
    /// It was aborted and must run again, alone.
    Wanted,
    /// It runs alone.
    Yes,
}

/// A decoded instruction of this CPU.
pub(crate) type Op = crate::op::Op<Cpu>;
/// What runs one.
pub(crate) type Handler = crate::op::Handler<Cpu>;
/// One whose memory operand needs more than an [`Op`] has room for.
pub(crate) type Extended = crate::op::Extended<Cpu>;

/// One software x86-64 CPU. See [`Cpu::run`].
pub struct Cpu {
    pub(crate) gpr: [u64; FILE],
    pub(crate) rip: u64,
    /// Status flags.
    pub(crate) flags: Flags,
    /// RFLAGS without the status flags.
    pub(crate) control: u64,
    /// Segment bases by segment index; the last two are always zero.
    pub(crate) seg_base: [u64; 8],
    /// The machine's counter at the start of the running block.
    pub(crate) cycles: Cycles,
    /// With which rights data is accessed: [`SUPERVISOR`](crate::mem::view::SUPERVISOR) and so on.
    pub(crate) view: usize,
    /// How code is decoded: 16, 32 or 64 bits.
    pub(crate) mode: u8,
    /// Mask of linear addresses: 64 bits in 64-bit code, else 32 bits (Intel SDM vol. 3, 3.3.4).
    pub(crate) linear_mask: u64,
    /// Base of the code segment; zero in 64-bit code.
    pub(crate) code_base: u64,
    /// The code segment ends before 4 GiB: each instruction must be checked.
    pub(crate) limited_code: bool,
    /// Mask of stack addresses: 64 bits in 64-bit code, else 32 or 16 bits by SS.B.
    pub(crate) stack_mask: u64,
    pub(crate) tlb: Tlb,
    /// x87, MMX and SSE registers.
    pub(crate) fpu: FpuState,
    /// The rest of the state. Its `gpr`, `rip`, `rflags`, `fpu`, `cycles`, `retired` and `apic` are stale.
    pub(crate) sys: CpuState,
    /// The exception behind a [`Step::Trap`].
    pub(crate) fault: Fault,
    /// Cycles minus retired instructions.
    pub(crate) idle: u64,
    pub(crate) ram: Ram,
    pub(crate) code: Arc<CodePages>,
    /// Up to which of its [guards](CodePages::guards) the TLB obeys them.
    pub(crate) guarded: u64,
    pub(crate) blocks: Blocks<Cpu>,
    pub(crate) apic: LocalApic,
    pub(crate) stop: Arc<StopFlag>,
    pub(crate) config: Config,
    pub(crate) reach: Reach,
    /// Whether an instruction runs alone.
    pub(crate) alone: Alone,
    /// The instruction that runs alone suppresses its single-step trap.
    pub(crate) trap_held: bool,
    /// A bus access asked to return to the machine.
    pub(crate) yielding: bool,
    /// Accesses to devices, of which an instruction may want to know whether it has made one.
    pub(crate) device_accesses: u32,
    /// PAUSE ends the run: another CPU has something to do.
    pub(crate) gives_way: bool,
    /// There is no other CPU.
    pub(crate) solitary: bool,
    /// What the next block's operations are collected in.
    pub(crate) spare_ops: Vec<Op>,
    /// The machine has said that it must be returned to.
    pub(crate) returns: bool,
    /// It has just executed such a PAUSE.
    pub(crate) paused: bool,
    /// Inter-processor interrupts for other CPUs, as [`ApicEffect::ipi`](crate::apic::ApicEffect::ipi) has them.
    pub(crate) sent: Vec<u64>,
    /// Where it stops for whoever looks at it.
    pub(crate) stops: Stops,
    /// Where the guest's debug registers stop it.
    pub(crate) own_stops: Stops,
    /// They ask for accesses to ports too.
    pub(crate) port_breakpoints: bool,
    /// What was watched has been accessed.
    pub(crate) accessed: Option<Access>,
    /// The next instruction is not stopped before.
    pub(crate) passing: bool,
    pub(crate) counters: Counters,
    /// After how many runs a block is translated; zero: never.
    pub(crate) runs_to_translate: u32,
    /// What generated code works with.
    pub(crate) generated: Context,
    /// A panic of what generated code has called.
    pub(crate) panic: Option<Box<dyn Any + Send>>,
}

impl Cpu {
    /// A CPU at the reset state of [`CpuState::default`], which is not a state that can run: call
    /// [`set_state`](Self::set_state). `stop` makes a running [`run`](Self::run) return soon.
    ///
    /// # Safety
    /// While [`run`](Self::run) or [`execute_one`](Self::execute_one) works on this CPU, nothing but its `bus`, on the same
    /// thread, may access `memory`, through this handle, a clone or the mapping itself: the CPU reads and writes it by
    /// plain accesses, and its locked instructions are locked against nobody. (What else accesses it in between must
    /// report what it wrote to `code`, or the CPU runs what was there before.)
    pub unsafe fn new(
        memory: GuestMemoryMmap<()>,
        code: Arc<CodePages>,
        stop: Arc<StopFlag>,
        config: Config,
    ) -> Cpu {
        let id = config.cpuid.apic_id;
        let apic = LocalApic::new(id);
        let mut sys = CpuState::default();
        sys.msr.apic_base = apic.apic_base();
        sys.msr.pat = 0x0007_0406_0007_0406;
        Cpu {
            gpr: [0; FILE],
            rip: 0,
            flags: Flags::default(),
            control: 2,
            seg_base: [0; 8],
            cycles: Cycles(0),
            view: SUPERVISOR,
            mode: 16,
            linear_mask: 0xffff_ffff,
            code_base: 0,
            limited_code: true,
            stack_mask: 0xffff,
            tlb: Tlb::new(),
            fpu: FpuState::default(),
            sys,
            fault: Fault::default(),
            idle: 0,
            ram: Ram::new(memory),
            code,
            guarded: 0,
            blocks: Blocks::new(),
            apic,
            stop,
            config,
            reach: Reach::default(),
            alone: Alone::No,
            trap_held: false,
            yielding: false,
            device_accesses: 0,
            gives_way: false,
            solitary: false,
            spare_ops: Vec::new(),
            returns: false,
            paused: false,
            sent: Vec::new(),
            stops: Stops::default(),
            own_stops: Stops::default(),
            port_breakpoints: false,
            accessed: None,
            passing: false,
            counters: Counters::default(),
            runs_to_translate: 0,
            generated: Context::default(),
            panic: None,
        }
    }

    /// Everything the CPU is, apart from RAM.
    pub fn state(&self) -> CpuState {
        let mut state = self.sys.clone();
        state.gpr.copy_from_slice(&self.gpr[..16]);
        state.rip = self.rip;
        state.rflags = self.rflags();
        state.fpu = self.fpu.clone();
        state.cycles = self.cycles;
        state.retired = self.cycles.0.wrapping_sub(self.idle);
        state.apic = self.apic.save(self.cycles);
        state.msr.apic_base = self.apic.apic_base();
        state.msr.tsc_deadline = self.apic.tsc_deadline().0;
        state
    }

    /// Sets the state. Decoded code is kept: it belongs to RAM, whose writers report to [`CodePages`].
    pub fn set_state(&mut self, state: &CpuState) {
        self.sys = state.clone();
        self.gpr = [0; FILE];
        self.gpr[..16].copy_from_slice(&state.gpr);
        self.rip = state.rip;
        self.set_rflags(state.rflags);
        self.fpu = state.fpu.clone();
        self.cycles = state.cycles;
        self.idle = state.cycles.0.wrapping_sub(state.retired);
        let id = self.config.cpuid.apic_id;
        let msr = &state.msr;
        // A state without an APIC (its version register is never zero) has one as after power-on.
        self.apic = if state.apic.regs.iter().all(|r| *r == 0) {
            LocalApic::new(id)
        } else {
            LocalApic::restore(id, &state.apic, msr.apic_base, Tsc(msr.tsc_deadline), state.cycles)
        };
        self.alone = Alone::No;
        self.yielding = false;
        self.paused = false;
        self.sent.clear();
        self.tlb.flush_all();
        self.segments_changed();
        self.breakpoints_changed();
    }

    /// The contents of the TLB.
    pub fn translations(&self) -> TlbState {
        self.tlb.save()
    }

    /// Holds `translations`, which [`translations`](Self::translations) gave for the same memory, after
    /// [`set_state`](Self::set_state). False, with nothing changed, when they cannot be of this memory.
    pub fn set_translations(&mut self, translations: &TlbState) -> bool {
        let restored = Tlb::restore(translations, &self.ram, &self.code);
        let possible = restored.is_some();
        if let Some(tlb) = restored {
            self.tlb = tlb;
            self.mark_watched();
        }
        possible
    }

    /// Sends accesses to watched pages through the slow path, and to no others.
    pub(crate) fn mark_watched(&mut self) {
        let (stops, own) = (&self.stops, &self.own_stops);
        self.tlb.mark_watched(|page| stops.watches_page(page) || own.watches_page(page));
    }

    /// Updates the copies of segment state: bases, privilege, widths.
    pub(crate) fn segments_changed(&mut self) {
        for n in 0..6 {
            self.seg_base[n] = self.sys.seg[n].base;
        }
        self.rights_changed();
        self.mode = self.code_bits() as u8;
        let long = self.mode == 64;
        self.linear_mask = if long { !0 } else { 0xffff_ffff };
        self.code_base = if long { 0 } else { self.seg_base[seg::CS] };
        self.limited_code = !long && self.sys.seg[seg::CS].limit != u32::MAX;
        self.stack_mask = match self.sys.seg[seg::SS].attributes & attr::BIG {
            _ if long => !0,
            0 => 0xffff,
            _ => 0xffff_ffff,
        };
    }

    /// Data is accessed with other rights, perhaps: CPL, RFLAGS.AC or CR4.SMAP has changed.
    pub(crate) fn rights_changed(&mut self) {
        self.view = match self.cpl() {
            3 => USER,
            _ if self.control & flags::AC != 0 && self.sys.has_cr4(Cr4::SMAP) => OPENED,
            _ => SUPERVISOR,
        };
    }

    /// Current privilege level.
    #[inline(always)]
    pub fn cpl(&self) -> u8 {
        (self.sys.seg[seg::SS].attributes >> 5 & 3) as u8
    }

    /// Whether CPL is 0.
    #[inline(always)]
    pub fn is_kernel(&self) -> bool {
        self.cpl() == 0
    }

    /// The flags as one register.
    #[inline]
    pub fn rflags(&self) -> u64 {
        self.control | self.flags.bits()
    }

    /// Sets all flags without any check.
    pub(crate) fn set_rflags(&mut self, value: u64) {
        self.flags = Flags::from_bits(value);
        let before = std::mem::replace(&mut self.control, value & !flags::STATUS | 2);
        if (before ^ value) & flags::AC != 0 {
            self.rights_changed();
        }
    }

    /// Reads a register of the file by byte offset.
    #[inline(always)]
    pub(crate) fn reg<T: Plain>(&self, offset: u8) -> T {
        const { assert!(FILE_BYTES >= u8::MAX as usize + size_of::<T>()) };
        // SAFETY: the file goes on behind its registers for as long as any offset reaches.
        unsafe { self.gpr.as_ptr().cast::<u8>().add(offset as usize).cast::<T>().read_unaligned() }
    }

    /// Writes a register of the file by byte offset; a 32-bit write clears the upper half.
    #[inline(always)]
    pub(crate) fn set_reg<T: Plain>(&mut self, offset: u8, value: T) {
        const { assert!(FILE_BYTES >= u8::MAX as usize + size_of::<T>() && FILE_BYTES >= u8::MAX as usize + 8) };
        debug_assert!(usize::from(offset) + size_of::<T>() <= ZERO.into(), "no general register");
        // SAFETY: as in `reg`, and eight bytes for the four of a 32-bit write. A `Plain` of four bytes may be read as a
        // `u32`.
        unsafe {
            let at = self.gpr.as_mut_ptr().cast::<u8>().add(offset as usize);
            if size_of::<T>() == 4 {
                at.cast::<u64>()
                    .write_unaligned(u64::from((&raw const value).cast::<u32>().read_unaligned()));
            } else {
                at.cast::<T>().write_unaligned(value);
            }
        }
    }

    /// Raises an exception; a handler returns the result.
    #[cold]
    pub(crate) fn raise(&mut self, vector: u8, error: Option<u32>) -> Step {
        self.fault = Fault { vector, error, trap: false };
        Step::Trap
    }

    /// The local APIC.
    pub fn apic(&self) -> &LocalApic {
        &self.apic
    }

    /// The local APIC, for the machine's messages.
    pub fn apic_mut(&mut self) -> &mut LocalApic {
        &mut self.apic
    }

    /// Delivers a message from the machine to the local APIC; it takes effect at the next instruction boundary.
    pub fn deliver(&mut self, message: InterruptMessage) {
        let effect = self.apic.deliver(message);
        if effect.init {
            self.init();
        }
        if let Some(page) = effect.startup {
            self.start_up(page);
        }
        // None is kept for a CPU that waits to be started.
        self.sys.nmi_pending |= effect.nmi && !self.sys.waits_for_startup;
    }

    /// When the APIC timer fires next, if the guest leaves its counter alone.
    pub fn next_timer(&self) -> Option<Cycles> {
        self.apic.next_timer(self.moment(self.cycles))
    }

    /// The machine's counter now.
    pub fn cycles(&self) -> Cycles {
        self.cycles
    }

    /// A time of the machine's counter, with the current offset of the guest's.
    #[inline(always)]
    pub(crate) fn moment(&self, cycles: Cycles) -> Moment {
        Moment { cycles, offset: self.sys.tsc_offset }
    }

    /// Instructions retired since reset.
    pub fn retired(&self) -> u64 {
        self.cycles.0.wrapping_sub(self.idle)
    }

    /// Lets idle time pass, up to `until` (nothing happens if that is past).
    pub fn skip_to(&mut self, until: Cycles) {
        self.idle = self.idle.wrapping_add(until.since(self.cycles));
        self.cycles = self.cycles.max(until);
    }

    /// In the middle of what takes the host long: whether somebody wants the CPU's attention, which then returns to its run loop after
    /// the block that it runs.
    #[inline(always)]
    pub(crate) fn listen(&self) -> bool {
        let wanted = self.stop.look(Done::Run);
        if wanted {
            self.code.call_for_attention();
        }
        wanted
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters.clone();
        counters.tlb_fills = self.tlb.fills;
        counters.tlb_flushes = self.tlb.flushes;
        counters
    }

    /// Counts an instruction that is not implemented.
    pub(crate) fn count_unknown(&mut self, name: &str) {
        *self.counters.unknown.entry(name.to_string()).or_default() += 1;
    }
}
