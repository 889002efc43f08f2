//! The educational PCI device of docs/edu.md: a factorial unit, an interrupt register and a DMA engine with a buffer.
//!
//! Written from the public specification of QEMU's `edu` device (1234:11e8).

mod config;
mod core;
mod registers;
mod state;
#[cfg(test)]
mod tests;

pub use config::EduConfig;
pub use core::Edu;
pub use state::EduState;
