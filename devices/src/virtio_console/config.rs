//! What the host's user may set.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::cost::CostModel;
use crate::parameters::{Parameter, Takes};

/// The terminal's size and the cost model. The costs are assumptions, not measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsoleConfig {
    /// Columns of the terminal.
    pub columns: u16,
    /// Rows of the terminal.
    pub rows: u16,
    /// Guest cycles from a notification to the work that it brings.
    #[serde(rename = "latency")]
    pub fixed_cycles: u64,
    /// Bytes moved in one guest cycle.
    #[serde(rename = "bytes-per-cycle")]
    pub bytes_per_cycle: NonZeroU32,
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        ConsoleConfig { columns: 80, rows: 25, fixed_cycles: 1000, bytes_per_cycle: NonZeroU32::MIN }
    }
}

impl ConsoleConfig {
    /// The cost model.
    pub fn cost(&self) -> CostModel {
        CostModel { fixed_cycles: self.fixed_cycles, bytes_per_cycle: self.bytes_per_cycle }
    }
}

/// The keys.
pub const PARAMETERS: &[Parameter] = &[
    Parameter {
        key: "columns",
        takes: Takes::Whole { min: 1, max: 10_000 },
        about: "columns of the terminal",
    },
    Parameter { key: "rows", takes: Takes::Whole { min: 1, max: 10_000 }, about: "rows of the terminal" },
    Parameter { key: "latency", takes: Takes::LATENCY, about: "cycles from a notification to its work" },
    Parameter { key: "bytes-per-cycle", takes: Takes::RATE, about: "bytes moved in a cycle" },
];
