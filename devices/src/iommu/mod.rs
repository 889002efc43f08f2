//! Intel VT-d in legacy mode: one remapping unit for every function on the bus (specification 3.3; the register page
//! and what is announced are in `docs/iommu.md`).
//!
//! The unit is a pure state machine. The machine gives it register accesses ([`Iommu::read`], [`Iommu::write`]) and
//! lends it as [`Translation`](crate::pci::Translation) to the bus; faults and events come back as MSIs in the outbox.

mod cache;
mod commands;
mod core;
mod faults;
mod interrupts;
mod queue;
pub(crate) mod registers;
mod state;
mod walk;

#[cfg(test)]
pub(crate) mod tests;

pub use core::{Iommu, Surroundings};
pub use state::IommuState;
