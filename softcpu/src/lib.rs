//! A software x86-64 CPU: deterministic, portable, counts every instruction, knows no device.

#![deny(clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod apic;
mod arena;
mod blocks;
pub mod bus;
pub mod code;
pub mod control;
pub mod cpu;
pub mod cpuid;
mod decode;
pub mod descriptor;
mod dispatch;
mod exec;
mod file;
pub mod flags;
pub mod fp;
pub mod ioapic;
mod lower;
pub mod mem;
pub mod one;
mod op;
mod pinned;
mod reach;
mod run;
mod simd;
mod stale;
pub mod state;
mod step;
mod sys;
mod value;
pub mod vector;

// The integration tests' machine, for the tests of what only the crate sees.
#[cfg(test)]
extern crate self as fencepost_softcpu;
#[cfg(test)]
#[path = "../tests/machine/mod.rs"]
mod machine;

pub use cpu::{Config, Counters, Cpu, MSRS_NAMED};
