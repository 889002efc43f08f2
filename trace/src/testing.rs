//! What tests of this and of other crates make traces with.

use crate::event::{Accel, Category, Engine};
use crate::file::{FunctionName, Header};

/// Requester id of the GPU in [`header`].
pub const GPU: u16 = 8;
/// Requester id of the camera in [`header`].
pub const CAMERA: u16 = 16;
/// Requester id of the display in [`header`].
pub const DISPLAY: u16 = 24;

/// The header of a machine with all three devices: exact cycles, one a nanosecond, and the default categories.
pub fn header() -> Header {
    let name = |rid, name: &str, engine| FunctionName { rid, name: name.into(), engine };
    Header {
        accel: Accel::Soft,
        tsc_hz: 1_000_000_000,
        categories: Category::DEFAULT.to_vec(),
        functions: vec![
            name(GPU, "gpu", Engine::Gpu),
            name(CAMERA, "camera", Engine::Camera),
            name(DISPLAY, "display", Engine::Display),
        ],
        costs: Vec::new(),
        seed: None,
        limit: None,
        snapshot: None,
    }
}
