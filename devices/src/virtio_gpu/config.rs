//! What the host's user may set.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::cost::CostModel;
use crate::display;
use crate::parameters::{Parameter, Takes};

/// Scan-outs at most.
pub const OUTPUTS_MAX: u64 = 4;
/// The sides that an EDID can carry.
const SIDE: Takes = Takes::Whole { min: 64, max: 4095 };

/// The monitors and the cost model. The costs are assumptions, not measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VirtioGpuConfig {
    /// Scan-outs, each with a monitor.
    pub outputs: u32,
    /// Preferred width of each, pixels.
    #[serde(rename = "width")]
    pub width_px: u16,
    /// Preferred height of each, lines.
    #[serde(rename = "height")]
    pub height_px: u16,
    /// Guest cycles of every command.
    #[serde(rename = "latency")]
    pub fixed_cycles: u64,
    /// Bytes moved in one guest cycle.
    #[serde(rename = "bytes-per-cycle")]
    pub bytes_per_cycle: NonZeroU32,
}

impl Default for VirtioGpuConfig {
    fn default() -> Self {
        VirtioGpuConfig {
            outputs: 1,
            width_px: 1024,
            height_px: 768,
            fixed_cycles: 1000,
            bytes_per_cycle: NonZeroU32::MIN.saturating_add(3),
        }
    }
}

impl VirtioGpuConfig {
    /// The cost model.
    pub fn cost(&self) -> CostModel {
        CostModel { fixed_cycles: self.fixed_cycles, bytes_per_cycle: self.bytes_per_cycle }
    }

    /// Whether the monitors can be described.
    pub fn check(&self) -> Result<(), String> {
        monitor(self.width_px.into(), self.height_px.into()).map(|_| ()).ok_or_else(|| {
            format!(
                "{}x{} is more than a monitor's EDID can say at 60 Hz; give less",
                self.width_px, self.height_px
            )
        })
    }
}

/// A monitor of this size, if there can be one.
pub fn monitor(width: u32, height: u32) -> Option<display::Config> {
    let (width_px, height_px) = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    let config = display::Config { width_px, height_px, ..display::Config::default() };
    config.check().is_ok().then_some(config)
}

/// The keys.
pub const PARAMETERS: &[Parameter] = &[
    Parameter {
        key: "outputs",
        takes: Takes::Whole { min: 1, max: OUTPUTS_MAX },
        about: "scan-outs, each with a monitor",
    },
    Parameter { key: "width", takes: SIDE, about: "width of the preferred mode, pixels" },
    Parameter { key: "height", takes: SIDE, about: "height of the preferred mode, lines" },
    Parameter { key: "latency", takes: Takes::LATENCY, about: "cycles of each command, whatever its size" },
    Parameter { key: "bytes-per-cycle", takes: Takes::RATE, about: "bytes moved in a cycle" },
];
