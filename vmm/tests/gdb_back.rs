//! Reverse execution: a guest goes back, and on again as the guest that never did.

mod common;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::served::{self, Served, answer, guest, packet, remains};
use fencepost_skip::Tested;
use tempfile::TempDir;

fn fencepost(guest: &Path, options: &[&str]) -> Command {
    let mut command = served::run(guest, 240, options);
    command.args(["--accel", "soft"]);
    command
}

fn start(guest: &Path, options: &[&str]) -> Served {
    Served::start(fencepost(guest, options), "")
}

fn talk(served: &Served) -> Talk {
    let mut talk = Talk(served.connect());
    talk.0.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    talk.ask("qSupported:multiprocess+;swbreak+;hwbreak+");
    talk
}

/// The remote protocol.
struct Talk(UnixStream);

impl Talk {
    fn say(&mut self, text: &str) {
        self.0.write_all(&packet(text)).unwrap();
    }

    fn hear(&mut self) -> String {
        let answer = answer(&mut self.0);
        let end = answer.len().checked_sub(3).filter(|at| answer.as_bytes()[*at] == b'#');
        let end = end.unwrap_or_else(|| panic!("no whole packet: {answer}"));
        // Who has said that the guest has ended may be gone.
        let _ = self.0.write_all(b"+");
        let from = answer.find('$').expect("a packet") + 1;
        unfolded(&answer[from..end])
    }

    fn ask(&mut self, text: &str) -> String {
        self.say(text);
        self.hear()
    }

    fn registers(&mut self) -> String {
        self.ask("g")
    }

    /// One instruction of a CPU.
    fn step(&mut self, thread: u32) -> String {
        self.ask(&format!("vCont;s:p1.{thread};c"))
    }

    fn step_back(&mut self, thread: u32) -> String {
        assert_eq!(self.ask(&format!("Hcp1.{thread}")), "OK");
        self.ask("bs")
    }

    fn go_on(&mut self) -> String {
        self.ask("vCont;c")
    }

    /// To the next breakpoint: what the machine stands at is stepped over, as by gdb.
    fn next_stop(&mut self) -> String {
        self.step(1);
        self.go_on()
    }

    fn run_back(&mut self) -> String {
        self.ask("bc")
    }

    fn rip(&mut self) -> u64 {
        // Sixteen general registers of eight bytes come before it.
        let registers = self.registers();
        let bytes = (0..8).map(|n| u8::from_str_radix(&registers[256 + 2 * n..258 + 2 * n], 16).unwrap());
        u64::from_le_bytes(bytes.collect::<Vec<_>>().try_into().unwrap())
    }
}

/// An answer in which runs of one character are written as that, `*`, and how many more as a character that is 29 above.
fn unfolded(text: &str) -> String {
    let mut all = String::new();
    let mut characters = text.chars();
    while let Some(next) = characters.next() {
        match (next, all.chars().last()) {
            ('*', Some(last)) => {
                let more = characters.next().map_or(0, |count| count as usize - 29);
                all.extend(std::iter::repeat_n(last, more));
            }
            _ => all.push(next),
        }
    }
    all
}

#[test]
fn steps_back_are_the_steps_forward_in_reverse() -> Tested {
    let Some(guest) = guest("hello") else { return Tested::skipped(common::NO_MAKE) };
    let alone = fencepost(&guest, &[]).output().unwrap();
    let served = start(&guest, &[]);
    let mut talk = talk(&served);
    assert!(talk.step_back(1).contains("replaylog:begin"));
    let mut seen = vec![talk.registers()];
    for _ in 0..300 {
        assert!(talk.step(1).starts_with("T05"));
        seen.push(talk.registers());
    }
    for then in seen.iter().rev().skip(1) {
        assert!(talk.step_back(1).starts_with("T05"));
        assert_eq!(talk.registers(), *then);
    }
    assert!(talk.step_back(1).contains("replaylog:begin"));
    for then in &seen[1..] {
        talk.step(1);
        assert_eq!(talk.registers(), *then);
    }
    // From the farthest moment it goes on to the end, and has said everything once.
    for _ in 0..20 {
        talk.step_back(1);
    }
    assert_eq!(talk.registers(), seen[280]);
    let change = format!("M{:x},1:90", talk.rip());
    let why = talk.ask(&change);
    assert!(why.starts_with('E'), "the past stays: {why}");
    assert!(talk.go_on().contains("replaylog:end"));
    assert_eq!(talk.registers(), seen[300]);
    talk.say("vCont;c");
    let end = talk.hear();
    assert!(end.starts_with("W2a"), "{end}");
    assert_eq!(remains(&served.end()), remains(&alone));
    Tested::Ran
}

/// Guests with devices, timers, interrupts and code that changes: back from the middle to the beginning, and on.
#[test]
fn a_guest_that_went_back_ends_as_the_one_that_did_not() -> Tested {
    let Some(folder) = common::micro_guests() else { return Tested::skipped(common::NO_MAKE) };
    // The others of two CPUs wait to be started.
    let two = |name: &'static str| [(name, &[][..]), (name, &["--cpus", "2"][..])];
    for (name, options) in common::GUESTS.into_iter().flat_map(two) {
        let guest = folder.join(name);
        let alone = fencepost(&guest, options).output().unwrap();
        let served = start(&guest, options);
        let mut talk = talk(&served);
        // `print` stands in every guest, and its first instruction is reached often.
        let print = symbol(&guest, "print");
        assert_eq!(talk.ask(&format!("Z0,{print:x},1")), "OK");
        let mut seen = Vec::new();
        while seen.len() < 6 && talk.next_stop().starts_with("T05") {
            seen.push(talk.registers());
        }
        assert!(!seen.is_empty(), "{name} prints");
        for then in seen.iter().rev().skip(1) {
            assert!(talk.run_back().contains("swbreak"), "{name}");
            assert_eq!(talk.registers(), *then, "{name}");
        }
        assert!(talk.run_back().contains("replaylog:begin"), "{name}");
        for then in &seen {
            talk.next_stop();
            assert_eq!(talk.rip(), print, "{name}");
            assert_eq!(talk.registers(), *then, "{name}");
        }
        for _ in 0..5 {
            talk.step_back(1);
        }
        talk.say("D;1");
        drop(talk);
        assert_eq!(remains(&served.end()), remains(&alone), "{name}");
    }
    Tested::Ran
}

/// What is typed while the guest runs is there again, in its place, when it went back over that: nobody types it twice.
#[test]
fn what_was_typed_comes_again_at_the_same_instruction() -> Tested {
    let Some(guest) = guest("typed") else { return Tested::skipped(common::NO_MAKE) };
    let mut command = fencepost(&guest, &["--append", "w"]);
    command.stdin(Stdio::piped());
    let mut served = Served::start(command, "");
    let mut talk = talk(&served);
    let took = symbol(&guest, "took");
    assert_eq!(talk.ask(&format!("Z0,{took:x},1")), "OK");
    let mut seen = Vec::new();
    for typed in ["f", "p"] {
        served.type_in(typed);
        assert!(talk.next_stop().starts_with("T05"));
        seen.push(talk.registers());
        // The first two arguments: RDI and RSI are the sixth and the fifth register (gdb's order).
        let byte = u8::from_str_radix(&seen.last().unwrap()[5 * 16..5 * 16 + 2], 16).unwrap();
        assert_eq!(char::from(byte).to_string(), typed);
    }
    assert!(talk.run_back().contains("swbreak"));
    assert_eq!(talk.registers(), seen[0], "how often it had looked is in RSI");
    assert!(talk.run_back().contains("replaylog:begin"));
    for then in &seen {
        talk.next_stop();
        assert_eq!(talk.registers(), *then);
    }
    talk.say("D;1");
    drop(talk);
    let output = served.end();
    let console = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert_eq!((console.as_str(), output.status.code()), ("byte 66\nbyte 70\nbytes 2\n", Some(0)));
    Tested::Ran
}

/// Where a guest has a function.
fn symbol(guest: &Path, name: &str) -> u64 {
    let output = Command::new("nm").arg(guest).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.split(' ').nth(2) == Some(name)).expect("there");
    u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap()
}

#[test]
fn a_write_is_found_from_behind_and_undone() -> Tested {
    let Some(guest) = guest("timer") else { return Tested::skipped(common::NO_MAKE) };
    let served = start(&guest, &[]);
    let mut talk = talk(&served);
    // Interrupt 3 is the timer's.
    let (print, count) = (symbol(&guest, "print"), symbol(&guest, "irq_counts") + 24);
    let value = |talk: &mut Talk| talk.ask(&format!("m{count:x},8"));
    talk.ask(&format!("Z0,{print:x},1"));
    let mut seen = Vec::new();
    for _ in 0..12 {
        assert!(talk.next_stop().starts_with("T05"));
        seen.push(value(&mut talk));
    }
    talk.ask(&format!("z0,{print:x},1"));
    talk.ask(&format!("Z2,{count:x},8"));
    let mut last = seen.last().unwrap().clone();
    assert_ne!(last, "0000000000000000", "{seen:?}");
    // Each stop is before the write that made the value: it shows the one before.
    for _ in 0..2 {
        let why = talk.run_back();
        assert!(why.contains(&format!("watch:{count:x}")), "{why}");
        let (before, at) = (value(&mut talk), talk.rip());
        assert_ne!(before, last);
        talk.step(1);
        assert_eq!(value(&mut talk), last, "one step makes it again");
        talk.step_back(1);
        assert_eq!((value(&mut talk), talk.rip()), (before.clone(), at));
        last = before;
        if last == "0000000000000000" {
            break;
        }
    }
    talk.say("k");
    served.end();
    Tested::Ran
}

#[test]
fn gdb_itself_goes_back() -> Tested {
    let Some(guest) = guest("timer") else { return Tested::skipped(common::NO_MAKE) };
    let there = Command::new("gdb").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        return Tested::skipped("there is no gdb");
    }
    let alone = fencepost(&guest, &[]).output().unwrap();
    let served = start(&guest, &[]);
    let mut gdb = Command::new("gdb");
    gdb.args(["-q", "-nx", "-batch", "-ex", "set pagination off", "-ex"]);
    gdb.arg(format!("target remote {}", served.socket().display()));
    let commands = [
        "break irq_3",
        "continue",
        "continue",
        "set $there = $sp",
        "delete",
        "break print",
        "reverse-continue",
        "p $pc == print",
        "reverse-stepi",
        "p $pc == print",
        "stepi",
        "p $pc == print",
        "delete",
        "break irq_3",
        "continue",
        "p $pc == irq_3 && $sp == $there",
        "delete",
        "reverse-continue",
        "p $pc == _start",
        "continue",
        "detach",
    ];
    for command in commands {
        gdb.args(["-ex", command]);
    }
    let output = gdb.arg(&guest).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let results: Vec<&str> = said.lines().filter(|line| line.starts_with('$')).collect();
    assert_eq!(results, ["$1 = 1", "$2 = 0", "$3 = 1", "$4 = 1", "$5 = 1"], "{said}");
    assert_eq!(said.matches("No more reverse-execution history").count(), 2, "{said}");
    assert_eq!(remains(&served.end()), remains(&alone), "{said}");
    Tested::Ran
}

#[test]
fn what_cannot_be_taken_back_is_refused_in_one_line() -> Tested {
    let Some(guest) = guest("hello") else { return Tested::skipped(common::NO_MAKE) };
    // A disk whose file is written cannot be taken back.
    let folder = TempDir::new().unwrap();
    let disk = folder.path().join("disk");
    std::fs::write(&disk, vec![0; 1 << 16]).unwrap();
    let options = ["--disk", disk.to_str().unwrap()];
    let served = start(&guest, &options);
    let mut talk = talk(&served);
    assert_eq!(talk.ask("bs"), "", "it is not supported");
    talk.say("k");
    let said = String::from_utf8_lossy(&served.end().stderr).into_owned();
    let line = said.lines().find(|line| line.contains("no reverse execution")).expect("said");
    assert!(line.contains("virtio-blk") && line.contains("add ro or snapshot"), "{line}");
    Tested::Ran
}
