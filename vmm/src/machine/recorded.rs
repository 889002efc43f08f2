//! What the host brought, recorded with the guest's times, and given again at those times.
//!
//! A file has a line that says what it is and how much the machine had taken before, and then a line for each delivery: the time in
//! nanoseconds, a device's slot or `serial` with a port's number, and the data in hexadecimal digits, or `break`.

use std::io::Write;

use fencepost_firmware::layout::MORE_SERIAL_MAX;
use serde::{Deserialize, Serialize};

use super::Machine;
use super::timed::{Brought, Timed};
use crate::control::{Received, SERIAL_PORTS_MAX};

/// What the first line begins with.
const FIRST: &str = "fencepost-input 2";
/// What a line's receiver begins with that is a serial port.
const SERIAL: &str = "serial";

/// How much of what the host brought the machine has taken since it was switched on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Data for functions.
    data: u64,
    /// Characters that the guest's serial ports got, by port.
    characters: [u64; SERIAL_PORTS_MAX],
}

/// A record of a run, or of its end from a snapshot on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// What the machine had taken before.
    before: Taken,
    /// Times in nanoseconds, in order, and what came.
    all: Vec<(u64, Brought)>,
}

impl Taken {
    fn words(&self) -> String {
        self.characters.iter().fold(self.data.to_string(), |words, count| format!("{words} {count}"))
    }

    fn parse(words: &str) -> Option<Self> {
        let mut words = words.split(' ').map(|word| word.parse().ok());
        let data = words.next()??;
        let counts: Option<Vec<u64>> = words.collect();
        Some(Taken { data, characters: counts?.try_into().ok()? })
    }

    /// How much more this is than `before`; none if it is less.
    fn since(&self, before: &Taken) -> Option<Self> {
        let mut more = Taken { data: self.data.checked_sub(before.data)?, ..Taken::default() };
        for (port, count) in more.characters.iter_mut().enumerate() {
            *count = self.characters[port].checked_sub(before.characters[port])?;
        }
        Some(more)
    }
}

fn line(at_ns: u64, to: &str, data: &str) -> String {
    format!("{at_ns} {to} {data}\n")
}

fn digits(bytes: impl IntoIterator<Item = u8>) -> String {
    bytes.into_iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The lines of what came over a serial line: a BREAK has one of its own.
fn serial_lines(at_ns: u64, port: u8, received: &[Received]) -> String {
    let to = format!("{SERIAL}{port}");
    let parts = received.chunk_by(|one, next| *one != Received::Break && *next != Received::Break);
    let text = |part: &[Received]| match part[0] {
        Received::Break => "break".to_string(),
        Received::Character(_) => digits(part.iter().filter_map(|one| match one {
            Received::Character(byte) => Some(*byte),
            Received::Break => None,
        })),
    };
    parts.map(|part| line(at_ns, &to, &text(part))).collect()
}

fn parse_line(line: &str) -> Option<(u64, Brought)> {
    let mut words = line.split(' ');
    let (at_ns, to, data) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
    let byte = |at: usize| u8::from_str_radix(data.get(at..at + 2)?, 16).ok();
    let bytes = || (0..data.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>();
    let brought = match to.strip_prefix(SERIAL) {
        None => Brought::Data(to.parse().ok()?, bytes()?),
        Some(port) => {
            let port = port.parse().ok().filter(|port| usize::from(*port) < SERIAL_PORTS_MAX)?;
            let characters = || Some(bytes()?.into_iter().map(Received::Character).collect());
            Brought::Line(port, if data == "break" { vec![Received::Break] } else { characters()? })
        }
    };
    words.next().is_none().then_some((at_ns, brought))
}

/// The record that `text` is.
///
/// # Errors
///
/// The number of the first line that is wrong, and why.
pub fn parse(text: &str) -> Result<Recording, (usize, &'static str)> {
    let mut lines = text.lines().enumerate();
    let first = lines.next().and_then(|(_, first)| first.strip_prefix(FIRST)?.strip_prefix(' '));
    let before = first.and_then(Taken::parse).ok_or((1, "it is not what --record-input writes"))?;
    let mut all = Vec::<(u64, Brought)>::new();
    for (at, line) in lines {
        let delivery = parse_line(line).ok_or((at + 1, "write TIME SLOT HEX or TIME serialN HEX"))?;
        if all.last().is_some_and(|last| last.0 > delivery.0) {
            return Err((at + 1, "its time is before that of the line before"));
        }
        all.push(delivery);
    }
    Ok(Recording { before, all })
}

impl Recording {
    /// That of a machine that has `taken` so much and gets no more yet.
    pub(super) fn begin(taken: &Taken) -> Self {
        Recording { before: taken.clone(), all: Vec::new() }
    }

    /// What came after a machine had `taken` so much, at `now_ns`, of a record of its own run. Input that comes from a file is no part
    /// of it.
    pub(super) fn since(&self, taken: &Taken, now_ns: u64, from_file: bool) -> Option<Timed> {
        let mut taken = taken.clone();
        if from_file {
            taken.characters[0] = self.before.characters[0];
        }
        self.clone().rest(&taken, now_ns)
    }

    /// What is still to come for a machine that has `taken` so much, at `now_ns`; none if the record is of another run.
    fn rest(self, taken: &Taken, now_ns: u64) -> Option<Timed> {
        let mut had = taken.since(&self.before)?;
        let mut timed = Timed::default();
        for (at_ns, brought) in self.all {
            match brought {
                Brought::Data(..) if had.data > 0 => {
                    had.data -= 1;
                    if at_ns > now_ns {
                        return None;
                    }
                }
                Brought::Data(..) if at_ns < now_ns => return None,
                Brought::Line(port, mut received) => {
                    let had = &mut had.characters[usize::from(port)];
                    let gone = received.len().min(usize::try_from(*had).unwrap_or(usize::MAX));
                    if gone > 0 && at_ns > now_ns {
                        return None;
                    }
                    received.drain(..gone);
                    *had -= gone as u64;
                    timed.add(None, at_ns, Brought::Line(port, received));
                }
                brought => timed.add(None, at_ns, brought),
            }
        }
        (had == Taken::default()).then_some(timed)
    }
}

impl Machine {
    /// Writes to `to` what the host brings from now on. What that does not take is its own affair: an outlet counts it.
    pub fn record_input(&mut self, mut to: Box<dyn Write + Send>) {
        let _ = to.write_all(format!("{FIRST} {}\n", self.taken.words()).as_bytes());
        self.control.show_input_first();
        self.record = Some(to);
    }

    /// From now on the host brings nothing; the machine gets what `recording` has and it has not had. False if that is the record of
    /// another run than the one that it is in.
    #[must_use]
    pub fn replay(&mut self, recording: Recording) -> bool {
        let rest = recording.rest(&self.taken, self.now().ns);
        self.control.ignore_host();
        rest.map(|rest| self.deliver_all(rest)).is_some()
    }

    /// Shows itself what has come over the serial lines, where that is recorded.
    pub(super) fn record_lines(&mut self) {
        if self.record.is_none() && self.brought.is_none() {
            return;
        }
        let at_ns = self.now().ns;
        for port in (0u8..).take(1 + MORE_SERIAL_MAX) {
            let received = self.control.show_input(port);
            if let Some(record) = &mut self.record {
                let _ = record.write_all(serial_lines(at_ns, port, &received).as_bytes());
            }
            if let Some(brought) = self.brought.as_mut().filter(|_| !received.is_empty()) {
                brought.all.push((at_ns, Brought::Line(port, received)));
            }
            self.attend_serial(port);
        }
    }

    /// How many characters of console input it has taken that `then` had not.
    pub(super) fn characters_since(&self, then: &Taken) -> u64 {
        self.taken.characters[0].saturating_sub(then.characters[0])
    }

    /// The next data that the host brings a function.
    pub(super) fn next_delivery(&mut self) -> Option<(u8, Vec<u8>)> {
        let (slot, data) = self.control.take_delivery()?;
        let at_ns = self.now().ns;
        self.count_delivery();
        if let Some(record) = &mut self.record {
            let _ =
                record.write_all(line(at_ns, &slot.to_string(), &digits(data.iter().copied())).as_bytes());
        }
        if let Some(brought) = &mut self.brought {
            brought.all.push((at_ns, Brought::Data(slot, data.clone())));
        }
        Some((slot, data))
    }

    /// Data of the host's, or its record's, has been taken for a function.
    pub(super) fn count_delivery(&mut self) {
        self.taken.data = self.taken.data.saturating_add(1);
    }

    /// A serial port got something.
    pub(super) fn count_character(&mut self, port: u8) {
        if let Some(count) = self.taken.characters.get_mut(usize::from(port)) {
            *count = count.saturating_add(1);
        }
    }
}

#[cfg(test)]
#[path = "recorded_tests.rs"]
mod tests;
