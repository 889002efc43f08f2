//! The guest kernel's own trace: `format` files, ring-buffer pages, and the stream in which the guest's agent sends them.
//!
//! All of it is written by the guest: nothing here panics, and nothing grows without bound. What makes no sense is
//! counted and left out. `docs/trace-agent.md` has the stream.

#![deny(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::indexing_slicing))]

mod format;
mod page;
mod stream;

#[cfg(test)]
mod tests;

pub use format::Format;
pub(crate) use format::{FIELDS_MAX, NAME_MAX};
pub use page::{Broken, PageLayout, events};
pub(crate) use stream::{CPUS_MAX, TASK_NAME_MAX};
pub use stream::{DEFINITIONS_MAX_BYTES, Decoder, FRAME_MAX, HEADER_BYTES, News, kind};
