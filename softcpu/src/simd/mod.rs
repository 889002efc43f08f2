//! MMX, SSE and SSE2. Kernels say what each instruction computes, on whole registers; shapes fetch the operands and put
//! the result away; tables join the two. Nothing beyond SSE2 is known, so SSE3 and later raise #UD.

pub mod float;
mod forms;
pub mod integer;
pub mod lanes;
mod moves;
mod shape;
pub mod shuffle;
mod system;
mod table_float;
mod table_integer;
#[cfg(test)]
mod tests;

pub(crate) use shape::check_aligned;

use iced_x86::{Code, Instruction, OpKind, Register};

use crate::lower::{LowerCtx, gpr_offset};
use crate::op::Op;

/// Lowers an MMX, SSE or SSE2 instruction; `None` for any other.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    let code = instr.code();
    let memory = (0..instr.op_count()).any(|i| instr.op_kind(i) == OpKind::Memory);
    let run = moves::handler(code, memory)
        .or_else(|| table_integer::handler(code, memory))
        .or_else(|| table_float::handler(code, memory))
        .or_else(|| system::handler(code))?;
    let mut op = ctx.op(instr, run);
    let registers: Vec<Register> = (0..instr.op_count())
        .filter(|&i| instr.op_kind(i) == OpKind::Register)
        .map(|i| instr.op_register(i))
        .collect();
    // Two registers are destination and source. One beside memory is the source when memory comes first.
    match (registers.as_slice(), instr.op0_kind()) {
        ([dst, src, ..], _) => (op.dst, op.src) = (number(*dst), number(*src)),
        ([dst], OpKind::Register) => op.dst = number(*dst),
        ([src], _) => op.src = number(*src),
        ([], _) => {}
    }
    if matches!(code, Code::Maskmovq_rDI_mm_mm | Code::Maskmovdqu_rDI_xmm_xmm) {
        op.base = gpr_offset(Register::RDI);
        op.seg = ctx.segment(instr.memory_segment());
        match instr.op0_kind() {
            OpKind::MemorySegEDI => ctx.narrow_address(0xffff_ffff),
            OpKind::MemorySegDI => ctx.narrow_address(0xffff),
            _ => {}
        }
    }
    Some(op)
}

/// How a handler names a register: the number of a vector register, the byte offset of a general one.
fn number(register: Register) -> u8 {
    if register.is_gpr() { gpr_offset(register) } else { register.number() as u8 }
}
