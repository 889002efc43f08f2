//! What is written, decoded again. `ci/outputs-test` has Perfetto's own classes and `trace_processor` read it too.

use std::collections::{BTreeMap, BTreeSet};

use super::proto::{Annotated, DebugAnnotation};
use super::*;
use crate::file::Damage;
use crate::guest::{GuestEvent, GuestFormat, Value};
use crate::timeline::tests::{HOSTILE, trace};
use crate::{Event, Record};

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

/// Every event's annotations.
fn notes(packets: &[TracePacket]) -> impl Iterator<Item = (&str, &[DebugAnnotation])> {
    let events = packets.iter().filter_map(|packet| packet.track_event.as_ref());
    events.map(|event| (event.name.as_deref().unwrap_or_default(), &event.debug_annotations[..]))
}

fn named<'a>(list: &'a [DebugAnnotation], name: &str) -> &'a DebugAnnotation {
    let mut all = list.iter().filter(|note| note.name.as_deref() == Some(name));
    let first = all.next().unwrap_or_else(|| panic!("no {name} in {list:?}"));
    assert_eq!(all.next(), None, "of two of one name the reader keeps one");
    first
}

fn values(list: &[DebugAnnotation]) -> Vec<Annotated> {
    list.iter().map(|one| one.value.clone().expect("a value")).collect()
}

#[test]
fn repeated_annotations_are_all_kept() {
    let mut trace = trace(4, true);
    trace.damage = vec![Damage::Frame { at: 70 }, Damage::Frame { at: 90 }, Damage::Truncated { at: 200 }];
    let mut journeys = Journeys::build(&trace);
    journeys.jobs[0].reads = vec![0, 3];
    let mut bytes = Vec::new();
    write(&trace, &journeys, &mut bytes).expect("memory takes it");
    let packets = Trace::decode(&bytes[..]).expect("a trace").packet;
    let about = notes(&packets).next().expect("the first event").1;
    let said = trace.damage.iter().map(|one| Annotated::Text(one.to_string())).collect::<Vec<_>>();
    assert_eq!(values(&named(about, "damage").array_values), said);
    let job = notes(&packets).find(|(name, _)| *name == "convert").expect("a job").1;
    assert_eq!(values(&named(job, "reads buffer").array_values), [0, 3].map(Annotated::Unsigned));
    assert!(matches!(named(job, "writes buffer").value, Some(Annotated::Unsigned(_))));
    for (event, list) in notes(&packets) {
        let names: BTreeSet<_> = list.iter().map(|note| &note.name).collect();
        assert_eq!(names.len(), list.len(), "{event}: {list:?}");
        assert!(list.iter().all(
            |note| note.array_values.is_empty() == note.value.is_some() || !note.dict_entries.is_empty()
        ));
    }
}

#[test]
fn a_tracepoints_fields_are_not_mistaken_for_ours() {
    let mut trace = trace(4, true);
    let fields = ["cycles", "frame", "a.b", "a_b", "c[0]", ""].map(str::to_string);
    let format = GuestFormat { id: 700, system: "evil".into(), name: "evil".into(), fields: fields.to_vec() };
    trace.formats.insert(700, format);
    let last = trace.records.last().expect("records").stamp;
    let values = (1..=6).map(Value::Unsigned).collect();
    let event = Event::Guest(Box::new(GuestEvent { format: 700, cpu: 0, pid: 7, values }));
    trace.records.push(Record { stamp: last, event });
    let packets = packets(&trace);
    let (_, list) = notes(&packets).find(|(name, _)| *name == "evil").expect("the tracepoint");
    assert_eq!(named(list, "cycles").value, Some(Annotated::Unsigned(last.cycles)));
    assert!(list.iter().all(|note| note.name.as_deref() != Some("frame")));
    let guest = &named(list, "guest").dict_entries;
    let names: Vec<_> = guest.iter().map(|one| one.name.as_deref().expect("a name")).collect();
    assert_eq!(names, ["cycles", "frame", "a_b", "c_0_", ""]);
    assert_eq!(self::values(&named(guest, "a_b").array_values), [3, 4].map(Annotated::Unsigned));
    assert_eq!(named(guest, "frame").value, Some(Annotated::Unsigned(2)));
}

#[test]
fn a_kernels_address_is_not_negative() {
    const QUEUE: u64 = 0xffff_8880_1234_0000;
    let packets = packets(&trace(4, true));
    let mut seen = 0;
    for (event, list) in notes(&packets) {
        let guest = list.iter().flat_map(|note| &note.dict_entries);
        for note in list.iter().chain(guest) {
            assert!(!matches!(note.value, Some(Annotated::Unsigned(value)) if value > i64::MAX as u64));
        }
        if event == "vb2_dqbuf" {
            let guest = &named(list, "guest").dict_entries;
            assert_eq!(named(guest, "owner").value, Some(Annotated::Pointer(QUEUE)));
            seen += 1;
        }
    }
    assert_eq!(seen, 4);
}

#[test]
fn the_groups_stand_in_their_order() {
    let packets = packets(&trace(4, true));
    let tracks: Vec<_> = packets.iter().filter_map(|packet| packet.track_descriptor.as_ref()).collect();
    let mut children: BTreeMap<Option<u64>, Vec<&TrackDescriptor>> = BTreeMap::new();
    tracks.iter().for_each(|track| children.entry(track.parent_uuid).or_default().push(track));
    assert!(matches!(children[&None][..], [root] if root.uuid == Some(ROOT)));
    for (parent, list) in &children {
        assert!(list.windows(2).all(|two| two[0].sibling_order_rank <= two[1].sibling_order_rank));
        let parent = tracks.iter().find(|track| track.uuid == *parent);
        let explicit = Some(i32::from(ChildTracksOrdering::Explicit));
        assert!(parent.is_none_or(|parent| parent.child_ordering == explicit));
    }
    let names: Vec<_> = children[&Some(ROOT)].iter().map(|track| track.name.as_deref().unwrap()).collect();
    let groups = Group::ALL.map(Group::name).into_iter();
    assert!(names.iter().copied().eq(["About this trace"].into_iter().chain(groups).chain(["Counters"])));
}
