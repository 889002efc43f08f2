//! One frame: from read-out to its completion record.

use fencepost_trace::{Event, FaultKind};
use zerocopy::IntoBytes;

use super::convert::convert;
use super::core::{Camera, ENGINE, TIMER_END, TIMER_READ_OUT};
use super::error::{ErrorCode, Failure};
use super::format::FrameLayout;
use super::progress::{Part, Progress, Wrong};
use super::registers::{VECTOR_FRAME_DONE, VECTOR_OVERRUN};
use super::source::{Band, Size};
use super::state::InFlight;
use super::sync::SyncBlock;
use super::window::Window;
use super::wire::{Completion, Descriptor, ORDINAL_OFFSET, Plane, RECORD_BYTES, parse_descriptor};
use crate::ports::{DmaExt, Iova, Ports};
use crate::sg::{SgError, SgList};

/// What a completion record says beyond the descriptor's own.
struct Outcome {
    sequence: u32,
    start_cycles: u64,
    /// The number of the set of controls.
    controls: u32,
    /// Bytes and CRC, or why there are none.
    result: Result<(u32, u32), Failure>,
}

impl Camera {
    /// The read-out of the next frame begins.
    pub(super) fn read_out(&mut self, ports: &mut Ports<'_>) {
        let Some(stream) = &self.state.stream else { return };
        if stream.halted {
            return;
        }
        let (start_ns, busy) = (stream.start_ns, stream.in_flight.is_some());
        if stream.lost || ports.fault(FaultKind::SensorLost).is_some() {
            return self.lose_sensor();
        }
        let sequence = self.state.sequence;
        self.state.sequence = sequence.wrapping_add(1);
        ports.clock.call_at(self.state.read_out_ns(start_ns, self.state.sequence), TIMER_READ_OUT);
        if busy || self.state.queued() == 0 || ports.fault(FaultKind::Drop).is_some() {
            self.drop_frame(sequence, ports);
            ports.msi.raise(VECTOR_OVERRUN);
            return;
        }
        self.begin(sequence, ports);
    }

    /// No picture comes any more, until the stream is started again.
    fn lose_sensor(&mut self) {
        if let Some(stream) = &mut self.state.stream {
            stream.lost = true;
        }
    }

    /// Takes the next descriptor and starts writing the frame.
    fn begin(&mut self, sequence: u32, ports: &mut Ports<'_>) {
        let (start_cycles, taken_with) = (ports.clock.now().cycles, self.state.latched);
        let controls = taken_with.number;
        let at = self.state.slot(self.state.queue_base, self.state.queue_head);
        let mut bytes = [0; RECORD_BYTES as usize];
        if let Err(fault) = ports.fetch(at, &mut bytes) {
            return self.halt(Failure::fault(ErrorCode::RingFault, &fault), ports);
        }
        let fails = |failure| Outcome { sequence, start_cycles, controls, result: Err(failure) };
        let descriptor = match parse_descriptor(&bytes) {
            Ok(descriptor) => descriptor,
            Err((cookie, index)) => {
                self.take();
                let outcome = fails(Failure::plain(ErrorCode::BadDescriptor));
                return self.complete(cookie, index, outcome, ports);
            }
        };
        let signal = match self.wait(&descriptor, ports) {
            // Without an interrupt: the buffer is there, and the driver knows what it waits for.
            Ok(None) => return self.drop_frame(sequence, ports),
            Ok(Some(sync)) => Ok(sync.signal),
            Err(failure) => Err(failure),
        };
        self.take();
        let (engine, buffer) = (ports.engine(ENGINE), Some(descriptor.index));
        ports.trace.record(Event::FrameStart { engine, sequence, buffer });
        match signal.and_then(|signal| Ok((signal, self.fetch(&descriptor, ports)?))) {
            Ok((signal, (first, second))) => {
                let end_ns = 0;
                let frame = InFlight {
                    sequence,
                    descriptor,
                    start_cycles,
                    end_ns,
                    taken_with,
                    first,
                    second,
                    signal,
                    progress: Progress::default(),
                };
                self.launch(frame, ports);
            }
            Err(failure) => self.complete(descriptor.cookie, descriptor.index, fails(failure), ports),
        }
    }

    /// The descriptor at the head is taken.
    fn take(&mut self) {
        self.state.queue_head = self.state.queue_head.wrapping_add(1);
        if let Some(stream) = &mut self.state.stream {
            stream.waits_since_ns = None;
        }
    }

    /// What the buffer at the head waits for and signals; nothing if that is not reached yet.
    fn wait(&mut self, descriptor: &Descriptor, ports: &mut Ports<'_>) -> Result<Option<SyncBlock>, Failure> {
        let sync = SyncBlock::fetch(descriptor.sync, ports)?;
        if sync.is_ready(ports)? {
            return Ok(Some(sync));
        }
        let now_ns = ports.clock.now().ns;
        let timeout_ns = u64::from(self.state.sync_timeout_us).saturating_mul(1000);
        let Some(stream) = &mut self.state.stream else { return Ok(None) };
        let since_ns = *stream.waits_since_ns.get_or_insert(now_ns);
        if timeout_ns > 0 && now_ns.saturating_sub(since_ns) >= timeout_ns {
            self.state.sync_timeout_count = self.state.sync_timeout_count.saturating_add(1);
            return Err(Failure::plain(ErrorCode::SyncTimeout));
        }
        Ok(None)
    }

    /// Fetches the SG lists of a buffer and checks that the frame fits.
    fn fetch(
        &self,
        descriptor: &Descriptor,
        ports: &mut Ports<'_>,
    ) -> Result<(SgList, Option<SgList>), Failure> {
        let layout = self.layout()?;
        let (first_need, second_need) = match descriptor.second {
            None => (layout.frame_bytes(), 0),
            Some(_) if layout.chroma_bytes() == 0 => return Err(Failure::plain(ErrorCode::BadDescriptor)),
            Some(_) => (layout.first_bytes(), layout.chroma_bytes()),
        };
        let first = self.fetch_plane(&descriptor.first, first_need, ports)?;
        let second = match &descriptor.second {
            None => None,
            Some(plane) => Some(self.fetch_plane(plane, second_need, ports)?),
        };
        Ok((first, second))
    }

    fn fetch_plane(&self, plane: &Plane, need: u32, ports: &mut Ports<'_>) -> Result<SgList, Failure> {
        let list = SgList::fetch(plane.table, plane.entries, ports).map_err(|error| match error {
            SgError::Dma(fault) => Failure::fault(ErrorCode::SgFault, &fault),
            SgError::Count(_) | SgError::Entry(_) | SgError::Bounds { .. } => {
                Failure::plain(ErrorCode::BadSg)
            }
        })?;
        if plane.len_bytes < need || list.len_bytes() < u64::from(plane.len_bytes) {
            return Err(Failure::plain(ErrorCode::TooSmall));
        }
        Ok(list)
    }

    fn launch(&mut self, mut frame: InFlight, ports: &mut Ports<'_>) {
        let bytes = self.layout().map_or(0, |layout| layout.frame_bytes());
        let cycles = ports.clock.vary(self.cost.cycles(u64::from(bytes)));
        let cost_ns = ports.clock.cycles_to_ns(cycles);
        frame.end_ns = ports.clock.now().ns.saturating_add(cost_ns);
        ports.clock.call_at(frame.end_ns, TIMER_END);
        if let Some(stream) = &mut self.state.stream {
            stream.in_flight = Some(frame);
        }
    }

    /// Writes a part of the frame whose time is over; behind the last it is complete.
    pub(super) fn go_on(&mut self, ports: &mut Ports<'_>) {
        let Some(mut frame) = self.state.stream.as_mut().and_then(|stream| stream.in_flight.take()) else {
            return;
        };
        let result = match self.write_part(&mut frame, ports) {
            Ok(false) => {
                // What is left is written at the frame's time still.
                ports.clock.call_at(frame.end_ns, TIMER_END);
                if let Some(stream) = &mut self.state.stream {
                    stream.in_flight = Some(frame);
                }
                return;
            }
            Ok(true) => {
                frame.progress.wrong.and_then(Wrong::error).map_or(Ok(()), |code| Err(Failure::plain(code)))
            }
            Err(failure) => Err(failure),
        };
        let result = result.and_then(|()| {
            frame.signal.map_or(Ok(()), |signal| signal.signal(ports))?;
            Ok((frame.progress.at, frame.progress.crc))
        });
        let controls = frame.taken_with.number;
        let outcome =
            Outcome { sequence: frame.sequence, start_cycles: frame.start_cycles, controls, result };
        self.complete(frame.descriptor.cookie, frame.descriptor.index, outcome, ports);
    }

    /// Makes and writes a part of the frame; whether it is whole.
    fn write_part(&mut self, frame: &mut InFlight, ports: &mut Ports<'_>) -> Result<bool, Failure> {
        let layout = self.layout()?;
        let window = self.state.window(self.source.as_ref()).ok_or(Failure::plain(ErrorCode::BadConfig))?;
        let mut part = Part::next(frame, &layout, window.source);
        let band = part.band(&layout);
        let mut pixels = self.pixels(frame, &layout, &window, band)?;
        // Once for a frame, and not for one that has no picture.
        let wrong = *frame.progress.wrong.get_or_insert_with(|| what_is_wrong(ports));
        let bytes = wrong.bytes(&layout);
        part.to = part.to.min(bytes);
        wrong.invert(&layout, band, &mut pixels);
        let mut crc = crc32fast::Hasher::new_with_initial(frame.progress.crc);
        for (at, run) in part.runs(&layout, band, frame.second.is_some(), &pixels) {
            let (list, offset) = frame.place(&layout, at);
            list.write(offset, run, ports).map_err(|error| match error {
                SgError::Dma(fault) => Failure::fault(ErrorCode::BufferFault, &fault),
                SgError::Count(_) | SgError::Entry(_) | SgError::Bounds { .. } => {
                    Failure::plain(ErrorCode::TooSmall)
                }
            })?;
            crc.update(run);
        }
        frame.progress.crc = crc.finalize();
        frame.progress.at = part.to;
        Ok(part.to == bytes)
    }

    /// The pixels of a band of the frame.
    fn pixels(
        &mut self,
        frame: &InFlight,
        layout: &FrameLayout,
        window: &Window,
        band: Band,
    ) -> Result<Vec<u8>, Failure> {
        let (range, controls) = (self.source.range(), frame.taken_with.controls);
        let lines = window
            .band(band)
            .map(|lines| controls.take(self.source.as_mut(), frame.sequence, window.source, lines));
        let lines = lines.transpose().map_err(|_| {
            self.state.source_error_count = self.state.source_error_count.saturating_add(1);
            Failure::plain(ErrorCode::Source)
        })?;
        let size = Size { height_px: band.height_px, ..layout.size };
        let pixels = window
            .cut(lines, band, range)
            .and_then(|picture| convert(picture, range, &FrameLayout { size, ..*layout }));
        pixels.ok_or(Failure::plain(ErrorCode::Source))
    }

    /// The layout of the running stream: checked at stream-on, and locked since.
    fn layout(&self) -> Result<FrameLayout, Failure> {
        self.state.layout(self.source.as_ref()).ok_or(Failure::plain(ErrorCode::BadConfig))
    }

    /// Writes a completion record and raises the vectors.
    fn complete(&mut self, cookie: u64, index: u32, outcome: Outcome, ports: &mut Ports<'_>) {
        let Outcome { sequence, start_cycles, controls, result } = outcome;
        let (bytes, crc) = result.unwrap_or((0, 0));
        let failure = result.err();
        let record = Completion {
            cookie: cookie.into(),
            index: index.into(),
            status: failure.map_or(0, |failure| failure.code as u32).into(),
            sequence: sequence.into(),
            bytes: bytes.into(),
            start_cycles: start_cycles.into(),
            end_cycles: ports.clock.now().cycles.into(),
            crc: crc.into(),
            dropped: self.state.overrun_count.into(),
            fault_iova: failure.map_or(0, |failure| failure.iova).into(),
            controls: controls.into(),
            ordinal: self.state.completed.wrapping_add(1).into(),
        };
        if let Err(failure) = self.write_record(&record, ports) {
            return self.halt(failure, ports);
        }
        self.state.completed = self.state.completed.wrapping_add(1);
        if failure.is_none() {
            self.state.frame_count = self.state.frame_count.saturating_add(1);
            let engine = ports.engine(ENGINE);
            ports.trace.record(Event::FrameEnd { engine, sequence, buffer: index, bytes, crc });
        }
        ports.msi.raise(VECTOR_FRAME_DONE);
        if let Some(failure) = failure {
            self.fail(failure, ports);
        }
    }

    /// Writes the record, its ordinal last: a driver that sees the ordinal sees the rest.
    fn write_record(&self, record: &Completion, ports: &mut Ports<'_>) -> Result<(), Failure> {
        let at = self.state.slot(self.state.completion_base, self.state.completed);
        let (body, ordinal) = record.as_bytes().split_at(ORDINAL_OFFSET);
        let ordinal_at = Iova(at.0.saturating_add(ORDINAL_OFFSET as u64));
        let fault = |fault| Failure::fault(ErrorCode::RingFault, &fault);
        ports.dma.write(at, body).map_err(fault)?;
        ports.dma.write(ordinal_at, ordinal).map_err(fault)?;
        Ok(())
    }

    /// A ring faulted: nothing can be told through it, so nothing more happens until the stream is stopped.
    pub(super) fn halt(&mut self, failure: Failure, ports: &mut Ports<'_>) {
        if let Some(stream) = &mut self.state.stream {
            stream.halted = true;
            stream.in_flight = None;
        }
        ports.clock.cancel(TIMER_READ_OUT);
        ports.clock.cancel(TIMER_END);
        self.fail(failure, ports);
    }
}

/// What was asked to be wrong with a frame: an occasion for each.
fn what_is_wrong(ports: &mut Ports<'_>) -> Wrong {
    let corrupt = ports.fault(FaultKind::Corrupt);
    let lines = corrupt.map_or(0, |struck| struck.spec.number("lines").unwrap_or(1));
    let overrun = ports.fault(FaultKind::Overrun).is_some();
    let short = !overrun && ports.fault(FaultKind::Short).is_some();
    if overrun {
        ports.msi.raise(VECTOR_OVERRUN);
    }
    Wrong { lines: u32::try_from(lines).unwrap_or(u32::MAX), short, overrun }
}
