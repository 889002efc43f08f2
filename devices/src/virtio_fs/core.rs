//! The device: requests in, replies out.

use fencepost_trace::{EngineSpec, JobKind, Role};

use super::config::{FsConfig, PARAMETERS, TAG_BYTES};
use super::server::{FileServer, OUT_HEADER_BYTES, Share, failed};
use super::state::{FsState, Job};
use crate::cost::CostModel;
use crate::function::Counter;
use crate::parameters::Parameter;
use crate::ports::DmaFault;
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
        let seqno = self.state.requests;
        io.job_starts(queue, seqno, JobKind::Copy);
        let (request_bytes, reply) = match self.answer(&chain, io) {
            Ok(answered) => answered,
            Err(fault) => {
                io.job_ends(queue, seqno, false);
                return io.fault(fault);
            }
        };
        let bytes = request_bytes.saturating_add(reply.len() as u64);
        self.state.bytes = self.state.bytes.saturating_add(bytes);
        let due_ns = io.ports.job_end_ns(self.config.cost().cycles(bytes));
        self.state.job = Some(Job { queue, chain, due_ns, reply });
        self.rearm(io);
    }

    /// How many bytes the request in `chain` has, and the reply to it.
    fn answer(&mut self, chain: &Chain, io: &mut Io<'_, '_>) -> Result<(u64, Vec<u8>), DmaFault> {
        /// Out of memory: what the protocol's servers say to a request that is too long for them.
        const ENOMEM: i32 = 12;
        let room = usize::try_from(chain.writable_bytes()).unwrap_or(usize::MAX).min(MESSAGE_MAX_BYTES);
        let request = chain.read_all(io.ports.dma, MESSAGE_MAX_BYTES)?;
        let now_ns = io.ports.clock.now().ns;
        let reply = match chain.readable_bytes() > MESSAGE_MAX_BYTES as u64 {
            true => failed(&request, room, ENOMEM),
            false => self.server.handle(&request, room, now_ns),
        };
        Ok((request.len() as u64, reply))
    }

    fn end(&mut self, io: &mut Io<'_, '_>) {
        let Some(Job { queue, chain, reply, .. }) = self.state.job.take() else { return };
        let written = chain.write(io.ports.dma, 0, &reply);
        io.job_ends(queue, self.state.requests, written.is_ok());
        self.state.requests = self.state.requests.saturating_add(1);
        self.state.errors = self.state.errors.saturating_add(u64::from(is_error(&reply)));
        io.settle(queue, &chain, written);
        self.begin(io);
    }
}

/// Whether a reply says that its request has failed.
fn is_error(reply: &[u8]) -> bool {
    reply.len() >= OUT_HEADER_BYTES && reply.get(4..8).is_some_and(|error| error != [0; 4])
}

impl Device for Fs {
    const KIND: &'static str = "virtio-fs";
    const ABOUT: &'static str = "virtio file system: a directory of the host's";
    const VERSION: u32 = 1;
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
        self.end(io);
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
        let long = state.job.as_ref().is_some_and(|job| job.reply.len() > MESSAGE_MAX_BYTES);
        require::<super::VirtioFs>(!long, "a reply is longer than one can be")?;
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
