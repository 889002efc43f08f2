//! The virtio file system device (Virtual I/O Device 1.2, 5.11; docs/virtio-fs.md).
//!
//! It carries requests of the FUSE protocol from the guest's kernel to a [`FileServer`], which the host gives, and the replies back.

mod config;
mod core;
mod server;
mod state;
#[cfg(test)]
mod tests;

pub use config::{Access, FsConfig};
pub use core::Fs;
pub use server::{FileServer, NoFiles, Share};
pub use state::{FsState, Job};

/// The model.
pub type VirtioFs = crate::virtio::Transport<Fs>;
