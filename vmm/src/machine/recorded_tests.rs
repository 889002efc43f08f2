//! A record is read as it was written, and a machine that gets it does what the recorded one did.

use std::sync::{Arc, Mutex};

use fencepost_firmware::layout;
use fencepost_softcpu::bus::Bus;
use fencepost_time::Cycles;

use super::super::saved::MachineState;
use super::super::testing::{self, restored};
use super::*;

/// A record in memory.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("text")
    }
}

fn characters(bytes: &[u8]) -> Vec<Received> {
    bytes.iter().copied().map(Received::Character).collect()
}

#[test]
fn what_is_written_is_read() {
    let typed = [characters(b"ab"), vec![Received::Break], vec![Received::Break], characters(b"c")];
    let mut text = format!("{FIRST} 1 2 3 4 5\n");
    text += &line(0, "7", &digits([]));
    text += &line(5, "31", &digits([0, 0xff]));
    text += &serial_lines(5, 2, &typed.concat());
    text += &line(u64::MAX, "2", "01");
    let mut all = vec![(0, Brought::Data(7, vec![])), (5, Brought::Data(31, vec![0, 0xff]))];
    all.extend(typed.map(|part| (5, Brought::Line(2, part))));
    all.push((u64::MAX, Brought::Data(2, vec![1])));
    let before = Taken { data: 1, characters: [2, 3, 4, 5] };
    assert_eq!(parse(&text), Ok(Recording { before, all }));
}

#[test]
fn lines_that_are_wrong_are_named() {
    for wrong in [
        "",
        "something else",
        "fencepost-input 1",
        "fencepost-input 2 0 0 0 0",
        "fencepost-input 2 0 0 0 0 -1",
    ] {
        assert_eq!(parse(&format!("{wrong}\n")).map_err(|(line, _)| line), Err(1), "{wrong}");
    }
    let first = format!("{FIRST} 0 0 0 0 0\n");
    for wrong in [
        "x 1 00",
        "1 256 00",
        "1 1",
        "1 1 0",
        "1 1 0g",
        "1 1 00 1",
        "-1 1 00",
        "1 1 \u{e9}0",
        "1 1 break",
        "1 serial4 00",
        "1 serial 00",
        "1 serial0 Break",
        "1 serial-1 00",
    ] {
        assert_eq!(parse(&format!("{first}0 1 00\n{wrong}\n")).map_err(|(line, _)| line), Err(3), "{wrong}");
    }
    assert_eq!(parse(&format!("{first}5 1 00\n4 1 00\n")).map_err(|(line, _)| line), Err(3));
}

/// A machine with a second serial port, whose guest listens at both.
fn machine() -> Machine {
    let mut machine = testing::standard();
    machine.plug_serial(Box::new(std::io::sink()));
    for port in [layout::SERIAL_PORT, layout::MORE_SERIAL[0].0] {
        machine.write_port(port + 1, &[1]);
        machine.write_port(port + 4, &[0x0b]);
    }
    machine
}

/// Characters: the turn in which the guest read it, the port, the line's status before, and itself.
type Got = Vec<(u64, u16, u8, u8)>;

/// What the guest gets that looks each 10 us, and when; `bring` is asked what the host does before each turn.
fn run(machine: &mut Machine, turns: std::ops::Range<u64>, mut bring: impl FnMut(u64, &Machine)) -> Got {
    let mut got = Vec::new();
    for turn in turns {
        let at = Cycles(turn * 10_000);
        bring(turn, machine);
        machine.set_cycles(at);
        machine.attend_console();
        machine.attend_deliveries();
        machine.run_due();
        for port in [layout::SERIAL_PORT, layout::MORE_SERIAL[0].0] {
            let (mut status, mut byte) = ([0], [0]);
            machine.port_read(at, port + 5, &mut status);
            if status[0] & 1 != 0 {
                machine.port_read(at, port, &mut byte);
                got.push((turn, port, status[0], byte[0]));
            }
        }
    }
    got
}

fn type_something(turn: u64, machine: &Machine) {
    match turn {
        3 => machine.control.push_input(b"hello"),
        20 => machine.control.push_serial_input(1, b"other"),
        25 => machine.control.push_break(),
        40 => machine.control.push_input(b"!"),
        _ => {}
    }
}

/// A recorded run, its record, and its state after turn 30.
fn recorded() -> (Got, String, MachineState) {
    let kept = Kept::default();
    let mut machine = machine();
    machine.record_input(Box::new(kept.clone()));
    let mut got = run(&mut machine, 0..30, type_something);
    let state = machine.save().expect("saved");
    got.extend(run(&mut machine, 30..200, type_something));
    assert_eq!(got.len(), 5 + 5 + 1 + 1, "all arrived: {got:?}");
    (got, kept.text(), state)
}

#[test]
fn a_replayed_machine_gets_what_the_recorded_one_got_and_nothing_of_its_host() {
    let (got, text, _) = recorded();
    assert!(
        text.starts_with("fencepost-input 2 0 0 0 0 0\n30000 serial0 68656c6c6f\n200000 serial1 "),
        "{text}"
    );
    let mut machine = machine();
    assert!(machine.replay(parse(&text).expect("a record")));
    let again = run(&mut machine, 0..200, |_, machine| machine.control.push_input(b"x"));
    assert_eq!(again, got);
}

#[test]
fn a_restored_machine_gets_the_rest_and_another_recording_is_refused() {
    let (got, text, state) = recorded();
    let recording = parse(&text).expect("a record");
    let mut machine = restored(state.clone());
    assert!(machine.replay(recording.clone()));
    let rest: Vec<_> = got.iter().copied().filter(|one| one.0 >= 30).collect();
    assert!(!rest.is_empty());
    assert_eq!(run(&mut machine, 30..200, |_, _| ()), rest);
    let early = ["\n30000 ", "\n200000 ", "\n250000 "];
    let later = early.iter().fold(text.clone(), |text, time| text.replace(time, "\n290001 "));
    for (text, why) in [
        (text.replace("2 0 0 0 0 0", "2 0 6 0 0 0"), "it begins later"),
        (later, "the guest had what was yet to come"),
        (text.replace("\n250000 ", "\n200001 5 00\n250000 "), "a device has not had what came"),
        (format!("{FIRST} 0 0 0 0 0\n"), "the guest had more"),
    ] {
        assert!(!restored(state.clone()).replay(parse(&text).expect(why)), "{why}");
    }
}
