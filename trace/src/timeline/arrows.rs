//! Arrows: each frame from hand to hand.

use std::collections::BTreeMap;

use crate::journey::{Journeys, Stage};
use crate::timeline::{Arrow, Group, Lane, Spot};

/// Where a frame changes hands; those that the trace has are joined in the order of time.
const HANDS: [Stage; 10] = [
    Stage::FrameStart,
    Stage::CaptureDelivered,
    Stage::Dequeued,
    Stage::Submitted,
    Stage::JobStart,
    Stage::FenceDelivered,
    Stage::FenceSignaled,
    Stage::Latch,
    Stage::FlipDelivered,
    Stage::FlipEvent,
];

/// The arrows of all frames.
pub(super) fn between(journeys: &Journeys, lanes: &[Lane]) -> Vec<Arrow> {
    let spots = spots(lanes);
    let mut arrows = Vec::new();
    for frame in &journeys.frames {
        let hands = frame.steps.iter().filter(|step| HANDS.contains(&step.stage));
        let mut hands: Vec<_> = hands.map(|step| step.at).collect();
        hands.sort();
        let mut found: Vec<Spot> = hands.iter().filter_map(|at| spots.get(&at.record).copied()).collect();
        found.dedup();
        arrows.extend(
            found.windows(2).filter_map(|pair| {
                Some(Arrow { frame: frame.number, from: *pair.first()?, to: *pair.last()? })
            }),
        );
    }
    arrows
}

/// What begins with each record, on the lanes of engines, the CPU and threads.
fn spots(lanes: &[Lane]) -> BTreeMap<usize, Spot> {
    let mut spots = BTreeMap::new();
    for (lane, one) in lanes.iter().enumerate() {
        if !matches!(one.group, Group::Engines | Group::Cpu | Group::Guest) {
            continue;
        }
        for (row, slices) in one.rows.iter().enumerate() {
            for (item, slice) in slices.iter().enumerate() {
                spots.entry(slice.from.record).or_insert(Spot { lane, row: Some(row), item });
            }
        }
        for (item, mark) in one.marks.iter().enumerate() {
            spots.entry(mark.at.record).or_insert(Spot { lane, row: None, item });
        }
    }
    spots
}
