//! What the host's user may set.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::cost::CostModel;
use crate::parameters::{Parameter, Takes};

/// The seed and the cost model. The costs are assumptions, not measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RngConfig {
    /// What the numbers are made from; none: the host's where it gives some, else 0.
    pub seed: Option<u64>,
    /// Guest cycles of every request.
    #[serde(rename = "latency")]
    pub fixed_cycles: u64,
    /// Bytes made in one guest cycle.
    #[serde(rename = "bytes-per-cycle")]
    pub bytes_per_cycle: NonZeroU32,
}

impl Default for RngConfig {
    fn default() -> Self {
        RngConfig { seed: None, fixed_cycles: 1000, bytes_per_cycle: NonZeroU32::MIN }
    }
}

impl RngConfig {
    /// The cost model.
    pub fn cost(&self) -> CostModel {
        CostModel { fixed_cycles: self.fixed_cycles, bytes_per_cycle: self.bytes_per_cycle }
    }
}

/// The keys.
pub const PARAMETERS: &[Parameter] = &[
    Parameter {
        key: "seed",
        takes: Takes::Whole { min: 0, max: i64::MAX as u64 },
        about: "what its numbers are made from, under kvm too; kvm has the host's without it, soft 0",
    },
    Parameter { key: "latency", takes: Takes::LATENCY, about: "cycles of each request, whatever its size" },
    Parameter { key: "bytes-per-cycle", takes: Takes::RATE, about: "bytes made in a cycle" },
];
