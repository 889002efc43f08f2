//! The camera's state as data.

use serde::{Deserialize, Serialize};

use super::config::CameraParts;
use super::controls::Controls;
use super::core::Camera;
use super::format::{FrameLayout, PixelFormat};
use super::progress::Progress;
use super::registers::{MAX_RATE, MAX_RATE_PART, MAX_RING_ENTRIES, SYNC_TIMEOUT_US};
use super::source::{FrameSource, Size};
use super::sync::Semaphore;
use super::window::{Window, WindowRegisters};
use super::wire::{Descriptor, RECORD_BYTES};
use crate::ports::Iova;
use crate::sg::SgList;
use crate::state::{StateError, Stateful, require};

/// All that a camera remembers. The picture source is not part of it: it is the host's, and deterministic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraState {
    pub(super) format: u32,
    pub(super) width_px: u32,
    pub(super) height_px: u32,
    pub(super) stride_bytes: u32,
    pub(super) window: WindowRegisters,
    pub(super) rate_num: u32,
    pub(super) rate_den: u32,
    pub(super) queue_base: u64,
    pub(super) completion_base: u64,
    pub(super) ring_entries: u32,
    pub(super) queue_tail_address: u64,
    pub(super) queue_tail: u32,
    pub(super) queue_head: u32,
    pub(super) completed: u32,
    pub(super) sequence: u32,
    pub(super) error_code: u32,
    pub(super) error_iova: u64,
    pub(super) error_count: u32,
    pub(super) overrun_count: u32,
    pub(super) frame_count: u32,
    pub(super) sync_timeout_us: u32,
    pub(super) sync_timeout_count: u32,
    /// Pictures that the source could not deliver; among `error_count`.
    pub(super) source_error_count: u32,
    /// The registers of the controls.
    pub(super) controls: Controls,
    /// What the next frame is taken with.
    pub(super) latched: Latched,
    pub(super) stream: Option<Stream>,
}

/// A set of controls that was latched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Latched {
    pub controls: Controls,
    /// How many sets there were before it, modulo 2^32.
    pub number: u32,
}

impl Latched {
    /// The set after this one.
    pub fn next(self, controls: Controls) -> Self {
        Latched { controls, number: self.number.wrapping_add(1) }
    }
}

/// A stream that is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stream {
    /// When it went on, nanoseconds since the machine started.
    pub start_ns: u64,
    /// A ring faulted.
    pub halted: bool,
    /// The sensor gives no pictures.
    pub lost: bool,
    /// Since when the next buffer has waited, nanoseconds since the machine started.
    pub waits_since_ns: Option<u64>,
    /// The frame being written.
    pub in_flight: Option<InFlight>,
}

/// A frame between read-out and completion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InFlight {
    pub sequence: u32,
    pub descriptor: Descriptor,
    pub start_cycles: u64,
    pub end_ns: u64,
    pub taken_with: Latched,
    pub first: SgList,
    pub second: Option<SgList>,
    pub signal: Option<Semaphore>,
    /// How far it is, from [`Self::end_ns`] on.
    pub progress: Progress,
}

impl Stateful for Camera {
    const KIND: &'static str = "camera";
    const VERSION: u32 = 9;
    type Parts = CameraParts;
    type State = CameraState;

    fn save(&self) -> CameraState {
        self.state.clone()
    }

    /// The source must be the one that the saved camera had.
    fn restore(parts: CameraParts, state: CameraState) -> Result<Self, StateError> {
        let CameraParts { cost, source } = parts;
        let can_stream = state.stream.is_none() || state.layout(source.as_ref()).is_some();
        require::<Camera>(can_stream, "it streams a format that the picture source does not have")?;
        let layout = state.layout(source.as_ref());
        let frame = state.stream.as_ref().and_then(|stream| stream.in_flight.as_ref());
        let can_be = frame.zip(layout).is_none_or(|(frame, layout)| frame.progress.can_be(&layout));
        require::<Camera>(can_be, "more of a frame is written than it has")?;
        Ok(Camera { cost, source, state })
    }
}

impl CameraState {
    /// The state after power-on.
    pub(super) fn new(source: &dyn FrameSource) -> Self {
        let max = source.sizes().max;
        let rate = source.rate();
        CameraState {
            format: PixelFormat::Yuyv.fourcc(),
            width_px: max.width_px,
            height_px: max.height_px,
            stride_bytes: max.width_px.saturating_mul(2),
            window: WindowRegisters::default(),
            rate_num: rate.num,
            rate_den: rate.den,
            queue_base: 0,
            completion_base: 0,
            ring_entries: 0,
            queue_tail_address: 0,
            queue_tail: 0,
            queue_head: 0,
            completed: 0,
            sequence: 0,
            error_code: 0,
            error_iova: 0,
            error_count: 0,
            overrun_count: 0,
            frame_count: 0,
            sync_timeout_us: SYNC_TIMEOUT_US,
            sync_timeout_count: 0,
            source_error_count: 0,
            controls: Controls::default(),
            latched: Latched::default(),
            stream: None,
        }
    }

    /// The programmed frame layout, if every locked register is within its limits.
    pub(super) fn layout(&self, source: &dyn FrameSource) -> Option<FrameLayout> {
        let layout = FrameLayout {
            format: PixelFormat::from_fourcc(self.format)?,
            size: self.size(),
            stride_bytes: self.stride_bytes,
        };
        let good = self.window(source).is_some()
            && layout.stride_is_good()
            && self.rate_is_good()
            && self.rings_are_good();
        good.then_some(layout)
    }

    fn size(&self) -> Size {
        Size { width_px: self.width_px, height_px: self.height_px }
    }

    /// Which part of the picture goes where, if that fits.
    pub(super) fn window(&self, source: &dyn FrameSource) -> Option<Window> {
        self.window.window(self.size(), &source.sizes())
    }

    fn rate_is_good(&self) -> bool {
        let part = 1..=MAX_RATE_PART;
        part.contains(&self.rate_num)
            && part.contains(&self.rate_den)
            && self.rate_num >= self.rate_den
            && u64::from(self.rate_num) <= u64::from(self.rate_den).saturating_mul(u64::from(MAX_RATE))
    }

    fn rings_are_good(&self) -> bool {
        let entries = self.ring_entries;
        let fits = |base: u64| {
            let bytes = u64::from(entries).saturating_mul(RECORD_BYTES);
            base % RECORD_BYTES == 0 && base.checked_add(bytes).is_some()
        };
        (2..=MAX_RING_ENTRIES).contains(&entries)
            && entries.is_power_of_two()
            && fits(self.queue_base)
            && fits(self.completion_base)
            && self.queue_tail_address % 4 == 0
            && self.queued() <= entries
    }

    /// Descriptors posted and not taken.
    pub(super) fn queued(&self) -> u32 {
        self.queue_tail.wrapping_sub(self.queue_head)
    }

    /// The address of slot `count % RING_ENTRIES` of the ring at `base`.
    pub(super) fn slot(&self, base: u64, count: u32) -> Iova {
        let slot = count.checked_rem(self.ring_entries).unwrap_or(0);
        Iova(base.saturating_add(u64::from(slot).saturating_mul(RECORD_BYTES)))
    }

    /// When frame `sequence` of a stream that went on at `start_ns` is read out, in nanoseconds.
    pub(super) fn read_out_ns(&self, start_ns: u64, sequence: u32) -> u64 {
        let periods = u128::from(sequence).saturating_add(1);
        let after_ns = periods
            .saturating_mul(u128::from(self.rate_den))
            .saturating_mul(1_000_000_000)
            .checked_div(u128::from(self.rate_num))
            .unwrap_or(u128::MAX);
        start_ns.saturating_add(u64::try_from(after_ns).unwrap_or(u64::MAX))
    }
}
