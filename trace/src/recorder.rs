//! A bounded, in-memory recorder.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{Event, Stamp};

/// An event and when it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub stamp: Stamp,
    /// What.
    pub event: Event,
}

impl Record {
    /// Adds to `bytes` those of a record in postcard's encoding: cycles, nanoseconds, event. They depend on the event alone, and on no
    /// build: digests are of them.
    pub fn encode(stamp: Stamp, event: &Event, bytes: Vec<u8>) -> Vec<u8> {
        // Every field of an event is plain data, and a vector takes all of it.
        postcard::to_extend(&(stamp.cycles, stamp.ns, event), bytes).expect("an event is plain data")
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        let beside = match &self.event {
            Event::Guest(event) => event.bytes(),
            _ => 0,
        };
        beside.saturating_add(size_of::<Record>())
    }
}

/// Keeps the newest records up to a bound, and counts those it had to drop.
#[derive(Debug)]
pub struct Recorder {
    records: VecDeque<Record>,
    /// What they take, and may.
    bytes: usize,
    capacity: usize,
    lost: u64,
}

impl Recorder {
    /// A recorder of at most the memory that `records` device events take. Guest events take more each.
    pub fn new(records: usize) -> Self {
        let capacity = records.saturating_mul(size_of::<Record>());
        Recorder { records: VecDeque::new(), bytes: 0, capacity, lost: 0 }
    }

    /// Adds a record, dropping the oldest at the bound.
    pub fn push(&mut self, stamp: Stamp, event: Event) {
        if !self.keeps_any() {
            return;
        }
        let record = Record { stamp, event };
        self.bytes = self.bytes.saturating_add(record.bytes());
        self.records.push_back(record);
        while self.bytes > self.capacity {
            let Some(oldest) = self.records.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.bytes());
            self.lost = self.lost.saturating_add(1);
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
    use crate::{GuestEvent, Value};

    #[test]
    fn large_guest_events_take_the_room_of_many_small_ones() {
        let mut recorder = Recorder::new(1000);
        let bound = 1000 * size_of::<Record>();
        for number in 0..1000 {
            let values = vec![Value::Text("x".repeat(10_000))];
            let event = GuestEvent { format: 1, cpu: 0, pid: 0, values };
            recorder.push(Stamp { cycles: number, ns: number }, Event::Guest(Box::new(event)));
            assert!(recorder.records().map(Record::bytes).sum::<usize>() <= bound);
        }
        let kept = recorder.records().count() as u64;
        assert!(kept > 0 && kept < 1000);
        assert_eq!(recorder.lost() + kept, 1000);
    }

    #[test]
    fn the_oldest_record_is_dropped_and_counted() {
        let mut recorder = Recorder::new(2);
        for frame in 0..3 {
            recorder.push(
                Stamp { cycles: frame, ns: frame },
                Event::Vblank { engine: crate::testing::DISPLAY_ENGINE, frame },
            );
        }
        assert_eq!(recorder.lost(), 1);
        assert_eq!(recorder.records().next().map(|r| r.stamp.cycles), Some(1));
    }
}
