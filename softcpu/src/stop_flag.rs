//! The flag that a running CPU watches, and a meter of how long it takes until somebody looks at it again.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use fencepost_time::HostTsc;

const RAISED: u8 = 1 << 0;
const METERED: u8 = 1 << 1;

/// Slots of a bus.
const SLOTS: usize = 32;

/// Somebody wants the attention of whoever looks at this. While nobody measures, a look costs one load.
#[derive(Debug, Default)]
pub struct StopFlag {
    state: AtomicU8,
    /// The host's counter at the last look.
    last: AtomicU64,
    longest: AtomicU64,
    /// What was done in the longest time, as the look behind it was told.
    done: AtomicU64,
    /// What was spent in all: by the CPU, and in calls of each function, by its slot.
    run: AtomicU64,
    calls: [AtomicU64; SLOTS],
    /// When it began, by two clocks.
    begun: OnceLock<(HostTsc, std::time::Instant)>,
}

/// What was done before a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The CPU ran.
    Run,
    /// A function of this requester id was called.
    Call(u16),
    /// Nothing that counts: the machine stood still, or waited for its host.
    Nothing,
}

impl Done {
    const RUN: u64 = 1 << 16;
}

/// The longest time between two looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Longest {
    /// Of the host's.
    pub seconds: f64,
    /// What was done in it.
    pub done: Done,
}

/// Where the host's time went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spent {
    /// Seconds in which the CPU ran, and devices answered it.
    pub run: f64,
    /// Slots whose function was called later than that, for an event of its own, and the seconds in those calls.
    pub calls: Vec<(u8, f64)>,
}

impl StopFlag {
    /// Raises it.
    pub fn raise(&self) {
        self.state.fetch_or(RAISED, Ordering::Release);
    }

    /// Lowers it.
    pub fn lower(&self) {
        self.state.fetch_and(!RAISED, Ordering::AcqRel);
    }

    /// Whether it is raised.
    pub fn is_raised(&self) -> bool {
        self.state.load(Ordering::Acquire) & RAISED != 0
    }

    /// As [`Self::is_raised`], of the machine's thread, which has `done` this since its last look.
    #[inline(always)]
    pub fn look(&self, done: Done) -> bool {
        match self.state.load(Ordering::Relaxed) {
            0 => false,
            state => self.look_closely(state, done),
        }
    }

    #[cold]
    fn look_closely(&self, state: u8, done: Done) -> bool {
        if state & METERED != 0 {
            let now = HostTsc::now().0;
            let took = now.saturating_sub(self.last.swap(now, Ordering::Relaxed));
            match done {
                Done::Run => self.run.fetch_add(took, Ordering::Relaxed),
                Done::Call(rid) => {
                    self.calls[usize::from(rid >> 3) % SLOTS].fetch_add(took, Ordering::Relaxed)
                }
                Done::Nothing => 0,
            };
            if done != Done::Nothing && took > self.longest.load(Ordering::Relaxed) {
                self.longest.store(took, Ordering::Relaxed);
                let done = if let Done::Call(rid) = done { rid.into() } else { Done::RUN };
                self.done.store(done, Ordering::Relaxed);
            }
        }
        state & RAISED != 0
    }

    /// Measures from now on. Only one thread may look.
    pub fn measure(&self) {
        let now = HostTsc::now();
        if self.begun.set((now, std::time::Instant::now())).is_ok() {
            self.last.store(now.0, Ordering::Relaxed);
            self.state.fetch_or(METERED, Ordering::Relaxed);
        }
    }

    /// Where the time went, if it was measured.
    pub fn spent(&self) -> Option<Spent> {
        let second = self.second()?;
        let seconds = |counted: &AtomicU64| counted.load(Ordering::Relaxed) as f64 / second;
        let calls = (0..).zip(self.calls.iter().map(seconds)).filter(|(_, seconds)| *seconds > 0.0);
        Some(Spent { run: seconds(&self.run), calls: calls.collect() })
    }

    /// Counts of the host's counter in a second, as far as that was measured.
    fn second(&self) -> Option<f64> {
        let (tsc, at) = self.begun.get()?;
        let counted = HostTsc::now().0.saturating_sub(tsc.0).max(1);
        Some(counted as f64 / at.elapsed().as_secs_f64().max(1e-9))
    }

    /// The longest time between two looks, if it was measured.
    pub fn longest(&self) -> Option<Longest> {
        let second = self.second()?;
        let done = match self.done.load(Ordering::Relaxed) {
            Done::RUN => Done::Run,
            rid => Done::Call(rid as u16),
        };
        Some(Longest { seconds: self.longest.load(Ordering::Relaxed) as f64 / second, done })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_is_seen_until_it_is_lowered_whether_it_measures_or_not() {
        let flag = StopFlag::default();
        for _ in 0..2 {
            assert!(!flag.look(Done::Run) && !flag.is_raised());
            flag.raise();
            assert!(flag.look(Done::Run) && flag.is_raised());
            flag.lower();
            flag.measure();
        }
    }

    #[test]
    fn the_longest_time_is_that_of_what_took_it() {
        let flag = StopFlag::default();
        assert_eq!(flag.longest(), None);
        flag.measure();
        let waited = |ms, done| {
            std::thread::sleep(Duration::from_millis(ms));
            flag.look(done);
        };
        waited(400, Done::Nothing);
        waited(0, Done::Run);
        waited(20, Done::Call(24));
        waited(1, Done::Run);
        let longest = flag.longest().unwrap();
        // A sleep is no shorter than it says; how much longer it is nobody knows.
        assert!(longest.seconds >= 0.019 && longest.done != Done::Nothing, "{longest:?}");
        let spent = flag.spent().unwrap();
        assert!(spent.run > 0.0 && spent.calls.len() == 1, "{spent:?}");
        assert!(spent.calls[0].0 == 3 && spent.calls[0].1 >= 0.019, "{spent:?}");
    }
}
