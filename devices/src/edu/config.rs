//! What the host's user may set.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::core::Edu;
use super::registers;
use crate::cost::CostModel;
use crate::parameters::{Parameter, Takes};
use crate::registers::Register;
use crate::registry::{Host, Model};

/// The cost model (docs/edu.md, *Time*) and the width of DMA addresses. The costs are assumptions, not measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EduConfig {
    /// Guest cycles of every transfer and every factorial.
    #[serde(rename = "latency")]
    pub fixed_cycles: u64,
    /// Bytes that DMA moves in one guest cycle.
    #[serde(rename = "bytes-per-cycle")]
    pub bytes_per_cycle: NonZeroU32,
    /// Guest cycles of a multiplication.
    #[serde(rename = "multiply")]
    pub multiply_cycles: u64,
    /// Address bits that DMA drives.
    #[serde(rename = "dma-bits")]
    pub dma_bits: u32,
}

impl Default for EduConfig {
    fn default() -> Self {
        EduConfig {
            fixed_cycles: 500,
            bytes_per_cycle: NonZeroU32::MIN.saturating_add(7),
            multiply_cycles: 4,
            dma_bits: 28,
        }
    }
}

impl EduConfig {
    /// The cost model of DMA.
    pub fn cost(&self) -> CostModel {
        CostModel { fixed_cycles: self.fixed_cycles, bytes_per_cycle: self.bytes_per_cycle }
    }

    /// Guest cycles that the factorial of `value` takes: a multiplication for each factor.
    pub fn factorial_cycles(&self, value: u32) -> u64 {
        self.fixed_cycles.saturating_add(self.multiply_cycles.saturating_mul(value.into()))
    }

    /// The highest address that DMA can drive.
    pub fn dma_mask(&self) -> u64 {
        u64::MAX.checked_shr(64u32.saturating_sub(self.dma_bits)).unwrap_or(0)
    }
}

impl Model for Edu {
    const ABOUT: &'static str = "educational device: factorial, interrupts, DMA of 28 bits";
    const SLOT: Option<u8> = None;
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            key: "latency",
            takes: Takes::LATENCY,
            about: "cycles of each transfer and factorial, whatever its size",
        },
        Parameter { key: "bytes-per-cycle", takes: Takes::RATE, about: "bytes that DMA moves in a cycle" },
        Parameter {
            key: "multiply",
            takes: Takes::Whole { min: 0, max: 1_000_000 },
            about: "cycles of a multiplication",
        },
        Parameter {
            key: "dma-bits",
            takes: Takes::Whole { min: 12, max: 64 },
            about: "address bits that DMA drives",
        },
    ];
    type Config = EduConfig;

    fn parts(config: EduConfig, _: &mut dyn Host) -> Result<EduConfig, String> {
        Ok(config)
    }

    fn power_on(config: EduConfig) -> Result<Self, String> {
        Ok(Edu::new(config))
    }

    fn register_table() -> Vec<Register> {
        registers::MAP.rows()
    }

    fn cost(config: &EduConfig) -> Option<CostModel> {
        Some(config.cost())
    }
}
