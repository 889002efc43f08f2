//! The PCI bus of a machine, from its description.

use std::path::Path;

use fencepost_devices::camera::{Camera, FrameSource, SourceError};
use fencepost_devices::display::{NoPictures, PictureSink};
use fencepost_devices::function::Function;
use fencepost_devices::pci::{PciRoot, requester_id};
use fencepost_devices::registry::{BuildError, Host, find};
use fencepost_devices::state::{SavedState, StateError, Stateful, decode};
use fencepost_firmware::layout::CAMERA_SLOT;
use fencepost_trace::Stamp;

use crate::config::{DeviceConfig, MachineConfig};
use crate::error::HostError;
use crate::frames::{Frame, FrameSink};
use crate::machine::map::pci_windows;
use crate::source;

/// Why the camera's source could not deliver a picture, and how many it could not deliver, in words.
pub fn camera_error(pci: &mut PciRoot) -> Option<String> {
    let camera = pci.function_mut(requester_id(CAMERA_SLOT))?.as_any().downcast_ref::<Camera>()?;
    let (SourceError(why), count) = camera.source_error()?;
    Some(format!("{why}; pictures that the guest got as errors: {count}"))
}

/// Builds the bus with all devices on it, after power-on. Pictures that the first display shows go to `frames`.
pub fn plug(config: &MachineConfig, frames: Option<Box<dyn FrameSink>>) -> Result<PciRoot, HostError> {
    let mut root = PciRoot::new();
    for (slot, function) in functions(config, frames, |_| None)? {
        root.add(slot, function).map_err(|error| HostError::Host(format!("PCI slot {slot}: {error}")))?;
    }
    root.assign_bars(&pci_windows()).map_err(|error| HostError::Host(format!("PCI: {error}")))?;
    Ok(root)
}

/// Builds the bus with all devices on it, in the state that [`pack`](fencepost_devices::state::pack) gave of such a bus.
pub fn restore(
    config: &MachineConfig,
    frames: Option<Box<dyn FrameSink>>,
    saved: &SavedState,
) -> Result<PciRoot, HostError> {
    let state = decode::<PciRoot>(saved).map_err(refused)?;
    let endpoint = |slot| state.endpoints.iter().find(|endpoint| endpoint.rid == requester_id(slot));
    let functions = functions(config, frames, |slot| endpoint(slot).map(|endpoint| &endpoint.function))?;
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
    frames: Option<Box<dyn FrameSink>>,
    saved: impl Fn(u8) -> Option<&'s SavedState>,
) -> Result<Functions, HostError> {
    let mut host = Files { frames };
    let mut devices: Vec<&DeviceConfig> = config.devices.iter().collect();
    devices.sort_by_key(|device| device.slot);
    let build = |device: &DeviceConfig| {
        let DeviceConfig { kind, slot, parameters } = device;
        let wrong = |why: &dyn std::fmt::Display| HostError::Input(format!("{kind} in slot {slot}: {why}"));
        let model = find(kind).map_err(|why| wrong(&why))?;
        let built = match saved(*slot) {
            Some(saved) => model.restore(parameters, &mut host, saved),
            None => model.build(parameters, &mut host),
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

/// What this host has for devices: its files, and one who looks at the first screen.
struct Files {
    frames: Option<Box<dyn FrameSink>>,
}

impl Host for Files {
    fn pictures(&mut self, path: &Path) -> Result<Box<dyn FrameSource>, String> {
        source::open(path).map_err(|error| error.to_string())
    }

    fn screen(&mut self) -> Box<dyn PictureSink> {
        match self.frames.take() {
            Some(frames) => Box::new(Screen(frames)),
            None => Box::new(NoPictures),
        }
    }
}

/// Hands a display's pictures on.
struct Screen(Box<dyn FrameSink>);

impl PictureSink for Screen {
    fn picture(&mut self, frame: u64, flip: u64, now: Stamp, width_px: u32, height_px: u32, xrgb: &[u8]) {
        let (width, height) = (width_px, height_px);
        self.0.frame(&Frame { vblank: frame, flip, stamp: now, width, height, pixels: xrgb });
    }
}
