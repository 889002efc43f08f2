//! Which doorbell told the GPU of which packet.

use std::collections::VecDeque;

use crate::journey::At;

/// A ring's restart is told from its wrapping by how near its tail was to a power of two: nearer than a job is long.
const LONGEST_JOB_PACKETS: u64 = 64;

/// One ring: packets are counted from the first, doorbells hold the count that they announce.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Packets that were started.
    started: u64,
    /// The count that corresponds to tail 0.
    base: u64,
    last_tail: u64,
    waiting: VecDeque<(u64, At)>,
}

impl Ring {
    /// The device was told that packets up to `tail` (an index that wraps at the ring's size) are valid.
    pub fn doorbell(&mut self, tail: u64, at: At) {
        if tail == self.last_tail {
            return;
        }
        if tail < self.last_tail {
            let size = self.last_tail.saturating_add(1).checked_next_power_of_two().unwrap_or(u64::MAX);
            let wraps = size - self.last_tail <= LONGEST_JOB_PACKETS;
            self.base = if wraps { self.base.saturating_add(size) } else { self.started };
            if !wraps {
                self.waiting.clear();
            }
        }
        self.last_tail = tail;
        self.waiting.push_back((self.base.saturating_add(tail), at));
    }

    /// The device starts its next packet. Gives the first doorbell that announced it.
    pub fn start(&mut self) -> Option<At> {
        let index = self.started;
        self.started = self.started.saturating_add(1);
        while self.waiting.front().is_some_and(|(count, _)| *count <= index) {
            self.waiting.pop_front();
        }
        self.waiting.front().map(|(_, at)| *at)
    }

    /// The ring halted: it will be reset, and begins at 0 again.
    pub fn halt(&mut self) {
        *self = Ring::default();
    }
}
