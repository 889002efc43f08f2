//! Variable refresh: frames that wait for a commit.

use serde::{Deserialize, Serialize};

use super::raster::Mode;
use super::registers::Reg;

/// `VRR_*`, as a commit takes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VrrRegs {
    /// `VRR_CONTROL` bit 0.
    pub on: bool,
    /// `VRR_TOTAL`.
    pub total_lines: u16,
}

impl VrrRegs {
    /// What a register of it holds; none if it is none of these.
    pub(super) fn register(&self, register: Reg) -> Option<u64> {
        match register {
            Reg::VrrControl => Some(self.on.into()),
            Reg::VrrTotal => Some(self.total_lines.into()),
            _ => None,
        }
    }

    /// Writes a register of it.
    pub(super) fn write(&mut self, register: Reg, value: u32) {
        match register {
            Reg::VrrControl => self.on = value != 0,
            Reg::VrrTotal => self.total_lines = value as u16,
            _ => {}
        }
    }

    /// Whether a commit of these is accepted in `mode`.
    pub fn is_valid(&self, mode: &Mode) -> bool {
        !self.on || mode.can_last(self.total_lines)
    }

    /// Lines of the longest frame.
    pub fn longest_lines(&self, mode: &Mode) -> u16 {
        if self.on { self.total_lines } else { mode.total.height_px }
    }
}
