//! What the device remembers.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::virtio::Looker;

/// Frames kept for a driver that has no buffer for them; further ones stay with the host.
pub const KEPT_MAX_FRAMES: usize = 64;

/// All that a network device is, but for its wire, its configuration and its queues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetState {
    /// Frames for the guest.
    pub waiting: VecDeque<Vec<u8>>,
    /// When the device looks at its queues.
    pub looker: Looker,
    /// Frames from the guest.
    pub sent: u64,
    /// Frames to the guest.
    pub received: u64,
    /// Frames of either side that are too short or too long, and such as did not fit in the driver's buffer.
    pub refused: u64,
}
