//! What a head does over time: vertical blanks, commits, scan-out.

use fencepost_trace::{EngineId, Event, FaultKind, Stamp};

use super::config::{Config, ScanOut};
use super::kept::KeptFrame;
use super::layer::FetchError;
use super::monitor::{self, EDID_BYTES};
use super::plane::PlaneRegs;
use super::raster::Raster;
use super::registers::{Commit, ErrorBits, Irq};
use super::scan::{Shown, Staged};
use super::sink::{PictureSink, Scanned};
use super::state::{FrameCrc, HeadState, LastVblank, Offered};
use super::writeback::Writing;
use crate::crc::crc32_of_zeros;
use crate::ports::{Clock, Ports};

/// What a head asks the clock to be called for.
const CALLS: u32 = 2;
/// The next vertical blank.
const CALL_VBLANK: u32 = 0;
/// The end of a fetch, and the steps in which the frame is made then.
const CALL_FETCH: u32 = 1;
/// Cycles over which the clock's rate is asked, so that rounding up to a nanosecond does not show.
const RATE_CYCLES: u64 = 1_000_000_000;

/// A CRTC with its planes, its connector and what is at that. It knows of no other.
pub(super) struct Head {
    /// Which one; also its engine's place in [`crate::function::Identity::engines`], and its scan-out.
    number: u8,
    pub config: Config,
    pub edid: [u8; EDID_BYTES],
    pub state: HeadState,
    sink: Box<dyn PictureSink>,
    /// The frame being composed; state while it is, and not between two.
    pub(super) picture: Vec<u8>,
    /// What is fetched for it.
    pub(super) kept: KeptFrame,
}

impl Head {
    /// Head `number`, in `state`.
    pub fn new(number: u8, config: Config, sink: Box<dyn PictureSink>, state: HeadState) -> Self {
        let edid = monitor::edid(&config);
        let (picture, kept) = (Vec::new(), KeptFrame::default());
        let mut head = Head { number, config, edid, state, sink, picture, kept };
        head.take_so_far();
        head
    }

    /// The clock's token of one of its calls.
    fn token(&self, call: u32) -> u32 {
        u32::from(self.number).saturating_mul(CALLS).saturating_add(call)
    }

    fn engine(&self, ports: &Ports<'_>) -> EngineId {
        ports.engine(self.number)
    }

    /// The last vertical blank as of `now`.
    pub fn last_vblank(&self, clock: &dyn Clock) -> LastVblank {
        let now = clock.now();
        let current = self.state.raster.and_then(|raster| {
            let count = raster.count_at(now.ns);
            let ns = raster.vblank_ns(count)?;
            let cycles = now.cycles.saturating_sub(ns_to_cycles(now.ns.saturating_sub(ns), clock));
            Some(LastVblank { count, cycles, ns })
        });
        current.unwrap_or(self.state.last_vblank)
    }

    /// `CRTC_ENABLE`.
    pub fn enable(&mut self, on: bool, ports: &mut Ports<'_>) {
        match (on, self.state.raster) {
            (true, None) => {
                let count = self.state.last_vblank.count;
                self.state.raster = Raster::start(self.state.mode, ports.clock.now().ns, count);
                self.state.handled = count;
                if self.state.raster.is_none() {
                    self.refuse(ErrorBits::MODE, ports);
                }
                self.arm(ports);
            }
            (false, Some(_)) => {
                self.state.last_vblank = self.last_vblank(ports.clock);
                self.state.raster = None;
                self.state.pending = None;
                self.state.stuck = false;
                self.state.shown = None;
                self.state.fetching = None;
                self.state.making = None;
                self.state.writing = None;
                self.arm(ports);
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// `COMMIT`.
    pub fn commit(&mut self, how: Commit, ports: &mut Ports<'_>) {
        let waits = self.state.pending.is_some();
        let waiting = self.state.pending.map(|commit| commit.writeback).filter(|writeback| writeback.on);
        let replaces =
            how.contains(Commit::REPLACE) && !(waiting.is_some() && self.state.staged.writeback.on);
        let Some(raster) = self.state.raster.filter(|_| !waits || replaces) else {
            return self.refuse(ErrorBits::COMMIT_BUSY, ports);
        };
        let now = how.contains(Commit::NOW);
        let shown = self.state.shown.as_ref();
        let flips = !waits && shown.is_some_and(|shown| self.state.staged.is_flip_of(shown));
        if !self.state.staged.is_valid(&raster.mode) || (now && !flips) {
            return self.refuse(ErrorBits::COMMIT_INVALID, ports);
        }
        self.state.accepted = self.state.accepted.saturating_add(1);
        let commit = self.state.accepted;
        ports.trace.record(Event::Doorbell { engine: self.engine(ports), queue: 0, tail: commit });
        let writeback = waiting.unwrap_or(self.state.staged.writeback);
        self.state.pending = Some(Staged { writeback, ..self.state.staged });
        self.state.staged.writeback.on = false;
        if now {
            self.flip(ports);
        } else if self.state.raster.as_mut().is_some_and(|raster| raster.hasten(ports.clock.now().ns)) {
            self.vblank(ports);
        }
        self.arm(ports);
    }

    /// Shows the commit that waits from the next pixel on: what of the frame is not fetched yet is fetched from its buffer.
    fn flip(&mut self, ports: &mut Ports<'_>) {
        let next = self.last_vblank(ports.clock).count.saturating_add(1);
        let Some(frame) = self.state.fetching else { return self.latch(next, ports) };
        self.begin_again();
        self.latch(frame, ports);
        if let Err(error) = self.fetch_lists(ports) {
            self.state.fetching = None;
            self.finish(frame, Err(error), ports);
        }
    }

    fn fetch_lists(&mut self, ports: &mut Ports<'_>) -> Result<(), FetchError> {
        self.state.shown.as_mut().map_or(Ok(()), |shown| shown.fetch_lists(ports))
    }

    /// `IRQ_ENABLE`.
    pub fn enable_interrupts(&mut self, irq: Irq, ports: &mut Ports<'_>) {
        let waiting = irq.difference(self.state.irq_enable).intersection(self.state.irq_status);
        self.state.irq_enable = irq;
        self.raise(waiting, ports);
        self.arm(ports);
    }

    /// A timer call, which may be another head's.
    pub fn timer(&mut self, token: u32, ports: &mut Ports<'_>) {
        match token.checked_sub(self.token(0)) {
            Some(CALL_VBLANK) => self.vblank(ports),
            Some(CALL_FETCH) => self.go_on(ports),
            _ => {}
        }
    }

    /// Asks for the calls that the present state needs and withdraws the others: after every change, and after a restore.
    pub fn arm(&self, ports: &mut Ports<'_>) {
        let state = &self.state;
        let Some(raster) = state.raster else {
            ports.clock.cancel(self.token(CALL_VBLANK));
            ports.clock.cancel(self.token(CALL_FETCH));
            return;
        };
        let next = raster.count_at(ports.clock.now().ns).max(state.handled).saturating_add(1);
        match raster.vblank_ns(next) {
            Some(at_ns) if self.vblank_matters() => ports.clock.call_at(at_ns, self.token(CALL_VBLANK)),
            _ => ports.clock.cancel(self.token(CALL_VBLANK)),
        }
        // A fetch that cannot end before the next frame is not waited for: that frame's vertical blank finds it late.
        let end_ns = || state.fetching.and_then(|frame| self.fetch_end_ns(&raster, frame, ports.clock));
        match state.making.as_ref().map(|making| making.since_ns).or_else(end_ns) {
            Some(at_ns) => ports.clock.call_at(at_ns, self.token(CALL_FETCH)),
            None => ports.clock.cancel(self.token(CALL_FETCH)),
        }
    }

    /// Whether the next vertical blank does anything: if not, an idle guest need not be woken for it.
    fn vblank_matters(&self) -> bool {
        let state = &self.state;
        self.config.scan_out == ScanOut::Always
            || state.irq_enable.contains(Irq::VBLANK)
            || state.pending.is_some()
            || state.fetching.is_some()
            || state.shown.as_ref().is_some_and(|shown| shown.offered != Offered::Picture)
    }

    fn vblank(&mut self, ports: &mut Ports<'_>) {
        let Some(raster) = self.state.raster else { return };
        let frame = raster.count_at(ports.clock.now().ns);
        if frame > self.state.handled {
            self.state.handled = frame;
            ports.trace.record(Event::Vblank { engine: self.engine(ports), frame });
            if let Some(late) = self.state.fetching.take() {
                self.finish(late, Err(FetchError { bit: ErrorBits::LATE, iova: None }), ports);
            } else if self.state.making.take().is_some() {
                // It is written back, and the next frame needs its place.
                self.end_write_back(Err(None), ports);
            }
            self.latch(frame, ports);
            let told = self.state.irq_enable.contains(Irq::VBLANK);
            if told && ports.fault(FaultKind::VblankLost).is_none() {
                self.signal(Irq::VBLANK, ports);
            }
            self.begin_fetch(frame, ports);
        }
        self.arm(ports);
    }

    fn latch(&mut self, frame: u64, ports: &mut Ports<'_>) {
        if self.state.stuck {
            return;
        }
        if self.state.pending.is_some() && ports.fault(FaultKind::FlipStuck).is_some() {
            self.state.stuck = true;
            return;
        }
        let Some(commit) = self.state.pending.take() else { return };
        self.state.latched = self.state.accepted;
        if commit.writeback.on {
            self.state.writing = Some(Writing { regs: commit.writeback, commit: self.state.latched });
        }
        let shown = Shown::new(commit);
        let fresh = self.state.shown.as_ref().is_none_or(|before| shown.differs(before));
        if let Some(raster) = &mut self.state.raster {
            raster.stretch(frame, shown.vrr.longest_lines(&raster.mode));
        }
        self.state.shown = Some(shown);
        let engine = self.engine(ports);
        ports.trace.record(Event::Latch { engine, frame, commit: self.state.latched });
        if fresh {
            ports.trace.record(Event::Flip { engine, frame, flip: self.state.latched });
        }
        self.signal(Irq::FLIP_DONE, ports);
    }

    fn begin_fetch(&mut self, frame: u64, ports: &mut Ports<'_>) {
        let fresh = self.state.shown.as_ref().is_some_and(|shown| shown.offered != Offered::Picture);
        if self.config.scan_out == ScanOut::OnFlip && !fresh {
            return;
        }
        if let Err(error) = self.fetch_lists(ports) {
            return self.finish(frame, Err(error), ports);
        }
        self.state.fetching = Some(frame);
    }

    /// Ends `frame`: publishes its CRC, shows the host what is new, and says what went wrong.
    pub(super) fn finish(&mut self, frame: u64, made: Result<u32, FetchError>, ports: &mut Ports<'_>) {
        if let Err(error) = made {
            self.state.making = None;
            self.kept.spoil();
            self.picture = vec![0; self.picture_bytes()];
            self.state.underruns = self.state.underruns.saturating_add(1);
            if let Some(iova) = error.iova {
                self.state.fault_iova = iova.0;
            }
            ports.trace.record(Event::Underrun { engine: self.engine(ports), frame });
            self.fail(error.bit, ports);
        }
        let crc = made.unwrap_or_else(|_| crc32_of_zeros(self.picture_bytes() as u64));
        self.state.crc = FrameCrc { frame, value: crc };
        ports.trace.record(Event::ScanOut { engine: self.engine(ports), frame, crc });
        let what = if made.is_ok() { Offered::Picture } else { Offered::Black };
        self.offer(self.state.crc, what, ports.clock.now());
        if made.is_err() {
            self.end_write_back(Err(None), ports);
        }
    }

    fn offer(&mut self, FrameCrc { frame, value: crc }: FrameCrc, what: Offered, now: Stamp) {
        let Some(raster) = self.state.raster else { return };
        let Some(shown) = self.state.shown.as_mut() else { return };
        let fresh = shown.offered != what;
        shown.offered = what;
        let (size, flip) = (raster.mode.active, self.state.latched);
        let (width_px, height_px) = (u32::from(size.width_px), u32::from(size.height_px));
        let (scanout, xrgb) = (u32::from(self.number), self.kept.picture().unwrap_or(&self.picture));
        self.sink.picture(&Scanned { scanout, frame, flip, fresh, crc, now, width_px, height_px, xrgb });
    }

    /// The picture that was made last.
    pub(super) fn picture(&self) -> &[u8] {
        self.kept.picture().unwrap_or(&self.picture)
    }

    /// Bytes of the picture.
    pub(super) fn picture_bytes(&self) -> usize {
        let area = self.state.raster.map_or(0, |raster| raster.mode.active.area());
        area.saturating_mul(4) as usize
    }

    /// When the fetch of `frame` ends by the cost model, or None if that is not before the next vertical blank.
    fn fetch_end_ns(&self, raster: &Raster, frame: u64, clock: &dyn Clock) -> Option<u64> {
        let read = self.state.shown.as_ref().map_or(0, Shown::span_bytes);
        let written = self.state.writing.map_or(0, |writing| writing.regs.picture_bytes(raster.mode.active));
        let bytes = read.saturating_add(written);
        let cycles = self.config.cost().cycles(bytes);
        let end_ns = raster.vblank_ns(frame)?.saturating_add(clock.cycles_to_ns(cycles));
        raster.fetch_limit_ns(frame).is_none_or(|limit_ns| end_ns < limit_ns).then_some(end_ns)
    }

    fn refuse(&mut self, why: ErrorBits, ports: &mut Ports<'_>) {
        self.state.refused = self.state.refused.saturating_add(1);
        self.fail(why, ports);
    }

    pub(super) fn fail(&mut self, why: ErrorBits, ports: &mut Ports<'_>) {
        self.state.errors |= why;
        self.signal(Irq::ERROR, ports);
    }

    pub fn signal(&mut self, irq: Irq, ports: &mut Ports<'_>) {
        self.state.irq_status |= irq;
        self.raise(irq.intersection(self.state.irq_enable), ports);
    }

    fn raise(&self, irq: Irq, ports: &mut Ports<'_>) {
        for vector in irq.vectors(self.number) {
            ports.msi.raise(vector);
        }
    }

    /// The registers of a plane that a commit would take now.
    pub fn staged(&mut self, index: usize) -> Option<&mut PlaneRegs> {
        self.state.staged.planes.get_mut(index)
    }
}

fn ns_to_cycles(ns: u64, clock: &dyn Clock) -> u64 {
    let rate_ns = u128::from(clock.cycles_to_ns(RATE_CYCLES));
    let cycles = u128::from(ns).saturating_mul(u128::from(RATE_CYCLES)).checked_div(rate_ns);
    cycles.and_then(|cycles| u64::try_from(cycles).ok()).unwrap_or(u64::MAX)
}
