//! What a suite of driver tests gave, as plain data, and how it is told.
//!
//! [`Suite`] is what `fencepost test` writes with `--json`, what shards are merged from, and what every other report is made of. Nothing
//! here runs a guest.

#![warn(missing_docs)]
#![deny(clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod class;
pub mod dmesg;
mod judged;
pub mod ktap;
pub mod merge;
pub mod outcome;
mod pattern;
pub mod printk;
pub mod reports;
pub mod shard;
pub mod text;
pub mod whole;
pub mod write;

pub use judged::Judged;
pub use outcome::{Check, Failure, Outcome, Suite, Verdict};
pub use pattern::PatternError;
