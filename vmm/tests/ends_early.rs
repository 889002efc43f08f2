//! `--max-console`, `--max-frames` and `--max-disk`: what a guest may write to the host ends where it was told to, and the guest goes on.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use fencepost_skip::Tested;

/// Writes 65,536 letters to the serial port, then ends with status 7.
const LETTERS: [u8; 21] = [
    0xb9, 0x00, 0x00, 0x01, 0x00, // mov ecx, 65536
    0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xb0, b'x', // mov al, 'x'
    0xee, // out dx, al
    0xff, 0xc9, // dec ecx
    0x75, 0xfb, // jnz to the out
    0xb0, 0x07, 0xe6, 0xf4, // mov al, 7; out 0xf4, al
    0x90,
];
const KIB: usize = 1024;

fn run(kernel: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fencepost"));
    command.args(["run", "--memory", "64M", "--accel", "soft", "--timeout", "300"]);
    command.args(["--display", "width=64,height=64", "--kernel"]).arg(kernel).args(options);
    command.stdin(Stdio::null()).output().expect("it starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_console_ends_at_its_bound_and_the_guest_goes_on() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let kernel = common::kernel(folder.path(), &LETTERS, 0x1000);
    let log = folder.path().join("log");
    let log_option = ["--console-log", log.to_str().expect("text")];
    let whole = run(&kernel, &log_option);
    assert_eq!((whole.status.code(), whole.stdout.len()), (Some(7), 64 * KIB));
    assert!(!said(&whole).contains("beyond"));
    let output = run(&kernel, &[&log_option[..], &["--max-console", "10K", "--max-disk", "3K"]].concat());
    let (said, logged) = (said(&output), fs::read(&log).expect("written"));
    assert_eq!(output.status.code(), Some(7));
    assert_eq!((output.stdout.len(), logged.len()), (10 * KIB, 3 * KIB));
    let beyond = |shown: usize| format!("{} bytes came beyond its bound and were left out", 64 * KIB - shown);
    assert!(said.contains(&format!("standard output: {}", beyond(output.stdout.len()))), "{said}");
    assert!(said.contains(&format!("log: {}", beyond(logged.len()))), "{said}");
}

/// Names and lengths of the pictures in a folder.
fn pictures(folder: &Path) -> Vec<(String, u64)> {
    let mut all: Vec<_> = fs::read_dir(folder)
        .expect("made")
        .map(|entry| entry.expect("an entry"))
        .map(|entry| (entry.file_name().into_string().expect("text"), entry.metadata().expect("there").len()))
        .collect();
    all.sort();
    all
}

#[test]
fn pictures_end_at_their_number() -> Tested {
    let Some(micro) = common::micro_guests() else { return Tested::skipped(common::NO_MAKE) };
    let folder = tempfile::tempdir().expect("temporary folder");
    let shown = |name: &str, options: &[&str]| {
        let frames = folder.path().join(name);
        let output =
            run(&micro.join("display"), &[&["--frames", frames.to_str().expect("text")], options].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        (pictures(&frames), said(&output))
    };
    let (all, _) = shown("all", &[]);
    assert!(all.len() > 2, "{all:?}");
    let (some, text) = shown("some", &["--max-frames", "2"]);
    assert_eq!(some, all[..2]);
    assert!(
        text.contains(&format!("{} files came beyond its bound and were left out", all.len() - 2)),
        "{text}"
    );
    Tested::Ran
}
