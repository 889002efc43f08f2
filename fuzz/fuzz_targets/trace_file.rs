//! A trace, and all that `fencepost trace` makes of one. Checksums are right, for who makes a file can compute them: an input is the
//! kinds and contents of its frames.
#![no_main]

use std::io::sink;

use fencepost_fuzz::bytes::Bytes;
use fencepost_trace::file::{Definition, FileWriter, Header, TraceFile};
use fencepost_trace::journey::Journeys;
use fencepost_trace::report::{self, Diff, Query, QueryHead, Report};
use fencepost_trace::{Event, html, perfetto, svg};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(trace) = TraceFile::read(&file(data)[..]) else { return };
    let journeys = Journeys::build(&trace);
    let report = Report::new(&trace, &journeys);
    report.write_text(&mut sink()).expect("it takes everything");
    report.objections(1);
    let diff = Diff::new([&trace, &trace], [&report, &report]);
    assert!(diff.regressions(1.0).is_empty(), "a trace is no worse than itself");
    diff.write_markdown(&mut sink()).expect("it takes everything");
    report::write_jsonl(&trace, &mut sink()).expect("it takes everything");
    perfetto::write(&trace, &journeys, &mut sink()).expect("it takes everything");
    html::write(&trace, &journeys, &mut sink()).expect("it takes everything");
    // A frame of which nothing is known has no picture.
    let _ = svg::write(&trace, &journeys, 0, &mut sink());
    for query in [Query::Frame(0), Query::Buffer(0), Query::Page(1), Query::Inode(1)] {
        let Ok(found) = report::find(&trace, &journeys, query, &[]) else { continue };
        QueryHead::new(&trace, query, &[], &found);
        found
            .iter()
            .filter_map(|one| trace.records.get(one.record))
            .for_each(|one| _ = report::describe(&trace, one));
    }
    written_again(&trace);
});

/// The first byte says whether an input is a file as it is, or frames: of each its kind, its length and its payload.
fn file(data: &[u8]) -> Vec<u8> {
    let mut from = Bytes::new(data);
    if from.u8() & 1 != 0 {
        return from.rest().to_vec();
    }
    let mut file = b"FPTRACE\n\x03\0\0\0".to_vec();
    while !from.is_empty() {
        let (kind, len) = (from.u8(), from.u16());
        let payload = from.take(len.into());
        let len = (payload.len() as u32).to_le_bytes();
        let sum = crc32fast::hash(&[&[kind][..], &len, payload].concat());
        file.extend([&[kind][..], &len, &sum.to_le_bytes(), payload].concat());
    }
    file
}

/// What was read is written, and read back as the same records.
fn written_again(trace: &TraceFile) {
    let mut bytes = Vec::new();
    let header = Header { limit: None, ..trace.header.clone() };
    let mut writer = FileWriter::new(&mut bytes, &header).expect("memory takes it");
    for format in trace.formats.values() {
        writer.define(&Definition::Format(format.clone())).expect("memory takes it");
    }
    trace.records.iter().try_for_each(|record| writer.record(record)).expect("memory takes it");
    writer.finish().expect("memory takes it");
    let again = TraceFile::read(&bytes[..]).expect("what was written can be read");
    // An event of the guest's whose layout is not known is left out.
    let known =
        |event: &Event| !matches!(event, Event::Guest(guest) if !trace.formats.contains_key(&guest.format));
    let known: Vec<_> = trace.records.iter().filter(|record| known(&record.event)).collect();
    assert!(again.records.iter().eq(known), "records that were written are read back as others");
}
