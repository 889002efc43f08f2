//! What a machine is made of, as plain data: the command line and a snapshot both describe it so.

use std::path::Path;

use fencepost_devices::parameters::{Parameters, Value};
use fencepost_devices::registry::{Entry, MODELS, find};
use serde::{Deserialize, Serialize};

/// A machine after power-on, but for the kernel in its memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineConfig {
    /// Guest RAM, bytes.
    pub memory_bytes: u64,
    /// Whether there is an IOMMU (VT-d).
    pub iommu: bool,
    /// The seed by which the machine varies what hardware may vary, if it does.
    pub seed: Option<u64>,
    /// The devices on the PCI bus, in any order.
    pub devices: Vec<DeviceConfig>,
}

impl Default for MachineConfig {
    /// No memory, no IOMMU, and the devices that every machine has unless told otherwise.
    fn default() -> Self {
        let devices = MODELS.iter().filter_map(|model| Some(DeviceConfig::new(model.kind, model.slot?)));
        MachineConfig { memory_bytes: 0, iommu: false, seed: None, devices: devices.collect() }
    }
}

/// A device and where it is plugged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceConfig {
    /// The model, as the registry names it.
    pub kind: String,
    /// Its slot, 1 to 31: function 0 of that PCI device number on bus 0.
    pub slot: u8,
    /// What was set; the rest has its defaults.
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

    /// The files on the host that it reads.
    pub fn files(&self) -> Vec<&Path> {
        let is_file = |key: &str| find(&self.kind).is_ok_and(|model| model.is_file(key));
        let files = self.parameters.iter().filter(|(key, _)| is_file(key));
        files
            .filter_map(|(_, value)| if let Value::Text(name) = value { Some(Path::new(name)) } else { None })
            .collect()
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

impl MachineConfig {
    /// Plugs a device: into the slot that it names, or its model's own if that is free, or the lowest free one.
    ///
    /// # Errors
    ///
    /// A bad or taken slot, as part of a line.
    pub fn plug(&mut self, plug: &Plug) -> Result<(), String> {
        let taken = |slot: u8| self.devices.iter().find(|device| device.slot == slot);
        let own = MODELS.iter().find(|model| model.kind == plug.model).and_then(|model| model.slot);
        let slot = match plug.slot {
            Some(slot) if !SLOTS.contains(&slot) => return Err(bad_slot(&slot.to_string())),
            Some(slot) => match taken(slot) {
                Some(other) => {
                    return Err(format!("slot {slot} is taken by the {}; name another", other.kind));
                }
                None => slot,
            },
            None => {
                let free = own.into_iter().chain(SLOTS).find(|&slot| taken(slot).is_none());
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

/// What to say of a slot that no bus has.
pub fn bad_slot(slot: &str) -> String {
    let (first, last) = (SLOTS.start(), SLOTS.end());
    format!("slot={slot}: write a whole number from {first} to {last}; 0 is the host bridge")
}
