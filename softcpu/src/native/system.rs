//! CLI, STI and SWAPGS of the kernel's. What is not CPL 0 goes through their handlers.

use std::mem::offset_of;

use iced_x86::{Code, ConditionCode};

use super::block::Translator;
use super::emit::{Jump, field};
use super::flags::Need;
use super::memory::context;
use super::registers::SCRATCH;
use crate::cpu::Cpu;
use crate::flags::IF;
use crate::state::{CpuState, Msrs, Segment, seg};

/// The descriptor privilege level in a segment's attributes.
const DPL: i32 = 3 << 5;
/// The attributes of SS, whose DPL is CPL.
const SS_ATTRIBUTES: usize = offset_of!(Cpu, sys) + in_segment(seg::SS, offset_of!(Segment, attributes));
const GS_BASE: usize = offset_of!(Cpu, sys) + in_segment(seg::GS, offset_of!(Segment, base));
const GS_BASE_IN_USE: usize = offset_of!(Cpu, seg_base) + seg::GS * 8;
const OTHER_GS_BASE: usize =
    offset_of!(Cpu, sys) + offset_of!(CpuState, msr) + offset_of!(Msrs, kernel_gs_base);
const CONTROL: usize = offset_of!(Cpu, control);

/// The offset in the CPU's state of a field of a segment register.
const fn in_segment(which: usize, field: usize) -> usize {
    offset_of!(CpuState, seg) + which * size_of::<Segment>() + field
}

impl Translator<'_> {
    /// The jump: CPL is not 0.
    fn unless_kernel(&mut self, before: Need) -> Jump {
        self.give_up_host(before);
        self.e.mi(Code::Test_rm8_imm8, field(SS_ATTRIBUTES), DPL);
        self.e.jump_if(ConditionCode::ne)
    }

    pub(super) fn cli(&mut self, nth: usize, before: Need) {
        let user = self.unless_kernel(before);
        let slow = self.slow(nth, [user]);
        self.e.mi(Code::And_rm32_imm32, field(CONTROL), !IF as i32);
        self.slow_back(Some(slow));
    }

    /// An interrupt that waits is the handler's. If none does, none can come before the next instruction has run: nobody can see that
    /// it could not be taken.
    pub(super) fn sti(&mut self, nth: usize, before: Need) {
        let user = self.unless_kernel(before);
        self.e.mi(Code::Test_rm32_imm32, field(CONTROL), IF as i32);
        let on = self.e.jump_if(ConditionCode::ne);
        self.e.mi(Code::Cmp_rm8_imm8, field(context!(waits)), 0);
        let waits = self.e.jump_if(ConditionCode::ne);
        let slow = self.slow(nth, [user, waits]);
        self.e.mi(Code::Or_rm32_imm32, field(CONTROL), IF as i32);
        self.e.bind(on);
        self.slow_back(Some(slow));
    }

    pub(super) fn swapgs(&mut self, nth: usize, before: Need) {
        let [first, second] = SCRATCH;
        let user = self.unless_kernel(before);
        let slow = self.slow(nth, [user]);
        self.e.load(first, GS_BASE_IN_USE);
        self.e.load(second, OTHER_GS_BASE);
        self.e.store(GS_BASE_IN_USE, second);
        self.e.store(GS_BASE, second);
        self.e.store(OTHER_GS_BASE, first);
        self.slow_back(Some(slow));
    }
}
