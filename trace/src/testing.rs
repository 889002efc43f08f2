//! What tests of this and of other crates make traces with.

use crate::engine::{EngineId, Role};
use crate::event::{Accel, Category};
use crate::file::{EngineName, FunctionName, Header};

/// Requester id of the GPU in [`header`].
pub const GPU: u16 = 8;
/// Requester id of the camera in [`header`].
pub const CAMERA: u16 = 16;
/// Requester id of the display in [`header`].
pub const DISPLAY: u16 = 24;
/// The engine of the GPU in [`header`].
pub const GPU_ENGINE: EngineId = EngineId::new(GPU, 0);
/// The engine of the camera in [`header`].
pub const CAMERA_ENGINE: EngineId = EngineId::new(CAMERA, 0);
/// The engine of the display in [`header`].
pub const DISPLAY_ENGINE: EngineId = EngineId::new(DISPLAY, 0);

/// A function with one engine of its own name.
pub fn function(rid: u16, name: &str, role: Role) -> FunctionName {
    FunctionName { rid, name: name.into(), engines: vec![EngineName { name: name.into(), role }] }
}

/// The header of a machine with all three devices: exact cycles, one a nanosecond, and the default categories.
pub fn header() -> Header {
    Header {
        accel: Accel::Soft,
        tsc_hz: 1_000_000_000,
        categories: Category::DEFAULT.to_vec(),
        functions: vec![
            function(GPU, "gpu", Role::Processor),
            function(CAMERA, "camera", Role::Source),
            function(DISPLAY, "display", Role::Sink),
        ],
        counters: Vec::new(),
        costs: Vec::new(),
        seed: None,
        limit: None,
        snapshot: None,
        paced: None,
    }
}
