//! Buffers, told apart by their guest pages.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::journey::lives::Ending;
use crate::journey::{At, Journeys, Stage};

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

/// Whose a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// The camera writes it.
    Camera,
    /// The guest has it.
    Guest,
    /// The GPU reads or writes it.
    Gpu,
    /// The display shows it.
    Display,
}

impl Owner {
    /// Its name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Owner::Camera => "camera",
            Owner::Guest => "guest",
            Owner::Gpu => "GPU",
            Owner::Display => "display",
        }
    }
}

/// A time in which one owner had a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// Whose it was.
    pub owner: Owner,
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
                let fresh = name.devices.iter().filter(|device| !known.devices.contains(device)).cloned();
                let fresh: Vec<String> = fresh.collect();
                known.devices.extend(fresh);
            }
            None => self.dma_bufs.push(name.clone()),
        }
    }

    /// Bytes of its pages.
    pub fn bytes(&self) -> u64 {
        self.pages.iter().map(|(_, count)| count.saturating_mul(PAGE_BYTES)).sum()
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

    fn pages(&self) -> impl Iterator<Item = u64> + use<> {
        let last = self.gpa.saturating_add(self.len.saturating_sub(1)) / PAGE_BYTES;
        self.gpa / PAGE_BYTES..=last
    }
}

/// Who wrote a page last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Writer {
    Capture(usize),
    Job(usize),
}

#[derive(Clone, Copy, Debug)]
struct Page {
    buffer: usize,
    writer: Option<Writer>,
}

/// All pages that devices accessed.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// By number.
    pages: BTreeMap<u64, Page>,
    buffers: Vec<Known>,
}

#[derive(Debug, Default)]
struct Known {
    pages: BTreeSet<u64>,
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
        let mut shares: BTreeMap<usize, usize> = BTreeMap::new();
        for (first, count) in &ending.pages {
            for (_, page) in self.pages.range(*first..first.saturating_add(*count)) {
                *shares.entry(page.buffer).or_default() += 1;
            }
        }
        for (buffer, share) in shares {
            if let Some(known) = self.buffers.get_mut(buffer).filter(|known| 2 * share >= known.pages.len()) {
                known.until.get_or_insert(ending.at);
            }
        }
    }

    /// The buffer that has a page.
    fn owner(&self, page: u64) -> Option<usize> {
        let buffer = self.pages.get(&page)?.buffer;
        self.buffers.get(buffer)?.until.is_none().then_some(buffer)
    }

    /// `writer` wrote all of `accesses`, which are one buffer. Gives the buffer.
    pub fn write(&mut self, accesses: &[Access], writer: Writer) -> Option<usize> {
        let buffer = self.group(accesses)?;
        for page in accesses.iter().filter(|a| a.counts()).flat_map(Access::pages) {
            if let Some(known) = self.pages.get_mut(&page) {
                known.writer = Some(writer);
            }
        }
        Some(buffer)
    }

    /// A device read all of `accesses`, from any number of buffers. Gives the buffers and who wrote them, each once.
    pub fn read(&mut self, accesses: &[Access]) -> (Vec<usize>, Vec<Writer>) {
        let unknown =
            |pages: &Pages, access: &Access| !access.pages().any(|page| pages.owner(page).is_some());
        let fresh: Vec<Access> =
            accesses.iter().filter(|a| a.counts() && unknown(self, a)).copied().collect();
        self.group(&fresh);
        let (mut buffers, mut writers) = (Vec::new(), Vec::new());
        for access in accesses.iter().filter(|a| a.counts()) {
            for page in access.pages() {
                let Some(known) = self.pages.get(&page) else { continue };
                if let Some(buffer) = self.owner(page)
                    && !buffers.contains(&buffer)
                {
                    buffers.push(buffer);
                }
                if let Some(writer) = known.writer
                    && writers.last() != Some(&writer)
                    && !writers.contains(&writer)
                {
                    writers.push(writer);
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
        let pages: BTreeSet<u64> = accesses.iter().filter(|a| a.counts()).flat_map(Access::pages).collect();
        let first = accesses.iter().find(|a| a.counts())?.at;
        let mut shares: BTreeMap<usize, usize> = BTreeMap::new();
        for buffer in pages.iter().filter_map(|page| self.owner(*page)) {
            *shares.entry(buffer).or_default() += 1;
        }
        let most = shares.into_iter().max_by_key(|(buffer, share)| (*share, std::cmp::Reverse(*buffer)));
        let same = most.filter(|(buffer, share)| {
            let known = self.buffers.get(*buffer).map_or(0, |known| known.pages.len());
            2 * share >= pages.len().min(known)
        });
        let buffer = match same {
            Some((buffer, _)) => buffer,
            None => {
                let ended =
                    pages.iter().filter_map(|page| self.buffers.get(self.pages.get(page)?.buffer)?.until);
                let since = ended.max();
                self.buffers.push(Known { first, since, ..Known::default() });
                self.buffers.len() - 1
            }
        };
        for page in &pages {
            let ended = self.owner(*page).is_none();
            let known = self.pages.entry(*page).or_insert(Page { buffer, writer: None });
            if known.buffer != buffer {
                *known = Page { buffer, writer: known.writer.filter(|_| ended) };
            }
        }
        if let Some(known) = self.buffers.get_mut(buffer) {
            known.pages.extend(pages);
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

impl Known {
    fn finish(self, id: usize) -> Buffer {
        let mut pages: Vec<(u64, u64)> = Vec::new();
        for page in self.pages {
            match pages.last_mut() {
                Some((first, count)) if *first + *count == page => *count += 1,
                _ => pages.push((page, 1)),
            }
        }
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
    for frame in &journeys.frames {
        let Some(source) = frame.source else { continue };
        let frame_number = Some(frame.number);
        if let Some(from) = frame.at(Stage::FrameStart) {
            holds.push((
                source,
                Hold { owner: Owner::Camera, from, until: frame.at(Stage::FrameEnd), frame: frame_number },
            ));
        }
    }
    for job in &journeys.jobs {
        let frame = job.captures.first().copied();
        for buffer in job.reads.iter().chain(&job.writes) {
            holds.push((*buffer, Hold { owner: Owner::Gpu, from: job.start, until: job.end, frame }));
        }
    }
    for (number, flip) in journeys.flips.iter().enumerate() {
        let Some(buffer) = flip.buffer else { continue };
        let until = journeys.flips.get(number + 1).map(|next| next.latch).or(flip.last_read);
        let frame = flip.captures.first().copied();
        holds.push((buffer, Hold { owner: Owner::Display, from: flip.latch, until, frame }));
    }
    for (buffer, hold) in holds {
        if let Some(buffer) = journeys.buffers.get_mut(buffer) {
            buffer.holds.push(hold);
        }
    }
    for buffer in &mut journeys.buffers {
        buffer.holds.sort_by_key(|hold| (hold.from, hold.owner));
    }
}
