//! Registers and the stream.

use fencepost_trace::{EngineSpec, Event, Role};

use super::config::{CameraCost, CameraParts};
use super::convert::{MAX_STRIDE, STRIDE_ALIGN};
use super::error::{ErrorCode, Failure};
use super::registers::{self, Register, Rights};
use super::source::{FrameSource, Range, SourceError};
use super::state::{CameraState, Stream};
use crate::function::{Counter, Doorbell, Function, Identity, Ids, Registers, Words};
use crate::ports::{DmaExt, Iova, Ports};
use crate::state::{SavedState, pack};

/// Its engine's place in [`Identity::engines`].
pub(super) const ENGINE: u8 = 0;
/// Timer: the read-out of the next frame.
pub(super) const TIMER_READ_OUT: u32 = 0;
/// Timer: the end of the frame being written.
pub(super) const TIMER_END: u32 = 1;

/// The camera's device core.
pub struct Camera {
    pub(super) cost: CameraCost,
    pub(super) source: Box<dyn FrameSource>,
    pub(super) state: CameraState,
    /// Why the source failed first: for the host's user, not part of the guest's machine.
    pub(super) source_error: Option<SourceError>,
}

impl Camera {
    /// A camera after power-on.
    pub fn new(parts: CameraParts) -> Self {
        let CameraParts { cost, source } = parts;
        let state = CameraState::new(source.as_ref());
        Camera { cost, source, state, source_error: None }
    }

    /// Why the source could not deliver a picture, the first time, and how many it could not deliver.
    pub fn source_error(&self) -> Option<(&SourceError, u32)> {
        self.source_error.as_ref().map(|error| (error, self.state.source_error_count))
    }

    /// Reports an error to the guest.
    pub(super) fn fail(&mut self, failure: Failure, ports: &mut Ports<'_>) {
        self.state.error_code = failure.code as u32;
        self.state.error_iova = failure.iova;
        self.state.error_count = self.state.error_count.saturating_add(1);
        ports.msi.raise(registers::VECTOR_ERROR);
    }

    /// Reports a dropped frame.
    pub(super) fn drop_frame(&mut self, sequence: u32, ports: &mut Ports<'_>) {
        self.state.overrun_count = self.state.overrun_count.saturating_add(1);
        ports.trace.record(Event::FrameDropped { engine: ports.engine(ENGINE), sequence });
        ports.msi.raise(registers::VECTOR_OVERRUN);
    }

    fn start(&mut self, ports: &mut Ports<'_>) {
        if self.state.layout(self.source.as_ref()).is_none() {
            return self.fail(Failure::plain(ErrorCode::BadConfig), ports);
        }
        let start_ns = ports.clock.now().ns;
        self.state.stream = Some(Stream { start_ns, halted: false, in_flight: None });
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
        status
    }

    fn limit(&self, register: Register) -> u32 {
        let sizes = self.source.sizes();
        match register {
            Register::MinWidth => sizes.min.width_px,
            Register::MaxWidth => sizes.max.width_px,
            Register::MinHeight => sizes.min.height_px,
            Register::MaxHeight => sizes.max.height_px,
            Register::NativeRateNum => self.source.rate().num,
            Register::NativeRateDen => self.source.rate().den,
            Register::Colour => u32::from(self.source.range() == Range::Full),
            _ => 0,
        }
    }

    fn value(&self, register: Register) -> u32 {
        let state = &self.state;
        match register {
            Register::Id => registers::ID,
            Register::Version => registers::VERSION,
            Register::Formats => registers::FORMATS,
            Register::SizeStep => registers::SIZE_STEP,
            Register::StrideAlign => STRIDE_ALIGN,
            Register::MaxStride => MAX_STRIDE,
            Register::MaxRate => registers::MAX_RATE,
            Register::MaxRingEntries => registers::MAX_RING_ENTRIES,
            Register::CostFixed => self.cost.fixed_cycles,
            Register::CostBytesPerCycle => self.cost.bytes_per_cycle.max(1),
            Register::Format => state.format,
            Register::Width => state.width_px,
            Register::Height => state.height_px,
            Register::Stride => state.stride_bytes,
            Register::RateNum => state.rate_num,
            Register::RateDen => state.rate_den,
            Register::QueueBaseLow => low(state.queue_base),
            Register::QueueBaseHigh => high(state.queue_base),
            Register::CompletionBaseLow => low(state.completion_base),
            Register::CompletionBaseHigh => high(state.completion_base),
            Register::RingEntries => state.ring_entries,
            Register::QueueTailAddressLow => low(state.queue_tail_address),
            Register::QueueTailAddressHigh => high(state.queue_tail_address),
            Register::Control => u32::from(state.stream.is_some()),
            Register::Status => self.status(),
            Register::QueueTail => state.queue_tail,
            Register::QueueHead => state.queue_head,
            Register::Completed => state.completed,
            Register::Sequence => state.sequence,
            Register::QueueDoorbell => 0,
            Register::ErrorCode => state.error_code,
            Register::ErrorIovaLow => low(state.error_iova),
            Register::ErrorIovaHigh => high(state.error_iova),
            Register::ErrorCount => state.error_count,
            Register::OverrunCount => state.overrun_count,
            Register::FrameCount => state.frame_count,
            source_limit => self.limit(source_limit),
        }
    }

    fn set_locked(&mut self, register: Register, value: u32) {
        let state = &mut self.state;
        match register {
            Register::Format => state.format = value,
            Register::Width => state.width_px = value,
            Register::Height => state.height_px = value,
            Register::Stride => state.stride_bytes = value,
            Register::RateNum => state.rate_num = value,
            Register::RateDen => state.rate_den = value,
            Register::QueueBaseLow => set_low(&mut state.queue_base, value),
            Register::QueueBaseHigh => set_high(&mut state.queue_base, value),
            Register::CompletionBaseLow => set_low(&mut state.completion_base, value),
            Register::CompletionBaseHigh => set_high(&mut state.completion_base, value),
            Register::RingEntries => state.ring_entries = value,
            Register::QueueTailAddressLow => set_low(&mut state.queue_tail_address, value),
            Register::QueueTailAddressHigh => set_high(&mut state.queue_tail_address, value),
            _ => {}
        }
    }
}

impl Words for Camera {
    fn read(&mut self, offset: u32, _ports: &mut Ports<'_>) -> u32 {
        registers::register(offset).map_or(0, |(register, _)| self.value(register))
    }

    fn write(&mut self, offset: u32, value: u32, ports: &mut Ports<'_>) {
        let Some((register, rights)) = registers::register(offset) else { return };
        match (rights, register) {
            (Rights::ReadOnly, _) => {}
            (Rights::Locked, _) if self.state.stream.is_some() => {
                self.fail(Failure::plain(ErrorCode::Locked), ports);
            }
            (Rights::Locked, _) => self.set_locked(register, value),
            (Rights::WriteOnly, _) => self.doorbell(ports),
            (Rights::ReadWrite, Register::Control) => self.control(value, ports),
            (Rights::ReadWrite, Register::QueueTail) => self.advance(value, ports),
            (Rights::ReadWrite, _) => {
                self.state.error_code = 0;
                self.state.error_iova = 0;
            }
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
        vec![Doorbell { offset: registers::QUEUE_DOORBELL, value: None }]
    }

    fn timer(&mut self, token: u32, ports: &mut Ports<'_>) {
        match token {
            TIMER_READ_OUT => self.read_out(ports),
            TIMER_END => self.finish(ports),
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
        ports.clock.call_at(self.state.read_out_ns(stream.start_ns, self.state.sequence), TIMER_READ_OUT);
        if let Some(frame) = &stream.in_flight {
            ports.clock.call_at(frame.end_ns, TIMER_END);
        }
    }

    fn counters(&self) -> Vec<Counter> {
        vec![
            Counter { name: "frames", value: self.state.frame_count.into() },
            Counter { name: "overruns", value: self.state.overrun_count.into() },
            Counter { name: "errors", value: self.state.error_count.into() },
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

fn low(value: u64) -> u32 {
    value as u32
}

fn high(value: u64) -> u32 {
    (value >> 32) as u32
}

fn set_low(register: &mut u64, value: u32) {
    *register = (*register & !0xffff_ffff) | u64::from(value);
}

fn set_high(register: &mut u64, value: u32) {
    *register = (*register & 0xffff_ffff) | (u64::from(value) << 32);
}
