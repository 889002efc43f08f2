//! The date at power-on.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01 00:00:00 UTC, of the years that two digits can tell: as Linux reads them, 1970 to 2069.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date(u32);

/// 2070-01-01 00:00:00 UTC.
const END: i64 = 3_155_760_000;

impl Date {
    /// The moment so many seconds after 1970-01-01 00:00:00 UTC.
    ///
    /// # Errors
    ///
    /// A year that the clock cannot show.
    pub fn from_seconds(seconds: i64) -> Result<Self, String> {
        let why = || "the clock has two digits for the year: name a date from 1970 to 2069".to_string();
        u32::try_from(seconds).ok().filter(|_| seconds < END).map(Date).ok_or_else(why)
    }

    /// Seconds since 1970-01-01 00:00:00 UTC.
    pub fn seconds(self) -> u32 {
        self.0
    }
}

impl FromStr for Date {
    type Err = String;

    /// `@SECONDS` or RFC 3339, whose fraction of a second is left out.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("'{text}' is neither RFC 3339, such as 2026-07-01T12:00:00Z, nor @SECONDS since 1970");
        let seconds = match text.strip_prefix('@') {
            Some(number) => number.parse().map_err(|_| wrong())?,
            None => DateTime::parse_from_rfc3339(text).map_err(|_| wrong())?.timestamp(),
        };
        Date::from_seconds(seconds)
    }
}

impl TryFrom<String> for Date {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Date {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = DateTime::from_timestamp(self.0.into(), 0).unwrap_or_default();
        out.write_str(&moment.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

impl From<Date> for String {
    fn from(date: Date) -> String {
        date.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are those of `date -u -d ... +%s`.
    #[test]
    fn a_date_is_rfc_3339_or_seconds() {
        for (text, seconds) in [
            ("2026-07-01T12:00:00Z", 1_782_907_200),
            ("2026-07-01T14:00:00.999+02:00", 1_782_907_200),
            ("@951782400", 951_782_400),
            ("2069-12-31T23:59:59Z", 3_155_759_999),
            ("1970-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(text.parse().map(Date::seconds), Ok(seconds), "{text}");
        }
        for wrong in ["", "today", "2026-07-01", "2026-02-30T00:00:00Z", "@", "@1.5", "12"] {
            assert!(wrong.parse::<Date>().is_err_and(|why| why.contains("@SECONDS")), "{wrong}");
        }
        for wrong in ["2070-01-01T00:00:00Z", "@3155760000", "@-1", "1969-12-31T23:59:59Z"] {
            assert!(wrong.parse::<Date>().is_err_and(|why| why.contains("2069")), "{wrong}");
        }
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        let date: Date = "@951782400".parse().expect("right");
        assert_eq!(date.to_string(), "2000-02-29T00:00:00Z");
        assert_eq!(date.to_string().parse(), Ok(date));
    }
}
