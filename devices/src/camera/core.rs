//! Registers and the stream.

use fencepost_trace::{EngineSpec, Event, Role};

use super::config::{CameraConfig, CameraParts};
use super::error::{ErrorCode, Failure};
use super::format::{MAX_STRIDE, STRIDE_ALIGN};
use super::registers::{self, Reg};
use super::source::{FrameSource, Range};
use super::state::{CameraState, Stream};
use crate::changes::{Changes, changed};
use crate::cost::CostModel;
use crate::function::{Counter, Doorbell, Function, Identity, Ids, Inbox, Registers, Words};
use crate::parameters::Parameters;
use crate::ports::{DmaExt, Iova, Ports};
use crate::registers::{Access, Half};
use crate::state::{SavedState, pack};

/// Its engine's place in [`Identity::engines`].
pub(super) const ENGINE: u8 = 0;
/// Timer: the read-out of the next frame.
pub(super) const TIMER_READ_OUT: u32 = 0;
/// Timer: the time of the frame being written is over, and a part of it is due.
pub(super) const TIMER_END: u32 = 1;

/// The camera's device core.
pub struct Camera {
    pub(super) cost: CostModel,
    pub(super) source: Box<dyn FrameSource>,
    pub(super) state: CameraState,
}

impl Camera {
    /// A camera after power-on.
    pub fn new(parts: CameraParts) -> Self {
        let CameraParts { cost, source } = parts;
        let state = CameraState::new(source.as_ref());
        Camera { cost, source, state }
    }

    /// Reports an error to the guest.
    pub(super) fn fail(&mut self, failure: Failure, ports: &mut Ports<'_>) {
        self.state.error_code = failure.code as u32;
        self.state.error_iova = failure.iova;
        self.state.error_count = self.state.error_count.saturating_add(1);
        ports.msi.raise(registers::VECTOR_ERROR);
    }

    /// Counts a dropped frame.
    pub(super) fn drop_frame(&mut self, sequence: u32, ports: &mut Ports<'_>) {
        self.state.overrun_count = self.state.overrun_count.saturating_add(1);
        ports.trace.record(Event::FrameDropped { engine: ports.engine(ENGINE), sequence });
    }

    fn start(&mut self, ports: &mut Ports<'_>) {
        if self.state.layout(self.source.as_ref()).is_none() {
            return self.fail(Failure::plain(ErrorCode::BadConfig), ports);
        }
        let start_ns = ports.clock.now().ns;
        self.state.stream =
            Some(Stream { start_ns, halted: false, lost: false, waits_since_ns: None, in_flight: None });
        ports.clock.call_at(self.state.read_out_ns(start_ns, self.state.sequence), TIMER_READ_OUT);
    }

    fn stop(&mut self, ports: &mut Ports<'_>) {
        cancel_timers(ports);
        self.state.stream = None;
        self.state.queue_tail = 0;
        self.state.queue_head = 0;
        self.state.completed = 0;
        self.state.sequence = 0;
    }

    fn control(&mut self, value: u32, ports: &mut Ports<'_>) {
        match (value & registers::CONTROL_STREAM != 0, self.state.stream.is_some()) {
            (true, false) => self.start(ports),
            (false, true) => self.stop(ports),
            // Posted buffers of a stream that never went on are forgotten too.
            (false, false) => self.stop(ports),
            (true, true) => {}
        }
    }

    /// QUEUE_DOORBELL: the tail is in memory.
    fn doorbell(&mut self, ports: &mut Ports<'_>) {
        let at = self.state.queue_tail_address;
        let halted = self.state.stream.as_ref().is_some_and(|stream| stream.halted);
        if at == 0 || halted {
            return;
        }
        match ports.dma.read_u32(Iova(at)) {
            Ok(tail) => self.advance(tail, ports),
            Err(fault) => self.halt(Failure::fault(ErrorCode::RingFault, &fault), ports),
        }
    }

    /// The descriptors up to `tail` are posted.
    fn advance(&mut self, tail: u32, ports: &mut Ports<'_>) {
        if tail.wrapping_sub(self.state.queue_head) > self.state.ring_entries {
            return self.fail(Failure::plain(ErrorCode::QueueOverflow), ports);
        }
        self.state.queue_tail = tail;
        let engine = ports.engine(ENGINE);
        ports.trace.record(Event::Doorbell { engine, queue: 0, tail: u64::from(tail) });
    }

    fn status(&self) -> u32 {
        let Some(stream) = &self.state.stream else { return 0 };
        let mut status = registers::STATUS_STREAMING;
        if stream.in_flight.is_some() {
            status |= registers::STATUS_BUSY;
        }
        if stream.halted {
            status |= registers::STATUS_HALTED;
        }
        if stream.waits_since_ns.is_some() {
            status |= registers::STATUS_WAITING;
        }
        status
    }

    fn limit(&self, register: Reg) -> u32 {
        let sizes = self.source.sizes();
        match register {
            Reg::MinWidth => sizes.min.width_px,
            Reg::MaxWidth => sizes.max.width_px,
            Reg::MinHeight => sizes.min.height_px,
            Reg::MaxHeight => sizes.max.height_px,
            Reg::NativeRateNum => self.source.rate().num,
            Reg::NativeRateDen => self.source.rate().den,
            Reg::Colour => u32::from(self.source.range() == Range::Full),
            _ => 0,
        }
    }

    fn value(&self, register: Reg) -> u64 {
        let state = &self.state;
        let word = match register {
            Reg::QueueBase => return state.queue_base,
            Reg::CompletionBase => return state.completion_base,
            Reg::QueueTailAddress => return state.queue_tail_address,
            Reg::ErrorIova => return state.error_iova,
            Reg::Id => registers::ID,
            Reg::Version => registers::VERSION,
            Reg::Formats => registers::FORMATS,
            Reg::SizeStep => registers::SIZE_STEP,
            Reg::StrideAlign => STRIDE_ALIGN,
            Reg::MaxStride => MAX_STRIDE,
            Reg::MaxRate => registers::MAX_RATE,
            Reg::MaxRingEntries => registers::MAX_RING_ENTRIES,
            Reg::CostFixed => return self.cost.fixed_cycles,
            Reg::CostBytesPerCycle => self.cost.bytes_per_cycle.get(),
            Reg::Format => state.format,
            Reg::Width => state.width_px,
            Reg::Height => state.height_px,
            Reg::Stride => state.stride_bytes,
            Reg::RateNum => state.rate_num,
            Reg::RateDen => state.rate_den,
            Reg::RingEntries => state.ring_entries,
            Reg::Control => u32::from(state.stream.is_some()),
            Reg::Status => self.status(),
            Reg::QueueTail => state.queue_tail,
            Reg::QueueHead => state.queue_head,
            Reg::Completed => state.completed,
            Reg::Sequence => state.sequence,
            Reg::QueueDoorbell => 0,
            Reg::SyncTimeout => state.sync_timeout_us,
            Reg::ErrorCode => state.error_code,
            Reg::ErrorCount => state.error_count,
            Reg::OverrunCount => state.overrun_count,
            Reg::FrameCount => state.frame_count,
            Reg::SyncTimeoutCount => state.sync_timeout_count,
            Reg::Brightness => state.controls.brightness,
            Reg::Contrast => state.controls.contrast,
            Reg::Exposure => state.controls.exposure,
            Reg::Gain => state.controls.gain,
            Reg::Flip => state.controls.flip,
            Reg::Pattern => state.controls.pattern,
            Reg::ControlsLatch => 0,
            Reg::ControlsCount => state.latched.number,
            Reg::SourceWidth => state.window.source_width,
            Reg::SourceHeight => state.window.source_height,
            Reg::CropLeft => state.window.crop_left,
            Reg::CropTop => state.window.crop_top,
            Reg::CropWidth => state.window.crop_width,
            Reg::CropHeight => state.window.crop_height,
            Reg::ComposeLeft => state.window.compose_left,
            Reg::ComposeTop => state.window.compose_top,
            source_limit => self.limit(source_limit),
        };
        word.into()
    }

    fn set_control(&mut self, register: Reg, value: u32) {
        let controls = &mut self.state.controls;
        match register {
            Reg::Brightness => controls.brightness = value,
            Reg::Contrast => controls.contrast = value,
            Reg::Exposure => controls.exposure = value,
            Reg::Gain => controls.gain = value,
            Reg::Flip => controls.flip = value,
            Reg::Pattern => controls.pattern = value,
            _ => {}
        }
    }

    fn set_locked(&mut self, register: Reg, half: Half, value: u32) {
        let state = &mut self.state;
        match register {
            Reg::Format => state.format = value,
            Reg::Width => state.width_px = value,
            Reg::Height => state.height_px = value,
            Reg::Stride => state.stride_bytes = value,
            Reg::RateNum => state.rate_num = value,
            Reg::RateDen => state.rate_den = value,
            Reg::RingEntries => state.ring_entries = value,
            Reg::SourceWidth => state.window.source_width = value,
            Reg::SourceHeight => state.window.source_height = value,
            Reg::CropLeft => state.window.crop_left = value,
            Reg::CropTop => state.window.crop_top = value,
            Reg::CropWidth => state.window.crop_width = value,
            Reg::CropHeight => state.window.crop_height = value,
            Reg::ComposeLeft => state.window.compose_left = value,
            Reg::ComposeTop => state.window.compose_top = value,
            Reg::QueueBase => state.queue_base = half.put(state.queue_base, value),
            Reg::CompletionBase => state.completion_base = half.put(state.completion_base, value),
            Reg::QueueTailAddress => state.queue_tail_address = half.put(state.queue_tail_address, value),
            _ => {}
        }
    }
}

impl Words for Camera {
    fn read(&mut self, offset: u32, _ports: &mut Ports<'_>) -> u32 {
        registers::MAP.at(offset).map_or(0, |place| place.read(self.value(place.register.id)))
    }

    fn write(&mut self, offset: u32, value: u32, ports: &mut Ports<'_>) {
        let Some(place) = registers::MAP.at(offset) else { return };
        let Some(value) = place.write(value) else { return };
        match (place.register.access, place.register.id) {
            (Access::Locked, _) if self.state.stream.is_some() => {
                self.fail(Failure::plain(ErrorCode::Locked), ports);
            }
            (Access::Locked, register) => self.set_locked(register, place.half, value),
            (_, Reg::SyncTimeout) => self.state.sync_timeout_us = value,
            (Access::ReadWrite, register) => self.set_control(register, value),
            (_, Reg::ControlsLatch) => self.state.latched = self.state.latched.next(self.state.controls),
            (_, Reg::QueueDoorbell) => self.doorbell(ports),
            (_, Reg::Control) => self.control(value, ports),
            (_, Reg::QueueTail) => self.advance(value, ports),
            (_, Reg::ErrorCode) => {
                self.state.error_code = 0;
                self.state.error_iova = 0;
            }
            _ => {}
        }
    }
}

impl Function for Camera {
    fn identity(&self) -> Identity {
        Identity {
            name: "camera",
            ids: Ids::fencepost(2),
            class: 0x04_8000,
            revision: 1,
            engines: &[EngineSpec { name: "camera", role: Role::Source }],
            ..Identity::registers_and_msix(registers::BAR_BYTES, registers::VECTORS)
        }
    }

    fn registers(&mut self) -> Registers<'_> {
        Registers::Words(self)
    }

    fn doorbells(&self) -> Vec<Doorbell> {
        let bells = registers::MAP.offsets(Reg::QueueDoorbell);
        bells.map(|offset| Doorbell { offset, bytes: 4, value: None }).collect()
    }

    fn inbox(&mut self) -> Option<&mut dyn Inbox> {
        None
    }

    fn timer(&mut self, token: u32, ports: &mut Ports<'_>) {
        match token {
            TIMER_READ_OUT => self.read_out(ports),
            TIMER_END => self.go_on(ports),
            _ => {}
        }
    }

    fn reset(&mut self, ports: &mut Ports<'_>) {
        cancel_timers(ports);
        self.state = CameraState::new(self.source.as_ref());
    }

    fn save_state(&self) -> SavedState {
        pack(self)
    }

    fn rearm(&self, ports: &mut Ports<'_>) {
        let Some(stream) = self.state.stream.as_ref().filter(|stream| !stream.halted) else { return };
        if !stream.lost {
            ports.clock.call_at(self.state.read_out_ns(stream.start_ns, self.state.sequence), TIMER_READ_OUT);
        }
        if let Some(frame) = &stream.in_flight {
            ports.clock.call_at(frame.end_ns, TIMER_END);
        }
    }

    fn counters(&self) -> Vec<Counter> {
        vec![
            Counter { name: "frames", value: self.state.frame_count.into() },
            Counter { name: "overruns", value: self.state.overrun_count.into() },
            Counter { name: "errors", value: self.state.error_count.into() },
            Counter { name: "sync-timeouts", value: self.state.sync_timeout_count.into() },
            Counter { name: "source-errors", value: self.state.source_error_count.into() },
        ]
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}

fn cancel_timers(ports: &mut Ports<'_>) {
    ports.clock.cancel(TIMER_READ_OUT);
    ports.clock.cancel(TIMER_END);
}

impl Changes for Camera {
    const KEYS: &'static [&'static str] = &["latency", "bytes-per-cycle"];

    fn change(&mut self, changes: &Parameters, _: &mut Ports<'_>) -> Result<(), String> {
        let CostModel { fixed_cycles: latency, bytes_per_cycle } = self.cost;
        let config = CameraConfig { latency, bytes_per_cycle, ..CameraConfig::default() };
        self.cost = changed(&config, changes)?.cost();
        Ok(())
    }
}
