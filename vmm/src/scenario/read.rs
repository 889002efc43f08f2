//! Finds scenarios and reads them.

use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use fencepost_devices::changes::{Change, Presence};
use fencepost_devices::faults::FaultSpec;
use fencepost_trace::conditions::{Condition, ConditionError};
use regex::Regex;
use toml::Spanned;

use super::{Action, Allowed, MachineAt, Scenario, names, refuse};
use crate::config::{self, in_our_words, line_of};
use crate::error::{HostError, plain};
use crate::files::open_input;
use crate::input_script;

const FIX: &str = "name a scenario or a folder with some (docs/scenarios.md)";
/// The most bytes that a scenario may have.
const BYTES_MAX: u64 = 1 << 20;
/// Folders within folders.
const MOST_DEPTH: usize = 16;
/// The most scenarios of one command.
const MOST_FOUND: usize = 100_000;

/// A scenario and the file that it is in.
#[derive(Clone, Debug)]
pub struct Found {
    /// The file, as the user reaches it.
    pub path: PathBuf,
    /// Its content.
    pub scenario: Scenario,
    /// The file's text, of which a suite's digest is made.
    pub text: String,
}

impl Found {
    /// The scenario of a text, as if it were the file `path`.
    ///
    /// # Errors
    ///
    /// Those of [`read`].
    pub fn of(path: &Path, text: &str) -> Result<Found, HostError> {
        let mut scenario = parse(text).map_err(|(line, why)| match line {
            Some(line) => HostError::Input(format!("{}:{line}: {why}", path.display())),
            None => HostError::Input(format!("{}: {why}", path.display())),
        })?;
        complete(&mut scenario, path)?;
        refuse::check(&scenario).map_err(|(name, why)| match assigned(text, &name) {
            Some(line) => HostError::Input(format!("{}:{line}: {why}", path.display())),
            None => HostError::Input(format!("{}: {why}", path.display())),
        })?;
        Ok(Found { path: path.to_path_buf(), scenario, text: text.to_string() })
    }

    /// What it is as `variant`.
    pub fn as_variant(self, variant: Option<&str>) -> Found {
        let scenario = match variant {
            Some(name) => self.scenario.as_variant(name),
            None => self.scenario,
        };
        Found { scenario, ..self }
    }

    /// The scenario itself, then each of its variants with its name.
    pub fn variants(&self) -> Vec<(Option<String>, Found)> {
        let names = self.scenario.variants.iter().map(|variant| Some(variant.name.clone()));
        let all = std::iter::once(None).chain(names);
        all.map(|name| (name.clone(), self.clone().as_variant(name.as_deref()))).collect()
    }

    /// The line at which something of it stands, counted from 1.
    pub fn line<T>(&self, of: &Spanned<T>) -> u32 {
        u32::try_from(line_of(&self.text, of.span().start)).unwrap_or(u32::MAX)
    }
}

/// The files of scenarios that `paths` name: files as they are, and in folders, at any depth, each `*.toml` with a line `[scenario]`.
///
/// # Errors
///
/// A path that is not there, or a folder without any.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, HostError> {
    let mut found = Vec::new();
    for path in paths {
        let failed = |error: std::io::Error| HostError::file("test", path, &error, FIX);
        if !std::fs::metadata(path).map_err(failed)?.is_dir() {
            found.push(path.clone());
            continue;
        }
        let before = found.len();
        collect(path, MOST_DEPTH, &mut found).map_err(failed)?;
        if found.len() == before {
            let why = format!("test {}: no scenario in it: no *.toml with a line [scenario]", path.display());
            return Err(HostError::input(why, "write one, or begin with `fencepost new scenario NAME`"));
        }
    }
    if found.len() > MOST_FOUND {
        return Err(HostError::input("test: more than 100000 scenarios", "name fewer folders"));
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|path| seen.insert(std::fs::canonicalize(path).unwrap_or_else(|_| path.clone())));
    Ok(found)
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (kind, path) = (entry.file_type()?, entry.path());
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if kind.is_dir() && depth > 0 && !hidden {
            collect(&path, depth - 1, found)?;
        } else if kind.is_file() && path.extension().is_some_and(|it| it == "toml") && is_scenario(&path) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_scenario(path: &Path) -> bool {
    let mut text = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut text));
    read.is_ok() && text.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == b"[scenario]")
}

/// Reads a scenario.
///
/// # Errors
///
/// What is wrong with it, with file, line and the nearest known name.
pub fn read(path: &Path) -> Result<Found, HostError> {
    let failed = |error: std::io::Error| HostError::file("test", path, &error, FIX);
    let mut bytes = Vec::new();
    open_input("test", path, FIX)?.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    let refused = |why: &str| HostError::input(format!("{}: {why}", path.display()), FIX);
    if bytes.len() as u64 > BYTES_MAX {
        return Err(refused("has more than 1 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused("is not UTF-8 text"))?;
    Found::of(path, &text)
}

/// Why a text is no scenario, and the line if there is one.
type Wrong = (Option<usize>, String);

/// The scenario that a text describes.
pub(super) fn parse(text: &str) -> Result<Scenario, Wrong> {
    let line = |at: Range<usize>| line_of(text, at.start);
    let scenario: Scenario =
        toml::from_str(text).map_err(|error| (error.span().map(line), in_our_words(error.message())))?;
    for step in &scenario.steps {
        let checked = step.get_ref().action().and_then(possible);
        let checked = checked.and_then(|()| step.get_ref().output.iter().try_for_each(|it| pattern(it)));
        checked.map_err(|why| (Some(line(step.span())), why))?;
    }
    if scenario.steps.is_empty() && scenario.scenario.skip.is_none() {
        return Err((None, "it has no step; add [[step]] with run = \"COMMAND\"".to_string()));
    }
    scenario.kernel.names().map_err(|why| (heading(text, "[kernel]"), why))?;
    if let Some(MachineAt::Here(machine)) = &scenario.machine {
        machine.check().map_err(|why| (heading(text, "[machine]"), why))?;
    }
    for sentence in &scenario.expect.trace {
        let wrong = |error: ConditionError| (heading(text, "[expect]"), error.to_string());
        sentence.parse::<Condition>().map(drop).map_err(wrong)?;
    }
    let allowed = |known: &[Allowed]| known.iter().try_for_each(|it| pattern(&it.pattern));
    let expect = &scenario.expect;
    scenario.check_variants().map_err(|why| (heading(text, "[[variant]]"), why))?;
    let fails = expect.fails.iter().chain(scenario.variants.iter().filter_map(|it| it.fails.as_ref()));
    fails.map(|it| &it.pattern).try_for_each(|it| pattern(it)).map_err(|why| (None, why))?;
    allowed(&expect.ktap.known).map_err(|why| (heading(text, "[expect.ktap]"), why))?;
    allowed(&expect.dmesg.allow).map_err(|why| (heading(text, "[expect.dmesg]"), why))?;
    Ok(scenario)
}

/// Refuses what the host could not do on any machine.
fn possible(action: Action<'_>) -> Result<(), String> {
    match action {
        Action::Fault(text) => text.parse::<FaultSpec>().map(drop),
        Action::Set(text) => text.parse::<Change>().map(drop),
        Action::Hotplug(text) => text.parse::<Presence>().map(drop),
        Action::Input(line) => input_script::check(line),
        Action::Run(_) | Action::Snapshot(_) => Ok(()),
    }
}

fn pattern(text: &str) -> Result<(), String> {
    let last = |error: regex::Error| error.to_string().lines().last().unwrap_or_default().trim().to_string();
    Regex::new(text).map(drop).map_err(|error| format!("'{text}' is no regular expression: {}", last(error)))
}

/// The line of a table's heading, if the file has it as a line of its own.
fn heading(text: &str, heading: &str) -> Option<usize> {
    text.lines().position(|line| line.trim().starts_with(heading.trim_end_matches(']'))).map(|at| at + 1)
}

/// The first line that gives something to `name`, or `name` to something, if there is one.
fn assigned(text: &str, name: &str) -> Option<usize> {
    // As a word of its own: a short name is a part of many others.
    let part = |c: char| c.is_alphanumeric() || "_-".contains(c);
    let alone = |line: &str| {
        line.match_indices(name)
            .any(|(at, found)| !line[..at].ends_with(part) && !line[at + found.len()..].starts_with(part))
    };
    text.lines().position(|line| line.contains('=') && alone(line)).map(|at| at + 1)
}

/// Names of files are from the folder of the scenario's file; what is missing on the host is found here.
fn complete(scenario: &mut Scenario, path: &Path) -> Result<(), HostError> {
    let folder = Scenario::folder_of(path);
    if scenario.scenario.name.is_empty() {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        scenario.scenario.name = stem.trim_end_matches(".scenario").to_string();
    }
    if let Some(MachineAt::File(file)) = &scenario.machine {
        scenario.machine = Some(MachineAt::Here(config::read(&folder.join(file))?.into()));
    } else if let Some(MachineAt::Here(machine)) = &mut scenario.machine {
        config::files_from(machine, &folder);
    }
    let Scenario { kernel, modules, guest, expect, .. } = scenario;
    let single = [&mut kernel.path, &mut modules.build, &mut expect.frames.png].into_iter().flatten();
    let several = modules.files.iter_mut().chain(guest.files.values_mut()).chain(guest.share.values_mut());
    for name in single.chain(several) {
        let expanded = names::expand(name, |variable| std::env::var(variable).ok());
        let expanded = expanded
            .map_err(|why| HostError::Input(format!("{}: {}: {why}", path.display(), name.display())))?;
        let there = folder.join(expanded);
        *name = std::fs::canonicalize(&there).map_err(|error| {
            let why = format!("{}: {}: {}", path.display(), there.display(), plain(&error));
            HostError::input(why, "name what is there; names are from the scenario's folder")
        })?;
    }
    Ok(())
}
