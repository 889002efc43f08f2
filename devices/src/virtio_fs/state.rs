//! What the device remembers.

use serde::{Deserialize, Serialize};

use crate::virtio::Chain;

/// A request in hand. It comes in part by part, is answered when it is whole, and its reply goes out part by part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its queue.
    pub queue: u16,
    /// Its buffer.
    pub chain: Chain,
    /// When the next part has come or gone, in nanoseconds.
    pub due_ns: u64,
    /// What has come of it.
    pub request: Vec<u8>,
    /// The reply, once the request is whole.
    pub reply: Option<Vec<u8>>,
    /// Bytes of the reply that have gone.
    pub gone: usize,
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
