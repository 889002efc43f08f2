//! `--state-log`: what the CPUs are at moments of a run, a line each. Two runs that should be the same are compared by it: the first line that
//! differs says where they part.

use std::fmt;
use std::io::Write;

use fencepost_random::Random;
use fencepost_time::Cycles;
use sha2::{Digest, Sha256};

/// Of the moments' generator: runs that are compared have the same ones.
const SEED: u64 = 1;
/// Bytes of a digest that a line has.
const SHOWN: usize = 16;

/// Writes down the state of all CPUs at moments that come at random, by a generator of its own.
pub struct StateLog {
    to: Box<dyn Write + Send>,
    random: Random,
    /// Cycles from one moment to the next, on average.
    every: u64,
    next: Cycles,
}

impl fmt::Debug for StateLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateLog")
            .field("every", &self.every)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl StateLog {
    /// To `to`, every so many cycles on average, at least one.
    pub fn new(to: Box<dyn Write + Send>, every: u64) -> Self {
        let mut log = StateLog { to, random: Random::new(SEED), every: every.max(1), next: Cycles(0) };
        log.next = log.after(Cycles(0));
        log
    }

    /// The moment that follows another one.
    fn after(&mut self, now: Cycles) -> Cycles {
        now + 1 + self.random.below(self.every.saturating_mul(2) - 1)
    }

    /// Until when the CPUs may run, who are to run until `until`.
    pub(crate) fn limit(&self, until: Cycles) -> Cycles {
        until.min(self.next)
    }

    /// Writes a line if it is time to: the cycle, the number of the CPU that runs, and a digest of the states of all.
    /// (Where the CPUs were idle meanwhile, at the moment they go on.)
    pub(crate) fn look(&mut self, now: Cycles, cpu: usize, states: impl FnOnce() -> Vec<u8>) {
        if now < self.next {
            return;
        }
        self.next = self.after(now);
        let digest = Sha256::digest(states());
        let digest: String = digest.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
        // The file's own error is told at the end.
        let _ = writeln!(self.to, "{} cpu{} {digest}", now.0, cpu);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_one_after_the_other_and_as_often_as_is_said() {
        let mut log = StateLog::new(Box::new(std::io::sink()), 1000);
        let mut now = Cycles(0);
        for _ in 0..10_000 {
            let next = log.after(now);
            assert!(next > now && next.0 - now.0 < 2000);
            now = next;
        }
        assert!((9_500_000..10_500_000).contains(&now.0), "{now:?}");
        assert_eq!(log.limit(Cycles(0)), Cycles(0));
        // The rarest there can be does not overflow.
        StateLog::new(Box::new(std::io::sink()), u64::MAX);
    }
}
