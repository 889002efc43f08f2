//! The device: two queues of commands, one at a time of each.

use fencepost_trace::{EngineSpec, Event, JobKind, Role};

use super::commands::{Answer, Desk};
use super::config::{PARAMETERS, VirtioGpuConfig, monitor};
use super::cursor;
use super::moves::{self, Move};
use super::resource::{MEMORY_MAX_BYTES, PIXELS_MAX, picture_bytes};
use super::scanout::Scanout;
use super::state::{GpuState, Job};
use super::wire::{REQUEST_MAX_BYTES, Refusal, Request, SCANOUTS_IN_INFO, command};
use crate::cost::CostModel;
use crate::display::PictureSink;
use crate::function::Counter;
use crate::parameters::Parameter;
use crate::registers::{Register, all, read_only, write_only};
use crate::registry::Host;
use crate::state::StateError;
use crate::virtio::{Device, Io};

/// The queue of commands, and that of the cursor's; their places among [`GpuState::jobs`] and the tokens of their calls.
const CONTROL: u16 = 0;
const CURSOR: u16 = 1;
/// The engine, in [`Device::ENGINES`].
pub(super) const ENGINE: u8 = 0;
/// Feature: the driver can ask for a monitor's EDID (VIRTIO_GPU_F_EDID).
const EDID: u64 = 1 << 1;
/// Feature: resources that are guest memory (VIRTIO_GPU_F_RESOURCE_BLOB).
const RESOURCE_BLOB: u64 = 1 << 3;
/// `events_read`: the display info has changed (VIRTIO_GPU_EVENT_DISPLAY).
const EVENT_DISPLAY: u32 = 1;
/// `events_clear` in the configuration.
const EVENTS_CLEAR: usize = 4;
/// Bytes of what the host says of a monitor: the scan-out, its width and height, 32 bits each, little-endian.
const MONITOR_BYTES: usize = 12;

/// What the host provides.
pub struct GpuParts {
    /// The monitors and the cost model.
    pub config: VirtioGpuConfig,
    /// Where the pictures go.
    pub sink: Box<dyn PictureSink>,
}

/// A virtio GPU without 3D.
pub struct Virtio2d {
    config: VirtioGpuConfig,
    sink: Box<dyn PictureSink>,
    state: GpuState,
}

impl Virtio2d {
    /// Begins the next command of `queue`, unless one is being carried out.
    fn begin(&mut self, queue: u16, io: &mut Io<'_, '_>) {
        if self.state.jobs.get(usize::from(queue)).is_none_or(Option::is_some) {
            return;
        }
        let Some(chain) = io.pop(queue) else { return };
        let request = match chain.read_all(io.ports.dma, REQUEST_MAX_BYTES) {
            Ok(request) => request,
            Err(fault) => return io.fault(fault),
        };
        io.job_starts(queue, self.state.counts.commands, JobKind::Copy);
        let (moves, bytes) = self.moved(queue, &Request(&request));
        let start_ns = io.ports.clock.now().ns;
        let all_ns = io.ports.job_end_ns(self.config.cost().cycles(bytes)).saturating_sub(start_ns);
        self.wait(queue, Job { chain, request, start_ns, all_ns, due_ns: start_ns, moves }, io);
    }

    /// What a command moves, and its bytes for the cost model.
    fn moved(&self, queue: u16, request: &Request<'_>) -> (Vec<Move>, u64) {
        match queue {
            CONTROL => {
                let moves = moves::moves(&self.state, request);
                let bytes = moves::bytes(&moves);
                (moves, bytes)
            }
            _ if request.command() == command::UPDATE_CURSOR => (Vec::new(), cursor::BYTES as u64),
            _ => (Vec::new(), 0),
        }
    }

    /// Waits for the next piece of `job`, or its end.
    fn wait(&mut self, queue: u16, mut job: Job, io: &mut Io<'_, '_>) {
        job.plan();
        io.ports.clock.call_at(job.due_ns, queue.into());
        if let Some(place) = self.state.jobs.get_mut(usize::from(queue)) {
            *place = Some(job);
        }
    }

    /// Goes on with the command of `queue`.
    fn go_on(&mut self, queue: u16, io: &mut Io<'_, '_>) {
        let Some(mut job) = self.state.jobs.get_mut(usize::from(queue)).and_then(Option::take) else {
            return;
        };
        let moved = self.step(&mut job, io);
        if moved.is_ok() && job.next_move().is_some() {
            return self.wait(queue, job, io);
        }
        let answer = moved.and_then(|()| self.carry_out(queue, &job, io));
        self.end(queue, &job, answer, io);
    }

    /// Moves the next piece of `job`, if one is left; a scan-out that has all of its own shows it.
    fn step(&mut self, job: &mut Job, io: &mut Io<'_, '_>) -> Result<(), Refusal> {
        let Job { request, moves, .. } = job;
        let Some(it) = moves.iter_mut().find(|it| !it.is_done()) else { return Ok(()) };
        let mut desk = Desk { state: &mut self.state, sink: &mut *self.sink, ports: io.ports };
        if it.done == 0 {
            desk.latch(it);
        }
        moves::step(desk.state, it, &Request(request), desk.ports.dma)?;
        if it.is_done() {
            desk.show_fetched(it);
        }
        Ok(())
    }

    fn end(&mut self, queue: u16, job: &Job, answer: Answer, io: &mut Io<'_, '_>) {
        let request = Request(&job.request);
        let (seqno, ok) = (self.state.counts.commands, answer.is_ok());
        self.state.counts.commands = seqno.saturating_add(1);
        self.state.counts.refused = self.state.counts.refused.saturating_add(u64::from(!ok));
        let response = match answer {
            Ok((kind, body)) => request.response(kind, &body),
            Err(refusal) => request.response(refusal as u32, &[]),
        };
        let written = job.chain.write(io.ports.dma, 0, &response);
        io.job_ends(queue, seqno, ok);
        if let Some(seqno) = request.fence() {
            let engine = io.ports.engine(ENGINE);
            io.ports.trace.record(Event::FenceWrite { engine, queue: queue.into(), seqno });
        }
        io.settle(queue, &job.chain, written);
        self.begin(queue, io);
    }

    fn carry_out(&mut self, queue: u16, job: &Job, io: &mut Io<'_, '_>) -> Answer {
        let request = Request(&job.request);
        let expected = request.expected_bytes().ok_or(Refusal::Unspecified)?;
        if job.request.len() < expected {
            return Err(Refusal::Parameter);
        }
        let mut desk = Desk { state: &mut self.state, sink: &mut *self.sink, ports: io.ports };
        match queue {
            CONTROL => desk.control(&request, &job.chain),
            _ => desk.cursor(&request),
        }
    }

    /// The host has another monitor at a scan-out, or none there.
    fn set_monitor(&mut self, said: &[u8]) -> Option<()> {
        let (number, width, height) = (Request(said).word(0), Request(said).word(4), Request(said).word(8));
        if (width, height) != (0, 0) {
            monitor(width, height)?;
        }
        self.state.scanouts.get_mut(number as usize)?.preferred = (width, height);
        Some(())
    }
}

impl Device for Virtio2d {
    const KIND: &'static str = "virtio-gpu";
    const ABOUT: &'static str = "virtio GPU without 3D, with monitors";
    const VERSION: u32 = 2;
    const TYPE: u16 = 16;
    /// Display controller, other.
    const CLASS: u32 = 0x03_80_00;
    const QUEUES: &'static [u16] = &[256, 16];
    const ENGINES: &'static [EngineSpec] = &[EngineSpec { name: "virtio-gpu", role: Role::Sink }];
    const PARAMETERS: &'static [Parameter] = PARAMETERS;
    type Config = VirtioGpuConfig;
    type Parts = GpuParts;
    type State = GpuState;

    fn parts(config: VirtioGpuConfig, host: &mut dyn Host) -> Result<GpuParts, String> {
        config.check()?;
        Ok(GpuParts { config, sink: host.screen() })
    }

    fn power_on(GpuParts { config, sink }: GpuParts) -> Result<Self, String> {
        Ok(Virtio2d { config, sink, state: GpuState::new(&config) })
    }

    fn config_table() -> Vec<Register> {
        vec![
            read_only("events_read", 0, 4, 0),
            write_only("events_clear", EVENTS_CLEAR, 4, all(4)),
            read_only("num_scanouts", 8, 4, 0).configured(),
            read_only("num_capsets", 12, 4, 0),
        ]
    }

    fn cost(config: &VirtioGpuConfig) -> Option<CostModel> {
        Some(config.cost())
    }

    fn features(&self) -> u64 {
        EDID | RESOURCE_BLOB
    }

    fn config(&self) -> Vec<u8> {
        let words = [self.state.events, 0, self.state.scanouts.len() as u32, 0];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn write_config(&mut self, offset: usize, data: &[u8], _: &mut Io<'_, '_>) {
        if let (EVENTS_CLEAR, Ok(data)) = (offset, data.try_into()) {
            self.state.events &= !u32::from_le_bytes(data);
        }
    }

    fn notify(&mut self, queue: u16, io: &mut Io<'_, '_>) {
        self.begin(queue, io);
    }

    fn timer(&mut self, token: u32, io: &mut Io<'_, '_>) {
        self.go_on(if token == u32::from(CONTROL) { CONTROL } else { CURSOR }, io);
    }

    /// Words of the host about its monitors, 12 bytes each; what is none is dropped.
    fn receive(&mut self, data: &[u8], io: &mut Io<'_, '_>) -> usize {
        let words = data.chunks(MONITOR_BYTES);
        let good =
            words.filter(|said| said.len() == MONITOR_BYTES && self.set_monitor(said).is_some()).count();
        let all = data.len().div_ceil(MONITOR_BYTES);
        let bad = all.saturating_sub(good) as u64;
        self.state.counts.malformed = self.state.counts.malformed.saturating_add(bad);
        if good > 0 {
            self.state.events |= EVENT_DISPLAY;
            io.config_changed();
        }
        data.len()
    }

    /// Resources go, and scan-outs are off. The monitors are the host's and stay.
    fn reset(&mut self, io: &mut Io<'_, '_>) {
        for queue in [CONTROL, CURSOR] {
            io.ports.clock.cancel(queue.into());
        }
        let mut new = GpuState { counts: self.state.counts, ..GpuState::new(&self.config) };
        for ((number, old), new) in (0u32..).zip(&mut self.state.scanouts).zip(&mut new.scanouts) {
            old.turn_off(number, &mut *self.sink, io.ports);
            (new.preferred, new.shown) = (old.preferred, old.shown);
            (new.flips, new.crc) = (old.flips, old.crc);
        }
        self.state = new;
    }

    fn save(&self) -> GpuState {
        self.state.clone()
    }

    fn restore(GpuParts { config, sink }: GpuParts, state: GpuState) -> Result<Self, StateError> {
        if let Some(why) = impossible(&config, &state) {
            return Err(StateError::Impossible { kind: Self::KIND, why });
        }
        Ok(Virtio2d { config, sink, state })
    }

    fn rearm(&self, io: &mut Io<'_, '_>) {
        for (token, job) in (0u32..).zip(&self.state.jobs) {
            if let Some(job) = job {
                io.ports.clock.call_at(job.due_ns, token);
            }
        }
    }

    fn counters(&self) -> Vec<Counter> {
        let sum = |of: fn(&Scanout) -> u64| {
            self.state.scanouts.iter().fold(0u64, |sum, it| sum.saturating_add(of(it)))
        };
        let flips = sum(|it| it.flips);
        vec![
            Counter { name: "commands", value: self.state.counts.commands },
            Counter { name: "refused", value: self.state.counts.refused },
            Counter { name: "pictures", value: flips },
            Counter { name: "cursors", value: sum(|it| it.shown).saturating_sub(flips) },
            Counter { name: "resources", value: self.state.resources.0.len() as u64 },
            Counter { name: "picture-bytes", value: self.state.host_bytes() },
            Counter { name: "malformed", value: self.state.counts.malformed },
        ]
    }
}

/// What of `state` the device could not be in.
fn impossible(config: &VirtioGpuConfig, state: &GpuState) -> Option<&'static str> {
    use super::resource::Content;
    if state.scanouts.len() != config.outputs as usize || state.scanouts.len() > SCANOUTS_IN_INFO {
        return Some("scan-outs");
    }
    let pictures = state.resources.0.values().all(|resource| match &resource.content {
        Content::Host { format, width, height, pixels } => {
            format.is_possible() && picture_bytes(*width, *height) == pixels.len() as u64
        }
        Content::Guest { .. } => true,
    });
    let views = state.scanouts.iter().all(|scanout| {
        let sized = scanout.view.as_ref().is_none_or(|view| {
            let resource = state.resources.0.contains_key(&view.resource);
            let bytes = picture_bytes(view.rect.width, view.rect.height);
            resource
                && view.format.is_possible()
                && view.rect.area() <= PIXELS_MAX
                && bytes == scanout.picture.len() as u64
        });
        sized && matches!(scanout.cursor.pixels.len(), 0 | cursor::BYTES)
    });
    let moved = state.jobs.iter().flatten().all(|job| {
        let area = |it: &Move| it.rect.area() <= PIXELS_MAX && it.done <= it.rect.area();
        job.moves.len() <= SCANOUTS_IN_INFO && job.moves.iter().all(area)
    });
    let bounded =
        state.host_bytes() <= MEMORY_MAX_BYTES && state.resources.0.len() <= super::resource::RESOURCES_MAX;
    (!pictures || !views || !bounded || !moved).then_some("pictures")
}
