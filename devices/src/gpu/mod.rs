//! The GPU of docs/gpu.md: rings of packets that move pixels between scatter-gather lists.

mod active;
mod compute;
mod config;
mod convert;
mod core;
mod error;
mod image;
mod job;
mod mmu;
mod packet;
mod progress;
mod registers;
mod ring;
mod state;
#[cfg(test)]
mod tests;
mod tlb;
mod view;
mod window;

pub use config::GpuConfig;
pub use core::{DEVICE_ID, Gpu};
pub use error::GpuError;
pub use state::GpuState;
