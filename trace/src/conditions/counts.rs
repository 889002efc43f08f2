//! Conditions on what happens, and how often.

use super::Finding;
use super::check::{Scene, broken};
use super::grammar::{Count, Name};
use crate::event::Event;
use crate::journey::{At, Frame, Outcome, Work};

fn counted(count: Count, came: u64, what: &str) -> Finding {
    let (holds, wanted) = match count {
        Count::AtLeast(least) => (came >= least, format!("at least {least}")),
        Count::AtMost(most) => (came <= most, format!("at most {most}")),
        Count::Exactly(exact) => (came == exact, format!("exactly {exact}")),
    };
    match holds {
        true => Finding::Holds(format!("{came} {what}")),
        false => Finding::Broken { says: format!("{came} {what}, and not {wanted}"), at: None },
    }
}

/// The first event of which this is so, and how many there are.
fn first(scene: Scene, is: impl Fn(&Event) -> bool) -> (Option<At>, u64) {
    let mut all = scene.trace.records.iter().enumerate().filter(|(_, record)| is(&record.event));
    let first = all.next().map(|(record, one)| At { stamp: one.stamp, record });
    (first, all.count() as u64 + u64::from(first.is_some()))
}

/// Pictures that a sink composed; with a name, frames of that source that were shown.
pub fn frames_shown(scene: Scene, of: &Name, count: Count) -> Finding {
    if of.is_none() {
        let (_, came) = first(scene, |event| matches!(event, Event::ScanOut { .. }));
        return counted(count, came, "pictures were scanned out");
    }
    if let Some(unknown) = scene.unknown_name(of) {
        return unknown;
    }
    let came = scene.journeys.frames.iter().filter(|frame| frame.flip.is_some() && begins(scene, frame, of));
    counted(count, came.count() as u64, "of its frames were scanned out")
}

/// Whether a frame is a source's of this name.
pub fn begins(scene: Scene, frame: &Frame, of: &Name) -> bool {
    frame.visits.first().is_some_and(|it| matches!(it.work, Work::Capture(_)) && scene.is(it.engine, of))
}

pub fn no_frame_dropped(scene: Scene, of: &Name) -> Finding {
    if let Some(unknown) = scene.unknown_name(of) {
        return unknown;
    }
    let captures: Vec<_> = scene.journeys.captures.iter().filter(|it| scene.is(it.engine, of)).collect();
    match captures.iter().find_map(|it| Some((it, it.dropped?))) {
        Some((it, at)) => {
            let engine = scene.label(it.engine);
            broken(format!("{engine} had no buffer for its frame {}", it.sequence), at)
        }
        None => Finding::Holds(format!("{} frames, none dropped", captures.len())),
    }
}

pub fn no_frame_lost(scene: Scene, of: &Name) -> Finding {
    if let Some(unknown) = scene.unknown_name(of) {
        return unknown;
    }
    let frames: Vec<&Frame> =
        scene.journeys.frames.iter().filter(|frame| of.is_none() || begins(scene, frame, of)).collect();
    for frame in &frames {
        let Outcome::Missing(stage) = frame.outcome else { continue };
        let stage = frame.stage_text(stage, &scene.trace.header);
        let says = format!("frame {} lacks '{stage}', which later frames have", frame.number);
        return match frame.steps.iter().map(|step| step.at).max() {
            Some(at) => broken(format!("{says}; its last event"), at),
            None => Finding::Broken { says, at: None },
        };
    }
    Finding::Holds(format!("{} frames, none lost", frames.len()))
}

pub fn no_underrun(scene: Scene) -> Finding {
    match first(scene, |event| matches!(event, Event::Underrun { .. })) {
        (Some(at), count) => broken(format!("{count} underruns, the first"), at),
        (None, _) => Finding::Holds("no underrun".into()),
    }
}

pub fn every_job_ends(scene: Scene, of: &Name, well: bool) -> Finding {
    if let Some(unknown) = scene.unknown_name(of) {
        return unknown;
    }
    let jobs: Vec<_> = scene.journeys.jobs.iter().filter(|job| scene.is(job.engine, of)).collect();
    for job in &jobs {
        let name = format!("job {} of {}, ring {}", job.seqno, scene.label(job.engine), job.queue);
        match job.end {
            None => return broken(format!("{name} does not end; it began"), job.start),
            Some(end) if well && !job.ok => return broken(format!("{name} ends with an error"), end),
            Some(_) => {}
        }
    }
    match jobs.len() {
        // A condition on every job is meant for a trace with jobs.
        0 => Finding::Broken { says: "there is no such job in the trace".into(), at: None },
        count => Finding::Holds(format!("{count} jobs end")),
    }
}

pub fn jobs_end(scene: Scene, of: &Name, count: Count) -> Finding {
    if let Some(unknown) = scene.unknown_name(of) {
        return unknown;
    }
    let jobs = scene.journeys.jobs.iter().filter(|job| job.end.is_some() && scene.is(job.engine, of));
    counted(count, jobs.count() as u64, "jobs end")
}

pub fn no_iommu_fault(scene: Scene) -> Finding {
    let all = scene.trace.records.iter().enumerate();
    let mut faults = all.filter_map(|(record, one)| match &one.event {
        Event::IommuFault { rid, iova, write, reason } => {
            let (who, does) =
                (scene.trace.header.function_label(*rid), if *write { "write" } else { "read" });
            let says = format!("the IOMMU stops a {does} of {who} at {iova:#x}, reason {reason:#x}");
            Some((says, At { stamp: one.stamp, record }))
        }
        _ => None,
    });
    match faults.next() {
        Some((says, at)) => match faults.count() {
            0 => broken(says, at),
            more => broken(format!("{says}, the first of {} faults", more + 1), at),
        },
        None => Finding::Holds("no fault".into()),
    }
}

pub fn iommu_faults(scene: Scene, count: Count) -> Finding {
    let (_, came) = first(scene, |event| matches!(event, Event::IommuFault { .. }));
    counted(count, came, "faults of the IOMMU")
}

pub fn causality(scene: Scene) -> Finding {
    let all = &scene.journeys.violations;
    match all.first() {
        Some(one) => {
            broken(format!("{} ({}; {} in all)", one.rule.says(), one.rule.name(), all.len()), one.effect)
        }
        None => Finding::Holds("no event before its cause".into()),
    }
}
