//! The register of docs/pvpanic.md, and the bits in it.

use crate::registers::{Register, acting};

/// Size of BAR 0: the smallest that memory can have.
pub const BAR_BYTES: u32 = 16;
/// Where the one register is.
pub const EVENTS: u64 = 0;

/// The kernel has panicked, and the host shall do what is to be done.
pub const PANICKED: u8 = 1;
/// It has panicked and will deal with that itself, by a crash kernel.
pub const CRASH_LOADED: u8 = 2;
/// It is shutting down.
pub const SHUTDOWN: u8 = 4;

/// The register table.
pub const ROWS: &[Register] =
    &[acting("EVENTS", EVENTS as usize, 1, 7, (PANICKED | CRASH_LOADED | SHUTDOWN) as u64)];
