//! The machine's list of PCI functions: a new device is a line here.

use std::num::NonZeroU32;

use fencepost_devices::camera::{
    Camera, CameraParts, FrameSource, Picture, Range, Rate, Size, SizeLimits, SourceError, TestPattern,
};
use fencepost_devices::display::{Display, DisplayParts, PictureSink};
use fencepost_devices::function::Function;
use fencepost_devices::gpu::{Gpu, GpuConfig};
use fencepost_devices::pci::PciRoot;
use fencepost_firmware::layout::{CAMERA_SLOT, DISPLAY_SLOT, GPU_SLOT, PCI_WINDOW};
use fencepost_trace::Stamp;

use crate::cli::RunArgs;
use crate::error::HostError;
use crate::frames::{Frame, FrameSink};
use crate::options::{CameraOptions, GpuOptions};
use crate::source;

/// Builds the bus with all devices on it. Pictures that the display shows go to `frames`.
pub fn plug(args: &RunArgs, frames: Option<Box<dyn FrameSink>>) -> Result<PciRoot, HostError> {
    let parts = DisplayParts { config: args.display.clone(), sink: Box::new(Screen(frames)) };
    let display = Display::new(parts)
        .map_err(|error| HostError::input(format!("--display: {error}"), "choose another mode"))?;
    let functions: [(u8, Box<dyn Function>); 3] = [
        (GPU_SLOT, Box::new(Gpu::new(gpu_config(&args.gpu)))),
        (CAMERA_SLOT, Box::new(camera(&args.camera)?)),
        (DISPLAY_SLOT, Box::new(display)),
    ];
    let mut root = PciRoot::new();
    for (slot, function) in functions {
        root.add(slot, function).map_err(|error| HostError::Host(format!("PCI slot {slot}: {error}")))?;
    }
    root.assign_bars(PCI_WINDOW).map_err(|error| HostError::Host(format!("PCI: {error}")))?;
    Ok(root)
}

/// The cost models in force, in words.
pub fn costs(args: &RunArgs) -> Vec<(String, String)> {
    let line = |fixed: u64, rate: u64| format!("{fixed} cycles + 1 cycle a {rate} bytes");
    let (gpu, camera, display) = (gpu_config(&args.gpu), args.camera.cost(), &args.display);
    [
        ("gpu", line(gpu.fixed_cycles, gpu.bytes_per_cycle.get().into())),
        ("camera", line(camera.fixed_cycles.into(), camera.bytes_per_cycle.into())),
        ("display", line(display.fixed_cycles, display.bytes_per_cycle)),
    ]
    .map(|(name, cost)| (name.to_string(), cost))
    .to_vec()
}

fn gpu_config(options: &GpuOptions) -> GpuConfig {
    let default = GpuConfig::default();
    GpuConfig {
        fixed_cycles: options.latency.unwrap_or(default.fixed_cycles),
        bytes_per_cycle: options.bytes_per_cycle.and_then(NonZeroU32::new).unwrap_or(default.bytes_per_cycle),
    }
}

/// The test pattern's largest size unless told otherwise.
const PATTERN_SIZE: Size = Size { width_px: 1920, height_px: 1080 };

fn camera(options: &CameraOptions) -> Result<Camera, HostError> {
    let source: Box<dyn FrameSource> = match &options.source {
        Some(path) => {
            source::open(path).map_err(|error| HostError::Input(format!("--camera source {error}")))?
        }
        None => Box::new(TestPattern::new(Size {
            width_px: options.width.unwrap_or(PATTERN_SIZE.width_px),
            height_px: options.height.unwrap_or(PATTERN_SIZE.height_px),
        })),
    };
    let source = match options.fps {
        Some(fps) => Box::new(AtRate { source, rate: Rate { num: fps, den: 1 } }),
        None => source,
    };
    Ok(Camera::new(CameraParts { cost: options.cost(), source }))
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
