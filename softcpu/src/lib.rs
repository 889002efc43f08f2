//! A software x86-64 CPU: deterministic, portable, counts every instruction, knows no device.

#![deny(clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod apic;
mod arena;
mod blocks;
pub mod bus;
pub mod code;
pub mod cpu;
pub mod cpuid;
mod exec;
pub mod flags;
pub mod fp;
pub mod ioapic;
mod lower;
pub mod mem;
pub mod one;
mod op;
mod pinned;
mod run;
mod simd;
pub mod state;
mod sys;

// The integration tests' machine, for the tests of what only the crate sees.
#[cfg(test)]
extern crate self as fencepost_softcpu;
#[cfg(test)]
#[path = "../tests/machine/mod.rs"]
mod machine;

pub use cpu::{Config, Counters, Cpu, MSRS_NAMED};
pub use op::vector;
