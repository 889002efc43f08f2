//! MMX, SSE and SSE2. Kernels say what each instruction computes, on whole registers.

pub mod float;
pub mod integer;
pub mod lanes;
pub mod shuffle;
