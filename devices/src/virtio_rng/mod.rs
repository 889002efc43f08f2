//! The virtio entropy device (Virtual I/O Device 1.2, 5.4; docs/virtio-rng.md).
//!
//! Its numbers come from a generator with a seed, so that two runs give a guest the same ones, or from the host.

mod config;
mod core;
mod state;
#[cfg(test)]
mod tests;

pub use config::RngConfig;
pub use core::{Entropy, Rng, RngParts};
pub use state::RngState;

/// The model.
pub type VirtioRng = crate::virtio::Transport<Rng>;
