//! What the machine decides about a camera.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::core::Camera;
use super::pattern::TestPattern;
use super::registers;
use super::source::{AtRate, FrameSource, MAX_SIDE_PX, Rate, Size};
use crate::cost::CostModel;
use crate::parameters::{Parameter, Takes};
use crate::registers::Register;
use crate::registry::{Host, Model};

/// What the host provides of a camera.
pub struct CameraParts {
    /// The cost model.
    pub cost: CostModel,
    /// Where its pictures come from.
    pub source: Box<dyn FrameSource>,
}

/// A camera and where its pictures come from, as the host's user describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct CameraConfig {
    /// A file of pictures; a test pattern when absent.
    pub source: Option<PathBuf>,
    /// Largest width of the test pattern, pixels.
    pub width: u32,
    /// Largest height of the test pattern, pixels.
    pub height: u32,
    /// Frames a second; the source's own when absent.
    pub fps: Option<u32>,
    /// Cycles of a frame, whatever its size.
    pub latency: u64,
    /// Bytes written in a cycle.
    pub bytes_per_cycle: NonZeroU32,
}

impl Default for CameraConfig {
    fn default() -> Self {
        CameraConfig {
            source: None,
            width: 1920,
            height: 1080,
            fps: None,
            latency: 2000,
            bytes_per_cycle: NonZeroU32::MIN.saturating_add(3),
        }
    }
}

impl CameraConfig {
    /// The cost model.
    pub fn cost(&self) -> CostModel {
        CostModel { fixed_cycles: self.latency, bytes_per_cycle: self.bytes_per_cycle }
    }
}

/// The sides that the test pattern can have.
const SIDE: Takes = Takes::Even { min: 16, max: MAX_SIDE_PX as u64 };

impl Model for Camera {
    const ABOUT: &'static str = "camera that shows pictures of the host's";
    const SLOT: Option<u8> = Some(2);
    const PARAMETERS: &'static [Parameter] = &[
        Parameter { key: "source", takes: Takes::File, about: "pictures, Y4M or PNG, not the test pattern" },
        Parameter { key: "width", takes: SIDE, about: "largest width of the test pattern, pixels" },
        Parameter { key: "height", takes: SIDE, about: "largest height of the test pattern, pixels" },
        Parameter {
            key: "fps",
            takes: Takes::Whole { min: 1, max: 240 },
            about: "frames a second, not the source's own",
        },
        Parameter { key: "latency", takes: Takes::LATENCY, about: "cycles of each frame, whatever its size" },
        Parameter { key: "bytes-per-cycle", takes: Takes::RATE, about: "bytes written in a cycle" },
    ];
    type Config = CameraConfig;

    fn parts(config: CameraConfig, host: &mut dyn Host) -> Result<CameraParts, String> {
        let source = match &config.source {
            Some(path) => host.pictures(path).map_err(|why| format!("source {why}"))?,
            None => Box::new(TestPattern::new(Size { width_px: config.width, height_px: config.height })),
        };
        let source = match config.fps {
            Some(fps) => Box::new(AtRate { source, rate: Rate { num: fps, den: 1 } }),
            None => source,
        };
        Ok(CameraParts { cost: config.cost(), source })
    }

    fn power_on(parts: CameraParts) -> Result<Self, String> {
        Ok(Camera::new(parts))
    }

    fn register_table() -> Vec<Register> {
        registers::MAP.rows()
    }

    fn cost(config: &CameraConfig) -> Option<CostModel> {
        Some(config.cost())
    }
}
