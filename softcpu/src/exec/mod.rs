//! The integer instructions.

mod alu;
mod bits;
mod control;
mod decimal;
mod moves;
mod muldiv;
mod shift;
mod stack;
mod string;

use iced_x86::Instruction;

use crate::lower::LowerCtx;
use crate::op::Op;

/// The operation of an integer instruction, if it is one.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    moves::lower(instr, ctx)
        .or_else(|| alu::lower(instr, ctx))
        .or_else(|| control::lower(instr, ctx))
        .or_else(|| stack::lower(instr, ctx))
        .or_else(|| shift::lower(instr, ctx))
        .or_else(|| bits::lower(instr, ctx))
        .or_else(|| muldiv::lower(instr, ctx))
        .or_else(|| decimal::lower(instr, ctx))
        .or_else(|| string::lower(instr, ctx))
}
