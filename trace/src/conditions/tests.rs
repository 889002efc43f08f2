use super::*;
use crate::Accel;
use crate::event::{Category, Event};
use crate::file::Totals;
use crate::journey::synthetic::{Machine, NS};
use crate::testing::{CAMERA_ENGINE, DISPLAY_ENGINE, GPU};

/// Cycles between the steps of a journey.
const GAP: u64 = 100;

/// A frame begins at cycle 1000 and is written `GAP` later; from there to the latch there are 15 gaps, the 40 cycles of the job and one
/// between the two signals of its fence (`Machine::journey`).
const WRITTEN_TO_LATCH: u64 = 15 * GAP + 41;

fn machine(frames: u32) -> Machine {
    let mut machine = Machine::new(true);
    for index in 0..4 {
        machine.queue(u64::from(index), index);
    }
    let mut now = 1000;
    for frame in 0..frames {
        now = machine.journey(now, frame % 4, u64::from(frame % 3), &[GAP; 24]) + 10;
    }
    machine
}

fn whole(machine: &Machine) -> TraceFile {
    let mut trace = machine.trace();
    let records = trace.records.len() as u64;
    trace.totals = Some(Totals { records, lost: 0, guest_lost: 0, beyond_limit: 0 });
    trace
}

fn check(sentence: &str, trace: &TraceFile) -> Finding {
    let condition: Condition = sentence.parse().unwrap();
    condition.check(trace, &Journeys::build(trace))
}

/// What contradicts the sentence.
fn broken(sentence: &str, trace: &TraceFile) -> (String, Option<u64>) {
    match check(sentence, trace) {
        Finding::Broken { says, at } => (says, at.map(|at| at.cycles)),
        other => panic!("{sentence}: {other:?}"),
    }
}

fn holds(sentence: &str, trace: &TraceFile) -> String {
    match check(sentence, trace) {
        Finding::Holds(seen) => seen,
        other => panic!("{sentence}: {other:?}"),
    }
}

fn unknown(sentence: &str, trace: &TraceFile) -> String {
    match check(sentence, trace) {
        Finding::Unknown(why) => why,
        other => panic!("{sentence}: {other:?}"),
    }
}

fn without(machine: &Machine, gone: impl Fn(&Event) -> bool) -> TraceFile {
    let mut trace = whole(machine);
    trace.records.retain(|record| !gone(&record.event));
    trace
}

#[test]
fn each_limit_holds_up_to_what_was_and_not_below() {
    let mut machine = machine(3);
    machine.fence(1100, "dma_fence_wait_start", 100, ("gpu", "ring", 17, 1));
    machine.fence(1400, "dma_fence_wait_end", 100, ("gpu", "ring", 17, 1));
    let trace = whole(&machine);
    for (before, after, cycles) in [
        ("every camera frame is scanned out within", "", WRITTEN_TO_LATCH),
        ("no interrupt is later than", "", GAP),
        ("no job takes longer than", "", 40),
        ("no gpu job takes longer than", ".", 40),
        ("no fence waits longer than", "", 300),
    ] {
        holds(&format!("{before} {cycles} cycles{after}"), &trace);
        broken(&format!("{before} {} cycles{after}", cycles - 1), &trace);
        holds(&format!("{before} {} ns", cycles * NS), &trace);
        broken(&format!("{before} {} ns", cycles * NS - 1), &trace);
        holds(&format!("{before} {}us", (cycles * NS) as f64 / 1e3), &trace);
    }
    let (says, at) = broken("no fence waits longer than 5 ns", &trace);
    assert!(says.contains("thread 100 waits 0.9 us for fence 1 of gpu ring") && at == Some(1100), "{says}");
    let (says, at) = broken("no job takes longer than 1 cycles", &trace);
    assert!(
        says.starts_with("job 1 of gpu, ring 0, takes 40 cycles; it began, at cycle 2000 (0.006000 ms)"),
        "{says}"
    );
    assert_eq!(at, Some(2000));
}

#[test]
fn what_never_ends_is_measured_to_the_traces_end() {
    let mut machine = machine(2);
    machine.fence(1100, "dma_fence_wait_start", 7, ("gpu", "ring", 17, 9));
    machine.host(1_000_000, Event::MsiRaised { rid: GPU, vector: 0 });
    machine.host(1_000_500, Event::Vblank { engine: DISPLAY_ENGINE, frame: 999 });
    let trace = whole(&machine);
    holds("no fence waits longer than 999400 cycles", &trace);
    let (says, _) = broken("no fence waits longer than 999399 cycles", &trace);
    assert!(says.contains("to the trace's end"), "{says}");
    holds("no interrupt is later than 500 cycles", &trace);
    let (says, at) = broken("no interrupt is later than 499 cycles", &trace);
    assert!(says.contains("vector 0 of gpu is not taken") && at == Some(1_000_000), "{says}");
}

#[test]
fn vertical_blanks_are_counted_from_the_last_byte_to_the_latch() {
    let mut machine = machine(2);
    let all = whole(&machine);
    holds("every camera frame is scanned out within 1 vblank", &all);
    broken("every camera frame is scanned out within 0 vblanks", &all);
    // Two more while the first frame is on its way, one of them before its last byte.
    for cycles in [1050, 1200] {
        machine.host(cycles, Event::Vblank { engine: DISPLAY_ENGINE, frame: cycles });
    }
    let trace = whole(&machine);
    holds("every frame is scanned out within 2 vblanks", &trace);
    let (says, at) = broken("every frame is scanned out within 1 vblanks", &trace);
    assert!(says.starts_with("frame 0 of camera, sequence 0, written at cycle 1100"), "{says}");
    assert!(says.contains("only 2 vblanks later") && at == Some(1100 + WRITTEN_TO_LATCH), "{says}");
    let none = without(&machine, |event| matches!(event, Event::Vblank { .. }));
    assert!(unknown("every frame is scanned out within 1 vblanks", &none).contains("no vertical blank"));
}

#[test]
fn a_frame_that_is_not_shown_counts_unless_the_stream_ends_with_it() {
    let machine = machine(3);
    let of = |event: &Event, number: u64| match event {
        Event::Latch { commit, .. } => *commit == number,
        Event::Flip { flip, .. } => *flip == number,
        _ => false,
    };
    let (says, at) = broken("every camera frame is scanned out", &without(&machine, |event| of(event, 2)));
    assert!(says.contains("frame 1 of camera") && at.is_some(), "{says}");
    assert_eq!(
        holds("every camera frame is scanned out", &without(&machine, |event| of(event, 3))),
        "2 frames"
    );
    let unshown = without(&machine, |event| matches!(event, Event::Latch { .. } | Event::Flip { .. }));
    broken("every camera frame is scanned out", &unshown);
    let none = whole(&Machine::new(true));
    assert_eq!(broken("every frame is scanned out", &none).0, "no such frame was written");
}

#[test]
fn events_are_counted() {
    let mut machine = machine(3);
    for (sentence, came) in [
        ("frames are scanned out", 3),
        ("camera frames are scanned out", 3),
        ("jobs end", 6),
        ("gpu jobs end", 6),
        ("IOMMU faults", 0),
    ] {
        let trace = whole(&machine);
        for (count, wanted, is) in [
            ("at least", came, true),
            ("at least", came + 1, false),
            ("at most", came, true),
            ("exactly", came, true),
            ("exactly", came + 1, false),
        ] {
            let finding = check(&format!("{count} {wanted} {sentence}"), &trace);
            assert_eq!(matches!(finding, Finding::Holds(_)), is, "{count} {wanted} {sentence}: {finding:?}");
        }
    }
    let fault = Event::IommuFault { rid: GPU, iova: 0x1000, write: true, reason: 5 };
    machine.host(70, fault.clone());
    machine.host(80, fault);
    let (says, at) = broken("no IOMMU fault", &whole(&machine));
    assert!(
        says.starts_with("the IOMMU stops a write of gpu at 0x1000, reason 0x5, the first of 2 faults"),
        "{says}"
    );
    assert_eq!(at, Some(70));
    broken("at most 1 IOMMU fault", &whole(&machine));
}

#[test]
fn what_must_not_be_is_told_with_its_first() {
    let mut bad = machine(3);
    holds("no camera frame is dropped", &whole(&bad));
    holds("no underrun", &whole(&bad));
    holds("every job ends well", &whole(&bad));
    holds("no frame is lost", &whole(&bad));
    holds("causality", &whole(&bad));
    bad.host(90, Event::FrameDropped { engine: CAMERA_ENGINE, sequence: 77 });
    bad.host(95, Event::Underrun { engine: DISPLAY_ENGINE, frame: 5 });
    let trace = whole(&bad);
    assert!(
        broken("no frame is dropped", &trace)
            .0
            .starts_with("camera had no buffer for its frame 77, at cycle 90")
    );
    assert!(broken("no underrun", &trace).0.starts_with("1 underruns, the first, at cycle 95"));
    let mut failed = whole(&bad);
    let ends = failed.records.iter_mut().filter_map(|record| match &mut record.event {
        Event::JobEnd { ok, .. } => Some(ok),
        _ => None,
    });
    ends.take(1).for_each(|ok| *ok = false);
    holds("every job ends", &failed);
    assert!(broken("every gpu job ends well", &failed).0.contains("job 1 of gpu, ring 0 ends with an error"));
    let endless = without(&bad, |event| matches!(event, Event::JobEnd { seqno: 2, .. }));
    assert!(broken("every job ends", &endless).0.starts_with("job 2 of gpu, ring 0 does not end; it began"));
    assert_eq!(broken("every job ends", &whole(&Machine::new(true))).0, "there is no such job in the trace");
    // The first frame's interrupt is raised at cycle 1100 and taken at 1200.
    bad.host(1250, Event::InterruptDelivered { cpu: 0, vector: 0x31 });
    let trace = whole(&bad);
    let (says, at) = broken("causality", &trace);
    assert!(says.contains("delivered-unraised") && at == Some(1250), "{says}");
}

#[test]
fn a_trace_that_cannot_contradict_does_not_hold() {
    let mut machine = machine(2);
    let lost = machine.trace();
    let why = unknown("no IOMMU fault", &lost);
    assert!(why.contains("not all is there") && why.contains("Lost: "), "{why}");
    holds("at least 2 frames are scanned out", &lost);
    machine.host(80, Event::IommuFault { rid: GPU, iova: 0, write: false, reason: 6 });
    broken("no IOMMU fault", &machine.trace());
    let mut narrow = whole(&machine);
    narrow.header.categories.retain(|category| *category != Category::Iommu);
    assert!(unknown("no IOMMU fault", &narrow).contains("without the category 'iommu'"));
    assert!(
        unknown("every lidar frame is scanned out", &whole(&machine))
            .contains("no engine 'lidar': it has gpu")
    );
    let mut devices = Machine::new(false);
    devices.host(10, Event::MsiRaised { rid: GPU, vector: 0 });
    let mut trace = whole(&devices);
    assert!(unknown("no fence waits longer than 5 ms", &trace).contains("dma_fence_wait_start"));
    trace.header.accel = Accel::Kvm;
    assert!(unknown("no interrupt is later than 5 ms", &trace).contains("under kvm"));
}

#[test]
fn a_sentence_that_is_no_condition_is_refused_with_the_nearest() {
    for (sentence, form) in [
        ("no fence waits more than 5 ms", "no fence waits longer than TIME"),
        (
            "every camera frame is scaned out within 3 vblanks",
            "every [NAME] frame is scanned out within N vblanks",
        ),
        ("no iommu errors", "no IOMMU fault"),
        ("atleast 100 frames are scanned out", "at least N [NAME] frames are scanned out"),
        ("no interrupt is later than 100 parsecs", "no interrupt is later than TIME"),
        ("causalty", "causality"),
    ] {
        let error = sentence.parse::<Condition>().unwrap_err().to_string();
        assert!(error.contains(&format!("the nearest form is '{form}'")) && error.len() < 300, "{error}");
    }
    for sentence in [
        "",
        " ",
        ".",
        "at least -1 frames are scanned out",
        "no underrun at all",
        "no job takes longer than 1e5 ms",
    ] {
        assert!(sentence.parse::<Condition>().is_err(), "{sentence}");
    }
    let long = "no fence ".repeat(10_000);
    assert!(long.parse::<Condition>().unwrap_err().to_string().len() < 300);
}

#[test]
fn every_form_of_the_documentation_is_one_and_the_other_way_round() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/trace-conditions.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(form, _)| form));
    let documented: Vec<&str> = rows.collect();
    assert_eq!(documented, forms().collect::<Vec<_>>());
    for form in documented {
        for name in ["", "camera "] {
            let sentence = form.replace("[NAME] ", name).replace("TIME", "2.5 ms").replace(" N ", " 3 ");
            assert!(sentence.parse::<Condition>().is_ok(), "{sentence}");
        }
    }
}
