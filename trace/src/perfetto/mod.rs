//! Perfetto's protobuf format, for ui.perfetto.dev and `trace_processor`. `docs/trace-outputs.md` says what is on each track.
//!
//! Timestamps are the trace's nanoseconds on one clock; cycles are on each event as annotations. Nothing is interned: each
//! packet can be understood alone.

mod annotations;
mod events;
pub mod proto;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use prost::Message;

use crate::file::TraceFile;
use crate::journey::Journeys;
use crate::outputs;
use crate::timeline::{Group, Lane, Timeline};
use annotations::Annotations;
use events::Events;
use proto::{
    ChildTracksOrdering, Clock, ClockSnapshot, CounterDescriptor, EventType, Trace, TracePacket,
    TrackDescriptor, TrackEvent,
};

/// `BUILTIN_CLOCK_BOOTTIME`, the default of trace packets: here, nanoseconds since the machine started.
const CLOCK: u32 = 6;
/// All packets are of one writer, who kept no state that a reader needs.
const SEQUENCE: u32 = 1;
/// `SEQ_INCREMENTAL_STATE_CLEARED`, on the first packet.
const STATE_CLEARED: u32 = 1;
/// The track that says what the trace is.
const ABOUT: u64 = 1;
/// The parent of everything: Perfetto keeps to an order only among the children of a track that asks for it.
const ROOT: u64 = 2;
/// Tracks of groups, by group.
const GROUPS: u64 = 16;
/// The track of counters.
const COUNTERS: u64 = 15;
/// Tracks of lanes' rows and of counters follow each other from here.
const FIRST_TRACK: u64 = 64;

/// Writes `trace` in Perfetto's format. The same trace gives the same bytes.
///
/// # Errors
/// Those of `out`.
pub fn write(trace: &TraceFile, journeys: &Journeys, out: impl Write) -> io::Result<()> {
    let timeline = Timeline::build(trace, journeys);
    let mut writer = Writer { out, first: true };
    let begin = timeline.span.0.stamp;
    writer.packet(TracePacket {
        timestamp: Some(begin.ns),
        clock_snapshot: Some(ClockSnapshot {
            clocks: vec![Clock { clock_id: Some(CLOCK), timestamp: Some(begin.ns) }],
            primary_trace_clock: Some(CLOCK),
        }),
        ..TracePacket::default()
    })?;
    writer.track(TrackDescriptor {
        uuid: Some(ROOT),
        name: Some("Fencepost".into()),
        child_ordering: Some(ChildTracksOrdering::Explicit.into()),
        ..TrackDescriptor::default()
    })?;
    about(&mut writer, trace, journeys, begin)?;
    groups(&mut writer, &timeline)?;
    let (rows, after) = tracks(&mut writer, &timeline.lanes)?;
    counters(&mut writer, &timeline, after)?;
    for (ns, event) in Events::of(&timeline, &rows, after) {
        writer.event(ns, event)?;
    }
    writer.out.flush()
}

struct Writer<W: Write> {
    out: W,
    first: bool,
}

impl<W: Write> Writer<W> {
    fn packet(&mut self, mut packet: TracePacket) -> io::Result<()> {
        packet.trusted_packet_sequence_id = Some(SEQUENCE);
        if std::mem::take(&mut self.first) {
            packet.sequence_flags = Some(STATE_CLEARED);
        }
        self.out.write_all(&Trace { packet: vec![packet] }.encode_to_vec())
    }

    fn event(&mut self, ns: u64, event: TrackEvent) -> io::Result<()> {
        self.packet(TracePacket {
            timestamp: Some(ns),
            timestamp_clock_id: Some(CLOCK),
            track_event: Some(event),
            ..TracePacket::default()
        })
    }

    fn track(&mut self, track: TrackDescriptor) -> io::Result<()> {
        self.packet(TracePacket { track_descriptor: Some(track), ..TracePacket::default() })
    }
}

/// The first track: one mark that says what the stamps are, what was lost and what is damaged.
fn about<W: Write>(
    writer: &mut Writer<W>,
    trace: &TraceFile,
    journeys: &Journeys,
    begin: crate::Stamp,
) -> io::Result<()> {
    writer.track(TrackDescriptor {
        uuid: Some(ABOUT),
        name: Some("About this trace".into()),
        parent_uuid: Some(ROOT),
        description: Some(trace.stamps()),
        sibling_order_rank: Some(0),
        ..TrackDescriptor::default()
    })?;
    let mut notes = Annotations::default();
    for (name, text) in outputs::facts(trace, journeys) {
        notes.add(&name, text);
    }
    writer.event(
        begin.ns,
        TrackEvent {
            r#type: Some(EventType::Instant.into()),
            track_uuid: Some(ABOUT),
            categories: vec!["about".into()],
            name: Some(trace.stamps()),
            debug_annotations: notes.list(),
            ..TrackEvent::default()
        },
    )
}

fn group_track(group: Group) -> u64 {
    GROUPS + group as u64
}

fn groups<W: Write>(writer: &mut Writer<W>, timeline: &Timeline) -> io::Result<()> {
    for (rank, group) in (1..).zip(Group::ALL) {
        if timeline.lanes.iter().any(|lane| lane.group == group) {
            writer.track(TrackDescriptor {
                uuid: Some(group_track(group)),
                name: Some(group.name().into()),
                parent_uuid: Some(ROOT),
                child_ordering: Some(ChildTracksOrdering::Explicit.into()),
                sibling_order_rank: Some(rank),
                ..TrackDescriptor::default()
            })?;
        }
    }
    Ok(())
}

/// A track for each row of each lane; rows of one lane have one name, by which Perfetto shows them as one. Gives each lane's first
/// track, and the first free one.
fn tracks<W: Write>(writer: &mut Writer<W>, lanes: &[Lane]) -> io::Result<(Vec<u64>, u64)> {
    let (mut next, mut firsts) = (FIRST_TRACK, Vec::with_capacity(lanes.len()));
    for (rank, lane) in (0..).zip(lanes) {
        firsts.push(next);
        for _ in 0..lane.rows.len().max(1) {
            writer.track(TrackDescriptor {
                uuid: Some(next),
                name: Some(lane.name.clone()),
                parent_uuid: Some(group_track(lane.group)),
                sibling_order_rank: Some(rank),
                description: Some(lane.about.into()),
                ..TrackDescriptor::default()
            })?;
            next += 1;
        }
    }
    Ok((firsts, next))
}

fn counters<W: Write>(writer: &mut Writer<W>, timeline: &Timeline, first: u64) -> io::Result<()> {
    if !timeline.counters.is_empty() {
        writer.track(TrackDescriptor {
            uuid: Some(COUNTERS),
            name: Some("Counters".into()),
            parent_uuid: Some(ROOT),
            child_ordering: Some(ChildTracksOrdering::Explicit.into()),
            sibling_order_rank: Some(Group::ALL.len() as i32 + 1),
            ..TrackDescriptor::default()
        })?;
    }
    for (rank, (track, counter)) in (0..).zip((first..).zip(&timeline.counters)) {
        writer.track(TrackDescriptor {
            uuid: Some(track),
            name: Some(counter.name.clone()),
            parent_uuid: Some(COUNTERS),
            sibling_order_rank: Some(rank),
            counter: Some(CounterDescriptor::default()),
            ..TrackDescriptor::default()
        })?;
    }
    Ok(())
}
