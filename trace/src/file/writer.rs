//! Writing a trace file.
//!
//! The payload of a records frame is, for each record: the stamp's cycles and nanoseconds (the first record's as they are, of the
//! others the difference to the record before it, signed), then the event; all in postcard's encoding.

use std::io::{self, Write};

use crate::file::{Definition, Header, MAGIC, Totals, VERSION, checksum, kind};
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
    totals: Totals,
}

impl<W: Write> FileWriter<W> {
    /// Begins a file.
    pub fn new(mut out: W, header: &Header) -> io::Result<Self> {
        out.write_all(&[&MAGIC[..], &VERSION.to_le_bytes()].concat())?;
        let mut writer = FileWriter {
            out,
            payload: Vec::new(),
            before: Stamp::default(),
            begun_ns: 0,
            totals: Totals::default(),
        };
        writer.frame(kind::HEADER, &serde_json::to_vec(header)?)?;
        writer.out.flush()?;
        Ok(writer)
    }

    /// Adds what later records refer to.
    pub fn define(&mut self, definition: &Definition) -> io::Result<()> {
        self.flush_records()?;
        self.frame(kind::DEFINITION, &serde_json::to_vec(definition)?)
    }

    /// Adds a record.
    pub fn record(&mut self, record: &Record) -> io::Result<()> {
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
        self.totals.records = self.totals.records.saturating_add(1);
        let whole =
            self.payload.len() >= FRAME_BYTES || record.stamp.ns.saturating_sub(self.begun_ns) >= FRAME_NS;
        if whole { self.flush_records() } else { Ok(()) }
    }

    /// Counts events that never came here.
    pub fn lost(&mut self, events: u64, guest_events: u64) {
        self.totals.lost = self.totals.lost.saturating_add(events);
        self.totals.guest_lost = self.totals.guest_lost.saturating_add(guest_events);
    }

    /// Writes out all records so far.
    pub fn flush(&mut self) -> io::Result<()> {
        self.flush_records()?;
        self.out.flush()
    }

    /// Completes the file.
    pub fn finish(mut self) -> io::Result<Totals> {
        self.flush_records()?;
        let totals = serde_json::to_vec(&self.totals)?;
        self.frame(kind::END, &totals)?;
        self.out.flush()?;
        Ok(self.totals)
    }

    fn flush_records(&mut self) -> io::Result<()> {
        if self.payload.is_empty() {
            return Ok(());
        }
        let payload = std::mem::take(&mut self.payload);
        self.before = Stamp::default();
        let result = self.frame(kind::RECORDS, &payload);
        self.payload = payload;
        self.payload.clear();
        result
    }

    fn frame(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        // One write a frame: a crash cannot fall between its parts.
        let crc = checksum(kind, payload).to_le_bytes();
        self.out.write_all(&[&[kind], &length.to_le_bytes()[..], &crc, payload].concat())
    }
}
