//! The machine's trace: every event stamped, recorded, hashed in order, and written out if asked.

use std::hash::{Hash, Hasher};
use std::io::Write;

use fencepost_trace::file::Definition;
use fencepost_trace::{Event, Record, Recorder, Stamp};
use sha2::{Digest, Sha256};

/// Feeds what `#[derive(Hash)]` gives into SHA-256.
///
/// The bytes depend on the types' layout in the source only, so equal logs of one build have equal digests.
#[derive(Default)]
struct DigestHasher(Sha256);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |word, &byte| word << 8 | u64::from(byte))
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

/// Sees every event as it happens, and says whether the recorder keeps it.
pub type Keep = Box<dyn FnMut(&Event) -> bool + Send>;

/// How many definitions are kept: a guest can name as many threads as it likes.
const DEFINITIONS_MAX: usize = 1 << 14;

/// Collects the events of one machine.
pub struct EventLog {
    keep: Option<Keep>,
    recorder: Recorder,
    hasher: DigestHasher,
    count: u64,
    definitions: Vec<Definition>,
    guest_lost: u64,
    file: Option<Box<dyn Write + Send>>,
    file_error: Option<std::io::Error>,
}

impl EventLog {
    /// A log that keeps the newest `capacity` records and writes all of them, one JSON object a line, to `file`.
    pub fn new(capacity: usize, file: Option<Box<dyn Write + Send>>) -> Self {
        EventLog {
            keep: None,
            recorder: Recorder::new(capacity),
            hasher: DigestHasher::default(),
            count: 0,
            definitions: Vec::new(),
            guest_lost: 0,
            file,
            file_error: None,
        }
    }

    /// Has the recorder keep only what `keep` says; digest, count and file are of all events all the same.
    pub fn keep_only(mut self, keep: Keep) -> Self {
        self.keep = Some(keep);
        self
    }

    /// Adds an event.
    pub fn push(&mut self, stamp: Stamp, event: Event) {
        self.count += 1;
        stamp.hash(&mut self.hasher);
        event.hash(&mut self.hasher);
        if let Some(file) = &mut self.file {
            let record = Record { stamp, event: event.clone() };
            let result = serde_json::to_writer(&mut *file, &record)
                .map_err(std::io::Error::from)
                .and_then(|()| file.write_all(b"\n"));
            if let Err(error) = result {
                self.file = None;
                self.file_error = Some(error);
            }
        }
        if self.keep.as_mut().is_none_or(|keep| keep(&event)) {
            self.recorder.push(stamp, event);
        }
    }

    /// Adds what later guest events refer to.
    pub fn define(&mut self, definition: Definition) {
        if self.definitions.len() < DEFINITIONS_MAX {
            self.definitions.push(definition);
        }
    }

    /// Counts events that the guest lost.
    pub fn guest_lost(&mut self, events: u64) {
        self.guest_lost = self.guest_lost.saturating_add(events);
    }

    /// Ends the log: writes out what is buffered.
    pub fn finish(mut self) -> FinishedLog {
        if let Some(Err(error)) = self.file.as_mut().map(|file| file.flush()) {
            self.file_error = Some(error);
        }
        FinishedLog {
            recorder: self.recorder,
            count: self.count,
            definitions: self.definitions,
            guest_lost: self.guest_lost,
            digest: hex(&self.hasher.0.finalize()),
            file_error: self.file_error,
        }
    }
}

/// What is left of a log when the machine has ended.
pub struct FinishedLog {
    /// The newest records.
    pub recorder: Recorder,
    /// How many events there were in all.
    pub count: u64,
    /// What guest events refer to.
    pub definitions: Vec<Definition>,
    /// How many of its events the guest lost.
    pub guest_lost: u64,
    /// SHA-256 over all events and stamps, in order, in hexadecimal.
    pub digest: String,
    /// Why the log file is incomplete, if it is.
    pub file_error: Option<std::io::Error>,
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(events: &[(u64, u64)]) -> String {
        let mut log = EventLog::new(4, None);
        for &(cycles, frame) in events {
            log.push(Stamp { cycles, ns: cycles }, Event::Vblank { frame });
        }
        log.finish().digest
    }

    #[test]
    fn the_digest_depends_on_order_time_and_content() {
        let base = digest_of(&[(1, 1), (2, 2)]);
        assert_eq!(base, digest_of(&[(1, 1), (2, 2)]));
        assert_ne!(base, digest_of(&[(2, 2), (1, 1)]));
        assert_ne!(base, digest_of(&[(1, 1), (3, 2)]));
        assert_ne!(base, digest_of(&[(1, 1), (2, 3)]));
    }

    #[test]
    fn what_is_not_kept_counts_all_the_same() {
        let events = || (0..9).map(|frame| (Stamp { cycles: frame, ns: frame }, Event::Vblank { frame }));
        let odd = |event: &Event| matches!(event, Event::Vblank { frame } if frame % 2 == 1);
        let (mut all, mut some) = (EventLog::new(9, None), EventLog::new(9, None).keep_only(Box::new(odd)));
        events().for_each(|(stamp, event)| all.push(stamp, event));
        events().for_each(|(stamp, event)| some.push(stamp, event));
        let (all, some) = (all.finish(), some.finish());
        assert_eq!((&all.digest, all.count), (&some.digest, some.count));
        let kept: Vec<u64> = some.recorder.records().map(|record| record.stamp.cycles).collect();
        assert_eq!((kept, some.recorder.lost()), (vec![1, 3, 5, 7], 0));
    }

    #[test]
    fn the_file_has_every_event_even_those_the_recorder_dropped() {
        let path = tempfile::NamedTempFile::new().expect("temporary file");
        let file = path.reopen().expect("reopened");
        let mut log = EventLog::new(1, Some(Box::new(file)));
        for frame in 0..3 {
            log.push(Stamp { cycles: frame, ns: frame }, Event::Vblank { frame });
        }
        let finished = log.finish();
        assert_eq!((finished.count, finished.recorder.lost()), (3, 2));
        let text = std::fs::read_to_string(path.path()).expect("readable");
        let frames: Vec<Record> = text.lines().map(|l| serde_json::from_str(l).expect("a record")).collect();
        assert_eq!(frames[2].event, Event::Vblank { frame: 2 });
        assert_eq!(frames.len(), 3);
    }
}
