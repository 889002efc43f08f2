//! What the host user may set.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::core::Gpu;
use super::registers;
use crate::cost::CostModel;
use crate::parameters::{Parameter, Takes};
use crate::registers::Register;
use crate::registry::{Host, Model};

/// The cost model of the engine (docs/gpu.md, *Time*). The defaults are assumptions, not measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GpuConfig {
    /// Guest cycles that every packet takes.
    #[serde(rename = "latency")]
    pub fixed_cycles: u64,
    /// Bytes read plus bytes written in one guest cycle.
    #[serde(rename = "bytes-per-cycle")]
    pub bytes_per_cycle: NonZeroU32,
}

impl Default for GpuConfig {
    fn default() -> Self {
        GpuConfig { fixed_cycles: 500, bytes_per_cycle: NonZeroU32::MIN.saturating_add(15) }
    }
}

impl GpuConfig {
    /// The cost model.
    pub fn cost(&self) -> CostModel {
        CostModel { fixed_cycles: self.fixed_cycles, bytes_per_cycle: self.bytes_per_cycle }
    }
}

impl Model for Gpu {
    const ABOUT: &'static str = "engine that fills, copies and converts pixels, with fences";
    const SLOT: Option<u8> = Some(1);
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            key: "latency",
            takes: Takes::LATENCY,
            about: "cycles of each packet, whatever its size",
        },
        Parameter { key: "bytes-per-cycle", takes: Takes::RATE, about: "bytes read and written in a cycle" },
    ];
    type Config = GpuConfig;

    fn parts(config: GpuConfig, _: &mut dyn Host) -> Result<GpuConfig, String> {
        Ok(config)
    }

    fn power_on(config: GpuConfig) -> Result<Self, String> {
        Ok(Gpu::new(config))
    }

    fn register_table() -> Vec<Register> {
        registers::MAP.rows()
    }

    fn cost(config: &GpuConfig) -> Option<CostModel> {
        Some(config.cost())
    }
}
