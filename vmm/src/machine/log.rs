//! The machine's trace: every event stamped, recorded, hashed in order, and written out if asked.

use fencepost_time::Cycles;
use fencepost_trace::file::Definition;
use fencepost_trace::{Event, Record, Recorder, Stamp};
use sha2::{Digest, Sha256};

use crate::config::Categories;
use crate::machine::time::TimeBase;
use crate::once::Count;
use crate::outlet::Full;
use crate::stream::{Stream, Written};

/// SHA-256 over the records' bytes as [`Record::encode`] gives them: equal logs have equal digests, whatever built the program.
#[derive(Default)]
struct Digester {
    digest: Sha256,
    /// One record's bytes; kept for its capacity.
    bytes: Vec<u8>,
}

impl Digester {
    fn add(&mut self, stamp: Stamp, event: &Event) {
        self.bytes.clear();
        self.bytes = Record::encode(stamp, event, std::mem::take(&mut self.bytes));
        self.digest.update(&self.bytes);
    }
}

/// Sees every event as it happens, and says whether the recorder keeps it.
pub type Keep = Box<dyn FnMut(&Event) -> bool + Send>;

/// Collects the events of one machine.
pub struct EventLog {
    categories: Categories,
    keep: Option<Keep>,
    recorder: Recorder,
    digester: Option<Digester>,
    /// What a machine that has gone back says again is known.
    events: Count,
    definitions: Count,
    guest_lost: Count,
    /// Events beside those of the machine.
    beside: u64,
    stream: Option<Stream>,
}

/// How much was logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    events: u64,
    definitions: u64,
    guest_lost: u64,
}

impl EventLog {
    /// A log that keeps the newest `capacity` records.
    pub fn new(capacity: usize) -> Self {
        EventLog {
            categories: Categories::default(),
            keep: None,
            recorder: Recorder::new(capacity),
            digester: None,
            events: Count::default(),
            definitions: Count::default(),
            guest_lost: Count::default(),
            beside: 0,
            stream: None,
        }
    }

    /// Has the recorder keep only what `keep` says; digest, count and file are of all events all the same.
    pub fn keep_only(mut self, keep: Keep) -> Self {
        self.keep = Some(keep);
        self
    }

    /// Sends all events of `categories` to `stream`.
    pub fn stream_to(mut self, stream: Stream, categories: Categories) -> Self {
        (self.stream, self.categories) = (Some(stream), categories);
        self
    }

    /// Hashes all events.
    pub fn hashed(mut self) -> Self {
        self.digester = Some(Digester::default());
        self
    }

    /// How much was logged by now.
    pub fn said(&self) -> Said {
        Said {
            events: self.events.now(),
            definitions: self.definitions.now(),
            guest_lost: self.guest_lost.now(),
        }
    }

    /// The machine goes on from where so much was logged.
    pub fn go_back(&mut self, said: Said) {
        self.events.go_back(said.events);
        self.definitions.go_back(said.definitions);
        self.guest_lost.go_back(said.guest_lost);
    }

    /// Whether the machine is where it has been before: it says nothing new.
    pub fn is_known(&self) -> bool {
        self.events.is_known()
    }

    /// Adds an event.
    #[inline]
    pub fn push(&mut self, stamp: Stamp, event: Event) {
        if self.events.add(1) == 0 && self.is_heard() {
            self.add(stamp, event);
        }
    }

    /// Counts so many events that nobody hears.
    pub fn count(&mut self, events: u64) {
        self.events.add(events);
    }

    /// Whether an event does more than count.
    pub fn is_heard(&self) -> bool {
        self.stream.is_some() || self.digester.is_some() || self.recorder.keeps_any()
    }

    /// Adds an event that is not of the machine, which has none like it when it goes over its past again.
    pub fn push_beside(&mut self, stamp: Stamp, event: Event) {
        self.beside += 1;
        self.add(stamp, event);
    }

    fn add(&mut self, stamp: Stamp, event: Event) {
        if let Some(digester) = &mut self.digester {
            digester.add(stamp, &event);
        }
        let kept = self.recorder.keeps_any() && self.keep.as_mut().is_none_or(|keep| keep(&event));
        match self.stream.as_mut().filter(|_| self.categories.has(&event)) {
            Some(stream) if kept => {
                stream.record(Record { stamp, event: event.clone() });
                self.recorder.push(stamp, event);
            }
            Some(stream) => stream.record(Record { stamp, event }),
            None if kept => self.recorder.push(stamp, event),
            None => {}
        }
    }

    /// Adds what later guest events refer to.
    pub fn define(&mut self, definition: Definition) {
        let known = self.definitions.add(1) > 0;
        if let Some(stream) = self.stream.as_mut().filter(|_| !known) {
            stream.define(definition);
        }
    }

    /// The newest records.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.recorder.records()
    }

    /// Has all that was recorded so far written to the file.
    pub fn flush(&mut self) {
        if let Some(stream) = self.stream.as_mut().filter(|_| !self.events.is_known()) {
            stream.flush();
        }
    }

    /// As [`Stream::look`], if there is a file; gives the cycle at which to come again.
    pub fn look(&mut self, time: &TimeBase) -> Option<Cycles> {
        let known = self.is_known();
        self.stream.as_mut().filter(|_| !known).map(|stream| time.cycle_at(stream.look(time.now().ns)))
    }

    /// What happens from now on when the file's writer is behind.
    pub fn set_full(&mut self, full: Full) {
        if let Some(stream) = &mut self.stream {
            stream.set_full(full);
        }
    }

    /// Counts events that the guest lost.
    pub fn guest_lost(&mut self, events: u64) {
        self.guest_lost.add(events);
    }

    /// Ends the log: completes the file. `counted`: what was counted, in the order of the header.
    pub fn finish(self, counted: Vec<Vec<u64>>) -> FinishedLog {
        FinishedLog {
            recorder: self.recorder,
            count: self.events.most() + self.beside,
            guest_lost: self.guest_lost.most(),
            digest: self.digester.map(|digester| hex(&digester.digest.finalize())),
            written: self.stream.map(|stream| stream.finish(self.guest_lost.most(), counted)),
        }
    }
}

/// What is left of a log when the machine has ended.
pub struct FinishedLog {
    /// The newest records.
    pub recorder: Recorder,
    /// How many events there were in all.
    pub count: u64,
    /// How many of its events the guest lost.
    pub guest_lost: u64,
    /// SHA-256 over all events and stamps, in order, in hexadecimal, if it was asked for.
    pub digest: Option<String>,
    /// What became of the trace file, if there is one.
    pub written: Option<Written>,
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use fencepost_trace::file::TraceFile;
    use std::sync::Arc;

    use fencepost_trace::testing::{DISPLAY_ENGINE, header};

    use super::*;

    fn digest_of(events: &[(u64, u64)]) -> String {
        let mut log = EventLog::new(4).hashed();
        for &(cycles, frame) in events {
            log.push(Stamp { cycles, ns: cycles }, Event::Vblank { engine: DISPLAY_ENGINE, frame });
        }
        log.finish(Vec::new()).digest.expect("asked for")
    }

    #[test]
    fn the_digest_depends_on_order_time_and_content() {
        let base = digest_of(&[(1, 1), (2, 2)]);
        assert_eq!(base, digest_of(&[(1, 1), (2, 2)]));
        assert_ne!(base, digest_of(&[(2, 2), (1, 1)]));
        assert_ne!(base, digest_of(&[(1, 1), (3, 2)]));
        assert_ne!(base, digest_of(&[(1, 1), (2, 3)]));
    }

    /// The bytes are postcard's: each number as a varint, an enum as its variant's place, so that another build gives them too.
    #[test]
    fn the_digest_is_of_the_records_bytes_in_postcards_encoding() {
        let mut log = EventLog::new(4).hashed();
        log.push(
            Stamp { cycles: 1, ns: 300 },
            Event::RegisterRead { cpu: 0, rid: 8, offset: 0x10, value: 128 },
        );
        log.push(Stamp { cycles: 2, ns: 301 }, Event::RegisterWrite { cpu: 0, rid: 16, offset: 4, value: 1 });
        let bytes = [1, 0xac, 0x02, 0, 0, 8, 0x10, 0x80, 0x01, 2, 0xad, 0x02, 1, 0, 16, 4, 1];
        assert_eq!(log.finish(Vec::new()).digest, Some(hex(&Sha256::digest(bytes))));
    }

    #[test]
    fn events_that_are_not_kept_are_still_counted() {
        let events = || {
            (0..9).map(|frame| {
                (Stamp { cycles: frame, ns: frame }, Event::Vblank { engine: DISPLAY_ENGINE, frame })
            })
        };
        let odd = |event: &Event| matches!(event, Event::Vblank { frame, .. } if frame % 2 == 1);
        let (mut all, mut some) =
            (EventLog::new(9).hashed(), EventLog::new(9).hashed().keep_only(Box::new(odd)));
        events().for_each(|(stamp, event)| all.push(stamp, event));
        events().for_each(|(stamp, event)| some.push(stamp, event));
        let (all, some) = (all.finish(Vec::new()), some.finish(Vec::new()));
        assert_eq!((&all.digest, all.count), (&some.digest, some.count));
        let kept: Vec<u64> = some.recorder.records().map(|record| record.stamp.cycles).collect();
        assert_eq!((kept, some.recorder.lost()), (vec![1, 3, 5, 7], 0));
    }

    #[test]
    fn the_file_has_every_event_of_its_categories_even_those_the_recorder_dropped() {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let stream = Stream::begin(file.reopen().expect("reopened"), header(), Full::Wait, &Arc::default());
        let stream = stream.expect("begun");
        let mut log = EventLog::new(1).stream_to(stream, "engine".parse().expect("right"));
        for frame in 0..3 {
            log.push(Stamp { cycles: frame, ns: frame }, Event::Vblank { engine: DISPLAY_ENGINE, frame });
            log.push(Stamp { cycles: frame, ns: frame }, Event::MsiRaised { rid: 8, vector: 0 });
        }
        let finished = log.finish(Vec::new());
        assert_eq!((finished.count, finished.recorder.lost()), (6, 5));
        assert_eq!(finished.written.expect("there is a file").result.expect("written").records, 3);
        let trace = TraceFile::read(file.reopen().expect("reopened")).expect("readable");
        let events: Vec<&Event> = trace.records.iter().map(|record| &record.event).collect();
        assert_eq!(
            events,
            [0, 1, 2].map(|frame| Event::Vblank { engine: DISPLAY_ENGINE, frame }).iter().collect::<Vec<_>>()
        );
    }
}
