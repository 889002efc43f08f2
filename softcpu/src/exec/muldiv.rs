//! MUL, IMUL, DIV, IDIV.

use iced_x86::{Instruction, Mnemonic, OpKind};

use crate::cpu::{Cpu, Handler, Op};
use crate::file;
use crate::lower::{LowerCtx, Shape, shape};
use crate::step::Step;
use crate::value::Int;
use crate::vector;
use crate::{by_size, tri};

/// The double-width product to AX or RDX:RAX's parts; CF and OF say whether the upper half matters. The other flags,
/// undefined by the manual, follow the lower half.
#[inline(always)]
fn multiply<T: Int, const SIGNED: bool>(cpu: &mut Cpu, b: T) {
    let a = cpu.reg::<T>(file::RAX);
    let product = if SIGNED {
        (i128::from(a.sext()) * i128::from(b.sext())) as u128
    } else {
        u128::from(a.wide()) * u128::from(b.wide())
    };
    let (low, high) = (T::cut(product as u64), T::cut((product >> T::BITS) as u64));
    let matters = if SIGNED { high.sext() != low.sext() >> 63 } else { high.wide() != 0 };
    if T::BITS == 8 {
        cpu.set_reg(file::RAX, product as u16);
    } else {
        cpu.set_reg(file::RAX, low);
        cpu.set_reg(file::RDX, high);
    }
    cpu.flags.result(low, matters, matters);
}

fn multiply_r<const SIGNED: bool, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let b = cpu.reg::<T>(op.reg1);
    multiply::<T, SIGNED>(cpu, b);
    Step::Next
}

fn multiply_m<const SIGNED: bool, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let b = tri!(cpu.load::<T>(op, cpu.ea(op)));
    multiply::<T, SIGNED>(cpu, b);
    Step::Next
}

#[inline(always)]
fn product<T: Int>(cpu: &mut Cpu, a: T, b: T) -> T {
    let exact = i128::from(a.sext()) * i128::from(b.sext());
    let result = T::cut(exact as u64);
    let lost = i128::from(result.sext()) != exact;
    cpu.flags.result(result, lost, lost);
    result
}

/// `reg1 *= reg2`.
fn imul2_r<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let (a, b) = (cpu.reg::<T>(op.reg1), cpu.reg::<T>(op.reg2));
    let result = product(cpu, a, b);
    cpu.set_reg(op.reg1, result);
    Step::Next
}

fn imul2_m<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let b = tri!(cpu.load::<T>(op, cpu.ea(op)));
    let a = cpu.reg::<T>(op.reg1);
    let result = product(cpu, a, b);
    cpu.set_reg(op.reg1, result);
    Step::Next
}

/// `reg1 = reg2 * imm`.
fn imul3_r<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let a = cpu.reg::<T>(op.reg2);
    let result = product(cpu, a, T::cut(op.imm));
    cpu.set_reg(op.reg1, result);
    Step::Next
}

fn imul3_m<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let a = tri!(cpu.load::<T>(op, cpu.ea(op)));
    let result = product(cpu, a, T::cut(op.imm));
    cpu.set_reg(op.reg1, result);
    Step::Next
}

/// Quotient and remainder, or nothing when #DE is due.
#[inline(always)]
fn quotient<T: Int, const SIGNED: bool>(high: T, low: T, by: T) -> Option<(T, T)> {
    let dividend = u128::from(high.wide()) << T::BITS | u128::from(low.wide());
    if by.wide() == 0 {
        return None;
    }
    if SIGNED {
        let unused = 128 - 2 * T::BITS;
        let dividend = ((dividend << unused) as i128) >> unused;
        let by = i128::from(by.sext());
        let (quotient, remainder) = (dividend.checked_div(by)?, dividend.checked_rem(by)?);
        let result = T::cut(quotient as u64);
        (i128::from(result.sext()) == quotient).then_some((result, T::cut(remainder as u64)))
    } else if high.wide() == 0 {
        // The usual case needs no wide division.
        Some((T::cut(low.wide() / by.wide()), T::cut(low.wide() % by.wide())))
    } else {
        let by = u128::from(by.wide());
        let (quotient, remainder) = (dividend / by, dividend % by);
        (quotient >> T::BITS == 0).then_some((T::cut(quotient as u64), T::cut(remainder as u64)))
    }
}

#[inline(always)]
fn divide<T: Int, const SIGNED: bool>(cpu: &mut Cpu, by: T) -> Step {
    let (high, low) = if T::BITS == 8 {
        (cpu.reg::<T>(file::AH), cpu.reg::<T>(file::RAX))
    } else {
        (cpu.reg::<T>(file::RDX), cpu.reg::<T>(file::RAX))
    };
    let Some((quotient, remainder)) = quotient::<T, SIGNED>(high, low, by) else {
        return cpu.raise(vector::DE, None);
    };
    cpu.set_reg(file::RAX, quotient);
    cpu.set_reg(if T::BITS == 8 { file::AH } else { file::RDX }, remainder);
    Step::Next
}

fn divide_r<const SIGNED: bool, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let by = cpu.reg::<T>(op.reg1);
    divide::<T, SIGNED>(cpu, by)
}

fn divide_m<const SIGNED: bool, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let by = tri!(cpu.load::<T>(op, cpu.ea(op)));
    divide::<T, SIGNED>(cpu, by)
}

macro_rules! one_operand {
    ($shape:expr, $r:ident, $m:ident, $signed:literal) => {
        match ($shape.kind, $shape.bytes) {
            (Shape::Reg, 1) => $r::<$signed, u8> as Handler,
            (Shape::Reg, 2) => $r::<$signed, u16>,
            (Shape::Reg, 4) => $r::<$signed, u32>,
            (Shape::Reg, _) => $r::<$signed, u64>,
            (_, 1) => $m::<$signed, u8>,
            (_, 2) => $m::<$signed, u16>,
            (_, 4) => $m::<$signed, u32>,
            (_, _) => $m::<$signed, u64>,
        }
    };
}

/// The operation of a multiplication or division, if it is one.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    use Mnemonic as M;
    let shape = shape(instr);
    let run = match (instr.mnemonic(), instr.op_count()) {
        (M::Mul, _) => one_operand!(shape, multiply_r, multiply_m, false),
        (M::Imul, 1) => one_operand!(shape, multiply_r, multiply_m, true),
        (M::Imul, 2) if instr.op_kind(1) == OpKind::Register => by_size!(shape.bytes, imul2_r),
        (M::Imul, 2) => by_size!(shape.bytes, imul2_m),
        (M::Imul, _) if instr.op_kind(1) == OpKind::Register => by_size!(shape.bytes, imul3_r),
        (M::Imul, _) => by_size!(shape.bytes, imul3_m),
        (M::Div, _) => one_operand!(shape, divide_r, divide_m, false),
        (M::Idiv, _) => one_operand!(shape, divide_r, divide_m, true),
        _ => return None,
    };
    Some(ctx.op(instr, run))
}
