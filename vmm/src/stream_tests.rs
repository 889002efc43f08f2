//! The stream to a file that takes everything, to one that takes nothing, and to one that breaks.

use std::io::Read;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use fencepost_trace::file::{Damage, TraceFile};
use fencepost_trace::testing::{DISPLAY_ENGINE, header};
use fencepost_trace::{Event, GuestEvent, GuestFormat, Stamp, Value};

use super::*;

/// Device events that wait at most.
const ROOM_RECORDS: usize = WAITING_BYTES / size_of::<Record>();

fn record(frame: u64) -> Record {
    Record {
        stamp: Stamp { cycles: frame, ns: frame },
        event: Event::Vblank { engine: DISPLAY_ENGINE, frame },
    }
}

#[test]
fn a_lossless_stream_writes_everything_in_order() {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    let mut stream = Stream::begin(file.reopen().expect("reopened"), header(), Full::Wait, &Arc::default())
        .expect("begun");
    let count = (ROOM_RECORDS * 3) as u64;
    (0..count).for_each(|frame| stream.record(record(frame)));
    let written = stream.finish(5, Vec::new());
    assert_eq!(
        written.result.expect("written"),
        Totals { records: count, guest_lost: 5, ..Totals::default() }
    );
    let trace = TraceFile::read(file.reopen().expect("reopened")).expect("readable");
    assert!(trace.damage.is_empty());
    assert!(trace.records.iter().zip(0..count).all(|(have, frame)| *have == record(frame)));
}

#[test]
fn a_writer_that_is_behind_costs_events_that_are_counted() {
    // A pipe that nobody reads yet holds up the writer after 64 KiB.
    let (mut reader, pipe) = std::io::pipe().expect("a pipe");
    let file = File::from(std::os::fd::OwnedFd::from(pipe));
    let mut stream = Stream::begin(file, header(), Full::Drop, &Arc::default()).expect("begun");
    let count = (ROOM_RECORDS * 8) as u64;
    (0..count).for_each(|frame| stream.record(record(frame)));
    let read = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes)
    });
    let written = stream.finish(0, Vec::new());
    let totals = written.result.expect("written");
    assert!(written.lost > 0, "the bound was never met");
    assert_eq!((totals.lost, totals.records + totals.lost), (written.lost, count));
    let bytes = read.join().expect("no panic").expect("read");
    let trace = TraceFile::read(&bytes[..]).expect("readable");
    assert_eq!(trace.records.len() as u64, totals.records);
}

fn definition(id: u32) -> Definition {
    let fields = vec!["first".into(), "second".into()];
    Definition::Format(GuestFormat { id, system: "demo".into(), name: format!("tick{id}"), fields })
}

fn guest_record(cycles: u64, format: u32) -> Record {
    let event = GuestEvent { format, cpu: 0, pid: 1, values: vec![] };
    Record { stamp: Stamp { cycles, ns: cycles }, event: Event::Guest(Box::new(event)) }
}

/// What `work` gives for a stream to a pipe that nobody reads meanwhile, which waits for nothing; then what the pipe got.
fn unread(work: impl FnOnce(&mut Stream) + Send + 'static) -> (Written, Vec<u8>) {
    let (mut reader, pipe) = std::io::pipe().expect("a pipe");
    let file = File::from(std::os::fd::OwnedFd::from(pipe));
    let (told, done) = channel();
    let machine = std::thread::spawn(move || {
        let mut stream = Stream::begin(file, header(), Full::Drop, &Arc::default()).expect("begun");
        work(&mut stream);
        told.send(()).expect("somebody waits");
        stream.finish(0, Vec::new())
    });
    done.recv_timeout(Duration::from_secs(120)).expect("nothing waits for the writer");
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).expect("read");
    (machine.join().expect("no panic"), bytes)
}

/// More records than there is room for.
fn fill(stream: &mut Stream) -> u64 {
    let count = (ROOM_RECORDS * 4) as u64;
    (0..count).for_each(|frame| stream.record(record(frame)));
    count
}

#[test]
fn definitions_wait_for_no_writer_and_come_before_what_refers_to_them() {
    const FORMATS: u32 = 300;
    let (written, bytes) = unread(|stream| {
        let before = fill(stream);
        for id in 0..FORMATS {
            stream.define(definition(id));
            stream.record(guest_record(before + u64::from(id), id));
        }
    });
    let totals = written.result.expect("written");
    let count = (ROOM_RECORDS * 4) as u64 + u64::from(FORMATS);
    assert!(totals.lost > 0, "the bound was never met");
    assert_eq!(totals.records + totals.lost, count, "each record is in the file or counted");
    let whole = TraceFile::read(&bytes[..]).expect("readable");
    assert_eq!(whole.formats.len(), FORMATS as usize, "no definition is lost");
    // Wherever a crash ends the file.
    for cut in (0..bytes.len()).rev().step_by(997).take(100) {
        let Ok(trace) = TraceFile::read(&bytes[..cut]) else { continue };
        let guest = trace.records.iter().filter(|record| matches!(record.event, Event::Guest(_)));
        assert!(guest.clone().all(|record| trace.guest(record).is_some()), "cut at {cut}");
    }
}

#[test]
fn definitions_beyond_the_bound_are_counted_and_so_are_the_events_without_them() {
    let (written, bytes) = unread(|stream| {
        fill(stream);
        let one = definition(0).size();
        let many = (2 * DEFINITIONS_WAITING_BYTES / one) as u32;
        (0..many).for_each(|id| stream.define(definition(id)));
        assert!(stream.definitions_bytes <= DEFINITIONS_WAITING_BYTES);
        assert!(stream.undefined && stream.definitions.len() < many as usize);
        let lost = stream.lost;
        (0..10).for_each(|id| stream.record(guest_record(0, id)));
        assert_eq!(stream.lost, lost + 10);
    });
    assert_eq!(written.result.expect("written").lost, written.lost);
    let trace = TraceFile::read(&bytes[..]).expect("readable");
    assert!(trace.records.iter().all(|record| !matches!(record.event, Event::Guest(_))));
}

#[test]
fn large_guest_events_fill_a_batch_sooner() {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    let mut stream = Stream::begin(file.reopen().expect("reopened"), header(), Full::Wait, &Arc::default())
        .expect("begun");
    for number in 0..1000 {
        let values = vec![Value::Text("x".repeat(20_000))];
        let event = Event::Guest(Box::new(GuestEvent { format: 1, cpu: 0, pid: 1, values }));
        stream.record(Record { stamp: Stamp { cycles: number, ns: number }, event });
        let waiting: usize = stream.batch.iter().map(Record::bytes).sum();
        assert!(waiting < BATCH_BYTES && waiting == stream.batch_bytes, "{waiting}");
    }
    assert_eq!(stream.finish(0, Vec::new()).result.expect("written").records, 1000);
}

#[test]
fn flushed_records_are_in_the_file_without_another_event() {
    for full in [Full::Drop, Full::Wait] {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let mut stream =
            Stream::begin(file.reopen().expect("reopened"), header(), full, &Arc::default()).expect("begun");
        let limit = Instant::now() + Duration::from_secs(120);
        for count in 1..4 {
            stream.record(record(count));
            stream.flush();
            let records =
                || TraceFile::read(file.reopen().expect("reopened")).map(|trace| trace.records.len());
            while !records().is_ok_and(|records| records as u64 == count) {
                assert!(Instant::now() < limit, "{count} records were flushed");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        assert!(!stream.unwritten);
    }
}

#[test]
fn a_full_disk_ends_the_file_and_not_the_machine() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("every Linux has it");
    assert!(
        Stream::begin(full, header(), Full::Wait, &Arc::default()).is_err(),
        "the header is written at once"
    );
    let (reader, pipe) = std::io::pipe().expect("a pipe");
    let mut stream =
        Stream::begin(File::from(std::os::fd::OwnedFd::from(pipe)), header(), Full::Wait, &Arc::default())
            .expect("begun");
    drop(reader);
    (0..100_000).for_each(|frame| stream.record(record(frame)));
    assert!(stream.finish(0, Vec::new()).result.is_err());
}

#[test]
fn a_machine_that_fails_leaves_all_it_recorded() {
    for full in [Full::Drop, Full::Wait] {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let mut stream =
            Stream::begin(file.reopen().expect("reopened"), header(), full, &Arc::default()).expect("begun");
        (0..5000).for_each(|frame| stream.record(record(frame)));
        drop(stream);
        let trace = TraceFile::read(file.reopen().expect("reopened")).expect("readable");
        assert!(matches!(trace.damage[..], [Damage::Truncated { .. }]), "{:?}", trace.damage);
        assert!(trace.records.iter().eq((0..5000).map(record).collect::<Vec<_>>().iter()));
    }
}

#[test]
fn records_written_before_a_crash_are_readable() {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    let mut stream = Stream::begin(file.reopen().expect("reopened"), header(), Full::Wait, &Arc::default())
        .expect("begun");
    (0..200_000).for_each(|frame| stream.record(record(frame)));
    drop(stream);
    let mut bytes = std::fs::read(file.path()).expect("readable");
    // Within the last frame that was written.
    bytes.truncate(bytes.len() - 60);
    let trace = TraceFile::read(&bytes[..]).expect("readable");
    assert!(matches!(trace.damage[..], [Damage::Truncated { .. }]));
    assert!(trace.records.len() > 150_000, "{}", trace.records.len());
}
