//! The virtio block device (Virtual I/O Device 1.2, 5.2; docs/virtio-blk.md).
//!
//! What it stores is the host's: a [`Disk`]. Where the guest's writes are not to reach that, they stay in the device ([`Overlay`]), and
//! so in its saved state.

mod config;
mod core;
mod disk;
mod layout;
mod overlay;
mod request;
mod state;
mod storage;
#[cfg(test)]
mod tests;

pub use config::{BlkConfig, Writes};
pub use core::{Blk, BlkParts};
pub use disk::{Disk, DiskError, Fingerprint, Format, NoDisk, SECTOR_BYTES, Wanted};
pub use overlay::{OVERLAY_MAX_BYTES, Overlay};
pub use state::BlkState;

/// The model.
pub type VirtioBlk = crate::virtio::Transport<Blk>;
