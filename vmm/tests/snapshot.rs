//! Snapshots: a machine that was saved and restored is the machine that never was, at whatever moment and whatever it does.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fencepost::config::{Accel, MachineConfig};
use fencepost::launch::{Launch, SnapshotAt};
use fencepost::run::{Hooks, Outcome, run};
use fencepost_skip::Tested;
use fencepost_trace::Record;

mod common;

use common::{Console, GUESTS};

/// `mov dx, 0x3f8; mov al, 10; out dx, al; again: inc rax; in al, 0x64; jmp again`: a line, then it counts for ever.
const COUNTER: [u8; 14] = [0x66, 0xba, 0xf8, 3, 0xb0, 10, 0xee, 0x48, 0xff, 0xc0, 0xe4, 0x64, 0xeb, 0xf9];

fn fencepost(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fencepost"));
    command.arg("run").args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn text(path: &Path) -> &str {
    path.to_str().expect("plain")
}

/// A folder, with a snapshot of a guest that counts in it.
fn saved() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    let kernel = common::kernel(folder.path(), &COUNTER, 0x1000);
    let file = folder.path().join("snapshot");
    let options = ["--accel", "soft", "--memory", "32M", "--snapshot-at", "1ms", "--timeout", "1"];
    let output = fencepost(&["--kernel", text(&kernel), "--snapshot", text(&file)]).args(options).output();
    let output = output.expect("it starts");
    assert_eq!(output.status.code(), Some(124), "{}", String::from_utf8_lossy(&output.stderr));
    (folder, file)
}

/// Refused with status 2 and one line that names the file and has `why`.
fn assert_refused(file: &Path, options: &[&str], why: &str) {
    let output = fencepost(&["--restore", text(file)]).args(options).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains(text(file)) && said.contains(why), "{why} is not in: {said}");
}

#[test]
fn a_damaged_or_foreign_file_is_refused_before_the_guest_runs() {
    let (folder, file) = saved();
    let whole = std::fs::read(&file).expect("readable");
    let damaged = folder.path().join("damaged");
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        std::fs::write(&damaged, bytes).expect("written");
    };
    with(&|bytes| bytes[4096 + 0x10_0000] ^= 1);
    assert_refused(&damaged, &[], "damaged: its memory");
    with(&|bytes| *bytes.last_mut().expect("not empty") ^= 1);
    assert_refused(&damaged, &[], "damaged: its state");
    with(&|bytes| bytes.truncate(5000));
    assert_refused(&damaged, &[], "cut off: 5000 of");
    with(&|bytes| bytes.clear());
    assert_refused(&damaged, &[], "not a snapshot");
    assert_refused(&folder.path().join("kernel"), &[], "not a snapshot");
    assert_refused(&folder.path().join("none"), &[], "No such file");
    assert_refused(folder.path(), &[], "not a snapshot");
}

#[test]
fn a_file_that_was_damaged_after_it_was_checked_is_refused() {
    let (_folder, file) = saved();
    let restored = fencepost(&["--restore", text(&file), "--timeout", "0.1"]).output().expect("it starts");
    assert_eq!(restored.status.code(), Some(124));
    let open = std::fs::File::options().write(true).open(&file).expect("opened");
    std::os::unix::fs::FileExt::write_all_at(&open, b"x", 4096 + 0x10_0000).expect("written");
    drop(open);
    assert_refused(&file, &[], "damaged: its memory");
}

#[test]
fn what_a_snapshot_has_already_is_not_given_again() {
    let (_folder, file) = saved();
    for options in [["--memory", "64M"], ["--seed", "1"], ["--iommu", "off"], ["--kernel", "k"]] {
        let output = fencepost(&["--restore", text(&file)]).args(options).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains(options[0]) && said.contains("--restore"), "{said}");
    }
    assert_refused(&file, &["--accel", "kvm"], "--accel soft");
}

#[test]
fn a_place_where_nothing_can_be_saved_is_refused_before_the_guest_runs() {
    let folder = tempfile::tempdir().expect("folder");
    let kernel = common::kernel(folder.path(), &COUNTER, 0x1000);
    for (place, why) in
        [(folder.path(), "is not a regular file"), (Path::new("/nonexistent/snapshot"), "No such file")]
    {
        let output =
            fencepost(&["--kernel", text(&kernel), "--accel", "soft", "--snapshot", text(place)]).output();
        let output = output.expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains(text(place)) && said.contains(why) && said.contains("name a file"), "{said}");
    }
}

#[test]
fn a_disk_that_is_full_costs_the_snapshot_and_not_the_guest() {
    let folder = tempfile::tempdir().expect("folder");
    let kernel = common::kernel(folder.path(), &COUNTER, 0x1000);
    let file = folder.path().join("snapshot");
    std::fs::write(&file, "kept").expect("written");
    // No file may grow beyond 64 KiB: the memory of the guest has its code at 1 MiB.
    let limited = format!(
        "ulimit -f 64; exec {} run --kernel {} --accel soft --memory 32M --timeout 1 --snapshot {} --snapshot-at 1ms",
        env!("CARGO_BIN_EXE_fencepost"),
        text(&kernel),
        text(&file)
    );
    let mut shell = Command::new("bash");
    let output = shell.args(["-c", &limited]).stdin(Stdio::null()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(124), "the guest went on: {said}");
    let lines = said.lines().filter(|line| line.contains("nothing was saved")).count();
    assert_eq!(lines, 1, "{said}");
    assert_eq!(std::fs::read(&file).expect("there"), b"kept");
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 2, "nothing is left over");
}

#[test]
fn a_signal_saves_the_machine_which_goes_on() {
    let folder = tempfile::tempdir().expect("folder");
    let kernel = common::kernel(folder.path(), &COUNTER, 0x1000);
    let file = folder.path().join("snapshot");
    let options = ["--accel", "soft", "--memory", "32M", "--timeout", "60"];
    let mut command = fencepost(&["--kernel", text(&kernel), "--snapshot", text(&file)]);
    let mut child = command.args(options).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = [0];
    child.stdout.take().expect("piped").read_exact(&mut line).expect("the guest runs");
    let signal = |number| {
        // SAFETY: the child has not been waited for, so its number is its own.
        assert_eq!(unsafe { libc::kill(child.id() as i32, number) }, 0);
    };
    signal(libc::SIGUSR1);
    let begun = Instant::now();
    while !file.exists() && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(file.exists(), "nothing was saved");
    signal(libc::SIGTERM);
    assert_eq!(child.wait().expect("it ends").code(), Some(143), "it went on until it was told to end");
    let restored = fencepost(&["--restore", text(&file), "--timeout", "0.1"]).output().expect("it starts");
    assert_eq!(restored.status.code(), Some(124));
}

/// Moments at which each is saved.
const MOMENTS: u64 = 4;

/// What a run leaves that must be the same.
struct Left {
    console: Vec<u8>,
    records: Vec<Record>,
    outcome: Outcome,
}

fn left(args: &Launch) -> Left {
    let console = Console::default();
    let hooks = Hooks { records: 1 << 20, say: Box::new(|_| {}), ..Hooks::new(Box::new(console.clone())) };
    let outcome = run(args, hooks).unwrap_or_else(|error| panic!("{error}"));
    let records = outcome.log.recorder.records().cloned().collect();
    let console = console.take();
    Left { console, records, outcome }
}

fn args(kernel: &Path) -> Launch {
    Launch { memory_hash: true, ..common::launch(kernel, Accel::Soft, 32) }
}

fn restored(file: &Path) -> Launch {
    let machine = MachineConfig { accel: Accel::Soft, ..MachineConfig::default() };
    Launch { restore: Some(file.into()), memory_hash: true, ..Launch::new(machine) }
}

/// Asserts that `part` is what `whole` was from the snapshot on.
fn assert_goes_on(whole: &Left, part: &Left, what: &str) {
    assert_eq!(part.outcome.end, whole.outcome.end, "{what}");
    assert_eq!(part.outcome.memory_digest, whole.outcome.memory_digest, "{what}: memory");
    assert_eq!(part.outcome.stats.cycles, whole.outcome.stats.cycles, "{what}: time");
    assert_eq!(part.outcome.stats.instructions, whole.outcome.stats.instructions, "{what}: instructions");
    assert!(whole.console.ends_with(&part.console), "{what}: {}", String::from_utf8_lossy(&part.console));
    assert!(whole.records.ends_with(&part.records), "{what}: events");
}

/// A file beside the kernel.
fn beside(kernel: &Path, name: &str) -> PathBuf {
    kernel.with_file_name(format!("{}-{name}", kernel.file_name().expect("a name").to_string_lossy()))
}

/// Saves `kernel`'s guest at `at` and compares the rest of three runs: the uninterrupted, the saved and the restored.
fn save_and_restore(kernel: &Path, whole: &Left, base: &Launch, at: SnapshotAt) -> Left {
    // Of a name of its own: other tests save the same guest meanwhile.
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("snapshot");
    let saving = Launch { snapshot: Some(file.clone()), snapshot_at: vec![at], ..base.clone() };
    let saved = left(&saving);
    let what = format!("{} saved at {at:?}", kernel.display());
    assert_goes_on(whole, &saved, &what);
    assert_eq!((&saved.console, saved.records.len()), (&whole.console, whole.records.len()), "{what}");
    let again = left(&restored(&file));
    assert_goes_on(whole, &again, &format!("{what} and restored"));
    again
}

#[test]
fn a_restored_guest_is_the_one_that_was_not_interrupted() -> Tested {
    let Some(folder) = common::micro_guests() else {
        return Tested::skipped(common::NO_MAKE);
    };
    let mut shared = 0;
    for name in GUESTS {
        let kernel = folder.join(name);
        let base = args(&kernel);
        let whole = left(&base);
        let end_ns = whole.outcome.stats.cycles;
        for moment in 1..=MOMENTS {
            // Not at round numbers, and not at the same part of each.
            let at_ns = end_ns * moment / (MOMENTS + 1) + 7 * name.len() as u64;
            let again = save_and_restore(&kernel, &whole, &base, SnapshotAt::Time(at_ns));
            shared += again.records.len();
        }
    }
    assert!(shared > 1000, "only {shared} events after the snapshots");
    Tested::Ran
}

#[test]
fn a_seed_goes_on_where_it_was() -> Tested {
    let Some(folder) = common::micro_guests() else {
        return Tested::skipped(common::NO_MAKE);
    };
    for name in ["display", "semaphore"] {
        let kernel = folder.join(name);
        let mut base = args(&kernel);
        base.machine.seed = Some(5);
        let whole = left(&base);
        let at_ns = whole.outcome.stats.cycles / 2;
        save_and_restore(&kernel, &whole, &base, SnapshotAt::Time(at_ns));
    }
    Tested::Ran
}

#[test]
fn a_restored_machine_saves_the_same_file() -> Tested {
    let Some(folder) = common::micro_guests() else {
        return Tested::skipped(common::NO_MAKE);
    };
    let kernel = folder.join("display");
    let (first, second) = (beside(&kernel, "first"), beside(&kernel, "second"));
    let half_ns = left(&args(&kernel)).outcome.stats.cycles / 2;
    let at = vec![SnapshotAt::Time(half_ns)];
    left(&Launch { snapshot: Some(first.clone()), snapshot_at: at.clone(), ..args(&kernel) });
    // Its time is past that moment already: it is saved before its first instruction.
    left(&Launch { snapshot: Some(second.clone()), snapshot_at: at, ..restored(&first) });
    let read = |path| std::fs::read(path).expect("readable");
    assert!(read(&first) == read(&second), "the files differ");
    Tested::Ran
}

/// `mov dx, 0xf8; mov al, 7; out dx, al; inc ebx`, then a line to the console, then EBX's low byte to the exit port.
const MARKED: [u8; 20] = [
    0x66, 0xba, 0xf8, 0, 0xb0, 7, 0xee, 0xff, 0xc3, 0x66, 0xba, 0xf8, 3, 0xb0, 10, 0xee, 0x88, 0xd8, 0xe6,
    0xf4,
];

#[test]
fn a_machine_under_kvm_is_saved_at_a_mark_and_restored_under_either() -> Tested {
    if !common::kvm_opens() {
        return Tested::skipped(common::NO_KVM);
    }
    let folder = tempfile::tempdir().expect("folder");
    let kernel = common::kernel(folder.path(), &MARKED, 0x1000);
    let file = folder.path().join("snapshot");
    let run = |arguments: &[&str]| {
        let mut command = fencepost(arguments);
        let output = command.args(["--timeout", "60"]).stdout(Stdio::piped()).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), &output.stdout[..]),
            (Some(1), &b"\n"[..]),
            "{arguments:?}: {said}"
        );
    };
    let save = ["--memory", "32M", "--snapshot", text(&file), "--snapshot-at", "mark:7"];
    run(&[&["--kernel", text(&kernel), "--accel", "kvm"], &save[..]].concat());
    assert!(file.exists());
    run(&["--restore", text(&file), "--accel", "kvm"]);
    run(&["--restore", text(&file), "--accel", "soft"]);
    Tested::Ran
}
