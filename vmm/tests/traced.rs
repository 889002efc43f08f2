//! Traced runs of micro-guests (guest-tests/micro) under both back ends, and of one that moves between them.

mod common;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use fencepost_skip::Tested;
use fencepost_trace::file::TraceFile;
use fencepost_trace::{Accel, Event, ExitReason};

fn fencepost(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fencepost"));
    command.args(arguments).stdin(Stdio::null()).output().expect("the command starts")
}

/// The trace of a micro-guest that ends with status 0, and what the run and a checked report say.
fn traced(kernel: &Path, options: &[&str]) -> (TraceFile, String, String) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let trace = folder.path().join("trace");
    let (kernel, file) = (kernel.to_str().expect("UTF-8"), trace.to_str().expect("UTF-8"));
    let run = ["run", "--memory", "32M", "--timeout", "120", "--kernel", kernel, "--trace", file];
    let output = fencepost(&[&run[..], options].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{options:?}: {said}");
    let report = fencepost(&["trace", "report", "--check", "--complete", "0", file]);
    let warned = String::from_utf8_lossy(&report.stderr);
    assert_eq!((report.status.code(), &*warned), (Some(0), ""), "{options:?}");
    let trace = TraceFile::read(std::fs::File::open(&trace).expect("written")).expect("readable");
    assert_eq!(trace.damage, []);
    assert_eq!(
        trace.totals.map(|totals| (totals.records, totals.lost)),
        Some((trace.records.len() as u64, 0))
    );
    (trace, said, String::from_utf8_lossy(&report.stdout).into_owned())
}

/// What the devices did for the micro-guest `fence`, and how its report begins, on one back end.
fn work_on(accel: &str, folder: &Path) -> (Vec<Event>, Accel, String) {
    let is_work = |event: &&Event| matches!(event, Event::FenceWrite { .. } | Event::MsiRaised { .. });
    let (trace, _, report) = traced(&folder.join("fence"), &["--accel", accel]);
    let work = trace.records.iter().map(|record| &record.event).filter(is_work).cloned().collect();
    (work, trace.header.accel, report)
}

#[test]
fn a_trace_has_the_work_of_the_devices() -> Tested {
    let Some(folder) = common::micro_guests() else { return Tested::skipped(common::NO_MAKE) };
    let (fences, accel, report) = work_on("soft", folder);
    assert!(report.starts_with("Stamps: exact cycles"), "{report}");
    assert!(
        matches!(fences[..], [Event::FenceWrite { seqno: 7, .. }, Event::MsiRaised { .. }, ..]),
        "{fences:?}"
    );
    assert_eq!((fences.len(), accel), (6, Accel::Soft), "{fences:?}");
    Tested::Ran
}

/// What an exit brings about stands behind it: a read of a register right behind the exit for it.
#[test]
fn an_exit_is_recorded_before_what_it_brings_about() -> Tested {
    let Some(folder) = common::micro_guests() else { return Tested::skipped(common::NO_MAKE) };
    if !common::kvm_opens() {
        return Tested::skipped(common::NO_KVM);
    }
    let (trace, ..) =
        traced(&folder.join("fence"), &["--accel", "kvm", "--trace-categories", "register,vcpu"]);
    let mut reads = 0;
    for pair in trace.records.windows(2) {
        if let Event::RegisterRead { .. } = pair[1].event {
            let exit = matches!(pair[0].event, Event::VcpuExit { reason: ExitReason::Mmio, .. });
            assert!(exit || matches!(pair[0].event, Event::RegisterRead { .. }), "{pair:?}");
            reads += usize::from(exit);
        }
    }
    assert!(reads > 3, "{reads} exits with reads");
    Tested::Ran
}

#[test]
fn it_is_the_same_under_both_back_ends() -> Tested {
    let Some(folder) = common::micro_guests() else { return Tested::skipped(common::NO_MAKE) };
    if !common::kvm_opens() {
        return Tested::skipped(common::NO_KVM);
    }
    let (work, accel, report) = work_on("kvm", folder);
    assert!(report.starts_with("Stamps: stamps of the guest's TSC"), "{report}");
    assert_eq!((work, accel), (work_on("soft", folder).0, Accel::Kvm));
    Tested::Ran
}

#[test]
fn a_machine_that_moves_has_one_trace_on_one_axis() -> Tested {
    let Some(folder) = common::micro_guests() else { return Tested::skipped(common::NO_MAKE) };
    if !common::kvm_opens() {
        return Tested::skipped(common::NO_KVM);
    }
    for (first, there, back) in [("soft", "1=kvm", "2=soft"), ("kvm", "1=soft", "2=kvm")] {
        for categories in ["default", "none"] {
            let options =
                ["--accel", first, "--move", there, "--move", back, "--trace-categories", categories];
            let (trace, said, report) = traced(&folder.join("moves"), &options);
            let moves: Vec<Accel> = trace
                .records
                .iter()
                .filter_map(|record| match record.event {
                    Event::Moved { to } => Some(to),
                    _ => None,
                })
                .collect();
            assert!(moves.len() >= 2, "{options:?}: {said}");
            let alternate = |to: &[Accel]| to[0] != to[1];
            assert!(moves[0] != trace.header.accel && moves.windows(2).all(alternate), "{moves:?}");
            for to in [Accel::Kvm, Accel::Soft] {
                let name = format!("{to:?}").to_lowercase();
                let count = moves.iter().filter(|one| **one == to).count();
                assert!(said.contains(&format!("moves to {name}: {count},")), "{said}");
            }
            let kinds = format!("between soft and kvm {} times", moves.len());
            assert!(report.lines().next().is_some_and(|line| line.ends_with(&kinds)), "{report}");
            // They are sorted by cycles.
            let nanoseconds: Vec<u64> = trace.records.iter().map(|record| record.stamp.ns).collect();
            assert!(nanoseconds.is_sorted(), "{options:?}");
        }
    }
    Tested::Ran
}
