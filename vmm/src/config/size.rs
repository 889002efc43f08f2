//! Sizes in bytes, as people write them.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A size in bytes, written as a number with a unit: K, M, G or T, of 1024 whatever follows it (MB, MiB); MiB without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// Guest memory unless told otherwise.
pub const MEMORY_DEFAULT: Size = Size(256 << 20);
/// Smallest machine worth starting: kernel, initramfs and tables need more than this.
pub const MEMORY_MIN_BYTES: u64 = 16 << 20;
/// Largest machine: the address width of the CPU model leaves more, the host seldom does.
pub const MEMORY_MAX_BYTES: u64 = 64 << 30;
/// Bytes of a trace's file unless told otherwise.
pub const TRACE_LIMIT_DEFAULT: Size = Size(1 << 30);
/// Least bytes of a trace's file: its header, its end and a frame of records.
const TRACE_LIMIT_MIN_BYTES: u64 = 128 << 10;

impl Size {
    /// Guest memory of this size.
    ///
    /// # Errors
    ///
    /// Too little, too much, or no whole number of pages: as part of a line.
    pub fn of_memory(self) -> Result<Self, String> {
        if self.0 < MEMORY_MIN_BYTES {
            return Err(format!("too little memory, give at least {}M", MEMORY_MIN_BYTES >> 20));
        }
        if self.0 > MEMORY_MAX_BYTES {
            return Err(format!("too much memory, give at most {}G", MEMORY_MAX_BYTES >> 30));
        }
        if self.0 % 4096 != 0 {
            return Err("not a whole number of 4 KiB pages, give whole MiB".into());
        }
        Ok(self)
    }

    /// The limit of a trace's file.
    ///
    /// # Errors
    ///
    /// Too little, as part of a line.
    pub fn of_trace(self) -> Result<Self, String> {
        let enough = self.0 >= TRACE_LIMIT_MIN_BYTES;
        let least = TRACE_LIMIT_MIN_BYTES >> 10;
        enough.then_some(self).ok_or_else(|| format!("too little for a trace, give at least {least}K"))
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write a number with K, M or G, such as 256M or 1.5G".to_string();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = unit.to_ascii_uppercase();
        let shift = match unit.strip_suffix("IB").or(unit.strip_suffix("B")).unwrap_or(&unit) {
            "K" => 10,
            "M" => 20,
            "" if unit.is_empty() => 20,
            "G" => 30,
            "T" => 40,
            _ => return Err(wrong()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let parse = |digits: &str| digits.parse::<u64>().map_err(|_| wrong());
        let (whole, parts) = (parse(whole)?, parse(fraction)?);
        let tenths = u32::try_from(fraction.len()).ok().and_then(|digits| 10u64.checked_pow(digits));
        let fraction = (u128::from(parts) << shift) / u128::from(tenths.ok_or_else(wrong)?);
        let bytes = (u128::from(whole) << shift) + fraction;
        Ok(Size(u64::try_from(bytes).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Size {
    /// In the largest unit that divides it; what is no whole number of KiB has a fraction of ten digits, which is exact.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("G", 30), ("M", 20), ("K", 10)];
        match units.into_iter().find(|(_, shift)| self.0 % (1 << shift) == 0) {
            Some((unit, shift)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}.{:010}K", self.0 >> 10, self.0 % 1024 * 10_000_000_000 / 1024),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size as text, such as \"256M\" or \"1.5G\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("256M", 256 << 20),
            ("512", 512 << 20),
            ("512MB", 512 << 20),
            ("512MiB", 512 << 20),
            ("512mib", 512 << 20),
            ("1.5G", 3 << 29),
            ("0.25g", 256 << 20),
            ("1T", 1 << 40),
            ("64K", 64 << 10),
            ("1.5", 3 << 19),
            ("99999999999999G", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for wrong in [
            "",
            "M",
            "-1",
            "1.5.G",
            "1..5G",
            ".",
            ".G",
            "1.G",
            "1e3",
            "0x10",
            "512B",
            "1 G",
            "G1",
            "1.00000000000000000001G",
        ] {
            assert!(wrong.parse::<Size>().is_err_and(|e| e.contains("such as 256M")), "{wrong}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = |bytes| Size(bytes).to_string();
        assert_eq!([text(3 << 29), text(1 << 30), text(128 << 10)], ["1536M", "1G", "128K"]);
        for bytes in [0, 1, 1023, 1025, 131_073, (1 << 30) + 4096, (1 << 36) - 1] {
            assert_eq!(text(bytes).parse(), Ok(Size(bytes)), "{bytes}");
        }
    }
}
