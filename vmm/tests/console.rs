//! The console as a person and as a script use it: raw mode and its end, the escape key, signals, pipes.

mod common;

use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use fencepost_skip::Tested;

/// Echoes what it receives; leaves with status 7 after a `q`.
const ECHO: [u8; 24] = [
    0x66, 0xba, 0xfd, 0x03, // mov dx, 0x3fd
    0xec, // in al, dx
    0xa8, 0x01, // test al, 1
    0x74, 0xfb, // jz to the `in`
    0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xec, 0xee, // in al, dx; out dx, al
    0x3c, 0x71, // cmp al, 'q'
    0x75, 0xed, // jne to the start
    0xb0, 0x07, 0xe6, 0xf4, // mov al, 7; out 0xf4, al
    0xf4, // hlt
];

fn fencepost(code: &[u8], folder: &std::path::Path) -> Command {
    fencepost_on("soft", code, folder)
}

fn fencepost_on(accel: &str, code: &[u8], folder: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fencepost"));
    command.args(["run", "--accel", accel, "--memory", "16M", "--timeout", "300", "--kernel"]);
    command.arg(common::kernel(folder, code, 0x1000));
    command
}

#[test]
fn a_pipe_feeds_the_guest_and_its_answer_comes_out() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut child = fencepost(&ECHO, folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
    // More than the FIFO holds, and bytes that would be escapes if a person typed them.
    let mut text = vec![b'a'; 500];
    text.extend(b"\x1dx\nq");
    child.stdin.take().expect("piped").write_all(&text).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(output.stdout, text);
}

/// A pseudo-terminal: our side and the program's.
fn terminal() -> (File, File) {
    let (mut ours, mut theirs) = (0, 0);
    let null = std::ptr::null_mut();
    // SAFETY: both descriptors are written to live locals; the other arguments may be null.
    let result = unsafe { libc::openpty(&mut ours, &mut theirs, null, null.cast(), null.cast()) };
    assert_eq!(result, 0, "a pseudo-terminal can be had");
    // SAFETY: openpty gave two descriptors that nobody else owns.
    unsafe { (File::from_raw_fd(ours), File::from_raw_fd(theirs)) }
}

fn local_flags(terminal: &File) -> libc::tcflag_t {
    let mut settings = MaybeUninit::<libc::termios>::zeroed();
    // SAFETY: the descriptor is open, and there is room for what is written.
    assert_eq!(unsafe { libc::tcgetattr(terminal.as_raw_fd(), settings.as_mut_ptr()) }, 0);
    // SAFETY: tcgetattr filled it.
    unsafe { settings.assume_init() }.c_lflag
}

const COOKED: libc::tcflag_t = libc::ICANON | libc::ECHO | libc::ISIG;

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts an echoing guest on a terminal, in raw mode when this returns.
fn on_terminal(folder: &std::path::Path) -> (File, File, Child) {
    start_on_terminal(fencepost(&ECHO, folder))
}

fn start_on_terminal(command: Command) -> (File, File, Child) {
    start_on_terminal_with(command, Stdio::null())
}

fn start_on_terminal_with(mut command: Command, errors: Stdio) -> (File, File, Child) {
    let (ours, theirs) = terminal();
    assert_eq!(local_flags(&ours) & COOKED, COOKED);
    // SAFETY: between fork and exec it calls one function that may be called there.
    unsafe {
        // The tests may run under nohup, whose ignored SIGHUP would be inherited.
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_DFL);
            Ok(())
        });
    }
    let child = command
        .stdin(theirs.try_clone().expect("duplicated"))
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .expect("the command starts");
    wait_until("the terminal becomes raw", || local_flags(&ours) & COOKED == 0);
    (ours, theirs, child)
}

fn ends(child: &mut Child) -> ExitStatus {
    child.wait().expect("it ends")
}

#[test]
fn the_escape_key_ends_the_machine_and_the_terminal_is_as_before() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut ours, _theirs, mut child) = on_terminal(folder.path());
    // Ctrl-C belongs to the guest, which echoes it; so does a doubled escape.
    ours.write_all(b"\x03\x1d\x1d\n").expect("typed");
    let mut echoed = [0; 3];
    child.stdout.as_mut().expect("piped").read_exact(&mut echoed).expect("echoed");
    assert_eq!(&echoed, b"\x03\x1d\n");
    ours.write_all(b"\x1dq").expect("typed");
    assert_eq!(ends(&mut child).code(), Some(0));
    assert_eq!(local_flags(&ours) & COOKED, COOKED);
}

/// For each character `@`, or `P` if the line status has its BREAK bit, 0x10, with it; leaves with status 7 after a `q`.
const STATUS: [u8; 28] = [
    0x66, 0xba, 0xfd, 0x03, // mov dx, 0x3fd
    0xec, // in al, dx
    0xa8, 0x01, // test al, 1
    0x74, 0xfb, // jz to the `in`
    0x24, 0x10, 0x0c, 0x40, // and al, 0x10; or al, 0x40
    0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xee, 0xec, // out dx, al; in al, dx
    0x3c, 0x71, // cmp al, 'q'
    0x75, 0xe9, // jne to the start
    0xb0, 0x07, 0xe6, 0xf4, // mov al, 7; out 0xf4, al
    0xf4, // hlt
];

#[test]
fn a_break_is_a_key_behind_the_escape_key_and_so_is_the_list_of_keys() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let command = fencepost(&STATUS, folder.path());
    let (mut ours, _theirs, child) = start_on_terminal_with(command, Stdio::piped());
    ours.write_all(b"a\x1db\x1d?\x1dBq").expect("typed");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "@PP@");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Ctrl-] b") && said.contains("BREAK") && said.contains("Ctrl-] q"), "{said}");
}

/// Runs an echoing guest that leaves with status 7 after the byte `last`, with `input` from a pipe.
fn echo_until(last: u8, input: &[u8], options: &[&str]) -> std::process::Output {
    let folder = tempfile::tempdir().expect("temporary folder");
    let code = ECHO.map(|byte| if byte == b'q' { last } else { byte });
    let mut command = fencepost(&code, folder.path());
    command.args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    child.stdin.take().expect("piped").write_all(input).expect("written");
    child.wait_with_output().expect("it ends")
}

#[test]
fn the_end_of_input_is_sent_as_ctrl_d() {
    let output = echo_until(0x04, b"abc", &["--eof", "send"]);
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(7), &b"abc\x04"[..]));
}

#[test]
fn the_end_of_input_ends_the_machine() {
    let output = echo_until(0x04, b"abc", &["--eof", "end"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("standard input has ended"), "{said}");
}

#[test]
fn the_console_is_in_a_file_too_and_a_full_disk_is_one_line() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let log = folder.path().join("log");
    std::fs::write(&log, "what was there before, and longer").expect("written");
    let output = echo_until(b'q', b"abc\nq", &["--console-log", log.to_str().expect("UTF-8")]);
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(7), &b"abc\nq"[..]));
    assert_eq!(std::fs::read(&log).expect("there"), output.stdout);
    let full = echo_until(b'q', b"abc\nq", &["--console-log", "/dev/full"]);
    assert_eq!((full.status.code(), &full.stdout[..]), (Some(7), &b"abc\nq"[..]));
    let said = String::from_utf8_lossy(&full.stderr);
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("/dev/full")).collect();
    assert!(lines.len() == 1 && lines[0].contains("No space left"), "{said}");
}

fn a_guest_that_dies_leaves_the_terminal_as_before(accel: &'static str) -> Tested {
    // Dies of the first key: `mov dx, 0x3fd; in al, dx; test al, 1; jz to the in; ud2`.
    let code = [0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xfb, 0x0f, 0x0b];
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut ours, _theirs, mut child) = start_on_terminal(fencepost_on(accel, &code, folder.path()));
    ours.write_all(b"x").expect("typed");
    assert_eq!(ends(&mut child).code(), Some(3), "{accel}");
    assert_eq!(local_flags(&ours) & COOKED, COOKED, "{accel}");
    Tested::Ran
}

on_each_back_end!(a_guest_that_dies_leaves_the_terminal_as_before);

#[test]
fn a_signal_ends_the_machine_and_the_terminal_is_as_before() {
    for (signal, status) in [
        (libc::SIGTERM, 143),
        (libc::SIGINT, 130),
        (libc::SIGHUP, 129),
        (libc::SIGQUIT, 131),
        (libc::SIGUSR1, 138),
    ] {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (ours, _theirs, mut child) = on_terminal(folder.path());
        // SAFETY: the child has not been waited for, so its process id is its own.
        assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
        assert_eq!(ends(&mut child).code(), Some(status));
        assert_eq!(local_flags(&ours) & COOKED, COOKED);
    }
}

/// Input from a file reaches the guest at the same cycles in every run, however busy the host is.
#[test]
fn a_file_feeds_the_guest_at_the_same_cycles_every_time() {
    // Echoes to memory with the counter's low word, until a `q`: a list at 0x101000.
    let code = [
        0xbf, 0x00, 0x18, 0x10, 0x00, // mov edi, 0x101800
        0x66, 0xba, 0xfd, 0x03, // mov dx, 0x3fd
        0xec, // in al, dx
        0xa8, 0x01, // test al, 1
        0x74, 0xfb, // jz to the `in`
        0x0f, 0x31, // rdtsc
        0xab, // stosd
        0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
        0xec, // in al, dx
        0xaa, // stosb
        0x3c, 0x71, // cmp al, 'q'
        0x75, 0xea, // jne to the mov dx
        0xb0, 0x00, 0xe6, 0xf4, // mov al, 0; out 0xf4, al
        0xf4, // hlt
    ];
    let folder = tempfile::tempdir().expect("temporary folder");
    let script = folder.path().join("script");
    std::fs::write(&script, [&[b'a'; 200][..], b"q"].concat()).expect("written");
    let run = || {
        let mut command = fencepost(&code, folder.path());
        let input = File::open(&script).expect("there");
        let output = command.arg("--memory-hash").stdin(input).output().expect("it starts");
        assert_eq!(output.status.code(), Some(0));
        output.stderr
    };
    let first = run();
    assert!(String::from_utf8_lossy(&first).contains("guest memory: sha256"));
    assert!((0..3).all(|_| run() == first));
}

/// Input without end neither floods the guest nor keeps it from its work.
#[test]
fn endless_input_comes_at_the_rate_of_the_line() {
    // Listens by polling for 0.1 s of its clock, counts what came, and says how much: 10 characters a status.
    let code = [
        0x31, 0xdb, // xor ebx, ebx
        0x0f, 0x31, // rdtsc
        0x3d, 0x00, 0xe1, 0xf5, 0x05, // cmp eax, 100000000
        0x77, 0x12, // ja to the end
        0x66, 0xba, 0xfd, 0x03, // mov dx, 0x3fd
        0xec, // in al, dx
        0xa8, 0x01, // test al, 1
        0x74, 0xee, // jz to the rdtsc
        0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
        0xec, // in al, dx
        0xff, 0xc3, // inc ebx
        0xeb, 0xe5, // jmp to the rdtsc
        0x89, 0xd8, // mov eax, ebx
        0x31, 0xd2, // xor edx, edx
        0xb9, 0x0a, 0x00, 0x00, 0x00, // mov ecx, 10
        0xf7, 0xf1, // div ecx
        0xe6, 0xf4, // out 0xf4, al
        0xf4, // hlt
    ];
    let folder = tempfile::tempdir().expect("temporary folder");
    let input = File::open("/dev/zero").expect("every Linux has it");
    let output = fencepost(&code, folder.path()).stdin(input).output().expect("it starts");
    // 1152 in 0.1 s at most, and one in 87 us: a poll now and then comes between.
    assert!((112..=115).contains(&output.status.code().expect("its own")), "{:?}", output.status);
}

/// What a shell writes for the start of a machine with these options.
fn line(folder: &std::path::Path, code: &[u8], timeout: &str) -> String {
    let kernel = common::kernel(folder, code, 0x1000);
    let program = env!("CARGO_BIN_EXE_fencepost");
    format!("{program} run --accel soft --memory 16M --timeout {timeout} --kernel {}", kernel.display())
}

/// A command whose terminal this is, in a session of its own.
fn in_session(mut command: Command, theirs: &File) -> Child {
    let stdio = || Stdio::from(theirs.try_clone().expect("duplicated"));
    command.stdin(stdio()).stdout(stdio()).stderr(stdio());
    let session = || {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(std::io::stdin())?;
        Ok(())
    };
    // SAFETY: between fork and exec these are two system calls, which allocate nothing.
    unsafe { command.pre_exec(session) };
    command.spawn().expect("the command starts")
}

/// `mov dx, 0x3f8; mov al, '.'; out dx, al; mov al, 10; out dx, al`, before [`ECHO`].
fn dot_and_echo() -> Vec<u8> {
    [&[0x66, 0xba, 0xf8, 0x03, 0xb0, b'.', 0xee, 0xb0, b'\n', 0xee][..], &ECHO].concat()
}

/// Reads what is shown on a terminal, up to `end`.
fn shown_until(ours: &mut File, end: &str) -> String {
    let mut shown = Vec::new();
    while !shown.ends_with(end.as_bytes()) {
        let mut byte = [0];
        assert_eq!(ours.read(&mut byte).expect("read"), 1);
        shown.extend(byte);
    }
    String::from_utf8_lossy(&shown).into_owned()
}

#[test]
fn in_the_background_it_leaves_the_terminal_alone_and_its_time_limit_holds() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (ours, theirs) = terminal();
    // `timeout` makes a process group of its own, which is in the background.
    let mut command = Command::new("bash");
    let job = line(folder.path(), &common::SPIN, "1.5");
    command.args(["-c", &format!("timeout 300 {job}; exit $?")]);
    let mut child = in_session(command, &theirs);
    while child.try_wait().expect("a child").is_none() {
        assert_eq!(local_flags(&ours) & COOKED, COOKED);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(ends(&mut child).code(), Some(124));
    assert_eq!(local_flags(&ours) & COOKED, COOKED);
}

#[test]
fn in_the_foreground_at_last_it_takes_up_the_terminal() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut ours, theirs) = terminal();
    let mut command = Command::new("bash");
    let job = line(folder.path(), &dot_and_echo(), "300");
    command.args(["-mc", &format!("{job} & read -r go; fg >/dev/null")]);
    let mut child = in_session(command, &theirs);
    shown_until(&mut ours, ".\r\n");
    assert_eq!(local_flags(&ours) & COOKED, COOKED, "it runs in the background");
    ours.write_all(b"go\n").expect("typed");
    wait_until("the terminal becomes raw", || local_flags(&ours) & COOKED == 0);
    ours.write_all(b"xq").expect("typed");
    assert!(shown_until(&mut ours, "xq").ends_with("xq"));
    assert_eq!(ends(&mut child).code(), Some(7));
    assert_eq!(local_flags(&ours) & COOKED, COOKED);
}

fn kill(child: &Child, signal: i32) {
    // SAFETY: the child has not been waited for, so its process id is its own.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

#[test]
fn stopped_it_leaves_the_terminal_as_before_and_continued_it_takes_it_up() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut ours, theirs) = terminal();
    let mut child = in_session(fencepost(&dot_and_echo(), folder.path()), &theirs);
    shown_until(&mut ours, ".\r\n");
    let stopped = |child: &Child| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it is there");
        status.contains("State:\tT")
    };
    for _ in 0..2 {
        wait_until("the terminal becomes raw", || local_flags(&ours) & COOKED == 0);
        // A window's new size is nothing to a serial line.
        kill(&child, libc::SIGWINCH);
        ours.write_all(b"x\n").expect("typed");
        shown_until(&mut ours, "x\r\n");
        kill(&child, libc::SIGTSTP);
        wait_until("it stops", || stopped(&child));
        assert_eq!(local_flags(&ours) & COOKED, COOKED);
        kill(&child, libc::SIGCONT);
    }
    wait_until("the terminal becomes raw", || local_flags(&ours) & COOKED == 0);
    ours.write_all(b"q").expect("typed");
    assert_eq!(ends(&mut child).code(), Some(7));
    assert_eq!(local_flags(&ours) & COOKED, COOKED);
}

#[test]
fn a_hangup_that_was_ignored_at_the_start_stays_so() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut command = Command::new("bash");
    let job = line(folder.path(), &dot_and_echo(), "300");
    command.args(["-c", &format!("trap '' HUP; exec {job}")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("bash");
    child.stdout.as_mut().expect("piped").read_exact(&mut [0; 2]).expect("the guest speaks");
    kill(&child, libc::SIGHUP);
    child.stdin.as_mut().expect("piped").write_all(b"q").expect("typed");
    assert_eq!(ends(&mut child).code(), Some(7));
}

/// [`ECHO`] on the second serial port, at 0x2f8.
fn echo_on_second_port(folder: &std::path::Path, end: &str) -> Command {
    let mut code = ECHO;
    // The high bytes of both ports.
    (code[3], code[12]) = (0x02, 0x02);
    let mut command = fencepost(&code, folder);
    command.args(["--serial", end]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_client_of_a_socket_is_at_the_end_of_a_second_serial_port() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let socket = folder.path().join("line");
    let end = format!("unix:{}", socket.display());
    let mut child = echo_on_second_port(folder.path(), &end).spawn().expect("it starts");
    wait_until("the socket is there", || socket.exists());
    let mut client = std::os::unix::net::UnixStream::connect(&socket).expect("answered");
    client.write_all(b"abc").expect("sent");
    let mut echoed = [0; 3];
    client.write_all(b"\n").expect("sent");
    client.read_exact(&mut echoed).expect("echoed");
    assert_eq!(&echoed, b"abc");
    client.write_all(b"q").expect("sent");
    assert_eq!(ends(&mut child).code(), Some(7));
    assert!(!socket.exists(), "it is removed at the end");
}

#[test]
fn whoever_opens_the_pseudo_terminal_is_at_the_end_of_a_second_serial_port() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut child = echo_on_second_port(folder.path(), "pty").spawn().expect("it starts");
    let mut said = std::io::BufReader::new(child.stderr.take().expect("piped")).lines();
    let name = said.find_map(|line| {
        let line = line.expect("text");
        line.split_once("ttyS1 is ").map(|(_, name)| name.to_string())
    });
    let mut line = File::options().read(true).write(true).open(name.expect("said")).expect("opened");
    line.write_all(b"abc\n").expect("sent");
    let mut echoed = [0; 4];
    line.read_exact(&mut echoed).expect("echoed");
    assert_eq!(&echoed, b"abc\n");
    line.write_all(b"q").expect("sent");
    assert_eq!(ends(&mut child).code(), Some(7));
}

#[test]
fn what_is_sent_to_a_second_serial_port_is_in_its_file() {
    // mov dx, 0x2f8; mov al, 'x'; out dx, al; mov al, 5; out 0xf4, al; hlt
    let code = [0x66, 0xba, 0xf8, 0x02, 0xb0, b'x', 0xee, 0xb0, 5, 0xe6, 0xf4, 0xf4];
    let folder = tempfile::tempdir().expect("temporary folder");
    let log = folder.path().join("log");
    let end = format!("file:{}", log.display());
    let output = fencepost(&code, folder.path()).args(["--serial", &end]).output().expect("it starts");
    assert_eq!((output.status.code(), output.stdout), (Some(5), vec![]));
    assert_eq!(std::fs::read(&log).expect("there"), b"x");
    let output = fencepost(&code, folder.path()).output().expect("it starts");
    assert_eq!(output.status.code(), Some(5), "nobody answers there");
}
