//! A fault as its user writes it.

use std::fmt;
use std::str::FromStr;

use fencepost_trace::FaultKind;
use serde::{Deserialize, Serialize};

use super::kinds::{COMMON, KINDS, Kind, On};
use crate::parameters::{self, Parameter, Parameters, Value, did_you_mean};
use crate::registry::models;

/// The target that is the IOMMU.
pub const IOMMU: &str = "iommu";

/// Names of targets that are none of models.
const ALIASES: &[(&str, &str)] = &[("disk", "virtio-blk")];

/// Where, what and when. Its text form is `TARGET:KIND[,KEY=VALUE...]`, which is also how it is in files and snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FaultSpec {
    target: String,
    kind: FaultKind,
    parameters: Parameters,
}

/// What a fault is told to, as the machine finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// The device of this model in the lowest slot.
    Model(&'a str),
    /// The device in this slot.
    Slot(u8),
    /// The IOMMU.
    Iommu,
}

impl FaultSpec {
    /// What is to go wrong.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// In what.
    pub fn told(&self) -> Told<'_> {
        told_of(&self.target)
    }

    /// What is known of its kind.
    pub fn about(&self) -> &'static Kind {
        Kind::of(self.kind, &self.target).expect("a spec is of a kind that its target can have")
    }

    /// The number of the mark at which it is given; none: at the start.
    pub fn mark(&self) -> Option<u8> {
        self.number("mark").and_then(|mark| u8::try_from(mark).ok())
    }

    /// Whether it is for accesses of requester `rid`, as far as it names a slot.
    pub fn is_for(&self, rid: u16) -> bool {
        self.number("slot").is_none_or(|slot| slot == u64::from(rid >> 3))
    }

    /// The value of a key that is a number.
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.parameters.get(key)? {
            Value::Number(number) => Some(*number),
            Value::Text(_) => None,
        }
    }

    /// The value of a key that is a text.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.parameters.get(key)? {
            Value::Text(text) => Some(text),
            Value::Number(_) => None,
        }
    }

    /// The value of a key that is a time, in nanoseconds.
    pub fn time_ns(&self, key: &str) -> Option<u64> {
        self.text(key).and_then(|text| parameters::time_ns(text.trim_start_matches('+')))
    }

    /// Whether it takes place at its time, whatever else happens.
    pub fn is_timed(&self) -> bool {
        let by_occasion = ["after", "every", "probability", "count"];
        let counts = by_occasion.iter().any(|key| self.parameters.contains_key(*key));
        self.about().timed && self.parameters.contains_key("at") && !counts
    }

    /// From when on occasions count, if it is given at `now_ns`.
    pub(super) fn counts_from_ns(&self, now_ns: u64) -> u64 {
        let relative = self.text("at").is_some_and(|at| at.starts_with('+'));
        let at_ns = self.time_ns("at").unwrap_or(0);
        if relative { now_ns.saturating_add(at_ns) } else { at_ns }
    }

    /// Whether a device of `model` can have it.
    ///
    /// # Errors
    ///
    /// Why not, as part of a line.
    pub fn check_model(&self, model: &str) -> Result<(), String> {
        match self.about().on {
            On::Model(other) if other != model => {
                let name = self.about().name;
                Err(format!("{self}: a {model} cannot have {name}, {}", kinds_of(model)))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for FaultSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.target, self.about().name)?;
        self.parameters.iter().try_for_each(|(key, value)| write!(f, ",{key}={value}"))
    }
}

impl From<FaultSpec> for String {
    fn from(spec: FaultSpec) -> String {
        spec.to_string()
    }
}

impl TryFrom<String> for FaultSpec {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for FaultSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (head, keys) = text.split_once(',').unwrap_or((text, ""));
        let (target, name) = head
            .split_once(':')
            .ok_or_else(|| format!("'{head}' is not TARGET:KIND; write one such as gpu:hang"))?;
        let target = target_of(target)?;
        let fitting = || KINDS.iter().filter(|kind| kind.fits(target));
        let kind = fitting().find(|kind| kind.name == name).ok_or_else(|| {
            let near = did_you_mean(name, fitting().map(|kind| kind.name));
            format!("a {target} has no '{name}', {}{near}", kinds_of(target))
        })?;
        let declared: Vec<Parameter> = COMMON.iter().chain(kind.keys).copied().collect();
        let parameters = parameters::parse(keys, &declared)?;
        Ok(FaultSpec { target: target.to_string(), kind: kind.kind, parameters })
    }
}

/// What a target that [`target_of`] gave is.
pub(crate) fn told_of(target: &str) -> Told<'_> {
    match target.parse() {
        Ok(slot) => Told::Slot(slot),
        Err(_) if target == IOMMU => Told::Iommu,
        Err(_) => Told::Model(target),
    }
}

/// Whether a target of this name is something else than the device of a model.
pub fn means_other_than_a_model(name: &str) -> bool {
    name == IOMMU || ALIASES.iter().any(|(alias, _)| *alias == name)
}

/// The target that `name` is, by its full name.
pub(crate) fn target_of(name: &str) -> Result<&str, String> {
    let full = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, full)| full);
    let slot = full.parse::<u8>().is_ok_and(|slot| (1..32).contains(&slot));
    if slot || full == IOMMU || models().any(|model| model.kind == full) {
        return Ok(full);
    }
    let known = models().map(|model| model.kind).chain([IOMMU]).chain(ALIASES.iter().map(|it| it.0));
    let near = did_you_mean(name, known);
    Err(format!("there is no '{name}' here; write a kind of device, its slot or iommu{near}"))
}

/// "there are ..." of the kinds that `target` can have.
fn kinds_of(target: &str) -> String {
    let names: Vec<_> = KINDS.iter().filter(|kind| kind.fits(target)).map(|kind| kind.name).collect();
    format!("there are {}", names.join(", "))
}
