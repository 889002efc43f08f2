//! The options that say what a machine's virtio devices are connected to.

use std::path::PathBuf;

use clap::Args;
use fencepost_devices::parameters::Parameters;
use fencepost_devices::state::Stateful;
use fencepost_devices::virtio_console::VirtioConsole;
use fencepost_devices::virtio_net::VirtioNet;

use super::values::{CONSOLE_AT, word};
use crate::config::{MachineConfig, Plug};
use crate::error::HostError;
use crate::launch::{ConsoleAt, Launch};
use crate::net_at::NetAt;

/// Console, channel, network, and records of what comes from them.
#[derive(Clone, Debug, Args)]
pub struct LinksArgs {
    /// Where standard input goes: serial (ttyS0), or hvc0, the terminal of a virtio console, which is plugged if the machine has none.
    /// The output of both is shown
    #[arg(long, value_name = "WHERE", default_value = "serial", value_parser = word(CONSOLE_AT))]
    pub console: ConsoleAt,
    /// Make this Unix socket, the other end of /dev/virtio-ports/fencepost.channel in the guest (docs/virtio-console.md): one program at
    /// a time may connect. A virtio console is plugged if the machine has none
    #[arg(long, value_name = "PATH")]
    pub channel: Option<PathBuf>,
    /// Have the guest of --root run what `fencepost exec PATH COMMAND` says, one command at a time, over this Unix socket
    #[arg(long, value_name = "PATH", requires = "root", conflicts_with = "channel")]
    pub agent: Option<PathBuf>,
    /// Give the guest a network (docs/virtio-net.md): passt, a user-mode network stack in a process of its own; socket=PATH, where one
    /// listens; or tap=NAME. A virtio-net is plugged if the machine has none. Not with --seed, unless --replay-input has what came
    #[arg(long, value_name = "HOW")]
    pub net: Option<NetAt>,
    /// Record in this file, with the guest's times, what the host brings: frames, key presses, words on the channel, what is typed on
    /// the serial ports
    #[arg(long, value_name = "FILE")]
    pub record_input: Option<PathBuf>,
    /// Bring at the recorded times what this file has, and nothing else: with the same options the run is the recorded one. With
    /// --restore, a snapshot that was taken in that run. With --accel soft only
    #[arg(long, value_name = "FILE", conflicts_with = "record_input")]
    pub replay_input: Option<PathBuf>,
}

impl LinksArgs {
    /// `launch` with these.
    pub fn connected(&self, launch: Launch) -> Launch {
        Launch {
            console: self.console,
            channel: self.channel.clone().or(self.agent.clone()),
            net: self.net.clone(),
            record_input: self.record_input.clone(),
            replay_input: self.replay_input.clone(),
            ..launch
        }
    }

    /// Plugs a virtio console and a network device if one is needed and there is none.
    ///
    /// # Errors
    ///
    /// That no slot is free.
    pub fn plug(&self, machine: &mut MachineConfig) -> Result<(), HostError> {
        let console = self.console == ConsoleAt::Hvc0 || self.channel.is_some() || self.agent.is_some();
        let wanted =
            [("--console", VirtioConsole::KIND, console), ("--net", VirtioNet::KIND, self.net.is_some())];
        for (option, kind, wanted) in wanted {
            let there = machine.devices.iter().any(|device| device.kind == kind);
            if wanted && !there {
                let plug = Plug { model: kind, slot: None, parameters: Parameters::new() };
                machine.plug(&plug).map_err(|why| HostError::Input(format!("{option}: {why}")))?;
            }
        }
        Ok(())
    }
}
