//! What the host user may set.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// The cost model of the engine (docs/gpu.md, *Time*). The defaults are assumptions, not measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GpuConfig {
    /// Guest cycles that every packet takes.
    pub fixed_cycles: u64,
    /// Bytes read plus bytes written in one guest cycle.
    pub bytes_per_cycle: NonZeroU32,
}

impl Default for GpuConfig {
    fn default() -> Self {
        GpuConfig { fixed_cycles: 500, bytes_per_cycle: NonZeroU32::MIN.saturating_add(15) }
    }
}

impl GpuConfig {
    /// Guest cycles that a packet takes which reads and writes `bytes` in all.
    pub fn cycles(&self, bytes: u64) -> u64 {
        self.fixed_cycles.saturating_add(bytes.div_ceil(u64::from(self.bytes_per_cycle.get())))
    }
}
