//! Lanes of the camera, the GPU's rings and the display.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::journey::{At, Stage};
use crate::timeline::{Group, Lane, Mark, Scene, Slice, Tone};

/// One lane for the camera, one for each ring, one for the display.
pub(super) fn lanes(scene: &Scene<'_>) -> Vec<Lane> {
    let mut marks = marks(scene);
    let mut take = |key| marks.remove(&key).unwrap_or_default();
    let camera = Lane::new(
        Group::Engines,
        "camera",
        "A slice for each frame, from its start to its last byte",
        captures(scene),
        take(Key::Camera),
    );
    let mut lanes = vec![camera];
    for (queue, slices) in jobs(scene) {
        let name = format!("GPU ring {queue}");
        let about = "A slice for each packet in execution";
        lanes.push(Lane::new(Group::Engines, name, about, slices, take(Key::Ring(queue))));
    }
    lanes.push(Lane::new(
        Group::Engines,
        "display",
        "A slice for each commit, from the vertical blank that latched it to the next commit's",
        flips(scene),
        take(Key::Display),
    ));
    lanes
}

fn captures(scene: &Scene<'_>) -> Vec<Slice> {
    let frames = scene.journeys.captures.iter().enumerate().filter_map(|(number, capture)| {
        let from = capture.start?;
        let end = capture.end.or(capture.dropped);
        let tone = if capture.end.is_some() { Tone::Camera } else { Tone::Bad };
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
        Some(slice)
    });
    frames.collect()
}

fn jobs(scene: &Scene<'_>) -> BTreeMap<u32, Vec<Slice>> {
    let mut rings: BTreeMap<u32, Vec<Slice>> = BTreeMap::new();
    for job in &scene.journeys.jobs {
        let tone = if job.ok || job.end.is_none() { Tone::Gpu } else { Tone::Bad };
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
        rings.entry(job.queue).or_default().push(slice);
    }
    rings
}

fn flips(scene: &Scene<'_>) -> Vec<Slice> {
    let flips = &scene.journeys.flips;
    let slices = flips.iter().enumerate().map(|(number, flip)| {
        let until = flips.get(number + 1).map(|next| next.latch);
        let frame = scene.frames.of(flip.latch).or(flip.captures.first().copied());
        let mut slice = scene
            .slice(format!("commit {}", flip.commit), Tone::Display, flip.latch, until)
            .of_frame(frame)
            .detail("vblank", flip.frame)
            .detail("commit", flip.commit);
        if let Some(buffer) = flip.buffer {
            slice = slice.detail("buffer", buffer as u64);
        }
        slice
    });
    slices.collect()
}

/// A lane of an engine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Camera,
    Ring(u32),
    Display,
}

/// What engines do in no time.
fn marks(scene: &Scene<'_>) -> BTreeMap<Key, Vec<Mark>> {
    use crate::event::Engine::{Camera, Display, Gpu};
    let mut marks: BTreeMap<Key, Vec<Mark>> = BTreeMap::new();
    for (record, one) in scene.trace.records.iter().enumerate() {
        let at = At { stamp: one.stamp, record };
        let (key, tone, name, details): (_, _, &str, Vec<(&str, u64)>) = match one.event {
            Event::Doorbell { engine: Camera, tail, .. } => {
                (Key::Camera, Tone::Camera, "doorbell", vec![("tail", tail)])
            }
            Event::Doorbell { engine: Gpu, queue, tail } => {
                (Key::Ring(queue), Tone::Gpu, "doorbell", vec![("tail", tail)])
            }
            Event::Doorbell { engine: Display, tail, .. } => {
                (Key::Display, Tone::Display, "doorbell", vec![("commit", tail)])
            }
            Event::FenceWrite { queue, seqno } => {
                (Key::Ring(queue), Tone::Fence, Stage::FenceWrite.name(), vec![("seqno", seqno)])
            }
            Event::FrameDropped { sequence } => {
                (Key::Camera, Tone::Bad, "frame dropped", vec![("sequence", u64::from(sequence))])
            }
            Event::Flip { frame, flip } => {
                (Key::Display, Tone::Display, Stage::Flip.name(), vec![("vblank", frame), ("commit", flip)])
            }
            Event::ScanOut { frame, crc } => {
                (Key::Display, Tone::Display, "scan-out", vec![("vblank", frame), ("crc", u64::from(crc))])
            }
            Event::Underrun { frame } => (Key::Display, Tone::Bad, "underrun", vec![("vblank", frame)]),
            _ => continue,
        };
        let details = details.into_iter().map(|(name, value)| (name.to_string(), value.into())).collect();
        let frame = scene.frames.of(at);
        marks.entry(key).or_default().push(Mark { name: name.to_string(), tone, at, frame, details });
    }
    marks
}
