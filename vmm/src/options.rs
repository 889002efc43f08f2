//! What the user asks for, and the grammar of `key=value,...` options.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use fencepost_devices::camera::CameraCost;
use fencepost_devices::gpu::GpuConfig;

use crate::accel::Chosen;
use crate::config::CameraConfig;
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

/// `--camera`: every part has a default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CameraOptions {
    /// Pictures to show the guest (Y4M or PNG); a test pattern when absent.
    pub source: Option<PathBuf>,
    /// Largest width of the test pattern, in pixels.
    pub width: Option<u32>,
    /// Largest height of the test pattern, in pixels.
    pub height: Option<u32>,
    /// Frames per second, instead of the source's own.
    pub fps: Option<u32>,
    /// Cycles that each frame takes on top of its bytes.
    pub latency: Option<u32>,
    /// Bytes written per cycle.
    pub bytes_per_cycle: Option<u32>,
}

impl CameraOptions {
    /// The camera, with its own cost model where nothing was said.
    pub fn config(&self) -> CameraConfig {
        let default = CameraCost::default();
        CameraConfig {
            source: self.source.clone(),
            width_px: self.width,
            height_px: self.height,
            fps: self.fps,
            cost: CameraCost {
                fixed_cycles: self.latency.unwrap_or(default.fixed_cycles),
                bytes_per_cycle: self.bytes_per_cycle.unwrap_or(default.bytes_per_cycle),
            },
        }
    }
}

/// `--gpu`: the cost model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GpuOptions {
    /// Cycles that each job takes on top of its bytes.
    pub latency: Option<u64>,
    /// Bytes moved per cycle.
    pub bytes_per_cycle: Option<u32>,
}

impl GpuOptions {
    /// The cost model, with the GPU's own where nothing was said.
    pub fn config(&self) -> GpuConfig {
        let default = GpuConfig::default();
        GpuConfig {
            fixed_cycles: self.latency.unwrap_or(default.fixed_cycles),
            bytes_per_cycle: self
                .bytes_per_cycle
                .and_then(NonZeroU32::new)
                .unwrap_or(default.bytes_per_cycle),
        }
    }
}

/// Splits `a=1,b=2`. A comma inside a value is written twice.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    const COMMA: char = '\u{0}';
    if text.contains(COMMA) {
        return Err("a zero byte cannot be in an option".into());
    }
    let text = text.replace(",,", &COMMA.to_string());
    let pairs: Result<Vec<(String, String)>, String> = text
        .split(',')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) =
                part.split_once('=').ok_or_else(|| format!("'{part}' is not KEY=VALUE; write both"))?;
            Ok((key.to_string(), value.replace(COMMA, ",")))
        })
        .collect();
    let pairs = pairs?;
    let mut keys = BTreeSet::new();
    match pairs.iter().find(|(key, _)| !keys.insert(key)) {
        Some((key, _)) => Err(format!("{key} is given twice; leave one out")),
        None => Ok(pairs),
    }
}

fn number<T: TryFrom<u64>>(key: &str, value: &str, min: u64, max: u64) -> Result<T, String> {
    let wrong = || format!("{key}={value}: write a whole number from {min} to {max}");
    let number: u64 = value.parse().map_err(|_| wrong())?;
    if !(min..=max).contains(&number) {
        return Err(wrong());
    }
    T::try_from(number).map_err(|_| wrong())
}

/// Largest picture side a device takes, in pixels.
const SIDE_MAX: u64 = 4096;
/// Largest fixed cost of an engine, in cycles: a second.
const LATENCY_MAX: u64 = 1_000_000_000;
/// Largest speed of an engine, in bytes per cycle.
const RATE_MAX: u64 = 1 << 20;

impl FromStr for CameraOptions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut options = CameraOptions::default();
        for (key, value) in pairs(text)? {
            match key.as_str() {
                "source" => options.source = Some(value.into()),
                "width" => options.width = Some(even(&key, number(&key, &value, 16, SIDE_MAX)?)?),
                "height" => options.height = Some(even(&key, number(&key, &value, 16, SIDE_MAX)?)?),
                "fps" => options.fps = Some(number(&key, &value, 1, 240)?),
                "latency" => options.latency = Some(number(&key, &value, 0, LATENCY_MAX)?),
                "bytes-per-cycle" => options.bytes_per_cycle = Some(number(&key, &value, 1, RATE_MAX)?),
                _ => {
                    let known = "source, width, height, fps, latency, bytes-per-cycle";
                    return Err(format!("there is no '{key}'; there are {known}"));
                }
            }
        }
        Ok(options)
    }
}

fn even(key: &str, value: u32) -> Result<u32, String> {
    if value % 2 == 0 { Ok(value) } else { Err(format!("{key}={value}: write an even number")) }
}

impl FromStr for GpuOptions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut options = GpuOptions::default();
        for (key, value) in pairs(text)? {
            match key.as_str() {
                "latency" => options.latency = Some(number(&key, &value, 0, LATENCY_MAX)?),
                "bytes-per-cycle" => options.bytes_per_cycle = Some(number(&key, &value, 1, RATE_MAX)?),
                _ => return Err(format!("there is no '{key}'; there are latency, bytes-per-cycle")),
            }
        }
        Ok(options)
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
        assert!(memory_size("1M").is_err_and(|e| e.contains("at least 16M")));
        assert!(memory_size("1T").is_err_and(|e| e.ends_with("at most 64G")));
        assert!(memory_size("536870912").is_err_and(|e| e.ends_with("is MiB")));
        assert!(memory_size("0.1G").is_err_and(|e| e.contains("whole")));
    }

    #[test]
    fn a_doubled_comma_is_part_of_the_value() {
        let options: CameraOptions = "source=a,,b.y4m,fps=30".parse().expect("good");
        assert_eq!(options.source, Some("a,b.y4m".into()));
        assert_eq!(options.fps, Some(30));
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
    fn a_wrong_part_is_named() {
        for (text, names) in [
            ("colour=red", "colour"),
            ("bytes-per-cycle=0", "bytes-per-cycle=0"),
            ("width=17", "width=17"),
            ("width=0", "width=0"),
            ("fps=x", "fps=x"),
            ("source", "source"),
        ] {
            let error = text.parse::<CameraOptions>().expect_err(text);
            assert!(error.contains(names), "{error}");
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
