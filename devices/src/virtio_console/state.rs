//! What the device remembers.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::config::ConsoleConfig;
use crate::virtio::Looker;

/// Characters kept for a port whose driver has no buffer for them: more is not taken from the host.
pub const INPUT_MAX_BYTES: usize = 64 * 1024;
/// Control messages kept for a driver that has no buffer for them: further ones are dropped and counted.
pub const CONTROL_MAX: usize = 64;

/// One port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortState {
    /// What waits for the guest.
    pub input: VecDeque<u8>,
    /// The driver has opened it: a program has the channel open, or the terminal is ready. Nobody says it of one port alone.
    pub open: bool,
}

/// All that a console is, but for where its output goes, its costs and its queues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleState {
    /// Columns of the terminal.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
    /// Somebody is at the channel's other end.
    pub connected: bool,
    /// The terminal and the channel.
    pub ports: [PortState; 2],
    /// The driver has asked for ports.
    pub ready: bool,
    /// Control messages for the driver.
    pub control: VecDeque<Vec<u8>>,
    /// When the device looks at its queues.
    pub looker: Looker,
    /// Bytes from the guest.
    pub sent: u64,
    /// Bytes to the guest.
    pub received: u64,
    /// Control messages dropped.
    pub dropped: u64,
    /// Messages of driver or host that are none.
    pub malformed: u64,
}

impl ConsoleState {
    /// After power-on.
    pub fn new(config: &ConsoleConfig) -> Self {
        ConsoleState {
            columns: config.columns,
            rows: config.rows,
            connected: false,
            ports: Default::default(),
            ready: false,
            control: VecDeque::new(),
            looker: Looker::default(),
            sent: 0,
            received: 0,
            dropped: 0,
            malformed: 0,
        }
    }
}
