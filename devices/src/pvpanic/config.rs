//! What the host's user may set.

use serde::{Deserialize, Serialize};

use super::core::{Pvpanic, PvpanicParts};
use super::registers::{CRASH_LOADED, PANICKED, ROWS, SHUTDOWN};
use crate::cost::CostModel;
use crate::parameters::{Parameter, Takes};
use crate::registers::Register;
use crate::registry::{Host, Model};

/// What the device offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PvpanicConfig {
    /// The events that it hears, as bits of its register.
    pub events: u8,
}

impl Default for PvpanicConfig {
    fn default() -> Self {
        PvpanicConfig { events: PANICKED | CRASH_LOADED | SHUTDOWN }
    }
}

impl Model for Pvpanic {
    const ABOUT: &'static str = "tells the host that the guest's kernel has panicked";
    const SLOT: Option<u8> = None;
    const PARAMETERS: &'static [Parameter] = &[Parameter {
        key: "events",
        takes: Takes::Whole { min: 1, max: 7 },
        about: "what it hears: 1 a panic, 2 a panic that a crash kernel deals with, 4 a shutdown; the sum",
    }];
    type Config = PvpanicConfig;

    fn parts(config: PvpanicConfig, host: &mut dyn Host) -> Result<PvpanicParts, String> {
        Ok(PvpanicParts { config, listener: host.guest_events() })
    }

    fn power_on(parts: PvpanicParts) -> Result<Self, String> {
        Ok(Pvpanic::new(parts))
    }

    fn register_table() -> Vec<Register> {
        ROWS.to_vec()
    }

    fn cost(_: &PvpanicConfig) -> Option<CostModel> {
        None
    }
}
