//! The trace on its way to the file: batches to a thread that encodes and writes, with a bound between.
//!
//! Under `soft` the machine waits when the writer is behind, so that what is in the file depends on the guest alone. Under `kvm` time
//! runs on, and waiting would show in the guest: there the batch is lost and its events are counted.

use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use fencepost_trace::Record;
use fencepost_trace::file::{Definition, FileWriter, Header, Totals};

/// Records in a batch.
const BATCH_RECORDS: usize = 512;
/// Batches between the machine and the writer: with those in hand at most about 6 MiB of device events.
const BATCHES: usize = 64;
/// A batch is handed on when its first record is this old, in guest time, so that a crash loses little.
const BATCH_NS: u64 = 50_000_000;

enum Item {
    Records(Vec<Record>),
    Definition(Definition),
    End { lost: u64, guest_lost: u64 },
}

/// A trace file that is being written.
pub struct Stream {
    batch: Vec<Record>,
    lossless: bool,
    lost: u64,
    sender: SyncSender<Item>,
    writer: JoinHandle<io::Result<Totals>>,
}

/// What became of a trace file.
#[derive(Debug)]
pub struct Written {
    /// Events that are not in the file because the writer was behind.
    pub lost: u64,
    /// What its last frame says, or why it is incomplete.
    pub result: io::Result<Totals>,
}

impl Stream {
    /// Begins the file. `lossless`: wait for the writer rather than lose events.
    pub fn begin(file: File, header: &Header, lossless: bool) -> io::Result<Stream> {
        let out = FileWriter::new(file, header)?;
        let (sender, receiver) = sync_channel(BATCHES);
        let writer =
            std::thread::Builder::new().name("trace".into()).spawn(move || write_all(out, receiver))?;
        Ok(Stream { batch: Vec::with_capacity(BATCH_RECORDS), lossless, lost: 0, sender, writer })
    }

    /// Adds a record.
    pub fn record(&mut self, record: Record) {
        let old =
            self.batch.first().is_some_and(|first| record.stamp.ns.saturating_sub(first.stamp.ns) > BATCH_NS);
        self.batch.push(record);
        if old || self.batch.len() >= BATCH_RECORDS {
            self.hand_on();
        }
    }

    /// Adds what later guest events refer to. Never lost: without it they mean nothing.
    pub fn define(&mut self, definition: Definition) {
        self.hand_on();
        // A writer that gave up tells why at the end.
        let _ = self.sender.send(Item::Definition(definition));
    }

    /// Completes the file. `guest_lost`: events that the guest lost itself.
    pub fn finish(mut self, guest_lost: u64) -> Written {
        self.hand_on();
        let _ = self.sender.send(Item::End { lost: self.lost, guest_lost });
        drop(self.sender);
        let result =
            self.writer.join().unwrap_or_else(|_| Err(io::Error::other("the writer of the trace crashed")));
        Written { lost: self.lost, result }
    }

    fn hand_on(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_RECORDS));
        let count = batch.len() as u64;
        if self.lossless {
            // As above.
            let _ = self.sender.send(Item::Records(batch));
        } else if let Err(TrySendError::Full(_)) = self.sender.try_send(Item::Records(batch)) {
            self.lost = self.lost.saturating_add(count);
        }
    }
}

fn write_all(mut out: FileWriter<File>, receiver: Receiver<Item>) -> io::Result<Totals> {
    for item in receiver {
        match item {
            Item::Records(batch) => batch.iter().try_for_each(|record| out.record(record))?,
            Item::Definition(definition) => out.define(&definition)?,
            Item::End { lost, guest_lost } => out.lost(lost, guest_lost),
        }
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use fencepost_trace::file::{Damage, TraceFile};
    use fencepost_trace::testing::header;
    use fencepost_trace::{Event, Stamp};

    use super::*;

    fn record(frame: u64) -> Record {
        Record { stamp: Stamp { cycles: frame, ns: frame }, event: Event::Vblank { frame } }
    }

    #[test]
    fn a_lossless_stream_writes_everything_in_order() {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let mut stream = Stream::begin(file.reopen().expect("reopened"), &header(), true).expect("begun");
        let count = (BATCHES * BATCH_RECORDS * 3) as u64;
        (0..count).for_each(|frame| stream.record(record(frame)));
        let written = stream.finish(5);
        assert_eq!(written.result.expect("written"), Totals { records: count, lost: 0, guest_lost: 5 });
        let trace = TraceFile::read(file.reopen().expect("reopened")).expect("readable");
        assert!(trace.damage.is_empty());
        assert!(trace.records.iter().zip(0..count).all(|(have, frame)| *have == record(frame)));
    }

    #[test]
    fn a_writer_that_is_behind_costs_events_that_are_counted() {
        // A pipe that nobody reads yet holds up the writer after 64 KiB.
        let (mut reader, pipe) = std::io::pipe().expect("a pipe");
        let file = File::from(std::os::fd::OwnedFd::from(pipe));
        let mut stream = Stream::begin(file, &header(), false).expect("begun");
        let count = (BATCHES * BATCH_RECORDS * 8) as u64;
        (0..count).for_each(|frame| stream.record(record(frame)));
        let read = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        let written = stream.finish(0);
        let totals = written.result.expect("written");
        assert!(written.lost > 0, "the bound was never met");
        assert_eq!((totals.lost, totals.records + totals.lost), (written.lost, count));
        let bytes = read.join().expect("no panic").expect("read");
        let trace = TraceFile::read(&bytes[..]).expect("readable");
        assert_eq!(trace.records.len() as u64, totals.records);
    }

    #[test]
    fn a_full_disk_ends_the_file_and_not_the_machine() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("every Linux has it");
        assert!(Stream::begin(full, &header(), true).is_err(), "the header is written at once");
        let (reader, pipe) = std::io::pipe().expect("a pipe");
        let mut stream =
            Stream::begin(File::from(std::os::fd::OwnedFd::from(pipe)), &header(), true).expect("begun");
        drop(reader);
        (0..100_000).for_each(|frame| stream.record(record(frame)));
        assert!(stream.finish(0).result.is_err());
    }

    #[test]
    fn what_was_written_before_a_crash_is_readable() {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let mut stream = Stream::begin(file.reopen().expect("reopened"), &header(), true).expect("begun");
        (0..200_000).for_each(|frame| stream.record(record(frame)));
        // Never finished, as by SIGKILL; joining the thread only makes sure that what it was given is written.
        let Stream { sender, writer, .. } = stream;
        drop(sender);
        writer.join().expect("no panic").expect("written");
        let mut bytes = std::fs::read(file.path()).expect("readable");
        let end = bytes.len() - 60;
        bytes.truncate(end);
        let trace = TraceFile::read(&bytes[..]).expect("readable");
        assert!(matches!(trace.damage[..], [Damage::Truncated { .. }]));
        assert!(trace.records.len() > 150_000, "{}", trace.records.len());
    }
}
