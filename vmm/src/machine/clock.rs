//! The clock of the MC146818 that x86 kernels ask for the date once at boot, standing at one moment for ever.
//!
//! Without it Linux waits a whole second, in a loop of a thousand million instructions, for a register that never
//! changes. It does not run, so that two runs are the same; the ACPI tables still say that there is no such clock,
//! so no driver looks for its alarm or its interrupt. Numbers are in BCD, as on every PC: Linux decodes them so whatever
//! register B says.

use serde::{Deserialize, Serialize};

/// Index port and data port.
pub const CLOCK_PORTS: std::ops::Range<u16> = 0x70..0x72;

/// Second, minute and hour with their alarms, day of the week (Thursday), day, month, year: 2026-01-01 00:00:00. In BCD.
const MOMENT: [u8; 10] = [0, 0, 0, 0, 0, 0, 0x05, 0x01, 0x01, 0x26];
/// Register A: time base and rate as firmware sets them; no update is in progress.
const REGISTER_A: (u8, u8) = (0x0a, 0x26);
/// Register B: BCD numbers (DM, bit 2, is clear), 24 hours (bit 1), no interrupt.
const REGISTER_B: (u8, u8) = (0x0b, 0x02);
/// Register D: the contents are valid.
const REGISTER_D: (u8, u8) = (0x0d, 0x80);
/// The index port's top bit masks NMIs on a PC.
const INDEX_MASK: u8 = 0x7f;

/// The clock: all of its state is which register is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    index: u8,
}

impl Clock {
    /// Reads the port at `offset` of [`CLOCK_PORTS`].
    pub fn read(&self, offset: u16) -> u8 {
        if offset == 0 {
            return u8::MAX;
        }
        let special = [REGISTER_A, REGISTER_B, REGISTER_D];
        let found = special.iter().find(|(index, _)| *index == self.index).map(|(_, value)| *value);
        found.or_else(|| MOMENT.get(usize::from(self.index)).copied()).unwrap_or(0)
    }

    /// Writes the port at `offset`: only the index is kept.
    pub fn write(&mut self, offset: u16, value: u8) {
        if offset == 0 {
            self.index = value & INDEX_MASK;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(index: u8) -> u8 {
        let mut clock = Clock::default();
        clock.write(0, index);
        clock.write(1, 0x55);
        clock.read(1)
    }

    #[test]
    fn it_stands_at_new_year_2026() {
        assert_eq!([9, 8, 7, 6, 4, 2, 0].map(register), [0x26, 0x01, 0x01, 0x05, 0, 0, 0]);
    }

    #[test]
    fn no_update_is_ever_in_progress_and_the_contents_are_valid() {
        assert_eq!(register(0x0a) & 0x80, 0);
        assert_eq!(register(0x0d), 0x80);
        assert_eq!(register(0x8d), 0x80, "the NMI mask is not part of the index");
    }

    #[test]
    fn numbers_are_bcd_in_24_hours() {
        assert_eq!(register(0x0b) & 0x06, 0x02);
        assert_eq!(register(0x32), 0, "no century register");
    }
}
