//! The picture of frames whose truth is known.

use super::*;
use crate::timeline::tests::{machine, trace};

fn drawn(trace: &TraceFile, frame: usize) -> String {
    let mut bytes = Vec::new();
    write(trace, &Journeys::build(trace), frame, &mut bytes).expect("memory takes it");
    String::from_utf8(bytes).expect("text")
}

#[test]
fn every_step_is_in_the_table_with_its_time() {
    for guest in [false, true] {
        let trace = trace(6, guest);
        let journeys = Journeys::build(&trace);
        let svg = drawn(&trace, 4);
        let frame = &journeys.frames[4];
        assert_eq!(frame.steps.len(), if guest { 27 } else { 15 });
        let begin = frame.steps[0].at.stamp.cycles;
        for step in &frame.steps {
            assert!(
                svg.contains(&format!(">{}</text>", escape(&frame.stage_text(step.stage, &trace.header))))
            );
            assert!(svg.contains(&format!(">{}</text>", thousands(step.at.stamp.cycles - begin))));
        }
        assert_eq!(svg.matches("<circle").count(), 2 * frame.steps.len());
        assert!(svg.contains(&escape(&trace.stamps())));
        assert_eq!(svg, drawn(&trace, 4));
    }
}

#[test]
fn loss_and_damage_are_in_the_picture() {
    let mut trace = trace(3, true);
    assert!(drawn(&trace, 1).contains("Lost: not known: the trace has no end"));
    trace.totals = Some(crate::file::Totals { records: 9, lost: 2, guest_lost: 5, beyond_limit: 0 });
    trace.damage = vec![crate::file::Damage::Frame { at: 77 }];
    let lost = "Lost: 2 of the machine's events, 5 of the guest's; one place of the file is damaged";
    assert!(drawn(&trace, 1).contains(&escape(lost)));
    (trace.totals, trace.damage) = (Some(Default::default()), Vec::new());
    assert!(!drawn(&trace, 1).contains("Lost"));
}

#[test]
fn steps_stand_apart_and_in_order() {
    let trace = machine(3, true).trace();
    let journeys = Journeys::build(&trace);
    for frame in &journeys.frames {
        let layout = Layout::new(frame, &journeys, &trace.header).expect("has steps");
        assert!(
            layout.steps.windows(2).all(|pair| pair[0].0.at <= pair[1].0.at && pair[0].2 + 22 <= pair[1].2)
        );
        assert!(layout.steps.iter().all(|(_, _, x)| (150..=WIDTH - 40).contains(x)));
        assert!(layout.bars.iter().all(|bar| bar.from <= bar.to));
    }
}

#[test]
fn a_missing_frame_is_reported() {
    let trace = machine(2, true).trace();
    let error = write(&trace, &Journeys::build(&trace), 2, Vec::new()).expect_err("two frames");
    assert_eq!(error.to_string(), "the trace has no frame 2: it has 2, counted from 0");
}

#[test]
fn a_frame_cut_off_is_drawn_as_far_as_it_came() {
    let mut trace = machine(1, true).trace();
    let journeys = Journeys::build(&trace);
    let ended = journeys.frames[0].at(crate::journey::Stage::FrameEnd).expect("written").record;
    trace.records.truncate(ended + 1);
    let svg = drawn(&trace, 0);
    assert!(svg.contains("camera: frame written") && !svg.contains("gpu: job starts"));
}

#[test]
fn without_a_wish_the_longest_journey_is_drawn() {
    let trace = trace(30, true);
    let journeys = Journeys::build(&trace);
    let report = crate::report::Report::new(&trace, &journeys);
    let longest = report.worst_frame.expect("frames came to the screen").number;
    assert_eq!(choose(&journeys, None).expect("there"), longest);
    assert_eq!(choose(&journeys, Some(3)).expect("there"), 3);
}
