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
    /// Packets that were started and not yet announced, with their jobs.
    early: Vec<(u64, usize)>,
    /// The ring was restarted while packets stood in it, so the counts may be wrong.
    unsure: bool,
    /// Records may be missing from the trace: counts would be wrong ever after.
    gaps: bool,
}

impl Ring {
    /// A ring at its begin. `gaps`: records may be missing from the trace.
    pub fn new(gaps: bool) -> Ring {
        Ring { gaps, ..Ring::default() }
    }

    /// The device was told that packets up to `tail` (an index that wraps at the ring's size) are valid. Gives the jobs among them that
    /// were started before.
    pub fn doorbell(&mut self, tail: u64, at: At) -> Vec<usize> {
        if tail == self.last_tail {
            return Vec::new();
        }
        if self.gaps {
            // The last doorbell before a packet's start stands for the one that announced it.
            self.waiting = VecDeque::from([(u64::MAX, at)]);
            self.last_tail = tail;
            return Vec::new();
        }
        if tail < self.last_tail {
            let size = self.last_tail.saturating_add(1).checked_next_power_of_two().unwrap_or(u64::MAX);
            let wraps = size - self.last_tail <= LONGEST_JOB_PACKETS;
            self.base = if wraps { self.base.saturating_add(size) } else { self.started };
            if !wraps {
                self.unsure |= !self.waiting.is_empty();
                self.waiting.clear();
                self.early.clear();
            }
        }
        self.last_tail = tail;
        let count = self.base.saturating_add(tail);
        self.waiting.push_back((count, at));
        // They were noted in the order of their packets.
        let announced = self.early.partition_point(|(index, _)| *index < count);
        self.early.drain(..announced).map(|(_, job)| job).collect()
    }

    /// The device starts its next packet as `job`. Gives the first doorbell that announced it.
    pub fn start(&mut self, job: usize) -> Option<At> {
        let index = self.started;
        self.started = self.started.saturating_add(1);
        while self.waiting.front().is_some_and(|(count, _)| *count <= index) {
            self.waiting.pop_front();
        }
        let announced = self.waiting.front().map(|(_, at)| *at);
        if announced.is_none() && !self.unsure && !self.gaps {
            self.early.push((index, job));
        }
        announced
    }

    /// The ring halted: it will be reset, and begins at 0 again.
    pub fn halt(&mut self) {
        *self = Ring::new(self.gaps);
    }
}
