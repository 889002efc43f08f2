//! How long an engine's jobs take.

use std::fmt;
use std::num::NonZeroU32;

/// The cost model of an engine: an assumption about hardware, not a measurement of any.
///
/// ```
/// use fencepost_devices::cost::CostModel;
///
/// let cost = CostModel { fixed_cycles: 500, bytes_per_cycle: 16.try_into().unwrap() };
/// assert_eq!(cost.cycles(33), 503);
/// assert_eq!(cost.to_string(), "500 cycles + 1 cycle a 16 bytes");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostModel {
    /// Guest cycles that every job takes.
    pub fixed_cycles: u64,
    /// Bytes moved in one guest cycle.
    pub bytes_per_cycle: NonZeroU32,
}

impl CostModel {
    /// Guest cycles that a job takes which moves `bytes`; a cycle that was begun counts.
    pub fn cycles(&self, bytes: u64) -> u64 {
        self.fixed_cycles.saturating_add(bytes.div_ceil(u64::from(self.bytes_per_cycle.get())))
    }
}

impl fmt::Display for CostModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cycles + 1 cycle a {} bytes", self.fixed_cycles, self.bytes_per_cycle)
    }
}
