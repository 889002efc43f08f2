//! What the device remembers.

use serde::{Deserialize, Serialize};

use crate::virtio::Chain;

/// A request that has been answered, and whose reply is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its queue.
    pub queue: u16,
    /// Its buffer.
    pub chain: Chain,
    /// When the reply is there, in nanoseconds.
    pub due_ns: u64,
    /// The reply.
    pub reply: Vec<u8>,
}

/// All that a file system device is, but for its configuration and its queues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsState {
    /// The request in hand.
    pub job: Option<Job>,
    /// Requests answered, and those that have no answer.
    pub requests: u64,
    /// Replies that were errors.
    pub errors: u64,
    /// Bytes of requests and replies.
    pub bytes: u64,
    /// What the server remembers.
    pub server: Vec<u8>,
}
