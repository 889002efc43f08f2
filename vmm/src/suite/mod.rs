//! `fencepost test`: runs scenarios, several at a time, each from a snapshot of a machine that was booted once, and each in a process of
//! its own.

mod base;
mod booting;
mod counters;
mod faults;
mod frames;
mod guest;
mod heard;
mod held;
mod judge;
pub mod order;
mod plan;
mod play;
mod pool;
mod prepare;
mod progress;
mod queue;
mod reopened;
mod stage;
mod tasks;
pub mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI32;
use std::time::Instant;

use fencepost_report::Suite;
use fencepost_report::outcome::VERSION;
use fencepost_report::shard::Shard;
use fencepost_softcpu::Translate;
use sha2::{Digest, Sha256};

use crate::cache;
use crate::error::HostError;
use crate::gdb::Place;
use crate::machine::log::hex;
use crate::root::process::Job;
use crate::scenario::{self, Found};
pub use guest::quoted;
use plan::Item;
use progress::{Tell, Telling};
use queue::Queue;

/// The folder for stages in the cache folder.
const STAGES: &str = "stages";

/// What is to be run, and how.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// The scenario of `--module`, beside those.
    pub module: Option<Found>,
    /// Only those whose name contains one of these; all without any.
    pub filter: Vec<String>,
    /// Kernels in the place of the scenarios' own.
    pub kernels: Vec<String>,
    /// How often each is run.
    pub repeat: u32,
    /// Varies the machines. The seed of a repetition is so much more.
    pub seed: Option<u64>,
    /// The part of the suite that is run.
    pub shard: Option<Shard>,
    /// Milliseconds that scenarios took before, by which the parts are balanced.
    pub durations: BTreeMap<String, u64>,
    /// How many run at a time.
    pub jobs: usize,
    /// Keeps the evidence of those that passed, too.
    pub keep: bool,
    /// The folder for evidence.
    pub results: PathBuf,
    /// Plays one after the other in this process, with a shell on the terminal at a step that fails.
    pub shell: bool,
    /// Plays one after the other in this process, and opens one that fails at its end to a debugger here.
    pub gdb: Option<Place>,
    /// How the software CPU runs code.
    pub soft_cpu: Translate,
    /// Boots each scenario's machine instead of starting from a snapshot.
    pub boot_each: bool,
    /// Has each guest's process give up what it does not need.
    pub sandbox: bool,
    /// How this command was called, without filters and scenarios, for the commands that run one again.
    pub again: String,
}

impl Wanted {
    /// The command that runs just this one again.
    fn command_for(&self, item: &Item) -> String {
        let filter = quoted(&format!("={}", item.name));
        match self.module {
            // It has no file.
            Some(_) => format!("{} --filter {filter}", self.again),
            None => format!("{} {} --filter {filter}", self.again, shown(&item.found.path)),
        }
    }
}

/// A file as a word of the shell's, in quotes where it needs some.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+@%".contains(c);
    if text.chars().all(plain) { text } else { quoted(&text) }
}

/// The scenarios that are wanted, in order.
///
/// # Errors
///
/// A path or a scenario that is wrong, two of one name, or a filter that fits none.
pub fn list(wanted: &Wanted) -> Result<Vec<Item>, HostError> {
    let mut found = Vec::new();
    for path in scenario::find(&wanted.paths)? {
        found.push(scenario::read(&path)?);
    }
    found.extend(wanted.module.clone());
    plan::plan(found, wanted)
}

/// Runs them.
///
/// # Errors
///
/// Bad input, or the host failed before any ran. What fails in one scenario is in its outcome.
pub fn run(wanted: &Wanted, signal: &AtomicI32, tell: Tell<'_>) -> Result<Suite, HostError> {
    let start = Instant::now();
    let mut items = list(wanted)?;
    let digest = digest(&items);
    if let Some(shard) = wanted.shard {
        let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
        let mine: BTreeSet<String> =
            shard.of(&names, &wanted.durations).into_iter().map(str::to_string).collect();
        items.retain(|item| mine.contains(&item.name));
    }
    let cache = cache::folder().ok_or_else(|| {
        HostError::input("there is no cache folder without HOME", "set HOME, or FENCEPOST_CACHE to a folder")
    })?;
    stage::sweep_killed(&cache.join(STAGES));
    let telling = Telling::new(items.len(), wanted.shell || wanted.gdb.is_some(), tell);
    let queue = Queue::default();
    let mut over = Vec::new();
    let say = |text: &str| telling.line(text);
    // What it uses of the cache stays until all is over.
    let job = Job::new(signal, &say);
    let fill = || {
        let mut preparing = prepare::Preparing::new(&cache, &job, wanted);
        for item in items {
            match preparing.item(item)? {
                prepare::Prepared::Ready(ready) => queue.push(*ready),
                prepare::Prepared::Over(outcome) => {
                    telling.done(&outcome);
                    over.push(*outcome);
                }
            }
        }
        Ok(())
    };
    let mut outcomes = pool::run(&queue, wanted, signal, &telling, fill)?;
    outcomes.append(&mut over);
    outcomes.sort_by(|a, b| a.name.cmp(&b.name));
    let wall_ms = start.elapsed().as_millis() as u64;
    Ok(Suite { version: VERSION, suite: digest, shard: wanted.shard.map(Shard::pair), wall_ms, outcomes })
}

/// What the scenarios are, in one word.
fn digest(items: &[Item]) -> String {
    let mut digest = Sha256::new();
    for item in items {
        digest.update(format!("{}\0{}\0", item.name, item.found.text));
    }
    hex(&digest.finalize())[..16].to_string()
}
