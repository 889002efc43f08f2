//! The options of the guest's clock and of its console.

use std::io::{IsTerminal, stdin, stdout};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::SystemTime;

use clap::{ArgAction, Args};

use super::values::word;
use crate::config::{Date, SerialEnd};
use crate::console::Eof;
use crate::console_size::ConsoleSize;
use crate::error::HostError;

/// How the guest is watched and typed to.
#[derive(Clone, Debug, Args)]
pub struct ConsoleArgs {
    /// Have an idle guest's clock go as the host's, under soft: always, never (idle time is skipped), or with a terminal on standard input
    /// or output, or a view (docs/machine.md). It only waits: the guest sees the same [default: auto; on where no WHEN is given]
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "on",
        hide_default_value = true, default_value = "auto", value_parser = word(REALTIME))]
    pub realtime: Realtime,
    /// The date at power-on, from which the date clock runs with the guest's time: RFC 3339 such as 2026-07-01T12:00:00Z, @SECONDS since
    /// 1970, or now. Without it the clock stands still at 2026-01-01 00:00:00
    #[arg(long, value_name = "DATE", conflicts_with = "restore", allow_hyphen_values = true)]
    pub date: Option<DateOption>,
    /// The console's size in characters, which the guest's init learns from fencepost.console= on the kernel's command line
    /// [default: that of the terminal, if there is one]
    #[arg(long, value_name = "COLUMNSxROWS")]
    pub console_size: Option<ConsoleSize>,
    /// Write what the guest writes to its serial console into this file too
    #[arg(long, value_name = "FILE")]
    pub console_log: Option<PathBuf>,
    /// Plug another serial port, ttyS1 to ttyS3 in the order given, whose other end is a pseudo-terminal (its name is said), a file,
    /// a Unix socket, or nobody. With --restore it is the end of a port that the machine has
    #[arg(long, value_name = "pty|file:FILE|unix:FILE|null", action = ArgAction::Append)]
    pub serial: Vec<SerialEnd>,
    /// What the end of standard input means to the guest
    #[arg(long, value_name = "WHAT", default_value = "ignore", value_parser = word(EOF))]
    pub eof: Eof,
}

/// `--date`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateOption {
    /// This one.
    At(Date),
    /// The host's, when the command starts.
    Now,
}

impl FromStr for DateOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "now" {
            return Ok(DateOption::Now);
        }
        text.parse().map(DateOption::At).map_err(|why: String| format!("{why}; or write now"))
    }
}

/// When an idle guest's clock goes as the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Realtime {
    /// If a person seems to watch.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

const REALTIME: &[(&str, &str, Realtime)] = &[
    ("auto", "With a terminal or a view", Realtime::Auto),
    ("on", "Always", Realtime::On),
    ("off", "Never: idle time is skipped", Realtime::Off),
];

const EOF: &[(&str, &str, Eof)] = &[
    ("ignore", "Nothing: no more input comes", Eof::Ignore),
    ("send", "The guest gets a Ctrl-D, which ends the input of a terminal's reader", Eof::Send),
    ("end", "The machine ends, with status 0, when the guest has taken all input", Eof::End),
];

impl ConsoleArgs {
    /// The date at power-on, if one is given. `seeded`: the run must be the same again.
    ///
    /// # Errors
    ///
    /// `now` in such a run, and a host whose clock shows a year that the guest's cannot.
    pub fn date(&self, seeded: bool) -> Result<Option<Date>, HostError> {
        match self.date {
            None => Ok(None),
            Some(DateOption::At(date)) => Ok(Some(date)),
            Some(DateOption::Now) if seeded => Err(HostError::input(
                "--date now is another date at each run, and --seed is for runs that are the same",
                "write the date",
            )),
            Some(DateOption::Now) => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                let date = Date::from_seconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
                date.map(Some).map_err(|why| HostError::Input(format!("--date now: {why}")))
            }
        }
    }

    /// The console's size: as told, or that of the terminal.
    pub fn size(&self) -> Option<ConsoleSize> {
        self.console_size.or_else(ConsoleSize::of_terminal)
    }

    /// Whether it was asked for, or a person watches: at a terminal, or if there is a `view`.
    pub fn is_paced(&self, view: bool) -> bool {
        match self.realtime {
            Realtime::On => true,
            Realtime::Off => false,
            Realtime::Auto => view || stdin().is_terminal() || stdout().is_terminal(),
        }
    }
}
