//! Far transfers: IRET, far JMP, CALL and RET, INT n, SYSCALL and SYSRET, SYSENTER and SYSEXIT.

use super::interrupts::Source;
use crate::control::Efer;
use crate::cpu::{Cpu, Op};
use crate::descriptor::{attr, dpl};
use crate::flags;
use crate::mem::access::canonical;
use crate::state::{Segment, reg, seg};
use crate::step::{Step, Trap};
use crate::tri;
use crate::value::Int;
use crate::vector;

/// A flat segment, as the fast system calls make them.
fn flat(selector: u16, code: bool, privilege: u16, long: bool) -> Segment {
    let kind = if code { attr::CODE | attr::WRITABLE } else { attr::WRITABLE };
    let size = if long { attr::LONG } else { attr::BIG };
    let attributes = kind | attr::ACCESSED | attr::S | privilege << 5 | attr::PRESENT | size | attr::GRANULAR;
    Segment { selector, base: 0, limit: !0, attributes }
}

impl Cpu {
    fn set_privilege(&mut self, cs: Segment, ss: Segment) {
        self.sys.seg[seg::CS] = cs;
        self.sys.seg[seg::SS] = ss;
        self.segments_changed();
    }

    /// Data segments that an outer privilege may not use become null.
    fn drop_inner_segments(&mut self, cpl: u8) {
        for which in [seg::ES, seg::DS, seg::FS, seg::GS] {
            let a = self.sys.seg[which].attributes;
            let conforming = a & (attr::CODE | attr::CONFORMING) == attr::CODE | attr::CONFORMING;
            if !conforming && a & attr::PRESENT != 0 && dpl(a) < cpl {
                self.sys.seg[which] = Segment::default();
            }
        }
        self.segments_changed();
    }

    /// What IRET and far RET share: a new code segment at the same or an outer privilege, and its stack.
    fn leave_to(&mut self, selector: u16, rip: u64, stack: Option<(u16, u64)>) -> Result<(), Trap> {
        let rpl = (selector & 3) as u8;
        let cpl = self.cpl();
        if rpl < cpl {
            return self.selector_fault(vector::GP, selector);
        }
        let cs = self.code_segment(selector, rpl)?;
        let long = cs.attributes & attr::LONG != 0 && self.in_long_mode();
        self.check_target(&cs, rip)?;
        if let Some((ss_selector, rsp)) = stack {
            let ss = self.returned_stack(ss_selector, rpl, long)?;
            self.set_privilege(cs, ss);
            // A 16-bit stack takes 16 bits, and what was in bits 16 to 31 shows (Linux's ESPFIX64 counts on it).
            self.gpr[reg::RSP] = match self.stack_mask {
                0xffff => self.gpr[reg::RSP] & 0xffff_0000 | rsp & 0xffff,
                mask => rsp & mask,
            };
        } else {
            self.sys.seg[seg::CS] = cs;
            self.segments_changed();
        }
        self.rip = rip;
        if rpl > cpl {
            self.drop_inner_segments(rpl);
        }
        Ok(())
    }

    /// #GP for a target that is not in the code segment.
    fn check_target(&mut self, cs: &Segment, rip: u64) -> Result<(), Trap> {
        let long = cs.attributes & attr::LONG != 0 && self.in_long_mode();
        if (long && !canonical(rip)) || (!long && rip > u64::from(cs.limit)) {
            return self.selector_fault(vector::GP, 0);
        }
        Ok(())
    }

    fn returned_stack(&mut self, selector: u16, cpl: u8, long: bool) -> Result<Segment, Trap> {
        if selector & !3 == 0 {
            if !long || cpl == 3 || (selector & 3) as u8 != cpl {
                return self.selector_fault(vector::GP, 0);
            }
            let mut null = flat(selector, false, u16::from(cpl), false);
            null.selector = selector;
            return Ok(null);
        }
        let mut ss = self.descriptor(selector, vector::GP)?;
        let a = ss.attributes;
        let data = a & (attr::S | attr::CODE | attr::WRITABLE) == attr::S | attr::WRITABLE;
        if !data || (selector & 3) as u8 != cpl || dpl(a) != cpl {
            return self.selector_fault(vector::GP, selector);
        }
        if a & attr::PRESENT == 0 {
            return self.selector_fault(vector::SS, selector);
        }
        self.mark_accessed(&mut ss)?;
        Ok(ss)
    }
}

/// IRET of operand size `T`. In long mode the stack pointer always comes off the stack.
pub(super) fn iret<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    if cpu.in_real_mode() {
        return super::real::iret::<T>(cpu, op);
    }
    if cpu.control & flags::NT != 0 || !cpu.in_long_mode() {
        return cpu.raise(vector::GP, Some(0));
    }
    let at = cpu.gpr[reg::RSP];
    let mut words = [0u64; 5];
    let long = cpu.in_long_code();
    let outward;
    {
        for (n, word) in words.iter_mut().take(3).enumerate() {
            *word = tri!(cpu.load_stack::<T>(op, at.wrapping_add((n * T::SIZE) as u64))).wide();
        }
        outward = long || (words[1] & 3) as u8 != cpu.cpl();
        if outward {
            for (n, word) in words.iter_mut().enumerate().skip(3) {
                *word = tri!(cpu.load_stack::<T>(op, at.wrapping_add((n * T::SIZE) as u64))).wide();
            }
        }
    }
    let [rip, cs, new_flags, rsp, ss] = words;
    let old_cpl = cpu.cpl();
    let iopl = (cpu.control & flags::IOPL) >> 12;
    let above = cpu.moved_stack(at.wrapping_add(3 * T::SIZE as u64));
    tri!(cpu.leave_to(cs as u16, rip, outward.then_some((ss as u16, rsp))));
    if !outward {
        cpu.gpr[reg::RSP] = above;
    }
    let mut allowed = flags::STATUS | flags::TF | flags::DF | flags::NT | flags::AC | flags::ID | flags::RF;
    if old_cpl == 0 {
        allowed |= flags::IOPL;
    }
    if u64::from(old_cpl) <= iopl {
        allowed |= flags::IF;
    }
    if T::BITS == 16 {
        allowed &= 0xffff;
    }
    let before = cpu.rflags();
    cpu.set_rflags(before & !allowed & !flags::RF | new_flags & allowed);
    cpu.sys.nmi_blocked = false;
    Step::Leave
}

/// Far RET of operand size `T`, with the bytes to drop in the immediate.
pub(super) fn far_ret<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let at = cpu.gpr[reg::RSP];
    let size = T::SIZE as u64;
    let drop = op.imm & 0xffff;
    let rip = tri!(cpu.load_stack::<T>(op, at)).wide();
    let cs = tri!(cpu.load_stack::<T>(op, at.wrapping_add(size))).wide() as u16;
    let above = at.wrapping_add(2 * size).wrapping_add(drop);
    if cpu.in_real_mode() {
        tri!(cpu.go_to_real(cs, rip));
        cpu.gpr[reg::RSP] = cpu.moved_stack(above);
        return Step::Leave;
    }
    if (cs & 3) as u8 > cpu.cpl() {
        let rsp = tri!(cpu.load_stack::<T>(op, above)).wide();
        let ss = tri!(cpu.load_stack::<T>(op, above.wrapping_add(size))).wide() as u16;
        tri!(cpu.leave_to(cs, rip, Some((ss, rsp.wrapping_add(drop)))));
    } else {
        let above = cpu.moved_stack(above);
        tri!(cpu.leave_to(cs, rip, None));
        cpu.gpr[reg::RSP] = above;
    }
    Step::Leave
}

/// A far pointer in memory: an offset of size `T`, then the selector.
fn far_pointer<T: Int>(cpu: &mut Cpu, op: &Op) -> Result<(u16, u64), Trap> {
    let size = T::SIZE as u64;
    let rip = cpu.load::<T>(op, cpu.part_address(op, 0, size))?.wide();
    let selector = cpu.load::<u16>(op, cpu.part_address(op, size, 2))?;
    Ok((selector, rip))
}

/// The code segment of a far jump or call, which keeps the privilege.
fn far_target(cpu: &mut Cpu, selector: u16, rip: u64) -> Result<Segment, Trap> {
    let cpl = cpu.cpl();
    let cs = match cpu.in_real_mode() {
        true => cpu.real_segment(seg::CS, selector),
        false => cpu.code_segment(selector, cpl)?,
    };
    cpu.check_target(&cs, rip)?;
    Ok(cs)
}

/// Far JMP through memory.
pub(super) fn far_jmp<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let (selector, rip) = tri!(far_pointer::<T>(cpu, op));
    far_jmp_to(cpu, selector, rip)
}

/// Far JMP to a pointer in the instruction.
pub(super) fn far_jmp_direct(cpu: &mut Cpu, op: &Op) -> Step {
    far_jmp_to(cpu, op.aux, op.imm)
}

fn far_jmp_to(cpu: &mut Cpu, selector: u16, rip: u64) -> Step {
    let cs = tri!(far_target(cpu, selector, rip));
    cpu.sys.seg[seg::CS] = cs;
    cpu.segments_changed();
    cpu.rip = rip;
    Step::Leave
}

/// Far CALL through memory.
pub(super) fn far_call<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let (selector, rip) = tri!(far_pointer::<T>(cpu, op));
    far_call_to::<T>(cpu, op, selector, rip)
}

/// Far CALL to a pointer in the instruction.
pub(super) fn far_call_direct<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    far_call_to::<T>(cpu, op, op.aux, op.imm)
}

fn far_call_to<T: Int>(cpu: &mut Cpu, op: &Op, selector: u16, rip: u64) -> Step {
    let cs = tri!(far_target(cpu, selector, rip));
    let size = T::SIZE as u64;
    let sp = cpu.gpr[reg::RSP];
    let old_cs = u64::from(cpu.sys.seg[seg::CS].selector);
    let back = cpu.following(op);
    for (n, word) in [(1, old_cs), (2, back)] {
        let slot = sp.wrapping_sub(n * size);
        if cpu.store_stack(op, slot, T::cut(word)) == Step::Trap {
            return Step::Trap;
        }
    }
    cpu.set_stack::<T>(sp.wrapping_sub(2 * size));
    cpu.sys.seg[seg::CS] = cs;
    cpu.segments_changed();
    cpu.rip = rip;
    Step::Leave
}

/// INT n and INT3: the vector is the immediate.
pub(super) fn int(cpu: &mut Cpu, op: &Op) -> Step {
    through_gate(cpu, op, Source::Software)
}

/// INT1 (Intel SDM vol. 2, INT n): a debug exception that no gate's privilege keeps anyone from.
pub(super) fn int1(cpu: &mut Cpu, op: &Op) -> Step {
    through_gate(cpu, op, Source::Privileged)
}

/// INTO, outside 64-bit code.
pub(super) fn into(cpu: &mut Cpu, op: &Op) -> Step {
    if cpu.flags.of() { int(cpu, op) } else { Step::Next }
}

fn through_gate(cpu: &mut Cpu, op: &Op, source: Source) -> Step {
    let here = cpu.rip;
    cpu.rip = cpu.following(op);
    match cpu.interrupt(op.imm as u8, None, source) {
        Ok(()) => {
            // The gate has cleared TF: its handler is not stepped into (Intel SDM vol. 3, 19.3.1.4).
            cpu.trap_held = true;
            if source == Source::Privileged {
                cpu.end_detection();
            }
            Step::Leave
        }
        Err(Trap) => {
            cpu.rip = here;
            Step::Trap
        }
    }
}

/// BOUND, outside 64-bit code: #BR for a signed index outside a pair of bounds of its size.
pub(super) fn bound<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let size = T::SIZE as u64;
    let least = tri!(cpu.load::<T>(op, cpu.part_address(op, 0, size))).sext();
    let most = tri!(cpu.load::<T>(op, cpu.part_address(op, size, size))).sext();
    if (least..=most).contains(&cpu.reg::<T>(op.reg1).sext()) {
        return Step::Next;
    }
    cpu.raise(vector::BR, None)
}

pub(super) fn syscall(cpu: &mut Cpu, op: &Op) -> Step {
    if !cpu.sys.has_efer(Efer::SCE) || !cpu.in_long_mode() {
        return cpu.raise(vector::UD, None);
    }
    let long = cpu.in_long_code();
    cpu.gpr[reg::RCX] = cpu.following(op) & cpu.linear_mask;
    cpu.gpr[reg::R11] = cpu.rflags() & !flags::RF;
    let msr = &cpu.sys.msr;
    let (target, mask, star) = (if long { msr.lstar } else { msr.cstar }, msr.fmask, msr.star);
    let selector = (star >> 32) as u16 & !3;
    let kept = cpu.rflags() & !mask & !flags::RF;
    cpu.set_rflags(kept);
    // It is stepped over if TF is set behind it: Linux masks TF, and takes no step at its entry.
    cpu.trap_held |= kept & flags::TF == 0;
    cpu.set_privilege(flat(selector, true, 0, true), flat(selector.wrapping_add(8), false, 0, false));
    cpu.rip = target;
    Step::Jump
}

/// SYSRET; the 64-bit form when `T` is `u64`.
pub(super) fn sysret<T: Int>(cpu: &mut Cpu, _: &Op) -> Step {
    if !cpu.sys.has_efer(Efer::SCE) || !cpu.in_long_mode() {
        return cpu.raise(vector::UD, None);
    }
    let rcx = cpu.gpr[reg::RCX];
    if !cpu.is_kernel() || (T::BITS == 64 && !canonical(rcx)) {
        return cpu.raise(vector::GP, Some(0));
    }
    const SETTABLE: u64 = 0x3c_7fd7;
    cpu.set_rflags(cpu.gpr[reg::R11] & SETTABLE);
    let base = (cpu.sys.msr.star >> 48) as u16;
    let long = T::BITS == 64;
    let cs = if long { base.wrapping_add(16) } else { base } | 3;
    cpu.set_privilege(flat(cs, true, 3, long), flat(base.wrapping_add(8) | 3, false, 3, false));
    cpu.rip = if long { rcx } else { rcx & 0xffff_ffff };
    Step::Leave
}

pub(super) fn sysenter(cpu: &mut Cpu, _: &Op) -> Step {
    let selector = cpu.sys.msr.sysenter_cs as u16 & !3;
    if selector == 0 || cpu.in_real_mode() {
        return cpu.raise(vector::GP, Some(0));
    }
    let long = cpu.in_long_mode();
    cpu.control &= !(flags::IF | flags::VM);
    cpu.set_privilege(flat(selector, true, 0, long), flat(selector.wrapping_add(8), false, 0, false));
    cpu.gpr[reg::RSP] = cpu.sys.msr.sysenter_esp;
    cpu.rip = cpu.sys.msr.sysenter_eip;
    Step::Leave
}

/// SYSEXIT; the 64-bit form when `T` is `u64`.
pub(super) fn sysexit<T: Int>(cpu: &mut Cpu, _: &Op) -> Step {
    let base = cpu.sys.msr.sysenter_cs as u16 & !3;
    let (rip, rsp) = (cpu.gpr[reg::RDX], cpu.gpr[reg::RCX]);
    let long = T::BITS == 64;
    if base == 0 || cpu.in_real_mode() || !cpu.is_kernel() || (long && !(canonical(rip) && canonical(rsp))) {
        return cpu.raise(vector::GP, Some(0));
    }
    let cs = base.wrapping_add(if long { 32 } else { 16 }) | 3;
    cpu.set_privilege(flat(cs, true, 3, long), flat(cs.wrapping_add(8), false, 3, false));
    cpu.rip = T::cut(rip).wide();
    cpu.gpr[reg::RSP] = T::cut(rsp).wide();
    Step::Leave
}
