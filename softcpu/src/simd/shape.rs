//! How handlers fetch operands, call a kernel and put the result away: one function for each shape of instruction.

use crate::control::{Cr0, Cr4};
use crate::cpu::{Cpu, Op};
use crate::fp::env::{Env, flag};
use crate::fp::stack::ES;
use crate::step::{Step, Trap};
use crate::tri;
use crate::value::Plain;
use crate::vector;

/// Either keeps SSE and MMX from being used.
const EM_OR_TS: u64 = Cr0::EM.union(Cr0::TS).bits();

/// Marks the forms whose second operand is a register.
pub enum InRegister {}
/// Marks the forms whose second operand is in memory.
pub enum InMemory {}

/// Where the second operand is. The methods read it, zero-extended, from the register file that the name says.
pub trait Place {
    /// XMM register, or 16 aligned bytes.
    fn xmm(cpu: &mut Cpu, op: &Op) -> Result<u128, Trap>;
    /// XMM register (whole), or `T` unaligned.
    fn xmm_part<T: Plain + Into<u128>>(cpu: &mut Cpu, op: &Op) -> Result<u128, Trap>;
    /// MMX register, or `T`.
    fn mmx<T: Plain + Into<u128>>(cpu: &mut Cpu, op: &Op) -> Result<u128, Trap>;
    /// General register, or `T`.
    fn gpr<T: Plain + Into<u128>>(cpu: &mut Cpu, op: &Op) -> Result<u128, Trap>;
    /// Whether it is memory.
    const MEMORY: bool;
}

impl Place for InRegister {
    const MEMORY: bool = false;
    #[inline(always)]
    fn xmm(cpu: &mut Cpu, op: &Op) -> Result<u128, Trap> {
        Ok(cpu.fpu.xmm[usize::from(op.reg2 & 15)])
    }
    #[inline(always)]
    fn xmm_part<T: Plain + Into<u128>>(cpu: &mut Cpu, op: &Op) -> Result<u128, Trap> {
        Self::xmm(cpu, op)
    }
    #[inline(always)]
    fn mmx<T: Plain + Into<u128>>(cpu: &mut Cpu, op: &Op) -> Result<u128, Trap> {
        Ok(read_mmx(cpu, op.reg2))
    }
    #[inline(always)]
    fn gpr<T: Plain + Into<u128>>(cpu: &mut Cpu, op: &Op) -> Result<u128, Trap> {
        Ok(u128::from(cpu.reg::<u64>(op.reg2)))
    }
}

impl Place for InMemory {
    const MEMORY: bool = true;
    #[inline(always)]
    fn xmm(cpu: &mut Cpu, op: &Op) -> Result<u128, Trap> {
        let address = cpu.ea(op);
        check_aligned(cpu, address)?;
        cpu.load::<u128>(op, address)
    }
    #[inline(always)]
    fn xmm_part<T: Plain + Into<u128>>(cpu: &mut Cpu, op: &Op) -> Result<u128, Trap> {
        let address = cpu.ea(op);
        cpu.load::<T>(op, address).map(Into::into)
    }
    #[inline(always)]
    fn mmx<T: Plain + Into<u128>>(cpu: &mut Cpu, op: &Op) -> Result<u128, Trap> {
        Self::xmm_part::<T>(cpu, op)
    }
    #[inline(always)]
    fn gpr<T: Plain + Into<u128>>(cpu: &mut Cpu, op: &Op) -> Result<u128, Trap> {
        Self::xmm_part::<T>(cpu, op)
    }
}

/// #GP(0) for an address that is not a multiple of 16.
#[inline(always)]
pub fn check_aligned(cpu: &mut Cpu, address: u64) -> Result<(), Trap> {
    if address & 15 != 0 {
        cpu.raise(vector::GP, Some(0));
        return Err(Trap);
    }
    Ok(())
}

/// Whether SSE instructions raise none of [`sse_usable`]'s exceptions.
#[inline(always)]
pub fn is_usable(cpu: &Cpu) -> bool {
    cpu.sys.cr0 & EM_OR_TS | !cpu.sys.cr4 & Cr4::OSFXSR.bits() == 0
}

/// The exceptions of every SSE instruction: #UD and #NM by CR0 and CR4 (Intel SDM vol. 3, 14.1).
#[inline(always)]
pub fn sse_usable(cpu: &mut Cpu) -> Result<(), Trap> {
    if is_usable(cpu) {
        return Ok(());
    }
    let undefined = cpu.sys.has_cr0(Cr0::EM) || !cpu.sys.has_cr4(Cr4::OSFXSR);
    Err(refuse(cpu, if undefined { vector::UD } else { vector::NM }))
}

/// The exceptions of every MMX instruction: #UD and #NM by CR0, and a waiting #MF (Intel SDM vol. 3, 13.1).
#[inline(always)]
pub fn enter_mmx(cpu: &mut Cpu) -> Result<(), Trap> {
    if cpu.sys.cr0 & EM_OR_TS | u64::from(cpu.fpu.fsw & ES) == 0 {
        return Ok(());
    }
    Err(refuse(
        cpu,
        match &cpu.sys {
            sys if sys.has_cr0(Cr0::EM) => vector::UD,
            sys if sys.has_cr0(Cr0::TS) => vector::NM,
            _ => vector::MF,
        },
    ))
}

#[cold]
fn refuse(cpu: &mut Cpu, vector: u8) -> Trap {
    cpu.raise(vector, None);
    Trap
}

/// TOP 0 and every register in use. After the last thing that can fault.
#[inline(always)]
pub fn claim_mmx(cpu: &mut Cpu) {
    cpu.fpu.fsw &= !0x3800;
    cpu.fpu.ftw = 0xff;
}

/// An MMX register.
#[inline(always)]
pub fn read_mmx(cpu: &Cpu, n: u8) -> u128 {
    cpu.fpu.r[usize::from(n & 7)] & u128::from(u64::MAX)
}

/// Writes an MMX register: sign and exponent of the x87 register become ones.
#[inline(always)]
pub fn write_mmx(cpu: &mut Cpu, n: u8, value: u128) {
    cpu.fpu.r[usize::from(n & 7)] = 0xffff << 64 | u128::from(value as u64);
}

/// A kernel: environment, first operand, second operand, immediate.
pub trait Kernel: Fn(&mut Env, u128, u128, u8) -> u128 {}
impl<T: Fn(&mut Env, u128, u128, u8) -> u128> Kernel for T {}

/// An environment for kernels that use none.
#[inline(always)]
pub(super) fn no_env() -> Env {
    Env::from_mxcsr(0x1f80)
}

/// Runs a floating-point kernel: its flags become sticky; an unmasked one raises #XM and there is no result.
#[inline(always)]
fn compute(cpu: &mut Cpu, kernel: impl Kernel, a: u128, b: u128, imm: u8) -> Result<u128, Trap> {
    let mut env = Env::from_mxcsr(cpu.fpu.mxcsr);
    let result = kernel(&mut env, a, b, imm);
    if env.unmasked_raised() != 0 {
        return Err(unmasked(cpu, &env));
    }
    cpu.fpu.mxcsr |= u32::from(env.flags);
    Ok(result)
}

/// #XM, or #UD when the system does not know it. Exceptions found before computing hide those found after (Intel SDM
/// vol. 1, 11.5.3).
#[cold]
fn unmasked(cpu: &mut Cpu, env: &Env) -> Trap {
    let early = env.flags & flag::PRE_COMPUTATION;
    let flags = if early & !env.masks != 0 { early } else { env.flags };
    cpu.fpu.mxcsr |= u32::from(flags | env.settled);
    let known = cpu.sys.has_cr4(Cr4::OSXMMEXCPT);
    refuse(cpu, if known { vector::XM } else { vector::UD })
}

/// XMM and XMM or 16 aligned bytes.
#[inline(always)]
pub fn packed<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    let b = tri!(P::xmm(cpu, op));
    let first = &mut cpu.fpu.xmm[usize::from(op.reg1 & 15)];
    *first = kernel(&mut no_env(), *first, b, op.imm as u8);
    Step::Next
}

/// XMM and a single, with no exceptions.
#[inline(always)]
pub fn single<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    let b = tri!(P::xmm_part::<u32>(cpu, op));
    let first = &mut cpu.fpu.xmm[usize::from(op.reg1 & 15)];
    *first = kernel(&mut no_env(), *first, b, 0);
    Step::Next
}

/// XMM and an immediate count.
#[inline(always)]
pub fn packed_immediate<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    let first = &mut cpu.fpu.xmm[usize::from(op.reg1 & 15)];
    *first = kernel(&mut no_env(), *first, u128::from(op.imm as u8), 0);
    Step::Next
}

#[inline(always)]
fn mmx_with(cpu: &mut Cpu, op: &Op, b: u128, kernel: impl Kernel) -> Step {
    let result = kernel(&mut no_env(), read_mmx(cpu, op.reg1), b, op.imm as u8);
    claim_mmx(cpu);
    write_mmx(cpu, op.reg1, result);
    Step::Next
}

/// MMX and MMX or 8 bytes.
#[inline(always)]
pub fn mmx<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(enter_mmx(cpu));
    let b = tri!(P::mmx::<u64>(cpu, op));
    mmx_with(cpu, op, b, kernel)
}

/// MMX and MMX or 4 bytes.
#[inline(always)]
pub fn mmx_low<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(enter_mmx(cpu));
    let b = tri!(P::mmx::<u32>(cpu, op));
    mmx_with(cpu, op, b, kernel)
}

/// MMX and an immediate count.
#[inline(always)]
pub fn mmx_immediate<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(enter_mmx(cpu));
    mmx_with(cpu, op, u128::from(op.imm as u8), kernel)
}

/// A word from a general register or memory into a lane of XMM.
#[inline(always)]
pub fn insert<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    let b = tri!(P::gpr::<u16>(cpu, op));
    let first = &mut cpu.fpu.xmm[usize::from(op.reg1 & 15)];
    *first = kernel(&mut no_env(), *first, b, op.imm as u8);
    Step::Next
}

/// A word from a general register or memory into a lane of MMX.
#[inline(always)]
pub fn mmx_insert<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(enter_mmx(cpu));
    let b = tri!(P::gpr::<u16>(cpu, op));
    mmx_with(cpu, op, b, kernel)
}

/// From XMM into a general register, zero-extended to 64 bits.
#[inline(always)]
pub fn to_gpr<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    let b = tri!(P::xmm(cpu, op));
    cpu.set_reg::<u64>(op.reg1, kernel(&mut no_env(), 0, b, op.imm as u8) as u64);
    Step::Next
}

/// From MMX into a general register, zero-extended to 64 bits.
#[inline(always)]
pub fn to_gpr_from_mmx<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(enter_mmx(cpu));
    let b = tri!(P::mmx::<u64>(cpu, op));
    claim_mmx(cpu);
    cpu.set_reg::<u64>(op.reg1, kernel(&mut no_env(), 0, b, op.imm as u8) as u64);
    Step::Next
}

#[inline(always)]
fn float_with(cpu: &mut Cpu, op: &Op, b: u128, kernel: impl Kernel) -> Step {
    let a = cpu.fpu.xmm[usize::from(op.reg1 & 15)];
    let result = tri!(compute(cpu, kernel, a, b, op.imm as u8));
    cpu.fpu.xmm[usize::from(op.reg1 & 15)] = result;
    Step::Next
}

/// Floating point on whole registers, or 16 aligned bytes.
#[inline(always)]
pub fn float_packed<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    let b = tri!(P::xmm(cpu, op));
    float_with(cpu, op, b, kernel)
}

/// Floating point with 4 bytes.
#[inline(always)]
pub fn float_single<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    let b = tri!(P::xmm_part::<u32>(cpu, op));
    float_with(cpu, op, b, kernel)
}

/// Floating point with 8 bytes.
#[inline(always)]
pub fn float_double<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    let b = tri!(P::xmm_part::<u64>(cpu, op));
    float_with(cpu, op, b, kernel)
}

#[inline(always)]
fn compare_with(cpu: &mut Cpu, op: &Op, b: u128, kernel: impl Kernel) -> Step {
    let a = cpu.fpu.xmm[usize::from(op.reg1 & 15)];
    let flags = tri!(compute(cpu, kernel, a, b, 0));
    cpu.flags = crate::flags::Flags::from_bits(flags as u64);
    Step::Next
}

/// Comparison of singles into RFLAGS.
#[inline(always)]
pub fn compare_single<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    let b = tri!(P::xmm_part::<u32>(cpu, op));
    compare_with(cpu, op, b, kernel)
}

/// Comparison of doubles into RFLAGS.
#[inline(always)]
pub fn compare_double<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    let b = tri!(P::xmm_part::<u64>(cpu, op));
    compare_with(cpu, op, b, kernel)
}

/// A 32-bit integer into a lane of XMM.
#[inline(always)]
pub fn from_gpr32<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    let b = tri!(P::gpr::<u32>(cpu, op));
    float_with(cpu, op, b, kernel)
}

/// A 64-bit integer into a lane of XMM.
#[inline(always)]
pub fn from_gpr64<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    let b = tri!(P::gpr::<u64>(cpu, op));
    float_with(cpu, op, b, kernel)
}

/// Two integers of an MMX register or memory into XMM. Only a register operand makes the registers MMX's.
#[inline(always)]
pub fn from_mmx<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    if !P::MEMORY {
        tri!(enter_mmx(cpu));
    }
    let b = tri!(P::mmx::<u64>(cpu, op));
    if !P::MEMORY {
        claim_mmx(cpu);
    }
    float_with(cpu, op, b, kernel)
}

#[inline(always)]
fn gpr_with(cpu: &mut Cpu, op: &Op, b: u128, kernel: impl Kernel) -> Step {
    let result = tri!(compute(cpu, kernel, 0, b, 0));
    cpu.set_reg::<u64>(op.reg1, result as u64);
    Step::Next
}

/// A single to an integer in a general register.
#[inline(always)]
pub fn to_gpr_single<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    let b = tri!(P::xmm_part::<u32>(cpu, op));
    gpr_with(cpu, op, b, kernel)
}

/// A double to an integer in a general register.
#[inline(always)]
pub fn to_gpr_double<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    let b = tri!(P::xmm_part::<u64>(cpu, op));
    gpr_with(cpu, op, b, kernel)
}

#[inline(always)]
fn to_mmx_with(cpu: &mut Cpu, op: &Op, b: u128, kernel: impl Kernel) -> Step {
    // The registers become MMX's even when an exception leaves no result.
    claim_mmx(cpu);
    let result = tri!(compute(cpu, kernel, 0, b, 0));
    write_mmx(cpu, op.reg1, result);
    Step::Next
}

/// Two singles to integers in an MMX register.
#[inline(always)]
pub fn to_mmx_double<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    tri!(enter_mmx(cpu));
    let b = tri!(P::xmm_part::<u64>(cpu, op));
    to_mmx_with(cpu, op, b, kernel)
}

/// Two doubles to integers in an MMX register.
#[inline(always)]
pub fn to_mmx_packed<P: Place>(cpu: &mut Cpu, op: &Op, kernel: impl Kernel) -> Step {
    tri!(sse_usable(cpu));
    tri!(enter_mmx(cpu));
    let b = tri!(P::xmm(cpu, op));
    to_mmx_with(cpu, op, b, kernel)
}
