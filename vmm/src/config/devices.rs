//! The devices of a machine, as data.

use std::path::Path;

use fencepost_devices::parameters::{self, Parameters, Value};
use fencepost_devices::registry::{Entry, find, models};
use serde::{Deserialize, Serialize};

use super::MachineConfig;

/// The devices that every machine has unless told otherwise.
pub(super) fn standard() -> Vec<DeviceConfig> {
    models().filter_map(|model| Some(DeviceConfig::new(model.kind, model.slot?))).collect()
}

/// A device and where it is plugged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceConfig {
    /// The model, as the registry names it.
    pub kind: String,
    /// Its slot, 1 to 31: function 0 of that PCI device number on bus 0.
    pub slot: u8,
    /// What was set; the rest has its defaults.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
}

/// The slots that a device can have; 0 is the host bridge.
pub const SLOTS: std::ops::RangeInclusive<u8> = 1..=31;

impl DeviceConfig {
    /// A device with all defaults.
    pub fn new(kind: &str, slot: u8) -> Self {
        DeviceConfig { kind: kind.to_string(), slot, parameters: Parameters::new() }
    }

    /// The same with a parameter set.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.parameters.insert(key.to_string(), value.into());
        self
    }

    /// The files on the host that it reads, and whether it writes them too.
    pub fn files(&self) -> Vec<(&Path, bool)> {
        let model = find(&self.kind).ok();
        let writes = |key: &str| model.is_some_and(|model| model.writes(key, &self.parameters));
        let names = self.parameters.iter().filter(|(key, _)| self.is_file(key));
        names
            .filter_map(|(key, value)| match value {
                Value::Text(name) => Some((Path::new(name), writes(key))),
                Value::Number(_) => None,
            })
            .collect()
    }

    /// The same, to change them.
    pub(super) fn files_mut(&mut self) -> Vec<&mut Value> {
        let model = find(&self.kind).ok();
        let is_file = |key: &str| model.is_some_and(|model| model.is_file(key));
        self.parameters.iter_mut().filter(|(key, _)| is_file(key)).map(|(_, value)| value).collect()
    }

    fn is_file(&self, key: &str) -> bool {
        find(&self.kind).is_ok_and(|model| model.is_file(key))
    }
}

/// A device that the user asks for beside those that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plug {
    /// The model.
    pub model: &'static str,
    /// Its slot; none: any.
    pub slot: Option<u8>,
    /// What is set.
    pub parameters: Parameters,
}

/// A device that cannot be.
pub(super) struct Wrong {
    /// Which of [`MachineConfig::devices`].
    pub index: usize,
    /// The key of it that is wrong.
    pub key: WrongKey,
    /// Why, as part of a line.
    pub why: String,
}

/// What is wrong of a device.
pub(super) enum WrongKey {
    Kind,
    Slot,
    /// A parameter.
    Parameter(String),
}

impl MachineConfig {
    /// The first device that cannot be.
    pub(super) fn wrong_device(&self) -> Option<Wrong> {
        self.devices.iter().enumerate().find_map(|(index, device)| {
            let (key, why) = self.wrong_key(index, device)?;
            Some(Wrong { index, key, why })
        })
    }

    fn wrong_key(&self, index: usize, device: &DeviceConfig) -> Option<(WrongKey, String)> {
        let model = match find(&device.kind) {
            Ok(model) => model,
            Err(why) => return Some((WrongKey::Kind, why)),
        };
        if !SLOTS.contains(&device.slot) {
            return Some((WrongKey::Slot, bad_slot(&device.slot.to_string())));
        }
        if self.iommu.slot() == Some(device.slot) {
            return Some((WrongKey::Slot, taken(device.slot, "IOMMU")));
        }
        if let Some(other) = self.devices[..index].iter().find(|other| other.slot == device.slot) {
            return Some((WrongKey::Slot, taken(device.slot, &other.kind)));
        }
        device.parameters.iter().find_map(|(key, value)| {
            let one = Parameters::from([(key.clone(), value.clone())]);
            let why = parameters::check(&one, model.parameters).err()?;
            Some((WrongKey::Parameter(key.clone()), format!("{}: {why}", device.kind)))
        })
    }

    /// Plugs a device: into the slot that it names, or its model's own if that is free, or the lowest free one.
    ///
    /// # Errors
    ///
    /// A bad or taken slot, as part of a line.
    pub fn plug(&mut self, plug: &Plug) -> Result<(), String> {
        let user = |slot: u8| self.devices.iter().find(|device| device.slot == slot);
        let of_iommu = |slot: u8| self.iommu.slot() == Some(slot);
        let own = models().find(|model| model.kind == plug.model).and_then(|model| model.slot);
        let slot = match plug.slot {
            Some(slot) if !SLOTS.contains(&slot) => return Err(bad_slot(&slot.to_string())),
            Some(slot) if of_iommu(slot) => return Err(taken(slot, "IOMMU")),
            Some(slot) => match user(slot) {
                Some(other) => return Err(taken(slot, &other.kind)),
                None => slot,
            },
            None => {
                let free = own.into_iter().chain(SLOTS).find(|&slot| user(slot).is_none() && !of_iommu(slot));
                free.ok_or("all slots from 1 to 31 are taken; leave a device out")?
            }
        };
        let parameters = plug.parameters.clone();
        self.devices.push(DeviceConfig { kind: plug.model.to_string(), slot, parameters });
        Ok(())
    }

    /// Sets parameters of the device that the machine has of this model unless told otherwise.
    ///
    /// # Errors
    ///
    /// That there is none, as part of a line.
    pub fn set(&mut self, model: &Entry, parameters: &Parameters) -> Result<(), String> {
        if parameters.is_empty() {
            return Ok(());
        }
        let is_it = |device: &&mut DeviceConfig| device.kind == model.kind && Some(device.slot) == model.slot;
        let device = self.devices.iter_mut().find(is_it);
        let device = device.ok_or_else(|| format!("the machine has no {} in its slot", model.kind))?;
        device.parameters.extend(parameters.clone());
        Ok(())
    }
}

fn taken(slot: u8, kind: &str) -> String {
    format!("slot {slot} is taken by the {kind}; name another")
}

/// What to say of a slot that no bus has.
pub fn bad_slot(slot: &str) -> String {
    let (first, last) = (SLOTS.start(), SLOTS.end());
    format!("slot={slot}: write a whole number from {first} to {last}; 0 is the host bridge")
}
