//! What functions get from the host at times of the guest's, which are known before the guest starts: the same in every run.

use std::collections::BTreeMap;

use super::Machine;

/// Data for the functions in their slots, and when they get them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timed {
    /// By the guest's time in nanoseconds and the order of those of one time.
    due: BTreeMap<(u64, usize), (u8, Vec<u8>)>,
    /// What follows a mark: how many nanoseconds behind it, the order, and the data.
    behind: BTreeMap<u8, Vec<Later>>,
    /// How many were added.
    count: usize,
}

/// How many nanoseconds behind a mark, the order, and the data with their slot.
type Later = (u64, usize, (u8, Vec<u8>));

impl Timed {
    /// Adds `data` for `slot`: `ns` nanoseconds after the guest's start, or after it first writes `mark` to the mark port. Those of one
    /// time come in the order in which they were added.
    pub fn add(&mut self, mark: Option<u8>, ns: u64, slot: u8, data: Vec<u8>) {
        self.count = self.count.saturating_add(1);
        match mark {
            None => _ = self.due.insert((ns, self.count), (slot, data)),
            Some(mark) => self.behind.entry(mark).or_default().push((ns, self.count, (slot, data))),
        }
    }

    /// Leaves out what was due before `now_ns`: a machine that goes on from a snapshot has had it.
    pub fn skip_to(&mut self, now_ns: u64) {
        self.due.retain(|(ns, _), _| *ns >= now_ns);
    }

    fn reach(&mut self, mark: u8, now_ns: u64) {
        for (ns, order, data) in self.behind.remove(&mark).into_iter().flatten() {
            self.due.insert((now_ns.saturating_add(ns), order), data);
        }
    }

    fn take_due(&mut self, now_ns: u64) -> Option<(u8, Vec<u8>)> {
        let next = self.due.first_entry().filter(|next| next.key().0 <= now_ns)?;
        Some(next.remove())
    }

    fn next_ns(&self) -> Option<u64> {
        self.due.first_key_value().map(|((ns, _), _)| *ns)
    }
}

impl Machine {
    /// From now on, functions get what `timed` says.
    pub fn deliver_at(&mut self, mut timed: Timed) {
        timed.skip_to(self.now().ns);
        self.timed = timed;
    }

    /// When the next of them is due.
    pub(super) fn next_timed_ns(&self) -> Option<u64> {
        self.timed.next_ns()
    }

    /// The guest has written `mark`.
    pub(super) fn reach_timed(&mut self, mark: u8) {
        let now_ns = self.now().ns;
        self.timed.reach(mark, now_ns);
    }

    /// Gives them what is due.
    pub(super) fn deliver_timed(&mut self) {
        let now_ns = self.now().ns;
        while let Some((slot, data)) = self.timed.take_due(now_ns) {
            self.deliver(slot, data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_once() {
        let mut timed = Timed::default();
        timed.add(None, 20, 5, vec![1]);
        timed.add(Some(3), 5, 6, vec![2]);
        timed.add(None, 10, 5, vec![3]);
        timed.add(None, 20, 5, vec![4]);
        assert_eq!((timed.next_ns(), timed.take_due(9)), (Some(10), None));
        assert_eq!((timed.take_due(10), timed.take_due(10)), (Some((5, vec![3])), None));
        timed.reach(2, 12);
        timed.reach(3, 15);
        timed.reach(3, 16);
        let all: Vec<_> = std::iter::from_fn(|| timed.take_due(100)).collect();
        // Those of one time in the order of the script.
        assert_eq!(all, [(5, vec![1]), (6, vec![2]), (5, vec![4])]);
        assert_eq!(timed.next_ns(), None);
    }

    #[test]
    fn what_a_snapshot_has_had_does_not_come_again() {
        let mut timed = Timed::default();
        (0..4).for_each(|at| timed.add(None, 10 * at, 5, vec![at as u8]));
        timed.skip_to(20);
        assert_eq!(timed.take_due(100), Some((5, vec![2])));
    }
}
