//! The virtio network device (Virtual I/O Device 1.2, 5.1; docs/virtio-net.md): frames from the guest to a wire of the host's, and back.

mod config;
mod core;
mod state;
#[cfg(test)]
mod tests;

pub use config::NetConfig;
pub use core::Net;
pub use state::NetState;

/// The model.
pub type VirtioNet = crate::virtio::Transport<Net>;

/// Where the guest's frames go. What comes back is delivered, each frame as one.
pub trait Wire: Send {
    /// Takes an Ethernet frame, without its check sequence.
    fn send(&mut self, frame: &[u8]);
}

/// A wire with nobody at its end.
pub struct Unplugged;

impl Wire for Unplugged {
    fn send(&mut self, _: &[u8]) {}
}

/// The longest frame, without its check sequence: an Ethernet header, a VLAN's tag, and 1500 bytes.
pub const FRAME_MAX_BYTES: usize = 1518;
