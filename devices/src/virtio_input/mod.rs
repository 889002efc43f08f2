//! Virtio input devices (Virtual I/O Device 1.2, 5.8; docs/virtio-keyboard.md, docs/virtio-tablet.md), all of one implementation.
//!
//! A [`Kind`] says what a device can send; the host sends it by the [`Inbox`](crate::function::Inbox).

mod config;
mod core;
mod facts;
mod state;
#[cfg(test)]
mod tests;

pub use config::InputConfig;
pub use core::{EVENT_BYTES, Input};
pub use facts::{Axis, Bits, Facts, Kind};
pub use state::InputState;
