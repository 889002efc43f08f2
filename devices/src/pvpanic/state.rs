//! What the device remembers: nothing but what it has counted.

use serde::{Deserialize, Serialize};

use super::core::{Pvpanic, PvpanicParts};
use crate::state::{StateError, Stateful};

/// What was written to the register so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PvpanicState {
    /// Panics.
    pub panics: u64,
    /// Panics that a crash kernel was to deal with.
    pub crash_loads: u64,
    /// Shutdowns.
    pub shutdowns: u64,
    /// Writes that told none of the events offered.
    pub ignored: u64,
}

impl Stateful for Pvpanic {
    const KIND: &'static str = "pvpanic";
    const VERSION: u32 = 1;
    type Parts = PvpanicParts;
    type State = PvpanicState;

    fn save(&self) -> PvpanicState {
        self.state
    }

    fn restore(parts: PvpanicParts, state: PvpanicState) -> Result<Self, StateError> {
        Ok(Pvpanic { state, ..Pvpanic::new(parts) })
    }
}
