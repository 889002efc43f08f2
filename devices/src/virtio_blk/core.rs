//! The device: one queue of requests, served one after the other.

use fencepost_trace::{EngineSpec, FaultKind, JobKind, Role};

use super::config::{BlkConfig, PARAMETERS, Writes};
use super::disk::{Disk, DiskError, NoDisk, Wanted};
use super::layout::{self, QUEUE_ENTRIES, WRITEBACK};
use super::overlay::Overlay;
use super::request::{HEADER_BYTES, NAME_BYTES, Range, Rules, Status, Work};
use super::state::{BlkState, Counts, Job};
use super::storage::Storage;
use crate::cost::CostModel;
use crate::function::Counter;
use crate::parameters::Parameter;
use crate::ports::DmaFault;
use crate::registers::Register;
use crate::registry::Host;
use crate::state::StateError;
use crate::virtio::{Device, Io};

/// The queue.
const REQUESTS: u16 = 0;
/// The call at the end of a part of a request.
const TIMER_JOB: u32 = 0;
/// The most bytes that one call moves.
const PART_BYTES: u64 = 64 << 10;
/// The most bytes that one call discards or zeroes.
const PART_ZERO_BYTES: u64 = 4 << 20;

/// What the device is built from.
pub struct BlkParts {
    /// Configuration.
    pub config: BlkConfig,
    /// The host's disk.
    pub disk: Box<dyn Disk>,
}

/// The device core.
#[derive(Debug)]
pub struct Blk {
    config: BlkConfig,
    storage: Storage,
    job: Option<Job>,
    writeback: bool,
    counts: Counts,
}

/// Why a part of a request was not done.
enum Failed {
    /// The host could not.
    Disk,
    /// The driver's memory may not be reached.
    Memory(DmaFault),
}

impl From<DiskError> for Failed {
    fn from(_: DiskError) -> Self {
        Failed::Disk
    }
}

impl From<DmaFault> for Failed {
    fn from(fault: DmaFault) -> Self {
        Failed::Memory(fault)
    }
}

/// The next part of `range` of which `done` bytes are done: where it is, and its bytes.
fn part(range: Range, done: u64, most: u64) -> (u64, u64) {
    (range.at.saturating_add(done), range.bytes.saturating_sub(done).min(most))
}

fn kind(work: &Work) -> JobKind {
    match work {
        Work::Read(_) | Work::Write(_) => JobKind::Copy,
        Work::Zero(_) | Work::Name => JobKind::Fill,
        Work::Flush | Work::Discard(_) | Work::Refuse(_) => JobKind::Nop,
    }
}

impl Blk {
    /// Whether a request is being served.
    pub fn is_busy(&self) -> bool {
        self.job.is_some()
    }

    fn is_writable(&self) -> bool {
        self.config.writes != Writes::Refused
    }

    /// Whether the driver counts on it that only a flush makes what it wrote safe (5.2.6.2).
    fn has_cache(&self, features: u64) -> bool {
        if features & layout::CONFIG_WCE != 0 { self.writeback } else { features & layout::FLUSH != 0 }
    }

    /// Begins the next request, unless one is being served.
    fn begin(&mut self, io: &mut Io<'_, '_>) {
        if self.job.is_some() {
            return;
        }
        let Some(chain) = io.pop(REQUESTS) else { return };
        if chain.writable_bytes() == 0 {
            return io.malformed("has no room for a status");
        }
        let (disk_bytes, writable) = (self.storage.disk.bytes(), self.is_writable());
        let rules = Rules { disk_bytes, writable, features: io.features() };
        let work = match rules.work(&chain, io.ports.dma) {
            Ok(work) => work,
            Err(fault) => return io.fault(fault),
        };
        let failed = io.ports.fault(FaultKind::IoError).is_some();
        let work = if failed { Work::Refuse(Status::Error) } else { work };
        io.job_starts(REQUESTS, self.counts.requests, kind(&work));
        let bytes = work.moved_bytes();
        let now_ns = io.ports.clock.now().ns;
        let all_ns = io.ports.job_end_ns(self.config.cost().cycles(bytes)).saturating_sub(now_ns);
        let step_ns = all_ns.checked_div(bytes.div_ceil(PART_BYTES)).unwrap_or(all_ns);
        let due_ns = now_ns.saturating_add(step_ns);
        self.job = Some(Job { chain, work, done: 0, status: Status::Ok, due_ns, step_ns });
        self.rearm(io);
    }

    /// Does the next part of `job`; whether it was the last.
    fn step(&mut self, job: &mut Job, io: &mut Io<'_, '_>) -> Result<bool, Failed> {
        match &mut job.work {
            Work::Read(range) => {
                let (at, bytes) = part(*range, job.done, PART_BYTES);
                let mut data = vec![0; bytes as usize];
                self.storage.read(at, &mut data)?;
                job.chain.write(io.ports.dma, job.done, &data)?;
                self.counts.read_bytes = self.counts.read_bytes.saturating_add(bytes);
                job.done = job.done.saturating_add(bytes);
                Ok(job.done >= range.bytes)
            }
            Work::Write(range) => {
                let (at, bytes) = part(*range, job.done, PART_BYTES);
                let mut data = vec![0; bytes as usize];
                job.chain.read(io.ports.dma, HEADER_BYTES.saturating_add(job.done), &mut data)?;
                self.storage.write(at, &data)?;
                self.counts.written_bytes = self.counts.written_bytes.saturating_add(bytes);
                job.done = job.done.saturating_add(bytes);
                let last = job.done >= range.bytes;
                if last && !self.has_cache(io.features()) {
                    self.flush()?;
                }
                Ok(last)
            }
            Work::Flush => self.flush().map(|()| true),
            Work::Name => {
                let mut name = format!("fencepost-{:02}", io.ports.rid >> 3).into_bytes();
                name.resize(NAME_BYTES as usize, 0);
                let room = job.chain.writable_bytes().saturating_sub(1).min(NAME_BYTES);
                job.done =
                    job.chain.write(io.ports.dma, 0, name.get(..room as usize).unwrap_or_default())? as u64;
                Ok(true)
            }
            Work::Discard(_) | Work::Zero(_) => self.step_ranges(job, io.features()),
            Work::Refuse(status) => {
                job.status = *status;
                Ok(true)
            }
        }
    }

    fn flush(&mut self) -> Result<(), Failed> {
        self.counts.flushes = self.counts.flushes.saturating_add(1);
        Ok(self.storage.flush()?)
    }

    /// The next part of the first range that is left.
    fn step_ranges(&mut self, job: &mut Job, features: u64) -> Result<bool, Failed> {
        let zero = matches!(job.work, Work::Zero(_));
        let (Work::Discard(ranges) | Work::Zero(ranges)) = &mut job.work else { return Ok(true) };
        if let Some(range) = ranges.first().copied() {
            let (at, bytes) = part(range, job.done, PART_ZERO_BYTES);
            if zero {
                self.storage.zero(at, bytes, range.unmap)?;
                self.counts.written_bytes = self.counts.written_bytes.saturating_add(bytes);
            } else {
                self.storage.discard(at, bytes)?;
            }
            job.done = job.done.saturating_add(bytes);
            if job.done >= range.bytes {
                ranges.remove(0);
                job.done = 0;
            }
        }
        let last = ranges.is_empty();
        if last && zero && !self.has_cache(features) {
            self.flush()?;
        }
        Ok(last)
    }

    /// Goes on with the request that is being served.
    fn go_on(&mut self, io: &mut Io<'_, '_>) {
        let Some(mut job) = self.job.take() else { return };
        let failed = match self.step(&mut job, io) {
            Ok(false) => {
                job.due_ns = io.ports.clock.now().ns.saturating_add(job.step_ns);
                self.job = Some(job);
                return self.rearm(io);
            }
            Ok(true) => None,
            Err(Failed::Disk) => {
                job.status = Status::Error;
                None
            }
            Err(Failed::Memory(fault)) => Some(fault),
        };
        let ok = failed.is_none() && job.status == Status::Ok;
        io.job_ends(REQUESTS, self.counts.requests, ok);
        self.counts.requests = self.counts.requests.saturating_add(1);
        self.counts.errors = self.counts.errors.saturating_add(u64::from(!ok));
        match failed {
            Some(fault) => io.fault(fault),
            None => answer(&job, io),
        }
        self.begin(io);
    }
}

/// Gives the buffer back with its status.
fn answer(job: &Job, io: &mut Io<'_, '_>) {
    let written = if matches!(job.work, Work::Read(_) | Work::Name) { job.done } else { 0 };
    let last = job.chain.writable_bytes().saturating_sub(1);
    match job.chain.write(io.ports.dma, last, &[job.status.byte()]) {
        // The length counts from the start of what the device may write: with the status, only where all in front of it was.
        Ok(_) if written == last => {
            io.finish(REQUESTS, &job.chain, u32::try_from(last.saturating_add(1)).unwrap_or(u32::MAX))
        }
        Ok(_) => io.finish(REQUESTS, &job.chain, u32::try_from(written).unwrap_or(u32::MAX)),
        Err(fault) => io.fault(fault),
    }
}

impl Device for Blk {
    const KIND: &'static str = "virtio-blk";
    const ABOUT: &'static str = "virtio block device: a disk in a file";
    const VERSION: u32 = 1;
    const TYPE: u16 = 2;
    /// Mass storage, other.
    const CLASS: u32 = 0x01_80_00;
    const QUEUES: &'static [u16] = &[QUEUE_ENTRIES];
    const ENGINES: &'static [EngineSpec] = &[EngineSpec { name: "virtio-blk", role: Role::Storage }];
    const PARAMETERS: &'static [Parameter] = PARAMETERS;
    type Config = BlkConfig;
    type Parts = BlkParts;
    type State = BlkState;

    fn parts(mut config: BlkConfig, host: &mut dyn Host) -> Result<BlkParts, String> {
        let writable = config.writes == Writes::File;
        let disk = match &config.file {
            Some(path) => host.disk(Wanted { path, format: config.format, writable })?,
            None => Box::new(NoDisk),
        };
        if config.file.is_none() && writable {
            config.writes = Writes::Snapshot;
        }
        Ok(BlkParts { config, disk })
    }

    fn power_on(parts: BlkParts) -> Result<Self, String> {
        let BlkParts { config, disk } = parts;
        let overlay = (config.writes == Writes::Snapshot).then(Overlay::default);
        let storage = Storage { disk, overlay };
        Ok(Blk { config, storage, job: None, writeback: true, counts: Counts::default() })
    }

    fn config_table() -> Vec<Register> {
        layout::table()
    }

    fn cost(config: &BlkConfig) -> Option<CostModel> {
        Some(config.cost())
    }

    fn features(&self) -> u64 {
        let changes = layout::DISCARD | layout::WRITE_ZEROES;
        let by_kind = if self.is_writable() { changes } else { layout::READ_ONLY };
        layout::SEG_MAX | layout::BLK_SIZE | layout::FLUSH | layout::TOPOLOGY | layout::CONFIG_WCE | by_kind
    }

    fn config(&self) -> Vec<u8> {
        layout::bytes(self.storage.disk.bytes(), self.writeback)
    }

    fn write_config(&mut self, offset: usize, data: &[u8], io: &mut Io<'_, '_>) {
        if let (WRITEBACK, [value]) = (offset, data)
            && io.features() & layout::CONFIG_WCE != 0
        {
            self.writeback = value & 1 != 0;
        }
    }

    fn notify(&mut self, _: u16, io: &mut Io<'_, '_>) {
        self.begin(io);
    }

    fn timer(&mut self, _: u32, io: &mut Io<'_, '_>) {
        self.go_on(io);
    }

    /// What was written stays written; a request that is being served ends where it is.
    fn reset(&mut self, io: &mut Io<'_, '_>) {
        io.ports.clock.cancel(TIMER_JOB);
        self.job = None;
        self.writeback = true;
    }

    fn save(&self) -> BlkState {
        BlkState {
            job: self.job.clone(),
            writeback: self.writeback,
            overlay: self.storage.overlay.clone(),
            fingerprint: self.storage.disk.fingerprint(),
            counts: self.counts,
        }
    }

    fn restore(parts: BlkParts, state: BlkState) -> Result<Self, StateError> {
        let BlkParts { config, disk } = parts;
        let impossible = |why| Err(StateError::Impossible { kind: Self::KIND, why });
        let BlkState { job, writeback, overlay, fingerprint, counts } = state;
        if disk.fingerprint() != fingerprint {
            let file = config.file.as_deref().unwrap_or_else(|| std::path::Path::new("")).display();
            return Err(StateError::Changed(format!("the disk {file}")));
        }
        if overlay.is_some() != (config.writes == Writes::Snapshot) {
            return impossible("its disk is not of this kind");
        }
        let bytes = disk.bytes();
        if overlay.as_ref().is_some_and(|overlay| !overlay.is_possible(bytes)) {
            return impossible("its disk is not of this size");
        }
        if job.as_ref().is_some_and(|job| !job.is_possible(bytes, config.writes != Writes::Refused)) {
            return impossible("its request is none");
        }
        let storage = Storage { disk, overlay };
        Ok(Blk { config, storage, job, writeback, counts })
    }

    fn rearm(&self, io: &mut Io<'_, '_>) {
        if let Some(job) = &self.job {
            io.ports.clock.call_at(job.due_ns, TIMER_JOB);
        }
    }

    fn counters(&self) -> Vec<Counter> {
        let Counts { requests, read_bytes, written_bytes, flushes, errors } = self.counts;
        let counter = |name, value| Counter { name, value };
        vec![
            counter("requests", requests),
            counter("read-bytes", read_bytes),
            counter("written-bytes", written_bytes),
            counter("flushes", flushes),
            counter("errors", errors),
        ]
    }
}
