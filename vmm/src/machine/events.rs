//! The queue of future calls: virtual time's order, and within one instant the order of asking.

use std::collections::BTreeMap;

/// Who is called, and with which token. There is one pending call for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// Requester id of the function.
    pub rid: u16,
    /// The function's own name for the call.
    pub token: u32,
}

/// Calls ordered by (time, sequence of asking), so that equal times keep a fixed order.
#[derive(Debug, Default)]
pub struct EventQueue {
    by_time: BTreeMap<(u64, u64), Call>,
    by_call: BTreeMap<Call, (u64, u64)>,
    sequence: u64,
}

impl EventQueue {
    /// Schedules `call` at `at_ns`, in place of its earlier pending call if there is one.
    pub fn schedule(&mut self, at_ns: u64, call: Call) {
        self.cancel(call);
        let key = (at_ns, self.sequence);
        self.sequence += 1;
        self.by_time.insert(key, call);
        self.by_call.insert(call, key);
    }

    /// Withdraws `call` if it is pending.
    pub fn cancel(&mut self, call: Call) {
        if let Some(key) = self.by_call.remove(&call) {
            self.by_time.remove(&key);
        }
    }

    /// When the next call is due, in nanoseconds.
    pub fn next_ns(&self) -> Option<u64> {
        self.by_time.first_key_value().map(|(&(at_ns, _), _)| at_ns)
    }

    /// The sequence number that the next request will get: calls asked for from now on are not below it.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Takes the next call that is due at `now_ns` and was asked for before sequence number `before`.
    ///
    /// The bound keeps a function that always asks for "now" from holding the machine at one instant.
    pub fn pop_due(&mut self, now_ns: u64, before: u64) -> Option<Call> {
        let (&key, &call) =
            self.by_time.iter().take_while(|(key, _)| key.0 <= now_ns).find(|(key, _)| key.1 < before)?;
        self.by_time.remove(&key);
        self.by_call.remove(&call);
        Some(call)
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
            queue.schedule(100, call(token));
        }
        queue.schedule(50, call(9));
        let order: Vec<u32> = std::iter::from_fn(|| queue.pop_due(100, u64::MAX)).map(|c| c.token).collect();
        assert_eq!(order, [9, 7, 3, 5]);
    }

    #[test]
    fn a_later_request_replaces_the_earlier_one() {
        let mut queue = EventQueue::default();
        queue.schedule(10, call(1));
        queue.schedule(30, call(1));
        assert_eq!(queue.next_ns(), Some(30));
        assert_eq!(queue.pop_due(29, u64::MAX), None);
        assert_eq!(queue.pop_due(30, u64::MAX), Some(call(1)));
        assert_eq!(queue.next_ns(), None);
    }

    #[test]
    fn a_cancelled_call_is_not_made() {
        let mut queue = EventQueue::default();
        queue.schedule(10, call(1));
        queue.schedule(10, Call { rid: 16, token: 1 });
        queue.cancel(call(1));
        assert_eq!(queue.pop_due(10, u64::MAX), Some(Call { rid: 16, token: 1 }));
        assert_eq!(queue.pop_due(10, u64::MAX), None);
    }

    #[test]
    fn calls_asked_for_during_a_round_wait_for_the_next_round() {
        let mut queue = EventQueue::default();
        queue.schedule(10, call(1));
        let round = queue.sequence();
        assert_eq!(queue.pop_due(10, round), Some(call(1)));
        queue.schedule(10, call(1));
        assert_eq!(queue.pop_due(10, round), None);
        assert_eq!(queue.pop_due(10, queue.sequence()), Some(call(1)));
    }
}
