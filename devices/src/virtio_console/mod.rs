//! The virtio console (Virtual I/O Device 1.2, 5.3; docs/virtio-console.md): a terminal, and a channel to a program of the host's.

mod config;
mod control;
mod core;
pub mod message;
mod state;
#[cfg(test)]
mod tests;

pub use config::ConsoleConfig;
pub use core::Console;
pub use state::ConsoleState;

/// The model.
pub type VirtioConsole = crate::virtio::Transport<Console>;

/// Where what the guest writes to a port goes.
pub trait ByteSink: Send {
    /// Takes the bytes.
    fn write(&mut self, bytes: &[u8]);
}

/// Nobody reads.
pub struct NoReader;

impl ByteSink for NoReader {
    fn write(&mut self, _: &[u8]) {}
}

/// A port of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The terminal: `hvc0` in Linux.
    Terminal,
    /// The channel: `/dev/virtio-ports/fencepost.channel` in Linux.
    Channel,
}

/// The channel's name in the guest.
pub const CHANNEL_NAME: &str = "fencepost.channel";
