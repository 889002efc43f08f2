//! Lanes of the engines: one for each, and one for each ring of those that have rings.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{EngineId, Role};
use crate::event::Event;
use crate::journey::At;
use crate::timeline::{Group, Lane, Mark, Scene, Slice, Tone};

/// A lane of an engine, or of one of its rings.
type Key = (EngineId, Option<u32>);

/// The lanes in the order of roles.
pub(super) fn lanes(scene: &Scene<'_>) -> Vec<Lane> {
    let mut marks = marks(scene);
    let mut slices: BTreeMap<Key, Vec<Slice>> = BTreeMap::new();
    captures(scene, &mut slices);
    jobs(scene, &mut slices);
    flips(scene, &mut slices);
    let keys: BTreeSet<Key> = slices.keys().chain(marks.keys()).copied().collect();
    let mut keys: Vec<Key> = keys.into_iter().collect();
    keys.sort_by_key(|(engine, queue)| (role(scene, *engine), *engine, *queue));
    let lane = |key: Key| {
        let (engine, queue) = key;
        let label = scene.trace.header.engine_label(engine);
        let name = queue.map_or_else(|| label.clone(), |queue| format!("{label} ring {queue}"));
        let about = match (queue, role(scene, engine)) {
            (Some(_), _) => "A slice for each packet in execution",
            (None, Role::Sink) => {
                "A slice for each commit, from the vertical blank that latched it to the next commit's"
            }
            (None, _) => "A slice for each frame, from its start to its last byte",
        };
        let slices = slices.remove(&key).unwrap_or_default();
        Lane::new(Group::Engines, name, about, slices, marks.remove(&key).unwrap_or_default())
    };
    keys.into_iter().map(lane).collect()
}

fn role(scene: &Scene<'_>, engine: EngineId) -> Role {
    scene.trace.header.engine(engine).map_or(Role::Other, |engine| engine.role)
}

fn captures(scene: &Scene<'_>, lanes: &mut BTreeMap<Key, Vec<Slice>>) {
    for (number, capture) in scene.journeys.captures.iter().enumerate() {
        let Some(from) = capture.start else { continue };
        let end = capture.end.or(capture.dropped);
        let tone = if capture.end.is_some() { scene.tone(capture.engine) } else { Tone::Bad };
        let mut slice = scene
            .slice(format!("frame {}", capture.sequence), tone, from, end)
            .of_frame(Some(number))
            .detail("sequence", u64::from(capture.sequence));
        if let Some(index) = capture.index {
            slice = slice.detail("buffer index", u64::from(index));
        }
        if let Some(buffer) = capture.buffer {
            slice = slice.detail("buffer", buffer as u64);
        }
        lanes.entry((capture.engine, None)).or_default().push(slice);
    }
}

fn jobs(scene: &Scene<'_>, lanes: &mut BTreeMap<Key, Vec<Slice>>) {
    for job in &scene.journeys.jobs {
        let tone = if job.ok || job.end.is_none() { scene.tone(job.engine) } else { Tone::Bad };
        let frame = scene.frames.of(job.start).or(job.captures.first().copied());
        let name = format!("{:?}", job.kind).to_lowercase();
        let mut slice = scene
            .slice(name, tone, job.start, job.end)
            .of_frame(frame)
            .detail("ring", u64::from(job.queue))
            .detail("label", job.seqno);
        for (name, buffers) in [("reads buffer", &job.reads), ("writes buffer", &job.writes)] {
            for buffer in buffers {
                slice = slice.detail(name, *buffer as u64);
            }
        }
        lanes.entry((job.engine, Some(job.queue))).or_default().push(slice);
    }
}

fn flips(scene: &Scene<'_>, lanes: &mut BTreeMap<Key, Vec<Slice>>) {
    for flip in &scene.journeys.flips {
        let frame = scene.frames.of(flip.latch).or(flip.captures.first().copied());
        let mut slice = scene
            .slice(format!("commit {}", flip.commit), scene.tone(flip.engine), flip.latch, flip.until)
            .of_frame(frame)
            .detail("vblank", flip.frame)
            .detail("commit", flip.commit);
        if let Some(buffer) = flip.buffer {
            slice = slice.detail("buffer", buffer as u64);
        }
        lanes.entry((flip.engine, None)).or_default().push(slice);
    }
}

/// What engines do in no time.
fn marks(scene: &Scene<'_>) -> BTreeMap<Key, Vec<Mark>> {
    let mut marks: BTreeMap<Key, Vec<Mark>> = BTreeMap::new();
    for (record, one) in scene.trace.records.iter().enumerate() {
        let at = At { stamp: one.stamp, record };
        let Some((key, tone, name, details)) = mark(scene, &one.event) else { continue };
        let details = details.into_iter().map(|(name, value)| (name.to_string(), value.into())).collect();
        let frame = scene.frames.of(at);
        marks.entry(key).or_default().push(Mark { name: name.to_string(), tone, at, frame, details });
    }
    marks
}

/// The lane of a mark, its colour, its name and its details.
type Marked = (Key, Tone, &'static str, Vec<(&'static str, u64)>);

fn mark(scene: &Scene<'_>, event: &Event) -> Option<Marked> {
    Some(match *event {
        Event::Doorbell { engine, queue, tail } => {
            let (ring, what) = match role(scene, engine) {
                Role::Sink => (None, "commit"),
                Role::Source => (None, "tail"),
                _ => (Some(queue), "tail"),
            };
            ((engine, ring), scene.tone(engine), "doorbell", vec![(what, tail)])
        }
        Event::FenceWrite { engine, queue, seqno } => {
            ((engine, Some(queue)), Tone::Fence, "fence written", vec![("seqno", seqno)])
        }
        Event::FrameDropped { engine, sequence } => {
            ((engine, None), Tone::Bad, "frame dropped", vec![("sequence", u64::from(sequence))])
        }
        Event::Flip { engine, frame, flip } => {
            ((engine, None), scene.tone(engine), "flip", vec![("vblank", frame), ("commit", flip)])
        }
        Event::ScanOut { engine, frame, crc } => {
            let details = vec![("vblank", frame), ("crc", u64::from(crc))];
            ((engine, None), scene.tone(engine), "scan-out", details)
        }
        Event::Underrun { engine, frame } => ((engine, None), Tone::Bad, "underrun", vec![("vblank", frame)]),
        _ => return None,
    })
}
