//! The display controller (docs/display.md): heads of a CRTC with four planes and a connector, scanned out by DMA.

mod color;
mod compose;
mod config;
mod core;
pub(crate) mod edid;
mod engine;
mod format;
mod head;
mod kept;
mod layer;
mod making;
mod monitor;
mod plane;
mod raster;
mod registers;
mod scan;
mod sink;
mod state;
mod steps;
#[cfg(test)]
mod tests;
mod vrr;
mod writeback;

pub use color::{ColorControl, ColorRegs};
pub use config::{Config, ConfigError, DisplayParts, ScanOut};
pub use core::Display;
pub use making::{Making, SoFar, Step};
pub use plane::{ChromaRegs, PlaneRegs, Planes};
pub use raster::{Mode, Raster};
pub use registers::{Blend, Color, HEADS, Point, Size};
pub use scan::{Lists, Shown, Staged};
pub use sink::{NoPictures, PictureSink, Scanned};
pub use state::{DisplayState, FrameCrc, HeadState, LastVblank, Offered, ReadLatch};
pub use vrr::VrrRegs;
pub use writeback::{WritebackRegs, Writing, Written};
