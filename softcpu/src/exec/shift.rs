//! Shifts and rotates.

use iced_x86::{Instruction, Mnemonic, OpKind};

use crate::cpu::{Cpu, Handler, Op};
use crate::file;
use crate::flags::Flags;
use crate::lower::{LowerCtx, Shape, shape};
use crate::step::Step;
use crate::value::Int;
use crate::{by_size, tri};

/// A shift or rotate by a count that is already masked and not zero.
trait Shift {
    fn apply<T: Int>(flags: &mut Flags, a: T, count: u32) -> T;
}

/// The top bit of a value.
fn top<T: Int>(value: u64) -> bool {
    value >> (T::BITS - 1) & 1 != 0
}

struct Shl;
impl Shift for Shl {
    #[inline(always)]
    fn apply<T: Int>(flags: &mut Flags, a: T, count: u32) -> T {
        // 31 at most for the narrow sizes, 63 for the widest: one bit less first, so that the last bit out is the top.
        let before = a.wide() << (count - 1);
        let result = T::cut(before << 1);
        let cf = top::<T>(before);
        flags.result(result, cf, cf != top::<T>(result.wide()));
        result
    }
}

struct Shr;
impl Shift for Shr {
    #[inline(always)]
    fn apply<T: Int>(flags: &mut Flags, a: T, count: u32) -> T {
        let before = a.wide() >> (count - 1);
        let result = T::cut(before >> 1);
        // With a count beyond one OF is undefined: it is what the last shift by one makes of it.
        flags.result(result, before & 1 != 0, top::<T>(before));
        result
    }
}

struct Sar;
impl Shift for Sar {
    #[inline(always)]
    fn apply<T: Int>(flags: &mut Flags, a: T, count: u32) -> T {
        let before = a.sext() >> (count - 1);
        let result = T::cut((before >> 1) as u64);
        flags.result(result, before & 1 != 0, false);
        result
    }
}

struct Rol;
impl Shift for Rol {
    #[inline(always)]
    fn apply<T: Int>(flags: &mut Flags, a: T, count: u32) -> T {
        let (a, count) = (a.wide(), count % T::BITS);
        let rotated = if count == 0 { a } else { a << count | a >> (T::BITS - count) };
        let result = T::cut(rotated);
        let cf = result.wide() & 1 != 0;
        flags.set_carry_overflow(cf, cf != top::<T>(result.wide()));
        result
    }
}

struct Ror;
impl Shift for Ror {
    #[inline(always)]
    fn apply<T: Int>(flags: &mut Flags, a: T, count: u32) -> T {
        let (a, count) = (a.wide(), count % T::BITS);
        let rotated = if count == 0 { a } else { a >> count | a << (T::BITS - count) };
        let result = T::cut(rotated);
        let cf = top::<T>(result.wide());
        flags.set_carry_overflow(cf, cf != top::<T>(result.wide() << 1));
        result
    }
}

struct Rcl;
impl Shift for Rcl {
    fn apply<T: Int>(flags: &mut Flags, a: T, count: u32) -> T {
        let width = T::BITS + 1;
        let count = count % width;
        let all = u128::from(a.wide()) | u128::from(flags.cf()) << T::BITS;
        let rotated = if count == 0 { all } else { all << count | all >> (width - count) };
        let result = T::cut(rotated as u64);
        let cf = rotated >> T::BITS & 1 != 0;
        flags.set_carry_overflow(cf, cf != top::<T>(result.wide()));
        result
    }
}

struct Rcr;
impl Shift for Rcr {
    fn apply<T: Int>(flags: &mut Flags, a: T, count: u32) -> T {
        let width = T::BITS + 1;
        let count = count % width;
        let all = u128::from(a.wide()) | u128::from(flags.cf()) << T::BITS;
        let rotated = if count == 0 { all } else { all >> count | all << (width - count) };
        let result = T::cut(rotated as u64);
        let cf = rotated >> T::BITS & 1 != 0;
        flags.set_carry_overflow(cf, top::<T>(result.wide()) != top::<T>(result.wide() << 1));
        result
    }
}

/// The count's bits that matter.
fn mask<T: Int>() -> u32 {
    if T::BITS == 64 { 63 } else { 31 }
}

fn r_imm<O: Shift, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    on_register::<O, T>(cpu, op, op.imm as u32 & mask::<T>())
}

fn r_cl<O: Shift, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let count = u32::from(cpu.reg::<u8>(file::RCX)) & mask::<T>();
    on_register::<O, T>(cpu, op, count)
}

fn m_imm<O: Shift, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    on_memory::<O, T>(cpu, op, op.imm as u32 & mask::<T>())
}

fn m_cl<O: Shift, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let count = u32::from(cpu.reg::<u8>(file::RCX)) & mask::<T>();
    on_memory::<O, T>(cpu, op, count)
}

#[inline(always)]
fn on_register<O: Shift, T: Int>(cpu: &mut Cpu, op: &Op, count: u32) -> Step {
    let a = cpu.reg::<T>(op.reg1);
    // A count of zero still clears the upper half of a 32-bit register.
    let result = if count == 0 { a } else { O::apply(&mut cpu.flags, a, count) };
    cpu.set_reg(op.reg1, result);
    Step::Next
}

#[inline(always)]
fn on_memory<O: Shift, T: Int>(cpu: &mut Cpu, op: &Op, count: u32) -> Step {
    let change = |cpu: &mut Cpu, a| if count == 0 { a } else { O::apply(&mut cpu.flags, a, count) };
    cpu.modify::<T>(op, cpu.ea(op), change)
}

/// SHLD (`LEFT`) or SHRD of `a`, bits coming from `b`. The result for counts beyond 16 of 16-bit operands, which the
/// manual leaves undefined, is that of the 48-bit rotation processors do.
fn double<T: Int, const LEFT: bool>(flags: &mut Flags, a: T, b: T, count: u32) -> T {
    let (bits, wide) = (T::BITS, u128::from(a.wide()));
    let other = u128::from(b.wide());
    let (result, cf) = if LEFT {
        let joined = wide << bits | other;
        let third = if bits == 16 { joined << 16 | wide } else { joined };
        let span = if bits == 16 { 48 } else { 2 * bits };
        (third >> (span - bits - count), third >> (span - count) & 1 != 0)
    } else {
        let joined = other << bits | wide;
        let third = if bits == 16 { wide << 32 | joined } else { joined };
        (third >> count, third >> (count - 1) & 1 != 0)
    };
    let result = T::cut(result as u64);
    flags.result(result, cf, top::<T>(result.wide()) != top::<T>(a.wide()));
    result
}

#[inline(always)]
fn double_count<T: Int, const CL: bool>(cpu: &Cpu, op: &Op) -> u32 {
    let count = if CL { u32::from(cpu.reg::<u8>(file::RCX)) } else { op.imm as u32 };
    count & mask::<T>()
}

fn double_r<const LEFT: bool, const CL: bool, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let count = double_count::<T, CL>(cpu, op);
    let (a, b) = (cpu.reg::<T>(op.reg1), cpu.reg::<T>(op.reg2));
    let result = if count == 0 { a } else { double::<T, LEFT>(&mut cpu.flags, a, b, count) };
    cpu.set_reg(op.reg1, result);
    Step::Next
}

fn double_m<const LEFT: bool, const CL: bool, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let count = double_count::<T, CL>(cpu, op);
    let b = cpu.reg::<T>(op.reg1);
    if count == 0 {
        tri!(cpu.load_to_write::<T>(op, cpu.ea(op)));
        return Step::Next;
    }
    cpu.modify::<T>(op, cpu.ea(op), |cpu, a| double::<T, LEFT>(&mut cpu.flags, a, b, count))
}

macro_rules! by_double {
    ($shape:expr, $f:ident, $left:literal, $cl:literal) => {
        match $shape.bytes {
            2 => $f::<$left, $cl, u16> as Handler,
            4 => $f::<$left, $cl, u32>,
            8 => $f::<$left, $cl, u64>,
            _ => return None,
        }
    };
}

fn pick_double(instr: &Instruction) -> Option<Handler> {
    let shape = shape(instr);
    let memory = shape.kind == Shape::MemReg;
    let by_cl = instr.op_kind(2) == OpKind::Register;
    Some(match (instr.mnemonic() == Mnemonic::Shld, memory, by_cl) {
        (true, false, false) => by_double!(shape, double_r, true, false),
        (true, false, true) => by_double!(shape, double_r, true, true),
        (true, true, false) => by_double!(shape, double_m, true, false),
        (true, true, true) => by_double!(shape, double_m, true, true),
        (false, false, false) => by_double!(shape, double_r, false, false),
        (false, false, true) => by_double!(shape, double_r, false, true),
        (false, true, false) => by_double!(shape, double_m, false, false),
        (false, true, true) => by_double!(shape, double_m, false, true),
    })
}

fn pick<O: Shift>(instr: &Instruction) -> Option<Handler> {
    let shape = shape(instr);
    Some(match shape.kind {
        Shape::RegImm => by_size!(shape.bytes, r_imm, O),
        Shape::RegReg => by_size!(shape.bytes, r_cl, O),
        Shape::MemImm => by_size!(shape.bytes, m_imm, O),
        Shape::MemReg => by_size!(shape.bytes, m_cl, O),
        _ => return None,
    })
}

/// The operation of a shift or rotate, if it is one.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    use Mnemonic as M;
    let run = match instr.mnemonic() {
        M::Shl | M::Sal => pick::<Shl>(instr)?,
        M::Shr => pick::<Shr>(instr)?,
        M::Sar => pick::<Sar>(instr)?,
        M::Rol => pick::<Rol>(instr)?,
        M::Ror => pick::<Ror>(instr)?,
        M::Rcl => pick::<Rcl>(instr)?,
        M::Rcr => pick::<Rcr>(instr)?,
        M::Shld | M::Shrd => pick_double(instr)?,
        _ => return None,
    };
    Some(ctx.op(instr, run))
}
