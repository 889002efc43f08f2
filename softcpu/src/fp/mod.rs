//! Floating point: one software implementation of the three formats, and the x87 unit on it.
//!
//! SSE and x87 need things no existing soft-float gives together: tininess after rounding, the denormal-operand
//! flag, the x87's rounded-up bit (C1), its precision control with the wide exponent range, and its biased results
//! for unmasked overflow. All of them fall out of one rounding function ([`round`]) over an exact result.

pub mod arith;
pub mod compare;
pub mod env;
mod exec;
mod functions;
mod host;
pub mod image;
pub mod number;
pub mod ops;
pub mod round;
pub mod stack;
mod table;
#[cfg(test)]
mod tests;
mod transcendental;
mod wide;

use iced_x86::Instruction;

use crate::cpu::Op;
use crate::lower::LowerCtx;

/// Lowers an x87 instruction, FXSAVE or FXRSTOR; `None` for any other.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    Some(ctx.op(instr, table::handler(instr.code())?))
}
