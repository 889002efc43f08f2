//! The stream of frames from the guest's agent.

use std::collections::BTreeMap;

use fencepost_time::Tsc;

use serde::{Deserialize, Serialize};

use super::format::{Format, number};
use super::page::{self, PageLayout};
use crate::file::Definition;
use crate::guest::GuestEvent;

/// Kinds of frames.
pub mod kind {
    /// The text of `events/header_page`.
    pub const HEADER_PAGE: u16 = 1;
    /// A line with the system's name, then the text of an event's `format` file.
    pub const FORMAT: u16 = 2;
    /// `saved_cmdlines`: a thread's number and its name in each line.
    pub const TASKS: u16 = 3;
    /// A page of the CPU's ring buffer.
    pub const PAGE: u16 = 4;
    /// How many events of the CPU the guest has lost so far, as a u64.
    pub const LOST: u16 = 5;
}

/// Bytes of a frame's header: kind and CPU as u16, length of the payload as u32, all little-endian.
pub const HEADER_BYTES: usize = 8;
/// The longest payload, in bytes.
pub const FRAME_MAX: usize = 64 << 10;
/// Payloads are filled up to a multiple of this.
const ALIGNMENT: usize = 4;
/// Layouts, threads and CPUs that are remembered.
const FORMATS_MAX: usize = 1024;
const TASKS_MAX: usize = 16 << 10;
pub(crate) const CPUS_MAX: u16 = 1024;
/// Bytes of definitions that are passed on in all, as [`Definition::size`] counts: they are remembered here, and never dropped on the
/// way to the file. A guest's all together have some 50 KiB.
pub const DEFINITIONS_MAX_BYTES: usize = 16 << 20;
/// No thread's name is longer (TASK_COMM_LEN is 16).
pub(crate) const TASK_NAME_MAX: usize = 64;
/// The thread that runs when no other does is not in the kernel's list; the name is what its own text has.
const IDLE: &str = "0 <idle>";

/// What the stream brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// What later events refer to.
    Definition(Definition),
    /// An event, and what the guest's counter read when it happened.
    Event(Tsc, GuestEvent),
    /// The guest lost so many events more.
    Lost(u64),
}

/// Takes the stream byte by byte and says what it brings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Decoder {
    frame: Vec<u8>,
    /// How long `frame` must be before there is something to do.
    wanted: usize,
    /// A frame's header made no sense: where the next begins is not known.
    deaf: bool,
    layout: Option<PageLayout>,
    formats: BTreeMap<u16, Format>,
    tasks: BTreeMap<u32, String>,
    lost: BTreeMap<u16, u64>,
    /// Bytes of definitions so far.
    definitions: usize,
    refused: u64,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Decoder { wanted: HEADER_BYTES, ..Decoder::default() }
    }

    /// Frames, pages and events that made no sense.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// All that it has told of what later events refer to.
    pub fn definitions(&self) -> impl Iterator<Item = Definition> + '_ {
        let formats = self.formats.values().map(|format| Definition::Format(format.guest.clone()));
        let tasks = self.tasks.iter().map(|(&pid, name)| Definition::Task { pid, name: name.clone() });
        formats.chain(tasks)
    }

    /// The next byte begins a frame, whatever came before.
    pub fn restart(&mut self) {
        if !self.frame.is_empty() {
            self.refuse();
        }
        self.frame.clear();
        self.wanted = HEADER_BYTES;
        self.deaf = false;
    }

    /// Takes the stream's next bytes.
    pub fn push(&mut self, mut bytes: &[u8], news: &mut dyn FnMut(News)) {
        while !self.deaf && !bytes.is_empty() {
            let room = self.wanted.saturating_sub(self.frame.len());
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.frame.extend_from_slice(now);
            bytes = later;
            if self.frame.len() >= self.wanted {
                self.step(news);
            }
        }
    }

    /// A header or a whole frame is there.
    fn step(&mut self, news: &mut dyn FnMut(News)) {
        let field = |at: usize, end: usize| self.frame.get(at..end).map_or(0, number);
        let (kind, cpu, length) = (field(0, 2) as u16, field(2, 4) as u16, field(4, HEADER_BYTES) as usize);
        if length > FRAME_MAX || cpu >= CPUS_MAX {
            self.refuse();
            self.deaf = true;
            self.frame.clear();
            return;
        }
        let padded = length.next_multiple_of(ALIGNMENT);
        self.wanted = padded.saturating_add(HEADER_BYTES);
        if self.frame.len() < self.wanted {
            return;
        }
        let frame = std::mem::take(&mut self.frame);
        let payload = frame.get(HEADER_BYTES..HEADER_BYTES.saturating_add(length)).unwrap_or_default();
        if !self.take(kind, cpu, payload, news) {
            self.refuse();
        }
        self.frame = frame;
        self.frame.clear();
        self.wanted = HEADER_BYTES;
    }

    fn take(&mut self, kind: u16, cpu: u16, payload: &[u8], news: &mut dyn FnMut(News)) -> bool {
        match kind {
            kind::HEADER_PAGE => {
                self.layout = std::str::from_utf8(payload).ok().and_then(PageLayout::parse);
                self.layout.is_some()
            }
            kind::FORMAT => self.format(payload, news),
            kind::TASKS => self.tasks(payload, news),
            kind::PAGE => self.page(cpu, payload, news),
            kind::LOST => self.lost(cpu, payload, news),
            _ => false,
        }
    }

    fn format(&mut self, payload: &[u8], news: &mut dyn FnMut(News)) -> bool {
        let text = String::from_utf8_lossy(payload);
        let Some(format) = text.split_once('\n').and_then(|(system, text)| Format::parse(system, text))
        else {
            return false;
        };
        let id = format.guest.id as u16;
        if self.formats.len() >= FORMATS_MAX && !self.formats.contains_key(&id) {
            return false;
        }
        if self.formats.get(&id) != Some(&format) {
            if !self.define(Definition::Format(format.guest.clone()), news) {
                return false;
            }
            self.formats.insert(id, format);
        }
        true
    }

    /// Passes a definition on, if that is within the bound.
    fn define(&mut self, definition: Definition, news: &mut dyn FnMut(News)) -> bool {
        let after = self.definitions.saturating_add(definition.size());
        if after > DEFINITIONS_MAX_BYTES {
            return false;
        }
        self.definitions = after;
        news(News::Definition(definition));
        true
    }

    /// `PID NAME` in each line; only new ones are reported.
    fn tasks(&mut self, payload: &[u8], news: &mut dyn FnMut(News)) -> bool {
        let text = String::from_utf8_lossy(payload);
        for line in std::iter::once(IDLE).chain(text.lines()) {
            let Some((pid, name)) = line.trim_start().split_once(' ') else { return false };
            let Ok(pid) = pid.parse::<u32>() else { return false };
            let known = self.tasks.get(&pid);
            if name.len() > TASK_NAME_MAX || known.is_none() && self.tasks.len() >= TASKS_MAX {
                return false;
            }
            if known.is_none_or(|known| known != name) {
                if !self.define(Definition::Task { pid, name: name.into() }, news) {
                    return false;
                }
                self.tasks.insert(pid, name.into());
            }
        }
        true
    }

    fn page(&mut self, cpu: u16, payload: &[u8], news: &mut dyn FnMut(News)) -> bool {
        let Some(layout) = self.layout else { return false };
        let (formats, mut refused) = (&self.formats, 0u64);
        let result = page::events(layout, payload, &mut |cycles, record| match event(
            formats,
            u32::from(cpu),
            record,
        ) {
            Some(event) => news(News::Event(Tsc(cycles), event)),
            None => refused = refused.saturating_add(1),
        });
        self.refused = self.refused.saturating_add(refused);
        result.is_ok()
    }

    fn lost(&mut self, cpu: u16, payload: &[u8], news: &mut dyn FnMut(News)) -> bool {
        if payload.len() != size_of::<u64>() {
            return false;
        }
        let before = self.lost.entry(cpu).or_default();
        let Some(more) = number(payload).checked_sub(*before) else { return false };
        *before = before.saturating_add(more);
        if more > 0 {
            news(News::Lost(more));
        }
        true
    }

    fn refuse(&mut self) {
        self.refused = self.refused.saturating_add(1);
    }
}

/// A record as an event, if its layout is known and it fits it.
fn event(formats: &BTreeMap<u16, Format>, cpu: u32, record: &[u8]) -> Option<GuestEvent> {
    let format = formats.get(&(number(record.get(..2)?) as u16))?;
    let values = format.values(record)?;
    Some(GuestEvent { format: format.guest.id, cpu, pid: format.pid(record)?, values })
}
