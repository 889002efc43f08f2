//! What the devices' own events say: frames captured, jobs done, buffers shown, and which of them share pages.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::event::{Engine, Event, JobKind};
use crate::file::{Damage, TraceFile};
use crate::journey::buffers::{Access, Pages, Writer, add_once};
use crate::journey::doorbells::Ring;
use crate::journey::lives::Ending;
use crate::journey::{At, Buffer};

/// The display's register whose write hands over a commit (`COMMIT` in `docs/display.md`), for traces without its doorbells.
const DISPLAY_COMMIT: u64 = 0x110;

/// A raised message interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Msi {
    /// When.
    pub at: At,
    /// The function.
    pub rid: u16,
    /// Its MSI-X vector.
    pub vector: u16,
}

/// A frame that the camera wrote, or had no buffer for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Capture {
    /// The camera's number for it.
    pub sequence: u32,
    /// The index of the capture queue's buffer.
    pub index: Option<u32>,
    /// The begin.
    pub start: Option<At>,
    /// The end.
    pub end: Option<At>,
    /// There was no buffer.
    pub dropped: Option<At>,
    /// The interrupt that told it.
    pub msi: Option<Msi>,
    /// The buffer, in `Journeys::buffers`.
    pub buffer: Option<usize>,
}

/// A job of the GPU: one packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Job {
    /// The ring.
    pub queue: u32,
    /// The packet's label.
    pub seqno: u64,
    /// What it does.
    pub kind: JobKind,
    /// The doorbell that announced it.
    pub doorbell: Option<At>,
    /// The begin.
    pub start: At,
    /// The end.
    pub end: Option<At>,
    /// Whether it ended well.
    pub ok: bool,
    /// Buffers it read.
    pub reads: Vec<usize>,
    /// Buffers it wrote.
    pub writes: Vec<usize>,
    /// The frames whose pixels it read, first hand or through other jobs, in `Journeys::captures`.
    pub captures: Vec<usize>,
    /// The next fence of its ring, in `Journeys::fences`.
    pub fence: Option<usize>,
}

/// A fence that the GPU wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FenceWrite {
    /// The ring.
    pub queue: u32,
    /// The sequence number.
    pub seqno: u64,
    /// When.
    pub at: At,
    /// The interrupt that told it.
    pub msi: Option<Msi>,
}

/// A commit that the display latched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flip {
    /// The commit's number.
    pub commit: u64,
    /// The frame (vertical blank) from which it is shown.
    pub frame: u64,
    /// The doorbell that handed it over.
    pub doorbell: Option<At>,
    /// The latch.
    pub latch: At,
    /// The flip: absent when the commit shows the buffer that was shown before.
    pub flip: Option<At>,
    /// The interrupt that told it.
    pub msi: Option<Msi>,
    /// The buffer that is shown.
    pub buffer: Option<usize>,
    /// The jobs that wrote it, in `Journeys::jobs`.
    pub jobs: Vec<usize>,
    /// The frames in it, first hand or through jobs, in `Journeys::captures`.
    pub captures: Vec<usize>,
    /// The last read of the buffer for this commit.
    pub last_read: Option<At>,
}

/// What [`scan`] finds.
#[derive(Debug, Default)]
pub(super) struct Devices {
    pub buffers: Vec<Buffer>,
    pub captures: Vec<Capture>,
    pub jobs: Vec<Job>,
    pub fences: Vec<FenceWrite>,
    pub flips: Vec<Flip>,
}

/// Reads the devices' events, once, in the order of time. `endings`, by time: where pages became another buffer's.
pub(super) fn scan(trace: &TraceFile, endings: &[Ending]) -> Devices {
    let mut scan = Scan {
        engines: trace.header.functions.iter().map(|f| (f.rid, f.engine)).collect(),
        // A file that is only cut has all up to there.
        gaps: trace.damage.iter().any(|one| matches!(one, Damage::Frame { .. }))
            || trace.totals.is_some_and(|totals| totals.lost > 0),
        ..Scan::default()
    };
    let mut endings = endings.iter().peekable();
    for (record, one) in trace.records.iter().enumerate() {
        let at = At { stamp: one.stamp, record };
        while let Some(ending) = endings.next_if(|ending| ending.at <= at) {
            scan.pages.end(ending);
        }
        scan.event(&one.event, at);
    }
    for open in std::mem::take(&mut scan.running).into_values() {
        scan.never_ended(open);
    }
    let mut found = scan.found;
    found.buffers = scan.pages.into_buffers();
    found
}

#[derive(Debug, Default)]
struct Scan {
    engines: BTreeMap<u16, Engine>,
    /// Records may be missing.
    gaps: bool,
    found: Devices,
    pages: Pages,
    /// Accesses that belong to the event that ends them.
    camera_writes: Vec<Access>,
    gpu_reads: Vec<Access>,
    gpu_writes: Vec<Access>,
    display_reads: Vec<Access>,
    rings: BTreeMap<u32, Ring>,
    /// By ring: the job in execution, and where the jobs begin that wait for their fence.
    running: BTreeMap<u32, usize>,
    unfenced: BTreeMap<u32, Vec<usize>>,
    /// Ends of jobs that were not running, by ring and label.
    early_ends: BTreeMap<(u32, u64), At>,
    /// Where the camera's frame is, while it is being written.
    capturing: Option<usize>,
    /// The display's doorbell since the last latch, with the commit's number if the doorbell has it.
    commit: Option<(Option<u64>, At)>,
    /// By engine: that the next interrupt of the function tells of its newest frame, fence or flip.
    telling: BTreeSet<Engine>,
}

impl Scan {
    fn event(&mut self, event: &Event, at: At) {
        match *event {
            Event::DmaWrite { rid, iova, gpa, len } => self.access(true, Access { rid, iova, gpa, len, at }),
            Event::DmaRead { rid, iova, gpa, len } => self.access(false, Access { rid, iova, gpa, len, at }),
            Event::DescriptorFetch { rid, iova, len } => self.fetched(rid, iova, len),
            Event::FrameStart { sequence, buffer } => self.frame_start(sequence, buffer, at),
            Event::FrameEnd { sequence, buffer, bytes, .. } => self.frame_end(sequence, buffer, bytes, at),
            Event::FrameDropped { sequence } => self.frame_dropped(sequence, at),
            Event::Doorbell { engine: Engine::Gpu, queue, tail } => {
                for early in self.ring(queue).doorbell(tail, at) {
                    if let Some(job) = self.found.jobs.get_mut(early) {
                        job.doorbell = Some(at);
                    }
                }
            }
            Event::Doorbell { engine: Engine::Display, tail, .. } => self.commit = Some((Some(tail), at)),
            Event::RegisterWrite { rid, offset: DISPLAY_COMMIT, value }
                // The doorbell's own event says more.
                if value & 1 == 1
                    && self.engines.get(&rid) == Some(&Engine::Display)
                    && !matches!(self.commit, Some((Some(_), _))) =>
            {
                self.commit = Some((None, at));
            }
            Event::JobStart { engine: Engine::Gpu, queue, seqno, kind } => {
                self.job_start(queue, seqno, kind, at);
            }
            Event::JobEnd { engine: Engine::Gpu, queue, seqno, ok } => self.job_end(queue, seqno, ok, at),
            Event::FenceWrite { queue, seqno } => self.fence_write(queue, seqno, at),
            Event::Latch { frame, commit } => self.latch(frame, commit, at),
            Event::Flip { .. } => {
                if let Some(flip) = self.found.flips.last_mut() {
                    flip.flip.get_or_insert(at);
                    self.telling.insert(Engine::Display);
                }
            }
            Event::ScanOut { .. } => self.scan_out(),
            Event::Underrun { .. } => self.display_reads.clear(),
            Event::MsiRaised { rid, vector } => self.msi(Msi { at, rid, vector }),
            _ => {}
        }
    }

    fn ring(&mut self, queue: u32) -> &mut Ring {
        self.rings.entry(queue).or_insert_with(|| Ring::new(self.gaps))
    }

    fn access(&mut self, write: bool, access: Access) {
        match (self.engines.get(&access.rid), write) {
            (Some(Engine::Camera), true) => self.camera_writes.push(access),
            (Some(Engine::Gpu), true) => self.gpu_writes.push(access),
            (Some(Engine::Gpu), false) => self.gpu_reads.push(access),
            (Some(Engine::Display), false) => self.display_reads.push(access),
            _ => {}
        }
    }

    /// What was just read was no pixels: a packet, or a scatter-gather list.
    fn fetched(&mut self, rid: u16, iova: u64, len: u64) {
        let reads = match self.engines.get(&rid) {
            Some(Engine::Gpu) => &mut self.gpu_reads,
            Some(Engine::Display) => &mut self.display_reads,
            _ => return,
        };
        let within =
            |read: &Access| read.rid == rid && read.iova.checked_sub(iova).is_some_and(|at| at < len);
        while reads.last().is_some_and(within) {
            reads.pop();
        }
    }

    fn frame_start(&mut self, sequence: u32, index: Option<u32>, at: At) {
        self.camera_writes.clear();
        self.capturing = Some(self.found.captures.len());
        self.found.captures.push(Capture { sequence, index, start: Some(at), ..Capture::default() });
    }

    /// The capture that an event of the camera is about: the one being written, or one whose begin is not in the trace.
    fn capture(&mut self, sequence: u32) -> usize {
        let open = self.capturing.take();
        match open.filter(|at| self.found.captures.get(*at).is_some_and(|c| c.sequence == sequence)) {
            Some(at) => at,
            None => {
                self.found.captures.push(Capture { sequence, ..Capture::default() });
                self.found.captures.len() - 1
            }
        }
    }

    fn frame_end(&mut self, sequence: u32, index: u32, bytes: u32, at: At) {
        let number = self.capture(sequence);
        // The pixels come first; the completion record after them is no part of the buffer.
        let (mut left, mut pixels) = (u64::from(bytes), Vec::new());
        for access in self.camera_writes.drain(..) {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(access.len);
            pixels.push(access);
        }
        let buffer = self.pages.write(&pixels, Writer::Capture(number));
        let Some(capture) = self.found.captures.get_mut(number) else { return };
        (capture.index, capture.end, capture.buffer) = (Some(index), Some(at), buffer);
        self.telling.insert(Engine::Camera);
    }

    fn frame_dropped(&mut self, sequence: u32, at: At) {
        // A frame is also dropped while the one before is still being written.
        let open = self.capturing;
        let number = self.capture(sequence);
        if open != Some(number) {
            self.capturing = open;
        }
        if let Some(capture) = self.found.captures.get_mut(number) {
            capture.dropped = Some(at);
        }
    }

    fn job_start(&mut self, queue: u32, seqno: u64, kind: JobKind, at: At) {
        let number = self.found.jobs.len();
        let doorbell = self.ring(queue).start(number);
        if let Some(before) = self.running.insert(queue, number) {
            self.never_ended(before);
        }
        self.found.jobs.push(Job {
            queue,
            seqno,
            kind,
            doorbell,
            start: at,
            end: None,
            ok: false,
            reads: Vec::new(),
            writes: Vec::new(),
            captures: Vec::new(),
            fence: None,
        });
    }

    /// A job that did not end after its start may have ended before it.
    fn never_ended(&mut self, number: usize) {
        if let Some(job) = self.found.jobs.get_mut(number) {
            job.end = self.early_ends.remove(&(job.queue, job.seqno));
        }
    }

    fn job_end(&mut self, queue: u32, seqno: u64, ok: bool, at: At) {
        let (reads, writes) = (std::mem::take(&mut self.gpu_reads), std::mem::take(&mut self.gpu_writes));
        if !ok && let Some(ring) = self.rings.get_mut(&queue) {
            ring.halt();
        }
        let is_its = |number: &usize| self.found.jobs.get(*number).is_some_and(|job| job.seqno == seqno);
        let Some(number) = self.running.get(&queue).copied().filter(is_its) else {
            self.early_ends.insert((queue, seqno), at);
            return;
        };
        self.running.remove(&queue);
        let (read, writers) = self.pages.read(&reads);
        let written = self.pages.write(&writes, Writer::Job(number));
        let captures = self.captures_of(&writers);
        let Some(job) = self.found.jobs.get_mut(number) else { return };
        (job.end, job.ok, job.reads, job.captures) = (Some(at), ok, read, captures);
        job.writes = written.into_iter().collect();
        if ok && job.kind != JobKind::Fence {
            self.unfenced.entry(queue).or_default().push(number);
        } else if !ok {
            self.unfenced.remove(&queue);
        }
    }

    /// The frames behind `writers`.
    fn captures_of(&self, writers: &[Writer]) -> Vec<usize> {
        let mut captures: Vec<usize> = Vec::new();
        for writer in writers {
            let behind = match writer {
                Writer::Capture(capture) => std::slice::from_ref(capture),
                Writer::Job(job) => self.found.jobs.get(*job).map_or(&[][..], |job| &job.captures),
            };
            for capture in behind {
                add_once(&mut captures, *capture);
            }
        }
        captures
    }

    fn fence_write(&mut self, queue: u32, seqno: u64, at: At) {
        let number = self.found.fences.len();
        self.found.fences.push(FenceWrite { queue, seqno, at, msi: None });
        for job in self.unfenced.remove(&queue).unwrap_or_default() {
            if let Some(job) = self.found.jobs.get_mut(job) {
                job.fence = Some(number);
            }
        }
        self.telling.insert(Engine::Gpu);
    }

    fn latch(&mut self, frame: u64, commit: u64, at: At) {
        // What was read before this was read for the commit before.
        let doorbell = self.commit.take().map(|(_, at)| at);
        self.found.flips.push(Flip {
            commit,
            frame,
            doorbell,
            latch: at,
            flip: None,
            msi: None,
            buffer: None,
            jobs: Vec::new(),
            captures: Vec::new(),
            last_read: None,
        });
    }

    fn scan_out(&mut self) {
        let reads = std::mem::take(&mut self.display_reads);
        let Some(last) = reads.iter().rfind(|access| access.counts()) else { return };
        let (buffers, writers) = self.pages.read(&reads);
        let captures = self.captures_of(&writers);
        let Some(flip) = self.found.flips.last_mut() else { return };
        flip.last_read = Some(last.at);
        if flip.buffer.is_some() {
            return;
        }
        flip.buffer = buffers.first().copied();
        flip.captures = captures;
        flip.jobs = writers
            .iter()
            .filter_map(|writer| match writer {
                Writer::Job(job) => Some(*job),
                Writer::Capture(_) => None,
            })
            .collect();
    }

    fn msi(&mut self, msi: Msi) {
        let Some(engine) = self.engines.get(&msi.rid) else { return };
        if !self.telling.remove(engine) {
            return;
        }
        match engine {
            Engine::Camera => {
                if let Some(capture) = self.found.captures.iter_mut().rev().find(|c| c.end.is_some()) {
                    capture.msi = Some(msi);
                }
            }
            Engine::Gpu => {
                if let Some(fence) = self.found.fences.last_mut() {
                    fence.msi = Some(msi);
                }
            }
            Engine::Display => {
                if let Some(flip) = self.found.flips.last_mut() {
                    flip.msi = Some(msi);
                }
            }
        }
    }
}
