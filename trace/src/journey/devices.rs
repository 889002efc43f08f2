//! What the devices' own events say: frames captured, jobs done, buffers shown, and which of them share pages.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{EngineId, Role};
use crate::event::{Event, JobKind};
use crate::file::{Damage, Header, TraceFile};
use crate::journey::buffers::{Access, Pages, Writer, add_once};
use crate::journey::doorbells::Ring;
use crate::journey::lives::Ending;
use crate::journey::work::{Capture, FenceWrite, Flip, Job, Msi, Pending};
use crate::journey::{At, Buffer};

/// What [`scan`] finds.
#[derive(Debug, Default)]
pub(super) struct Devices {
    pub buffers: Vec<Buffer>,
    pub captures: Vec<Capture>,
    pub jobs: Vec<Job>,
    pub fences: Vec<FenceWrite>,
    pub flips: Vec<Flip>,
    pub pending: Vec<Pending>,
    /// Engines that store: what a program gives them is no content on its way.
    pub stores: BTreeSet<EngineId>,
}

/// Reads the devices' events, once, in the order of time. `endings`, by time: where pages became another buffer's.
pub(super) fn scan(trace: &TraceFile, endings: &[Ending]) -> Devices {
    let mut scan = Scan {
        functions: functions(&trace.header),
        sinks: of_role(&trace.header, Role::Sink),
        // A file that is only cut has all up to there.
        // What was in the rings at a snapshot is not in its trace either.
        gaps: trace.header.snapshot.is_some()
            || trace.damage.iter().any(|one| matches!(one, Damage::Frame { .. }))
            || trace.totals.as_ref().is_some_and(|totals| totals.lost > 0),
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
    let left = std::mem::take(&mut scan.commits);
    let mut found = scan.found;
    found.pending.extend(left.into_values());
    found.buffers = scan.pages.into_buffers();
    found.stores = of_role(&trace.header, Role::Storage);
    found
}

/// The functions with engines, and which of their accesses can be of content.
fn functions(header: &Header) -> BTreeMap<u16, Accesses> {
    let mut functions: BTreeMap<u16, Accesses> = BTreeMap::new();
    for (id, engine) in header.engines() {
        let function = functions.entry(id.rid).or_default();
        function.of_reads |= engine.role != Role::Source;
        function.of_writes |= engine.role != Role::Sink;
    }
    functions
}

/// The engines of a role.
pub(super) fn of_role(header: &Header, role: Role) -> BTreeSet<EngineId> {
    header.engines().filter(|(_, engine)| engine.role == role).map(|(id, _)| id).collect()
}

/// Accesses of a function that belong to the event of its engine that ends them.
#[derive(Debug, Default)]
struct Accesses {
    of_reads: bool,
    of_writes: bool,
    reads: Vec<Access>,
    writes: Vec<Access>,
}

/// What the next interrupt of an engine's function tells of.
#[derive(Clone, Copy, Debug)]
enum News {
    Capture(usize),
    Fence(usize),
    Flip(usize),
}

/// A ring of an engine.
type Queue = (EngineId, u32);

#[derive(Debug, Default)]
struct Scan {
    functions: BTreeMap<u16, Accesses>,
    sinks: BTreeSet<EngineId>,
    /// Records may be missing.
    gaps: bool,
    found: Devices,
    pages: Pages,
    rings: BTreeMap<Queue, Ring>,
    /// By ring: the job in execution, and where the jobs begin that wait for their fence.
    running: BTreeMap<Queue, usize>,
    unfenced: BTreeMap<Queue, Vec<usize>>,
    /// Ends of jobs that were not running, by ring and label.
    early_ends: BTreeMap<(Queue, u64), At>,
    /// Where each source's frame is, while it is being written.
    capturing: BTreeMap<EngineId, usize>,
    /// What each sink was given since its last latch.
    commits: BTreeMap<EngineId, Pending>,
    /// What each sink shows, in `found.flips`.
    shown: BTreeMap<EngineId, usize>,
    /// What engines have to tell.
    news: BTreeMap<EngineId, News>,
}

impl Scan {
    fn event(&mut self, event: &Event, at: At) {
        match *event {
            Event::DmaWrite { rid, iova, gpa, len } => self.access(true, Access { rid, iova, gpa, len, at }),
            Event::DmaRead { rid, iova, gpa, len } => self.access(false, Access { rid, iova, gpa, len, at }),
            Event::DescriptorFetch { rid, iova, len } => self.fetched(rid, iova, len),
            Event::FrameStart { engine, sequence, buffer } => self.frame_start(engine, sequence, buffer, at),
            Event::FrameEnd { engine, sequence, buffer, bytes, .. } => {
                self.frame_end(engine, sequence, (buffer, bytes), at);
            }
            Event::FrameDropped { engine, sequence } => self.frame_dropped(engine, sequence, at),
            Event::Doorbell { engine, queue, tail } => self.doorbell((engine, queue), tail, at),
            Event::JobStart { engine, queue, seqno, kind } => {
                self.job_start((engine, queue), seqno, kind, at);
            }
            Event::JobEnd { engine, queue, seqno, ok } => self.job_end((engine, queue), seqno, ok, at),
            Event::FenceWrite { engine, queue, seqno } => self.fence_write((engine, queue), seqno, at),
            Event::Latch { engine, frame, commit } => self.latch(engine, frame, commit, at),
            Event::Flip { engine, .. } => {
                if let Some(shown) = self.shown.get(&engine)
                    && let Some(flip) = self.found.flips.get_mut(*shown)
                {
                    flip.flip.get_or_insert(at);
                    self.news.insert(engine, News::Flip(*shown));
                }
            }
            Event::ScanOut { engine, .. } => self.scan_out(engine),
            Event::Underrun { engine, .. } => _ = self.take(engine, |accesses| &mut accesses.reads),
            Event::MsiRaised { rid, vector } => self.msi(Msi { at, rid, vector }),
            _ => {}
        }
    }

    fn ring(&mut self, queue: Queue) -> &mut Ring {
        self.rings.entry(queue).or_insert_with(|| Ring::new(self.gaps))
    }

    fn access(&mut self, write: bool, access: Access) {
        match (self.functions.get_mut(&access.rid), write) {
            (Some(function), true) if function.of_writes => function.writes.push(access),
            (Some(function), false) if function.of_reads => function.reads.push(access),
            _ => {}
        }
    }

    /// Takes the accesses of an engine's function.
    fn take(&mut self, engine: EngineId, which: fn(&mut Accesses) -> &mut Vec<Access>) -> Vec<Access> {
        self.functions.get_mut(&engine.rid).map(|all| std::mem::take(which(all))).unwrap_or_default()
    }

    /// What was just read was no content: a packet, or a scatter-gather list.
    fn fetched(&mut self, rid: u16, iova: u64, len: u64) {
        let Some(function) = self.functions.get_mut(&rid) else { return };
        let within = |read: &Access| read.iova.checked_sub(iova).is_some_and(|at| at < len);
        while function.reads.last().is_some_and(within) {
            function.reads.pop();
        }
    }

    /// A sink's doorbell hands over a commit; any other announces packets, if its engine has a ring.
    fn doorbell(&mut self, queue: Queue, tail: u64, at: At) {
        let (engine, _) = queue;
        if self.sinks.contains(&engine) {
            let pending = Pending { engine, commit: tail, doorbell: at };
            self.found.pending.extend(self.commits.insert(engine, pending));
            return;
        }
        for early in self.ring(queue).doorbell(tail, at) {
            if let Some(job) = self.found.jobs.get_mut(early) {
                job.doorbell = Some(at);
            }
        }
    }

    fn frame_start(&mut self, engine: EngineId, sequence: u32, index: Option<u32>, at: At) {
        self.take(engine, |accesses| &mut accesses.writes);
        self.capturing.insert(engine, self.found.captures.len());
        let capture = Capture { engine, sequence, index, start: Some(at), ..Capture::default() };
        self.found.captures.push(capture);
    }

    /// The capture that an event of a source is about: the one being written, or one whose begin is not in the trace.
    fn capture(&mut self, engine: EngineId, sequence: u32) -> usize {
        let open = self.capturing.remove(&engine);
        match open.filter(|at| self.found.captures.get(*at).is_some_and(|c| c.sequence == sequence)) {
            Some(at) => at,
            None => {
                self.found.captures.push(Capture { engine, sequence, ..Capture::default() });
                self.found.captures.len() - 1
            }
        }
    }

    fn frame_end(&mut self, engine: EngineId, sequence: u32, (index, bytes): (u32, u32), at: At) {
        let number = self.capture(engine, sequence);
        // The pixels come first; the completion record after them is no part of the buffer.
        let (mut left, mut pixels) = (u64::from(bytes), Vec::new());
        for access in self.take(engine, |accesses| &mut accesses.writes) {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(access.len);
            pixels.push(access);
        }
        let buffer = self.pages.write(&pixels, Writer::Capture(number));
        let Some(capture) = self.found.captures.get_mut(number) else { return };
        (capture.index, capture.end, capture.buffer) = (Some(index), Some(at), buffer);
        self.news.insert(engine, News::Capture(number));
    }

    fn frame_dropped(&mut self, engine: EngineId, sequence: u32, at: At) {
        // A frame is also dropped while the one before is still being written.
        let open = self.capturing.get(&engine).copied();
        let number = self.capture(engine, sequence);
        if let Some(open) = open.filter(|open| *open != number) {
            self.capturing.insert(engine, open);
        }
        if let Some(capture) = self.found.captures.get_mut(number) {
            capture.dropped = Some(at);
        }
    }

    fn job_start(&mut self, queue: Queue, seqno: u64, kind: JobKind, at: At) {
        let number = self.found.jobs.len();
        let doorbell = self.ring(queue).start(number);
        if let Some(before) = self.running.insert(queue, number) {
            self.never_ended(before);
        }
        let (engine, queue) = queue;
        self.found.jobs.push(Job {
            engine,
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
            read_captures: Vec::new(),
            read_jobs: Vec::new(),
            fence: None,
        });
    }

    /// A job that did not end after its start may have ended before it.
    fn never_ended(&mut self, number: usize) {
        if let Some(job) = self.found.jobs.get_mut(number) {
            job.end = self.early_ends.remove(&((job.engine, job.queue), job.seqno));
        }
    }

    fn job_end(&mut self, queue: Queue, seqno: u64, ok: bool, at: At) {
        let reads = self.take(queue.0, |accesses| &mut accesses.reads);
        let writes = self.take(queue.0, |accesses| &mut accesses.writes);
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
        for writer in writers {
            match writer {
                Writer::Capture(capture) => job.read_captures.push(capture),
                Writer::Job(other) if other != number => job.read_jobs.push(other),
                Writer::Job(_) => {}
            }
        }
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

    fn fence_write(&mut self, queue: Queue, seqno: u64, at: At) {
        let number = self.found.fences.len();
        let (engine, ring) = queue;
        self.found.fences.push(FenceWrite { engine, queue: ring, seqno, at, msi: None });
        for job in self.unfenced.remove(&queue).unwrap_or_default() {
            if let Some(job) = self.found.jobs.get_mut(job) {
                job.fence = Some(number);
            }
        }
        self.news.insert(engine, News::Fence(number));
    }

    fn latch(&mut self, engine: EngineId, frame: u64, commit: u64, at: At) {
        // What was read before this was read for the commit before.
        let doorbell = self.commits.remove(&engine).map(|pending| pending.doorbell);
        let number = self.found.flips.len();
        let before = self.shown.insert(engine, number).and_then(|before| self.found.flips.get_mut(before));
        let before = before.map(|before| {
            before.until = Some(at);
            before.latch
        });
        self.found.flips.push(Flip {
            engine,
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
            before,
            until: None,
        });
    }

    fn scan_out(&mut self, engine: EngineId) {
        let reads = self.take(engine, |accesses| &mut accesses.reads);
        let Some(last) = reads.iter().rfind(|access| access.counts()) else { return };
        let (buffers, writers) = self.pages.read(&reads);
        let captures = self.captures_of(&writers);
        let shown = self.shown.get(&engine).copied();
        let Some(flip) = shown.and_then(|shown| self.found.flips.get_mut(shown)) else { return };
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
        let of_function = EngineId::new(msi.rid, 0)..=EngineId::new(msi.rid, u8::MAX);
        let engines: Vec<EngineId> = self.news.range(of_function).map(|(engine, _)| *engine).collect();
        for engine in engines {
            let told = match self.news.remove(&engine) {
                Some(News::Capture(number)) => self.found.captures.get_mut(number).map(|one| &mut one.msi),
                Some(News::Fence(number)) => self.found.fences.get_mut(number).map(|one| &mut one.msi),
                Some(News::Flip(number)) => self.found.flips.get_mut(number).map(|one| &mut one.msi),
                None => None,
            };
            if let Some(told) = told {
                *told = Some(msi);
            }
        }
    }
}
