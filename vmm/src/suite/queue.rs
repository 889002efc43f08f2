//! Scenarios that wait for a worker.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A queue that is filled while it is emptied.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let state = State { waiting: VecDeque::new(), closed: false };
        Queue { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<T> Queue<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one at the end.
    pub fn push(&self, one: T) {
        self.state().waiting.push_back(one);
        self.changed.notify_one();
    }

    /// No more will come.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    /// No more will come, and those that wait are not wanted.
    pub fn stop(&self) {
        self.state().waiting.clear();
        self.close();
    }

    /// The next one, when there is one; nothing at the end. One that would have to `wait` for another comes behind those that can go on at
    /// once.
    pub fn take(&self, wait: impl Fn(&T) -> bool) -> Option<T> {
        let mut state = self.state();
        loop {
            let free = state.waiting.iter().position(|one| !wait(one));
            match free.or((!state.waiting.is_empty()).then_some(0)) {
                Some(at) => return state.waiting.remove(at),
                None if state.closed => return None,
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_would_wait_come_last_and_none_is_lost() {
        let queue = Queue::default();
        (1..=4).for_each(|number| queue.push(number));
        queue.close();
        let odd = |number: &i32| number % 2 == 1;
        let order: Vec<i32> = std::iter::from_fn(|| queue.take(odd)).collect();
        assert_eq!(order, [2, 4, 1, 3]);
    }

    #[test]
    fn who_waits_gets_what_comes_later_and_the_end() {
        let queue = Queue::default();
        std::thread::scope(|scope| {
            let taker = scope.spawn(|| (queue.take(|_| false), queue.take(|_| false)));
            queue.push("one");
            queue.close();
            assert_eq!(taker.join().unwrap(), (Some("one"), None));
        });
    }

    #[test]
    fn a_queue_that_was_stopped_has_nothing() {
        let queue = Queue::default();
        queue.push(1);
        queue.stop();
        assert_eq!(queue.take(|_| false), None);
    }
}
