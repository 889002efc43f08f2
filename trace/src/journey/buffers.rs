//! Buffers, told apart by their guest pages.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;

use crate::engine::EngineId;
use crate::journey::lives::Ending;
use crate::journey::ranges::RangeMap;
use crate::journey::{At, Journeys};

/// Bytes of a guest page.
pub const PAGE_BYTES: u64 = 4096;
/// Accesses shorter than this are words of rings and fences, not pixels.
const LEAST_BYTES: u64 = 64;

/// A range of I/O virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct IovaRange {
    /// Its begin.
    pub iova: u64,
    /// Its bytes.
    pub len: u64,
}

/// Where a device sees a buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// The requester.
    pub rid: u16,
    /// What it accessed of the buffer, in order, joined where it touches.
    pub ranges: Vec<IovaRange>,
}

/// What the guest's kernel calls a buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DmaBuf {
    /// The inode of the dma-buf.
    pub inode: u64,
    /// Who exported it, where the trace says so.
    pub exporter: Option<String>,
    /// Its size in bytes, where the trace says so.
    pub size: Option<u64>,
    /// The devices it was mapped for.
    pub devices: Vec<String>,
}

/// What an engine does with a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// It writes it.
    Writes,
    /// It reads it.
    Reads,
    /// It shows it.
    Shows,
}

impl Use {
    /// Its name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Use::Writes => "writes",
            Use::Reads => "reads",
            Use::Shows => "shows",
        }
    }
}

/// A time in which an engine had a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// Which.
    pub engine: EngineId,
    /// What it did.
    pub does: Use,
    /// From.
    pub from: At,
    /// Until; absent when the trace does not tell.
    pub until: Option<At>,
    /// For which frame's sake.
    pub frame: Option<usize>,
}

/// Memory that devices share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Buffer {
    /// Its place in [`Journeys::buffers`].
    pub id: usize,
    /// The guest pages (numbers, not addresses) that devices accessed, as first page and count.
    pub pages: Vec<(u64, u64)>,
    /// The devices that accessed it, by requester.
    pub mappings: Vec<Mapping>,
    /// The guest's names for it.
    pub dma_bufs: Vec<DmaBuf>,
    /// When a device first accessed it.
    pub first: At,
    /// When its pages were another buffer's no more, if they were one's.
    pub since: Option<At>,
    /// When its pages were its no more: what came later is another buffer's.
    pub until: Option<At>,
    /// Whose it was, in the order of time; what no hold covers is the guest's.
    pub holds: Vec<Hold>,
}

impl Buffer {
    /// Whether a guest-physical page number is one of its.
    pub fn has_page(&self, page: u64) -> bool {
        self.pages.iter().any(|(first, count)| page.wrapping_sub(*first) < *count)
    }

    /// Whether a guest-physical page number was one of its then.
    pub fn has_page_at(&self, page: u64, at: At) -> bool {
        let its_time =
            self.since.is_none_or(|since| since <= at) && self.until.is_none_or(|until| at < until);
        its_time && self.has_page(page)
    }

    /// Adds what the guest calls it.
    pub(super) fn name(&mut self, name: &DmaBuf) {
        match self.dma_bufs.iter_mut().find(|known| known.inode == name.inode) {
            Some(known) => {
                known.exporter = known.exporter.take().or_else(|| name.exporter.clone());
                known.size = known.size.or(name.size);
                name.devices.iter().for_each(|device| add_once(&mut known.devices, device.clone()));
            }
            None => add_once(&mut self.dma_bufs, name.clone()),
        }
    }

    /// Bytes of its pages.
    pub fn bytes(&self) -> u64 {
        self.pages.iter().fold(0, |sum, (_, count)| sum.saturating_add(count.saturating_mul(PAGE_BYTES)))
    }
}

/// One access of a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    pub rid: u16,
    pub iova: u64,
    pub gpa: u64,
    pub len: u64,
    pub at: At,
}

impl Access {
    /// Whether it is of pixels and says where in memory: 0 stands for an unknown place.
    pub fn counts(&self) -> bool {
        self.gpa != 0 && self.len >= LEAST_BYTES
    }

    /// The numbers of its pages.
    fn pages(&self) -> Range<u64> {
        let last = self.gpa.saturating_add(self.len.saturating_sub(1)) / PAGE_BYTES;
        self.gpa / PAGE_BYTES..last.saturating_add(1)
    }
}

/// Who wrote a page last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Writer {
    Capture(usize),
    Job(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    buffer: usize,
    writer: Option<Writer>,
}

/// All pages that devices accessed.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// By number.
    pages: RangeMap<Page>,
    buffers: Vec<Known>,
}

/// One job or scan-out is of so many buffers, and of pixels by so many writers, at most: what touches more is no sound trace, and lists
/// of all would grow with the square of the trace.
const MOST_OF_ONE: usize = 64;
/// An access is of memory that is one piece: so many pieces of other buffers in it are looked at.
pub(super) const MOST_PIECES: usize = 1024;

#[derive(Debug, Default)]
struct Known {
    pages: RangeMap<()>,
    /// By requester: begin and end of what it accessed.
    seen: BTreeMap<u16, BTreeMap<u64, u64>>,
    first: At,
    since: Option<At>,
    until: Option<At>,
}

impl Pages {
    /// What had these pages, for the most part, has them no more: they are a new buffer's when a device accesses them next. What was
    /// written there stays until then.
    pub fn end(&mut self, ending: &Ending) {
        let mut shares: BTreeMap<usize, u64> = BTreeMap::new();
        for (first, count) in &ending.pages {
            let pages = *first..first.saturating_add(*count);
            for (piece, page) in self.pages.pieces(pages).take(MOST_PIECES) {
                add(&mut shares, page.buffer, &piece);
            }
        }
        for (buffer, share) in shares {
            let most = |known: &&mut Known| share.saturating_mul(2) >= known.pages.count();
            if let Some(known) = self.buffers.get_mut(buffer).filter(most) {
                known.until.get_or_insert(ending.at);
            }
        }
    }

    /// Whether a buffer has its pages still.
    fn lives(&self, buffer: usize) -> bool {
        self.buffers.get(buffer).is_some_and(|known| known.until.is_none())
    }

    /// The buffer that has a page.
    fn owner(&self, page: u64) -> Option<usize> {
        self.pages.get(page).map(|known| known.buffer).filter(|buffer| self.lives(*buffer))
    }

    /// What is known of the pages of an access.
    fn pieces(&self, access: &Access) -> impl Iterator<Item = (Range<u64>, Page)> + '_ {
        self.pages.pieces(access.pages()).take(MOST_PIECES)
    }

    /// `writer` wrote all of `accesses`, which are one buffer. Gives the buffer.
    pub fn write(&mut self, accesses: &[Access], writer: Writer) -> Option<usize> {
        let buffer = self.group(accesses)?;
        for access in accesses.iter().filter(|a| a.counts()) {
            // Grouping them made all of them known.
            self.pages.update(access.pages(), |known| Page {
                buffer: known.map_or(buffer, |known| known.buffer),
                writer: Some(writer),
            });
        }
        Some(buffer)
    }

    /// A device read all of `accesses`, from any number of buffers. Gives the buffers and who wrote them, each once.
    pub fn read(&mut self, accesses: &[Access]) -> (Vec<usize>, Vec<Writer>) {
        let unknown =
            |pages: &Pages, access: &Access| !pages.pieces(access).any(|(_, page)| pages.lives(page.buffer));
        let fresh: Vec<Access> =
            accesses.iter().filter(|a| a.counts() && unknown(self, a)).copied().collect();
        self.group(&fresh);
        let (mut buffers, mut writers) = (Vec::new(), Vec::new());
        for access in accesses.iter().filter(|a| a.counts()) {
            for (_, known) in self.pieces(access) {
                if self.lives(known.buffer) {
                    add_once(&mut buffers, known.buffer);
                }
                if let Some(writer) = known.writer {
                    add_once(&mut writers, writer);
                }
            }
            if let Some(buffer) = self.owner(access.gpa / PAGE_BYTES) {
                self.see(buffer, access);
            }
        }
        (buffers, writers)
    }

    /// The buffer that `accesses` are of: a known one where they are of its pages for the most part, or a new one.
    fn group(&mut self, accesses: &[Access]) -> Option<usize> {
        let first = accesses.iter().find(|a| a.counts())?.at;
        let mut pages = RangeMap::default();
        for access in accesses.iter().filter(|a| a.counts()) {
            pages.update(access.pages(), |_| ());
        }
        let (mut shares, mut ended): (BTreeMap<usize, u64>, Option<At>) = (BTreeMap::new(), None);
        for (piece, page) in pages.ranges().flat_map(|range| self.pages.pieces(range).take(MOST_PIECES)) {
            match self.buffers.get(page.buffer).and_then(|known| known.until) {
                Some(until) => ended = ended.max(Some(until)),
                None => add(&mut shares, page.buffer, &piece),
            }
        }
        let most = shares.into_iter().max_by_key(|(buffer, share)| (*share, std::cmp::Reverse(*buffer)));
        let same = most.filter(|(buffer, share)| {
            let known = self.buffers.get(*buffer).map_or(0, |known| known.pages.count());
            share.saturating_mul(2) >= pages.count().min(known)
        });
        let buffer = match same {
            Some((buffer, _)) => buffer,
            None => {
                self.buffers.push(Known { first, since: ended, ..Known::default() });
                self.buffers.len() - 1
            }
        };
        let (all, buffers) = (&mut self.pages, &mut self.buffers);
        for range in pages.ranges() {
            all.update(range, |known| match known {
                None => Page { buffer, writer: None },
                Some(known) if known.buffer == buffer => known,
                Some(known) => {
                    let ended = buffers.get(known.buffer).is_none_or(|before| before.until.is_some());
                    Page { buffer, writer: known.writer.filter(|_| ended) }
                }
            });
        }
        if let Some(known) = buffers.get_mut(buffer) {
            pages.ranges().for_each(|range| known.pages.update(range, |_| ()));
        }
        for access in accesses.iter().filter(|a| a.counts()) {
            self.see(buffer, access);
        }
        Some(buffer)
    }

    /// Notes where a device sees a buffer.
    fn see(&mut self, buffer: usize, access: &Access) {
        let Some(known) = self.buffers.get_mut(buffer) else { return };
        let seen = known.seen.entry(access.rid).or_default();
        let (mut begin, mut end) = (access.iova, access.iova.saturating_add(access.len));
        if seen.range(..=begin).next_back().is_some_and(|(_, stop)| *stop >= end) {
            return;
        }
        // Ranges that touch become one.
        while let Some((first, stop)) = seen.range(..=end).next_back().map(|(a, b)| (*a, *b)) {
            if stop < begin {
                break;
            }
            seen.remove(&first);
            (begin, end) = (begin.min(first), end.max(stop));
        }
        seen.insert(begin, end);
    }

    /// The buffers.
    pub fn into_buffers(self) -> Vec<Buffer> {
        self.buffers.into_iter().enumerate().map(|(id, known)| known.finish(id)).collect()
    }
}

/// Adds the pages of `piece` to the share of `buffer`.
fn add(shares: &mut BTreeMap<usize, u64>, buffer: usize, piece: &Range<u64>) {
    let share = shares.entry(buffer).or_default();
    *share = share.saturating_add(piece.end.saturating_sub(piece.start));
}

/// Adds what is not there, as long as there is room.
pub(super) fn add_once<T: PartialEq>(all: &mut Vec<T>, one: T) {
    if all.len() < MOST_OF_ONE && all.last() != Some(&one) && !all.contains(&one) {
        all.push(one);
    }
}

impl Known {
    fn finish(self, id: usize) -> Buffer {
        let pages = self.pages.ranges().map(|range| (range.start, range.end.saturating_sub(range.start)));
        let pages = pages.collect();
        let range = |(iova, end): (u64, u64)| IovaRange { iova, len: end - iova };
        let mappings = self
            .seen
            .into_iter()
            .map(|(rid, seen)| Mapping { rid, ranges: seen.into_iter().map(range).collect() });
        Buffer {
            id,
            pages,
            mappings: mappings.collect(),
            dma_bufs: Vec::new(),
            first: self.first,
            since: self.since,
            until: self.until,
            holds: Vec::new(),
        }
    }
}

/// Works out whose each buffer was, from frames, jobs and flips.
pub(super) fn fill_holds(journeys: &mut Journeys) {
    let mut holds: Vec<(usize, Hold)> = Vec::new();
    for (number, capture) in journeys.captures.iter().enumerate() {
        if let (Some(buffer), Some(from)) = (capture.buffer, capture.start) {
            let (engine, until, frame) = (capture.engine, capture.end, Some(number));
            holds.push((buffer, Hold { engine, does: Use::Writes, from, until, frame }));
        }
    }
    for job in &journeys.jobs {
        let frame = job.captures.first().copied();
        let hold = |does| Hold { engine: job.engine, does, from: job.start, until: job.end, frame };
        let read = job.reads.iter().filter(|buffer| !job.writes.contains(buffer));
        holds.extend(read.map(|buffer| (*buffer, hold(Use::Reads))));
        holds.extend(job.writes.iter().map(|buffer| (*buffer, hold(Use::Writes))));
    }
    for flip in &journeys.flips {
        let Some(buffer) = flip.buffer else { continue };
        let (engine, from, until) = (flip.engine, flip.latch, flip.until.or(flip.last_read));
        let frame = flip.captures.first().copied();
        holds.push((buffer, Hold { engine, does: Use::Shows, from, until, frame }));
    }
    for (buffer, hold) in holds {
        if let Some(buffer) = journeys.buffers.get_mut(buffer) {
            buffer.holds.push(hold);
        }
    }
    for buffer in &mut journeys.buffers {
        buffer.holds.sort_by_key(|hold| (hold.from, hold.does, hold.engine));
    }
}
