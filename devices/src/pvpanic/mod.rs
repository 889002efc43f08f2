//! The PCI device of docs/pvpanic.md: a guest's kernel tells the host that it has panicked.
//!
//! Written from the public specification of QEMU's `pvpanic-pci` device (1b36:0011).

mod config;
mod core;
mod registers;
mod state;
#[cfg(test)]
mod tests;

pub use config::PvpanicConfig;
pub use core::{GuestEvent, GuestEvents, Nobody, Pvpanic, PvpanicParts};
pub use state::PvpanicState;
