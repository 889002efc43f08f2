//! What the fuzz targets share (docs/fuzzing.md): how an input's bytes become what a guest does, and the benches that it does it to.
//!
//! A target's name is that of its file in `fuzz_targets`. Each makes of any bytes a run that takes the same course every time: no
//! clock, thread or random number has a part in it.

pub mod bytes;
pub mod cpu;
pub mod device;
pub mod file;
pub mod op;
