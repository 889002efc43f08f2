//! A timeline's slices, marks, arrows and counters as track events, in the order of time.

use std::collections::BTreeMap;

use crate::journey::At;
use crate::perfetto::annotations::Annotations;
use crate::perfetto::proto::{Annotated, DebugAnnotation, EventType, TrackEvent};
use crate::timeline::{Lane, Mark, Slice, Spot, Timeline};

/// Track events with their nanoseconds.
pub(super) struct Events {
    events: Vec<(u64, TrackEvent)>,
    /// By spot, the arrows that begin and that end there.
    flows: BTreeMap<Spot, (Vec<u64>, Vec<u64>)>,
}

impl Events {
    /// All events of `timeline`, by time; `tracks` is each lane's first track, `counters` the first counter's.
    pub fn of(timeline: &Timeline, tracks: &[u64], counters: u64) -> Vec<(u64, TrackEvent)> {
        let mut flows: BTreeMap<Spot, (Vec<u64>, Vec<u64>)> = BTreeMap::new();
        for (id, arrow) in (1..).zip(&timeline.arrows) {
            flows.entry(arrow.from).or_default().0.push(id);
            flows.entry(arrow.to).or_default().1.push(id);
        }
        let mut all = Events { events: Vec::new(), flows };
        for (at, (lane, track)) in timeline.lanes.iter().zip(tracks).enumerate() {
            all.lane(at, lane, *track);
        }
        for (track, counter) in (counters..).zip(&timeline.counters) {
            let point = |(at, value): &(At, u64)| {
                let event = TrackEvent {
                    r#type: Some(EventType::Counter.into()),
                    track_uuid: Some(track),
                    counter_value: Some(i64::try_from(*value).unwrap_or(i64::MAX)),
                    ..TrackEvent::default()
                };
                (at.stamp.ns, event)
            };
            all.events.extend(counter.points.iter().map(point));
        }
        // Stable: of one time, a track's events keep their order.
        all.events.sort_by_key(|(ns, _)| *ns);
        all.events
    }

    fn lane(&mut self, lane: usize, one: &Lane, track: u64) {
        for (row, (slices, track)) in one.rows.iter().zip(track..).enumerate() {
            let mut before = 0;
            for (item, slice) in slices.iter().enumerate() {
                let begin = self.begin(one, slice, Spot { lane, row: Some(row), item }, track);
                let end = TrackEvent {
                    r#type: Some(EventType::SliceEnd.into()),
                    track_uuid: Some(track),
                    ..TrackEvent::default()
                };
                // Under KVM nanoseconds and cycles are two clocks: they must not make a slice end before it begins.
                let from = slice.from.stamp.ns.max(before);
                let to = slice.to.stamp.ns.max(from);
                before = to;
                self.events.extend([(from, begin), (to, end)]);
            }
        }
        for (item, mark) in one.marks.iter().enumerate() {
            let event = self.mark(one, mark, Spot { lane, row: None, item }, track);
            self.events.push((mark.at.stamp.ns, event));
        }
    }

    fn begin(&mut self, lane: &Lane, slice: &Slice, spot: Spot, track: u64) -> TrackEvent {
        let mut notes = Annotations::of(lane.group, slice.frame, &slice.details);
        let (from, to) = (slice.from.stamp.cycles, slice.to.stamp.cycles);
        notes.add("cycles", from);
        if slice.open {
            notes.add("open at the trace's end", Annotated::Bool(true));
        } else {
            notes.add("end cycles", to);
            notes.add("took cycles", to.saturating_sub(from));
        }
        self.event(EventType::SliceBegin, lane, &slice.name, notes.list(), spot, track)
    }

    fn mark(&mut self, lane: &Lane, mark: &Mark, spot: Spot, track: u64) -> TrackEvent {
        let mut notes = Annotations::of(lane.group, mark.frame, &mark.details);
        notes.add("cycles", mark.at.stamp.cycles);
        self.event(EventType::Instant, lane, &mark.name, notes.list(), spot, track)
    }

    fn event(
        &mut self,
        kind: EventType,
        lane: &Lane,
        name: &str,
        debug_annotations: Vec<DebugAnnotation>,
        spot: Spot,
        track: u64,
    ) -> TrackEvent {
        let (flow_ids, terminating_flow_ids) = self.flows.remove(&spot).unwrap_or_default();
        TrackEvent {
            debug_annotations,
            r#type: Some(kind.into()),
            track_uuid: Some(track),
            categories: vec![lane.group.name().to_lowercase()],
            name: Some(name.to_string()),
            counter_value: None,
            flow_ids,
            terminating_flow_ids,
        }
    }
}
