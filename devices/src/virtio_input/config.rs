//! What the host's user may set.

use serde::{Deserialize, Serialize};

use crate::cost::CostModel;
use crate::parameters::{Parameter, Takes};

/// The device's serial number and the cost model. The cost is an assumption, not a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputConfig {
    /// By what a guest tells two devices of a kind apart.
    pub serial: u32,
    /// Guest cycles until what the driver says of an LED is taken.
    #[serde(rename = "latency")]
    pub fixed_cycles: u64,
}

impl Default for InputConfig {
    fn default() -> Self {
        InputConfig { serial: 1, fixed_cycles: 1000 }
    }
}

impl InputConfig {
    /// The cost model: the size of an event does not matter.
    pub fn cost(&self) -> CostModel {
        CostModel { fixed_cycles: self.fixed_cycles, bytes_per_cycle: std::num::NonZeroU32::MAX }
    }
}

/// The keys.
pub const PARAMETERS: &[Parameter] = &[
    Parameter {
        key: "serial",
        takes: Takes::Whole { min: 0, max: u32::MAX as u64 },
        about: "serial number, by which two of a kind are told apart",
    },
    Parameter { key: "latency", takes: Takes::LATENCY, about: "cycles until an LED's change is taken" },
];
