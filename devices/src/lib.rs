//! Device models as pure state machines.
//!
//! A device owns registers, queues and timing, and nothing else: no lock, thread, file or clock of its own.
//! All that it may do to the world goes through the four [`ports`]. The machine owns buses and threads.

#![deny(clippy::unwrap_used, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::arithmetic_side_effects))]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod camera;
pub mod crc;
pub mod display;
pub mod function;
pub mod gpu;
pub mod iommu;
pub mod pci;
pub mod pixel;
pub mod ports;
pub mod registers;
pub mod sg;
pub mod state;
pub mod testing;
