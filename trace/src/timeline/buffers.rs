//! Lanes of buffers and of hand-offs.

use std::collections::BTreeMap;

use crate::journey::{Buffer, Component, Handoff, HandoffKind, Hold, Leg};
use crate::timeline::{Group, Lane, Scene, Slice, Tone};

/// One lane for each buffer.
pub(super) fn lanes(scene: &Scene<'_>) -> Vec<Lane> {
    let lane = |buffer: &Buffer| {
        let slices = buffer.holds.iter().map(|hold| self::hold(scene, hold)).collect();
        let about = "Whose the buffer was; between slices it was the guest's, or free";
        Lane::new(Group::Buffers, name(buffer), about, slices, Vec::new())
    };
    scene.journeys.buffers.iter().map(lane).collect()
}

/// Its number, its size, and the dma-buf it is in the guest.
fn name(buffer: &Buffer) -> String {
    let mut name = format!("buffer {}, {} KiB", buffer.id, buffer.bytes() / 1024);
    if let Some(dma_buf) = buffer.dma_bufs.first() {
        name += &format!(", dma-buf inode {}", dma_buf.inode);
        if let Some(exporter) = &dma_buf.exporter {
            name += &format!(" of {exporter}");
        }
    }
    name
}

fn hold(scene: &Scene<'_>, hold: &Hold) -> Slice {
    let name = format!("{} {}", scene.trace.header.engine_label(hold.engine), hold.does.name());
    scene.slice(name, scene.tone(hold.engine), hold.from, hold.until).of_frame(hold.frame)
}

/// One lane for each kind of hand-off but the whole way.
pub(super) fn handoff_lanes(scene: &Scene<'_>) -> Vec<Lane> {
    let mut kinds: BTreeMap<HandoffKind, Vec<Slice>> = BTreeMap::new();
    for one in scene.journeys.handoffs.iter().filter(|one| one.kind.leg != Leg::Whole) {
        kinds.entry(one.kind).or_default().push(handoff(scene, one));
    }
    let lane = |(kind, slices): (HandoffKind, Vec<Slice>)| {
        let about = "A slice for each frame, from one hand to the next, and where its time went";
        Lane::new(Group::Handoffs, kind.name(&scene.trace.header), about, slices, Vec::new())
    };
    kinds.into_iter().map(lane).collect()
}

fn handoff(scene: &Scene<'_>, one: &Handoff) -> Slice {
    let longest = Component::ALL.into_iter().rev().max_by_key(|part| one.split.part(*part).cycles);
    let tone = match longest {
        Some(Component::Device) => Tone::Processor,
        Some(Component::Interrupt) => Tone::Interrupt,
        Some(Component::Wait) => Tone::Sink,
        Some(Component::Queue) => Tone::Fence,
        Some(Component::Scheduler) | None => Tone::Guest,
    };
    let slice = scene.slice(format!("frame {}", one.frame), tone, one.from, Some(one.to));
    Component::ALL
        .into_iter()
        .filter(|part| one.split.part(*part).cycles > 0)
        .fold(slice.of_frame(Some(one.frame)), |slice, part| {
            slice.detail(&format!("{} cycles", part.name()), one.split.part(part).cycles)
        })
}
