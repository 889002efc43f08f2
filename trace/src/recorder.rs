//! A bounded, in-memory recorder.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{Event, Stamp};

/// An event and when it happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub stamp: Stamp,
    /// What.
    pub event: Event,
}

/// Keeps the newest records up to a bound, and counts those it had to drop.
#[derive(Debug)]
pub struct Recorder {
    records: VecDeque<Record>,
    capacity: usize,
    lost: u64,
}

impl Recorder {
    /// A recorder of at most `capacity` records.
    pub fn new(capacity: usize) -> Self {
        Recorder { records: VecDeque::new(), capacity, lost: 0 }
    }

    /// Adds a record, dropping the oldest at the bound.
    pub fn push(&mut self, stamp: Stamp, event: Event) {
        if self.records.len() >= self.capacity {
            self.records.pop_front();
            self.lost = self.lost.saturating_add(1);
        }
        if self.capacity > 0 {
            self.records.push_back(Record { stamp, event });
        }
    }

    /// The records held, oldest first.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    /// Whether it keeps anything at all.
    pub fn keeps_any(&self) -> bool {
        self.capacity > 0
    }

    /// How many records were dropped.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_record_is_dropped_and_counted() {
        let mut recorder = Recorder::new(2);
        for frame in 0..3 {
            recorder.push(Stamp { cycles: frame, ns: frame }, Event::Vblank { frame });
        }
        assert_eq!(recorder.lost(), 1);
        assert_eq!(recorder.records().next().map(|r| r.stamp.cycles), Some(1));
    }
}
