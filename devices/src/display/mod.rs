//! The display controller (docs/display.md): one CRTC with a primary plane, scanned out by DMA.

mod config;
mod core;
pub(crate) mod edid;
mod engine;
mod plane;
mod raster;
mod registers;
mod sink;
mod state;
#[cfg(test)]
mod tests;

pub use config::{Config, ConfigError, DisplayParts, ScanOut};
pub use core::Display;
pub use plane::PlaneRegs;
pub use raster::{Mode, Raster};
pub use registers::Size;
pub use sink::{NoPictures, PictureSink, Scanned};
pub use state::{DisplayState, FrameCrc, LastVblank, Offered, ReadLatch, Shown};
