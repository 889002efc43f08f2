//! What the device remembers.

use serde::{Deserialize, Serialize};

use super::disk::{Fingerprint, SECTOR_BYTES};
use super::layout::RANGES_MAX;
use super::overlay::Overlay;
use super::request::{Range, Status, Work};
use crate::virtio::Chain;

/// A request that is being served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its buffer.
    pub chain: Chain,
    /// What is to be done.
    pub work: Work,
    /// Bytes of it, or of its first range, that are done.
    pub done: u64,
    /// What it will be answered with.
    pub status: Status,
    /// When the next part of it is done, in nanoseconds.
    pub due_ns: u64,
    /// From one part to the next.
    pub step_ns: u64,
}

/// All that a block device is, but for its configuration, its file and its queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlkState {
    /// The request that is being served.
    pub job: Option<Job>,
    /// Whether the driver has the cache on, where it may switch it.
    pub writeback: bool,
    /// What was written, where the file is not to be.
    pub overlay: Option<Overlay>,
    /// What the file looked like.
    pub fingerprint: Fingerprint,
    /// Counters.
    pub counts: Counts,
}

/// What has happened since power-on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests answered.
    pub requests: u64,
    /// Bytes read from the disk.
    pub read_bytes: u64,
    /// Bytes written to it.
    pub written_bytes: u64,
    /// Flushes, by request or behind a write without a cache.
    pub flushes: u64,
    /// Requests answered with an error.
    pub errors: u64,
}

impl Job {
    /// Whether a device of a disk of so many bytes can be serving it.
    pub fn is_possible(&self, disk_bytes: u64, writable: bool) -> bool {
        let inside = |range: &Range| {
            range.at.checked_add(range.bytes).is_some_and(|end| end <= disk_bytes)
                && range.at % SECTOR_BYTES == 0
                && range.bytes % SECTOR_BYTES == 0
        };
        let sound = match &self.work {
            Work::Read(range) => inside(range) && self.done <= range.bytes,
            Work::Write(range) => writable && inside(range) && self.done <= range.bytes,
            Work::Discard(ranges) | Work::Zero(ranges) => {
                let first = ranges.first().map_or(0, |range| range.bytes);
                writable
                    && ranges.len() <= RANGES_MAX as usize
                    && ranges.iter().all(inside)
                    && self.done <= first
            }
            Work::Flush | Work::Name | Work::Refuse(_) => self.done == 0,
        };
        sound && self.done % SECTOR_BYTES == 0 && self.chain.writable_bytes() != 0
    }
}
