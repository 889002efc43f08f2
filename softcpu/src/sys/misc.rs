//! Segment moves, interrupt flag, HLT, and the instructions that look at descriptors.

use iced_x86::Instruction;

use crate::cpu::{Cpu, Handler, Op};
use crate::descriptor::{attr, dpl, unpack};
use crate::flags::{IF, IOPL};
use crate::lower::{Shape, shape};
use crate::state::seg;
use crate::step::{Step, Trap};
use crate::tri;
use crate::value::Int;
use crate::vector;

pub(super) fn mov_to_segment<const MEMORY: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    let which = usize::from(op.reg1) % 6;
    if which == seg::CS {
        return cpu.raise(vector::UD, None);
    }
    let selector = if MEMORY { tri!(cpu.load::<u16>(op, cpu.ea(op))) } else { cpu.reg::<u16>(op.reg2) };
    tri!(cpu.load_segment(which, selector));
    cpu.after_segment_load(which)
}

pub(super) fn mov_from_segment<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let selector = cpu.sys.seg[usize::from(op.reg2) % 6].selector;
    cpu.set_reg(op.reg1, T::cut(u64::from(selector)));
    Step::Next
}

pub(super) fn store_segment(cpu: &mut Cpu, op: &Op) -> Step {
    let selector = cpu.sys.seg[usize::from(op.reg1) % 6].selector;
    cpu.store(op, cpu.ea(op), selector)
}

/// LDS, LES, LSS, LFS, LGS: a register of size `T` and the segment register in `aux`, from a far pointer. LSS need not
/// hold interrupts: it loads both halves of the stack pointer.
pub(super) fn load_far<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let size = T::SIZE as u64;
    let offset = tri!(cpu.load::<T>(op, cpu.part_address(op, 0, size)));
    let selector = tri!(cpu.load::<u16>(op, cpu.part_address(op, size, 2)));
    tri!(cpu.load_segment(op.aux as usize % 6, selector));
    cpu.set_reg(op.reg1, offset);
    Step::Next
}

fn may_change_if(cpu: &Cpu) -> bool {
    u64::from(cpu.cpl()) <= (cpu.control & IOPL) >> 12
}

pub(super) fn cli(cpu: &mut Cpu, _: &Op) -> Step {
    if !may_change_if(cpu) {
        return cpu.raise(vector::GP, Some(0));
    }
    cpu.control &= !IF;
    Step::Next
}

/// If interrupts were off, the instruction after STI runs before any is taken.
pub(super) fn sti(cpu: &mut Cpu, _: &Op) -> Step {
    if !may_change_if(cpu) {
        return cpu.raise(vector::GP, Some(0));
    }
    if cpu.control & IF != 0 {
        return Step::Next;
    }
    cpu.control |= IF;
    cpu.sys.interrupt_shadow = true;
    Step::Stop
}

pub(super) fn hlt(cpu: &mut Cpu, _: &Op) -> Step {
    if !cpu.is_kernel() {
        return cpu.raise(vector::GP, Some(0));
    }
    cpu.sys.halted = true;
    Step::Stop
}

pub(super) fn ud(cpu: &mut Cpu, _: &Op) -> Step {
    cpu.raise(vector::UD, None)
}

/// WBINVD, INVD: there is no cache to write back.
pub(super) fn privileged_nop(cpu: &mut Cpu, _: &Op) -> Step {
    if !cpu.is_kernel() {
        return cpu.raise(vector::GP, Some(0));
    }
    Step::Next
}

/// CLFLUSH faults like a load.
pub(super) fn clflush(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(cpu.load::<u8>(op, cpu.ea(op)));
    Step::Next
}

impl Cpu {
    /// The attributes and limit of a descriptor that the running privilege may look at, if it may.
    fn visible(&mut self, selector: u16) -> Result<Option<(u16, u32, u32)>, Trap> {
        if selector & !3 == 0 {
            return Ok(None);
        }
        let Some(at) = self.descriptor_address(selector, 8) else { return Ok(None) };
        let raw = self.load_as::<u64>(self.system(), at)?;
        let segment = unpack(selector, raw);
        let a = segment.attributes;
        let least = self.cpl().max((selector & 3) as u8);
        let open = a & (attr::S | attr::CODE | attr::CONFORMING) == attr::S | attr::CODE | attr::CONFORMING;
        let seen = open || dpl(a) >= least;
        Ok(seen.then_some((a, segment.limit, (raw >> 32) as u32)))
    }
}

/// The selector with its RPL raised to that of another one, if it is less.
fn raised(selector: u16, other: u16) -> Option<u16> {
    (selector & 3 < other & 3).then_some(selector & !3 | other & 3)
}

/// ARPL, which 64-bit code does not have.
pub(super) fn arpl_r(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(cpu.protected_only());
    let raised = raised(cpu.reg(op.reg1), cpu.reg(op.reg2));
    if let Some(selector) = raised {
        cpu.set_reg::<u16>(op.reg1, selector);
    }
    cpu.flags.set_zf(raised.is_some());
    Step::Next
}

pub(super) fn arpl_m(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(cpu.protected_only());
    let other = cpu.reg::<u16>(op.reg1);
    cpu.modify::<u16>(op, cpu.ea(op), |cpu, selector| {
        let raised = raised(selector, other);
        cpu.flags.set_zf(raised.is_some());
        raised.unwrap_or(selector)
    })
}

fn selector<const MEMORY: bool>(cpu: &mut Cpu, op: &Op, register: u8) -> Result<u16, Trap> {
    cpu.protected_only()?;
    if MEMORY { cpu.load::<u16>(op, cpu.ea(op)) } else { Ok(cpu.reg::<u16>(register)) }
}

fn verr<const WRITE: bool, const MEMORY: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    let selector = tri!(selector::<MEMORY>(cpu, op, op.reg1));
    let seen = tri!(cpu.visible(selector));
    let good = seen.is_some_and(|(a, _, _)| {
        let code = a & attr::CODE != 0;
        let second = a & attr::WRITABLE != 0;
        a & attr::S != 0 && if WRITE { !code && second } else { !code || second }
    });
    cpu.flags.set_zf(good);
    Step::Next
}

/// VERR and VERW.
pub(super) fn verify(instr: &Instruction, write: bool) -> Handler {
    match (write, shape(instr).kind == Shape::Mem) {
        (false, false) => verr::<false, false>,
        (false, true) => verr::<false, true>,
        (true, false) => verr::<true, false>,
        (true, true) => verr::<true, true>,
    }
}

/// LSL when `LIMIT`, else LAR.
fn look<const LIMIT: bool, const MEMORY: bool, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let selector = tri!(selector::<MEMORY>(cpu, op, op.reg2));
    let seen = tri!(cpu.visible(selector));
    let value = seen.and_then(|(a, limit, word)| {
        // In long mode the system descriptors are LDT 2, TSS 9 and 11, call gate 12 (LAR only).
        let system = matches!(a & attr::TYPE, 2 | 9 | 11) || (!LIMIT && a & attr::TYPE == 12);
        let known = a & attr::S != 0 || system;
        known.then_some(if LIMIT { limit } else { word & 0x00ff_ff00 })
    });
    if let Some(value) = value {
        cpu.set_reg(op.reg1, T::cut(u64::from(value)));
    }
    cpu.flags.set_zf(value.is_some());
    Step::Next
}

/// LSL and LAR.
pub(super) fn limit_or_access(instr: &Instruction, limit: bool) -> Option<Handler> {
    let shape = shape(instr);
    macro_rules! sized {
        ($limit:literal, $memory:literal) => {
            match shape.bytes {
                2 => look::<$limit, $memory, u16> as Handler,
                4 => look::<$limit, $memory, u32>,
                8 => look::<$limit, $memory, u64>,
                _ => return None,
            }
        };
    }
    Some(match (limit, shape.kind == Shape::RegMem) {
        (false, false) => sized!(false, false),
        (false, true) => sized!(false, true),
        (true, false) => sized!(true, false),
        (true, true) => sized!(true, true),
    })
}
