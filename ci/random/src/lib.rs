//! Random numbers for tests: the same in every run, on every host.
//!
//! ```
//! use fencepost_random::Random;
//!
//! let mut random = Random::new(7);
//! let die = 1 + random.below(6);
//! assert!((1..=6).contains(&die));
//! assert_eq!(Random::new(7).bits(), Random::new(7).bits());
//! ```

#![warn(missing_docs)]

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// A generator. Two of one seed give the same numbers.
#[derive(Clone, Debug)]
pub struct Random(Xoshiro256PlusPlus);

impl Random {
    /// One of a seed, which may be any number.
    pub fn new(seed: u64) -> Self {
        Random(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`; 0 when `end` is 0. Good enough for tests: the lower numbers come a little more often.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits().checked_rem(end).unwrap_or(0)
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of `items`.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_and_zero_is_one_of_them() {
        let first = |seed| Random::new(seed).bits();
        assert!(first(0) != first(1) && first(1) != first(2));
        let mut zero = Random::new(0);
        assert!((0..10).any(|_| zero.bits() != 0));
    }

    #[test]
    fn every_number_below_the_end_comes_and_no_other() {
        let mut random = Random::new(3);
        let mut seen = [0; 10];
        (0..1000).for_each(|_| seen[random.below(10) as usize] += 1);
        assert!(seen.iter().all(|&times| times > 50), "{seen:?}");
        assert_eq!(random.below(0), 0);
    }
}
