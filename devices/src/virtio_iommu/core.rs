//! The side of the driver: the requests, and the faults that it is told of.

use fencepost_trace::{EngineSpec, Event, FaultKind};
use serde::{Deserialize, Serialize};

use super::domains::Mapping;
use super::facts::{
    self, BYPASS, BYPASS_CONFIG, DOMAIN_RANGE, INPUT_RANGE, MAP_UNMAP, PROBE, PROBE_BYTES, Status,
};
use super::probe;
use super::request::{REQUEST_BYTES, Request, T_PROBE};
use super::state::{UnitState, Waiting};
use super::unit::Unit;
use crate::cost::CostModel;
use crate::faults::Struck;
use crate::function::Counter;
use crate::parameters::Parameter;
use crate::ports::DmaFault;
use crate::registers::Register;
use crate::registry::Host;
use crate::state::{StateError, require};
use crate::virtio::{Chain, Device, Io};

/// The queue of requests.
const REQUESTS: u16 = 0;
/// The queue of buffers for faults.
const EVENTS: u16 = 1;
/// The call at the end of a request that takes long.
const TIMER_REQUEST: u32 = 0;
/// The call at which the driver is told of faults.
pub(super) const TIMER_REPORT: u32 = 1;
/// How long a slow request takes, unless its fault says.
const SLOW_NS: u64 = 1_000_000;
/// Mappings that one call takes out at most: some 2 ms of the host's time.
pub(super) const UNMAPPED_MAX: usize = 1 << 14;
/// A status, and what is reserved behind it.
const TAIL_BYTES: usize = 4;

/// There is nothing to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IommuConfig {}

/// The device core.
#[derive(Debug)]
pub struct IommuDevice {
    unit: Unit,
    waiting: Option<Waiting>,
    requests: u64,
    refused: u64,
}

impl IommuDevice {
    /// Answers the requests that are there, up to one that takes long; of mappings `left` can be taken out yet.
    fn serve(&mut self, left: &mut usize, io: &mut Io<'_, '_>) {
        while self.waiting.is_none() {
            let Some(chain) = io.pop(REQUESTS) else { return };
            let asked = match chain.read_all(io.ports.dma, REQUEST_BYTES) {
                Ok(bytes) => bytes,
                Err(fault) => return io.fault(fault),
            };
            if let Ok(Request::Unmap { .. }) = Request::parse(&asked, io.features())
                && let Some(due_ns) = self.takes_until_ns(io)
            {
                self.waiting = Some(Waiting { chain, due_ns, begun: false });
                return self.rearm(io);
            }
            self.answer(chain, &asked, (false, &mut *left), io);
        }
    }

    /// Until when a request takes, if it takes long.
    fn takes_until_ns(&self, io: &mut Io<'_, '_>) -> Option<u64> {
        let struck = self.strikes(FaultKind::SlowInvalidation, io)?;
        let for_ns = struck.spec.time_ns("for").unwrap_or(SLOW_NS);
        Some(io.ports.clock.now().ns.saturating_add(for_ns))
    }

    /// An occasion for a fault of `kind`: whether it takes place.
    fn strikes(&self, kind: FaultKind, io: &mut Io<'_, '_>) -> Option<Struck> {
        let now_ns = io.ports.clock.now().ns;
        let struck = self.unit.common().requested.see(kind, now_ns, |_| true)?;
        io.ports.trace.record(Event::Fault { rid: io.ports.rid, kind, occasion: struck.occasion });
        Some(struck)
    }

    /// Carries out a request, some of which may be done already, and answers it; one that is not over then waits.
    fn answer(&mut self, chain: Chain, asked: &[u8], (begun, left): (bool, &mut usize), io: &mut Io<'_, '_>) {
        let room = usize::try_from(chain.writable_bytes()).unwrap_or(usize::MAX);
        let Some(room) = room.checked_sub(TAIL_BYTES) else {
            return io.malformed("a request without room for its status");
        };
        let parsed = Request::parse(asked, io.features());
        let is_probe = asked.first() == Some(&T_PROBE);
        let before = if is_probe { room.min(PROBE_BYTES) } else { 0 };
        let status = match parsed {
            Err(status) => status,
            Ok(Request::Probe { .. }) if before < PROBE_BYTES => Status::Invalid,
            Ok(request) => match self.carry_out(&request, (begun, left), io) {
                Some(status) => status,
                None => {
                    let due_ns = io.ports.clock.now().ns;
                    self.waiting = Some(Waiting { chain, due_ns, begun: true });
                    return self.rearm(io);
                }
            },
        };
        self.requests = self.requests.saturating_add(1);
        self.refused = self.refused.saturating_add(u64::from(status != Status::Ok));
        let mut bytes = if status == Status::Ok && is_probe { probe::properties() } else { vec![0; before] };
        bytes.extend([status as u8, 0, 0, 0]);
        let written = chain.write(io.ports.dma, 0, &bytes);
        io.settle(REQUESTS, &chain, written);
    }

    /// Its status, or none if there is more of it to be done.
    fn carry_out(
        &mut self,
        request: &Request,
        so_far: (bool, &mut usize),
        io: &mut Io<'_, '_>,
    ) -> Option<Status> {
        let attached =
            |id: u32, how: &dyn Fn(u16) -> Status| self.unit.endpoint(id).map_or(Status::NoEntry, how);
        Some(match *request {
            Request::Attach { domain, endpoint, bypass } => {
                attached(endpoint, &|rid| self.unit.common().domains.attach(domain, rid, bypass))
            }
            Request::Detach { domain, endpoint } => {
                attached(endpoint, &|rid| self.unit.common().domains.detach(domain, rid))
            }
            Request::Map { domain, range: (first, last), gpa, rights: (read, write) } => {
                self.unit.common().domains.map(domain, first, Mapping { last, gpa, read, write })
            }
            Request::Unmap { domain, range } => return self.unmap(domain, range, so_far, io),
            Request::Probe { endpoint } => attached(endpoint, &|_| Status::Ok),
        })
    }

    /// Unmaps a range, or some of it: none if there is more.
    fn unmap(
        &self,
        domain: u32,
        (first, last): (u64, u64),
        (begun, left): (bool, &mut usize),
        io: &mut Io<'_, '_>,
    ) -> Option<Status> {
        let keep = !begun && self.strikes(FaultKind::Stale, io).is_some();
        let status = self.unit.common().domains.unmap(domain, (first, last), keep, left)?;
        if status == Status::Ok {
            let len = last.saturating_sub(first).saturating_add(1);
            let domain = u16::try_from(domain).ok();
            io.ports.trace.record(Event::IotlbInvalidate { domain, iova: first, len });
        }
        Some(status)
    }

    /// Tells the driver of faults, as far as it has given buffers.
    fn report(&mut self, io: &mut Io<'_, '_>) {
        loop {
            let Some(report) = self.unit.common().reports.front().copied() else { return };
            let Some(chain) = io.pop(EVENTS) else { return };
            let bytes = report.bytes();
            if chain.writable_bytes() < bytes.len() as u64 {
                return io.malformed("a buffer with too little room for a fault");
            }
            self.unit.common().reports.pop_front();
            let written: Result<usize, DmaFault> = chain.write(io.ports.dma, 0, &bytes);
            io.settle(EVENTS, &chain, written);
        }
    }
}

impl Device for IommuDevice {
    const KIND: &'static str = "virtio-iommu";
    const ABOUT: &'static str = "virtio IOMMU; it comes with --iommu virtio";
    const VERSION: u32 = 2;
    const TYPE: u16 = 23;
    /// Base system peripheral: IOMMU.
    const CLASS: u32 = 0x08_06_00;
    const QUEUES: &'static [u16] = &[64, 64];
    const ENGINES: &'static [EngineSpec] = &[];
    const PARAMETERS: &'static [Parameter] = &[];
    type Config = IommuConfig;
    type Parts = Unit;
    type State = UnitState;

    fn parts(_: IommuConfig, host: &mut dyn Host) -> Result<Unit, String> {
        host.iommu()
    }

    fn power_on(unit: Unit) -> Result<Self, String> {
        Ok(IommuDevice { unit, waiting: None, requests: 0, refused: 0 })
    }

    fn config_table() -> Vec<Register> {
        facts::table()
    }

    fn cost(_: &IommuConfig) -> Option<CostModel> {
        None
    }

    fn features(&self) -> u64 {
        INPUT_RANGE | DOMAIN_RANGE | MAP_UNMAP | PROBE | BYPASS_CONFIG
    }

    fn config(&self) -> Vec<u8> {
        facts::bytes(self.unit.common().domains.bypass)
    }

    fn write_config(&mut self, offset: usize, data: &[u8], io: &mut Io<'_, '_>) {
        if let (BYPASS, [value]) = (offset, data)
            && io.features() & BYPASS_CONFIG != 0
        {
            self.unit.common().domains.bypass = value & 1 != 0;
        }
    }

    fn notify(&mut self, queue: u16, io: &mut Io<'_, '_>) {
        match queue {
            REQUESTS => {
                let mut left = UNMAPPED_MAX;
                self.serve(&mut left, io);
            }
            _ => self.report(io),
        }
    }

    fn timer(&mut self, token: u32, io: &mut Io<'_, '_>) {
        if token == TIMER_REPORT {
            self.unit.common().report_ns = None;
            return self.report(io);
        }
        let Some(Waiting { chain, begun, .. }) = self.waiting.take() else { return };
        let mut left = UNMAPPED_MAX;
        match chain.read_all(io.ports.dma, REQUEST_BYTES) {
            Ok(asked) => self.answer(chain, &asked, (begun, &mut left), io),
            Err(fault) => return io.fault(fault),
        }
        self.serve(&mut left, io);
    }

    /// What becomes of endpoints in no domain stays as the driver has said.
    fn reset(&mut self, io: &mut Io<'_, '_>) {
        io.ports.clock.cancel(TIMER_REQUEST);
        io.ports.clock.cancel(TIMER_REPORT);
        self.waiting = None;
        let mut common = self.unit.common();
        common.domains.clear();
        common.reports.clear();
        common.report_ns = None;
    }

    fn save(&self) -> UnitState {
        let common = self.unit.common().clone();
        UnitState { common, waiting: self.waiting.clone(), requests: self.requests, refused: self.refused }
    }

    fn restore(unit: Unit, state: UnitState) -> Result<Self, StateError> {
        let UnitState { common, waiting, requests, refused } = state;
        let possible = common.is_well_formed();
        require::<super::VirtioIommu>(possible, "mappings that overlap, or a domain that nobody is in")?;
        *unit.common() = common;
        Ok(IommuDevice { unit, waiting, requests, refused })
    }

    fn rearm(&self, io: &mut Io<'_, '_>) {
        if let Some(Waiting { due_ns, .. }) = self.waiting {
            io.ports.clock.call_at(due_ns, TIMER_REQUEST);
        }
        let report_ns = self.unit.common().report_ns;
        if let Some(at_ns) = report_ns {
            io.ports.clock.call_at(at_ns, TIMER_REPORT);
        }
    }

    fn counters(&self) -> Vec<Counter> {
        let common = self.unit.common();
        let counter = |name, value| Counter { name, value };
        vec![
            counter("requests", self.requests),
            counter("refused-requests", self.refused),
            counter("mappings", common.domains.count() as u64),
            counter("faults", common.faults),
            counter("lost-reports", common.lost),
            counter("requested-faults", common.requested.count()),
        ]
    }
}
