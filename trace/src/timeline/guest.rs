//! Lanes of the guest's fences and threads, and counters.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::journey::{At, FencePoint, FenceTimeline, Stage, Wait};
use crate::timeline::{Counter, Group, Lane, Mark, Scene, Slice, Tone};

/// One lane for each fence timeline.
pub(super) fn fence_lanes(scene: &Scene<'_>) -> Vec<Lane> {
    let lane = |timeline: &FenceTimeline| {
        let mut name = format!("{} {}, context {}", timeline.driver, timeline.name, timeline.context);
        if let Some((engine, queue)) = timeline.queue {
            name += &format!(", {} ring {queue}", scene.trace.header.engine_label(engine));
        }
        let slices = timeline.points.iter().filter_map(|point| fence(scene, point)).collect();
        let about = "A slice for each fence, from its being made (dma_fence_init, or emitted) to its signal";
        Lane::new(Group::Fences, name, about, slices, Vec::new())
    };
    scene.journeys.timelines.iter().map(lane).collect()
}

/// A fence is on its way from the first that the kernel says of it to its signal.
fn begin(point: &FencePoint) -> Option<At> {
    point.made.or(point.emitted).filter(|from| point.signaled.is_none_or(|to| to >= *from))
}

fn fence(scene: &Scene<'_>, point: &FencePoint) -> Option<Slice> {
    let from = begin(point).or(point.signaled)?;
    let written = point.written.and_then(|write| scene.journeys.fences.get(write));
    // One that is never signalled ends when it is freed.
    let until = point.signaled.or(point.destroyed);
    let frame = [Some(from), point.signaled].into_iter().flatten().find_map(|at| scene.frames.of(at));
    let mut slice = scene
        .slice(format!("#{}", point.seqno), Tone::Fence, from, until)
        .of_frame(frame)
        .detail("seqno", point.seqno);
    if let Some(written) = written {
        slice = slice.detail("written at cycle", written.at.stamp.cycles);
    }
    Some(slice.detail("waits", point.waits.len() as u64))
}

/// One lane for each thread of the guest: its tracepoints, and the fences that it waited for.
pub(super) fn thread_lanes(scene: &Scene<'_>) -> Vec<Lane> {
    let mut threads: BTreeMap<u32, (Vec<Slice>, Vec<Mark>)> = BTreeMap::new();
    for (record, one) in scene.trace.records.iter().enumerate() {
        let Event::Guest(event) = &one.event else { continue };
        let at = At { stamp: one.stamp, record };
        let (name, details) = match scene.trace.guest(one) {
            Some(view) => {
                let fields = view.format.fields.iter().cloned().zip(event.values.iter().cloned());
                (view.format.name.clone(), fields.collect())
            }
            None => (format!("tracepoint {}", event.format), Vec::new()),
        };
        let frame = scene.frames.of(at);
        threads.entry(event.pid).or_default().1.push(Mark { name, tone: Tone::Guest, at, frame, details });
    }
    for (pid, slice) in waits(scene) {
        threads.entry(pid).or_default().0.push(slice);
    }
    let lane = |(pid, (slices, marks)): (u32, (Vec<Slice>, Vec<Mark>))| {
        let name = match scene.trace.tasks.get(&pid) {
            Some(task) => format!("{task} {pid}"),
            None if pid == 0 => "idle".to_string(),
            None => format!("thread {pid}"),
        };
        let about = "The tracepoints that fired while it ran, and a slice for each fence that it waited for";
        Lane::new(Group::Guest, name, about, slices, marks)
    };
    threads.into_iter().map(lane).collect()
}

/// Who waited for which fence, by thread.
fn waits(scene: &Scene<'_>) -> Vec<(u32, Slice)> {
    let mut waits = Vec::new();
    for timeline in &scene.journeys.timelines {
        for point in &timeline.points {
            let slice = |wait: &Wait| {
                let name = format!("waits for {} {} #{}", timeline.driver, timeline.name, point.seqno);
                scene
                    .slice(name, Tone::Fence, wait.from, wait.to)
                    .of_frame(scene.frames.of(wait.from))
                    .detail("context", timeline.context)
                    .detail("seqno", point.seqno)
            };
            waits.extend(point.waits.iter().map(|wait| (wait.pid, slice(wait))));
        }
    }
    waits
}

/// Fences that are not signalled, by timeline, and frames on their way.
pub(super) fn counters(scene: &Scene<'_>) -> Vec<Counter> {
    let mut counters = Vec::new();
    let frames = scene.journeys.frames.iter().filter_map(|frame| {
        let end = [Stage::FlipEvent, Stage::Flip, Stage::Requeued].into_iter().find_map(|s| frame.at(s))?;
        Some((frame.at(Stage::FrameStart)?, end))
    });
    counters.push(count("frames on their way".to_string(), frames));
    for timeline in &scene.journeys.timelines {
        let name = format!(
            "fences not signalled, {} {}, context {}",
            timeline.driver, timeline.name, timeline.context
        );
        let fences = timeline.points.iter().filter_map(|point| Some((begin(point)?, point.signaled?)));
        counters.push(count(name, fences));
    }
    counters.retain(|counter| !counter.points.is_empty());
    counters
}

/// How many of the times are going on.
fn count(name: String, times: impl Iterator<Item = (At, At)>) -> Counter {
    let mut changes: BTreeMap<At, (u64, u64)> = BTreeMap::new();
    for (from, to) in times.filter(|(from, to)| from < to) {
        let begin = changes.entry(from).or_default();
        begin.0 = begin.0.saturating_add(1);
        let end = changes.entry(to).or_default();
        end.1 = end.1.saturating_add(1);
    }
    let mut now = 0u64;
    let points = changes.into_iter().map(|(at, (more, less))| {
        now = now.saturating_add(more).saturating_sub(less);
        (at, now)
    });
    Counter { name, points: points.collect() }
}
