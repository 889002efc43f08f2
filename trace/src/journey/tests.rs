//! Journeys of made-up machines, whose truth is known.

use super::synthetic::Machine;
use super::*;
use crate::testing::CAMERA_ENGINE;
use crate::{Event, Record};

/// A deterministic source of delays.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn gaps(&mut self) -> [u64; 24] {
        std::array::from_fn(|_| 1 + self.below(900))
    }
}

/// `frames` frames, one after the other, over 4 capture buffers and 3 screens.
fn machine(seed: u64, frames: u32, guest: bool, direct: bool) -> Machine {
    let mut random = Random(seed);
    let mut machine = Machine::new(guest);
    machine.direct = direct;
    for index in 0..4 {
        machine.queue(u64::from(index), index);
    }
    let mut now = 1000;
    for frame in 0..frames {
        machine.tick(now - 3);
        now = machine.journey(now, frame % 4, u64::from(frame % 3), &random.gaps()) + random.below(3000) + 10;
        machine.tick(now - 2);
    }
    machine
}

/// Every stage of every frame is where the machine put it, and no other stage is there.
fn agrees(machine: &Machine, journeys: &Journeys) {
    let mut found = std::collections::BTreeMap::new();
    for frame in &journeys.frames {
        for step in &frame.steps {
            assert_eq!(step.at.stamp.ns, step.at.stamp.cycles * synthetic::NS);
            found.insert((frame.number, step.stage), step.at.stamp.cycles);
        }
    }
    let mut truth = machine.truth.clone();
    truth.retain(|(_, stage), _| machine.guest || stage.side() == Side::Host);
    if !machine.guest {
        truth.retain(|(_, stage), _| *stage != Stage::JobDoorbell || !machine.direct);
    }
    for (key, cycles) in &truth {
        assert_eq!(found.get(key), Some(cycles), "{key:?}");
    }
    assert_eq!(found.len(), truth.len());
}

#[test]
fn every_stage_of_every_journey_is_found() {
    for seed in 0..20 {
        for (guest, direct) in [(true, false), (false, false), (true, true), (false, true)] {
            let machine = machine(seed, 40, guest, direct);
            let journeys = Journeys::build(&machine.trace());
            assert_eq!(journeys.frames.len(), 40);
            agrees(&machine, &journeys);
            for frame in &journeys.frames {
                assert_eq!(frame.outcome, Outcome::Complete, "seed {seed} frame {}", frame.number);
            }
            assert_eq!(journeys.violations, []);
        }
    }
}

/// The trace of `machine` with the record of a frame's stage moved to another time.
pub(super) fn moved(machine: &Machine, frame: usize, stage: Stage, to: u64) -> crate::file::TraceFile {
    let mut trace = machine.trace();
    let journeys = Journeys::build(&trace);
    let at = journeys.frames[frame].at(stage).expect("the frame has it");
    trace.records[at.record].stamp = crate::Stamp { cycles: to, ns: to * synthetic::NS };
    trace.records.sort_by_key(|record| record.stamp);
    trace
}

/// What `--check` says of a trace.
fn objections(trace: &crate::file::TraceFile, least: usize) -> Vec<String> {
    crate::report::Report::new(trace, &Journeys::build(trace)).objections(least)
}

#[test]
fn whatever_stands_before_its_cause_is_objected_to() {
    for seed in 0..5 {
        let machine = machine(seed, 12, true, false);
        assert_eq!(objections(&machine.trace(), 12), [""; 0]);
        for (cause, effect) in STAGE_ORDER {
            // What the devices do themselves is joined by its order; what others make of it is checked.
            let checked = effect.side() == Side::Guest
                || matches!(effect, Stage::CaptureDelivered | Stage::FenceDelivered | Stage::FlipDelivered);
            // These two are joined by their order.
            let by_order = [(Stage::Dequeued, Stage::Requeued), (Stage::Scheduled, Stage::FenceMade)];
            if !checked || by_order.contains(&(cause, effect)) {
                continue;
            }
            let before = machine.truth[&(6, cause)] - 1;
            let trace = moved(&machine, 6, effect, before);
            assert_ne!(objections(&trace, 12), [""; 0], "seed {seed}: {effect:?} before {cause:?}");
        }
    }
}

#[test]
fn gaps_in_a_damaged_trace_do_not_shift_its_doorbells() {
    let whole = machine(4, 30, true, false).trace();
    for begin in (50..whole.records.len() - 300).step_by(23) {
        let mut trace = whole.clone();
        trace.records.drain(begin..begin + 170);
        trace.damage = vec![crate::file::Damage::Frame { at: 1 }];
        let of_doorbell = |one: &&Violation| {
            one.rule == Rule::JobOrder || one.stages.is_some_and(|(_, effect)| effect == Stage::JobDoorbell)
        };
        let violations = Journeys::build(&trace).violations;
        // A job whose fence is missing is given the next, which is made after its doorbell; that is all.
        assert!(violations.iter().filter(of_doorbell).count() <= 1, "from record {begin}: {violations:#?}");
    }
}

/// Under `kvm` nobody sees the CPU take interrupts: their absence is no violation, and those that were seen elsewhere are
/// not taken for all.
#[test]
fn a_machine_that_moved_is_judged_by_what_both_back_ends_see() {
    for seed in 0..5 {
        let mut trace = machine(seed, 12, true, false).trace();
        let end = trace.records.last().expect("records").stamp.cycles;
        let (there, back) = (end / 3, end / 3 * 2);
        trace.records.retain(|record| {
            let away = (there..back).contains(&record.stamp.cycles);
            !(away && matches!(record.event, Event::InterruptDelivered { .. }))
        });
        assert_ne!(objections(&trace, 12), [""; 0], "seed {seed}: without the moves they are missed");
        for (cycles, to) in [(there, crate::Accel::Kvm), (back, crate::Accel::Soft)] {
            let stamp = crate::Stamp { cycles, ns: cycles * synthetic::NS };
            trace.records.push(Record { stamp, event: Event::Moved { to } });
        }
        trace.records.sort_by_key(|record| record.stamp);
        assert_eq!(objections(&trace, 12), [""; 0], "seed {seed}");
    }
}

/// The rules that a trace breaks.
fn rules(trace: &crate::file::TraceFile) -> std::collections::BTreeSet<Rule> {
    Journeys::build(trace).violations.iter().map(|violation| violation.rule).collect()
}

#[test]
fn each_rule_is_found_broken_and_the_frame_named() {
    let machine = machine(3, 12, true, false);
    let at = |stage| machine.truth[&(6, stage)];
    for (stage, to, rule) in [
        (Stage::FenceSignaled, at(Stage::FenceWrite) - 1, Rule::StageOrder),
        (Stage::BufferDone, at(Stage::FrameEnd) - 1, Rule::StageOrder),
        (Stage::CaptureHandler, at(Stage::CaptureMsi) - 1, Rule::HandlerUnraised),
        (Stage::FenceDelivered, at(Stage::FenceMsi) - 1, Rule::DeliveredUnraised),
        (Stage::FenceMade, at(Stage::FenceWrite) + 1, Rule::WriteBeforeMade),
    ] {
        let trace = moved(&machine, 6, stage, to);
        assert!(rules(&trace).contains(&rule), "{stage:?}: {:?}", rules(&trace));
        if rule == Rule::StageOrder {
            let journeys = Journeys::build(&trace);
            assert!(journeys.violations.iter().any(|v| v.frame == Some(6)));
        }
    }
    // The buffer of frame 6 is queued only after frame 10 began in it.
    let late = moved(&machine, 6, Stage::Requeued, machine.truth[&(10, Stage::FrameStart)] + 1);
    assert!(rules(&late).contains(&Rule::CaptureNotQueued), "{:?}", rules(&late));
    // The camera begins the next frame in the same buffer while the GPU reads it.
    let early = moved(&machine, 10, Stage::FrameStart, at(Stage::JobStart) + 1);
    assert!(rules(&early).contains(&Rule::CaptureNotQueued), "{:?}", rules(&early));
}

/// The stages between which each part of the way from camera through GPU to display is measured.
fn path_of(leg: Leg) -> Vec<Stage> {
    use Stage::*;
    match leg {
        Leg::Taken => vec![FrameEnd, CaptureMsi, CaptureDelivered, CaptureHandler, BufferDone, Dequeued],
        Leg::Given => vec![Dequeued, Submitted, Scheduled, FenceMade, JobDoorbell, JobStart],
        Leg::Worked => {
            vec![JobStart, JobEnd, FenceWrite, FenceMsi, FenceDelivered, FenceHandler, FenceSignaled]
        }
        Leg::Passed => vec![FenceSignaled, Commit, Latch],
        Leg::Told => vec![Latch, Flip, FlipMsi, FlipDelivered, FlipHandler, OutFence, FlipEvent],
        Leg::Back => {
            vec![JobEnd, FenceWrite, FenceMsi, FenceDelivered, FenceHandler, FenceSignaled, Requeued]
        }
        Leg::Whole => Stage::ALL.into_iter().filter(|stage| *stage <= Flip).collect(),
    }
}

#[test]
fn a_hand_offs_parts_sum_to_it_and_its_stages_are_their_truth() {
    let machine = machine(11, 30, true, false);
    let journeys = Journeys::build(&machine.trace());
    let mut measured = 0;
    for handoff in &journeys.handoffs {
        let path = path_of(handoff.kind.leg);
        let truth = |stage: &Stage| machine.truth[&(handoff.frame, *stage)];
        let took = truth(path.last().expect("an end")) - truth(path.first().expect("a begin"));
        assert_eq!(
            (handoff.took.cycles, handoff.took.ns),
            (took, took * synthetic::NS),
            "{:?}",
            handoff.kind
        );
        let parts: u64 = Component::ALL.iter().map(|part| handoff.split.part(*part).cycles).sum();
        assert_eq!(parts, took, "{:?}", handoff.kind);
        // By hand: a path's gaps by the component of the stage that ends each; there is no flip to wait for here.
        let mut by_hand = Split::default();
        for pair in path.windows(2) {
            let gap = truth(&pair[1]) - truth(&pair[0]);
            by_hand.add(pair[1].component(), crate::Stamp { cycles: gap, ns: gap * synthetic::NS });
        }
        assert_eq!(handoff.split, by_hand, "{:?}", handoff.kind);
        measured += 1;
    }
    assert_eq!(measured, 30 * 7);
}

#[test]
fn frames_that_do_not_arrive_say_why() {
    let mut machine = machine(5, 6, true, false);
    let end = machine.records.iter().map(|record| record.stamp.cycles).max().expect("records");
    let (sequence, buffer) = (6, Some(2));
    machine.host(end + 10, crate::Event::FrameDropped { engine: CAMERA_ENGINE, sequence });
    machine
        .host(end + 20, crate::Event::FrameStart { engine: CAMERA_ENGINE, sequence: sequence + 1, buffer });
    machine.host(
        end + 30,
        crate::Event::FrameEnd {
            engine: CAMERA_ENGINE,
            sequence: sequence + 1,
            buffer: 2,
            bytes: 4096,
            crc: 0,
        },
    );
    machine.host(
        end + 40,
        crate::Event::FrameStart { engine: CAMERA_ENGINE, sequence: sequence + 2, buffer: Some(3) },
    );
    let journeys = Journeys::build(&machine.trace());
    let ends: Vec<Outcome> = journeys.frames.iter().skip(6).map(|frame| frame.outcome).collect();
    assert_eq!(ends, [Outcome::Dropped, Outcome::Unclaimed, Outcome::Abandoned]);
    // Cut off after each record: no cut makes a violation, or a frame that lost a stage.
    let mut trace = machine.trace();
    while trace.records.pop().is_some() {
        let journeys = Journeys::build(&trace);
        assert_eq!(journeys.violations, [], "after {} records", trace.records.len());
        assert!(
            journeys.frames.iter().all(|frame| frame.outcome.is_sound()),
            "{} records",
            trace.records.len()
        );
    }
}

#[test]
fn buffers_are_told_apart_and_say_whose_they_were() {
    let machine = machine(8, 12, true, false);
    let journeys = Journeys::build(&machine.trace());
    assert_eq!(journeys.buffers.len(), 4 + 3, "capture buffers and screens");
    for (number, frame) in journeys.frames.iter().enumerate() {
        let source = &journeys.buffers[frame.source.expect("known")];
        let shown = &journeys.buffers[frame.shown.expect("known")];
        assert!(source.has_page(Machine::source_page(number as u32 % 4)));
        assert!(shown.has_page(Machine::screen_page(number as u64 % 3)));
        assert_eq!(source.bytes(), 6 * PAGE_BYTES);
        let held =
            |engine| source.holds.iter().find(|hold| hold.engine == engine && hold.frame == Some(number));
        let camera = held(CAMERA_ENGINE).expect("the camera had it");
        assert_eq!(camera.from.stamp.cycles, machine.truth[&(number, Stage::FrameStart)]);
        let gpu = held(crate::testing::GPU_ENGINE).expect("the GPU had it");
        assert_eq!(gpu.until.map(|at| at.stamp.cycles), Some(machine.truth[&(number, Stage::JobEnd)]));
        assert_eq!(frame.fence, Some(FenceId { context: synthetic::CONTEXT, seqno: number as u64 + 1 }));
    }
    let lines: Vec<_> =
        journeys.interrupts.iter().map(|line| (line.rid, line.cpu_vector, line.irq)).collect();
    assert_eq!(lines, [(8, Some(0x32), Some(27)), (16, Some(0x31), Some(24)), (24, Some(0x34), Some(31))]);
}

#[test]
fn descriptors_that_a_device_fetches_are_not_buffers() {
    let plain = machine(3, 12, true, false).trace();
    let mut trace = plain.clone();
    // A scatter-gather list of 80 entries, in two pages that do not follow each other, before everything that is read.
    let list = |rid| {
        let (iova, len) = (0x7fff_0a00, 1280);
        [
            Event::DmaRead { rid, iova, gpa: 0x77_0a00, len: 1024 },
            Event::DmaRead { rid, iova: iova + 1024, gpa: 0x99_0000, len: 256 },
            Event::DescriptorFetch { rid, iova, len },
        ]
    };
    trace.records.clear();
    for record in &plain.records {
        if let Event::DmaRead { rid, .. } = record.event {
            trace.records.extend(list(rid).map(|event| Record { stamp: record.stamp, event }));
        }
        trace.records.push(record.clone());
    }
    let [without, with] = [&plain, &trace].map(|trace| {
        let journeys = Journeys::build(trace);
        let pages: Vec<_> = journeys.buffers.iter().map(|buffer| buffer.pages.clone()).collect();
        let shown: Vec<_> = journeys.flips.iter().map(|flip| flip.buffer).collect();
        (pages, shown, journeys.violations.len())
    });
    assert_eq!(with, without);
}

#[test]
fn what_began_before_a_snapshot_is_no_fault() {
    let machine = machine(11, 6, true, false);
    let whole = machine.trace();
    let cycles: Vec<u64> = whole.records.iter().map(|record| record.stamp.cycles).collect();
    let mut begun_before = 0;
    for begin in cycles {
        let mut trace = machine.trace();
        trace.header.snapshot = Some(begin);
        // The guest's agent sends its events later than they happened, so all of its own come after the snapshot here.
        let guest = |record: &Record| matches!(record.event, Event::Guest(_));
        trace.records.retain(|record| record.stamp.cycles >= begin || guest(record));
        let journeys = Journeys::build(&trace);
        assert_eq!(journeys.violations, [], "snapshot at {begin}");
        for frame in &journeys.frames {
            assert!(frame.outcome.is_sound(), "snapshot at {begin}: {frame:?}");
            begun_before += usize::from(frame.outcome == Outcome::BegunBefore);
        }
    }
    assert!(begun_before > 6, "{begun_before}");
}
