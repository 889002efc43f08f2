//! Reading a trace file, and what is left of a damaged one.

use std::collections::BTreeMap;
use std::io::Read;

use crate::event::{Accel, Event};
use crate::file::frames::Frames;
use crate::file::{Definition, End, Header, MAGIC, Totals, VERSION, checks, kind};
use crate::guest::{GuestFormat, GuestView};
use crate::{Record, Stamp};

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file itself.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// There is nothing in it.
    #[error("The file is empty")]
    Empty,
    /// Another kind of file.
    #[error("This is not a Fencepost trace")]
    Foreign,
    /// Another version of the format.
    #[error("The trace has format version {0}; this Fencepost reads version {VERSION}")]
    Version(u32),
    /// Nothing can be read without its first frame.
    #[error("The trace's header is damaged")]
    Header,
}

/// Memory that the records and definitions of a trace may take, in bytes, as [`Record::bytes`] counts.
const MEMORY_BYTES: usize = 4 << 30;
/// Damaged places that are reported one by one.
const DAMAGE_TOLD: usize = 64;

/// What is wrong with a file that can be read in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It ends without its last frame: the machine was killed, or the file was cut at this byte.
    Truncated {
        /// Where the readable part ends.
        at: u64,
    },
    /// A frame's checksum or content is wrong; it was left out.
    Frame {
        /// Where it begins.
        at: u64,
    },
    /// So many frames more are damaged.
    More {
        /// How many.
        frames: u64,
    },
    /// It is too large: what is behind this byte was left out.
    Large {
        /// Where it was left.
        at: u64,
    },
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Damage::Truncated { at } => write!(f, "The trace is not complete: it ends at byte {at}"),
            Damage::Frame { at } => write!(f, "The frame at byte {at} is damaged and was left out"),
            Damage::More { frames } => write!(f, "{frames} more frames are damaged and were left out"),
            Damage::Large { at } => {
                write!(f, "The trace takes too much memory: what is behind byte {at} was left out")
            }
        }
    }
}

/// A trace in memory.
#[derive(Clone, Debug)]
pub struct TraceFile {
    /// What was traced.
    pub header: Header,
    /// Layouts of the guest's tracepoints by id.
    pub formats: BTreeMap<u32, GuestFormat>,
    /// Names of the guest's threads.
    pub tasks: BTreeMap<u32, String>,
    /// All records by time; of one time, in the order of the file.
    pub records: Vec<Record>,
    /// What the last frame says; absent from an incomplete file.
    pub totals: Option<Totals>,
    /// The counters' values, in the order of [`Header::counters`]; absent from an incomplete file.
    pub counted: Vec<Vec<u64>>,
    /// What could not be read.
    pub damage: Vec<Damage>,
}

impl TraceFile {
    /// Reads a trace, leaving out what is damaged. The file is read piece by piece, and of a trace that takes more than 4 GiB of memory
    /// the begin alone.
    pub fn read(from: impl Read) -> Result<TraceFile, ReadError> {
        Self::read_within(from, MEMORY_BYTES)
    }

    /// The same for traces that take up to `memory` bytes.
    pub(super) fn read_within(from: impl Read, memory: usize) -> Result<TraceFile, ReadError> {
        let mut frames = Frames::new(from);
        // What is no trace may be large, or have no end.
        match &frames.take(MAGIC.len())?[..] {
            magic if *magic == MAGIC => {}
            [] => return Err(ReadError::Empty),
            _ => return Err(ReadError::Foreign),
        };
        let version = frames.take(4)?.try_into().map(u32::from_le_bytes).map_err(|_| ReadError::Header)?;
        if version != VERSION {
            return Err(ReadError::Version(version));
        }
        let first = frames.next()?.filter(|frame| frame.kind == kind::HEADER);
        let payload = first.and_then(|frame| frame.payload).ok_or(ReadError::Header)?;
        let header: Header = serde_json::from_slice(payload).map_err(|_| ReadError::Header)?;
        if !checks::heads(&header) {
            return Err(ReadError::Header);
        }
        let mut trace = TraceFile {
            header,
            formats: BTreeMap::new(),
            tasks: BTreeMap::new(),
            records: Vec::new(),
            totals: None,
            counted: Vec::new(),
            damage: Vec::new(),
        };
        trace.take_all(&mut frames, memory)?;
        // Guest events come in later than what the host saw meanwhile.
        trace.records.sort_by_key(|record| record.stamp);
        Ok(trace)
    }

    fn take_all(&mut self, frames: &mut Frames<impl Read>, memory: usize) -> Result<(), ReadError> {
        let mut left = memory;
        let mut more = 0u64;
        let mut large = None;
        while let Some(frame) = frames.next()? {
            match frame.payload.and_then(|payload| self.take(frame.kind, payload, left)) {
                Some(Taken::Bytes(bytes)) => left = left.saturating_sub(bytes),
                Some(Taken::TooLarge) => {
                    large = Some(frame.at);
                    break;
                }
                None if self.damage.len() < DAMAGE_TOLD => self.damage.push(Damage::Frame { at: frame.at }),
                None => more = more.saturating_add(1),
            }
        }
        self.damage.extend((more > 0).then_some(Damage::More { frames: more }));
        match large {
            Some(at) => self.damage.push(Damage::Large { at }),
            None if self.totals.is_none() || frames.goes_on()? => {
                self.damage.push(Damage::Truncated { at: frames.at() });
            }
            None => {}
        }
        Ok(())
    }

    /// What was counted: who, what, and how many where the file has its end.
    pub fn counters(&self) -> impl Iterator<Item = (&str, &str, Option<u64>)> {
        self.header.counters.iter().enumerate().flat_map(move |(at, set)| {
            let values = self.counted.get(at);
            set.names.iter().enumerate().map(move |(name_at, name)| {
                (&set.of[..], &name[..], values.and_then(|values| values.get(name_at)).copied())
            })
        })
    }

    /// How often the machine moved between back ends.
    fn moves(&self) -> usize {
        self.records.iter().filter(|record| matches!(record.event, Event::Moved { .. })).count()
    }

    /// Whether all stamps are exact cycles.
    pub fn exact(&self) -> bool {
        self.header.accel == Accel::Soft && self.moves() == 0
    }

    /// One line that says what the stamps are worth; every output shows it.
    pub fn stamps(&self) -> String {
        let moves = self.moves();
        match moves {
            0 => self.header.stamps(),
            _ => format!(
                "exact cycles and stamps of the guest's TSC by turns, {} MHz: the machine moved between soft and kvm {moves} times",
                self.header.tsc_hz / 1_000_000
            ),
        }
    }

    /// A guest event with its layout; `None` for other events, and where the layout was lost.
    pub fn guest<'a>(&'a self, record: &'a Record) -> Option<GuestView<'a>> {
        let Event::Guest(event) = &record.event else { return None };
        let format = self.formats.get(&event.format)?;
        Some(GuestView { format, event })
    }

    /// Takes a frame that may take `left` bytes of memory; nothing if it is damaged.
    fn take(&mut self, kind: u8, payload: &[u8], left: usize) -> Option<Taken> {
        match kind {
            kind::RECORDS => {
                let records = records(payload)?;
                let bytes = records.iter().map(Record::bytes).fold(0, usize::saturating_add);
                if bytes > left {
                    return Some(Taken::TooLarge);
                }
                self.records.extend(records);
                Some(Taken::Bytes(bytes))
            }
            kind::DEFINITION => {
                let definition: Definition = serde_json::from_slice(payload).ok()?;
                if !checks::defines(&definition) {
                    return None;
                }
                let bytes = definition.size();
                if bytes > left {
                    return Some(Taken::TooLarge);
                }
                match definition {
                    Definition::Format(format) => _ = self.formats.insert(format.id, format),
                    Definition::Task { pid, name } => _ = self.tasks.insert(pid, name),
                }
                Some(Taken::Bytes(bytes))
            }
            kind::END => {
                let end: End = serde_json::from_slice(payload).ok()?;
                (self.totals, self.counted) = (Some(end.totals), end.counters);
                Some(Taken::Bytes(0))
            }
            _ => None,
        }
    }
}

/// What became of a frame.
enum Taken {
    /// It takes so many bytes of memory.
    Bytes(usize),
    /// There is no room for it.
    TooLarge,
}

fn records(mut payload: &[u8]) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    let mut stamp = Stamp::default();
    while !payload.is_empty() {
        let ((cycles, ns, event), rest): ((i64, i64, Event), _) = postcard::take_from_bytes(payload).ok()?;
        if !checks::is_sound(&event) {
            return None;
        }
        stamp =
            Stamp { cycles: stamp.cycles.wrapping_add(cycles as u64), ns: stamp.ns.wrapping_add(ns as u64) };
        records.push(Record { stamp, event });
        payload = rest;
    }
    Some(records)
}
