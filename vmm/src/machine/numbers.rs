//! What RDRAND and RDSEED give: numbers by a seed, so that a run is exact.

use super::Machine;
use super::variation::Stream;

/// Marks the seed of these numbers, so that they are not those that other parts draw by the same one.
const PURPOSE: u64 = u64::from_le_bytes(*b"rdrand\0\0");

/// The numbers of a machine, of all its CPUs, by `seed`.
pub fn numbers(seed: u64) -> Stream {
    Stream::new(seed ^ PURPOSE)
}

impl Machine {
    /// From now on RDRAND and RDSEED give the numbers of `seed`.
    pub fn seed_numbers(&mut self, seed: u64) {
        self.numbers = numbers(seed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_numbers_of_its_own_each_another() {
        let draw = |seed| -> Vec<u64> {
            let mut numbers = numbers(seed);
            (0..1000).map(|_| numbers.any()).collect()
        };
        assert_eq!(draw(7), draw(7));
        let mut all = [draw(7), draw(8)].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2000);
    }
}
