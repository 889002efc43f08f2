//! Which engines had a content, one after the other: the way of each frame, and of what a program gave to an engine itself.
//!
//! What an engine reads was written by another engine, or by a program. Between engines pages say which. Where a program copies a frame, pages
//! say nothing: what an engine then reads and no engine wrote is taken for the frame that the program had taken last.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::engine::EngineId;
use crate::event::JobKind;
use crate::journey::At;
use crate::journey::devices::Devices;
use crate::journey::work::{Flip, Job};

/// What an engine did with a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// A source wrote it: in `Journeys::captures`.
    Capture(usize),
    /// A job read or wrote it: in `Journeys::jobs`.
    Job(usize),
    /// A sink showed it: in `Journeys::flips`.
    Flip(usize),
    /// A sink was given it and never latched it: in `Journeys::pending`.
    Pending(usize),
}

/// An engine's part in a journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Visit {
    /// The engine.
    pub engine: EngineId,
    /// What it did.
    pub work: Work,
}

/// The way of one content.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    pub visits: Vec<Visit>,
    /// A program copied it on the way from a source.
    pub copied: bool,
}

/// More engines than these in one way are no sound trace.
const VISITS_MAX: usize = 16;

/// All ways: first those of the frames, one for each capture; then, by time, those that begin with a program.
pub(super) fn ways(devices: &Devices, dequeued: &[Option<At>]) -> Vec<Way> {
    let links = Links::new(devices);
    let mut ways: Vec<Way> = (0..devices.captures.len()).map(|number| links.of_capture(number)).collect();
    links.copies(&mut ways, dequeued);
    let mut used = Used::default();
    ways.iter().for_each(|way| used.add(way));
    ways.extend(links.of_programs(&mut used));
    ways
}

/// What belongs to a way already.
#[derive(Default)]
struct Used(BTreeSet<Work>);

impl Used {
    fn add(&mut self, way: &Way) {
        self.0.extend(way.visits.iter().map(|visit| visit.work));
    }

    fn has(&self, work: Work) -> bool {
        self.0.contains(&work)
    }
}

/// Which jobs read a frame, and which flips show a job.
struct Links<'a> {
    devices: &'a Devices,
    jobs_of: BTreeMap<usize, Vec<usize>>,
    flip_of_job: BTreeMap<usize, usize>,
    flip_of_capture: BTreeMap<usize, usize>,
}

impl<'a> Links<'a> {
    fn new(devices: &'a Devices) -> Links<'a> {
        let (mut jobs_of, mut flip_of_job, mut flip_of_capture) =
            (BTreeMap::<usize, Vec<usize>>::new(), BTreeMap::new(), BTreeMap::new());
        for (number, job) in devices.jobs.iter().enumerate() {
            for capture in job.captures.iter().filter(|capture| **capture < devices.captures.len()) {
                jobs_of.entry(*capture).or_default().push(number);
            }
        }
        for (number, flip) in devices.flips.iter().enumerate() {
            for job in &flip.jobs {
                flip_of_job.entry(*job).or_insert(number);
            }
            for capture in &flip.captures {
                flip_of_capture.entry(*capture).or_insert(number);
            }
        }
        Links { devices, jobs_of, flip_of_job, flip_of_capture }
    }

    fn job(&self, number: usize) -> Option<&'a Job> {
        self.devices.jobs.get(number)
    }

    fn visit(&self, work: Work) -> Option<Visit> {
        let devices = self.devices;
        let engine = match work {
            Work::Capture(number) => devices.captures.get(number)?.engine,
            Work::Job(number) => devices.jobs.get(number)?.engine,
            Work::Flip(number) => devices.flips.get(number)?.engine,
            Work::Pending(number) => devices.pending.get(number)?.engine,
        };
        Some(Visit { engine, work })
    }

    fn way(&self, works: impl IntoIterator<Item = Work>) -> Way {
        Way { visits: works.into_iter().filter_map(|work| self.visit(work)).collect(), copied: false }
    }

    /// From a source on: through the first job that read the frame and was shown, or else the first that read it, to the first flip
    /// that showed it.
    fn of_capture(&self, capture: usize) -> Way {
        let jobs = self.jobs_of.get(&capture);
        let shown = |jobs: &&Vec<usize>| jobs.iter().find(|job| self.flip_of_job.contains_key(job)).copied();
        let job = jobs.as_ref().and_then(shown).or_else(|| jobs?.first().copied());
        let flip =
            job.and_then(|job| self.flip_of_job.get(&job)).or_else(|| self.flip_of_capture.get(&capture));
        let between = job.map(|job| self.jobs_to(job, Some(capture))).unwrap_or_default();
        let jobs = between.into_iter().map(Work::Job);
        self.way([Work::Capture(capture)].into_iter().chain(jobs).chain(flip.copied().map(Work::Flip)))
    }

    /// The jobs whose output came to `last`, and it: from `capture` on, or from a program.
    fn jobs_to(&self, last: usize, capture: Option<usize>) -> Vec<usize> {
        let mut jobs = vec![last];
        while let Some(job) =
            jobs.last().and_then(|number| self.job(*number)).filter(|_| jobs.len() < VISITS_MAX)
        {
            if capture.is_some_and(|capture| job.read_captures.contains(&capture)) {
                break;
            }
            let leads = |number: &&usize| {
                let from = self.job(**number).map(|job| &job.captures);
                let same = capture.is_none_or(|one| from.is_some_and(|all| all.contains(&one)));
                same && !jobs.contains(number)
            };
            match job.read_jobs.iter().rev().find(leads).copied() {
                Some(before) => jobs.push(before),
                None => break,
            }
        }
        jobs.reverse();
        jobs
    }

    /// Whether a flip shows what no engine wrote, or what was shown before and a program may have changed since.
    fn is_program_flip(&self, number: usize, flip: &Flip) -> bool {
        let first = |map: &BTreeMap<usize, usize>, one: &usize| map.get(one) == Some(&number);
        let fresh = flip.jobs.iter().any(|job| first(&self.flip_of_job, job))
            || flip.captures.iter().any(|capture| first(&self.flip_of_capture, capture));
        flip.flip.is_some() && flip.buffer.is_some() && !fresh
    }

    /// What programs gave to engines, by the time at which they gave it, and the way from there.
    fn given(&self) -> Vec<(At, Way)> {
        // What a program writes to a disk is seldom the frame that it has taken, and ends no frame's way.
        let is_given = |job: &Job| job.reads_program() && !self.devices.stores.contains(&job.engine);
        let jobs =
            self.devices.jobs.iter().enumerate().filter(|(_, job)| is_given(job)).map(|(number, job)| {
                let flip = self.flip_of_job.get(&number).copied().map(Work::Flip);
                (job.doorbell.unwrap_or(job.start), self.way([Work::Job(number)].into_iter().chain(flip)))
            });
        let flips = self.devices.flips.iter().enumerate();
        let flips = flips
            .filter(|(number, flip)| self.is_program_flip(*number, flip))
            .map(|(number, flip)| (flip.doorbell.unwrap_or(flip.latch), self.way([Work::Flip(number)])));
        let mut given: Vec<(At, Way)> = jobs.chain(flips).collect();
        given.sort_by_key(|(at, _)| *at);
        given
    }

    /// Continues the ways of frames that a program took and no engine read, where it gave an engine something of its own thereafter
    /// and before it took the next frame of that source.
    fn copies(&self, ways: &mut [Way], dequeued: &[Option<At>]) {
        let mut taken: BTreeMap<EngineId, Vec<(At, usize)>> = BTreeMap::new();
        for (number, (capture, at)) in self.devices.captures.iter().zip(dequeued).enumerate() {
            if let Some(at) = at {
                taken.entry(capture.engine).or_default().push((*at, number));
            }
        }
        taken.values_mut().for_each(|all| all.sort_unstable());
        for (at, rest) in self.given() {
            for frames in taken.values() {
                let newest = frames.partition_point(|(taken, _)| *taken <= at).checked_sub(1);
                let Some((_, number)) = newest.and_then(|newest| frames.get(newest)) else { continue };
                if let Some(way) = ways.get_mut(*number).filter(|way| way.visits.len() == 1) {
                    way.visits.extend(&rest.visits);
                    way.copied = true;
                }
            }
        }
    }

    /// The ways that begin with a program, by time.
    fn of_programs(&self, used: &mut Used) -> Vec<Way> {
        let mut ways: Vec<(At, Way)> = Vec::new();
        for (number, flip) in self.devices.flips.iter().enumerate() {
            if flip.flip.is_none() || flip.buffer.is_none() || used.has(Work::Flip(number)) {
                continue;
            }
            // What was written while it was shown is no step of its way, but a fault.
            let in_time = |job: &Job| job.end.is_some_and(|end| end.stamp.cycles <= flip.latch.stamp.cycles);
            let fresh = |job: &&usize| {
                let first = self.flip_of_job.get(job) == Some(&number) && !used.has(Work::Job(**job));
                first && self.job(**job).is_some_and(in_time)
            };
            let jobs =
                flip.jobs.iter().rev().find(fresh).map(|job| self.jobs_to(*job, None)).unwrap_or_default();
            let way = self.way(jobs.into_iter().map(Work::Job).chain([Work::Flip(number)]));
            used.add(&way);
            ways.push((self.begin(&way).unwrap_or(flip.latch), way));
        }
        // The last of jobs that follow each other first: the others are on its way.
        for (number, job) in self.devices.jobs.iter().enumerate().rev() {
            let of_content =
                !job.reads.is_empty() || !job.writes.is_empty() || job.end.is_none() && works(job.kind);
            let stored = self.devices.stores.contains(&job.engine);
            if !of_content || stored || !job.captures.is_empty() || used.has(Work::Job(number)) {
                continue;
            }
            let jobs = self.jobs_to(number, None).into_iter().filter(|job| !used.has(Work::Job(*job)));
            let way = self.way(jobs.map(Work::Job));
            used.add(&way);
            ways.push((self.begin(&way).unwrap_or(job.start), way));
        }
        for (number, pending) in self.devices.pending.iter().enumerate() {
            ways.push((pending.doorbell, self.way([Work::Pending(number)])));
        }
        ways.sort_by_key(|(at, _)| *at);
        ways.into_iter().map(|(_, way)| way).collect()
    }

    /// When a way began.
    fn begin(&self, way: &Way) -> Option<At> {
        match way.visits.first()?.work {
            Work::Capture(number) => self.devices.captures.get(number)?.start,
            Work::Job(number) => self.job(number).map(|job| job.doorbell.unwrap_or(job.start)),
            Work::Flip(number) => {
                self.devices.flips.get(number).map(|flip| flip.doorbell.unwrap_or(flip.latch))
            }
            Work::Pending(number) => self.devices.pending.get(number).map(|pending| pending.doorbell),
        }
    }
}

/// Whether jobs of a kind touch content.
fn works(kind: JobKind) -> bool {
    match kind {
        JobKind::Fill | JobKind::Copy | JobKind::Convert => true,
        JobKind::Scale | JobKind::Blend | JobKind::Rotate | JobKind::Compute => true,
        JobKind::Nop | JobKind::SemaphoreWait | JobKind::SemaphoreSignal | JobKind::Fence => false,
        JobKind::Checksum | JobKind::Unknown => false,
    }
}
