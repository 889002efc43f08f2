//! Lengths of time as scenarios have them.

use std::fmt;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A length of time, more than 0: `500ms`, `2s`, `5m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Length(pub Duration);

const UNITS: [(&str, u64); 5] =
    [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000)];

impl Length {
    /// So many seconds.
    pub const fn seconds(count: u64) -> Self {
        Length(Duration::from_secs(count))
    }

    /// It in nanoseconds; some 584 years at most.
    pub fn ns(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl std::str::FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}': write a length of time such as 500ms, 2s or 5m");
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = &text[..text.len() - unit.len()];
        let (_, unit_ns) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let length = match number.parse::<u64>() {
            Ok(whole) => whole.checked_mul(*unit_ns).map(Duration::from_nanos),
            Err(_) => number
                .parse::<f64>()
                .ok()
                .and_then(|number| Duration::try_from_secs_f64(number * (*unit_ns as f64) / 1e9).ok()),
        };
        length.filter(|length| !length.is_zero()).map(Length).ok_or_else(wrong)
    }
}

impl fmt::Display for Length {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let ns = self.ns();
        let unit = UNITS.iter().rev().find(|(_, unit)| ns % *unit == 0).unwrap_or(&UNITS[0]);
        write!(to, "{}{}", ns / unit.1, unit.0)
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
