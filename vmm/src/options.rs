//! What the user asks for, and the grammar of `key=value,...` options.

use std::str::FromStr;
use std::time::Duration;

use fencepost_devices::parameters::{self, Parameters};
use fencepost_devices::registry::{Entry, MODELS, find};

use crate::accel::Chosen;
use crate::config::{Plug, SLOTS, bad_slot};
use crate::machine::memory::{MEMORY_MAX_BYTES, MEMORY_MIN_BYTES};

/// Which back end runs the guest's CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Accel {
    /// Measure how fast KVM runs kernel code, and pick.
    Auto,
    /// The host's KVM.
    Kvm,
    /// The project's own software CPU: deterministic, needs no device node.
    Soft,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs)]
pub enum Switch {
    On,
    Off,
}

/// A size in bytes, written as a number with a unit: K, M, G or T, of 1024 whatever follows it (MB, MiB); MiB without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

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

/// A parser of whole numbers from `min` to `max`.
pub fn whole<T: TryFrom<u64>>(min: u64, max: u64) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        let wrong = || format!("write a whole number from {min} to {max}");
        number.and_then(|number: u64| T::try_from(number).ok()).ok_or_else(wrong)
    }
}

/// Guest memory unless told otherwise.
pub const MEMORY_DEFAULT: Size = Size(256 << 20);

/// Parses `--memory`.
pub fn memory_size(text: &str) -> Result<Size, String> {
    let size: Size = text.parse()?;
    if size.0 < MEMORY_MIN_BYTES {
        return Err(format!("too little memory, give at least {}M", MEMORY_MIN_BYTES >> 20));
    }
    if size.0 > MEMORY_MAX_BYTES {
        let bare = text.bytes().all(|byte| byte.is_ascii_digit());
        let unit = if bare { "; a number without K, M or G is MiB" } else { "" };
        return Err(format!("too much memory, give at most {}G{unit}", MEMORY_MAX_BYTES >> 30));
    }
    if size.0 % 4096 != 0 {
        return Err("not a whole number of 4 KiB pages, give whole MiB".into());
    }
    Ok(size)
}

/// Bytes of a trace's file unless told otherwise.
pub const TRACE_LIMIT_DEFAULT: Size = Size(1 << 30);
/// Least bytes of a trace's file: its header, its end and a frame of records.
const TRACE_LIMIT_MIN_BYTES: u64 = 128 << 10;

/// Parses `--trace-limit`.
pub fn trace_limit(text: &str) -> Result<Size, String> {
    let size: Size = text.parse()?;
    let enough = size.0 >= TRACE_LIMIT_MIN_BYTES;
    enough
        .then_some(size)
        .ok_or_else(|| format!("too little for a trace, give at least {}K", TRACE_LIMIT_MIN_BYTES >> 10))
}

/// Parses `--timeout`: seconds, fractions allowed.
pub fn timeout(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "write seconds, such as 60 or 0.5".to_string())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|d| !d.is_zero())
        .ok_or_else(|| "write seconds, more than 0, such as 60 or 0.5".into())
}

/// `--move`: where the machine goes at a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveAt {
    /// What the guest writes to the mark port.
    pub mark: u8,
    /// The back end that takes over.
    pub to: Chosen,
}

impl FromStr for MoveAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not MARK=kvm or MARK=soft, with a mark from 0 to 255");
        let (mark, to) = text.split_once('=').ok_or_else(wrong)?;
        let to = [Chosen::Kvm, Chosen::Soft].into_iter().find(|each| each.name() == to).ok_or_else(wrong)?;
        Ok(MoveAt { mark: mark.parse().map_err(|_| wrong())?, to })
    }
}

/// `--snapshot-at`: when the machine is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotAt {
    /// When the guest writes this number to the mark port.
    Mark(u8),
    /// At the first stop of the CPU at or after this time of the guest's, in nanoseconds since it started.
    Time(u64),
}

impl FromStr for SnapshotAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "write mark:N, with N from 0 to 255, or a time of the guest's such as 2s or 1500ms".to_string()
        };
        if let Some(mark) = text.strip_prefix("mark:") {
            return mark.parse().map(SnapshotAt::Mark).map_err(|_| wrong());
        }
        // The longer names first: each ends in that of a second.
        let units = [("ms", 1_000_000), ("us", 1_000), ("ns", 1), ("s", 1_000_000_000)];
        let (number, unit_ns) =
            units.iter().find_map(|(name, ns)| Some((text.strip_suffix(name)?, *ns))).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        number.checked_mul(unit_ns).map(SnapshotAt::Time).ok_or_else(wrong)
    }
}

/// A parser of the parameters of one model.
pub fn parameters_of(kind: &'static str) -> impl Fn(&str) -> Result<Parameters, String> + Clone {
    move |text| parameters::parse(text, find(kind)?.parameters)
}

/// `--device`: another device, or the list of what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceOption {
    /// This one.
    Plug(Plug),
    /// `help`.
    Help,
}

impl DeviceOption {
    /// The device, if it is one.
    pub fn plug(&self) -> Option<&Plug> {
        if let DeviceOption::Plug(plug) = self { Some(plug) } else { None }
    }
}

impl FromStr for DeviceOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "help" {
            return Ok(DeviceOption::Help);
        }
        let (kind, rest) = text.split_once(',').unwrap_or((text, ""));
        let list = "; --device help lists them with their keys";
        let model = find(kind).map_err(|why| format!("{why}{list}"))?;
        let (slots, others): (Vec<_>, Vec<_>) =
            parameters::pairs(rest)?.into_iter().partition(|(key, _)| key == "slot");
        let slot = slots.first().map(|(_, slot)| slot_of(slot)).transpose()?;
        let parameters = parameters::read(others, model.parameters)?;
        Ok(DeviceOption::Plug(Plug { model: model.kind, slot, parameters }))
    }
}

fn slot_of(text: &str) -> Result<u8, String> {
    text.parse().ok().filter(|slot| SLOTS.contains(slot)).ok_or_else(|| bad_slot(text))
}

/// All models with their slots and keys, as `--device help` shows them.
pub fn device_help() -> String {
    MODELS.iter().map(describe).collect::<Vec<_>>().join("\n")
}

fn describe(model: &Entry) -> String {
    let slot = match model.slot {
        Some(slot) => format!("every machine has one in slot {slot}, which --{} sets", model.kind),
        None => "plugged by --device only".to_string(),
    };
    let mut text = format!("{}: {} ({slot})\n", model.kind, model.about);
    for parameter in model.parameters {
        let default = model.default_of(parameter.key).map(|value| format!("; {value} unless set"));
        let (key, takes, about) = (parameter.key, parameter.takes, parameter.about);
        text += &format!("  {:<28}  {about}{}\n", format!("{key}={takes}"), default.unwrap_or_default());
    }
    text
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
        assert!(memory_size("1M").is_err_and(|e| e.contains("at least 16M")));
        assert!(memory_size("1T").is_err_and(|e| e.ends_with("at most 64G")));
        assert!(memory_size("536870912").is_err_and(|e| e.ends_with("is MiB")));
        assert!(memory_size("0.1G").is_err_and(|e| e.contains("whole")));
    }

    #[test]
    fn a_move_is_a_mark_and_a_back_end() {
        assert_eq!("7=kvm".parse(), Ok(MoveAt { mark: 7, to: Chosen::Kvm }));
        assert_eq!("255=soft".parse(), Ok(MoveAt { mark: 255, to: Chosen::Soft }));
        for wrong in ["", "kvm", "256=kvm", "1=auto", "=soft", "1=kvm=2"] {
            assert!(wrong.parse::<MoveAt>().is_err_and(|e| e.contains("MARK=kvm")), "{wrong}");
        }
    }

    #[test]
    fn a_snapshot_is_taken_at_a_mark_or_a_time() {
        assert_eq!("mark:7".parse(), Ok(SnapshotAt::Mark(7)));
        assert_eq!("2s".parse(), Ok(SnapshotAt::Time(2_000_000_000)));
        assert_eq!("1500ms".parse(), Ok(SnapshotAt::Time(1_500_000_000)));
        assert_eq!(["3us", "3ns"].map(str::parse), [Ok(SnapshotAt::Time(3000)), Ok(SnapshotAt::Time(3))]);
        for wrong in ["", "7", "mark:", "mark:256", "s", "1.5s", "-1s", "99999999999999s", "1h"] {
            assert!(wrong.parse::<SnapshotAt>().is_err_and(|e| e.contains("1500ms")), "{wrong}");
        }
    }

    #[test]
    fn a_timeout_is_positive_and_finite() {
        assert_eq!(timeout("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "inf", "nan", "x", "1e300"] {
            assert!(timeout(wrong).is_err(), "{wrong}");
        }
    }
}
