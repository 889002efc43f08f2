//! What the files of a run may take of the host's disks together (`--max-disk`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are left to be written. Clones are the same bytes.
#[derive(Clone, Debug)]
pub struct Allowance(Option<Arc<AtomicU64>>);

impl Default for Allowance {
    /// Without end.
    fn default() -> Self {
        Allowance(None)
    }
}

impl Allowance {
    /// So many bytes; without a number there is no end.
    pub fn of(bytes: Option<u64>) -> Self {
        Allowance(bytes.map(|bytes| Arc::new(AtomicU64::new(bytes))))
    }

    /// Takes `bytes`, or what is left of the allowance if that is less; how many they are.
    pub fn take_up_to(&self, bytes: u64) -> u64 {
        let Some(left) = &self.0 else { return bytes };
        let before =
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_sub(bytes)));
        before.unwrap_or(0).min(bytes)
    }

    /// Takes `bytes`; false if there are not so many left, and then none is taken.
    pub fn take(&self, bytes: u64) -> bool {
        let Some(left) = &self.0 else { return true };
        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(bytes)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is() {
        let allowance = Allowance::of(Some(10));
        let other = allowance.clone();
        assert!(
            allowance.take(6) && !other.take(5) && other.take(4) && !allowance.take(1) && allowance.take(0)
        );
        let allowance = Allowance::of(Some(10));
        assert_eq!([7, 7, 7].map(|bytes| allowance.take_up_to(bytes)), [7, 3, 0]);
        assert!(Allowance::default().take(u64::MAX) && Allowance::default().take(u64::MAX));
    }
}
