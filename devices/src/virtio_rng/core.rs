//! The device: one queue of buffers to fill.

use fencepost_trace::{EngineSpec, JobKind, Role};
use rand_xoshiro::rand_core::Rng as _;

use super::config::{PARAMETERS, RngConfig};
use super::state::RngState;
use crate::cost::CostModel;
use crate::function::Counter;
use crate::parameters::Parameter;
use crate::registry::Host;
use crate::state::StateError;
use crate::virtio::{Chain, Device, Io};

/// The queue of requests.
const REQUESTS: u16 = 0;
/// The call at the end of a request.
const TIMER_JOB: u32 = 0;
/// The most bytes that one request gets: a device may give fewer than there is room for.
const JOB_MAX_BYTES: usize = 4096;

/// Numbers that nobody can foresee.
pub trait Entropy: Send {
    /// Fills `bytes` with some.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// What the device is built from.
pub struct RngParts {
    /// Configuration.
    pub config: RngConfig,
    /// The host's numbers; none: the generator's.
    pub entropy: Option<Box<dyn Entropy>>,
}

/// The device core.
pub struct Rng {
    config: RngConfig,
    entropy: Option<Box<dyn Entropy>>,
    state: RngState,
}

/// How many bytes `chain` gets.
fn bytes_of(chain: &Chain) -> usize {
    usize::try_from(chain.writable_bytes()).unwrap_or(usize::MAX).min(JOB_MAX_BYTES)
}

impl Rng {
    /// Begins the next request, unless one is being answered.
    fn begin(&mut self, io: &mut Io<'_, '_>) {
        if self.state.job.is_some() {
            return;
        }
        let Some(chain) = io.pop(REQUESTS) else { return };
        io.job_starts(REQUESTS, self.state.requests, JobKind::Fill);
        let due_ns = io.ports.job_end_ns(self.config.cost().cycles(bytes_of(&chain) as u64));
        self.state.job = Some((chain, due_ns));
        self.rearm(io);
    }

    fn end(&mut self, io: &mut Io<'_, '_>) {
        let Some((chain, _)) = self.state.job.take() else { return };
        let mut data = vec![0; bytes_of(&chain)];
        match &mut self.entropy {
            Some(entropy) => entropy.fill(&mut data),
            None => self.state.generator.fill_bytes(&mut data),
        }
        let written = chain.write(io.ports.dma, 0, &data);
        io.job_ends(REQUESTS, self.state.requests, written.is_ok());
        self.state.requests = self.state.requests.saturating_add(1);
        self.state.bytes = self.state.bytes.saturating_add(written.map_or(0, |bytes| bytes as u64));
        io.settle(REQUESTS, &chain, written);
        self.begin(io);
    }
}

impl Device for Rng {
    const KIND: &'static str = "virtio-rng";
    const ABOUT: &'static str = "virtio entropy device";
    const VERSION: u32 = 1;
    const TYPE: u16 = 4;
    /// Other, of no programming interface.
    const CLASS: u32 = 0xff_00_00;
    const QUEUES: &'static [u16] = &[64];
    const ENGINES: &'static [EngineSpec] = &[EngineSpec { name: "virtio-rng", role: Role::Other }];
    const PARAMETERS: &'static [Parameter] = PARAMETERS;
    type Config = RngConfig;
    type Parts = RngParts;
    type State = RngState;

    fn parts(config: RngConfig, host: &mut dyn Host) -> Result<RngParts, String> {
        let entropy = if config.seed.is_none() { host.entropy() } else { None };
        Ok(RngParts { config, entropy })
    }

    fn power_on(RngParts { config, entropy }: RngParts) -> Result<Self, String> {
        Ok(Rng { config, entropy, state: RngState::new(config.seed.unwrap_or(0)) })
    }

    fn cost(config: &RngConfig) -> Option<CostModel> {
        Some(config.cost())
    }

    fn notify(&mut self, _: u16, io: &mut Io<'_, '_>) {
        self.begin(io);
    }

    fn timer(&mut self, _: u32, io: &mut Io<'_, '_>) {
        self.end(io);
    }

    /// The generator goes on: a driver that resets the device gets other numbers.
    fn reset(&mut self, io: &mut Io<'_, '_>) {
        io.ports.clock.cancel(TIMER_JOB);
        self.state.job = None;
    }

    fn save(&self) -> RngState {
        self.state.clone()
    }

    fn restore(RngParts { config, entropy }: RngParts, state: RngState) -> Result<Self, StateError> {
        Ok(Rng { config, entropy, state })
    }

    fn rearm(&self, io: &mut Io<'_, '_>) {
        if let Some((_, due_ns)) = self.state.job {
            io.ports.clock.call_at(due_ns, TIMER_JOB);
        }
    }

    fn counters(&self) -> Vec<Counter> {
        vec![
            Counter { name: "requests", value: self.state.requests },
            Counter { name: "bytes", value: self.state.bytes },
        ]
    }
}
