//! How long something took, many times over: count, sum, and quantiles of what was kept.

use std::time::Duration;

/// Samples kept: a guest that makes more happen must not fill the host's memory.
const KEPT_MOST: usize = 1 << 16;

/// Lengths of time. All of them count; the first 65,536 are kept for the quantiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lengths {
    kept: Vec<Duration>,
    count: u64,
    sum: Duration,
}

impl Lengths {
    /// Adds one.
    pub fn push(&mut self, length: Duration) {
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(length);
        if self.kept.len() < KEPT_MOST {
            self.kept.push(length);
        }
    }

    /// Adds those of others.
    pub fn add(&mut self, others: &Lengths) {
        self.count = self.count.saturating_add(others.count);
        self.sum = self.sum.saturating_add(others.sum);
        let room = KEPT_MOST.saturating_sub(self.kept.len());
        self.kept.extend(others.kept.iter().take(room));
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The length that `percent` of the kept ones do not exceed (nearest rank), if there are any.
    pub fn percentile(&self, percent: usize) -> Option<Duration> {
        let mut sorted = self.kept.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied()
    }
}

/// A length in microseconds, as reports show it.
pub fn us(length: Duration) -> String {
    format!("{:.1} us", length.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut lengths = Lengths::default();
        assert_eq!(lengths.percentile(50), None);
        for ms in (1..=200).rev() {
            lengths.push(Duration::from_millis(ms));
        }
        let at = |percent| lengths.percentile(percent).map(|d| d.as_millis());
        assert_eq!([at(1), at(50), at(99), at(100)], [Some(2), Some(100), Some(198), Some(200)]);
        assert_eq!((lengths.count(), lengths.sum()), (200, Duration::from_millis(20_100)));
    }

    #[test]
    fn entries_that_are_not_kept_are_still_counted() {
        let mut lengths = Lengths::default();
        for _ in 0..KEPT_MOST + 10 {
            lengths.push(Duration::from_micros(2));
        }
        assert_eq!(lengths.count(), KEPT_MOST as u64 + 10);
        assert_eq!(lengths.kept.len(), KEPT_MOST);
    }
}
