//! A machine's file: TOML.

use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use fencepost_devices::parameters::{Value, did_you_mean};
use toml::de::{DeTable, DeValue};

use super::devices::{Wrong, WrongKey};
use super::{MachineConfig, SerialEnd};
use crate::error::HostError;
use crate::files::open_input;

const ROLE: &str = "--machine";
const FIX: &str = "name a file that --print-machine wrote, or one of that form (docs/machine-file.md)";
/// The most bytes that a file may have: a machine with all devices takes a few thousand.
const BYTES_MAX: u64 = 1 << 20;

/// Reads a machine. Names of files in it are from the folder that it lies in.
///
/// # Errors
///
/// What is wrong with the file, with its line where there is one, and the fix.
pub fn read(path: &Path) -> Result<MachineConfig, HostError> {
    let failed = |error: std::io::Error| HostError::file(ROLE, path, &error, FIX);
    let file = open_input(ROLE, path, FIX)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    let refused = |why: &str| HostError::input(format!("{ROLE} {}: {why}", path.display()), FIX);
    if bytes.len() as u64 > BYTES_MAX {
        return Err(refused("has more than 1 MiB"));
    }
    if bytes.is_empty() {
        return Err(refused("is empty"));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused("is not UTF-8 text"))?;
    let mut machine = parse(&text).map_err(|Refused { line, why }| match line {
        Some(line) => HostError::Input(format!("{ROLE} {}:{line}: {why}", path.display())),
        None => refused(&why),
    })?;
    files_from(&mut machine, path.parent().unwrap_or(Path::new("")));
    Ok(machine)
}

/// Takes the names of the machine's files as from `folder`.
pub fn files_from(machine: &mut MachineConfig, folder: &Path) {
    for_each_file(machine, |name| folder.join(name));
}

/// Why a text is no machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where, counted from 1, if anywhere.
    pub line: Option<usize>,
    /// What is wrong and the fix, as part of a line.
    pub why: String,
}

/// The machine that a text describes.
///
/// # Errors
///
/// What is wrong, and in which line.
pub fn parse(text: &str) -> Result<MachineConfig, Refused> {
    let line = |at: Option<Range<usize>>| at.map(|at| line_of(text, at.start));
    let machine: MachineConfig = toml::from_str(text)
        .map_err(|error| Refused { line: line(error.span()), why: in_our_words(error.message()) })?;
    match machine.wrong_device() {
        Some(wrong) => Err(Refused { line: line(place(text, &wrong)), why: wrong.why }),
        None => Ok(machine),
    }
}

/// The machine as a text that [`parse`] reads back as the same machine: names of files are absolute.
///
/// # Errors
///
/// A file's name that is no UTF-8.
pub fn print(machine: &MachineConfig) -> Result<String, HostError> {
    let mut machine = machine.clone();
    for_each_file(&mut machine, |name| std::path::absolute(name).unwrap_or_else(|_| name.to_path_buf()));
    toml::to_string(&machine).map_err(|_| {
        HostError::input("the machine names a file in other letters than UTF-8", "name a link to that file")
    })
}

/// Changes the name of each file.
fn for_each_file(machine: &mut MachineConfig, change: impl Fn(&Path) -> PathBuf) {
    let MachineConfig { kernel, tracing, devices, serial, .. } = machine;
    let single = [&mut kernel.path, &mut tracing.file].into_iter().flatten();
    for path in single.chain(&mut kernel.initramfs) {
        *path = change(path);
    }
    for end in serial {
        if let SerialEnd::File(path) | SerialEnd::Unix(path) = end {
            *path = change(path);
        }
    }
    for device in devices {
        for name in device.files_mut() {
            if let Value::Text(text) = name
                && let Some(changed) = change(Path::new(&*text)).to_str()
            {
                *text = changed.to_string();
            }
        }
    }
}

/// The line of a byte of the text, counted from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1
}

/// Where a device that cannot be stands in the text.
fn place(text: &str, wrong: &Wrong) -> Option<Range<usize>> {
    let table = DeTable::parse(text).ok()?;
    let DeValue::Array(devices) = table.get_ref().get("devices")?.get_ref() else { return None };
    let device = devices.get(wrong.index)?;
    let DeValue::Table(keys) = device.get_ref() else { return None };
    let of =
        |keys: &DeTable<'_>, name: &str| keys.keys().find(|key| key.get_ref() == name).map(|key| key.span());
    let found = match &wrong.key {
        WrongKey::Kind => of(keys, "kind"),
        WrongKey::Slot => of(keys, "slot"),
        WrongKey::Parameter(name) => {
            keys.get("parameters").and_then(|parameters| match parameters.get_ref() {
                DeValue::Table(parameters) => of(parameters, name),
                _ => None,
            })
        }
    };
    Some(found.unwrap_or(device.span()))
}

/// What serde and the parser say, as this command says it.
pub(crate) fn in_our_words(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let names = || quoted[1..].join(", ");
    match (message, &quoted[..]) {
        (_, [name, known @ ..]) if message.starts_with("unknown field") => {
            format!(
                "there is no '{name}' here, there are {}{}",
                names(),
                did_you_mean(name, known.iter().copied())
            )
        }
        (_, [name, known @ ..]) if message.starts_with("unknown variant") => {
            format!(
                "'{name}' is not possible; it is one of {}{}",
                names(),
                did_you_mean(name, known.iter().copied())
            )
        }
        (_, [name, ..]) if message.starts_with("missing field") => format!("lacks '{name}'; add it"),
        _ => {
            let numbers = ["expected u8", "expected u32", "expected u64"];
            let plain = numbers
                .iter()
                .fold(message.to_string(), |text, it| text.replace(it, "expected a whole number"));
            let plain = plain.replace("expected a boolean", "expected true or false").replace('`', "'");
            let lines: Vec<&str> = plain.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            lines.join(", ")
        }
    }
}
