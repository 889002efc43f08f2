//! MMX, SSE to SSE4.2, AES and PCLMULQDQ. Kernels say what each instruction computes, on whole registers; shapes fetch the operands and put
//! the result away; tables join the two. Nothing beyond that is known, so SSE4a, AVX and later raise #UD.

pub mod cipher;
pub mod float;
mod forms;
pub mod horizontal;
pub mod integer;
pub mod lanes;
mod moves;
pub mod rounding;
mod shape;
mod shape_lanes;
pub mod shuffle;
mod system;
mod table_float;
mod table_integer;
mod table_v2;
#[cfg(test)]
mod tests;
pub mod text;
pub mod widen;

pub(crate) use shape::{check_aligned, is_usable};

use iced_x86::{Code, Instruction, OpKind, Register};

use crate::cpu::Op;
use crate::lower::{LowerCtx, gpr_offset};

/// Lowers an instruction of these; `None` for any other.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    let code = instr.code();
    let memory = (0..instr.op_count()).any(|i| instr.op_kind(i) == OpKind::Memory);
    let run = moves::handler(code, memory)
        .or_else(|| table_integer::handler(code, memory))
        .or_else(|| table_float::handler(code, memory))
        .or_else(|| table_v2::handler(code, memory))
        .or_else(|| system::handler(code))?;
    let mut op = ctx.op(instr, run);
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
