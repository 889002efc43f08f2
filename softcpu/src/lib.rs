//! A software x86-64 CPU: deterministic, portable, counts every instruction, knows no device.

pub mod apic;
pub mod bus;
pub mod code;
pub mod cpuid;
pub mod fp;
pub mod ioapic;
pub mod simd;
pub mod state;
