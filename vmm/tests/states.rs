//! `--state-log`: where two runs part.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

/// Counts to 100,000 and leaves; from the middle on it has another register follow, up or down.
fn counts(up: bool) -> Vec<u8> {
    let follow = if up { 0xc3 } else { 0xcb };
    vec![
        0x31, 0xc0, // xor eax, eax
        0x31, 0xdb, // xor ebx, ebx
        0x3d, 0x50, 0xc3, 0x00, 0x00, // top: cmp eax, 50000
        0x72, 0x02, // jb over
        0xff, follow, // inc ebx or dec ebx
        0xff, 0xc0, // over: inc eax
        0x3d, 0xa0, 0x86, 0x01, 0x00, // cmp eax, 100000
        0x72, 0xee, // jb top
        0xb0, 0x00, 0xe6, 0xf4, // mov al, 0; out 0xf4, al
    ]
}

fn run(folder: &Path, code: &[u8], options: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fencepost"));
    command.args(["run", "--memory", "16M", "--kernel"]);
    command.arg(common::kernel(folder, code, 0x1000)).args(options).stdin(Stdio::null());
    let output = command.output().expect("it starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn states(up: bool, cpu: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("states");
    let name = file.to_str().expect("a name");
    let options = ["--accel", "soft", "--soft-cpu", cpu, "--state-log", name, "--state-log-every", "1000"];
    assert_eq!(run(folder.path(), &counts(up), &options).0, Some(0));
    std::fs::read_to_string(file).expect("written").lines().map(str::to_owned).collect()
}

#[test]
fn runs_are_the_same_until_they_part() {
    let (one, same, other) =
        (states(true, "translator"), states(true, "interpreter"), states(false, "translator"));
    assert!((300..1000).contains(&one.len()), "{} lines", one.len());
    assert_eq!(one, same);
    let parted = one.iter().zip(&other).position(|(a, b)| a != b).expect("they part");
    let cycle: u64 = one[parted].split(' ').next().and_then(|cycle| cycle.parse().ok()).expect("a cycle");
    // Five instructions a turn until then.
    assert!((250_000..254_000).contains(&cycle), "{}", one[parted]);
}

#[test]
fn where_runs_differ_anyway_there_is_none() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let name = folder.path().join("states");
    let options = ["--accel", "kvm", "--state-log", name.to_str().expect("a name")];
    let (status, said) = run(folder.path(), &counts(true), &options);
    assert!(
        status == Some(2) && said.contains("--state-log") && said.contains("--accel soft"),
        "{status:?} {said}"
    );
    let (status, said) = run(folder.path(), &counts(true), &["--state-log-every", "5"]);
    assert!(status == Some(2) && said.contains("--state-log"), "{status:?} {said}");
}
