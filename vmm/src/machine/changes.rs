//! What the host changes while the machine runs (docs/scenarios.md): parameters of devices, and which functions are on the bus.

use std::collections::BTreeMap;

use fencepost_devices::changes::{Change, Presence};
use fencepost_devices::parameters::Parameters;

use super::Machine;
use crate::config::MachineConfig;

/// The parameters that were changed, by slot: a machine's description lacks them.
pub type Changes = BTreeMap<u8, Parameters>;

impl Machine {
    /// Gives parameters of a device other values, from this instruction on.
    ///
    /// # Errors
    ///
    /// There is no such device, or it does not take them: as part of a line.
    pub fn change(&mut self, change: &Change) -> Result<(), String> {
        let (slot, parameters) = self.on_bus(|pci, platform| pci.change(change, platform))?;
        self.changes.entry(slot).or_default().extend(parameters);
        self.record_mark(&format!("set {change}"));
        Ok(())
    }

    /// Takes a function from its bus, or puts it back, at this instruction.
    ///
    /// # Errors
    ///
    /// There is no such function, or it is so already: as part of a line.
    pub fn set_there(&mut self, presence: &Presence) -> Result<(), String> {
        self.on_bus(|pci, platform| pci.set_there(presence, platform))?;
        self.record_mark(&format!("hotplug {presence}"));
        Ok(())
    }

    /// `config`, which describes the machine as it was built or restored, as it is now.
    pub fn described_by(&self, mut config: MachineConfig) -> MachineConfig {
        for device in &mut config.devices {
            device.parameters.extend(self.changes.get(&device.slot).cloned().unwrap_or_default());
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use fencepost_devices::pci::CONFIG_PORTS;

    use super::super::testing::standard;
    use super::*;

    #[test]
    fn a_machine_that_was_changed_is_described_as_it_is() {
        let mut machine = standard();
        for change in ["display:monitor=absent,latency=7", "1:latency=20000", "display:latency=9"] {
            machine.change(&change.parse().unwrap()).unwrap();
        }
        let config = machine.described_by(MachineConfig::default());
        let text = |slot: usize| format!("{:?}", config.devices[slot - 1].parameters);
        assert_eq!(text(1), r#"{"latency": Number(20000)}"#);
        assert_eq!(text(2), "{}");
        assert_eq!(text(3), r#"{"latency": Number(9), "monitor": Text("absent")}"#);
        config.check().unwrap();
        for (change, words) in
            [("pvpanic:events=1", ""), ("9:latency=1", "no such device"), ("2:source=x", "does not change")]
        {
            let why = change.parse().and_then(|change| machine.change(&change)).expect_err(change);
            assert!(why.contains(words), "{why}");
        }
        assert_eq!(machine.described_by(MachineConfig::default()), config, "what is refused changes nothing");
    }

    #[test]
    fn a_function_that_was_removed_answers_again_when_it_is_back() {
        let mut machine = standard();
        let id = |machine: &mut Machine| {
            machine.write_port(CONFIG_PORTS.start, &0x8000_0800u32.to_le_bytes());
            let mut data = [0; 4];
            machine.read_port(CONFIG_PORTS.start + 4, &mut data);
            u32::from_le_bytes(data)
        };
        let before = id(&mut machine);
        machine.set_there(&"remove gpu".parse().unwrap()).unwrap();
        assert_eq!(id(&mut machine), u32::MAX);
        machine.set_there(&"add 1".parse().unwrap()).unwrap();
        assert_eq!(id(&mut machine), before);
        assert!(machine.set_there(&"add virtio-rng".parse().unwrap()).is_err());
    }
}
