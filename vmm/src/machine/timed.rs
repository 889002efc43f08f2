//! What the machine gets from the host at times of the guest's, which are known before the guest starts: the same in every run. It is
//! what a record has of another run, and what a script says is done at a keyboard and a tablet.

use std::collections::BTreeMap;

use super::Machine;
use crate::control::Received;

/// What the host brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Brought {
    /// Data for the function in a slot.
    Data(u8, Vec<u8>),
    /// The same, from a script: no part of a record, for whoever replays that has the script too.
    Scripted(u8, Vec<u8>),
    /// What comes over the line of a serial port; 0 is the console's.
    Line(u8, Vec<Received>),
}

/// What the host brings, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timed {
    /// By the guest's time in nanoseconds and the order of those of one time.
    due: BTreeMap<(u64, usize), Brought>,
    /// What follows a mark: how many nanoseconds behind it, the order, and what.
    behind: BTreeMap<u8, Vec<(u64, usize, Brought)>>,
    /// How many were added.
    count: usize,
}

impl Timed {
    /// Adds `brought`: `ns` nanoseconds after the guest's start, or after it first writes `mark` to the mark port. Those of one time come
    /// in the order in which they were added.
    pub fn add(&mut self, mark: Option<u8>, ns: u64, brought: Brought) {
        self.count = self.count.saturating_add(1);
        match mark {
            None => _ = self.due.insert((ns, self.count), brought),
            Some(mark) => self.behind.entry(mark).or_default().push((ns, self.count, brought)),
        }
    }

    /// Adds all that `others` has.
    pub(super) fn append(&mut self, others: Timed) {
        let behind = others.behind.into_iter();
        let behind = behind.flat_map(|(mark, all)| all.into_iter().map(move |one| (Some(mark), one)));
        let due = others.due.into_iter().map(|((ns, order), brought)| (None, (ns, order, brought)));
        let mut all: Vec<_> = due.chain(behind).collect();
        all.sort_by_key(|(_, (_, order, _))| *order);
        all.into_iter().for_each(|(mark, (ns, _, brought))| self.add(mark, ns, brought));
    }

    /// Leaves out what was due before `now_ns`: a machine that goes on from a snapshot has had it.
    pub fn skip_to(&mut self, now_ns: u64) {
        self.due.retain(|(ns, _), _| *ns >= now_ns);
    }

    fn reach(&mut self, mark: u8, now_ns: u64) {
        for (ns, order, brought) in self.behind.remove(&mark).into_iter().flatten() {
            self.due.insert((now_ns.saturating_add(ns), order), brought);
        }
    }

    fn take_due(&mut self, now_ns: u64) -> Option<Brought> {
        let next = self.due.first_entry().filter(|next| next.key().0 <= now_ns)?;
        Some(next.remove())
    }

    fn next_ns(&self) -> Option<u64> {
        self.due.first_key_value().map(|((ns, _), _)| *ns)
    }
}

impl Machine {
    /// From now on, the machine gets what `timed` says, beside what it was to get before.
    pub fn deliver_at(&mut self, mut timed: Timed) {
        timed.skip_to(self.now().ns);
        self.timed.append(timed);
    }

    /// As [`Self::deliver_at`], with what was due before now: that comes at once.
    pub(super) fn deliver_all(&mut self, timed: Timed) {
        self.timed.append(timed);
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

    /// Brings what is due.
    pub(super) fn deliver_timed(&mut self) {
        let now_ns = self.now().ns;
        while let Some(brought) = self.timed.take_due(now_ns) {
            match brought {
                Brought::Data(slot, data) => {
                    self.count_delivery();
                    self.deliver(slot, data);
                }
                Brought::Scripted(slot, data) => self.deliver(slot, data),
                Brought::Line(port, received) => {
                    self.control.replay_input(port, &received);
                    self.attend_serial(port);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(slot: u8, byte: u8) -> Brought {
        Brought::Data(slot, vec![byte])
    }

    #[test]
    fn what_is_due_comes_in_order_and_once() {
        let (mut timed, mut more) = (Timed::default(), Timed::default());
        timed.add(None, 20, data(5, 1));
        timed.add(Some(3), 5, data(6, 2));
        more.add(None, 10, data(5, 3));
        more.add(Some(3), 5, data(7, 5));
        more.add(None, 20, data(5, 4));
        timed.append(more);
        assert_eq!((timed.next_ns(), timed.take_due(9)), (Some(10), None));
        assert_eq!((timed.take_due(10), timed.take_due(10)), (Some(data(5, 3)), None));
        timed.reach(2, 12);
        timed.reach(3, 15);
        timed.reach(3, 16);
        let all: Vec<_> = std::iter::from_fn(|| timed.take_due(100)).collect();
        // Those of one time in the order in which they were added.
        assert_eq!(all, [data(5, 1), data(6, 2), data(7, 5), data(5, 4)]);
        assert_eq!(timed.next_ns(), None);
    }

    #[test]
    fn what_a_snapshot_has_had_does_not_come_again() {
        let mut timed = Timed::default();
        (0..4).for_each(|at| timed.add(None, 10 * at, data(5, at as u8)));
        timed.skip_to(20);
        assert_eq!(timed.take_due(100), Some(data(5, 2)));
    }
}
