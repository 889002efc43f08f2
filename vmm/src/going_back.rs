//! What a machine that goes back has on the host: ends that its devices are given again, and of which each output leaves once.

use std::io::Write;
use std::sync::Arc;

use fencepost_devices::parameters::Value;
use fencepost_devices::pci::PciRoot;
use fencepost_devices::state::SavedState;
use fencepost_devices::virtio_net::Wire;

use crate::allowance::Allowance;
use crate::config::{DeviceConfig, MachineConfig};
use crate::devices::{self, HostFiles};
use crate::error::HostError;
use crate::failures::Failures;
use crate::frames::{FrameSink, Watcher};
use crate::hooks::Hooks;
use crate::launch::Launch;
use crate::machine::past::Rebuild;
use crate::machine::remap::Remapping;
use crate::once::{Counted, Once};
use crate::panic::Panics;

type Bytes = Box<dyn Write + Send>;

/// The ends of a machine's devices. Clones are the same ends.
#[derive(Clone)]
pub(crate) struct Ends {
    panics: Panics,
    failures: Failures,
    allowance: Allowance,
    watcher: Option<Arc<dyn Watcher>>,
    frames: Option<Once<Box<dyn FrameSink>>>,
    terminal: Option<Once<Bytes>>,
    channel: Option<Once<Bytes>>,
    wire: Option<Once<Box<dyn Wire>>>,
}

/// What counts for all of `outputs`.
fn counted<T: Send + 'static>(output: Option<&Once<T>>, outputs: &mut Vec<Box<dyn Counted>>) {
    outputs.extend(output.map(|output| Box::new(output.clone()) as Box<dyn Counted>));
}

fn once(out: &mut Bytes, outputs: &mut Vec<Box<dyn Counted>>) {
    let counting = Once::new(std::mem::replace(out, Box::new(std::io::sink())));
    counted(Some(&counting), outputs);
    *out = Box::new(counting);
}

impl Ends {
    /// Those of `hooks`, and what leaves the process by them. Where the machine may go back, the consoles of `hooks` are counted too.
    pub fn of(hooks: &mut Hooks, panics: &Panics, goes_back: bool) -> (Self, Vec<Box<dyn Counted>>) {
        let ends = Ends {
            panics: panics.clone(),
            failures: Failures::default(),
            allowance: hooks.allowance.clone(),
            watcher: hooks.watcher.take(),
            frames: hooks.frames.take().map(Once::new),
            terminal: hooks.terminal.take().map(Once::new),
            channel: hooks.channel.take().map(Once::new),
            wire: hooks.wire.take().map(Once::new),
        };
        let mut outputs = Vec::new();
        if goes_back {
            counted(ends.frames.as_ref(), &mut outputs);
            counted(ends.terminal.as_ref(), &mut outputs);
            counted(ends.channel.as_ref(), &mut outputs);
            counted(ends.wire.as_ref(), &mut outputs);
            once(&mut hooks.console, &mut outputs);
            hooks.serial.iter_mut().for_each(|out| once(out, &mut outputs));
        }
        (ends, outputs)
    }

    /// For the devices of one machine.
    pub fn files(&self) -> HostFiles {
        let bytes = |end: &Option<Once<Bytes>>| end.clone().map(|end| Box::new(end) as Bytes);
        let frames = self.frames.clone().map(|frames| Box::new(frames) as Box<dyn FrameSink>);
        HostFiles::new(frames, self.watcher.clone())
            .telling(&self.panics)
            .noting(&self.failures)
            .within(&self.allowance)
            .reading(bytes(&self.terminal), bytes(&self.channel))
            .wired(self.wire.clone().map(|wire| Box::new(wire) as Box<dyn Wire>))
    }
}

impl Rebuild for Ends {
    fn bus(&mut self, config: &MachineConfig, saved: &SavedState) -> Result<(PciRoot, Remapping), HostError> {
        let mut host = self.files();
        let pci = devices::restore(config, &mut host, saved)?;
        Ok((pci, host.remapping(config.iommu)))
    }
}

/// Whether the machine of `config` can go back.
///
/// # Errors
///
/// Why not, and what to do.
pub(crate) fn check(launch: &Launch, config: &MachineConfig) -> Result<(), String> {
    if !launch.moves.is_empty() {
        return Err("--move leaves `soft`; leave it out".into());
    }
    let written = |device: &&DeviceConfig| device.files().iter().any(|(_, written)| *written);
    if let Some(device) = config.devices.iter().find(written) {
        let fix = "add ro or snapshot to it";
        return Err(format!("the {} in slot {} writes to its file; {fix}", device.kind, device.slot));
    }
    let changes = |device: &&DeviceConfig| device.parameters.get("access") == Some(&Value::Text("rw".into()));
    if let Some(device) = config.devices.iter().find(changes) {
        return Err(format!(
            "the {} in slot {} changes the host's files; share them with ro",
            device.kind, device.slot
        ));
    }
    Ok(())
}
