//! The clock of the MC146818, which x86 kernels ask for the date at boot: it stands at one moment for ever, or runs with the guest's time.
//!
//! Without it Linux waits a whole second, in a loop of a thousand million instructions, for a register that never
//! changes. It stands unless told otherwise, so that guests of any speed read the same; the ACPI tables still say that there is no such
//! clock, so no driver looks for its alarm or its interrupt. Nobody can set it. Numbers are in BCD, as on every PC: Linux decodes them so
//! whatever register B says.

use chrono::{DateTime, Datelike, Timelike, Utc};
use serde::{Deserialize, Serialize};

use crate::config::Date;

/// Index port and data port.
pub const CLOCK_PORTS: std::ops::Range<u16> = 0x70..0x72;

/// Where it stands: 2026-01-01 00:00:00, a Thursday.
const MOMENT: i64 = 1_767_225_600;
/// Registers: second, minute, hour, day of the week (Sunday is 1), day, month, year. Their alarms are between, and read zero.
const SECOND: u8 = 0;
const MINUTE: u8 = 2;
const HOUR: u8 = 4;
const WEEKDAY: u8 = 6;
const DAY: u8 = 7;
const MONTH: u8 = 8;
const YEAR: u8 = 9;
/// Register A: time base and rate as firmware sets them; bit 7 while an update is near.
const REGISTER_A: u8 = 0x0a;
const RATE: u8 = 0x26;
const UPDATE_IN_PROGRESS: u8 = 1 << 7;
/// How long before an update that bit is set, in nanoseconds: whoever sees it clear has so long to read all of a date.
const UPDATE_NEAR_NS: u64 = 244_000;
/// Register B: BCD numbers (DM, bit 2, is clear), 24 hours (bit 1), no interrupt.
const REGISTER_B: u8 = 0x0b;
const BCD_24_HOURS: u8 = 0x02;
/// Register D: the contents are valid.
const REGISTER_D: u8 = 0x0d;
const VALID: u8 = 0x80;
/// The index port's top bit masks NMIs on a PC.
const INDEX_MASK: u8 = 0x7f;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// The clock: which register is looked at, and the date at the machine's time zero if it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    index: u8,
    runs_from: Option<u32>,
}

impl Clock {
    /// One that runs: it shows `date` at the machine's time zero.
    pub fn running_from(date: Date) -> Self {
        Clock { index: 0, runs_from: Some(date.seconds()) }
    }

    /// Reads the port at `offset` of [`CLOCK_PORTS`] at the machine's time `now_ns`.
    pub fn read(&self, offset: u16, now_ns: u64) -> u8 {
        if offset == 0 {
            return u8::MAX;
        }
        let date = self.date(now_ns);
        match self.index {
            SECOND => bcd(date.second()),
            MINUTE => bcd(date.minute()),
            HOUR => bcd(date.hour()),
            WEEKDAY => bcd(date.weekday().number_from_sunday()),
            DAY => bcd(date.day()),
            MONTH => bcd(date.month()),
            YEAR => bcd(date.year().rem_euclid(100).unsigned_abs()),
            REGISTER_A if self.runs_from.is_some() && updates_soon(now_ns) => RATE | UPDATE_IN_PROGRESS,
            REGISTER_A => RATE,
            REGISTER_B => BCD_24_HOURS,
            REGISTER_D => VALID,
            _ => 0,
        }
    }

    fn date(&self, now_ns: u64) -> DateTime<Utc> {
        let passed = i64::try_from(now_ns / NS_PER_SECOND).unwrap_or(0);
        let seconds = self.runs_from.map_or(MOMENT, |start| i64::from(start) + passed);
        // Of 64 bits of nanoseconds every second has a date.
        DateTime::from_timestamp(seconds, 0).unwrap_or_default()
    }

    /// Writes the port at `offset`: only the index is kept.
    pub fn write(&mut self, offset: u16, value: u8) {
        if offset == 0 {
            self.index = value & INDEX_MASK;
        }
    }
}

fn updates_soon(now_ns: u64) -> bool {
    now_ns % NS_PER_SECOND >= NS_PER_SECOND - UPDATE_NEAR_NS
}

/// A number below 100.
fn bcd(number: u32) -> u8 {
    (((number / 10) << 4) | (number % 10)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDS: u64 = NS_PER_SECOND;

    fn register_of(mut clock: Clock, index: u8, now_ns: u64) -> u8 {
        clock.write(0, index);
        clock.write(1, 0x55);
        clock.read(1, now_ns)
    }

    fn register(index: u8) -> u8 {
        register_of(Clock::default(), index, 12_345 * SECONDS)
    }

    #[test]
    fn it_stands_at_new_year_2026() {
        assert_eq!([9, 8, 7, 6, 4, 2, 0].map(register), [0x26, 0x01, 0x01, 0x05, 0, 0, 0]);
    }

    /// Dates from a calendar: 2000-02-29 was a Tuesday, 2069-12-31 will be one.
    #[test]
    fn with_a_date_it_runs_over_minutes_days_and_leap_years() {
        let shows = |date: &str, seconds: u64| {
            let clock = Clock::running_from(date.parse().expect("a date"));
            [9, 8, 7, 6, 4, 2, 0].map(|index| register_of(clock, index, seconds * SECONDS + 5))
        };
        assert_eq!(shows("2000-02-28T23:59:58Z", 0), [0x00, 0x02, 0x28, 0x02, 0x23, 0x59, 0x58]);
        assert_eq!(shows("2000-02-28T23:59:58Z", 2), [0x00, 0x02, 0x29, 0x03, 0, 0, 0]);
        assert_eq!(shows("2000-02-28T23:59:58Z", 86_402), [0x00, 0x03, 0x01, 0x04, 0, 0, 0]);
        assert_eq!(shows("2069-12-31T10:00:00Z", 61), [0x69, 0x12, 0x31, 0x03, 0x10, 0x01, 0x01]);
    }

    #[test]
    fn an_update_is_announced_244_us_before_it() {
        let clock = Clock::running_from("@0".parse().expect("a date"));
        let in_progress = |ns| register_of(clock, 0x0a, ns) & 0x80 != 0;
        assert!(!in_progress(0) && !in_progress(SECONDS - 244_001) && !in_progress(SECONDS));
        assert!(in_progress(SECONDS - 244_000) && in_progress(2 * SECONDS - 1));
    }

    #[test]
    fn where_it_stands_no_update_is_ever_in_progress_and_the_contents_are_valid() {
        assert_eq!(register_of(Clock::default(), 0x0a, SECONDS - 1) & 0x80, 0);
        assert_eq!(register(0x0d), 0x80);
        assert_eq!(register(0x8d), 0x80, "the NMI mask is not part of the index");
    }

    #[test]
    fn numbers_are_bcd_in_24_hours() {
        assert_eq!(register(0x0b) & 0x06, 0x02);
        assert_eq!(register(0x32), 0, "no century register");
    }
}
