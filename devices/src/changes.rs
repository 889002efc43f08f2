//! What the host changes of a machine while it runs: parameters of a device, and whether a function is on its bus.
//!
//! Both are plain data with one text form, as faults are ([`crate::faults`]).
//!
//! ```
//! use fencepost_devices::changes::{Change, Presence};
//!
//! let change: Change = "gpu:latency=20000".parse().unwrap();
//! assert_eq!(change.to_string(), "gpu:latency=20000");
//! let wrong = "camera:width=640".parse::<Change>().unwrap_err();
//! assert!(wrong.contains("width of a camera does not change while it runs"), "{wrong}");
//! assert!("remove gpu".parse::<Presence>().is_ok());
//! ```

use std::fmt;
use std::str::FromStr;

use crate::camera::Camera;
use crate::display::Display;
use crate::faults::{IOMMU, Told, target_of, told_of};
use crate::function::Function;
use crate::gpu::Gpu;
use crate::parameters::{self, Parameters, Value, did_you_mean};
use crate::ports::Ports;
use crate::registry::{self, Model};

/// A model of which something changes while it runs.
pub trait Changes: Model {
    /// The parameters that do, none of which names a file.
    const KEYS: &'static [&'static str];
    /// Takes other values for some of them, and tells the guest if the device tells of that. What has begun goes on as it
    /// was begun.
    ///
    /// # Errors
    ///
    /// Values that do not go together, as part of a line: then nothing is changed.
    fn change(&mut self, changes: &Parameters, ports: &mut Ports<'_>) -> Result<(), String>;
}

/// A model in the list.
struct Changing {
    kind: &'static str,
    keys: &'static [&'static str],
    change: fn(&mut dyn Function, &Parameters, &mut Ports<'_>) -> Result<(), String>,
}

impl Changing {
    const fn of<M: Changes>() -> Self {
        let change = |function: &mut dyn Function, changes: &Parameters, ports: &mut Ports<'_>| {
            let other = || "the device is another's".to_string();
            function.as_any().downcast_mut::<M>().ok_or_else(other)?.change(changes, ports)
        };
        Changing { kind: M::KIND, keys: M::KEYS, change }
    }
}

static CHANGING: &[Changing] = &[Changing::of::<Gpu>(), Changing::of::<Camera>(), Changing::of::<Display>()];

/// The parameters of a kind of device that change while it runs.
pub fn keys_of(kind: &str) -> &'static [&'static str] {
    CHANGING.iter().find(|it| it.kind == kind).map_or(&[], |it| it.keys)
}

/// New values for parameters of a device: `TARGET:KEY=VALUE[,KEY=VALUE...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    target: String,
    pairs: Vec<(String, String)>,
}

impl Change {
    /// Of which device.
    pub fn told(&self) -> Told<'_> {
        told_of(&self.target)
    }

    /// The values, for a device of this kind.
    ///
    /// # Errors
    ///
    /// A key that there is not or that does not change, or a value that it does not take: as part of a line.
    pub fn parameters(&self, kind: &str) -> Result<Parameters, String> {
        let declared = registry::find(kind)?.parameters;
        let values =
            parameters::read(self.pairs.clone(), declared).map_err(|why| format!("{self}: {why}"))?;
        let keys = keys_of(kind);
        match values.keys().find(|key| !keys.contains(&key.as_str())) {
            None => Ok(values),
            Some(_) if keys.is_empty() => Err(format!("{self}: nothing of a {kind} changes while it runs")),
            Some(key) => {
                let there = keys.join(", ");
                Err(format!(
                    "{self}: the {key} of a {kind} does not change while it runs; what does is {there}"
                ))
            }
        }
    }

    /// Gives them to `function`, and tells what they are.
    ///
    /// # Errors
    ///
    /// As [`Self::parameters`], or they do not go together.
    pub fn make(&self, function: &mut dyn Function, ports: &mut Ports<'_>) -> Result<Parameters, String> {
        let kind = function.identity().name;
        let values = self.parameters(kind)?;
        let none = || format!("{self}: nothing of a {kind} changes while it runs");
        let changing = CHANGING.iter().find(|it| it.kind == kind).ok_or_else(none)?;
        (changing.change)(function, &values, ports).map_err(|why| format!("{self}: {why}"))?;
        Ok(values)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> =
            self.pairs.iter().map(|(key, value)| format!("{key}={}", value.replace(',', ",,"))).collect();
        write!(f, "{}:{}", self.target, pairs.join(","))
    }
}

impl FromStr for Change {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("'{text}' is not TARGET:KEY=VALUE; write one such as gpu:latency=20000");
        let (target, keys) = text.split_once(':').ok_or_else(form)?;
        let target = device_of(target)?;
        let pairs = parameters::pairs(keys)?;
        if pairs.is_empty() {
            return Err(form());
        }
        let change = Change { target: target.to_string(), pairs };
        // A slot's model is the machine's to know.
        if let Told::Model(kind) = change.told() {
            change.parameters(kind)?;
        }
        Ok(change)
    }
}

/// Whether a function is on its bus: `remove TARGET` or `add TARGET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    target: String,
    /// It is there from now on.
    pub there: bool,
}

impl Presence {
    /// Which function.
    pub fn told(&self) -> Told<'_> {
        told_of(&self.target)
    }
}

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.there { "add" } else { "remove" }, self.target)
    }
}

impl FromStr for Presence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, target) = text.split_once(' ').unwrap_or((text, ""));
        let there = match word {
            "add" => true,
            "remove" => false,
            _ => {
                let near = did_you_mean(word, ["add", "remove"]);
                return Err(format!("'{text}' is neither 'remove TARGET' nor 'add TARGET'{near}"));
            }
        };
        Ok(Presence { target: device_of(target.trim())?.to_string(), there })
    }
}

/// The target that `name` is, which is a device.
fn device_of(name: &str) -> Result<&str, String> {
    match target_of(name)? {
        IOMMU => Err("the iommu is no device; write a kind of device, or its slot".to_string()),
        target => Ok(target),
    }
}

/// `config` with other values for some of its keys.
///
/// # Errors
///
/// A key or value that it does not take, as part of a line.
pub fn changed<T>(config: &T, changes: &Parameters) -> Result<T, String>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let mut whole = serde_json::to_value(config).map_err(|error| error.to_string())?;
    for (key, value) in changes {
        whole[key.as_str()] = match value {
            Value::Number(number) => (*number).into(),
            Value::Text(text) => text.as_str().into(),
        };
    }
    serde_json::from_value(whole).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_and_shown() {
        for text in [
            "gpu:latency=20000",
            "display:monitor=absent",
            "camera:bytes-per-cycle=2,latency=1",
            "3:monitor=absent",
        ] {
            assert_eq!(text.parse::<Change>().unwrap().to_string(), text);
        }
        assert_eq!("remove disk".parse::<Presence>().unwrap().to_string(), "remove virtio-blk");
        assert_eq!("add 3".parse::<Presence>().unwrap().told(), Told::Slot(3));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_fix() {
        for (text, words) in [
            ("gpu", "is not TARGET:KEY=VALUE"),
            ("gpu:", "is not TARGET:KEY=VALUE"),
            ("gpu:latency", "'latency' is not KEY=VALUE"),
            ("gpu:latecy=1", "did you mean latency?"),
            ("gpu:latency=x", "a whole number"),
            ("gpuu:latency=1", "did you mean gpu?"),
            ("iommu:latency=1", "no device"),
            ("camera:width=640", "what does is"),
            ("virtio-rng:seed=1", "nothing of a virtio-rng changes"),
        ] {
            let why = text.parse::<Change>().expect_err(text);
            assert!(why.contains(words) && why.len() < 260, "{text}: {why}");
        }
        for (text, words) in
            [("removed gpu", "did you mean remove?"), ("remove", "no ''"), ("add iommu", "no device")]
        {
            let why = text.parse::<Presence>().expect_err(text);
            assert!(why.contains(words), "{text}: {why}");
        }
        // A slot's device is known to the machine alone.
        let change: Change = "4:size=1".parse().unwrap();
        assert!(change.parameters("virtio-rng").is_err());
    }

    #[test]
    fn every_key_that_changes_is_a_parameter_and_is_taken() {
        use crate::registry::NoHost;
        use crate::testing::World;
        let mut world = World::new(0x1000);
        for changing in CHANGING {
            let model = registry::find(changing.kind).unwrap();
            let mut device = model.build(&Parameters::new(), &mut NoHost).unwrap();
            let before = device.save_state();
            for key in changing.keys {
                let parameter = model.parameters.iter().find(|it| it.key == *key).expect("a parameter");
                assert!(!parameter.takes.is_file(), "{key}: the host would have to open it");
                let text = format!("{}:{key}={}", model.kind, model.default_of(key).expect("a default"));
                text.parse::<Change>().unwrap().make(&mut *device, &mut world.ports()).unwrap();
            }
            assert_eq!(device.save_state(), before, "what it was given is no state of its own");
        }
        let mut other = registry::find("virtio-rng").unwrap().build(&Parameters::new(), &mut NoHost).unwrap();
        assert!("gpu:latency=1".parse::<Change>().unwrap().make(&mut *other, &mut world.ports()).is_err());
    }
}
