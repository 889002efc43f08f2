//! What the device remembers.

use serde::{Deserialize, Serialize};

use crate::virtio::Chain;

/// All that an input device is, but for its configuration and its queues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputState {
    /// What of the configuration is shown.
    pub select: u8,
    /// Which part of that.
    pub subsel: u8,
    /// The buffer of the status queue that is being looked at, and when that is done, in nanoseconds.
    pub job: Option<(Chain, u64)>,
    /// The LEDs that are lit, a bit for each code.
    pub leds: u64,
    /// Events that the guest got.
    pub events: u64,
    /// Events that it did not get: its driver was not there.
    pub dropped: u64,
    /// Events of the host, and buffers of the guest, of the wrong length.
    pub malformed: u64,
    /// What the driver said of LEDs and the like.
    pub statuses: u64,
}
