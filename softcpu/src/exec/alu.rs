//! ADD to CMP, TEST, INC, DEC, NEG, NOT, XADD, CMPXCHG.

use iced_x86::{Instruction, Mnemonic};

use crate::cpu::{Cpu, Handler, Op};
use crate::file;
use crate::lower::{LowerCtx, Shape, Shaped, shape};
use crate::step::Step;
use crate::value::Int;
use crate::{by_size, tri};

/// A two-operand operation that sets the flags.
trait Binary {
    /// Whether the result goes to the first operand.
    const WRITES: bool = true;
    fn apply<T: Int>(cpu: &mut Cpu, a: T, b: T) -> T;
}

macro_rules! binary {
    ($($name:ident $(writes $w:literal)?: |$cpu:ident, $a:ident, $b:ident| $body:expr;)*) => {$(
        struct $name;
        impl Binary for $name {
            $(const WRITES: bool = $w;)?
            #[inline(always)]
            fn apply<T: Int>($cpu: &mut Cpu, $a: T, $b: T) -> T { $body }
        }
    )*};
}

#[inline(always)]
fn logic<T: Int>(cpu: &mut Cpu, result: u64) -> T {
    let result = T::cut(result);
    cpu.flags.logic(result);
    result
}

binary! {
    Add: |cpu, a, b| cpu.flags.add(a, b, false);
    Adc: |cpu, a, b| { let c = cpu.flags.cf(); cpu.flags.add(a, b, c) };
    Sub: |cpu, a, b| cpu.flags.sub(a, b, false);
    Sbb: |cpu, a, b| { let c = cpu.flags.cf(); cpu.flags.sub(a, b, c) };
    Cmp writes false: |cpu, a, b| cpu.flags.sub(a, b, false);
    And: |cpu, a, b| logic(cpu, a.wide() & b.wide());
    Or: |cpu, a, b| logic(cpu, a.wide() | b.wide());
    Xor: |cpu, a, b| logic(cpu, a.wide() ^ b.wide());
    Test writes false: |cpu, a, b| logic(cpu, a.wide() & b.wide());
}

fn rr<O: Binary, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let (a, b) = (cpu.reg::<T>(op.reg1), cpu.reg::<T>(op.reg2));
    let result = O::apply(cpu, a, b);
    if O::WRITES {
        cpu.set_reg(op.reg1, result);
    }
    Step::Next
}

fn ri<O: Binary, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let a = cpu.reg::<T>(op.reg1);
    let result = O::apply(cpu, a, T::cut(op.imm));
    if O::WRITES {
        cpu.set_reg(op.reg1, result);
    }
    Step::Next
}

fn rm<O: Binary, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let at = cpu.ea(op);
    let Some(b) = cpu.probe::<T>(at) else { return rm_slow::<O, T>(cpu, op) };
    let a = cpu.reg::<T>(op.reg1);
    let result = O::apply(cpu, a, b);
    if O::WRITES {
        cpu.set_reg(op.reg1, result);
    }
    Step::Next
}

#[cold]
#[inline(never)]
fn rm_slow<O: Binary, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let b = tri!(cpu.load::<T>(op, cpu.ea(op)));
    let a = cpu.reg::<T>(op.reg1);
    let result = O::apply(cpu, a, b);
    if O::WRITES {
        cpu.set_reg(op.reg1, result);
    }
    Step::Next
}

fn mr<O: Binary, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let b = cpu.reg::<T>(op.reg1);
    to_memory::<O, T>(cpu, op, b)
}

fn mi<O: Binary, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    to_memory::<O, T>(cpu, op, T::cut(op.imm))
}

#[inline(always)]
fn to_memory<O: Binary, T: Int>(cpu: &mut Cpu, op: &Op, b: T) -> Step {
    let at = cpu.ea(op);
    if O::WRITES {
        return cpu.modify::<T>(op, at, |cpu, a| O::apply(cpu, a, b));
    }
    let Some(a) = cpu.probe::<T>(at) else { return compare_slow::<O, T>(cpu, op, b) };
    O::apply(cpu, a, b);
    Step::Next
}

#[cold]
#[inline(never)]
fn compare_slow<O: Binary, T: Int>(cpu: &mut Cpu, op: &Op, b: T) -> Step {
    let a = tri!(cpu.load::<T>(op, cpu.ea(op)));
    O::apply(cpu, a, b);
    Step::Next
}

/// XOR of a register with itself: zero, without reading it.
fn zero<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    cpu.flags.logic(T::NIL);
    cpu.set_reg(op.reg1, T::NIL);
    Step::Next
}

/// A one-operand operation.
trait Unary {
    fn apply<T: Int>(cpu: &mut Cpu, a: T) -> T;
}

macro_rules! unary {
    ($($name:ident: |$cpu:ident, $a:ident| $body:expr;)*) => {$(
        struct $name;
        impl Unary for $name {
            #[inline(always)]
            fn apply<T: Int>($cpu: &mut Cpu, $a: T) -> T { $body }
        }
    )*};
}

unary! {
    Inc: |cpu, a| cpu.flags.inc(a);
    Dec: |cpu, a| cpu.flags.dec(a);
    Neg: |cpu, a| cpu.flags.sub(T::NIL, a, false);
    Not: |_cpu, a| T::cut(!a.wide());
}

fn r<O: Unary, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let a = cpu.reg::<T>(op.reg1);
    let result = O::apply(cpu, a);
    cpu.set_reg(op.reg1, result);
    Step::Next
}

fn m<O: Unary, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    cpu.modify::<T>(op, cpu.ea(op), |cpu, a| O::apply(cpu, a))
}

fn xadd_r<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let (a, b) = (cpu.reg::<T>(op.reg1), cpu.reg::<T>(op.reg2));
    let sum = cpu.flags.add(a, b, false);
    cpu.set_reg(op.reg2, a);
    cpu.set_reg(op.reg1, sum);
    Step::Next
}

fn xadd_m<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let b = cpu.reg::<T>(op.reg1);
    cpu.modify::<T>(op, cpu.ea(op), |cpu, a| {
        let sum = cpu.flags.add(a, b, false);
        cpu.set_reg(op.reg1, a);
        sum
    })
}

fn cmpxchg_r<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let (accumulator, old, new) = (cpu.reg::<T>(file::RAX), cpu.reg::<T>(op.reg1), cpu.reg::<T>(op.reg2));
    cpu.flags.sub(accumulator, old, false);
    if cpu.flags.zf() {
        cpu.set_reg(op.reg1, new);
    } else {
        cpu.set_reg(file::RAX, old);
    }
    Step::Next
}

/// The destination is written in either case.
fn cmpxchg_m<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let new = cpu.reg::<T>(op.reg1);
    cpu.modify::<T>(op, cpu.ea(op), |cpu, old| {
        let accumulator = cpu.reg::<T>(file::RAX);
        cpu.flags.sub(accumulator, old, false);
        if cpu.flags.zf() {
            new
        } else {
            cpu.set_reg(file::RAX, old);
            old
        }
    })
}

fn cmpxchg8b(cpu: &mut Cpu, op: &Op) -> Step {
    let pair = |cpu: &Cpu, high, low| u64::from(cpu.reg::<u32>(high)) << 32 | u64::from(cpu.reg::<u32>(low));
    let (expected, new) = (pair(cpu, file::RDX, file::RAX), pair(cpu, file::RCX, file::RBX));
    cpu.modify::<u64>(op, cpu.ea(op), |cpu, old| {
        cpu.flags.set_zf(old == expected);
        if old == expected {
            return new;
        }
        cpu.set_reg(file::RAX, old as u32);
        cpu.set_reg(file::RDX, (old >> 32) as u32);
        old
    })
}

fn cmpxchg16b(cpu: &mut Cpu, op: &Op) -> Step {
    let pair =
        |cpu: &Cpu, high, low| u128::from(cpu.reg::<u64>(high)) << 64 | u128::from(cpu.reg::<u64>(low));
    let (expected, new) = (pair(cpu, file::RDX, file::RAX), pair(cpu, file::RCX, file::RBX));
    let at = cpu.ea(op);
    if at & 15 != 0 {
        return cpu.raise(crate::vector::GP, Some(0));
    }
    cpu.modify::<u128>(op, at, |cpu, old| {
        cpu.flags.set_zf(old == expected);
        if old == expected {
            return new;
        }
        cpu.set_reg(file::RAX, old as u64);
        cpu.set_reg(file::RDX, (old >> 64) as u64);
        old
    })
}

fn pick_binary<O: Binary>(shape: Shaped) -> Option<Handler> {
    Some(match shape.kind {
        Shape::RegReg => by_size!(shape.bytes, rr, O),
        Shape::RegImm => by_size!(shape.bytes, ri, O),
        Shape::RegMem => by_size!(shape.bytes, rm, O),
        Shape::MemReg => by_size!(shape.bytes, mr, O),
        Shape::MemImm => by_size!(shape.bytes, mi, O),
        _ => return None,
    })
}

fn pick_unary<O: Unary>(shape: Shaped) -> Option<Handler> {
    Some(match shape.kind {
        Shape::Reg => by_size!(shape.bytes, r, O),
        Shape::Mem => by_size!(shape.bytes, m, O),
        _ => return None,
    })
}

/// The operation of an arithmetic or logic instruction, if it is one.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    use Mnemonic as M;
    let shape = shape(instr);
    let registers = matches!(shape.kind, Shape::RegReg);
    let same = registers && instr.op_register(0) == instr.op_register(1);
    let run = match instr.mnemonic() {
        M::Xor if same => by_size!(shape.bytes, zero),
        M::Add => pick_binary::<Add>(shape)?,
        M::Adc => pick_binary::<Adc>(shape)?,
        M::Sub => pick_binary::<Sub>(shape)?,
        M::Sbb => pick_binary::<Sbb>(shape)?,
        M::Cmp => pick_binary::<Cmp>(shape)?,
        M::And => pick_binary::<And>(shape)?,
        M::Or => pick_binary::<Or>(shape)?,
        M::Xor => pick_binary::<Xor>(shape)?,
        M::Test => pick_binary::<Test>(shape)?,
        M::Inc => pick_unary::<Inc>(shape)?,
        M::Dec => pick_unary::<Dec>(shape)?,
        M::Neg => pick_unary::<Neg>(shape)?,
        M::Not => pick_unary::<Not>(shape)?,
        M::Xadd if registers => by_size!(shape.bytes, xadd_r),
        M::Xadd => by_size!(shape.bytes, xadd_m),
        M::Cmpxchg if registers => by_size!(shape.bytes, cmpxchg_r),
        M::Cmpxchg => by_size!(shape.bytes, cmpxchg_m),
        M::Cmpxchg8b => cmpxchg8b,
        M::Cmpxchg16b => cmpxchg16b,
        _ => return None,
    };
    Some(ctx.op(instr, run))
}
