//! Real-address mode (Intel SDM vol. 3, 21.1): segments without descriptors, and interrupts through a table of far pointers.

use super::interrupts::Source;
use crate::control::Cr0;
use crate::cpu::{Cpu, Op};
use crate::flags;
use crate::state::{Segment, reg, seg};
use crate::step::{Step, Trap};
use crate::tri;
use crate::value::Int;
use crate::vector;

impl Cpu {
    /// Whether the CPU is in real-address mode.
    pub(crate) fn in_real_mode(&self) -> bool {
        !self.sys.has_cr0(Cr0::PE)
    }

    /// A segment register after a load: the selector gives the base, limit and rights stay as they are.
    pub(super) fn real_segment(&self, which: usize, selector: u16) -> Segment {
        Segment { selector, base: u64::from(selector) << 4, ..self.sys.seg[which] }
    }

    /// Refuses an instruction that real-address mode does not recognize.
    pub(super) fn protected_only(&mut self) -> Result<(), Trap> {
        if self.in_real_mode() {
            self.raise(vector::UD, None);
            return Err(Trap);
        }
        Ok(())
    }

    /// Goes to code at an offset in the segment of a selector.
    pub(super) fn go_to_real(&mut self, selector: u16, offset: u64) -> Result<(), Trap> {
        let cs = self.real_segment(seg::CS, selector);
        if offset > u64::from(cs.limit) {
            self.raise(vector::GP, Some(0));
            return Err(Trap);
        }
        self.sys.seg[seg::CS] = cs;
        self.segments_changed();
        self.rip = offset;
        Ok(())
    }

    /// Goes through the interrupt vector table. No error code is pushed, and no privilege looked at.
    pub(super) fn real_interrupt(&mut self, vector: u8, source: Source) -> Result<(), Trap> {
        let at = u64::from(vector) * 4;
        if at + 3 > u64::from(self.sys.idtr.limit) {
            self.raise(vector::GP, Some(0));
            return Err(Trap);
        }
        let pointer = self.load_as::<u32>(self.system(), self.sys.idtr.base.wrapping_add(at))?;
        let resumes = if source == Source::Exception { flags::RF } else { 0 };
        let words = [self.rflags() & !flags::RF | resumes, self.sys.seg[seg::CS].selector.into(), self.rip];
        let mut sp = self.gpr[reg::RSP];
        for word in words {
            sp = sp.wrapping_sub(2);
            let to = self.segment_address(seg::SS as u8, sp & self.stack_mask, 2, true);
            if self.store_as(self.system(), to, word as u16) == Step::Trap {
                return Err(Trap);
            }
        }
        self.go_to_real((pointer >> 16) as u16, u64::from(pointer & 0xffff))?;
        self.gpr[reg::RSP] = self.moved_stack(sp);
        self.control &= !(flags::IF | flags::TF | flags::AC | flags::RF);
        self.rights_changed();
        Ok(())
    }
}

/// IRET of operand size `T`.
pub(super) fn iret<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let at = cpu.gpr[reg::RSP];
    let size = T::SIZE as u64;
    let mut words = [0u64; 3];
    for (n, word) in (0..).zip(&mut words) {
        *word = tri!(cpu.load_stack::<T>(op, at.wrapping_add(n * size))).wide();
    }
    let [rip, cs, new_flags] = words;
    tri!(cpu.go_to_real(cs as u16, rip));
    cpu.gpr[reg::RSP] = cpu.moved_stack(at.wrapping_add(3 * size));
    const ALLOWED: u64 = flags::STATUS
        | flags::TF
        | flags::IF
        | flags::DF
        | flags::IOPL
        | flags::NT
        | flags::RF
        | flags::AC
        | flags::ID;
    let allowed = if T::BITS == 16 { ALLOWED & 0xffff } else { ALLOWED };
    let before = cpu.rflags();
    cpu.set_rflags(before & !allowed & !flags::RF | new_flags & allowed);
    cpu.sys.nmi_blocked = false;
    Step::Leave
}
