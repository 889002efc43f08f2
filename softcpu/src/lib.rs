//! A software x86-64 CPU: deterministic, portable, counts every instruction, knows no device.
//!
//! A [`Cpu`] runs in guest memory. Everything else that it sees is behind the [`Bus`](bus::Bus), and all that it is can be
//! taken out and put in as a [`CpuState`](state::CpuState). It stops exactly at the deadline that it is given, or earlier
//! for a reason ([`Exit`](bus::Exit)).
//!
//! ```
//! use std::sync::Arc;
//!
//! use fencepost_softcpu::bus::{Bus, Exit, Flow, Waiting};
//! use fencepost_softcpu::code::CodePages;
//! use fencepost_softcpu::control::Cr0;
//! use fencepost_softcpu::state::{CpuState, Segment, reg, seg};
//! use fencepost_softcpu::stop_flag::StopFlag;
//! use fencepost_softcpu::{Config, Cpu};
//! use fencepost_time::{Cycles, TscOffset};
//! use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
//!
//! /// A machine with nothing in it.
//! struct Empty;
//!
//! impl Bus for Empty {
//!     fn mmio_read(&mut self, _: Cycles, _: u64, data: &mut [u8]) {
//!         data.fill(0xff);
//!     }
//!     fn read_interrupts(&mut self, _: u64) -> bool {
//!         false
//!     }
//!     fn mmio_write(&mut self, _: Cycles, _: u64, _: &[u8]) -> Flow {
//!         Flow::Continue
//!     }
//!     fn port_read(&mut self, _: Cycles, _: u16, data: &mut [u8]) -> Flow {
//!         data.fill(0xff);
//!         Flow::Continue
//!     }
//!     fn port_write(&mut self, _: Cycles, _: u16, _: &[u8]) -> Flow {
//!         Flow::Continue
//!     }
//!     fn end_of_interrupt(&mut self, _: Cycles, _: u8, _: bool) -> Flow {
//!         Flow::Continue
//!     }
//!     fn runs(&mut self, _: u32) {}
//!     fn turn(&mut self) -> u64 {
//!         10_000
//!     }
//!     fn random(&mut self) -> u64 {
//!         4
//!     }
//!     fn waiting(&mut self, _: Cycles) -> Waiting {
//!         Waiting::Machine
//!     }
//!     fn interrupt_delivered(&mut self, _: Cycles, _: u8) {}
//!     fn counter_set(&mut self, _: Cycles, _: TscOffset) {}
//! }
//!
//! const RAM: usize = 0x2000;
//! const CODE: u64 = 0x1000;
//! let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), RAM)])?;
//! // mov eax, 6; imul eax, eax, 7; hlt
//! memory.write_slice(&[0xb8, 6, 0, 0, 0, 0x6b, 0xc0, 7, 0xf4], GuestAddress(CODE))?;
//!
//! let code = Arc::new(CodePages::new(RAM as u64));
//! let stop = Arc::new(StopFlag::default());
//! // SAFETY: nobody else accesses the memory while the CPU runs.
//! let mut cpu = unsafe { Cpu::new(memory, code, stop, Config::default()) };
//!
//! // 32-bit protected mode without paging, at privilege 0.
//! let flat = |attributes| Segment { selector: 8, base: 0, limit: u32::MAX, attributes };
//! let mut state = CpuState { rip: CODE, rflags: 2, cr0: Cr0::PE.bits(), ..CpuState::default() };
//! state.seg = [flat(0xc093); 6];
//! state.seg[seg::CS] = flat(0xc09b);
//! cpu.set_state(&state);
//!
//! assert_eq!(cpu.run(&mut Empty, Cycles(1000)), Exit::Halted);
//! assert_eq!(cpu.state().gpr[reg::RAX], 42);
//! assert_eq!(cpu.retired(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(missing_docs)]
#![deny(clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod apic;
mod arena;
mod blocks;
mod breakpoints;
pub mod bus;
pub mod code;
pub mod control;
pub mod cpu;
pub mod cpuid;
pub mod cpus;
mod decode;
pub mod descriptor;
mod dispatch;
mod exec;
mod file;
pub mod flags;
pub mod fp;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod generated;
mod init;
#[cfg(not(target_arch = "x86_64"))]
mod interpreted;
pub mod ioapic;
mod lower;
pub mod mem;
pub mod model;
#[cfg(target_arch = "x86_64")]
mod native;
pub mod one;
mod op;
mod pinned;
mod reach;
mod run;
mod simd;
mod stale;
pub mod state;
mod step;
pub mod stop_flag;
mod stopping;
pub mod stops;
mod sys;
mod value;
pub mod vector;

// The integration tests' machine, for the tests of what only the crate sees.
#[cfg(test)]
extern crate self as fencepost_softcpu;
#[cfg(test)]
#[path = "../tests/machine/mod.rs"]
mod machine;

pub use cpu::{Config, Counters, Cpu, MSRS_NAMED, Translate};
