//! The machine's list of PCI functions: a new device is a line here.

use fencepost_devices::camera::{
    Camera, CameraParts, FrameSource, Picture, Range, Rate, Size, SizeLimits, SourceError, TestPattern,
};
use fencepost_devices::display::{ConfigError, Display, DisplayParts, PictureSink};
use fencepost_devices::function::Function;
use fencepost_devices::gpu::Gpu;
use fencepost_devices::pci::{PciRoot, requester_id};
use fencepost_devices::state::{SavedState, StateError, Stateful, decode, unpack};
use fencepost_firmware::layout::{CAMERA_SLOT, DISPLAY_SLOT, GPU_SLOT};
use fencepost_trace::Stamp;

use crate::config::{CameraConfig, MachineConfig};
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

/// Builds the bus with all devices on it, after power-on. Pictures that the display shows go to `frames`.
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
type Functions = [(u8, Box<dyn Function>); 3];

/// The functions by ascending slot: each in the state that `saved` gives of its slot, or after power-on.
fn functions<'s>(
    config: &MachineConfig,
    frames: Option<Box<dyn FrameSink>>,
    saved: impl Fn(u8) -> Option<&'s SavedState>,
) -> Result<Functions, HostError> {
    let display = DisplayParts { config: config.display.clone(), sink: Box::new(Screen(frames)) };
    let unshowable =
        |error: ConfigError| HostError::input(format!("--display: {error}"), "choose another mode");
    Ok([
        (GPU_SLOT, build(config.gpu, saved(GPU_SLOT), |parts| Ok(Gpu::new(parts)))?),
        (CAMERA_SLOT, build(camera(&config.camera)?, saved(CAMERA_SLOT), |parts| Ok(Camera::new(parts)))?),
        (DISPLAY_SLOT, build(display, saved(DISPLAY_SLOT), |parts| Display::new(parts).map_err(unshowable))?),
    ])
}

fn build<F: Function + Stateful + 'static>(
    parts: F::Parts,
    saved: Option<&SavedState>,
    new: impl FnOnce(F::Parts) -> Result<F, HostError>,
) -> Result<Box<dyn Function>, HostError> {
    Ok(Box::new(match saved {
        Some(saved) => unpack(parts, saved).map_err(refused)?,
        None => new(parts)?,
    }))
}

/// The cost models in force, in words.
pub fn costs(config: &MachineConfig) -> Vec<(String, String)> {
    let line = |fixed: u64, rate: u64| format!("{fixed} cycles + 1 cycle a {rate} bytes");
    let (gpu, camera, display) = (&config.gpu, &config.camera.cost, &config.display);
    [
        ("gpu", line(gpu.fixed_cycles, gpu.bytes_per_cycle.get().into())),
        ("camera", line(camera.fixed_cycles.into(), camera.bytes_per_cycle.into())),
        ("display", line(display.fixed_cycles, display.bytes_per_cycle)),
    ]
    .map(|(name, cost)| (name.to_string(), cost))
    .to_vec()
}

/// The test pattern's largest size unless told otherwise.
const PATTERN_SIZE: Size = Size { width_px: 1920, height_px: 1080 };

fn camera(config: &CameraConfig) -> Result<CameraParts, HostError> {
    let source: Box<dyn FrameSource> = match &config.source {
        Some(path) => {
            source::open(path).map_err(|error| HostError::Input(format!("--camera source {error}")))?
        }
        None => Box::new(TestPattern::new(Size {
            width_px: config.width_px.unwrap_or(PATTERN_SIZE.width_px),
            height_px: config.height_px.unwrap_or(PATTERN_SIZE.height_px),
        })),
    };
    let source = match config.fps {
        Some(fps) => Box::new(AtRate { source, rate: Rate { num: fps, den: 1 } }),
        None => source,
    };
    Ok(CameraParts { cost: config.cost, source })
}

/// A source played at another rate.
struct AtRate {
    source: Box<dyn FrameSource>,
    rate: Rate,
}

impl FrameSource for AtRate {
    fn sizes(&self) -> SizeLimits {
        self.source.sizes()
    }

    fn range(&self) -> Range {
        self.source.range()
    }

    fn rate(&self) -> Rate {
        self.rate
    }

    fn frame(&mut self, sequence: u32, size: Size) -> Result<Picture, SourceError> {
        self.source.frame(sequence, size)
    }
}

/// Hands the display's pictures on.
struct Screen(Option<Box<dyn FrameSink>>);

impl PictureSink for Screen {
    fn picture(&mut self, frame: u64, flip: u64, now: Stamp, width_px: u32, height_px: u32, xrgb: &[u8]) {
        if let Some(sink) = &mut self.0 {
            let (width, height) = (width_px, height_px);
            sink.frame(&Frame { vblank: frame, flip, stamp: now, width, height, pixels: xrgb });
        }
    }
}
