//! `--gdb` with Debian's own gdb and micro-guests: what gdb shows, and that a guest under it does the same as one that is alone.

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use common::served::{self, Served, ask, guest, packet, remains};
use fencepost_skip::Tested;
use tempfile::TempDir;

fn fencepost(guest: &Path, options: &[&str]) -> Command {
    served::run(guest, 120, options)
}

fn start(guest: &Path, how: &str, options: &[&str]) -> Served {
    Served::start(fencepost(guest, options), how)
}

fn has_gdb() -> bool {
    Command::new("gdb").arg("--version").output().is_ok_and(|output| output.status.success())
}

const NO_GDB: &str = "there is no gdb";

/// What gdb says to these commands. Each is a command of its own: one that fails does not end the others.
fn gdb(guest: &Path, socket: &Path, commands: &[&str]) -> String {
    let mut gdb = Command::new("gdb");
    gdb.args(["-q", "-nx", "-batch", "-ex", "set pagination off", "-ex", "set confirm off"]);
    gdb.arg("-ex").arg(format!("target remote {}", socket.display()));
    for command in commands {
        gdb.args(["-ex", command]);
    }
    let output = gdb.arg(guest).stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn holds(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("no {part:?}, or not in this order, in:\n{text}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn a_guest_under_gdb_is_the_guest_without() -> Tested {
    let (Some(guest), true) = (guest("timer"), has_gdb()) else { return Tested::skipped(NO_GDB) };
    let alone = fencepost(&guest, &["--accel", "soft"]).output().unwrap();
    let served = start(&guest, "", &["--accel", "soft"]);
    let said = gdb(
        &guest,
        &served.socket(),
        &[
            "break print",
            "continue",
            "continue",
            "delete",
            "stepi 500",
            "hbreak irq_3",
            "continue",
            "info registers rip",
            "x/4xb 0xfffff00000000000",
            "delete",
            "watch *(long*)($rsp-8)",
            "continue 3",
            "delete",
            "monitor time",
            "monitor nothing",
            "continue",
        ],
    );
    let output = served.end();
    holds(
        &said,
        &[
            "Breakpoint 1, 0x",
            " in print ()",
            "Breakpoint 1, 0x",
            "Breakpoint 2, 0x",
            " in irq_3 ()",
            "atchpoint 3: *(long*)",
            "exited normally",
        ],
    );
    for part in ["Cannot access memory at", "instructions retired", "there is no such command"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(remains(&output), remains(&alone), "{said}");
    Tested::Ran
}

#[test]
fn what_gdb_changes_the_guest_sees() -> Tested {
    let (Some(guest), true) = (guest("hello"), has_gdb()) else { return Tested::skipped(NO_GDB) };
    let served = start(&guest, "", &["--accel", "soft"]);
    let said = gdb(
        &guest,
        &served.socket(),
        &[
            "p/x $cr0 & 1",
            "set $xmm3.v2_int64[1] = 0x1234",
            "p/x $xmm3.v2_int64[1]",
            "set $st0 = 1.5",
            "set $cr3 = 0",
            "set $cs = 8",
            "break print",
            "continue",
            "set *(char*)$rdi = 'j'",
            "stepi",
            "x/s $rdi",
            "p $st0",
            "delete",
            "break print_value",
            "continue",
            "set $rip = *(long*)$rsp",
            "set $rsp = $rsp + 8",
            "delete",
            "detach",
        ],
    );
    let output = served.end();
    holds(&said, &["= 0x1", "= 0x1234", "\"jello\\n\"", "= 1.5", "detached]"]);
    // Neither a control register nor a selector can be set.
    assert_eq!(said.matches("Could not write registers").count(), 2, "{said}");
    let console = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    // The first value's line is left out: its function has returned at once.
    assert!(console.starts_with("jello\ncommand line:") && !console.contains("bytes of RAM"), "{console}");
    assert!(console.contains("port 80 ff") && output.status.code() == Some(42), "{console}");
    Tested::Ran
}

#[test]
fn accesses_are_found_where_they_are_made() -> Tested {
    let (Some(guest), true) = (guest("hello"), has_gdb()) else { return Tested::skipped(NO_GDB) };
    let served = start(&guest, "", &["--accel", "soft"]);
    let said = gdb(
        &guest,
        &served.socket(),
        &[
            "break print",
            "continue",
            // The text's own bytes: read by print alone.
            "eval \"rwatch *(char*)%lu\", $rdi + 2",
            "eval \"awatch *(long*)%lu\", $rsp",
            "continue",
            "x/i $pc",
            "continue",
            "info breakpoints",
            "kill",
        ],
    );
    let output = served.end();
    holds(
        &said,
        &[
            "Hardware read watchpoint 2",
            "Hardware access (read/write) watchpoint 3",
            "Hardware read watchpoint 2",
            "Value = 108 'l'",
            " in print ()",
            "Hardware access (read/write) watchpoint 3",
            "breakpoint already hit 1 time",
        ],
    );
    let host = String::from_utf8_lossy(&output.stderr);
    assert!(host.contains("stopped by the debugger") && output.status.code() == Some(0), "{host}\n{said}");
    Tested::Ran
}

#[test]
fn a_panicked_kernel_waits_for_gdb() -> Tested {
    let (Some(guest), true) = (guest("panicked"), has_gdb()) else { return Tested::skipped(NO_GDB) };
    let mut child = fencepost(&guest, &["--accel", "soft", "--on-panic", "gdb"]).spawn().unwrap();
    let mut said = String::new();
    let mut errors = std::io::BufReader::new(child.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut errors, &mut said).unwrap();
    let socket = said.split("target remote ").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    assert!(said.contains("the guest's kernel has failed, and waits for: gdb"), "{said}");
    let said = gdb(&guest, Path::new(socket), &["bt 2", "continue"]);
    let output = child.wait_with_output().unwrap();
    // It goes on from there.
    let console = String::from_utf8_lossy(&output.stdout);
    assert!(console.contains("not reached"), "{console}\n{said}");
    holds(&said, &[" in print ()", "micro_main ()", "exited with code 06"]);
    assert!(!Path::new(socket).exists());
    Tested::Ran
}

/// A packet of the protocol.
#[test]
fn a_debugger_that_goes_away_or_is_one_too_many_costs_the_guest_nothing() -> Tested {
    let Some(guest) = guest("hello") else { return Tested::skipped(common::NO_MAKE) };
    let alone = fencepost(&guest, &["--accel", "soft"]).output().unwrap();
    // The second is sent away; the first leaves in the middle of a packet, with a step asked for before.
    let served = start(&guest, "", &["--accel", "soft"]);
    let mut first = served.connect();
    let why = ask(&mut first, "?");
    assert!(why.contains("05"), "{why}");
    let mut second = served.connect();
    assert_eq!(second.read(&mut [0]).unwrap(), 0);
    assert!(ask(&mut first, "Z0,200000,1").contains("OK"));
    first.write_all(&packet("vCont;s:p1.1")).unwrap();
    first.write_all(b"$vCo").unwrap();
    drop(first);
    let output = served.end();
    let host = String::from_utf8_lossy(&output.stderr);
    for line in ["a second debugger was turned away", "the guest goes on"] {
        assert!(host.contains(line), "{line}: {host}");
    }
    assert_eq!(remains(&output), remains(&alone));
    // Nonsense is no reason to end either.
    let served = start(&guest, ",nowait", &["--accel", "soft"]);
    if let Ok(mut first) = UnixStream::connect(served.socket()) {
        let _ = first.write_all(b"GET / HTTP/1.1\r\n\r\n$zzzz#00$#\x03\x03");
    }
    assert_eq!(remains(&served.end()), remains(&alone));
    Tested::Ran
}

#[test]
fn a_place_where_nobody_can_listen_is_one_line() -> Tested {
    let Some(guest) = guest("hello") else { return Tested::skipped(common::NO_MAKE) };
    let folder = TempDir::new().unwrap();
    let there = folder.path().join("there");
    std::fs::write(&there, "").unwrap();
    for at in [format!("unix:{}", there.display()), "unix:/nonexistent/socket".into()] {
        let output = fencepost(&guest, &["--accel", "soft", "--gdb", &at]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains("--gdb") && said.contains("name a socket") && said.len() < 300, "{said}");
    }
    assert!(there.exists(), "what is there stays");
    Tested::Ran
}
