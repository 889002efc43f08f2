//! The virtio GPU, 2D (Virtual I/O Device 1.2, 5.7; docs/virtio-gpu.md): pictures of the guest on monitors of the host.

mod commands;
mod config;
mod core;
mod cursor;
mod moves;
mod pixels;
mod resource;
mod scanout;
mod state;
#[cfg(test)]
mod tests;
mod wire;

pub use config::VirtioGpuConfig;
pub use core::{GpuParts, Virtio2d};
pub use state::GpuState;

/// The model.
pub type VirtioGpu = crate::virtio::Transport<Virtio2d>;
