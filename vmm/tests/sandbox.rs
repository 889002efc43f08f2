//! The sandbox from outside: what a process in it cannot do, whatever it tries, and what of a run is left to see in /proc.
//!
//! A sandbox is for good, so each try is a process of its own: this program again, which runs the one test [`attempt`].

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use fencepost::sandbox::{Right, Role, STATUS, Sandbox, engage, start};
use fencepost_skip::Tested;

/// What [`attempt`] is to try.
const TRY: &str = "FENCEPOST_SANDBOX_TRY";
/// And the folder that it may write to.
const FOLDER: &str = "FENCEPOST_SANDBOX_FOLDER";

/// A process that tries `what` with rights to `folder`.
fn trying(what: &str, folder: &Path) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "attempt", "--nocapture", "--test-threads=1"])
        .env(TRY, what)
        .env(FOLDER, folder);
    command.stdin(Stdio::null()).output().expect("started")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// One call of the host's kernel.
fn call(number: i64, arguments: [usize; 6]) -> i64 {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: what the calls of this file are given is theirs, or nothing; most never come back.
    unsafe { libc::syscall(number, a, b, c, d, e, f) }
}

/// Calls that no thread may make, with arguments that would do no harm.
const CALLS: &[(&str, i64, [usize; 6])] = &[
    ("socket", libc::SYS_socket, [libc::AF_UNIX as usize, libc::SOCK_STREAM as usize, 0, 0, 0, 0]),
    ("socketpair", libc::SYS_socketpair, [0; 6]),
    ("connect", libc::SYS_connect, [99, 0, 0, 0, 0, 0]),
    ("bind", libc::SYS_bind, [99, 0, 0, 0, 0, 0]),
    ("listen", libc::SYS_listen, [99, 0, 0, 0, 0, 0]),
    ("accept4", libc::SYS_accept4, [99, 0, 0, 0, 0, 0]),
    ("execve", libc::SYS_execve, [0; 6]),
    ("execveat", libc::SYS_execveat, [99, 0, 0, 0, 0, 0]),
    ("fork", libc::SYS_fork, [0; 6]),
    ("vfork", libc::SYS_vfork, [0; 6]),
    // A process, not a thread.
    ("clone", libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0, 0]),
    ("ptrace", libc::SYS_ptrace, [libc::PTRACE_TRACEME as usize, 0, 0, 0, 0, 0]),
    ("process_vm_readv", libc::SYS_process_vm_readv, [1, 0, 0, 0, 0, 0]),
    ("process_vm_writev", libc::SYS_process_vm_writev, [1, 0, 0, 0, 0, 0]),
    ("pidfd_open", libc::SYS_pidfd_open, [1, 0, 0, 0, 0, 0]),
    ("kill", libc::SYS_kill, [1, 0, 0, 0, 0, 0]),
    ("tgkill", libc::SYS_tgkill, [1, 1, 0, 0, 0, 0]),
    ("mount", libc::SYS_mount, [0; 6]),
    ("unshare", libc::SYS_unshare, [0; 6]),
    ("setns", libc::SYS_setns, [99, 0, 0, 0, 0, 0]),
    ("chroot", libc::SYS_chroot, [0; 6]),
    ("bpf", libc::SYS_bpf, [99, 0, 0, 0, 0, 0]),
    ("perf_event_open", libc::SYS_perf_event_open, [0; 6]),
    ("io_uring_setup", libc::SYS_io_uring_setup, [0; 6]),
    ("userfaultfd", libc::SYS_userfaultfd, [usize::MAX, 0, 0, 0, 0, 0]),
    ("keyctl", libc::SYS_keyctl, [99, 0, 0, 0, 0, 0]),
    ("setuid", libc::SYS_setuid, [0; 6]),
    ("setrlimit", libc::SYS_setrlimit, [99, 0, 0, 0, 0, 0]),
    ("prctl", libc::SYS_prctl, [libc::PR_SET_DUMPABLE as usize, 1, 0, 0, 0, 0]),
    ("shmget", libc::SYS_shmget, [0; 6]),
    ("open_by_handle_at", libc::SYS_open_by_handle_at, [99, 0, 0, 0, 0, 0]),
    ("unlink", libc::SYS_unlink, [0; 6]),
    ("mkdir", libc::SYS_mkdir, [0; 6]),
    ("mmap", libc::SYS_mmap, [0, 4096, EXECUTED, PRIVATE, usize::MAX, 0]),
    ("mprotect", libc::SYS_mprotect, [0, 0, EXECUTED, 0, 0, 0]),
    // What would type into the user's terminal, and what would have the next violation pass unseen.
    ("ioctl", libc::SYS_ioctl, [0, libc::TIOCSTI as usize, 0, 0, 0, 0]),
    ("rt_sigaction", libc::SYS_rt_sigaction, [libc::SIGSYS as usize, 0, 0, 8, 0, 0]),
];

const EXECUTED: usize = (libc::PROT_READ | libc::PROT_EXEC) as usize;
/// Debian's user of that name.
const NOBODY: u32 = 65534;
const PRIVATE: usize = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;

/// Puts this process into the sandbox and does what it is told; nothing where nobody has told anything.
#[test]
fn attempt() {
    let Ok(what) = std::env::var(TRY) else { return };
    let folder = std::env::var(FOLDER).expect("named");
    match what.split_once(':').unwrap_or((&what, "")) {
        ("call", name) => {
            enter(&Sandbox::default());
            call_of(name);
        }
        ("thread", name) => in_thread_from_before(name),
        ("files", "none") => {
            enter(&Sandbox::default());
            assert_eq!(kind_of(fs::read(Path::new(&folder).join("kept"))), "PermissionDenied");
            assert_eq!(kind_of(fs::read_dir(&folder)), "PermissionDenied");
        }
        ("files", _) => files(Path::new(&folder)),
        ("later", _) => later(),
        ("child", _) => end_child(),
        ("lacking", which) => {
            without(which);
            enter(&Sandbox::default());
        }
        ("wait", _) => {
            let (_tell, never) = channel::<()>();
            let other = start(Role::Output, "other", move || never.recv()).expect("a thread");
            enter(&Sandbox::default());
            eprintln!("ready");
            other.join().expect("no panic").ok();
        }
        other => panic!("{other:?}"),
    }
    eprintln!("came back");
    std::process::exit(0);
}

/// Root ends the one process that the sandbox names, though that has become another user.
fn end_child() {
    let mut child = Command::new("sleep").arg("60").uid(NOBODY).spawn().expect("started");
    let mut sandbox = Sandbox::default();
    sandbox.may_end(child.id());
    enter(&sandbox);
    child.kill().expect("permitted");
    assert_eq!(child.wait().expect("ended").signal(), Some(libc::SIGKILL));
}

fn enter(sandbox: &Sandbox) {
    let lacking = engage(sandbox).expect("in the sandbox");
    lacking.iter().for_each(|line| eprintln!("{line}"));
}

fn call_of(name: &str) {
    let (_, number, arguments) = CALLS.iter().find(|(known, ..)| *known == name).expect("known");
    call(*number, *arguments);
}

/// A thread that was there before the sandbox is in it as well.
fn in_thread_from_before(name: &str) {
    let (go, gone) = channel::<()>();
    let name = name.to_string();
    // Not by `start`: a thread of a library's.
    let work = move || {
        gone.recv().expect("told");
        call_of(&name);
    };
    let thread = std::thread::Builder::new().name("library".into()).spawn(work).expect("a thread");
    enter(&Sandbox::default());
    go.send(()).expect("waits");
    thread.join().expect("no panic");
}

fn kind_of<T>(done: std::io::Result<T>) -> String {
    done.map_or_else(|error| format!("{:?}", error.kind()), |_| "done".to_string())
}

/// What may be done with files: in one folder all, in another one nothing.
fn files(folder: &Path) {
    let (mine, other) = (folder.join("mine"), folder.join("other"));
    enter(&Sandbox::default().allowing(&mine, Right::Fill));
    fs::create_dir(mine.join("new")).expect("made");
    fs::write(mine.join("new/file"), "text").expect("written");
    assert_eq!(fs::read(mine.join("new/file")).expect("read"), b"text");
    fs::remove_file(mine.join("new/file")).expect("removed");
    for path in [other.join("kept"), mine.join("link"), mine.join("../other/kept"), "/etc/passwd".into()] {
        assert_eq!(kind_of(fs::read(&path)), "PermissionDenied", "{}", path.display());
    }
    assert_eq!(kind_of(fs::write(other.join("new"), "")), "PermissionDenied");
    assert_eq!(kind_of(fs::remove_file(other.join("kept"))), "PermissionDenied");
    assert_eq!(kind_of(fs::rename(other.join("kept"), mine.join("taken"))), "PermissionDenied");
    let linked = fs::hard_link(other.join("kept"), mine.join("taken"));
    assert!(["PermissionDenied", "CrossesDevices"].contains(&kind_of(linked).as_str()));
}

/// Threads start in the sandbox too, and are in it.
fn later() {
    enter(&Sandbox::default());
    let work = || kind_of(fs::read("/etc/passwd"));
    let by_start = start(Role::Files, "files", work).expect("a thread").join().expect("no panic");
    let plain = std::thread::spawn(work).join().expect("no panic");
    assert_eq!([by_start, plain], ["PermissionDenied", "PermissionDenied"]);
    let panics = std::thread::spawn(|| panic!("a panic says its line")).join();
    assert!(panics.is_err());
}

/// From now on this host lacks something, as an old kernel or a container's filter has it.
fn without(which: &str) {
    let (calls, error): (&[i64], _) = match which {
        "landlock" => (&[libc::SYS_landlock_create_ruleset, libc::SYS_landlock_restrict_self], libc::ENOSYS),
        "seccomp" => (&[libc::SYS_seccomp], libc::ENOSYS),
        "namespace" => (&[libc::SYS_unshare], libc::EPERM),
        other => panic!("{other}"),
    };
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let action = seccompiler::SeccompAction::Errno(error as u32);
    let allow = seccompiler::SeccompAction::Allow;
    let filter = seccompiler::SeccompFilter::new(rules, allow, action, seccompiler::TargetArch::x86_64);
    let program: seccompiler::BpfProgram = filter.expect("a filter").try_into().expect("a program");
    seccompiler::apply_filter_all_threads(&program).expect("applied");
}

#[test]
fn no_call_that_is_on_no_list_comes_back() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (name, number, _) in CALLS {
        let output = trying(&format!("call:{name}"), folder.path());
        let (said, line) =
            (said(&output), format!("made the call {name} ({number}), which is not on its list"));
        assert!(output.status.code() == Some(STATUS) && said.contains(&line), "{name}: {said}");
        assert!(said.contains("the thread \"attempt\"") && !said.contains("came back"), "{name}: {said}");
    }
}

#[test]
fn a_thread_from_before_the_sandbox_is_in_it() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for name in ["socket", "execve", "ptrace"] {
        let output = trying(&format!("thread:{name}"), folder.path());
        let said = said(&output);
        assert_eq!(output.status.code(), Some(STATUS), "{said}");
        assert!(said.contains("the thread \"library\" made the call"), "{said}");
    }
}

#[test]
fn files_open_in_the_folders_that_were_named_and_nowhere_else() -> Tested {
    let folder = tempfile::tempdir().expect("temporary folder");
    for name in ["mine", "other"] {
        fs::create_dir(folder.path().join(name)).expect("made");
    }
    fs::write(folder.path().join("kept"), "kept").expect("written");
    fs::write(folder.path().join("other/kept"), "kept").expect("written");
    symlink("../other/kept", folder.path().join("mine/link")).expect("linked");
    for which in ["files:none", "files:some"] {
        let output = trying(which, folder.path());
        if said(&output).contains("no Landlock") {
            return Tested::skipped("this host has no Landlock");
        }
        assert!(output.status.success(), "{which}: {}", said(&output));
    }
    assert_eq!(fs::read(folder.path().join("other/kept")).expect("there"), b"kept");
    Tested::Ran
}

#[test]
fn threads_that_start_in_the_sandbox_are_in_it() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let output = trying("later", folder.path());
    assert!(output.status.success() && said(&output).contains("a panic says its line"), "{}", said(&output));
}

#[test]
fn a_process_that_was_named_can_be_ended_whoever_it_is() -> Tested {
    let status = fs::read_to_string("/proc/self/status").expect("there");
    let has = u64::from_str_radix(&value_of(&status, "CapEff:"), 16).expect("a number");
    // CAP_KILL, CAP_SETGID and CAP_SETUID (capability.h).
    let wanted = 1 << 5 | 1 << 6 | 1 << 7;
    if has & wanted != wanted {
        return Tested::skipped("only a root with all powers starts and ends processes of other users");
    }
    let output = trying("child", Path::new("/"));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    Tested::Ran
}

#[test]
fn what_the_host_lacks_is_one_line_and_the_rest_holds() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let lacks =
        [("landlock", "no Landlock"), ("seccomp", "no seccomp"), ("namespace", "no network namespace (")];
    for (which, line) in lacks {
        let output = trying(&format!("lacking:{which}"), folder.path());
        let said = said(&output);
        let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("sandbox:")).collect();
        assert!(output.status.success() && said.contains("came back"), "{which}: {said}");
        assert!(lines.len() == 1 && lines[0].contains(line), "{which}: {said}");
    }
}

/// A field of each thread of the process, as its parent sees them.
fn of_threads(process: u32, field: &str) -> Vec<String> {
    let folder = fs::read_dir(format!("/proc/{process}/task")).expect("lives");
    let status = |entry: std::io::Result<fs::DirEntry>| {
        fs::read_to_string(entry.expect("an entry").path().join("status")).expect("lives")
    };
    folder.map(status).map(|status| value_of(&status, field)).collect()
}

/// What a field of a thread's `status` says.
fn value_of(status: &str, field: &str) -> String {
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    value.expect("there").trim().to_string()
}

#[test]
fn every_thread_of_a_run_has_lost_its_powers_before_the_guest_begins() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let kernel = common::kernel(folder.path(), &common::SPIN, 0x1000);
    let log = folder.path().join("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fencepost"));
    command.args(["run", "--memory", "16M", "--accel", "soft", "--view", "--console-log"]).arg(&log);
    command.arg("--kernel").arg(kernel).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("started");
    let begun = Instant::now();
    let all = |field: &str, wanted: &str| of_threads(child.id(), field).iter().all(|it| it == wanted);
    // The machine is about to begin when the last of its threads is in.
    while !all("Seccomp:", "2") && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let held = [all("Seccomp:", "2"), all("NoNewPrivs:", "1"), all("CapEff:", "0000000000000000")];
    let (permitted, threads) = (all("CapPrm:", "0000000000000000"), of_threads(child.id(), "Name:"));
    child.kill().expect("ended");
    child.wait().expect("ended");
    assert!(held == [true; 3] && permitted, "{held:?}");
    for name in ["signals", "console", "standard output", "standard error", "view"] {
        assert!(threads.iter().any(|thread| thread == name), "{name}: {threads:?}");
    }
}
