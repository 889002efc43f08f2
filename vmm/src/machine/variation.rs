//! What hardware may vary, varied by a seed: how long engines take, which of two things due at one moment comes first,
//! and how long an interrupt message is on its way. docs/machine.md states the bounds.
//!
//! All of it comes from the seed and from the order in which the machine asks, which under `soft` is the guest's doing
//! alone: the same seed gives the same run.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::Machine;

/// An engine's job takes up to one part in this many longer.
const LONGER_PART: u64 = 4;
/// An interrupt message is on its way for at most so long, nanoseconds.
pub const DELAY_MAX_NS: u64 = 2000;
/// Messages on their way at a time; beyond it they arrive at once. A guest could have any number of them sent.
pub const IN_FLIGHT_MAX: usize = 256;

/// How long a CPU's turn is, of several, in instructions.
pub const TURN: u64 = 20_000;
/// A varied turn is at most this times as long.
const TURN_LONGER: u64 = 2;
/// One varied turn in so many is a short one, of at most [`TURN_SHORT`] instructions: two CPUs then take steps in places where they
/// seldom meet.
const SHORT_PART: u64 = 4;
const TURN_SHORT: u64 = 200;

/// Numbers for one purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream(Xoshiro256PlusPlus);

impl Stream {
    /// The numbers of `seed`.
    pub fn new(seed: u64) -> Self {
        Stream(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// Any number, each as likely as the others.
    pub fn any(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 to `most`, each as likely as the others (to one part in 2^64 / `most`).
    pub fn up_to(&mut self, most: u64) -> u64 {
        let scaled = u128::from(self.any()) * (u128::from(most) + 1);
        (scaled >> 64) as u64
    }
}

/// The streams of one machine, one for each purpose, so that drawing for one does not move the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variation {
    durations: Stream,
    delays: Stream,
    ties: Stream,
    turns: Stream,
}

impl Variation {
    /// The variation that `seed` stands for. The streams are 2^128 numbers apart.
    pub fn new(seed: u64) -> Self {
        let mut next = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut stream = || {
            let this = next.clone();
            next.jump();
            Stream(this)
        };
        Variation { durations: stream(), delays: stream(), ties: stream(), turns: stream() }
    }

    /// What a job of `cycles` takes this time: as much, or up to a quarter more.
    pub fn duration(&mut self, cycles: u64) -> u64 {
        cycles.saturating_add(self.durations.up_to(cycles / LONGER_PART))
    }

    /// How long a message is on its way, in nanoseconds.
    pub fn delay_ns(&mut self) -> u64 {
        self.delays.up_to(DELAY_MAX_NS)
    }

    /// How long a CPU's turn is, in instructions.
    pub fn turn(&mut self) -> u64 {
        let most = if self.turns.up_to(SHORT_PART - 1) == 0 { TURN_SHORT } else { TURN_LONGER * TURN };
        1 + self.turns.up_to(most - 1)
    }

    /// A rank among things due at the same moment.
    pub fn tie(&mut self) -> u64 {
        self.ties.any()
    }
}

impl Machine {
    /// From now on, varies by `seed` what hardware may vary.
    pub fn vary(&mut self, seed: u64) {
        self.variation = Some(Variation::new(seed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_others() {
        let draw = |seed| {
            let mut variation = Variation::new(seed);
            (0..8).map(|_| (variation.delay_ns(), variation.tie())).collect::<Vec<_>>()
        };
        assert_eq!(draw(0), draw(0));
        assert_ne!(draw(0), draw(1));
    }

    #[test]
    fn one_purpose_does_not_move_another() {
        let (mut quiet, mut busy) = (Variation::new(7), Variation::new(7));
        for _ in 0..100 {
            let _ = (busy.duration(1000), busy.delay_ns());
        }
        assert_eq!(quiet.tie(), busy.tie());
    }

    #[test]
    fn bounds_are_kept_and_reached() {
        let mut variation = Variation::new(3);
        let durations: Vec<u64> = (0..1000).map(|_| variation.duration(40)).collect();
        assert_eq!((durations.iter().min(), durations.iter().max()), (Some(&40), Some(&50)));
        let delays: Vec<u64> = (0..100_000).map(|_| variation.delay_ns()).collect();
        assert_eq!((delays.iter().min(), delays.iter().max()), (Some(&0), Some(&2000)));
        assert_eq!([0, 3].map(|cycles| variation.duration(cycles)), [0, 3]);
        assert!(variation.duration(u64::MAX) == u64::MAX);
    }
}
