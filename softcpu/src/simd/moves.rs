//! MMX, SSE and SSE2 moves: loads, stores, and between register files.

use iced_x86::Code;

use super::shape::{check_aligned, claim_mmx, enter_mmx, read_mmx, sse_usable, write_mmx};
use crate::cpu::{Cpu, Handler, Op};
use crate::step::Step;
use crate::tri;
use crate::value::Plain;

const LOW: u128 = u64::MAX as u128;

#[inline(always)]
fn second(cpu: &Cpu, op: &Op) -> u128 {
    cpu.fpu.xmm[usize::from(op.reg2 & 15)]
}

#[inline(always)]
fn first<'a>(cpu: &'a mut Cpu, op: &Op) -> &'a mut u128 {
    &mut cpu.fpu.xmm[usize::from(op.reg1 & 15)]
}

fn copy(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    *first(cpu, op) = second(cpu, op);
    Step::Next
}

/// Loads `T`, zero above it.
fn load<T: Plain + Into<u128>>(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    let address = cpu.ea(op);
    let value = tri!(cpu.load::<T>(op, address));
    *first(cpu, op) = value.into();
    Step::Next
}

fn load_aligned(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    let address = cpu.ea(op);
    tri!(check_aligned(cpu, address));
    let value = tri!(cpu.load::<u128>(op, address));
    *first(cpu, op) = value;
    Step::Next
}

fn store(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    let address = cpu.ea(op);
    let value = *first(cpu, op);
    cpu.store::<u128>(op, address, value)
}

fn store_aligned(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    let address = cpu.ea(op);
    tri!(check_aligned(cpu, address));
    let value = *first(cpu, op);
    cpu.store::<u128>(op, address, value)
}

fn store_low(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    let address = cpu.ea(op);
    let value = *first(cpu, op);
    cpu.store::<u64>(op, address, value as u64)
}

fn store_high(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    let address = cpu.ea(op);
    let value = *first(cpu, op);
    cpu.store::<u64>(op, address, (value >> 64) as u64)
}

fn store_dword(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    let address = cpu.ea(op);
    let value = *first(cpu, op);
    cpu.store::<u32>(op, address, value as u32)
}

fn load_into_low(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    let address = cpu.ea(op);
    let value = tri!(cpu.load::<u64>(op, address));
    let first = first(cpu, op);
    *first = *first & !LOW | u128::from(value);
    Step::Next
}

fn load_into_high(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    let address = cpu.ea(op);
    let value = tri!(cpu.load::<u64>(op, address));
    let first = first(cpu, op);
    *first = *first & LOW | u128::from(value) << 64;
    Step::Next
}

/// Joins the second register to the first.
#[inline(always)]
fn merge(cpu: &mut Cpu, op: &Op, f: impl Fn(u128, u128) -> u128) -> Step {
    tri!(sse_usable(cpu));
    let b = second(cpu, op);
    let first = first(cpu, op);
    *first = f(*first, b);
    Step::Next
}

/// A general register into XMM, zero above it.
fn from_gpr<T: Plain + Into<u128>>(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    let value = cpu.reg::<T>(op.reg2);
    *first(cpu, op) = value.into();
    Step::Next
}

fn to_gpr32(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    cpu.set_reg::<u64>(op.reg1, second(cpu, op) as u64 & 0xffff_ffff);
    Step::Next
}

fn to_gpr64(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    cpu.set_reg::<u64>(op.reg1, second(cpu, op) as u64);
    Step::Next
}

fn mmx_copy(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(enter_mmx(cpu));
    claim_mmx(cpu);
    write_mmx(cpu, op.reg1, read_mmx(cpu, op.reg2));
    Step::Next
}

fn mmx_load<T: Plain + Into<u128>>(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(enter_mmx(cpu));
    let address = cpu.ea(op);
    let value = tri!(cpu.load::<T>(op, address));
    claim_mmx(cpu);
    write_mmx(cpu, op.reg1, value.into());
    Step::Next
}

fn mmx_store32(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(enter_mmx(cpu));
    let address = cpu.ea(op);
    let step = cpu.store::<u32>(op, address, read_mmx(cpu, op.reg1) as u32);
    if step != Step::Trap {
        claim_mmx(cpu);
    }
    step
}

fn mmx_store64(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(enter_mmx(cpu));
    let address = cpu.ea(op);
    let step = cpu.store::<u64>(op, address, read_mmx(cpu, op.reg1) as u64);
    if step != Step::Trap {
        claim_mmx(cpu);
    }
    step
}

fn mmx_from_gpr<T: Plain + Into<u128>>(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(enter_mmx(cpu));
    let value = cpu.reg::<T>(op.reg2);
    claim_mmx(cpu);
    write_mmx(cpu, op.reg1, value.into());
    Step::Next
}

fn mmx_to_gpr32(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(enter_mmx(cpu));
    claim_mmx(cpu);
    cpu.set_reg::<u64>(op.reg1, read_mmx(cpu, op.reg2) as u64 & 0xffff_ffff);
    Step::Next
}

fn mmx_to_gpr64(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(enter_mmx(cpu));
    claim_mmx(cpu);
    cpu.set_reg::<u64>(op.reg1, read_mmx(cpu, op.reg2) as u64);
    Step::Next
}

fn mmx_to_xmm(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    tri!(enter_mmx(cpu));
    claim_mmx(cpu);
    *first(cpu, op) = read_mmx(cpu, op.reg2);
    Step::Next
}

fn xmm_to_mmx(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    tri!(enter_mmx(cpu));
    claim_mmx(cpu);
    write_mmx(cpu, op.reg1, second(cpu, op));
    Step::Next
}

fn store_integer<T: Plain>(cpu: &mut Cpu, op: &Op) -> Step {
    let address = cpu.ea(op);
    let value = cpu.reg::<T>(op.reg1);
    cpu.store::<T>(op, address, value)
}

/// The handler of a move, by whether its operand is in memory.
pub fn handler(code: Code, memory: bool) -> Option<Handler> {
    if memory { to_or_from_memory(code) } else { between_registers(code) }
}

fn to_or_from_memory(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Movups_xmm_xmmm128 | Movupd_xmm_xmmm128 | Movdqu_xmm_xmmm128 | Lddqu_xmm_m128 => load::<u128>,
        Movaps_xmm_xmmm128 | Movapd_xmm_xmmm128 | Movdqa_xmm_xmmm128 | Movntdqa_xmm_m128 => load_aligned,
        Movss_xmm_xmmm32 | Movd_xmm_rm32 => load::<u32>,
        Movsd_xmm_xmmm64 | Movq_xmm_rm64 | Movq_xmm_xmmm64 => load::<u64>,
        Movlps_xmm_m64 | Movlpd_xmm_m64 => load_into_low,
        Movhps_xmm_m64 | Movhpd_xmm_m64 => load_into_high,
        Movups_xmmm128_xmm | Movupd_xmmm128_xmm | Movdqu_xmmm128_xmm => store,
        Movaps_xmmm128_xmm | Movapd_xmmm128_xmm | Movdqa_xmmm128_xmm => store_aligned,
        Movntps_m128_xmm | Movntpd_m128_xmm | Movntdq_m128_xmm => store_aligned,
        Movss_xmmm32_xmm | Movd_rm32_xmm => store_dword,
        Movsd_xmmm64_xmm | Movq_rm64_xmm | Movq_xmmm64_xmm | Movlps_m64_xmm | Movlpd_m64_xmm => store_low,
        Movhps_m64_xmm | Movhpd_m64_xmm => store_high,
        Movd_mm_rm32 => mmx_load::<u32>,
        Movq_mm_rm64 | Movq_mm_mmm64 => mmx_load::<u64>,
        Movd_rm32_mm => mmx_store32,
        Movq_rm64_mm | Movq_mmm64_mm | Movntq_m64_mm => mmx_store64,
        Movnti_m32_r32 => store_integer::<u32>,
        Movnti_m64_r64 => store_integer::<u64>,
        _ => return None,
    })
}

fn between_registers(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Movups_xmm_xmmm128 | Movupd_xmm_xmmm128 | Movdqu_xmm_xmmm128 | Movaps_xmm_xmmm128
        | Movapd_xmm_xmmm128 | Movdqa_xmm_xmmm128 | Movups_xmmm128_xmm | Movupd_xmmm128_xmm
        | Movdqu_xmmm128_xmm | Movaps_xmmm128_xmm | Movapd_xmmm128_xmm | Movdqa_xmmm128_xmm => copy,
        Movss_xmm_xmmm32 | Movss_xmmm32_xmm => {
            |cpu, op| merge(cpu, op, |a, b| a & !u128::from(u32::MAX) | b & u128::from(u32::MAX))
        }
        Movsd_xmm_xmmm64 | Movsd_xmmm64_xmm => |cpu, op| merge(cpu, op, |a, b| a & !LOW | b & LOW),
        Movq_xmm_xmmm64 | Movq_xmmm64_xmm => |cpu, op| merge(cpu, op, |_, b| b & LOW),
        Movhlps_xmm_xmm => |cpu, op| merge(cpu, op, |a, b| a & !LOW | b >> 64),
        Movlhps_xmm_xmm => |cpu, op| merge(cpu, op, |a, b| a & LOW | b << 64),
        Movd_xmm_rm32 => from_gpr::<u32>,
        Movq_xmm_rm64 => from_gpr::<u64>,
        Movd_rm32_xmm => to_gpr32,
        Movq_rm64_xmm => to_gpr64,
        Movd_mm_rm32 => mmx_from_gpr::<u32>,
        Movq_mm_rm64 => mmx_from_gpr::<u64>,
        Movd_rm32_mm => mmx_to_gpr32,
        Movq_rm64_mm => mmx_to_gpr64,
        Movq_mm_mmm64 | Movq_mmm64_mm => mmx_copy,
        Movq2dq_xmm_mm => mmx_to_xmm,
        Movdq2q_mm_xmm => xmm_to_mmx,
        _ => return None,
    })
}
