//! `--on-panic`: a panic ends the run where the driver tells of it, and is saved there. Restored, the guest goes on with the
//! next instruction. (The micro-guests `panicked` and `pvpanic` do the same without the option; Linux does in ci/panic-tests.sh.)

mod common;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use fencepost_skip::Tested;

fn fencepost(accel: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fencepost"))
        .args(["run", "--timeout", "120", "--accel", accel])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("it runs")
}

/// Standard output without carriage returns, and standard error.
fn texts(output: &Output) -> [String; 2] {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).replace('\r', ""))
}

/// The micro-guest has told of another panic before.
const PANICKED: &str = "fencepost: the guest's kernel panicked: it did not say why; it also reported a panic that a crash kernel \
                        was to deal with";

fn dump_and_restore(accel: &str) -> Tested {
    let Some(guests) = common::micro_guests() else { return Tested::skipped(common::NO_MAKE) };
    if accel == "kvm" && !common::kvm_opens() {
        return Tested::skipped(common::NO_KVM);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (kernel, saved) = (text(&guests.join("pvpanic")), text(&folder.path().join("saved")));
    let boot = ["--kernel", &kernel, "--memory", "32M", "--device", "pvpanic,slot=5"];
    let ended = fencepost(accel, &[&boot[..], &["--on-panic", "dump", "--snapshot", &saved]].concat());
    let [console, said] = texts(&ended);
    assert_eq!(ended.status.code(), Some(5), "{accel}: {said}");
    assert!(console.ends_with("\nnow\n"), "{accel}: {console}");
    assert!(said.lines().any(|line| line.starts_with("  rip 0x")), "{accel}: {said}");
    assert_eq!(said.lines().last(), Some(PANICKED), "{accel}: {said}");

    let again = fencepost(accel, &["--restore", &saved]);
    let [console, said] = texts(&again);
    assert_eq!((console.as_str(), again.status.code()), ("not reached\n", Some(0)), "{accel}: {said}");
    assert_eq!(said.lines().last(), Some(PANICKED), "what was heard before is part of the snapshot: {said}");
    Tested::Ran
}

#[test]
fn a_panic_is_saved_and_gone_on_from_under_soft() -> Tested {
    dump_and_restore("soft")
}

#[test]
fn a_panic_is_saved_and_gone_on_from_under_kvm() -> Tested {
    dump_and_restore("kvm")
}
