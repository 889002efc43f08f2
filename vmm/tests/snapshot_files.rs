//! What becomes of a snapshot's file: a process that dies while it writes one, and processes that run from one which others cut,
//! replace, read at the same time, or let nobody write.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use fencepost_skip::Tested;

mod common;

/// `mov al, 7; out 0xf8, al; mov dx, 0x3f8; mov al, 10; out dx, al; again: inc dword [0x200000]; jmp again`: a mark, a line, and
/// then it writes for ever.
const WRITER: [u8; 20] =
    [0xb0, 7, 0xe6, 0xf8, 0x66, 0xba, 0xf8, 3, 0xb0, 10, 0xee, 0xff, 0x04, 0x25, 0, 0, 0x20, 0, 0xeb, 0xf7];

fn fencepost(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fencepost"));
    command.arg("run").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(path: &Path) -> &str {
    path.to_str().expect("plain")
}

/// The guest's options, with its kernel in `folder`.
fn guest(folder: &Path) -> Vec<String> {
    let kernel = common::kernel(folder, &WRITER, 0x1000);
    ["--kernel", text(&kernel), "--accel", "soft", "--memory", "32M"].map(String::from).to_vec()
}

/// A folder with a snapshot of the guest at its mark.
fn saved() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("snapshot");
    save(folder.path(), &file);
    (folder, file)
}

fn save(folder: &Path, file: &Path) {
    let options = ["--snapshot", text(file), "--snapshot-at", "mark:7", "--timeout", "0.2"];
    let output = fencepost(&options).args(guest(folder)).output().expect("it starts");
    assert_eq!(output.status.code(), Some(124), "{}", said(&output));
    assert!(file.exists());
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn assert_runs(mut command: Command) {
    let output = command.args(["--timeout", "0.1"]).output().expect("it starts");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(124), &b"\n"[..]), "{}", said(&output));
}

/// Starts the command and waits for the guest's line.
fn running(mut command: Command) -> Child {
    let mut child = command.spawn().expect("it starts");
    child.stdout.as_mut().expect("piped").read_exact(&mut [0]).expect("the guest runs");
    child
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("listed");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_process_that_is_killed_while_it_saves_leaves_a_whole_file_or_none() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("snapshot");
    let mut often: Vec<String> = guest(folder.path());
    for at_us in (0..3000).map(|number| number * 50) {
        often.extend(["--snapshot-at".into(), format!("{at_us}us")]);
    }
    let mut delay_us = 1;
    for round in 0..30 {
        let mut child = fencepost(&["--snapshot", text(&file)]).args(&often).spawn().expect("it starts");
        delay_us = delay_us * 7919 % 60_013;
        std::thread::sleep(Duration::from_micros(10_000 + delay_us));
        child.kill().expect("killed");
        child.wait().expect("waited for");
        let names = names(folder.path());
        assert!(names.len() <= 3, "round {round}: {names:?}");
        if file.exists() {
            let restored = fencepost(&["--restore", text(&file), "--timeout", "0.01"]).output();
            let restored = restored.expect("it starts");
            assert_eq!(restored.status.code(), Some(124), "round {round}: {}", said(&restored));
        }
    }
    save(folder.path(), &file);
    // The link that a killed process may have left went with a later save that needed its name.
    save(folder.path(), &file);
    let mut names = names(folder.path());
    names.sort();
    assert_eq!(names, ["kernel", "snapshot"]);
}

#[test]
fn two_signals_in_a_row_save_the_machine_and_end_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("snapshot");
    let mut command = fencepost(&["--snapshot", text(&file), "--timeout", "60"]);
    command.args(guest(folder.path()));
    let mut child = running(command);
    let signal = |number| {
        // SAFETY: the child has not been waited for, so its number is its own.
        assert_eq!(unsafe { libc::kill(child.id() as i32, number) }, 0);
    };
    for _ in 0..10 {
        signal(libc::SIGUSR1);
        signal(libc::SIGUSR1);
    }
    while !file.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(libc::SIGUSR1);
    signal(libc::SIGTERM);
    assert_eq!(child.wait().expect("it ends").code(), Some(143));
    let restored = fencepost(&["--restore", text(&file), "--timeout", "0.01"]).output().expect("it starts");
    assert_eq!(restored.status.code(), Some(124), "{}", said(&restored));
}

#[test]
fn a_file_that_is_cut_under_a_machine_ends_it_with_one_line() {
    let (_folder, file) = saved();
    let child = running(fencepost(&["--restore", text(&file), "--timeout", "60"]));
    std::fs::File::options().write(true).open(&file).expect("opened").set_len(8192).expect("cut");
    let output = child.wait_with_output().expect("it ends");
    let said = said(&output);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains(text(&file)) && said.contains("was cut"), "{said}");
}

#[test]
fn a_file_that_is_replaced_or_removed_under_a_machine_stays_with_it() {
    let (folder, file) = saved();
    let start = || running(fencepost(&["--restore", text(&file), "--timeout", "1"]));
    let child = start();
    save(folder.path(), &file);
    assert_eq!(child.wait_with_output().expect("it ends").status.code(), Some(124));
    let child = start();
    std::fs::remove_file(&file).expect("removed");
    assert_eq!(child.wait_with_output().expect("it ends").status.code(), Some(124));
}

#[test]
fn several_processes_restore_an_unknown_file_at_once() {
    let (folder, file) = saved();
    let cache = folder.path().join("cache");
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut command = fencepost(&["--restore", text(&file)]);
                command.env("FENCEPOST_CACHE", &cache);
                assert_runs(command);
            });
        }
    });
    assert_eq!(names(&cache.join("snapshots")).len(), 1, "it is known now");
}

#[test]
fn an_ordinary_user_restores_a_file_that_nobody_may_write() {
    const NOBODY: u32 = 65534;
    let (folder, file) = saved();
    let allow = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    };
    allow(folder.path(), 0o755);
    allow(&file, 0o444);
    let program = folder.path().join("fencepost");
    common::copy_program(&program);
    let mut command = Command::new(&program);
    command.args(["run", "--restore", text(&file)]).stdin(Stdio::null()).env("HOME", "/nonexistent");
    command.env_remove("FENCEPOST_CACHE").env_remove("XDG_CACHE_HOME").current_dir("/");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    assert_runs(command);
}

fn is_root() -> bool {
    // SAFETY: it touches nothing.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn a_file_in_memory_or_named_by_a_relative_path_is_as_good() -> Tested {
    let (folder, file) = saved();
    let mut command = fencepost(&["--restore", "snapshot"]);
    command.current_dir(folder.path());
    assert_runs(command);
    let mut command = fencepost(&["--snapshot", "again", "--snapshot-at", "mark:7", "--timeout", "0.2"]);
    command.args(guest(folder.path())).current_dir(folder.path());
    assert_eq!(command.output().expect("it starts").status.code(), Some(124));
    assert_eq!(
        std::fs::read(folder.path().join("again")).expect("there"),
        std::fs::read(&file).expect("there")
    );
    let Ok(shared) = tempfile::tempdir_in("/dev/shm") else {
        return Tested::skipped("/dev/shm cannot be written");
    };
    let file = shared.path().join("snapshot");
    save(folder.path(), &file);
    save(folder.path(), &file);
    assert_runs(fencepost(&["--restore", text(&file)]));
    assert_eq!(names(shared.path()), ["snapshot"]);
    Tested::Ran
}

#[test]
fn a_machine_under_kvm_is_saved_at_a_time() -> Tested {
    if !common::kvm_opens() {
        return Tested::skipped(common::NO_KVM);
    }
    let folder = tempfile::tempdir().expect("folder");
    let kernel = common::kernel(folder.path(), &common::SPIN, 0x1000);
    let file = folder.path().join("snapshot");
    let options = ["--accel", "kvm", "--memory", "32M", "--timeout", "2", "--snapshot-at", "50ms"];
    let output = fencepost(&["--kernel", text(&kernel), "--snapshot", text(&file)]).args(options).output();
    let output = output.expect("it starts");
    assert_eq!(output.status.code(), Some(124), "the guest went on: {}", said(&output));
    for accel in ["soft", "kvm"] {
        let restored = fencepost(&["--restore", text(&file), "--accel", accel, "--timeout", "0.2"]).output();
        let restored = restored.expect("it starts");
        assert_eq!(restored.status.code(), Some(124), "{accel}: {}", said(&restored));
    }
    Tested::Ran
}
