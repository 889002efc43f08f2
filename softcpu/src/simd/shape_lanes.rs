//! The shapes that came after SSE2: parts of a register widened, lanes put in and taken out, blends by XMM0, tests and
//! string comparisons.

use super::shape::{Kernel, Place, no_env, sse_usable};
use super::text::{self, Text};
use crate::cpu::{Cpu, Op};
use crate::flags::Flags;
use crate::state::reg;
use crate::step::Step;
use crate::tri;
use crate::value::{Int, Plain};

#[inline(always)]
fn part<P: Place, T: Plain + Into<u128>>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    let b = tri!(P::xmm_part::<T>(cpu, op));
    let first = &mut cpu.fpu.xmm[usize::from(op.reg1 & 15)];
    *first = kernel(&mut no_env(), *first, b, op.imm as u8);
    Step::Next
}

/// XMM and 8 bytes, with no exceptions.
#[inline(always)]
pub fn low_quadword<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    part::<P, u64>(cpu, op, kernel)
}

/// XMM and 4 bytes.
#[inline(always)]
pub fn low_doubleword<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    part::<P, u32>(cpu, op, kernel)
}

/// XMM and 2 bytes.
#[inline(always)]
pub fn low_word<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    part::<P, u16>(cpu, op, kernel)
}

/// INSERTPS: the two bits that choose a lane of the second operand choose nothing in memory.
#[inline(always)]
pub fn insert_single<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    let chosen = if P::MEMORY { 0x3f } else { 0xff };
    part::<P, u32>(cpu, op, |env: &mut _, a, b, imm| kernel(env, a, b, imm & chosen))
}

/// A general register or memory into the lane of XMM that the immediate names.
#[inline(always)]
pub fn insert_lane<P: Place, T: Int + Into<u128>>(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    let value = T::cut(tri!(P::gpr::<T>(cpu, op)) as u64);
    let shift = lane_shift::<T>(op);
    let first = &mut cpu.fpu.xmm[usize::from(op.reg1 & 15)];
    *first = *first & !(u128::from(T::cut(!0).wide()) << shift) | u128::from(value.wide()) << shift;
    Step::Next
}

/// A lane of XMM into a general register, zero above it, or into memory.
#[inline(always)]
pub fn extract_lane<P: Place, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    let from = if P::MEMORY { op.reg1 } else { op.reg2 };
    let value = T::cut((cpu.fpu.xmm[usize::from(from & 15)] >> lane_shift::<T>(op)) as u64);
    if P::MEMORY {
        let address = cpu.ea(op);
        return cpu.store::<T>(op, address, value);
    }
    cpu.set_reg::<u64>(op.reg1, value.wide());
    Step::Next
}

fn lane_shift<T: Int>(op: &Op) -> u32 {
    (op.imm as u32 & (128 / T::BITS - 1)) * T::BITS
}

/// The second operand where the signs of XMM0's lanes say so: the kernel makes the mask of them.
#[inline(always)]
pub fn blend<P: Place>(cpu: &mut Cpu, op: &Op, signs: impl Fn(u128) -> u128) -> Step {
    tri!(sse_usable(cpu));
    let b = tri!(P::xmm(cpu, op));
    let mask = signs(cpu.fpu.xmm[0]);
    let first = &mut cpu.fpu.xmm[usize::from(op.reg1 & 15)];
    *first = *first & !mask | b & mask;
    Step::Next
}

/// XMM and XMM or 16 aligned bytes into RFLAGS.
#[inline(always)]
pub fn test<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    let b = tri!(P::xmm(cpu, op));
    let a = cpu.fpu.xmm[usize::from(op.reg1 & 15)];
    cpu.flags = Flags::from_bits(kernel(&mut no_env(), a, b, 0) as u64);
    Step::Next
}

/// Where a string comparison takes the lengths from.
pub trait Lengths {
    /// A register's, if it is one.
    fn of(register: u64) -> Option<u64>;
}

/// The strings end with a zero.
pub enum Implicit {}
/// EAX and EDX.
pub enum Explicit32 {}
/// RAX and RDX.
pub enum Explicit64 {}

impl Lengths for Implicit {
    fn of(_: u64) -> Option<u64> {
        None
    }
}

impl Lengths for Explicit32 {
    fn of(register: u64) -> Option<u64> {
        Some((register as i32).unsigned_abs().into())
    }
}

impl Lengths for Explicit64 {
    fn of(register: u64) -> Option<u64> {
        Some((register as i64).unsigned_abs())
    }
}

#[inline(always)]
fn compared<P: Place, L: Lengths>(cpu: &mut Cpu, op: &Op) -> Result<u16, crate::step::Trap> {
    sse_usable(cpu)?;
    let imm = op.imm as u8;
    let b = P::xmm_part::<u128>(cpu, op)?;
    let a = cpu.fpu.xmm[usize::from(op.reg1 & 15)];
    let a = Text::new(a, L::of(cpu.gpr[reg::RAX]), imm);
    let b = Text::new(b, L::of(cpu.gpr[reg::RDX]), imm);
    let (result, flags) = text::compare(&a, &b, imm);
    cpu.flags = Flags::from_bits(flags);
    Ok(result)
}

/// A string comparison that gives an index in ECX.
pub fn text_index<P: Place, L: Lengths>(cpu: &mut Cpu, op: &Op) -> Step {
    let result = tri!(compared::<P, L>(cpu, op));
    cpu.gpr[reg::RCX] = text::index(result, op.imm as u8);
    Step::Next
}

/// One that gives a mask in XMM0.
pub fn text_mask<P: Place, L: Lengths>(cpu: &mut Cpu, op: &Op) -> Step {
    let result = tri!(compared::<P, L>(cpu, op));
    cpu.fpu.xmm[0] = text::mask(result, op.imm as u8);
    Step::Next
}
