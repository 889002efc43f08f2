//! The virtio entropy device (Virtual I/O Device 1.2, 5.4; docs/virtio-rng.md).
//!
//! Its numbers come from a generator with a seed, so that two runs give a guest the same ones.

mod config;
mod core;
mod state;
#[cfg(test)]
mod tests;

pub use config::RngConfig;
pub use core::Rng;
pub use state::RngState;

/// The model.
pub type VirtioRng = crate::virtio::Transport<Rng>;
