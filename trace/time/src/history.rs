//! Which offset was in force when: for stamps of the guest's that arrive later than they were taken.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{Cycles, Tsc, TscOffset};

/// Changes that are remembered. A kernel sets its counter at most once for each CPU that it starts.
const REMEMBERED: usize = 16;

/// The guest's offsets in their order. A guest that sets its counter again and again loses the oldest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetHistory {
    /// From when on each was in force, the newest last; never empty.
    offsets: VecDeque<(Cycles, TscOffset)>,
}

impl OffsetHistory {
    /// A guest that starts with `offset`.
    pub fn new(offset: TscOffset) -> Self {
        OffsetHistory { offsets: VecDeque::from([(Cycles(0), offset)]) }
    }

    /// The offset in force.
    pub fn current(&self) -> TscOffset {
        self.offsets.back().map_or_else(TscOffset::default, |&(_, offset)| offset)
    }

    /// From `at` on it is `offset`. `at` is never before the last recorded change.
    pub fn change(&mut self, at: Cycles, offset: TscOffset) {
        if offset == self.current() {
            return;
        }
        if self.offsets.len() == REMEMBERED {
            self.offsets.pop_front();
        }
        self.offsets.push_back((at, offset));
    }

    /// When the guest's counter read `stamp`, at `now` or before: by the newest offset that was in force at the time that
    /// it gives. None, if by every one of them the stamp lies outside the time in which it was in force.
    pub fn cycles_of(&self, stamp: Tsc, now: Cycles) -> Option<Cycles> {
        let mut end = now;
        for &(start, offset) in self.offsets.iter().rev() {
            let at = stamp.cycles(offset);
            if (start..=end).contains(&at) {
                return Some(at);
            }
            end = start;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_from_before_and_after_a_change_are_distinguished() {
        let mut history = OffsetHistory::new(TscOffset(0));
        history.change(Cycles(1000), TscOffset(1 << 50));
        let now = Cycles(2000);
        assert_eq!(history.cycles_of(Tsc(900), now), Some(Cycles(900)));
        assert_eq!(history.cycles_of(Tsc((1 << 50) + 1500), now), Some(Cycles(1500)));
        assert_eq!(history.cycles_of(Tsc(1500), now), None, "the counter did not read that any more");
        assert_eq!(history.cycles_of(Tsc((1 << 50) + 2001), now), None, "not yet");
        history.change(Cycles(2000), TscOffset::between(Cycles(2000), Tsc(7)));
        assert_eq!(history.cycles_of(Tsc(8), Cycles(2001)), Some(Cycles(2001)), "set back");
        assert_eq!(history.current().moved(1), TscOffset(8u64.wrapping_sub(2000)));
    }

    #[test]
    fn a_guest_that_sets_its_counter_often_costs_no_memory() {
        let mut history = OffsetHistory::new(TscOffset(0));
        for turn in 1..10_000 {
            history.change(Cycles(turn), TscOffset(turn << 32));
        }
        assert_eq!(history.offsets.len(), REMEMBERED);
        assert_eq!(history.cycles_of(Tsc((9_999 << 32) + 9_999), Cycles(10_000)), Some(Cycles(9_999)));
        assert_eq!(history.cycles_of(Tsc((1 << 32) + 1), Cycles(10_000)), None, "forgotten");
    }
}
