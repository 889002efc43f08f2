//! Descriptors and segment registers (Intel SDM vol. 3, chapter 3).

use crate::control::Efer;
use crate::cpu::Cpu;
use crate::descriptor::{attr, dpl, unpack};
use crate::state::{Segment, seg};
use crate::step::{Step, Trap};
use crate::vector;

impl Cpu {
    /// The linear address of a selector's descriptor of `bytes` bytes, if its table is that long.
    pub(crate) fn descriptor_address(&self, selector: u16, bytes: u64) -> Option<u64> {
        let offset = u64::from(selector & !7);
        let (base, limit) = if selector & 4 == 0 {
            (self.sys.gdtr.base, u64::from(self.sys.gdtr.limit))
        } else if self.sys.ldtr.attributes & attr::PRESENT != 0 {
            (self.sys.ldtr.base, u64::from(self.sys.ldtr.limit))
        } else {
            return None;
        };
        (offset + bytes - 1 <= limit).then(|| base.wrapping_add(offset))
    }

    /// Reads a descriptor, or raises `fault` with the selector as error code.
    pub(crate) fn descriptor(&mut self, selector: u16, fault: u8) -> Result<Segment, Trap> {
        let Some(at) = self.descriptor_address(selector, 8) else {
            return self.selector_fault(fault, selector);
        };
        let raw = self.load_as::<u64>(self.system(), at)?;
        Ok(unpack(selector, raw))
    }

    /// Raises a fault whose error code is a selector.
    pub(crate) fn selector_fault<T>(&mut self, fault: u8, selector: u16) -> Result<T, Trap> {
        self.raise(fault, Some(u32::from(selector & !3)));
        Err(Trap)
    }

    /// Sets the accessed bit of a descriptor in memory, if it is not set.
    pub(crate) fn mark_accessed(&mut self, segment: &mut Segment) -> Result<(), Trap> {
        if segment.attributes & attr::ACCESSED != 0 {
            return Ok(());
        }
        segment.attributes |= attr::ACCESSED;
        if let Some(at) = self.descriptor_address(segment.selector, 8) {
            let at = at.wrapping_add(5);
            let how = self.system();
            let byte = self.load_as::<u8>(how, at)?;
            if self.store_as(how, at, byte | 1) == Step::Trap {
                return Err(Trap);
            }
        }
        Ok(())
    }

    /// Loads DS, ES, FS, GS or SS (MOV, POP, LxS).
    pub(crate) fn load_segment(&mut self, which: usize, selector: u16) -> Result<(), Trap> {
        if self.in_real_mode() {
            self.sys.seg[which] = self.real_segment(which, selector);
            self.segments_changed();
            return Ok(());
        }
        if which == seg::SS {
            return self.load_stack_segment(selector);
        }
        if selector & !3 == 0 {
            self.sys.seg[which] = Segment { selector, ..Segment::default() };
            self.segments_changed();
            return Ok(());
        }
        let mut segment = self.descriptor(selector, vector::GP)?;
        let a = segment.attributes;
        let code = a & attr::CODE != 0;
        let readable = !code || a & attr::WRITABLE != 0;
        let least = self.cpl().max((selector & 3) as u8);
        let open = code && a & attr::CONFORMING != 0;
        if a & attr::S == 0 || !readable || (!open && dpl(a) < least) {
            return self.selector_fault(vector::GP, selector);
        }
        if a & attr::PRESENT == 0 {
            return self.selector_fault(vector::NP, selector);
        }
        self.mark_accessed(&mut segment)?;
        self.sys.seg[which] = segment;
        self.segments_changed();
        Ok(())
    }

    fn load_stack_segment(&mut self, selector: u16) -> Result<(), Trap> {
        let (cpl, rpl) = (self.cpl(), (selector & 3) as u8);
        if selector & !3 == 0 {
            // A null stack segment is for 64-bit code below CPL 3 only.
            if !self.in_long_code() || cpl == 3 || rpl != cpl {
                return self.selector_fault(vector::GP, 0);
            }
            self.set_null_stack(selector, cpl);
            return Ok(());
        }
        let mut segment = self.descriptor(selector, vector::GP)?;
        let a = segment.attributes;
        let data = a & (attr::S | attr::CODE | attr::WRITABLE) == attr::S | attr::WRITABLE;
        if !data || rpl != cpl || dpl(a) != cpl {
            return self.selector_fault(vector::GP, selector);
        }
        if a & attr::PRESENT == 0 {
            return self.selector_fault(vector::SS, selector);
        }
        self.mark_accessed(&mut segment)?;
        self.sys.seg[seg::SS] = segment;
        self.segments_changed();
        Ok(())
    }

    /// A null SS whose hidden part still says which privilege this is.
    pub(crate) fn set_null_stack(&mut self, selector: u16, cpl: u8) {
        let attributes = attr::PRESENT | attr::S | attr::WRITABLE | attr::ACCESSED | u16::from(cpl) << 5;
        self.sys.seg[seg::SS] = Segment { selector, base: 0, limit: !0, attributes };
        self.segments_changed();
    }

    /// What follows a load of a segment register: one of SS holds interrupts for an instruction.
    pub(crate) fn after_segment_load(&mut self, which: usize) -> Step {
        if which == seg::SS {
            self.sys.interrupt_shadow = true;
            self.sys.debug_held = true;
            self.trap_held = true;
            return Step::Stop;
        }
        Step::Next
    }

    /// Whether 64-bit code runs.
    pub(crate) fn in_long_code(&self) -> bool {
        self.in_long_mode() && self.sys.seg[seg::CS].attributes & attr::LONG != 0
    }

    /// Whether long mode is active (its compatibility mode included).
    pub(crate) fn in_long_mode(&self) -> bool {
        self.sys.has_efer(Efer::LMA)
    }

    /// 16, 32 or 64: how code is decoded.
    #[inline]
    pub(crate) fn code_bits(&self) -> u32 {
        let a = self.sys.seg[seg::CS].attributes;
        if self.in_long_mode() && a & attr::LONG != 0 {
            64
        } else if a & attr::BIG != 0 {
            32
        } else {
            16
        }
    }

    /// Checks a code segment for a transfer that does not change to an outer privilege. `rpl` of the selector counts
    /// for non-conforming segments.
    pub(crate) fn code_segment(&mut self, selector: u16, cpl: u8) -> Result<Segment, Trap> {
        if selector & !3 == 0 {
            return self.selector_fault(vector::GP, 0);
        }
        let mut segment = self.descriptor(selector, vector::GP)?;
        let a = segment.attributes;
        let conforming = a & attr::CONFORMING != 0;
        let rights = if conforming { dpl(a) <= cpl } else { dpl(a) == cpl && (selector & 3) as u8 <= cpl };
        let mixed = self.in_long_mode() && a & attr::LONG != 0 && a & attr::BIG != 0;
        if a & (attr::S | attr::CODE) != attr::S | attr::CODE || !rights || mixed {
            return self.selector_fault(vector::GP, selector);
        }
        if a & attr::PRESENT == 0 {
            return self.selector_fault(vector::NP, selector);
        }
        self.mark_accessed(&mut segment)?;
        segment.selector = selector & !3 | u16::from(cpl);
        Ok(segment)
    }
}
