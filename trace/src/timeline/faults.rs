//! Lanes of what was done to the machine: the faults of each function, and marks of whoever ran it.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::journey::At;
use crate::timeline::{Group, Lane, Mark, Scene, Tone};

/// One for each function that had a fault, one for the IOMMU's own, and one for marks.
pub(super) fn lanes(scene: &Scene<'_>) -> Vec<Lane> {
    let mut faults: BTreeMap<u16, Vec<Mark>> = BTreeMap::new();
    let mut marks = Vec::new();
    for (record, one) in scene.trace.records.iter().enumerate() {
        let at = At { stamp: one.stamp, record };
        let frame = scene.frames.of(at);
        match &one.event {
            Event::Fault { rid, kind, occasion } => {
                let details = vec![("occasion".to_string(), (*occasion).into())];
                let mark = Mark { name: kind.name(), tone: Tone::Bad, at, frame, details };
                faults.entry(*rid).or_default().push(mark);
            }
            Event::Mark { text } => {
                marks.push(Mark {
                    name: text.to_string(),
                    tone: Tone::Engine,
                    at,
                    frame,
                    details: Vec::new(),
                });
            }
            _ => {}
        }
    }
    let of_function = |(rid, marks)| {
        // The host bridge has no faults: this is the IOMMU's own.
        let of = if rid == 0 { "iommu".to_string() } else { scene.trace.header.function_label(rid) };
        Lane::new(
            Group::Engines,
            format!("faults of {of}"),
            "A mark for each fault that was asked for",
            Vec::new(),
            marks,
        )
    };
    let mut lanes: Vec<Lane> = faults.into_iter().map(of_function).collect();
    lanes.push(Lane::new(
        Group::Engines,
        "marks",
        "What was done to the machine from outside",
        Vec::new(),
        marks,
    ));
    lanes
}
