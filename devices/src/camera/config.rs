//! What the machine decides about a camera.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::core::Camera;
use super::pattern::TestPattern;
use super::registers;
use super::source::{AtRate, FrameSource, MAX_SIDE_PX, Rate, Size};
use crate::parameters::{Parameter, Takes};
use crate::registers::Register;
use crate::registry::{Host, Model, cost_in_words};

/// How long the camera takes to write a frame: an assumption of the model, not a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraCost {
    /// Cycles per frame, whatever its size.
    pub fixed_cycles: u32,
    /// Bytes written per cycle; zero counts as one.
    pub bytes_per_cycle: u32,
}

impl Default for CameraCost {
    fn default() -> Self {
        CameraCost { fixed_cycles: 2000, bytes_per_cycle: 4 }
    }
}

impl CameraCost {
    /// Cycles to write `bytes`, rounded up.
    pub fn cycles(&self, bytes: u64) -> u64 {
        u64::from(self.fixed_cycles).saturating_add(bytes.div_ceil(u64::from(self.bytes_per_cycle.max(1))))
    }
}

/// What the host provides of a camera.
pub struct CameraParts {
    /// The cost model.
    pub cost: CameraCost,
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
    /// [`CameraCost::fixed_cycles`].
    pub latency: u32,
    /// [`CameraCost::bytes_per_cycle`].
    pub bytes_per_cycle: u32,
}

impl Default for CameraConfig {
    fn default() -> Self {
        let CameraCost { fixed_cycles, bytes_per_cycle } = CameraCost::default();
        CameraConfig {
            source: None,
            width: 1920,
            height: 1080,
            fps: None,
            latency: fixed_cycles,
            bytes_per_cycle,
        }
    }
}

impl CameraConfig {
    fn cost(&self) -> CameraCost {
        CameraCost { fixed_cycles: self.latency, bytes_per_cycle: self.bytes_per_cycle }
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

    fn cost(config: &CameraConfig) -> Option<String> {
        Some(cost_in_words(config.latency.into(), config.bytes_per_cycle.into()))
    }
}
