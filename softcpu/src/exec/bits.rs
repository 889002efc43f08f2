//! Bit tests, bit scans, POPCNT, and the flag instructions.

use iced_x86::{Instruction, Mnemonic};

use crate::cpu::{Cpu, Handler, Op};
use crate::file;
use crate::flags::{AF, CF, PF, SF, ZF};
use crate::lower::{LowerCtx, Shape, shape};
use crate::step::Step;
use crate::value::Int;
use crate::{by_size, flags, tri};

const TEST: u8 = 0;
const SET: u8 = 1;
const RESET: u8 = 2;

fn change<T: Int, const WHAT: u8>(value: T, bit: u32) -> T {
    let mask = 1u64 << bit;
    T::cut(match WHAT {
        TEST => value.wide(),
        SET => value.wide() | mask,
        RESET => value.wide() & !mask,
        _ => value.wide() ^ mask,
    })
}

#[inline(always)]
fn on_register<T: Int, const WHAT: u8>(cpu: &mut Cpu, op: &Op, position: u64) -> Step {
    let bit = position as u32 & (T::BITS - 1);
    let value = cpu.reg::<T>(op.reg1);
    cpu.flags.set_cf(value.wide() >> bit & 1 != 0);
    if WHAT != TEST {
        cpu.set_reg(op.reg1, change::<T, WHAT>(value, bit));
    }
    Step::Next
}

#[inline(always)]
fn on_memory<T: Int, const WHAT: u8>(cpu: &mut Cpu, op: &Op, at: u64, position: u64) -> Step {
    let bit = position as u32 & (T::BITS - 1);
    if WHAT == TEST {
        let value = tri!(cpu.load::<T>(op, at));
        cpu.flags.set_cf(value.wide() >> bit & 1 != 0);
        return Step::Next;
    }
    cpu.modify::<T>(op, at, |cpu, value| {
        cpu.flags.set_cf(value.wide() >> bit & 1 != 0);
        change::<T, WHAT>(value, bit)
    })
}

fn bit_rr<const WHAT: u8, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let position = cpu.reg::<T>(op.reg2).wide();
    on_register::<T, WHAT>(cpu, op, position)
}

fn bit_ri<const WHAT: u8, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    on_register::<T, WHAT>(cpu, op, op.imm)
}

/// A register's bit position reaches beyond the operand, to either side, within the address size ([`Op::imm`] masks it).
fn bit_mr<const WHAT: u8, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let position = cpu.reg::<T>(op.reg1).sext();
    let words = position >> T::BITS.trailing_zeros();
    let offset = cpu.offset(op).wrapping_add((words as u64).wrapping_mul(T::SIZE as u64)) & op.imm;
    let at = cpu.segment_address(op.seg, offset, T::SIZE as u64, WHAT != TEST);
    on_memory::<T, WHAT>(cpu, op, at, position as u64)
}

fn bit_mi<const WHAT: u8, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    on_memory::<T, WHAT>(cpu, op, cpu.ea(op), op.imm)
}

/// BSF and BSR leave the destination unchanged when the source is zero, as AMD documents and Intel's processors do.
#[inline(always)]
fn scan<const UP: bool, T: Int>(cpu: &mut Cpu, op: &Op, source: T) -> Step {
    let value = source.wide();
    if value == 0 {
        cpu.flags.result(T::NIL, false, false);
        return Step::Next;
    }
    let position = if UP { value.trailing_zeros() } else { 63 - value.leading_zeros() };
    cpu.flags.result(T::cut(1), false, false);
    cpu.set_reg(op.reg1, T::cut(u64::from(position)));
    Step::Next
}

fn scan_r<const UP: bool, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let source = cpu.reg::<T>(op.reg2);
    scan::<UP, T>(cpu, op, source)
}

fn scan_m<const UP: bool, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let source = tri!(cpu.load::<T>(op, cpu.ea(op)));
    scan::<UP, T>(cpu, op, source)
}

#[inline(always)]
fn popcnt<T: Int>(cpu: &mut Cpu, op: &Op, source: T) -> Step {
    cpu.flags = flags::Flags::from_bits(if source.wide() == 0 { ZF } else { 0 });
    cpu.set_reg(op.reg1, T::cut(u64::from(source.wide().count_ones())));
    Step::Next
}

fn popcnt_r<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let source = cpu.reg::<T>(op.reg2);
    popcnt(cpu, op, source)
}

fn popcnt_m<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let source = tri!(cpu.load::<T>(op, cpu.ea(op)));
    popcnt(cpu, op, source)
}

fn clc(cpu: &mut Cpu, _: &Op) -> Step {
    cpu.flags.set_cf(false);
    Step::Next
}

fn stc(cpu: &mut Cpu, _: &Op) -> Step {
    cpu.flags.set_cf(true);
    Step::Next
}

fn cmc(cpu: &mut Cpu, _: &Op) -> Step {
    let cf = cpu.flags.cf();
    cpu.flags.set_cf(!cf);
    Step::Next
}

fn cld(cpu: &mut Cpu, _: &Op) -> Step {
    cpu.control &= !flags::DF;
    Step::Next
}

fn std(cpu: &mut Cpu, _: &Op) -> Step {
    cpu.control |= flags::DF;
    Step::Next
}

fn lahf(cpu: &mut Cpu, _: &Op) -> Step {
    let flags = cpu.flags.bits() as u8 | 2;
    cpu.set_reg(file::AH, flags);
    Step::Next
}

fn sahf(cpu: &mut Cpu, _: &Op) -> Step {
    const LOADED: u64 = CF | PF | AF | ZF | SF;
    let loaded = u64::from(cpu.reg::<u8>(file::AH)) & LOADED;
    cpu.flags = flags::Flags::from_bits(cpu.flags.bits() & !LOADED | loaded);
    Step::Next
}

fn pick_bit<const WHAT: u8>(instr: &Instruction) -> Option<Handler> {
    let shape = shape(instr);
    macro_rules! sized {
        ($f:ident) => {
            match shape.bytes {
                2 => $f::<WHAT, u16> as Handler,
                4 => $f::<WHAT, u32>,
                8 => $f::<WHAT, u64>,
                _ => return None,
            }
        };
    }
    Some(match shape.kind {
        Shape::RegReg => sized!(bit_rr),
        Shape::RegImm => sized!(bit_ri),
        Shape::MemReg => sized!(bit_mr),
        Shape::MemImm => sized!(bit_mi),
        _ => return None,
    })
}

fn pick_scan<const UP: bool>(instr: &Instruction) -> Option<Handler> {
    let shape = shape(instr);
    Some(match (shape.kind, shape.bytes) {
        (Shape::RegReg, 2) => scan_r::<UP, u16>,
        (Shape::RegReg, 4) => scan_r::<UP, u32>,
        (Shape::RegReg, _) => scan_r::<UP, u64>,
        (_, 2) => scan_m::<UP, u16>,
        (_, 4) => scan_m::<UP, u32>,
        (_, _) => scan_m::<UP, u64>,
    })
}

/// The operation of a bit or flag instruction, if it is one. TZCNT and LZCNT are not announced: they run as
/// BSF and BSR, as on processors without them.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    use Mnemonic as M;
    let shape = shape(instr);
    let run = match instr.mnemonic() {
        M::Bt => pick_bit::<TEST>(instr)?,
        M::Bts => pick_bit::<SET>(instr)?,
        M::Btr => pick_bit::<RESET>(instr)?,
        M::Btc => pick_bit::<3>(instr)?,
        M::Bsf | M::Tzcnt => pick_scan::<true>(instr)?,
        M::Bsr | M::Lzcnt => pick_scan::<false>(instr)?,
        M::Popcnt if shape.kind == Shape::RegReg => by_size!(shape.bytes, popcnt_r),
        M::Popcnt => by_size!(shape.bytes, popcnt_m),
        M::Clc => clc,
        M::Stc => stc,
        M::Cmc => cmc,
        M::Cld => cld,
        M::Std => std,
        M::Lahf => lahf,
        M::Sahf => sahf,
        _ => return None,
    };
    let mut op = ctx.op(instr, run);
    if matches!(instr.mnemonic(), M::Bt | M::Bts | M::Btr | M::Btc) && shape.kind == Shape::MemReg {
        op.imm = ctx.operand_mask();
        ctx.want_offset();
    }
    Some(op)
}
