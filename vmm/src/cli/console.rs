//! The options of the guest's clock and of its console.

use std::io::{IsTerminal, stdin, stdout};

use clap::Args;

use super::values::word;

/// How the guest is watched and typed to.
#[derive(Clone, Debug, Args)]
pub struct ConsoleArgs {
    /// Have an idle guest's clock go as the host's, under soft: always, never (idle time is skipped), or with a terminal on standard input
    /// or output, or a view (docs/machine.md). It only waits: the guest sees the same [default: auto; on where no WHEN is given]
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "on",
        hide_default_value = true, default_value = "auto", value_parser = word(REALTIME))]
    pub realtime: Realtime,
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

impl ConsoleArgs {
    /// Whether it was asked for, or a person watches: at a terminal, or if there is a `view`.
    pub fn is_paced(&self, view: bool) -> bool {
        match self.realtime {
            Realtime::On => true,
            Realtime::Off => false,
            Realtime::Auto => view || stdin().is_terminal() || stdout().is_terminal(),
        }
    }
}
