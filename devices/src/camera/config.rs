//! What the machine decides about a camera.

use serde::{Deserialize, Serialize};

use super::source::FrameSource;

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
