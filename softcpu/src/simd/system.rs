//! MXCSR, EMMS, fences and byte-masked stores.

use iced_x86::Code;

use super::shape::{claim_mmx, enter_mmx, read_mmx, sse_usable};
use crate::cpu::{Cpu, Handler, Op};
use crate::step::Step;
use crate::tri;
use crate::value::Plain;
use crate::vector;

/// The bits of MXCSR that may be set (Intel SDM vol. 1, 11.6.6).
pub const MXCSR_MASK: u32 = 0xffff;

fn ldmxcsr(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    let address = cpu.ea(op);
    let value = tri!(cpu.load::<u32>(op, address));
    if value & !MXCSR_MASK != 0 {
        return cpu.raise(vector::GP, Some(0));
    }
    cpu.fpu.mxcsr = value;
    Step::Next
}

fn stmxcsr(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    let address = cpu.ea(op);
    cpu.store::<u32>(op, address, cpu.fpu.mxcsr)
}

/// Empties all registers; the stack top stays where MMX put it.
fn emms(cpu: &mut Cpu, _: &Op) -> Step {
    tri!(enter_mmx(cpu));
    claim_mmx(cpu);
    cpu.fpu.ftw = 0;
    Step::Next
}

/// One in-order CPU without store buffers: every fence is already in force.
fn nothing(_: &mut Cpu, _: &Op) -> Step {
    Step::Next
}

/// Stores the bytes of `value` whose mask bytes have their top bit set. All the bytes `T` has must be writable,
/// whatever the mask: the manual leaves it open, and processors do so.
fn masked_store<T: Plain>(cpu: &mut Cpu, op: &Op, value: u128, mask: u128) -> Step {
    let address = cpu.ea(op);
    tri!(cpu.load_to_write::<T>(op, address));
    let mut step = Step::Next;
    for i in (0..T::SIZE as u64).filter(|i| mask >> (8 * i + 7) & 1 != 0) {
        match cpu.store::<u8>(op, cpu.beyond(address, i), (value >> (8 * i)) as u8) {
            Step::Next => {}
            other => step = other,
        }
    }
    step
}

fn maskmovdqu(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    let (value, mask) = (cpu.fpu.xmm[usize::from(op.reg1 & 15)], cpu.fpu.xmm[usize::from(op.reg2 & 15)]);
    masked_store::<u128>(cpu, op, value, mask)
}

fn maskmovq(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(sse_usable(cpu));
    tri!(enter_mmx(cpu));
    let (value, mask) = (read_mmx(cpu, op.reg1), read_mmx(cpu, op.reg2));
    claim_mmx(cpu);
    masked_store::<u64>(cpu, op, value, mask)
}

/// The handler of one of these instructions.
pub fn handler(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Ldmxcsr_m32 => ldmxcsr,
        Stmxcsr_m32 => stmxcsr,
        Emms => emms,
        Lfence | Lfence_E9 | Lfence_EA | Lfence_EB | Lfence_EC | Lfence_ED | Lfence_EE | Lfence_EF => nothing,
        Mfence | Mfence_F1 | Mfence_F2 | Mfence_F3 | Mfence_F4 | Mfence_F5 | Mfence_F6 | Mfence_F7 => nothing,
        Sfence | Sfence_F9 | Sfence_FA | Sfence_FB | Sfence_FC | Sfence_FD | Sfence_FE | Sfence_FF => nothing,
        Maskmovdqu_rDI_xmm_xmm => maskmovdqu,
        Maskmovq_rDI_mm_mm => maskmovq,
        _ => return None,
    })
}
