//! `[[step]]`.

use std::path::PathBuf;

use serde::Deserialize;

use super::Length;

/// One thing that is done: exactly one of `run` and the host's actions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Step {
    /// What it is called in reports; what it does without one.
    pub name: Option<String>,
    /// A command for the guest's `/bin/sh`. Its working directory is the scenario's folder.
    pub run: Option<String>,
    /// A fault of the machine's, as `--fault` takes it (docs/faults.md).
    pub fault: Option<String>,
    /// Other values for parameters of a device: `TARGET:KEY=VALUE`.
    pub set: Option<String>,
    /// Takes a function from its bus or puts it back: `remove TARGET`, `add TARGET`.
    pub hotplug: Option<String>,
    /// What is done at keyboard and tablet, a line of `--input` without a time.
    pub input: Option<String>,
    /// Saves the machine to a file in the folder of evidence, under this name.
    pub snapshot: Option<PathBuf>,
    /// When a host's action is done: at this time of the guest's since the scenario's start, and not after the step before.
    pub at: Option<Length>,
    /// The exit status that the command must have: 0 without one.
    pub status: Option<u8>,
    /// The longest that the command may take, in the guest's time; the scenario's is the bound without one.
    pub timeout: Option<Length>,
    /// Whether its output is KTAP, each of whose tests counts. Without it, it is if it begins with `KTAP version` or `TAP version`.
    pub ktap: Option<bool>,
    /// A regular expression that must match somewhere in what the command writes.
    pub output: Option<String>,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// A command in the guest.
    Run(&'a str),
    /// A fault.
    Fault(&'a str),
    /// Parameters.
    Set(&'a str),
    /// A function that goes or comes.
    Hotplug(&'a str),
    /// Input.
    Input(&'a str),
    /// A snapshot.
    Snapshot(&'a std::path::Path),
}

impl Step {
    /// What it does.
    ///
    /// # Errors
    ///
    /// It does nothing or more than one thing, or says of a host's action what only a command can have; as part of a line.
    pub fn action(&self) -> Result<Action<'_>, String> {
        let all = [
            self.run.as_deref().map(Action::Run),
            self.fault.as_deref().map(Action::Fault),
            self.set.as_deref().map(Action::Set),
            self.hotplug.as_deref().map(Action::Hotplug),
            self.input.as_deref().map(Action::Input),
            self.snapshot.as_deref().map(Action::Snapshot),
        ];
        let mut given = all.into_iter().flatten();
        let (Some(action), None) = (given.next(), given.next()) else {
            return Err("a step does one thing; write one of run, fault, set, hotplug, input and snapshot"
                .to_string());
        };
        let of_commands = [
            ("status", self.status.is_some()),
            ("timeout", self.timeout.is_some()),
            ("ktap", self.ktap.is_some()),
            ("output", self.output.is_some()),
        ];
        match action {
            Action::Run(_) if self.at.is_some() => {
                Err("a command has no time of its own; leave out 'at', or let the command sleep".to_string())
            }
            Action::Run(_) => Ok(action),
            _ => match of_commands.iter().find(|(_, given)| *given) {
                Some((key, _)) => Err(format!("only a command has '{key}'; leave it out")),
                None => Ok(action),
            },
        }
    }

    /// What it is called in reports.
    pub fn title(&self) -> String {
        let long = || match self.action() {
            Ok(Action::Run(command)) => command.trim().lines().next().unwrap_or_default().to_string(),
            Ok(Action::Fault(spec)) => format!("fault {spec}"),
            Ok(Action::Set(change)) => format!("set {change}"),
            Ok(Action::Hotplug(what)) => format!("hotplug {what}"),
            Ok(Action::Input(line)) => format!("input {line}"),
            Ok(Action::Snapshot(name)) => format!("snapshot {}", name.display()),
            Err(_) => String::new(),
        };
        self.name.clone().unwrap_or_else(long)
    }
}
