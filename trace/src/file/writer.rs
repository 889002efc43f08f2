//! Writing a trace file.
//!
//! The payload of a records frame is, for each record: the stamp's cycles and nanoseconds (the first record's as they are, of the
//! others the difference to the record before it, signed), then the event; all in postcard's encoding.

use std::io::{self, Write};

use crate::file::{Definition, End, FRAME_HEADER_BYTES, Header, MAGIC, Totals, VERSION, checksum, kind};
use crate::{Record, Stamp};

/// A records frame is written out when it has grown to this, or spans this much time: a crash loses no more.
const FRAME_BYTES: usize = 64 * 1024;
const FRAME_NS: u64 = 250_000_000;

/// Writes a trace file frame by frame.
pub struct FileWriter<W: Write> {
    out: W,
    payload: Vec<u8>,
    before: Stamp,
    /// The time of the frame's first record.
    begun_ns: u64,
    /// Bytes that may still be written before the last frame.
    room: u64,
    /// A frame had no room: nothing follows but the last.
    full: bool,
    /// Records in `payload`.
    pending: u64,
    totals: Totals,
    counters: Vec<Vec<u64>>,
}

/// Bytes for the last frame without its counters, and for each of those; it always has room.
pub(super) const END_BYTES: u64 = 512;
const COUNTER_BYTES: u64 = 24;

impl<W: Write> FileWriter<W> {
    /// Begins a file. It takes at most [`Header::limit`] bytes, but the header at least: what comes when it is full is counted.
    pub fn new(mut out: W, header: &Header) -> io::Result<Self> {
        let begin = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
        out.write_all(&begin)?;
        let mut writer = FileWriter {
            out,
            payload: Vec::new(),
            before: Stamp::default(),
            begun_ns: 0,
            room: u64::MAX,
            full: false,
            pending: 0,
            totals: Totals::default(),
            counters: Vec::new(),
        };
        let header_bytes = writer.frame(kind::HEADER, &serde_json::to_vec(header)?)?;
        let counters: usize = header.counters.iter().map(|one| one.names.len().saturating_add(1)).sum();
        let end = END_BYTES.saturating_add(COUNTER_BYTES.saturating_mul(counters as u64));
        let begun = header_bytes.saturating_add(begin.len() as u64).saturating_add(end);
        writer.room = header.limit.map_or(u64::MAX, |limit| limit.saturating_sub(begun));
        writer.out.flush()?;
        Ok(writer)
    }

    /// Adds what later records refer to.
    pub fn define(&mut self, definition: &Definition) -> io::Result<()> {
        self.flush_records()?;
        self.frame_within(kind::DEFINITION, &serde_json::to_vec(definition)?).map(|_| ())
    }

    /// Adds a record.
    pub fn record(&mut self, record: &Record) -> io::Result<()> {
        if self.full {
            self.totals.beyond_limit = self.totals.beyond_limit.saturating_add(1);
            return Ok(());
        }
        let delta = Stamp {
            cycles: record.stamp.cycles.wrapping_sub(self.before.cycles),
            ns: record.stamp.ns.wrapping_sub(self.before.ns),
        };
        self.before = record.stamp;
        if self.payload.is_empty() {
            self.begun_ns = record.stamp.ns;
        }
        let entry = (delta.cycles as i64, delta.ns as i64, &record.event);
        self.payload =
            postcard::to_extend(&entry, std::mem::take(&mut self.payload)).map_err(io::Error::other)?;
        self.pending = self.pending.saturating_add(1);
        let whole =
            self.payload.len() >= FRAME_BYTES || record.stamp.ns.saturating_sub(self.begun_ns) >= FRAME_NS;
        if whole { self.flush_records() } else { Ok(()) }
    }

    /// Counts events that never came here.
    pub fn lost(&mut self, events: u64, guest_events: u64) {
        self.totals.lost = self.totals.lost.saturating_add(events);
        self.totals.guest_lost = self.totals.guest_lost.saturating_add(guest_events);
    }

    /// What was counted, in the order of [`Header::counters`].
    pub fn counted(&mut self, counters: Vec<Vec<u64>>) {
        self.counters = counters;
    }

    /// Writes out all records so far.
    pub fn flush(&mut self) -> io::Result<()> {
        self.flush_records()?;
        self.out.flush()
    }

    /// Completes the file.
    pub fn finish(mut self) -> io::Result<Totals> {
        self.flush_records()?;
        let end = End { totals: self.totals, counters: std::mem::take(&mut self.counters) };
        self.frame(kind::END, &serde_json::to_vec(&end)?)?;
        self.out.flush()?;
        Ok(self.totals)
    }

    fn flush_records(&mut self) -> io::Result<()> {
        if self.payload.is_empty() {
            return Ok(());
        }
        let payload = std::mem::take(&mut self.payload);
        self.before = Stamp::default();
        let result = self.frame_within(kind::RECORDS, &payload);
        self.payload = payload;
        self.payload.clear();
        let records = std::mem::take(&mut self.pending);
        let count = if result? { &mut self.totals.records } else { &mut self.totals.beyond_limit };
        *count = count.saturating_add(records);
        Ok(())
    }

    /// Writes a frame if there is room for it, and says whether there was. Where one had none, none follows, so that what is in the file
    /// is all there was up to some time.
    fn frame_within(&mut self, kind: u8, payload: &[u8]) -> io::Result<bool> {
        let bytes = payload.len().saturating_add(FRAME_HEADER_BYTES) as u64;
        self.full |= bytes > self.room;
        if self.full {
            return Ok(false);
        }
        self.room = self.room.saturating_sub(self.frame(kind, payload)?);
        Ok(true)
    }

    /// Writes a frame. Gives its bytes.
    fn frame(&mut self, kind: u8, payload: &[u8]) -> io::Result<u64> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        // One write a frame: a crash cannot fall between its parts.
        let crc = checksum(kind, payload).to_le_bytes();
        let frame = [&[kind], &length.to_le_bytes()[..], &crc, payload].concat();
        self.out.write_all(&frame)?;
        Ok(frame.len() as u64)
    }
}
