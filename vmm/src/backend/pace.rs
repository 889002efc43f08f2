//! Pacing: an idle guest's clock goes no faster than the host's.
//!
//! Pacing only waits. What the guest sees is decided by its own clock alone, so a run that is paced and gets no input has the events
//! of one that is not. What comes from outside while it waits (keys, data for devices) finds the guest's clock where the host's is.
//!
//! A guest that computes slower than real time lags. While it is idle again, a small lag is made up for by not waiting, so that wake-ups
//! that come a little late do not add up; of a larger one nothing is: the guest's clock stays behind by it.

use std::time::{Duration, Instant};

use fencepost_time::Cycles;

use crate::control::Control;
use crate::machine::Machine;

/// The largest lag that is made up for.
const MADE_UP_FOR: Duration = Duration::from_millis(100);

/// Two clocks side by side.
#[derive(Debug, Default)]
pub struct Pace {
    /// A moment of the host's, and what the guest's clock read then, in nanoseconds.
    level: Option<(Instant, u64)>,
    /// Where the guest's clock stood when it was waited for last, in nanoseconds.
    stands_at: Option<u64>,
}

impl Pace {
    /// What the guest's clock, which reads `now_ns`, should read at `host`.
    fn should_read(&mut self, host: Instant, now_ns: u64) -> u64 {
        let (since, ns) = *self.level.get_or_insert((host, now_ns));
        let passed = u64::try_from(host.saturating_duration_since(since).as_nanos()).unwrap_or(u64::MAX);
        let reads = ns.saturating_add(passed);
        let lag = Duration::from_nanos(reads.saturating_sub(now_ns));
        // What was waited already, and was broken off, is no lag.
        let waits_on = self.stands_at.replace(now_ns) == Some(now_ns);
        if !waits_on && lag > MADE_UP_FOR {
            self.level = Some((host, now_ns));
            return now_ns;
        }
        reads
    }

    /// Waits with an idle guest until its clock may read what it does at cycle `at`, or until something is to be attended to. Gives
    /// the cycle to which the clock goes then, if it goes on.
    pub fn reach(&mut self, machine: &Machine, control: &Control, at: Option<Cycles>) -> Option<Cycles> {
        let now = machine.now();
        let ahead_ns = self.should_read(Instant::now(), now.ns).saturating_sub(now.ns);
        let left_ns = at.map(|at| machine.ns_until(at).saturating_sub(ahead_ns));
        let limit = left_ns.map(|ns| Instant::now().checked_add(Duration::from_nanos(ns)));
        if left_ns != Some(0) {
            control.wait(left_ns.map(Duration::from_nanos));
        }
        if limit.flatten().is_some_and(|limit| limit <= Instant::now()) {
            return at;
        }
        // The moment of waking is the host's: only what comes from the host itself may show it to the guest.
        if !control.has_news() {
            return None;
        }
        let reads = self.should_read(Instant::now(), now.ns);
        let reached = machine.cycles_at(reads);
        Some(at.map_or(reached, |at| reached.min(at))).filter(|to| to.0 > now.cycles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn after(ms: u64) -> impl Fn(Instant) -> Instant {
        move |from| from + Duration::from_millis(ms)
    }

    #[test]
    fn a_small_lag_is_made_up_for_and_a_large_one_is_not() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.should_read(start, 5 * MS), 5 * MS);
        assert_eq!(pace.should_read(after(60)(start), 15 * MS), 65 * MS, "50 ms late");
        assert_eq!(pace.should_read(after(60)(start), 65 * MS), 65 * MS);
        assert_eq!(pace.should_read(after(1000)(start), 70 * MS), 70 * MS, "935 ms late");
        assert_eq!(pace.should_read(after(1010)(start), 75 * MS), 80 * MS, "level since then");
    }

    #[test]
    fn a_wait_that_was_broken_off_is_no_lag() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.should_read(start, 0);
        assert_eq!(pace.should_read(after(5000)(start), 0), 5000 * MS);
        assert_eq!(pace.should_read(after(9000)(start), 0), 9000 * MS);
    }

    #[test]
    fn a_guest_that_is_ahead_waits_for_the_host() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.should_read(start, 0);
        assert_eq!(pace.should_read(after(10)(start), 500 * MS), 10 * MS);
    }
}
