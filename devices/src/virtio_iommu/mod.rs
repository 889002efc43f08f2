//! The virtio IOMMU (Virtual I/O Device 1.2, 5.13; docs/virtio-iommu.md).
//!
//! It has two sides. The driver sees a virtio device, whose requests change domains and mappings ([`VirtioIommu`]). The bus asks the
//! [`Unit`] to translate. Both share one state, which the device saves.

mod core;
mod domains;
mod facts;
mod probe;
mod request;
mod state;
#[cfg(test)]
mod tests;
mod unit;

pub use core::{IommuConfig, IommuDevice};
pub use state::UnitState;
pub use unit::Unit;

/// The model.
pub type VirtioIommu = crate::virtio::Transport<IommuDevice>;
