//! The integer instructions.

pub(crate) mod alu;
pub(crate) mod bits;
pub(crate) mod control;
pub(crate) mod crc;
pub(crate) mod decimal;
pub(crate) mod moves;
pub(crate) mod muldiv;
pub(crate) mod shift;
pub(crate) mod stack;
pub(crate) mod string;
