//! The hostile guests of ci/bench --worst, one by one: what they start is done in parts, and can be saved, ended and gone on with in the
//! middle. How long that takes the host is measured there, not here.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use fencepost_skip::Tested;
use fencepost_trace::Event;
use fencepost_trace::file::TraceFile;

/// docs/gpu.md: 1 GiB at 16 bytes a cycle, and 500 cycles; parts of 16 MiB.
const FILL_NS: u64 = 500 + (1 << 30) / 16;
const PARTS: u64 = 64;
/// More than one takes.
const CALLS: u64 = 20;

/// Runs a guest that has the GPU fill 1 GiB, and gives what it said on both outputs.
fn fill(folder: &Path, options: &[&str]) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_fencepost"))
        .args(["run", "--memory", "512M", "--accel", "soft", "--timeout", "300"])
        .args(["--append", "fill", "--memory-hash", "--kernel"])
        .arg(folder.join("worst"))
        .args(options)
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    (String::from_utf8_lossy(&output.stdout).into_owned(), said)
}

fn memory(said: &str) -> &str {
    said.lines().find(|line| line.starts_with("guest memory:")).expect("--memory-hash")
}

#[test]
fn a_job_of_a_gibibyte_has_parts_evenly_over_its_time() -> Tested {
    let Some(guests) = common::micro_guests() else { return Tested::skipped(common::NO_MAKE) };
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("trace");
    let trace = path.to_str().expect("UTF-8");
    let (console, _) = fill(guests, &["--trace", trace, "--trace-categories", "engine,dma"]);
    assert_eq!(console.replace('\r', ""), "error 0\n");
    let trace = TraceFile::read(std::fs::File::open(&path).expect("written")).expect("readable");
    let times = |wanted: fn(&Event) -> bool| -> Vec<u64> {
        trace.records.iter().filter(|one| wanted(&one.event)).map(|one| one.stamp.ns).collect()
    };
    let start = times(|event| matches!(event, Event::JobStart { .. }))[0];
    let end = times(|event| matches!(event, Event::JobEnd { .. }))[0];
    let writes = times(|event| matches!(event, Event::DmaWrite { .. }));
    for part in 1..=PARTS {
        // A part takes several calls, a cycle after each other.
        let due = start + FILL_NS * part / PARTS;
        let next = if part == PARTS { end + 1 } else { start + FILL_NS * (part + 1) / PARTS };
        let its: Vec<u64> = writes.iter().copied().filter(|at| (due..next).contains(at)).collect();
        assert!(its.first() == Some(&due) && its.last() < Some(&(due + CALLS)), "{part}: {its:?}");
    }
    assert!((start + FILL_NS..start + FILL_NS + CALLS).contains(&end), "{end}");
    assert!(
        writes.iter().all(|at| !(start..start + FILL_NS / PARTS).contains(at)),
        "before the first is over"
    );
    Tested::Ran
}

#[test]
fn a_machine_that_is_saved_in_the_middle_of_a_job_ends_like_one_that_is_not() -> Tested {
    let Some(guests) = common::micro_guests() else { return Tested::skipped(common::NO_MAKE) };
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("saved");
    let saved = path.to_str().expect("UTF-8");
    let (_, whole) = fill(guests, &[]);
    let (_, saving) = fill(guests, &["--snapshot", saved, "--snapshot-at", "40ms"]);
    assert_eq!(memory(&saving), memory(&whole));
    let restored = Command::new(env!("CARGO_BIN_EXE_fencepost"))
        .args(["run", "--restore", saved, "--accel", "soft", "--timeout", "300", "--memory-hash"])
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    let said = String::from_utf8_lossy(&restored.stderr).into_owned();
    assert_eq!(restored.status.code(), Some(0), "{said}");
    assert_eq!(memory(&said), memory(&whole));
    Tested::Ran
}
