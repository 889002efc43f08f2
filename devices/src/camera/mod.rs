//! The camera: takes pictures at a programmed rate and writes them into guest buffers.
//!
//! `docs/camera.md` is the register map and the contract with the driver.

mod capture;
mod chart;
mod config;
mod controls;
mod convert;
mod core;
mod error;
mod format;
mod pattern;
mod progress;
mod registers;
mod source;
mod state;
mod sync;
#[cfg(test)]
mod tests;
mod window;
mod wire;

pub use config::{CameraConfig, CameraParts};
pub use convert::convert;
pub use core::Camera;
pub use format::{FrameLayout, PixelFormat};
pub use pattern::TestPattern;
pub use source::{Band, FrameSource, Picture, Range, Rate, Sampling, Size, SizeLimits, SourceError};
pub use state::CameraState;
