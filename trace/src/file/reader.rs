//! Reading a trace file, and what is left of a damaged one.

use std::collections::BTreeMap;
use std::io::Read;

use crate::event::{Accel, Event};
use crate::file::{Definition, FRAME_HEADER_BYTES, Header, MAGIC, Totals, VERSION, checksum, kind};
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
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Damage::Truncated { at } => write!(f, "The trace is not complete: it ends at byte {at}"),
            Damage::Frame { at } => write!(f, "The frame at byte {at} is damaged and was left out"),
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
    /// What could not be read.
    pub damage: Vec<Damage>,
}

impl TraceFile {
    /// Reads a trace, leaving out what is damaged.
    pub fn read(mut from: impl Read) -> Result<TraceFile, ReadError> {
        let mut bytes = Vec::new();
        // What is no trace may be large, or have no end.
        from.by_ref().take(MAGIC.len() as u64).read_to_end(&mut bytes)?;
        match bytes == MAGIC {
            true => from.read_to_end(&mut bytes)?,
            false if bytes.is_empty() => return Err(ReadError::Empty),
            false => return Err(ReadError::Foreign),
        };
        let rest = bytes.get(MAGIC.len()..).unwrap_or_default();
        let version =
            rest.get(..4).and_then(|v| v.try_into().ok()).map(u32::from_le_bytes).ok_or(ReadError::Header)?;
        if version != VERSION {
            return Err(ReadError::Version(version));
        }
        let mut frames = Frames::new(&bytes, MAGIC.len() + 4);
        let header = match frames.next() {
            Some(Frame { at, kind: kind::HEADER, payload: Some(payload) }) if at == MAGIC.len() + 4 => {
                serde_json::from_slice(payload).map_err(|_| ReadError::Header)?
            }
            _ => return Err(ReadError::Header),
        };
        let mut trace = TraceFile {
            header,
            formats: BTreeMap::new(),
            tasks: BTreeMap::new(),
            records: Vec::new(),
            totals: None,
            damage: Vec::new(),
        };
        while let Some(frame) = frames.next() {
            let taken = frame.payload.is_some_and(|payload| trace.take(frame.kind, payload));
            if !taken {
                trace.damage.push(Damage::Frame { at: frame.at as u64 });
            }
        }
        if trace.totals.is_none() || frames.at < bytes.len() {
            trace.damage.push(Damage::Truncated { at: frames.at as u64 });
        }
        // Guest events come in later than what the host saw meanwhile.
        trace.records.sort_by_key(|record| record.stamp);
        Ok(trace)
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

    fn take(&mut self, kind: u8, payload: &[u8]) -> bool {
        match kind {
            kind::RECORDS => match records(payload) {
                Some(records) => self.records.extend(records),
                None => return false,
            },
            kind::DEFINITION => match serde_json::from_slice(payload) {
                Ok(Definition::Format(format)) => {
                    self.formats.insert(format.id, format);
                }
                Ok(Definition::Task { pid, name }) => {
                    self.tasks.insert(pid, name);
                }
                Err(_) => return false,
            },
            kind::END => match serde_json::from_slice(payload) {
                Ok(totals) => self.totals = Some(totals),
                Err(_) => return false,
            },
            _ => return false,
        }
        true
    }
}

fn records(mut payload: &[u8]) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    let mut stamp = Stamp::default();
    while !payload.is_empty() {
        let ((cycles, ns, event), rest): ((i64, i64, Event), _) = postcard::take_from_bytes(payload).ok()?;
        stamp =
            Stamp { cycles: stamp.cycles.wrapping_add(cycles as u64), ns: stamp.ns.wrapping_add(ns as u64) };
        records.push(Record { stamp, event });
        payload = rest;
    }
    Some(records)
}

struct Frame<'a> {
    at: usize,
    kind: u8,
    /// Absent when the checksum is wrong.
    payload: Option<&'a [u8]>,
}

/// Frames are written long before they are this long: a search takes what says that it is longer for no frame.
const LONGEST_FRAME: usize = 1 << 20;

struct Frames<'a> {
    bytes: &'a [u8],
    /// Where the next frame begins; at the end, where the readable part ends.
    at: usize,
    /// Bytes that may still be checked in search of a frame behind a damaged one; none when there is no other.
    search: usize,
}

impl<'a> Frames<'a> {
    fn new(bytes: &'a [u8], at: usize) -> Self {
        Frames { bytes, at, search: bytes.len().saturating_mul(4) }
    }

    fn next(&mut self) -> Option<Frame<'a>> {
        let at = self.at;
        let (frame, end) = match self.frame(at) {
            Some(whole) => whole,
            None => {
                // Its length is damaged, or the file is cut.
                let end = self.find(at + 1)?;
                (Frame { at, kind: 0, payload: None }, end)
            }
        };
        let lost = frame.payload.is_none() && end < self.bytes.len() && !self.is_sound(end);
        self.at = if lost { self.find(at + 1).unwrap_or(end) } else { end };
        Some(frame)
    }

    /// The frame at a place, and the place after it; none where there cannot be one.
    fn frame(&self, at: usize) -> Option<(Frame<'a>, usize)> {
        let rest = self.bytes.get(at..)?;
        let head = rest.get(..FRAME_HEADER_BYTES)?;
        let word = |at: usize| head.get(at..at + 4).and_then(|w| w.try_into().ok()).map(u32::from_le_bytes);
        let (kind, length, crc) = (*head.first()?, word(1)? as usize, word(5)?);
        let payload = rest.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES.checked_add(length)?)?;
        let sound = checksum(kind, payload) == crc;
        Some((Frame { at, kind, payload: sound.then_some(payload) }, at + FRAME_HEADER_BYTES + length))
    }

    fn is_sound(&self, at: usize) -> bool {
        self.frame(at).is_some_and(|(frame, _)| frame.payload.is_some())
    }

    /// The first place from `from` on where a sound frame begins.
    fn find(&mut self, from: usize) -> Option<usize> {
        if self.search == 0 {
            return None;
        }
        for at in from..self.bytes.len() {
            let Some(head) = self.bytes.get(at..at + FRAME_HEADER_BYTES) else { break };
            let length = head.get(1..5).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes);
            let length = length as usize;
            let likely = matches!(head.first(), Some(&(kind::RECORDS | kind::DEFINITION | kind::END)));
            if !likely || length > LONGEST_FRAME.min(self.bytes.len() - at) {
                continue;
            }
            self.search = self.search.saturating_sub(length);
            if self.search == 0 {
                break;
            }
            if self.is_sound(at) {
                return Some(at);
            }
        }
        self.search = 0;
        None
    }
}
