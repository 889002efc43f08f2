//! `--input`: what a person does at the keyboard and the tablet, with times of the guest's, from a file (docs/input.md).

use std::path::Path;

use crate::config::MachineConfig;
use crate::error::HostError;
use crate::files::read_text;
use crate::input::{ABSOLUTE_MAX, Button, Input, KEYBOARD, TABLET};
use crate::launch::SnapshotAt;
use crate::machine::{Brought, Timed};
use crate::view::key_number;

/// The largest file: some hundred thousand steps.
const MAX_BYTES: u64 = 16 << 20;
/// The largest number of a key that a keyboard has (KEY_MICMUTE).
const KEY_MAX: u16 = 248;

/// One step: after which mark, if any, how many nanoseconds behind that or the start, and what is done.
type Step = (Option<u8>, u64, Input);

/// Reads the file of `--input`, for the keyboards and tablets of `machine`.
///
/// # Errors
///
/// A file that cannot be read, a line that is none, or a device that the machine has not.
pub fn read(path: &Path, machine: &MachineConfig) -> Result<Timed, HostError> {
    let name = path.display();
    let text = read_text("--input", path, MAX_BYTES, "name another file")?;
    let mut timed = Timed::default();
    for (line, words) in (1..).zip(text.lines()) {
        let steps =
            parse(words).map_err(|why| HostError::Input(format!("--input {name}: line {line}: {why}")))?;
        for (mark, ns, input) in steps {
            let kind = if input.is_key() { KEYBOARD } else { TABLET };
            let mut slots = machine.devices.iter().filter(|device| device.kind == kind).peekable();
            if slots.peek().is_none() {
                return Err(HostError::input(
                    format!("--input {name}: line {line}: the machine has no {kind}"),
                    format!("add one with --device {kind}"),
                ));
            }
            slots.for_each(|device| timed.add(mark, ns, Brought::Scripted(device.slot, input.bytes())));
        }
    }
    Ok(timed)
}

/// Whether a line without a time is something to do.
///
/// # Errors
///
/// What is wrong with it, as part of a line.
pub fn check(line: &str) -> Result<(), String> {
    inputs(&line.split_whitespace().collect::<Vec<_>>()).map(drop)
}

/// What a line without a time is for the keyboards and tablets of `machine`: the data of each and its slot.
///
/// # Errors
///
/// What is wrong with the line, or that there is no such device; as part of a line.
pub fn deliveries(line: &str, machine: &MachineConfig) -> Result<Vec<(u8, Vec<u8>)>, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut all = Vec::new();
    for input in inputs(&words)? {
        let kind = if input.is_key() { KEYBOARD } else { TABLET };
        let before = all.len();
        let slots = machine.devices.iter().filter(|device| device.kind == kind);
        all.extend(slots.map(|device| (device.slot, input.bytes())));
        if all.len() == before {
            return Err(format!("the machine has no {kind}; add one to its devices"));
        }
    }
    Ok(all)
}

/// The steps of a line: none of an empty one or a comment.
fn parse(line: &str) -> Result<Vec<Step>, String> {
    let line = line.split('#').next().unwrap_or_default();
    let words: Vec<&str> = line.split_whitespace().collect();
    let Some((when, what)) = words.split_first() else { return Ok(Vec::new()) };
    let (mark, ns) = moment(when)?;
    Ok(inputs(what)?.into_iter().map(|input| (mark, ns, input)).collect())
}

/// `1500ms`, `mark:3` or `mark:3+20ms`.
fn moment(word: &str) -> Result<(Option<u8>, u64), String> {
    let wrong = |_: String| format!("'{word}' is no time; write 1500ms, mark:3 or mark:3+20ms");
    let (first, later) = match word.split_once('+') {
        Some((first, later)) => (first, Some(later)),
        None => (word, None),
    };
    match (first.parse().map_err(wrong)?, later) {
        (SnapshotAt::Time(ns), None) => Ok((None, ns)),
        (SnapshotAt::Mark(mark), None) => Ok((Some(mark), 0)),
        (SnapshotAt::Mark(mark), Some(later)) => match later.parse().map_err(wrong)? {
            SnapshotAt::Time(ns) => Ok((Some(mark), ns)),
            SnapshotAt::Mark(_) => Err(wrong(String::new())),
        },
        (SnapshotAt::Time(_), Some(_)) => Err(wrong(String::new())),
    }
}

fn inputs(words: &[&str]) -> Result<Vec<Input>, String> {
    match *words {
        ["press", name] => Ok(vec![key(name, true)?]),
        ["release", name] => Ok(vec![key(name, false)?]),
        ["tap", name] => Ok(vec![key(name, true)?, key(name, false)?]),
        ["move", x, y] => {
            let place = |word: &str| {
                let number = word.parse().ok().filter(|place| *place <= ABSOLUTE_MAX);
                number.ok_or_else(|| {
                    format!("'{word}' is no place; write a whole number from 0 to {ABSOLUTE_MAX}")
                })
            };
            Ok(vec![Input::Absolute { x: place(x)?, y: place(y)? }])
        }
        ["wheel", notches] => {
            let number =
                notches.parse().map_err(|_| format!("'{notches}' is no whole number from -128 to 127"))?;
            Ok(vec![Input::Wheel(number)])
        }
        _ => Err(format!(
            "'{}' is nothing to do; write press KEY, release KEY, tap KEY, move X Y or wheel N",
            words.join(" ")
        )),
    }
}

/// A key by a browser's name or its number, or a button.
fn key(name: &str, pressed: bool) -> Result<Input, String> {
    let button = match name {
        "left" => Some(Button::Left),
        "middle" => Some(Button::Middle),
        "right" => Some(Button::Right),
        _ => None,
    };
    if let Some(button) = button {
        return Ok(Input::Button { button, pressed });
    }
    let number = name.parse().ok().or_else(|| key_number(name)).filter(|code| (1..=KEY_MAX).contains(code));
    number.map(|code| Input::Key { code, pressed }).ok_or_else(|| {
        format!("there is no key '{name}'; write a browser's name such as KeyA or Enter, a number from 1 to {KEY_MAX}, left, middle or right")
    })
}

#[cfg(test)]
#[path = "input_script_tests.rs"]
mod tests;
