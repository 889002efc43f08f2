//! MMX, SSE and SSE2. Kernels say what each instruction computes, on whole registers.

pub mod float;
pub mod integer;
pub mod lanes;
pub mod shuffle;

/// The operation of an MMX, SSE or SSE2 instruction, if it is one.
pub(crate) fn lower(_: &iced_x86::Instruction, _: &crate::lower::LowerCtx) -> Option<crate::op::Op> {
    None
}
