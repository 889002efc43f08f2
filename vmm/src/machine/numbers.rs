//! What RDRAND and RDSEED give: numbers by a seed, so that a run is exact.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::Machine;

/// Marks the seed of these numbers, so that they are not those that other parts draw by the same one.
const PURPOSE: u64 = u64::from_le_bytes(*b"rdrand\0\0");

/// The numbers of a machine, of all its CPUs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers(Xoshiro256PlusPlus);

impl Numbers {
    /// Those of `seed`.
    pub fn new(seed: u64) -> Self {
        Numbers(Xoshiro256PlusPlus::seed_from_u64(seed ^ PURPOSE))
    }

    /// The next one.
    pub fn next(&mut self) -> u64 {
        self.0.next_u64()
    }
}

impl Machine {
    /// From now on RDRAND and RDSEED give the numbers of `seed`.
    pub fn seed_numbers(&mut self, seed: u64) {
        self.numbers = Numbers::new(seed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_numbers_of_its_own_each_another() {
        let draw = |seed| -> Vec<u64> {
            let mut numbers = Numbers::new(seed);
            (0..1000).map(|_| numbers.next()).collect()
        };
        assert_eq!(draw(7), draw(7));
        let mut all = [draw(7), draw(8)].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2000);
    }
}
