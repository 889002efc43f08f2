//! From iced's decoded instruction to an [`Op`](crate::cpu::Op): what the modules that know instructions have in common.

mod build;
mod shape;

pub use build::{LowerCtx, gpr_offset};
pub use shape::{Shape, Shaped, condition, shape};
