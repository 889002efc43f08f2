//! Several CPUs on both back ends: the micro-guest `cpus` ends in every way there is, is saved in the middle, and stands still for gdb.

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use fencepost::accel::Chosen;
use fencepost::backend::End;
use fencepost::machine::GuestEnd;
use fencepost::snapshot::{self, Outputs, Until, Vm};
use fencepost_skip::Tested;
use fencepost_trace::{Event, ExitReason};

fn guest() -> Option<PathBuf> {
    common::micro_guests().map(|folder| folder.join("cpus"))
}

fn command(accel: &str, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fencepost"));
    command.args(["run", "--accel", accel]).args(options);
    if !options.contains(&"--timeout") {
        command.args(["--timeout", "300"]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The guest of four CPUs; what the second is to do says the first letter of `what`.
fn cpus(accel: &str, what: &str, options: &[&str]) -> Option<Command> {
    let machine = ["--memory", "32M", "--cpus", "4", "--append", what];
    let mut command = command(accel, &[&machine, options].concat());
    command.arg("--kernel").arg(guest()?);
    Some(command)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The numbers of the CPUs that a dump shows, in its order.
fn shown(said: &str) -> Vec<&str> {
    said.lines().filter_map(|line| line.strip_prefix("  CPU ")?.strip_suffix(':')).collect()
}

/// How the machine ends when CPU 2 does this: the status, part of what is said, and whether it is CPU 2 that comes first in a dump.
fn ends(accel: &'static str, what: &str, options: &[&str], status: i32, part: &str, dump: &str) -> Tested {
    let Some(mut command) = cpus(accel, what, options) else { return Tested::skipped(common::NO_MAKE) };
    let output = command.output().expect("it starts");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(status), "{accel}: {said}");
    assert!(said.contains(part), "{accel}: {part:?} is not in:\n{said}");
    let mut numbers = shown(&said);
    assert!(numbers.first().copied().unwrap_or_default().starts_with(dump), "{accel}: {numbers:?}");
    numbers.sort_unstable();
    assert!(numbers == ["0", "1", "2", "3"] || numbers.is_empty(), "{accel}: {numbers:?}");
    Tested::Ran
}

fn a_triple_fault_of_one_is_the_end_of_all(accel: &'static str) -> Tested {
    ends(accel, "t", &[], 3, "died of a triple fault", "2")
}

fn one_that_spins_with_interrupts_off_is_what_the_watchdog_ends(accel: &'static str) -> Tested {
    // Under KVM it is the host's time, and the others start with their interrupts off too.
    let limit = if accel == "kvm" { "2" } else { "0.05" };
    ends(accel, "s", &["--watchdog", limit], 3, "--watchdog", "2")
}

fn when_all_halt_the_guest_is_dead(accel: &'static str) -> Tested {
    ends(accel, "d", &[], 3, "nothing is left that could wake it", "")
}

fn any_of_them_ends_the_machine(accel: &'static str) -> Tested {
    ends(accel, "e", &[], 7, "", "")
}

fn any_of_them_resets_it(accel: &'static str) -> Tested {
    ends(accel, "r", &[], 4, "asked for a reset", "")
}

fn a_time_limit_shows_all_of_them(accel: &'static str) -> Tested {
    ends(accel, "s", &["--timeout", "2"], 124, "--timeout", "")
}

fn a_signal_stops_all_of_them(accel: &'static str) -> Tested {
    let Some(mut command) = cpus(accel, "s", &[]) else { return Tested::skipped(common::NO_MAKE) };
    let mut child = command.spawn().expect("it starts");
    let mut line = [0; 8];
    std::io::Read::read_exact(child.stdout.as_mut().expect("piped"), &mut line).expect("the guest speaks");
    let sent = Command::new("bash").args(["-c", &format!("kill -INT {}", child.id())]).status();
    assert!(sent.expect("bash runs").success());
    let output = child.wait_with_output().expect("it ends");
    let said = said(&output);
    assert_eq!((output.status.code(), shown(&said).len()), (Some(130), 4), "{said}");
    Tested::Ran
}

/// What is to come, from the first line on that is behind all of the marks.
fn rest(console: &[u8]) -> String {
    let text = String::from_utf8_lossy(console).replace('\r', "");
    text.lines().skip_while(|line| *line != "woken 3").collect::<Vec<_>>().join("\n")
}

/// At mark 1 the others wait to be started, at mark 2 they run, at mark 3 they sleep.
fn it_is_saved_and_restored_under_either(accel: &'static str) -> Tested {
    let folder = tempfile::tempdir().expect("a folder");
    let expected = std::fs::read(Path::new(common::MICRO_GUESTS).join("cpus.expected")).expect("there");
    let expected = rest(&expected).replace("\nstatus 0", "");
    for mark in ["mark:1", "mark:2", "mark:3"] {
        let file = folder.path().join(&mark[5..]);
        let file = file.to_str().expect("UTF-8");
        let save = ["--snapshot", file, "--snapshot-at", mark];
        let Some(mut saving) = cpus(accel, "a", &save) else { return Tested::skipped(common::NO_MAKE) };
        let output = saving.output().expect("it starts");
        assert_eq!(
            (output.status.code(), rest(&output.stdout)),
            (Some(0), expected.clone()),
            "{}",
            said(&output)
        );
        let others: &[&str] =
            if common::kvm_opens() && accel == "kvm" { &["kvm", "soft"] } else { &["soft"] };
        for &other in others {
            let output = command(other, &["--restore", file]).output().expect("it starts");
            let all = (output.status.code(), rest(&output.stdout));
            assert_eq!(all, (Some(0), expected.clone()), "{mark} of {accel} on {other}: {}", said(&output));
        }
    }
    Tested::Ran
}

/// Between two runs all CPUs go back to the snapshot. The trace of each run says of which CPU the last exit was.
fn it_goes_back_to_a_snapshot(accel: &'static str) -> Tested {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("snapshot");
    let save = ["--snapshot", file.to_str().expect("UTF-8"), "--snapshot-at", "mark:1"];
    let Some(mut saving) = cpus(accel, "e", &save) else { return Tested::skipped(common::NO_MAKE) };
    let output = saving.output().expect("it starts");
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    let chosen = if accel == "kvm" { Chosen::Kvm } else { Chosen::Soft };
    let saved = snapshot::open(&file).unwrap_or_else(|error| panic!("{error}"));
    let outputs = Outputs { records: 100_000, ..Outputs::default() };
    let mut vm = Vm::restore(saved, chosen, outputs).unwrap_or_else(|error| panic!("{error}"));
    for round in 0..2 {
        let end = vm.run(Until::End).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(end, End::Guest(GuestEnd::Exit(7)), "round {round}");
        assert_eq!((vm.cpus().cpus.len(), vm.cpus().turn.cpu), (4, 2));
        let left = Event::VcpuExit { cpu: 2, reason: ExitReason::Port, address: 0xf4 };
        assert_eq!(vm.records().any(|record| record.event == left), accel == "kvm", "round {round}");
        vm.reset().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(vm.differing_pages(), [0; 0], "round {round}");
    }
    Tested::Ran
}

fn has_gdb() -> bool {
    Command::new("gdb").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// What gdb says when it comes to `socket` and does this.
fn gdb(socket: &str, commands: &[&str]) -> String {
    let mut gdb = Command::new("gdb");
    gdb.args(["-q", "-nx", "-batch", "-ex", "set pagination off", "-ex", "set confirm off"]);
    gdb.arg("-ex").arg(format!("target remote {socket}"));
    for command in commands {
        gdb.args(["-ex", command]);
    }
    let output = gdb.arg(guest().expect("it is there")).stdin(Stdio::null()).output().expect("gdb starts");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// All of `parts` are in `text`, in this order.
fn holds(accel: &str, text: &str, parts: &[&str]) {
    let mut left = text;
    for part in parts {
        let at = left.find(part).unwrap_or_else(|| panic!("{accel}: no {part:?}, or too early, in:\n{text}"));
        left = &left[at + part.len()..];
    }
}

/// Each CPU is a thread of the debugger's: all stand still, and one of them steps.
fn gdb_has_a_thread_of_each(accel: &'static str) -> Tested {
    if guest().is_none() || !has_gdb() {
        return Tested::skipped("there is no gdb");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("socket");
    let at = format!("unix:{}", socket.display());
    let child = cpus(accel, "a", &["--gdb", &at]).expect("it is there").spawn().expect("it starts");
    while !socket.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let commands = [
        "info threads",
        "hbreak wake",
        "continue",
        "info threads",
        "print $_thread > 1",
        "stepi",
        "thread 1",
        "bt 3",
        "delete",
        "continue",
    ];
    let text = gdb(&socket.display().to_string(), &commands);
    let output = child.wait_with_output().expect("it ends");
    let parts = [
        "CPU 0, running",
        "CPU 3, not started",
        "Breakpoint 1, 0x",
        " in wake ()",
        "CPU 0, ",
        "CPU 3, ",
        "$1 = 1",
        " in wake ()",
        " in micro_main ()",
        "exited normally",
    ];
    holds(accel, &text, &parts);
    assert_eq!(output.status.code(), Some(0), "{text}");
    Tested::Ran
}

/// The kernel's panic on one of them has all stand still for gdb, which comes to that one, and sees the others.
fn a_panic_of_one_waits_for_gdb(accel: &'static str) -> Tested {
    if guest().is_none() || !has_gdb() {
        return Tested::skipped("there is no gdb");
    }
    let mut child =
        cpus(accel, "p", &["--on-panic", "gdb"]).expect("it is there").spawn().expect("it starts");
    let errors = BufReader::new(child.stderr.take().expect("piped"));
    // The rest is read, so that whoever says it can.
    let mut lines = errors.lines().map(|line| line.expect("text"));
    let said = lines.find(|line| line.contains("target remote ")).expect("it waits");
    let rest = std::thread::spawn(move || lines.collect::<Vec<_>>());
    let socket = said.split("target remote ").nth(1).and_then(|it| it.split('\'').next()).expect("a socket");
    let text = gdb(socket, &["thread", "bt 3", "info threads", "continue"]);
    let output = child.wait_with_output().expect("it ends");
    let there = ["(Thread 1.3)", " in print ()", " in cpu_main ()"];
    let threads = ["(CPU 2, running)", "(CPU 0, ", "(CPU 1, ", "(CPU 3, "];
    holds(accel, &text, &[&there[..], &threads, &["exited with code 06"]].concat());
    let rest = rest.join().expect("no panic");
    assert_eq!(output.status.code(), Some(6), "{text}\n{rest:?}");
    Tested::Ran
}

/// Each of them on each back end.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod soft {
            use super::*;

            $(#[test]
            fn $name() -> Tested {
                super::$name("soft")
            })*
        }

        mod kvm {
            use super::*;

            $(#[test]
            fn $name() -> Tested {
                if common::kvm_opens() { super::$name("kvm") } else { Tested::skipped(common::NO_KVM) }
            })*
        }
    };
}

on_both! {
    a_triple_fault_of_one_is_the_end_of_all
    one_that_spins_with_interrupts_off_is_what_the_watchdog_ends
    when_all_halt_the_guest_is_dead
    any_of_them_ends_the_machine
    any_of_them_resets_it
    a_time_limit_shows_all_of_them
    a_signal_stops_all_of_them
    it_is_saved_and_restored_under_either
    it_goes_back_to_a_snapshot
    gdb_has_a_thread_of_each
    a_panic_of_one_waits_for_gdb
}
