//! The PCI bus of a machine, from its description.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fencepost_devices::camera::{Band, FrameSource, Picture, Range, Rate, Size, SizeLimits, SourceError};
use fencepost_devices::display::{PictureSink, Scanned};
use fencepost_devices::function::Function;
use fencepost_devices::pci::{PciRoot, requester_id};
use fencepost_devices::pvpanic::GuestEvents;
use fencepost_devices::registry::{BuildError, Host, find};
use fencepost_devices::state::{SavedState, StateError, Stateful, decode};
use fencepost_devices::virtio_blk::{Disk, Wanted};
use fencepost_devices::virtio_console::{ByteSink, NoReader, Port};
use fencepost_devices::virtio_fs::{FileServer, Share};
use fencepost_devices::virtio_iommu::Unit;
use fencepost_devices::virtio_net::{Unplugged, Wire};
use fencepost_devices::virtio_rng::Entropy;

use crate::allowance::Allowance;
use crate::config::{DeviceConfig, IommuKind, MachineConfig};
use crate::disk;
use crate::error::{HostError, plain};
use crate::failures::Failures;
use crate::frames::{Frame, FrameSink, ScreenName, Watcher};
use crate::machine::map::pci_windows;
use crate::machine::remap::Remapping;
use crate::panic::{Console, Panics};
use crate::random;
use crate::share;
use crate::source;

/// Builds the bus with all devices on it, after power-on: those of the description, and `others` with their slots.
pub fn plug(
    config: &MachineConfig,
    host: &mut HostFiles,
    others: Vec<(u8, Box<dyn Function>)>,
) -> Result<PciRoot, HostError> {
    let mut root = PciRoot::new();
    host.translate_for(config, others.iter().map(|(slot, _)| *slot));
    for (slot, function) in functions(config, host, |_| None)?.into_iter().chain(others) {
        root.add(slot, function).map_err(|error| HostError::Input(format!("PCI slot {slot}: {error}")))?;
    }
    root.assign_bars(&pci_windows()).map_err(|error| HostError::Host(format!("PCI: {error}")))?;
    Ok(root)
}

/// Builds the bus with all devices on it, in the state that [`pack`](fencepost_devices::state::pack) gave of such a bus.
pub fn restore(
    config: &MachineConfig,
    host: &mut HostFiles,
    saved: &SavedState,
) -> Result<PciRoot, HostError> {
    let state = decode::<PciRoot>(saved).map_err(refused)?;
    host.translate_for(config, []);
    let endpoint = |slot| state.endpoints.iter().find(|endpoint| endpoint.rid == requester_id(slot));
    let functions = functions(config, host, |slot| endpoint(slot).map(|endpoint| &endpoint.function))?;
    PciRoot::restore(functions.into_iter().map(|(_, function)| function).collect(), state).map_err(refused)
}

fn refused(error: StateError) -> HostError {
    HostError::Input(error.to_string())
}

/// Slots and what is in them.
type Functions = Vec<(u8, Box<dyn Function>)>;

/// The functions by ascending slot: each in the state that `saved` gives of its slot, or after power-on.
fn functions<'s>(
    config: &MachineConfig,
    host: &mut HostFiles,
    saved: impl Fn(u8) -> Option<&'s SavedState>,
) -> Result<Functions, HostError> {
    let iommu = config.iommu.slot().map(|slot| DeviceConfig::new("virtio-iommu", slot));
    let mut devices: Vec<&DeviceConfig> = config.devices.iter().chain(&iommu).collect();
    devices.sort_by_key(|device| device.slot);
    let build = |device: &DeviceConfig| {
        let DeviceConfig { kind, slot, parameters } = device;
        let wrong = |why: &dyn std::fmt::Display| HostError::Input(format!("{kind} in slot {slot}: {why}"));
        let model = find(kind).map_err(|why| wrong(&why))?;
        host.building = (*slot, kind.clone());
        let built = match saved(*slot) {
            Some(saved) => model.restore(parameters, host, saved),
            None => model.build(parameters, host),
        };
        let function = built.map_err(|error| match error {
            BuildError::Parameters(why) => wrong(&why),
            BuildError::State(error) => refused(error),
        })?;
        Ok((*slot, function))
    };
    devices.into_iter().map(build).collect()
}

/// The cost models in force, in words.
pub fn costs(config: &MachineConfig) -> Vec<(String, String)> {
    let cost = |device: &DeviceConfig| {
        Some((device.kind.clone(), find(&device.kind).ok()?.cost(&device.parameters)?))
    };
    config.devices.iter().filter_map(cost).collect()
}

/// What this host has for devices: its files, and those who look at the screens.
#[derive(Default)]
pub struct HostFiles {
    frames: Option<Arc<Mutex<Box<dyn FrameSink>>>>,
    watcher: Option<Arc<dyn Watcher>>,
    /// Slot and kind of the device that is being built.
    building: (u8, String),
    /// Devices have asked for a screen.
    screens: bool,
    failures: Failures,
    panics: Panics,
    terminal: Option<Box<dyn Write + Send>>,
    channel: Option<Box<dyn Write + Send>>,
    wire: Option<Box<dyn Wire>>,
    random: bool,
    allowance: Allowance,
    /// What translates for the devices, if it is the virtio IOMMU's; and whether its device has it.
    unit: Option<Unit>,
    unit_taken: bool,
}

impl HostFiles {
    /// The host's files; pictures that a flip brings to a screen go to `frames`, every frame to `watcher`.
    pub fn new(frames: Option<Box<dyn FrameSink>>, watcher: Option<Arc<dyn Watcher>>) -> Self {
        let frames = frames.map(|frames| Arc::new(Mutex::new(frames)));
        HostFiles { frames, watcher, ..HostFiles::default() }
    }

    /// The same; what the guest's kernel says of itself goes to `panics`.
    #[must_use]
    pub fn telling(self, panics: &Panics) -> Self {
        HostFiles { panics: panics.clone(), ..self }
    }

    /// The same; the first virtio console's terminal and channel write to these.
    #[must_use]
    pub fn reading(
        self,
        terminal: Option<Box<dyn Write + Send>>,
        channel: Option<Box<dyn Write + Send>>,
    ) -> Self {
        HostFiles { terminal, channel, ..self }
    }

    /// The same; the first network device is at this wire.
    #[must_use]
    pub fn wired(self, wire: Option<Box<dyn Wire>>) -> Self {
        HostFiles { wire, ..self }
    }

    /// The same; what the guest has written to the host's files is taken from there.
    #[must_use]
    pub fn within(self, allowance: &Allowance) -> Self {
        HostFiles { allowance: allowance.clone(), ..self }
    }

    /// The same; what fails is noted beside what has failed before.
    #[must_use]
    pub fn noting(self, failures: &Failures) -> Self {
        HostFiles { failures: failures.clone(), ..self }
    }

    /// Whether the guest gets the host's random numbers: its run is not one that can be had again then.
    pub fn be_random(&mut self, random: bool) {
        self.random = random;
    }

    /// The machine is to be that of `config`, with `others` in these slots beside its devices.
    fn translate_for(&mut self, config: &MachineConfig, others: impl IntoIterator<Item = u8>) {
        let slots = config.devices.iter().map(|device| device.slot).chain(others);
        self.unit = config.iommu.slot().map(|own| Unit::new(requester_id(own), slots.map(requester_id)));
    }

    /// What stands between the devices that were built and memory, where the machine's IOMMU is `kind`.
    pub(crate) fn remapping(&self, kind: IommuKind) -> Remapping {
        match (kind, &self.unit) {
            (IommuKind::Vtd, _) => Remapping::vtd(),
            (IommuKind::Intremap, _) => Remapping::vtd_with_interrupts(),
            (_, Some(unit)) => Remapping::Virtio(unit.clone()),
            (_, None) => Remapping::Off,
        }
    }

    /// What the host fails to do for the devices.
    pub fn failures(&self) -> Failures {
        self.failures.clone()
    }
}

impl Host for HostFiles {
    fn pictures(&mut self, path: &Path) -> Result<Box<dyn FrameSource>, String> {
        let source = source::open(path).map_err(|error| error.to_string())?;
        Ok(Box::new(Watched { path: path.to_path_buf(), source, failures: self.failures.clone() }))
    }

    fn screen(&mut self) -> Box<dyn PictureSink> {
        let (slot, kind) = self.building.clone();
        let first = !std::mem::replace(&mut self.screens, true);
        let name = ScreenName { slot, kind, first, scanout: 0 };
        Box::new(Screens { name, frames: self.frames.clone(), watcher: self.watcher.clone() })
    }

    fn wire(&mut self) -> Box<dyn Wire> {
        self.wire.take().unwrap_or_else(|| Box::new(Unplugged))
    }

    fn port(&mut self, port: Port) -> Box<dyn ByteSink> {
        let writer = match port {
            Port::Terminal => {
                self.terminal.take().map(|terminal| self.panics.console(Console::Terminal, terminal))
            }
            Port::Channel => self.channel.take(),
        };
        writer.map_or_else(|| Box::new(NoReader) as Box<dyn ByteSink>, |writer| Box::new(Reader(writer)))
    }

    fn guest_events(&mut self) -> Box<dyn GuestEvents> {
        self.panics.listener()
    }

    fn share(&mut self, share: Share<'_>) -> Result<Box<dyn FileServer>, String> {
        share::open(share, self.allowance.clone())
    }

    fn disk(&mut self, wanted: Wanted<'_>) -> Result<Box<dyn Disk>, String> {
        disk::open(wanted, self.failures.clone())
    }

    fn entropy(&mut self) -> Option<Box<dyn Entropy>> {
        self.random.then(|| Box::new(HostEntropy(self.failures.clone())) as Box<dyn Entropy>)
    }

    fn iommu(&mut self) -> Result<Unit, String> {
        let unit = self.unit.clone().filter(|_| !std::mem::replace(&mut self.unit_taken, true));
        unit.ok_or_else(|| "the machine has one with --iommu virtio, and no other; leave it out".to_string())
    }
}

/// The host's generator.
struct HostEntropy(Failures);

impl Entropy for HostEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        if let Err(error) = random::fill(bytes) {
            self.0.add("the host's random numbers", &plain(&error), "requests that the guest got as zeros");
        }
    }
}

/// A source whose failures are noted for the host's user.
struct Watched {
    path: PathBuf,
    source: Box<dyn FrameSource>,
    failures: Failures,
}

impl FrameSource for Watched {
    fn sizes(&self) -> SizeLimits {
        self.source.sizes()
    }

    fn range(&self) -> Range {
        self.source.range()
    }

    fn rate(&self) -> Rate {
        self.source.rate()
    }

    fn band(&mut self, sequence: u32, size: Size, band: Band) -> Result<Picture, SourceError> {
        let picture = self.source.band(sequence, size, band);
        picture.inspect_err(|why| {
            let thing = format!("the camera's source {}", self.path.display());
            self.failures.add(&thing, &why.0, "pictures that the guest got as errors");
        })
    }
}

/// Hands the pictures of a device's screens on.
struct Screens {
    /// That of its first scan-out.
    name: ScreenName,
    frames: Option<Arc<Mutex<Box<dyn FrameSink>>>>,
    watcher: Option<Arc<dyn Watcher>>,
}

impl PictureSink for Screens {
    fn picture(&mut self, picture: &Scanned<'_>) {
        if self.watcher.is_none() && (self.frames.is_none() || !picture.fresh) {
            return;
        }
        let mut screen = self.name.clone();
        screen.scanout = picture.scanout;
        screen.first &= picture.scanout == 0;
        if let Some(watcher) = &self.watcher {
            watcher.scanned(&screen, picture);
        }
        if let Some(frames) = self.frames.as_ref().filter(|_| picture.fresh) {
            let &Scanned { frame: vblank, flip, now: stamp, width_px, height_px, xrgb, .. } = picture;
            let (width, height) = (width_px, height_px);
            let frame = Frame { screen: &screen, vblank, flip, stamp, width, height, pixels: xrgb };
            frames.lock().unwrap_or_else(PoisonError::into_inner).frame(&frame);
        }
    }
}

/// One who reads what a guest writes to a port. What it does not take is its own affair: an outlet counts that.
struct Reader(Box<dyn Write + Send>);

impl ByteSink for Reader {
    fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_numbers_are_there_for_a_random_run_only() {
        let mut host = HostFiles::default();
        assert!(host.entropy().is_none(), "a run under soft can be had again");
        host.be_random(true);
        let mut entropy = host.entropy().expect("the host has some");
        let mut numbers = || {
            let mut bytes = [0; 4096];
            entropy.fill(&mut bytes);
            bytes
        };
        let (one, other) = (numbers(), numbers());
        assert!(one != other && one[4000..] != [0; 96]);
        assert_eq!(host.failures().lines(), [""; 0]);
    }
}
