//! What is written, decoded again. `ci/outputs-test` has Perfetto's own classes decode it too.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::Event;
use crate::timeline::tests::{HOSTILE, trace};

fn written(trace: &TraceFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(trace, &Journeys::build(trace), &mut bytes).expect("memory takes it");
    bytes
}

fn packets(trace: &TraceFile) -> Vec<TracePacket> {
    Trace::decode(&written(trace)[..]).expect("a trace").packet
}

#[test]
fn every_event_is_on_a_track_and_every_slice_ends_on_its_own() {
    let packets = packets(&trace(20, true));
    let mut names: BTreeMap<u64, String> = BTreeMap::new();
    let mut open: BTreeMap<u64, u64> = BTreeMap::new();
    let mut before = 0;
    for packet in &packets {
        assert_eq!(packet.trusted_packet_sequence_id, Some(SEQUENCE));
        if let Some(track) = &packet.track_descriptor {
            let parent = track.parent_uuid;
            assert!(parent.is_none_or(|parent| names.contains_key(&parent)), "{track:?}");
            assert_eq!(names.insert(track.uuid.expect("uuid"), track.name.clone().expect("name")), None);
        }
        let Some(event) = &packet.track_event else { continue };
        let (track, now) = (event.track_uuid.expect("a track"), packet.timestamp.expect("a time"));
        assert!(names.contains_key(&track));
        assert!(before <= now);
        before = now;
        let depth = open.entry(track).or_default();
        match EventType::try_from(event.r#type.expect("a type")).expect("known") {
            EventType::SliceBegin => *depth += 1,
            EventType::SliceEnd => *depth = depth.checked_sub(1).expect("an open slice"),
            _ => {}
        }
        assert!(*depth <= 1, "slices of one track follow each other");
    }
    assert!(open.values().all(|depth| *depth == 0));
    assert!(names.values().any(|name| name.contains(HOSTILE)));
}

#[test]
fn arrows_have_one_begin_and_one_end() {
    let trace = trace(20, true);
    let (mut begins, mut ends) = (BTreeSet::new(), BTreeSet::new());
    for event in packets(&trace).iter().filter_map(|packet| packet.track_event.as_ref()) {
        assert!(event.terminating_flow_ids.iter().all(|id| begins.contains(id) && ends.insert(*id)));
        assert!(event.flow_ids.iter().all(|id| begins.insert(*id)));
    }
    assert_eq!((begins.len(), &begins), (20 * 9, &ends));
}

#[test]
fn stamps_are_those_of_the_trace() {
    let trace = trace(12, true);
    let times: BTreeMap<u64, u64> = trace.records.iter().map(|r| (r.stamp.cycles, r.stamp.ns)).collect();
    let mut seen = 0;
    for packet in packets(&trace) {
        let Some(event) = packet.track_event else { continue };
        for note in &event.debug_annotations {
            if note.name.as_deref() == Some("cycles") {
                let Some(Annotated::Unsigned(cycles)) = note.value else { panic!("{note:?}") };
                assert_eq!(packet.timestamp, times.get(&cycles).copied());
                seen += 1;
            }
        }
    }
    let guest = trace.records.iter().filter(|one| matches!(one.event, Event::Guest(_))).count();
    assert!(seen > guest + 12 * 5, "{seen}");
}

#[test]
fn the_same_trace_gives_the_same_bytes() {
    assert_eq!(written(&trace(7, true)), written(&trace(7, true)));
    assert_ne!(written(&trace(7, true)), written(&trace(7, false)));
}
