//! The events of one frame, buffer or fence.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::Record;
use crate::engine::EngineId;
use crate::event::{Category, Event};
use crate::file::TraceFile;
use crate::guest::GuestView;
use crate::journey::{At, Buffer, FenceId, Frame, Journeys, PAGE_BYTES, Stage, Visit, Work};
use crate::report::Losses;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// A frame by its number.
    Frame(usize),
    /// A buffer by its number.
    Buffer(usize),
    /// A buffer by its dma-buf's inode.
    Inode(u64),
    /// The buffers that have a guest-physical page number.
    Page(u64),
    /// A fence of the guest.
    Fence(FenceId),
    /// A fence of a ring, of any engine: ring and sequence number.
    Ring(u32, u64),
}

impl Query {
    /// It as JSON.
    fn json(self) -> Json {
        match self {
            Query::Frame(number) => json!({ "frame": number }),
            Query::Buffer(id) => json!({ "buffer": id }),
            Query::Inode(inode) => json!({ "inode": inode }),
            Query::Page(page) => json!({ "page": page.saturating_mul(PAGE_BYTES) }),
            Query::Fence(id) => json!({ "fence": id }),
            Query::Ring(queue, seqno) => json!({ "ring": queue, "seqno": seqno }),
        }
    }
}

/// What stands before the events of a query: the first line of its JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueryHead {
    schema: &'static str,
    /// What the stamps are worth.
    pub stamps: String,
    query: Json,
    categories: Vec<&'static str>,
    /// How many events follow.
    events: usize,
    lost: Losses,
}

impl QueryHead {
    /// The head of what [`find`] found.
    pub fn new(trace: &TraceFile, query: Query, only: &[Category], found: &[Found]) -> QueryHead {
        QueryHead {
            schema: "fencepost-trace-query/1",
            stamps: trace.stamps(),
            query: query.json(),
            categories: only.iter().copied().map(Category::name).collect(),
            events: found.len(),
            lost: Losses::of(trace),
        }
    }
}

/// Nothing is called that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {there}")]
pub struct QueryError {
    what: String,
    there: String,
}

/// An event that was asked for, and its part in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its place in the trace.
    pub record: usize,
    /// What it is for the frame, buffer or fence.
    pub part: String,
}

/// The events of what `query` names, in the order of time. No category in `only` stands for all.
pub fn find(
    trace: &TraceFile,
    journeys: &Journeys,
    query: Query,
    only: &[Category],
) -> Result<Vec<Found>, QueryError> {
    let mut search = Search { trace, journeys, found: BTreeMap::new() };
    let error = |what: String, there: String| QueryError { what, there };
    match query {
        Query::Frame(number) => {
            let frame = journeys.frames.get(number).ok_or_else(|| {
                error(
                    format!("there is no frame {number}"),
                    format!("the trace has {} frames", journeys.frames.len()),
                )
            })?;
            search.frame(frame);
        }
        Query::Buffer(_) | Query::Inode(_) | Query::Page(_) => {
            let matches = |buffer: &&Buffer| match query {
                Query::Buffer(id) => buffer.id == id,
                Query::Inode(inode) => buffer.dma_bufs.iter().any(|name| name.inode == inode),
                Query::Page(page) => buffer.has_page(page),
                _ => false,
            };
            let buffers: Vec<&Buffer> = journeys.buffers.iter().filter(matches).collect();
            if buffers.is_empty() {
                return Err(no_buffer(query, journeys));
            }
            for buffer in buffers {
                search.buffer(buffer);
            }
        }
        Query::Fence(id) => {
            let written = journeys.fence(id).ok_or_else(|| no_fence(id, journeys))?;
            search.fence(id);
            if let Some(write) = written.1.written {
                search.write(write);
            }
        }
        Query::Ring(queue, seqno) => {
            let same = |write: &crate::journey::FenceWrite| write.queue == queue && write.seqno == seqno;
            let writes: Vec<usize> =
                journeys.fences.iter().enumerate().filter(|(_, w)| same(w)).map(|(at, _)| at).collect();
            if writes.is_empty() {
                return Err(error(
                    format!("ring {queue} wrote no fence {seqno}"),
                    format!("the trace has {} fences", journeys.fences.len()),
                ));
            }
            for write in writes {
                search.write(write);
            }
        }
    }
    let keep = |record: &Record| only.is_empty() || only.contains(&record.event.category());
    let found = search.found.into_iter();
    let found = found.filter(|(record, _)| trace.records.get(*record).is_some_and(keep));
    Ok(found.map(|(record, part)| Found { record, part }).collect())
}

fn no_fence(id: FenceId, journeys: &Journeys) -> QueryError {
    let of = |t: &crate::journey::FenceTimeline| format!("{} ({} {})", t.context, t.driver, t.name);
    let contexts: Vec<String> = journeys.timelines.iter().map(of).collect();
    let what = format!("there is no fence {}:{}", id.context, id.seqno);
    let there = match contexts.is_empty() {
        true => "the trace has no fence of the guest's".to_string(),
        false => format!("the trace has contexts {}", some(&contexts)),
    };
    QueryError { what, there }
}

/// The first of many, and how many more there are.
fn some(all: &[String]) -> String {
    let shown = all.get(..SHOWN_MOST.min(all.len())).unwrap_or_default().join(", ");
    match all.len().saturating_sub(SHOWN_MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Names that an error lists.
const SHOWN_MOST: usize = 20;

fn no_buffer(query: Query, journeys: &Journeys) -> QueryError {
    let inodes = journeys.buffers.iter().flat_map(|buffer| &buffer.dma_bufs).map(|name| name.inode);
    let inodes: BTreeSet<u64> = inodes.collect();
    let (what, there) = match query {
        Query::Inode(inode) if inodes.is_empty() => {
            (format!("no buffer has inode {inode}"), "the trace has no dma-buf that a device accessed".into())
        }
        Query::Inode(inode) => {
            let inodes: Vec<String> = inodes.iter().map(u64::to_string).collect();
            (format!("no buffer has inode {inode}"), format!("the trace has inodes {}", some(&inodes)))
        }
        Query::Page(page) => {
            let address = page.saturating_mul(PAGE_BYTES);
            (
                format!("no buffer has page {address:#x}"),
                format!("the trace has {} buffers", journeys.buffers.len()),
            )
        }
        Query::Buffer(id) => {
            (format!("there is no buffer {id}"), format!("the trace has {} buffers", journeys.buffers.len()))
        }
        _ => ("there is no such buffer".into(), String::new()),
    };
    QueryError { what, there }
}

struct Search<'a> {
    trace: &'a TraceFile,
    journeys: &'a Journeys,
    found: BTreeMap<usize, String>,
}

impl<'a> Search<'a> {
    fn add(&mut self, at: Option<At>, part: &str) {
        if let Some(at) = at {
            self.found.entry(at.record).or_insert_with(|| part.to_string());
        }
    }

    /// The records from `from` to `to`, both with it, where both are known.
    fn between(
        &self,
        from: Option<At>,
        to: Option<At>,
    ) -> impl Iterator<Item = (usize, &'a Record)> + use<'a> {
        let range = match (from, to) {
            (Some(from), Some(to)) if from.record <= to.record => from.record..to.record + 1,
            _ => 0..0,
        };
        let begin = range.start;
        self.trace
            .records
            .get(range)
            .unwrap_or_default()
            .iter()
            .enumerate()
            .map(move |(at, r)| (begin + at, r))
    }

    fn frame(&mut self, frame: &Frame) {
        for step in &frame.steps {
            let engine = frame.visits.get(step.visit).map(|visit| self.label(visit.engine));
            self.add(Some(step.at), &step.stage.text(&engine.unwrap_or_default()));
        }
        for visit in &frame.visits {
            self.visit(visit);
        }
        if let Some(id) = frame.fence {
            self.fence(id);
        }
        self.capture_events(frame);
    }

    /// The accesses of an engine's part in a journey.
    fn visit(&mut self, visit: &Visit) {
        let journeys = self.journeys;
        let (from, to, buffers) = match visit.work {
            Work::Capture(number) => {
                let Some(capture) = journeys.captures.get(number) else { return };
                (capture.start, capture.end, capture.buffer.into_iter().collect())
            }
            Work::Job(number) => {
                let Some(job) = journeys.jobs.get(number) else { return };
                (Some(job.start), job.end, [&job.reads[..], &job.writes[..]].concat())
            }
            Work::Flip(number) => {
                let Some(flip) = journeys.flips.get(number) else { return };
                (Some(flip.latch), flip.last_read, flip.buffer.into_iter().collect())
            }
            Work::Pending(_) => return,
        };
        for buffer in buffers {
            self.accesses(from, to, Some(visit.engine.rid), buffer);
        }
    }

    /// What outputs call an engine.
    fn label(&self, engine: EngineId) -> String {
        self.trace.header.engine_label(engine)
    }

    /// vb2's events of the frame's buffer from its dequeueing to its queueing again.
    fn capture_events(&mut self, frame: &Frame) {
        let Some(index) = frame.index else { return };
        let end = frame.at(Stage::Requeued);
        let mut events = Vec::new();
        for (at, record) in self.between(frame.at(Stage::FrameEnd), end) {
            let Some(view) = self.trace.guest(record) else { continue };
            let of_queue = matches!(&view.format.system[..], "vb2" | "v4l2");
            if of_queue && view.u64("index") == Some(index.into()) {
                events.push((at, view.format.name.clone()));
            }
        }
        for (at, name) in events {
            self.found.entry(at).or_insert(name);
        }
    }

    /// DMA of function `by` (or any) to `buffer`.
    fn accesses(&mut self, from: Option<At>, to: Option<At>, by: Option<u16>, buffer: usize) {
        let Some(buffer) = self.journeys.buffers.get(buffer) else { return };
        let mut found = Vec::new();
        for (at, record) in self.between(from, to) {
            let (rid, gpa, what) = match record.event {
                Event::DmaRead { rid, gpa, .. } => (rid, gpa, "read"),
                Event::DmaWrite { rid, gpa, .. } => (rid, gpa, "written"),
                _ => continue,
            };
            let when = At { stamp: record.stamp, record: at };
            if gpa != 0 && buffer.has_page_at(gpa / PAGE_BYTES, when) && by.is_none_or(|by| by == rid) {
                found.push((at, format!("buffer {} {what}", buffer.id)));
            }
        }
        for (at, part) in found {
            self.found.entry(at).or_insert(part);
        }
    }

    fn buffer(&mut self, buffer: &Buffer) {
        let journeys = self.journeys;
        let ends = |last: usize| At { stamp: Default::default(), record: last };
        let last = self.trace.records.len().saturating_sub(1);
        self.accesses(Some(ends(0)), Some(ends(last)), None, buffer.id);
        for frame in journeys.frames.iter().filter(|frame| frame.source == Some(buffer.id)) {
            for stage in
                [Stage::FrameStart, Stage::FrameEnd, Stage::BufferDone, Stage::Dequeued, Stage::Requeued]
            {
                self.add(frame.at(stage), &frame.stage_text(stage, &self.trace.header));
            }
            self.capture_events(frame);
        }
        let of_job =
            |job: &&crate::journey::Job| job.reads.contains(&buffer.id) || job.writes.contains(&buffer.id);
        for job in journeys.jobs.iter().filter(of_job) {
            let label = self.label(job.engine);
            self.add(Some(job.start), &Stage::JobStart.text(&label));
            self.add(job.end, &Stage::JobEnd.text(&label));
        }
        for flip in journeys.flips.iter().filter(|flip| flip.buffer == Some(buffer.id)) {
            let label = self.label(flip.engine);
            self.add(Some(flip.latch), &Stage::Latch.text(&label));
            self.add(flip.flip, &Stage::Flip.text(&label));
            self.add(flip.until, "shown no more");
        }
        self.guest_events(|view| {
            let inode = view.u64("inode").filter(|_| view.format.system == "fencepost")?;
            buffer.dma_bufs.iter().any(|name| name.inode == inode).then(|| view.format.name.clone())
        });
    }

    fn fence(&mut self, id: FenceId) {
        self.guest_events(|view| {
            let same = view.format.system == "dma_fence"
                && view.u64("context") == Some(id.context)
                && view.u64("seqno") == Some(id.seqno);
            same.then(|| view.format.name.clone())
        });
    }

    fn guest_events(&mut self, part: impl Fn(&GuestView<'_>) -> Option<String>) {
        for (at, record) in self.trace.records.iter().enumerate() {
            if let Some(part) = self.trace.guest(record).and_then(|view| part(&view)) {
                self.found.entry(at).or_insert(part);
            }
        }
    }

    /// An engine's write of a fence, the jobs before it and what follows from it.
    fn write(&mut self, write: usize) {
        let journeys = self.journeys;
        for job in journeys.jobs.iter().filter(|job| job.fence == Some(write)) {
            let label = self.label(job.engine);
            self.add(job.doorbell, &Stage::JobDoorbell.text(&label));
            self.add(Some(job.start), &Stage::JobStart.text(&label));
            self.add(job.end, &Stage::JobEnd.text(&label));
        }
        if let Some(fence) = journeys.fences.get(write) {
            let label = self.label(fence.engine);
            self.add(Some(fence.at), &Stage::FenceWrite.text(&label));
            self.add(fence.msi.map(|msi| msi.at), &Stage::FenceMsi.text(&label));
        }
        let of_write = |frame: &&Frame| {
            frame.job.and_then(|job| journeys.jobs.get(job)).is_some_and(|job| job.fence == Some(write))
        };
        for frame in journeys.frames.iter().filter(of_write) {
            for stage in [Stage::FenceDelivered, Stage::FenceHandler, Stage::FenceSignaled] {
                self.add(frame.at(stage), &frame.stage_text(stage, &self.trace.header));
            }
        }
    }
}
