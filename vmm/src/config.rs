//! What a machine is made of, as plain data: the command line and a snapshot both describe it so.

use std::path::PathBuf;

use fencepost_devices::camera::CameraCost;
use fencepost_devices::display;
use fencepost_devices::gpu::GpuConfig;
use serde::{Deserialize, Serialize};

/// A machine after power-on, but for the kernel in its memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineConfig {
    /// Guest RAM, bytes.
    pub memory_bytes: u64,
    /// Whether there is an IOMMU (VT-d).
    pub iommu: bool,
    /// The seed by which the machine varies what hardware may vary, if it does.
    pub seed: Option<u64>,
    /// The GPU's cost model.
    pub gpu: GpuConfig,
    /// The camera.
    pub camera: CameraConfig,
    /// The display.
    pub display: display::Config,
}

/// A camera and where its pictures come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraConfig {
    /// Y4M or PNG; a test pattern when absent.
    pub source: Option<PathBuf>,
    /// Largest width of the test pattern, pixels.
    pub width_px: Option<u32>,
    /// Largest height of the test pattern, pixels.
    pub height_px: Option<u32>,
    /// Frames a second, instead of the source's own.
    pub fps: Option<u32>,
    /// The cost model.
    pub cost: CameraCost,
}
