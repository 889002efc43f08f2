//! What `fencepost test` orders of a worker, a process of its own: so that whatever becomes of one run, the others go on.

use std::path::PathBuf;

use fencepost_softcpu::Translate;
use serde::{Deserialize, Serialize};

use crate::config::MachineConfig;
use crate::gdb::Place;

/// The hidden command of a worker.
pub const COMMAND: &str = "test-worker";

/// One order, which a worker reads as JSON from its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Brings a machine to where its agent waits for orders, and saves it.
    Boot(Box<Boot>),
    /// Plays a scenario. The worker writes its [`Outcome`](fencepost_report::Outcome) as JSON to its standard output.
    Play(Box<Play>),
}

impl Order {
    /// Whether the worker gives up what it does not need.
    pub fn sandbox(&self) -> bool {
        match self {
            Order::Boot(boot) => boot.sandbox,
            Order::Play(play) => play.sandbox,
        }
    }
}

/// What is booted.
#[derive(Debug, Serialize, Deserialize)]
pub struct Boot {
    /// The machine.
    pub machine: MachineConfig,
    /// A snapshot of it whose agent waits, and the script that the guest runs from there on; power-on without.
    pub from: Option<(PathBuf, String)>,
    /// The snapshot's file.
    pub to: PathBuf,
    /// The file that gets the console's output.
    pub console: PathBuf,
    /// Whether the worker gives up what it does not need.
    pub sandbox: bool,
}

/// What is played.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Play {
    /// The name in reports.
    pub name: String,
    /// The scenario's file, from which its names of files are, and its text.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// The variant that is played.
    pub variant: Option<String>,
    /// The machine.
    pub machine: MachineConfig,
    /// How the software CPU runs code.
    pub soft_cpu: Translate,
    /// The snapshot that [`Boot`] made of it; power-on without one.
    pub restore: Option<PathBuf>,
    /// Varies the machine from there on.
    pub seed: Option<u64>,
    /// The kernel's release.
    pub release: String,
    /// The script that makes the guest ready for the first step.
    pub prepare: String,
    /// What stands before each command's script: its environment and its folder.
    pub preamble: String,
    /// The folder for what the run leaves.
    pub folder: PathBuf,
    /// Whether a step that fails is followed by a shell on the console, which is the terminal of whoever plays this.
    pub shell: bool,
    /// Where a debugger comes to when something has failed.
    #[serde(skip)]
    pub gdb: Option<Place>,
    /// Whether the machine is saved when something has failed.
    pub save: bool,
    /// Whether all that shows what happened is kept even when nothing has failed.
    pub keep: bool,
    /// Whether the worker gives up what it does not need.
    pub sandbox: bool,
}
