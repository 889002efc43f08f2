//! What the host's user may set.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::cost::CostModel;
use crate::parameters::{Parameter, Takes};

/// The address and the cost model. The costs are assumptions, not measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetConfig {
    /// The last byte of the station's address.
    pub station: u8,
    /// Guest cycles of every frame.
    #[serde(rename = "latency")]
    pub fixed_cycles: u64,
    /// Bytes moved in one guest cycle.
    #[serde(rename = "bytes-per-cycle")]
    pub bytes_per_cycle: NonZeroU32,
}

impl Default for NetConfig {
    fn default() -> Self {
        NetConfig { station: 1, fixed_cycles: 1000, bytes_per_cycle: NonZeroU32::MIN }
    }
}

impl NetConfig {
    /// The cost model.
    pub fn cost(&self) -> CostModel {
        CostModel { fixed_cycles: self.fixed_cycles, bytes_per_cycle: self.bytes_per_cycle }
    }

    /// The station's address: administered locally, for one station.
    pub fn address(&self) -> [u8; 6] {
        [0x02, 0xfe, 0x9c, 0, 0, self.station]
    }
}

/// The keys.
pub const PARAMETERS: &[Parameter] = &[
    Parameter {
        key: "station",
        takes: Takes::Whole { min: 0, max: 255 },
        about: "last byte of the address 02:fe:9c:00:00:XX",
    },
    Parameter { key: "latency", takes: Takes::LATENCY, about: "cycles of each frame, whatever its size" },
    Parameter { key: "bytes-per-cycle", takes: Takes::RATE, about: "bytes moved in a cycle" },
];
