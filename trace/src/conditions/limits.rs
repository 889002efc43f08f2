//! Conditions on how long something takes.

use std::collections::BTreeMap;

use super::Finding;
use super::check::{Scene, broken, exceeds, took, when};
use super::counts::begins;
use super::grammar::{Limit, Name};
use crate::Stamp;
use crate::engine::EngineId;
use crate::event::{Accel, Event};
use crate::journey::{At, Flip, Frame, Stage, between};

/// Each frame that a source wrote to its end must be shown, and in time; those behind its last one that was shown are the
/// stream's end, and do not count.
pub fn every_frame_shown(scene: Scene, of: &Name, within: Option<Limit>) -> Finding {
    if let Some(unknown) = scene.unknown_name(of) {
        return unknown;
    }
    let journeys = scene.journeys;
    let frames = || journeys.frames.iter().filter(|frame| begins(scene, frame, of));
    let mut lasts: BTreeMap<EngineId, usize> = BTreeMap::new();
    for frame in frames().filter(|frame| frame.flip.is_some()) {
        lasts.extend(frame.visits.first().map(|visit| (visit.engine, frame.number)));
    }
    let vblanks = matches!(within, Some(Limit::Vblanks(_))).then(|| vblanks(scene)).unwrap_or_default();
    let mut count = 0usize;
    for frame in frames() {
        let Some((source, written)) = frame.visits.first().zip(frame.at(Stage::FrameEnd)) else { continue };
        if lasts.get(&source.engine).is_some_and(|last| frame.number > *last) {
            continue;
        }
        count += 1;
        let name = frame_name(scene, frame, source.engine);
        let Some(flip) = frame.flip.and_then(|flip| journeys.flips.get(flip)) else {
            return broken(format!("{name} is not scanned out; it was written"), written);
        };
        let late = match within {
            Some(Limit::Vblanks(most)) => match late_vblanks(&vblanks, flip, written, most) {
                Ok(late) => late,
                Err(why) => return Finding::Unknown(why),
            },
            Some(limit) => {
                let time = between(written.stamp, flip.latch.stamp);
                exceeds(time, limit).then(|| took(time, limit))
            }
            None => None,
        };
        if let Some(late) = late {
            let says =
                format!("{name}, written at {}, is scanned out only {late} later", when(written.stamp));
            return broken(says, flip.latch);
        }
    }
    match count {
        0 => Finding::Broken { says: "no such frame was written".into(), at: None },
        count => Finding::Holds(format!("{count} frames")),
    }
}

fn frame_name(scene: Scene, frame: &Frame, source: EngineId) -> String {
    let sequence = frame.sequence.map(|number| format!(", sequence {number}")).unwrap_or_default();
    format!("frame {} of {}{sequence}", frame.number, scene.label(source))
}

/// Each sink's vertical blanks.
fn vblanks(scene: Scene) -> BTreeMap<EngineId, Vec<Stamp>> {
    let mut all: BTreeMap<EngineId, Vec<Stamp>> = BTreeMap::new();
    for record in &scene.trace.records {
        if let Event::Vblank { engine, .. } = record.event {
            all.entry(engine).or_default().push(record.stamp);
        }
    }
    all
}

/// The vertical blanks behind the frame's last byte, up to that at which it was latched, if they are too many, in words.
fn late_vblanks(
    all: &BTreeMap<EngineId, Vec<Stamp>>,
    flip: &Flip,
    written: At,
    most: u64,
) -> Result<Option<String>, String> {
    let Some(all) = all.get(&flip.engine) else {
        return Err("the trace has no vertical blank of the sink that showed the frame".into());
    };
    let until = |stamp: Stamp| all.partition_point(|vblank| vblank.cycles <= stamp.cycles);
    let count = until(flip.latch.stamp).saturating_sub(until(written.stamp)) as u64;
    Ok((count > most).then(|| format!("{count} vblanks")))
}

pub fn no_fence_waits(scene: Scene, limit: Limit) -> Finding {
    let has = |name: &str| scene.trace.formats.values().any(|format| format.name == name);
    if !has("dma_fence_wait_start") {
        return Finding::Unknown("the guest's tracepoint dma_fence_wait_start is not in the trace".into());
    }
    let mut count = 0usize;
    let mut first: Option<(At, String)> = None;
    for timeline in &scene.journeys.timelines {
        for (point, wait) in timeline.points.iter().flat_map(|it| it.waits.iter().map(move |wait| (it, wait)))
        {
            count += 1;
            let time = between(wait.from.stamp, wait.to.map_or(scene.end(), |to| to.stamp));
            if !exceeds(time, limit) || first.as_ref().is_some_and(|(at, _)| *at <= wait.from) {
                continue;
            }
            let thread = scene.trace.tasks.get(&wait.pid).map_or("thread", String::as_str);
            let open = if wait.to.is_some() { "" } else { " and longer, to the trace's end," };
            let time = took(time, limit);
            let says = format!(
                "{thread} {} waits {time}{open} for fence {} of {} {}, from the wait's begin",
                wait.pid, point.seqno, timeline.driver, timeline.name
            );
            first = Some((wait.from, says));
        }
    }
    match first {
        Some((at, says)) => broken(says, at),
        None => Finding::Holds(format!("{count} waits")),
    }
}

pub fn no_job_takes(scene: Scene, of: &Name, limit: Limit) -> Finding {
    if let Some(unknown) = scene.unknown_name(of) {
        return unknown;
    }
    let jobs: Vec<_> = scene.journeys.jobs.iter().filter(|job| scene.is(job.engine, of)).collect();
    for job in &jobs {
        let time = between(job.start.stamp, job.end.map_or(scene.end(), |end| end.stamp));
        if exceeds(time, limit) {
            let open = if job.end.is_some() { "" } else { " and longer, to the trace's end" };
            let (engine, time) = (scene.label(job.engine), took(time, limit));
            let says =
                format!("job {} of {engine}, ring {}, takes {time}{open}; it began", job.seqno, job.queue);
            return broken(says, job.start);
        }
    }
    Finding::Holds(format!("{} jobs", jobs.len()))
}

/// From a function's write to the CPU's taking it; where the trace does not have that, to the handler's begin.
pub fn no_interrupt_late(scene: Scene, limit: Limit) -> Finding {
    let lines = &scene.journeys.interrupts;
    let mut first: Option<(At, String)> = None;
    let mut untold = None;
    for line in lines {
        let name = format!("vector {} of {}", line.msi, scene.trace.header.function_label(line.rid));
        if line.delivered == 0 && line.handled == 0 && line.raised > 0 {
            untold.get_or_insert(name);
            continue;
        }
        for (raised, taken) in [
            line.latency.longest.map(|(from, to)| (from, Some(to))),
            line.latency.open.map(|from| (from, None)),
        ]
        .into_iter()
        .flatten()
        {
            let time = between(raised.stamp, taken.map_or(scene.end(), |at| at.stamp));
            if exceeds(time, limit) && first.as_ref().is_none_or(|(at, _)| raised < *at) {
                let time = took(time, limit);
                let says = match taken {
                    Some(_) => format!(
                        "{name} is taken {time} after it was raised, the longest of that vector; raised"
                    ),
                    None => format!("{name} is not taken within {time}, to the trace's end; raised"),
                };
                first = Some((raised, says));
            }
        }
    }
    let why = match scene.trace.header.accel {
        Accel::Soft => "it cannot be told when the CPU takes",
        Accel::Kvm => "under kvm, without the guest's tracepoints, it cannot be told when the CPU takes",
    };
    match (first, untold) {
        (Some((at, says)), _) => broken(says, at),
        (None, Some(name)) => Finding::Unknown(format!("{why} {name}")),
        (None, None) => Finding::Holds(format!("{} vectors", lines.len())),
    }
}
