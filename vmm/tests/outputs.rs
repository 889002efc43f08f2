//! Outputs that take nothing, too little, or nothing any more: none holds the machine or its end, and what was not written is said.

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use fencepost_skip::Tested;
use rustix::fs::{CWD, FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, mknodat};
use rustix::pipe::{PipeFlags, pipe_with};

/// Writes its own memory to the serial port for ever.
const TALK: [u8; 19] = [
    0xbe, 0x00, 0x00, 0x10, 0x00, // mov esi, 0x100000
    0xb9, 0x00, 0x08, 0x00, 0x00, // mov ecx, 2048
    0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xf3, 0x6e, // rep outsb
    0xeb, 0xee, // jmp to the start
    0x90,
];
/// Says `hi`, then leaves with status 7.
const HI: [u8; 17] = [
    0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xb0, b'h', 0xee, 0xb0, b'i', 0xee, 0xb0, b'\n', 0xee, // out dx, al
    0xb0, 0x07, 0xe6, 0xf4, // mov al, 7; out 0xf4, al
];

fn command(folder: &Path, accel: &str, code: &[u8], options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fencepost"));
    command.args(["run", "--memory", "16M", "--accel", accel, "--kernel"]);
    command.arg(common::kernel(folder, code, 0x1000)).args(options).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn pipe() -> (File, OwnedFd) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    (File::from(reader), writer)
}

/// A pipe that takes nothing as long as its reader lives.
fn stuck_pipe() -> (File, OwnedFd) {
    let (reader, writer) = pipe();
    let flags = fcntl_getfl(&writer).expect("open");
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("set");
    while rustix::io::write(&writer, &[b'.'; 4096]).is_ok() {}
    fcntl_setfl(&writer, flags).expect("set");
    (reader, writer)
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("made");
}

fn kill(child: &Child, signal: i32) {
    // SAFETY: the child has not been waited for, so its process id is its own.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

fn check(output: &Output, status: i32, names: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    for name in names {
        assert!(said.contains(name), "{name:?} is not in:\n{said}");
    }
}

fn the_time_limit_holds_while_nobody_reads_the_console(accel: &'static str) -> Tested {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (_reader, writer) = stuck_pipe();
    let mut command = command(folder.path(), accel, &TALK, &["--timeout", "1"]);
    let output = command.stdout(writer).output().expect("it starts");
    check(&output, 124, &["--timeout", "standard output: nobody takes it; ", "bytes were not written"]);
    Tested::Ran
}

fn a_first_signal_ends_a_machine_whose_console_nobody_reads(accel: &'static str) -> Tested {
    for (signal, status) in [(libc::SIGTERM, 143), (libc::SIGINT, 130), (libc::SIGQUIT, 131)] {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (mut reader, writer) = pipe();
        let mut command = command(folder.path(), accel, &TALK, &["--timeout", "300"]);
        let child = command.stdout(writer).spawn().expect("it starts");
        drop(command);
        // It runs; then nobody reads.
        reader.read_exact(&mut [0; 10]).expect("the guest speaks");
        std::thread::sleep(Duration::from_millis(100));
        kill(&child, signal);
        check(&child.wait_with_output().expect("it ends"), status, &["stopped by signal"]);
    }
    Tested::Ran
}

#[test]
fn a_guest_that_ended_is_waited_for_until_a_signal_or_the_time_limit() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (_reader, writer) = stuck_pipe();
    let output = command(folder.path(), "soft", &HI, &["--timeout", "1"]).stdout(writer).output();
    let names =
        ["standard output: nobody takes it; 3 bytes were not written", "--timeout was over before all"];
    check(&output.expect("it starts"), 124, &names);
    // Without a time limit it waits for the reader, however late.
    let (mut reader, writer) = stuck_pipe();
    let mut command = command(folder.path(), "soft", &HI, &[]);
    let child = command.stdout(writer).spawn().expect("it starts");
    drop(command);
    std::thread::sleep(Duration::from_millis(1500));
    let mut text = Vec::new();
    reader.read_to_end(&mut text).expect("read");
    assert!(text.ends_with(b".hi\n"));
    check(&child.wait_with_output().expect("it ends"), 7, &[]);
}

#[test]
fn output_dropped_by_choice_is_counted() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (_reader, writer) = stuck_pipe();
    let options = ["--timeout", "4", "--slow-output", "drop"];
    let output = command(folder.path(), "soft", &TALK, &options).stdout(writer).output().expect("it starts");
    check(&output, 124, &["bytes were dropped", "nobody takes it"]);
}

/// A slow reader shows nowhere in the guest: the same instructions, events and memory, and every byte arrives.
#[test]
fn a_slow_reader_changes_nothing_that_the_guest_sees() {
    // Writes 2 MiB, counts in memory how much the counter has gone on, and leaves.
    let code = [
        0xbb, 0x00, 0x04, 0x00, 0x00, // mov ebx, 1024
        0xbe, 0x00, 0x00, 0x10, 0x00, // mov esi, 0x100000
        0xb9, 0x00, 0x08, 0x00, 0x00, // mov ecx, 2048
        0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
        0xf3, 0x6e, // rep outsb
        0xff, 0xcb, // dec ebx
        0x75, 0xec, // jnz to the mov esi
        0x0f, 0x31, // rdtsc
        0xa3, 0x00, 0x09, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, // mov [0x100900], eax
        0xb0, 0x00, 0xe6, 0xf4, // mov al, 0; out 0xf4, al
    ];
    let folder = tempfile::tempdir().expect("temporary folder");
    let run = |late: bool| {
        let (mut reader, writer) = pipe();
        let mut command = command(folder.path(), "soft", &code, &["--timeout", "300", "--memory-hash"]);
        let child = command.stdout(writer).spawn().expect("it starts");
        drop(command);
        if late {
            std::thread::sleep(Duration::from_millis(700));
        }
        let mut text = Vec::new();
        reader.read_to_end(&mut text).expect("read");
        let output = child.wait_with_output().expect("it ends");
        check(&output, 0, &["guest memory: sha256", "events: "]);
        (text, output.stderr)
    };
    let (text, said) = run(false);
    assert_eq!(text.len(), 2 << 20);
    assert!(run(true) == (text, said));
}

#[test]
fn a_fifo_that_nobody_opens_is_reported_at_the_time_limit() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("trace");
    fifo(&path);
    let name = path.to_str().expect("a name");
    let output = command(folder.path(), "soft", &HI, &["--timeout", "0.5", "--trace", name]).output();
    check(&output.expect("it starts"), 124, &["--trace", "nobody has opened this FIFO"]);
    // A signal before there is a machine ends the process.
    let child = command(folder.path(), "soft", &HI, &["--trace", name]).spawn().expect("it starts");
    std::thread::sleep(Duration::from_millis(500));
    kill(&child, libc::SIGTERM);
    check(&child.wait_with_output().expect("it ends"), 143, &[]);
    // The same for a record of input.
    let options = ["--timeout", "0.5", "--record-input", name];
    let output = command(folder.path(), "soft", &HI, &options).output().expect("it starts");
    check(&output, 124, &["--record-input", "nobody has opened this FIFO"]);
    // A reader that comes late gets everything.
    let child = command(folder.path(), "soft", &HI, &["--timeout", "300", "--trace", name]).spawn();
    std::thread::sleep(Duration::from_millis(200));
    let trace = std::fs::read(&path).expect("read");
    check(&child.expect("it starts").wait_with_output().expect("it ends"), 7, &[]);
    let trace = fencepost_trace::file::TraceFile::read(&trace[..]).expect("readable");
    assert!(trace.damage.is_empty() && trace.totals.is_some());
}

fn a_trace_that_nobody_reads_holds_neither_the_machine_nor_its_end(accel: &'static str) -> Tested {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("trace");
    fifo(&path);
    let reader = {
        let path = path.clone();
        std::thread::spawn(move || {
            let mut trace = File::open(path).expect("opened");
            trace.read_exact(&mut [0; 8]).expect("its beginning");
            trace
        })
    };
    // Reads the display's registers for ever: events without end.
    let code = [
        0xb8, 0x04, 0x80, 0x01, 0xe0, // mov eax, the display's command register
        0xc7, 0x00, 0x06, 0x00, 0x00, 0x00, // mov [rax], memory space and bus master
        0xb8, 0x10, 0x80, 0x01, 0xe0, 0x8b, 0x00, // mov eax, [its BAR 0]
        0x83, 0xe0, 0xf0, // and eax, -16
        0x8b, 0x08, // mov ecx, [rax]
        0xeb, 0xfc, // jmp to the read
    ];
    let name = path.to_str().expect("a name");
    let options = ["--timeout", "3", "--trace", name, "--trace-categories", "all"];
    let output = command(folder.path(), accel, &code, &options).output().expect("it starts");
    check(&output, 124, &["--trace", "nobody takes it", "events were not written"]);
    drop(reader.join().expect("no panic"));
    Tested::Ran
}

fn pictures_that_cannot_be_written_hold_nobody(accel: &'static str) -> Tested {
    let Some(micro) = common::micro_guests() else {
        return Tested::skipped(common::NO_MAKE);
    };
    // In the sandbox a link that leads out of the folder is not followed.
    let run = |prepare: &dyn Fn(&Path), sandbox: &str| {
        let folder = tempfile::tempdir().expect("temporary folder");
        (0..100).for_each(|flip| prepare(&folder.path().join(format!("flip-{flip:06}.png"))));
        let mut command = Command::new(env!("CARGO_BIN_EXE_fencepost"));
        command.args(["run", "--accel", accel, "--timeout", "6", "--display", "width=64,height=64"]);
        command.args(["--sandbox", sandbox]);
        command.arg("--kernel").arg(micro.join("display")).arg("--frames").arg(folder.path());
        command.stdin(Stdio::null()).output().expect("it starts")
    };
    check(&run(&fifo, "on"), 124, &["--frames", "nobody takes it", "files were not written", "--timeout"]);
    let full = |path: &Path| std::os::unix::fs::symlink("/dev/full", path).expect("made");
    check(&run(&full, "off"), 1, &["flip-0", "No space left on device", "files were not written"]);
    Tested::Ran
}

fn a_standard_error_that_nobody_reads_holds_nobody(accel: &'static str) -> Tested {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (_reader, writer) = stuck_pipe();
    let mut dying = command(folder.path(), accel, &[0x0f, 0x0b], &["--timeout", "1"]);
    assert_eq!(dying.stderr(writer).status().expect("it starts").code(), Some(124), "{accel}");
    let (_reader, writer) = stuck_pipe();
    let mut child = command(folder.path(), accel, &TALK, &[]);
    let mut child = child.stderr(writer).spawn().expect("it starts");
    std::thread::sleep(Duration::from_millis(500));
    kill(&child, libc::SIGTERM);
    assert_eq!(child.wait().expect("it ends").code(), Some(143), "{accel}");
    Tested::Ran
}

#[test]
fn a_full_disk_is_the_hosts_failure_and_a_reader_that_leaves_is_not() {
    let full = || File::options().write(true).open("/dev/full").expect("every Linux has it");
    let folder = tempfile::tempdir().expect("temporary folder");
    // `mov al, 0; out 0xf4, al` in place of 7.
    let mut fine = HI;
    fine[14] = 0;
    let output = command(folder.path(), "soft", &fine, &[]).stdout(full()).output().expect("it starts");
    check(&output, 1, &["standard output: No space left on device; 3 bytes were not written"]);
    let output = command(folder.path(), "soft", &HI, &[]).stdout(full()).output().expect("it starts");
    check(&output, 7, &["No space left on device"]);
    let closed = || pipe().1;
    let output = command(folder.path(), "soft", &fine, &[]).stdout(closed()).output().expect("it starts");
    check(&output, 0, &["standard output: its reader is gone; 3 bytes were not written"]);
    // What cannot be said is not said, and the status stays.
    for stderr in [Stdio::from(full()), Stdio::from(closed())] {
        let mut dying = command(folder.path(), "soft", &[0x0f, 0x0b], &[]);
        assert_eq!(dying.stderr(stderr).status().expect("it starts").code(), Some(3));
    }
}

#[test]
fn a_terminal_that_is_full_for_now_is_waited_for() {
    // Somebody else has made the pipe non-blocking.
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut reader, writer) = stuck_pipe();
    fcntl_setfl(&writer, fcntl_getfl(&writer).expect("open") | OFlags::NONBLOCK).expect("set");
    let mut command = command(folder.path(), "soft", &HI, &["--timeout", "300"]);
    let child = command.stdout(writer).spawn().expect("it starts");
    drop(command);
    std::thread::sleep(Duration::from_millis(300));
    let mut text = Vec::new();
    reader.read_to_end(&mut text).expect("read");
    assert!(text.ends_with(b".hi\n"));
    check(&child.wait_with_output().expect("it ends"), 7, &[]);
}

#[test]
fn the_demo_ends_whatever_its_folder_and_its_reader_do() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let demo = |out: &Path, timeout: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fencepost"));
        command.args(["demo", "--accel", "soft", "--memory", "16M", "--timeout", timeout, "--kernel"]);
        command
            .arg(common::kernel(folder.path(), &HI, 0x1000))
            .arg("--initrd")
            .arg(folder.path().join("none"));
        File::create(folder.path().join("none")).and_then(|mut file| file.write_all(b"none")).expect("made");
        command.arg("--out").arg(out).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let out = folder.path().join("out");
    std::fs::create_dir(&out).expect("made");
    let console = out.join("console.log");
    fifo(&console);
    let output = demo(&out, "1").output().expect("it starts");
    check(&output, 124, &["--out", "nobody takes it; 1 files were not written"]);
    std::fs::remove_file(&console).expect("there");
    std::os::unix::fs::symlink("/dev/full", &console).expect("made");
    // In the sandbox the link, which leads out of the folder, is not followed.
    let output = demo(&out, "300").args(["--sandbox", "off"]).output().expect("it starts");
    check(&output, 7, &["console.log: No space left on device"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("not everything was written"));
    let (_reader, writer) = stuck_pipe();
    let output = demo(&folder.path().join("other"), "2").stdout(writer).output().expect("it starts");
    check(&output, 124, &["standard output: nobody takes it"]);
    let full = File::options().write(true).open("/dev/full").expect("every Linux has it");
    let output = demo(&folder.path().join("other"), "300").stdout(full).output().expect("it starts");
    check(&output, 7, &["standard output: No space left on device"]);
}

on_each_back_end! {
    the_time_limit_holds_while_nobody_reads_the_console,
    a_first_signal_ends_a_machine_whose_console_nobody_reads,
    a_trace_that_nobody_reads_holds_neither_the_machine_nor_its_end,
    pictures_that_cannot_be_written_hold_nobody,
    a_standard_error_that_nobody_reads_holds_nobody,
}
