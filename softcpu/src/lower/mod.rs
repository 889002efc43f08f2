//! From iced's decoded instruction to an [`Op`]: which handler, and where its operands are.

mod build;
mod shape;

pub use build::{Extended, LowerCtx, gpr_offset, segment_index};
pub use shape::{Shape, Shaped, condition, shape};

use iced_x86::Instruction;

use crate::op::Op;

/// The operation of one instruction.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Op {
    let op = crate::exec::lower(instr, ctx)
        .or_else(|| crate::sys::lower(instr, ctx))
        .or_else(|| crate::simd::lower(instr, ctx))
        .or_else(|| crate::fp::lower(instr, ctx))
        .unwrap_or_else(|| ctx.unknown(instr));
    ctx.finish(instr, op)
}
