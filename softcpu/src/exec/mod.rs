//! The integer instructions.

mod moves;

use iced_x86::Instruction;

use crate::lower::LowerCtx;
use crate::op::Op;

/// The operation of an integer instruction, if it is one.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    moves::lower(instr, ctx)
}
