//! The queue of future calls: virtual time's order, and within one instant the order of asking.

use std::collections::VecDeque;

use fencepost_devices::pci::MsiWrite;
use fencepost_softcpu::stop_flag::Done;
use serde::{Deserialize, Serialize};

/// Who is called, and with which token. There is one pending call for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Call {
    /// Requester id of the function.
    pub rid: u16,
    /// The function's own name for the call.
    pub token: u32,
}

impl Call {
    /// The next character of serial port `port`. No function has this requester id, which is not on bus 0.
    pub const fn serial(port: u8) -> Call {
        Call { rid: u16::MAX, token: port as u32 }
    }

    /// The IOMMU goes on with its queue. No function has this requester id either.
    pub const IOMMU: Call = Call { rid: u16::MAX - 1, token: 0 };

    /// Whether it is a serial port's next character.
    pub fn is_serial(self) -> bool {
        self.rid == u16::MAX
    }
}

/// What falls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Due {
    /// A function is to be called.
    Call(Call),
    /// An interrupt message arrives.
    Message(MsiWrite),
}

/// When, in nanoseconds; the rank among those of the same time; the sequence of asking.
type Key = (u64, u64, u64);

/// What is to come, ordered by time, then rank, then sequence of asking, so that equal times keep a fixed order. There are few of them
/// at a time, a call or two of each function: one row is faster than a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQueue {
    pending: VecDeque<(Key, Due)>,
    /// How many of them are messages.
    messages: usize,
    sequence: u64,
}

/// A saved queue: all that is to come, in order, and the sequence number of the next request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventQueueState {
    pending: Vec<(Key, Due)>,
    sequence: u64,
}

impl Due {
    /// What is done when it is due.
    pub fn done(&self) -> Done {
        self.call().map_or(Done::Run, |call| Done::Call(call.rid))
    }

    fn call(&self) -> Option<Call> {
        match *self {
            Due::Call(call) => Some(call),
            Due::Message(_) => None,
        }
    }
}

impl EventQueue {
    /// The state now.
    pub fn save(&self) -> EventQueueState {
        EventQueueState { pending: self.pending.iter().copied().collect(), sequence: self.sequence }
    }

    /// A queue in `state`; none if that has a call twice, or a request of the future.
    pub fn restore(state: &EventQueueState) -> Option<Self> {
        let mut pending = state.pending.clone();
        pending.sort_by_key(|(key, _)| *key);
        let once = pending.is_sorted_by(|(a, _), (b, _)| a < b);
        let asked = pending.iter().all(|(key, _)| key.2 < state.sequence);
        let messages = pending.iter().filter(|(_, due)| due.call().is_none()).count();
        let queue = EventQueue { pending: pending.into(), messages, sequence: state.sequence };
        (once && asked && queue.calls().is_sorted_by(|(a, _), (b, _)| a < b)).then_some(queue)
    }

    /// The calls to come and when, by function and token.
    pub fn calls(&self) -> impl Iterator<Item = (Call, u64)> + use<> {
        let calls = self.pending.iter().filter_map(|((at_ns, ..), due)| Some((due.call()?, *at_ns)));
        let mut calls: Vec<_> = calls.collect();
        calls.sort_unstable();
        calls.into_iter()
    }

    fn insert(&mut self, at_ns: u64, rank: u64, due: Due) {
        let key = (at_ns, rank, self.sequence);
        self.sequence += 1;
        let place = self.pending.partition_point(|(other, _)| *other < key);
        self.pending.insert(place, (key, due));
    }

    /// Schedules `call` at `at_ns`, in place of its earlier pending call if there is one. Of calls at one time that of
    /// lower `rank` is made first.
    pub fn schedule(&mut self, at_ns: u64, rank: u64, call: Call) {
        self.cancel(call);
        self.insert(at_ns, rank, Due::Call(call));
    }

    /// Schedules `message` for `at_ns`.
    pub fn send(&mut self, at_ns: u64, rank: u64, message: MsiWrite) {
        self.insert(at_ns, rank, Due::Message(message));
        self.messages += 1;
    }

    /// Messages on their way.
    pub fn in_flight(&self) -> usize {
        self.messages
    }

    /// Takes all messages on their way, in the order in which they would have arrived.
    pub fn take_messages(&mut self) -> Vec<MsiWrite> {
        let mut messages = Vec::new();
        self.pending.retain(|(_, due)| match due {
            Due::Call(_) => true,
            Due::Message(message) => {
                messages.push(*message);
                false
            }
        });
        self.messages = 0;
        messages
    }

    fn place(&self, call: Call) -> Option<usize> {
        self.pending.iter().position(|(_, due)| due.call() == Some(call))
    }

    /// Whether `call` is pending.
    pub fn is_pending(&self, call: Call) -> bool {
        self.place(call).is_some()
    }

    /// Withdraws `call` if it is pending.
    pub fn cancel(&mut self, call: Call) {
        if let Some(place) = self.place(call) {
            self.pending.remove(place);
        }
    }

    /// When the next thing is due, in nanoseconds.
    pub fn next_ns(&self) -> Option<u64> {
        self.pending.front().map(|((at_ns, ..), _)| *at_ns)
    }

    /// The sequence number that the next request will get: what is asked for from now on is not below it.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Takes the next thing that is due at `now_ns` and was asked for before sequence number `before`.
    ///
    /// The bound keeps a function that always asks for "now" from holding the machine at one instant.
    pub fn pop_due(&mut self, now_ns: u64, before: u64) -> Option<Due> {
        let mut due = self.pending.iter().take_while(|(key, _)| key.0 <= now_ns);
        let place = due.position(|(key, _)| key.2 < before)?;
        let (_, due) = self.pending.remove(place)?;
        self.messages -= usize::from(due.call().is_none());
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(token: u32) -> Call {
        Call { rid: 8, token }
    }

    #[test]
    fn equal_times_keep_the_order_of_asking() {
        let mut queue = EventQueue::default();
        for token in [7, 3, 5] {
            queue.schedule(100, 0, call(token));
        }
        queue.schedule(50, 0, call(9));
        let order: Vec<Due> = std::iter::from_fn(|| queue.pop_due(100, u64::MAX)).collect();
        assert_eq!(order, [9, 7, 3, 5].map(|token| Due::Call(call(token))));
    }

    #[test]
    fn a_later_request_replaces_the_earlier_one() {
        let mut queue = EventQueue::default();
        queue.schedule(10, 0, call(1));
        queue.schedule(30, 0, call(1));
        assert_eq!(queue.next_ns(), Some(30));
        assert_eq!(queue.pop_due(29, u64::MAX), None);
        assert_eq!(queue.pop_due(30, u64::MAX), Some(Due::Call(call(1))));
        assert_eq!(queue.next_ns(), None);
    }

    #[test]
    fn a_cancelled_call_is_not_made() {
        let mut queue = EventQueue::default();
        queue.schedule(10, 0, call(1));
        queue.schedule(10, 0, Call { rid: 16, token: 1 });
        queue.cancel(call(1));
        assert_eq!(queue.pop_due(10, u64::MAX), Some(Due::Call(Call { rid: 16, token: 1 })));
        assert_eq!(queue.pop_due(10, u64::MAX), None);
    }

    #[test]
    fn calls_asked_for_during_a_round_wait_for_the_next_round() {
        let mut queue = EventQueue::default();
        queue.schedule(10, 0, call(1));
        let round = queue.sequence();
        assert_eq!(queue.pop_due(10, round), Some(Due::Call(call(1))));
        queue.schedule(10, 0, call(1));
        assert_eq!(queue.pop_due(10, round), None);
        assert_eq!(queue.pop_due(10, queue.sequence()), Some(Due::Call(call(1))));
    }

    #[test]
    fn ranks_order_equal_times_only() {
        let mut queue = EventQueue::default();
        for (at_ns, rank, token) in [(100, 2, 1), (100, 1, 2), (99, 3, 3)] {
            queue.schedule(at_ns, rank, call(token));
        }
        let order: Vec<Due> = std::iter::from_fn(|| queue.pop_due(100, u64::MAX)).collect();
        assert_eq!(order, [3, 2, 1].map(|token| Due::Call(call(token))));
    }

    #[test]
    fn a_restored_queue_gives_the_same_things_in_the_same_order() {
        let source = fencepost_devices::pci::MsiSource::Processor;
        let mut queue = EventQueue::default();
        for (rank, token) in [(5, 7), (2, 3), (2, 5)] {
            queue.schedule(100, rank, call(token));
        }
        queue.send(100, 3, MsiWrite { source, address: 0xfee0_0000, data: 1 });
        let mut restored = EventQueue::restore(&queue.save()).expect("possible");
        assert_eq!(restored, queue);
        restored.cancel(call(3));
        queue.cancel(call(3));
        let rest = |queue: &mut EventQueue| -> Vec<Due> {
            std::iter::from_fn(|| queue.pop_due(100, u64::MAX)).collect()
        };
        assert_eq!(rest(&mut restored), rest(&mut queue));
    }

    #[test]
    fn queues_that_cannot_be_are_refused() {
        let mut queue = EventQueue::default();
        queue.schedule(100, 0, call(1));
        let good = queue.save();
        assert!(EventQueue::restore(&good).is_some());
        assert!(EventQueue::restore(&EventQueueState { sequence: 0, ..good.clone() }).is_none());
        let twice = vec![good.pending[0], ((200, 0, 0), good.pending[0].1)];
        assert!(EventQueue::restore(&EventQueueState { pending: twice, ..good }).is_none());
    }

    #[test]
    fn messages_are_never_replaced_and_can_be_taken_early() {
        let mut queue = EventQueue::default();
        let source = fencepost_devices::pci::MsiSource::Processor;
        let message = |data| MsiWrite { source, address: 0xfee0_0000, data };
        queue.schedule(15, 0, call(1));
        for (at_ns, data) in [(30, 7), (10, 8), (20, 7)] {
            queue.send(at_ns, 0, message(data));
        }
        assert_eq!((queue.in_flight(), queue.next_ns()), (3, Some(10)));
        assert_eq!(queue.pop_due(10, u64::MAX), Some(Due::Message(message(8))));
        assert_eq!(queue.take_messages(), [message(7), message(7)]);
        assert_eq!((queue.in_flight(), queue.next_ns()), (0, Some(15)));
    }
}
