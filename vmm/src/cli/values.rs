//! The values of options, as text.

use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use fencepost_devices::parameters::{self, Parameters};
use fencepost_devices::registry::{Entry, find, models};
use fencepost_softcpu::Translate;
use fencepost_softcpu::model::Model;

use crate::config::{Accel, IommuKind, Plug, SLOTS, Size, bad_slot};
use crate::launch::ConsoleAt;
use crate::outlet::Full;
use crate::panic::OnPanic;

/// A parser of words, each of which stands for a value.
pub fn word<T: Clone + Send + Sync + 'static>(
    words: &'static [(&'static str, &'static str, T)],
) -> impl TypedValueParser<Value = T> {
    let possible = words.iter().map(|(name, about, _)| PossibleValue::new(*name).help(*about));
    let value = |name: String| words.iter().find(|(word, ..)| *word == name).map(|(.., value)| value.clone());
    PossibleValuesParser::new(possible).map(move |name| value(name).expect("clap lets nothing else pass"))
}

/// `--accel`.
pub const ACCEL: &[(&str, &str, Accel)] = &[
    ("auto", "Measure how fast KVM runs kernel code, and pick", Accel::Auto),
    ("kvm", "The host's KVM", Accel::Kvm),
    ("soft", "The project's own software CPU: deterministic, needs no device node", Accel::Soft),
];

/// `--cpu`.
pub const CPU: &[(&str, &str, Model)] = &[
    ("baseline", "x86-64 as it was first, to SSE2", Model::Baseline),
    (
        "v2",
        "x86-64-v2: to SSE4.2, with AES-NI, PCLMULQDQ, MOVBE, SMEP, SMAP, FSGSBASE, RDRAND and others",
        Model::V2,
    ),
];

/// `--iommu`.
pub const IOMMU: &[(&str, &str, IommuKind)] = &[
    ("on", "VT-d", IommuKind::Vtd),
    ("intremap", "VT-d, which remaps interrupts, too; under soft only", IommuKind::Intremap),
    ("off", "None", IommuKind::Off),
    ("virtio", "Virtio's", IommuKind::Virtio),
];

/// `--sandbox`.
pub const SANDBOX: &[(&str, &str, bool)] = &[
    ("on", "The process gives up what its guest's run does not need", true),
    ("off", "It keeps all that its user may", false),
];

/// `--console`.
pub const CONSOLE_AT: &[(&str, &str, ConsoleAt)] = &[
    ("serial", "The serial line, ttyS0", ConsoleAt::Serial),
    ("hvc0", "The terminal of a virtio console", ConsoleAt::Hvc0),
];

/// `--slow-output`.
pub const SLOW_OUTPUT: &[(&str, &str, Full)] = &[
    (
        "wait",
        "The machine waits, in host time: nothing is lost, and the guest sees nothing of it",
        Full::Wait,
    ),
    ("drop", "It is dropped and counted", Full::Drop),
];

/// `--soft-cpu`.
pub const SOFT_CPU: &[(&str, &str, Translate)] = &[
    (
        "translator",
        "By code of the host's, made of what is run often; on x86-64 hosts, else as interpreter",
        Translate::Often,
    ),
    ("interpreter", "One instruction after the other", Translate::Never),
];

/// A parser of whole numbers from `min` to `max`.
pub fn whole<T: TryFrom<u64>>(min: u64, max: u64) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        let wrong = || format!("write a whole number from {min} to {max}");
        number.and_then(|number: u64| T::try_from(number).ok()).ok_or_else(wrong)
    }
}

/// Parses `--memory`.
pub fn memory_size(text: &str) -> Result<Size, String> {
    let bare = text.bytes().all(|byte| byte.is_ascii_digit());
    let unit = if bare { "; a number without K, M or G is MiB" } else { "" };
    text.parse::<Size>()?.of_memory().map_err(|why| format!("{why}{unit}"))
}

/// Parses a bound in bytes, which is MiB without a letter.
pub fn size(text: &str) -> Result<Size, String> {
    text.parse::<Size>()
}

/// Parses `--trace-limit`.
pub fn trace_limit(text: &str) -> Result<Size, String> {
    text.parse::<Size>()?.of_trace()
}

/// Parses `--timeout`: seconds, fractions allowed.
pub fn timeout(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "write seconds, such as 60 or 0.5".to_string())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|d| !d.is_zero())
        .ok_or_else(|| "write seconds, more than 0, such as 60 or 0.5".into())
}

/// Parses `--on-panic`.
pub fn on_panic(text: &str) -> Result<OnPanic, String> {
    match text {
        "exit" => Ok(OnPanic::Exit),
        "dump" => Ok(OnPanic::Dump),
        "gdb" => Ok(OnPanic::Gdb),
        _ => Err("write exit, dump or gdb".into()),
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
        let list = "; --device help has their keys";
        let model = find(kind).map_err(|why| format!("{why}{list}"))?;
        let (slots, others): (Vec<_>, Vec<_>) =
            parameters::pairs(rest)?.into_iter().partition(|(key, _)| key == "slot");
        let slot = slots.first().map(|(_, slot)| slot_of(slot)).transpose()?;
        let parameters = parameters::read(others, model.parameters)?;
        Ok(DeviceOption::Plug(Plug { model: model.kind, slot, parameters }))
    }
}

/// Parses `--share`: `[TAG=]DIR[,rw]`. A `,ro` at the end is taken too.
pub fn share(text: &str) -> Result<Plug, String> {
    let (tag, rest) = text.split_once('=').map_or((None, text), |(tag, rest)| (Some(tag), rest));
    let (dir, access) = match rest.rsplit_once(',') {
        Some((dir, access @ ("ro" | "rw"))) => (dir, Some(access)),
        _ => (rest, None),
    };
    let model = find("virtio-fs")?;
    let pairs = [("tag", tag), ("dir", Some(dir)), ("access", access)];
    let given = pairs.into_iter().filter_map(|(key, value)| Some((key.to_string(), value?.to_string())));
    let parameters = parameters::read(given.collect(), model.parameters)?;
    Ok(Plug { model: model.kind, slot: None, parameters })
}

fn slot_of(text: &str) -> Result<u8, String> {
    text.parse().ok().filter(|slot| SLOTS.contains(slot)).ok_or_else(|| bad_slot(text))
}

/// All models with their slots and keys, as `--device help` shows them.
pub fn device_help() -> String {
    models().map(describe).collect::<Vec<_>>().join("\n")
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
    fn memory_is_within_its_limits() {
        assert_eq!(memory_size("16M"), Ok(Size(16 << 20)));
        assert!(memory_size("1M").is_err_and(|e| e.contains("at least 16M")));
        assert!(memory_size("1T").is_err_and(|e| e.ends_with("at most 64G")));
        assert!(memory_size("536870912").is_err_and(|e| e.ends_with("is MiB")));
        assert!(memory_size("0.1G").is_err_and(|e| e.contains("whole")));
    }

    #[test]
    fn a_share_is_a_directory_with_a_tag_and_what_may_be_done_with_it() {
        let of = |text: &str| {
            let Plug { parameters, .. } = share(text).unwrap();
            let value = |key: &str| parameters.get(key).map(ToString::to_string);
            [value("tag"), value("dir"), value("access")].map(Option::unwrap_or_default)
        };
        assert_eq!(of("src=/a/b"), ["src", "/a/b", ""]);
        assert_eq!(of("src=/a=b,rw"), ["src", "/a=b", "rw"]);
        assert_eq!(of("/a,b,ro"), ["", "/a,b", "ro"]);
        for (wrong, said) in
            [("=/a", "tag="), ("src=", "dir="), (&format!("{}=/a", "t".repeat(37)), "36 bytes")]
        {
            assert!(share(wrong).is_err_and(|why| why.contains(said)), "{wrong}");
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
