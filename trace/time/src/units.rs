//! The time bases themselves.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

use crate::TscOffset;

/// The machine's cycle counter. It never goes back, and no guest can set it: under `soft` the instructions retired and the
/// time skipped while the CPU was idle; under `kvm` the host's counter with an offset that is fixed at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cycles(pub u64);

/// What a guest's time-stamp counter reads (Intel SDM vol. 3, 18.17): a value of RDTSC, of IA32_TSC or of
/// IA32_TSC_DEADLINE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tsc(pub u64);

impl Cycles {
    /// The end of time.
    pub const MAX: Cycles = Cycles(u64::MAX);

    /// So much later; at the end of time at most.
    #[inline]
    pub const fn saturating_add(self, length: u64) -> Self {
        Cycles(self.0.saturating_add(length))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[inline]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for Cycles {
    type Output = Self;

    #[inline]
    fn add(self, length: u64) -> Self {
        self.saturating_add(length)
    }
}

impl AddAssign<u64> for Cycles {
    #[inline]
    fn add_assign(&mut self, length: u64) {
        *self = self.saturating_add(length);
    }
}

impl Sub for Cycles {
    type Output = u64;

    #[inline]
    fn sub(self, earlier: Self) -> u64 {
        self.since(earlier)
    }
}

impl fmt::Display for Cycles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Cycles {
    /// What the guest's counter reads then.
    #[inline]
    pub const fn tsc(self, offset: TscOffset) -> Tsc {
        Tsc(self.0.wrapping_add(offset.0))
    }
}

impl Tsc {
    /// When the guest's counter reads this.
    #[inline]
    pub const fn cycles(self, offset: TscOffset) -> Cycles {
        Cycles(self.0.wrapping_sub(offset.0))
    }
}

impl fmt::Display for Tsc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
