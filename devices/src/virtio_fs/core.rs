//! The device: requests in, replies out.

use fencepost_trace::{EngineSpec, JobKind, Role};

use super::config::{FsConfig, PARAMETERS, TAG_BYTES};
use super::server::{FileServer, OUT_HEADER_BYTES, Share, failed};
use super::state::{FsState, Job};
use crate::cost::CostModel;
use crate::function::Counter;
use crate::parameters::Parameter;
use crate::registers::{Register, read_only};
use crate::registry::Host;
use crate::state::{StateError, require};
use crate::virtio::{Chain, Device, Io};

/// The queue of requests that go first: those that forget.
const HIGH_PRIORITY: u16 = 0;
/// The queue of all others.
const REQUESTS: u16 = 1;
/// The call when a reply is there.
const TIMER_JOB: u32 = 0;
/// The most bytes of a request, and of a reply: 256 pages of data and a page for what stands before them.
pub const MESSAGE_MAX_BYTES: usize = 257 << 12;

/// The most bytes that one call moves from or to the guest.
const PART_BYTES: usize = 64 << 10;

/// The device core.
pub struct Fs {
    config: FsConfig,
    server: Box<dyn FileServer>,
    state: FsState,
}

impl Fs {
    /// Takes the next request, unless one is in hand: those of the first queue before others.
    fn begin(&mut self, io: &mut Io<'_, '_>) {
        if self.state.job.is_some() {
            return;
        }
        let mut queues = [HIGH_PRIORITY, REQUESTS].into_iter();
        let Some((queue, chain)) = queues.find_map(|queue| Some((queue, io.pop(queue)?))) else { return };
        io.job_starts(queue, self.state.requests, JobKind::Copy);
        let job = Job { queue, chain, due_ns: 0, request: Vec::new(), reply: None, gone: 0 };
        self.take_in(job, self.config.latency, io);
    }

    /// Takes the next part of the request of `job` in, and answers it if it is whole; `fixed_cycles` is what it takes beside its bytes.
    fn take_in(&mut self, mut job: Job, fixed_cycles: u64, io: &mut Io<'_, '_>) {
        let (came, all) = (job.request.len(), request_bytes(&job.chain));
        let mut part = vec![0; all.saturating_sub(came).min(PART_BYTES)];
        if let Err(fault) = job.chain.read(io.ports.dma, came as u64, &mut part) {
            io.job_ends(job.queue, self.state.requests, false);
            return io.fault(fault);
        }
        job.request.extend(&part);
        let mut bytes = part.len() as u64;
        if job.request.len() >= all {
            let reply = self.answer(&job, io.ports.clock.now().ns);
            let total = (all as u64).saturating_add(reply.len() as u64);
            self.state.bytes = self.state.bytes.saturating_add(total);
            bytes = bytes.saturating_add(reply.len().min(PART_BYTES) as u64);
            (job.reply, job.request) = (Some(reply), Vec::new());
        }
        self.wait(job, fixed_cycles, bytes, io);
    }

    /// Waits for as long as `bytes` of `job` take.
    fn wait(&mut self, mut job: Job, fixed_cycles: u64, bytes: u64, io: &mut Io<'_, '_>) {
        let cost = CostModel { fixed_cycles, ..self.config.cost() };
        job.due_ns = io.ports.job_end_ns(cost.cycles(bytes));
        self.state.job = Some(job);
        self.rearm(io);
    }

    /// The reply to the request of `job`, which is whole.
    fn answer(&mut self, job: &Job, now_ns: u64) -> Vec<u8> {
        /// Out of memory: what the protocol's servers say to a request that is too long for them.
        const ENOMEM: i32 = 12;
        let room = usize::try_from(job.chain.writable_bytes()).unwrap_or(usize::MAX).min(MESSAGE_MAX_BYTES);
        match job.chain.readable_bytes() > MESSAGE_MAX_BYTES as u64 {
            true => failed(&job.request, room, ENOMEM),
            false => self.server.handle(&job.request, room, now_ns),
        }
    }

    /// A part of the request in hand has come, or one of its reply goes.
    fn go_on(&mut self, io: &mut Io<'_, '_>) {
        let Some(mut job) = self.state.job.take() else { return };
        let Some(reply) = &job.reply else { return self.take_in(job, 0, io) };
        let end = job.gone.saturating_add(PART_BYTES).min(reply.len());
        let part = reply.get(job.gone..end).unwrap_or_default();
        let written = job.chain.write(io.ports.dma, job.gone as u64, part);
        let left = reply.len().saturating_sub(end);
        if left > 0 && written.is_ok() {
            job.gone = end;
            return self.wait(job, 0, left.min(PART_BYTES) as u64, io);
        }
        io.job_ends(job.queue, self.state.requests, written.is_ok());
        self.state.requests = self.state.requests.saturating_add(1);
        self.state.errors = self.state.errors.saturating_add(u64::from(is_error(reply)));
        io.settle(job.queue, &job.chain, written.map(|_| end));
        self.begin(io);
    }
}

/// Bytes of the request in `chain`, or as many as are looked at.
fn request_bytes(chain: &Chain) -> usize {
    usize::try_from(chain.readable_bytes()).unwrap_or(usize::MAX).min(MESSAGE_MAX_BYTES)
}

/// Whether a reply says that its request has failed.
fn is_error(reply: &[u8]) -> bool {
    reply.len() >= OUT_HEADER_BYTES && reply.get(4..8).is_some_and(|error| error != [0; 4])
}

impl Device for Fs {
    const KIND: &'static str = "virtio-fs";
    const ABOUT: &'static str = "virtio file system: a directory of the host's";
    const VERSION: u32 = 2;
    const TYPE: u16 = 26;
    /// Mass storage, other.
    const CLASS: u32 = 0x01_80_00;
    // A request of 256 pages takes one descriptor a page, and some: Linux asks for no more pages than the queue has room for.
    const QUEUES: &'static [u16] = &[128, 1024];
    const ENGINES: &'static [EngineSpec] = &[EngineSpec { name: "virtio-fs", role: Role::Storage }];
    const PARAMETERS: &'static [Parameter] = PARAMETERS;
    type Config = FsConfig;
    type Parts = (FsConfig, Box<dyn FileServer>);
    type State = FsState;

    fn parts(config: FsConfig, host: &mut dyn Host) -> Result<Self::Parts, String> {
        let share = Share { dir: config.dir.as_deref(), access: config.access, cache_s: config.cache };
        let server = host.share(share)?;
        Ok((config, server))
    }

    fn power_on((config, server): Self::Parts) -> Result<Self, String> {
        Ok(Fs { config, server, state: FsState::default() })
    }

    fn config_table() -> Vec<Register> {
        vec![
            read_only("tag", 0, 1, 0).configured().each(TAG_BYTES, 1),
            read_only("num_request_queues", TAG_BYTES, 4, 1),
        ]
    }

    fn cost(config: &FsConfig) -> Option<CostModel> {
        Some(config.cost())
    }

    /// The tag, zero bytes behind it, and the number of queues of requests.
    fn config(&self) -> Vec<u8> {
        let mut bytes = self.config.tag.clone().into_bytes();
        bytes.resize(TAG_BYTES, 0);
        bytes.extend(1u32.to_le_bytes());
        bytes
    }

    fn notify(&mut self, _: u16, io: &mut Io<'_, '_>) {
        self.begin(io);
    }

    fn timer(&mut self, _: u32, io: &mut Io<'_, '_>) {
        self.go_on(io);
    }

    fn reset(&mut self, io: &mut Io<'_, '_>) {
        io.ports.clock.cancel(TIMER_JOB);
        self.state.job = None;
        self.server.reset();
    }

    fn save(&self) -> FsState {
        FsState { server: self.server.save(), ..self.state.clone() }
    }

    fn restore((config, mut server): Self::Parts, mut state: FsState) -> Result<Self, StateError> {
        let saved = std::mem::take(&mut state.server);
        require::<super::VirtioFs>(server.restore(&saved).is_ok(), "its files are not those of a share")?;
        let possible = state.job.as_ref().is_none_or(|job| {
            let reply = job.reply.as_ref().map_or(0, Vec::len);
            job.request.len() <= request_bytes(&job.chain) && job.gone <= reply && reply <= MESSAGE_MAX_BYTES
        });
        require::<super::VirtioFs>(possible, "a request or reply is longer than one can be")?;
        Ok(Fs { config, server, state })
    }

    fn rearm(&self, io: &mut Io<'_, '_>) {
        if let Some(job) = &self.state.job {
            io.ports.clock.call_at(job.due_ns, TIMER_JOB);
        }
    }

    fn counters(&self) -> Vec<Counter> {
        vec![
            Counter { name: "requests", value: self.state.requests },
            Counter { name: "errors", value: self.state.errors },
            Counter { name: "bytes", value: self.state.bytes },
        ]
    }
}
