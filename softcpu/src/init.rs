//! INIT and the startup message (SIPI), by which one CPU starts another.

use crate::apic::LocalApic;
use crate::cpu::Cpu;
use crate::cpuid::cpuid;
use crate::descriptor::attr;
use crate::state::{CpuState, Segment, Table, reg, seg};

/// CR0 after INIT: caching off, write-through off, and ET.
const CR0: u64 = 0x6000_0010;
/// Where the first instruction after INIT would be.
const VECTOR: u64 = 0xfff0;
/// DR6 and DR7 after INIT.
const DR6: u64 = 0xffff_0ff0;
const DR7: u64 = 0x400;

impl Cpu {
    /// INIT: the state of Intel SDM vol. 3, table 10-1. FPU, time-stamp counter and most MSRs stay; the local APIC keeps id and
    /// mode. Any CPU but the bootstrap CPU then waits for a startup message (11.4.4).
    pub fn init(&mut self) {
        let mut state = self.state();
        let data = Segment { limit: 0xffff, attributes: REAL, ..Segment::default() };
        state.seg = [data; 6];
        state.seg[seg::CS] = Segment { selector: 0xf000, base: 0xffff_0000, ..data };
        state.ldtr = Segment { limit: 0xffff, attributes: attr::PRESENT | 2, ..Segment::default() };
        state.tr = Segment { limit: 0xffff, attributes: attr::PRESENT | 0xb, ..Segment::default() };
        (state.gdtr, state.idtr) = (Table { base: 0, limit: 0xffff }, Table { base: 0, limit: 0xffff });
        state.gpr = [0; 16];
        [state.gpr[reg::RDX], ..] = cpuid(1, 0, &self.config.cpuid).map(u64::from);
        (state.rip, state.rflags) = (VECTOR, 2);
        (state.cr0, state.cr2, state.cr3, state.cr4, state.efer) = (CR0, 0, 0, 0, 0);
        state.dr = [0, 0, 0, 0, 0, 0, DR6, DR7];
        (state.interrupt_shadow, state.nmi_blocked, state.nmi_pending) = (false, false, false);
        (state.debug_held, state.debug_hits) = (false, 0);
        state.pending_exception = None;
        let waits = state.msr.apic_base & LocalApic::BOOTSTRAP == 0;
        (state.halted, state.waits_for_startup) = (waits, waits);
        self.set_state(&state);
        self.apic.reset_registers();
    }

    /// A startup message: a CPU that waits for one begins in real-address mode at that page; any other ignores it.
    pub fn start_up(&mut self, page: u8) {
        if !std::mem::take(&mut self.sys.waits_for_startup) {
            return;
        }
        self.sys.halted = false;
        let code = &mut self.sys.seg[seg::CS];
        (code.selector, code.base) = (u16::from(page) << 8, u64::from(page) << 12);
        self.rip = 0;
        self.segments_changed();
    }

    /// A CPU as it is after power-on, if it is not the bootstrap CPU.
    pub fn wait_for_startup(&mut self) {
        self.set_state(&CpuState { msr: self.state().msr, ..CpuState::default() });
        self.init();
    }
}

/// Data that may be read and written, present.
const REAL: u16 = attr::PRESENT | attr::S | attr::WRITABLE | attr::ACCESSED;
