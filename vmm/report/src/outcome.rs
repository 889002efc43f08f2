//! What a suite gave: one outcome for each scenario that was run.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The layout of [`Suite`] in JSON; another number is refused.
pub const VERSION: u32 = 1;

/// One call of `fencepost test`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// [`VERSION`].
    pub version: u32,
    /// What the scenarios are in: a digest of the names and contents of all scenarios that were found, so that shards of different suites
    /// are not taken for one.
    pub suite: String,
    /// Which part of the suite this is, as `(K, N)` of `--shard K/N`, counted from 1.
    pub shard: Option<(u32, u32)>,
    /// Milliseconds of the host's time from the command's start to its end.
    pub wall_ms: u64,
    /// In the order of the scenarios' names, whatever ran first.
    pub outcomes: Vec<Outcome>,
}

/// What became of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything was as expected.
    Passed,
    /// Not run; its reason is in [`Outcome::failures`].
    Skipped,
    /// Something was not as expected.
    Failed,
    /// The harness could not run it, or not to its end.
    Broken,
}

/// A scenario that was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The scenario's name, with the kernel, the repetition and so on where it is run more than once: `name[6.12]`, `name[6.12]#2`.
    pub name: String,
    /// The scenario's file, as it was named; none for `--module`.
    pub file: Option<PathBuf>,
    /// The kernel's release, when one was started.
    pub kernel: Option<String>,
    /// The seed, if it had one.
    pub seed: Option<u64>,
    /// What became of it.
    pub verdict: Verdict,
    /// Milliseconds of the host's time from its start to its end.
    pub wall_ms: u64,
    /// Nanoseconds of the guest's time from its start to its end.
    pub guest_ns: u64,
    /// Every single thing that was looked at, in order: steps, lines of KTAP, expectations.
    pub checks: Vec<Check>,
    /// What was not as expected, the first thing first.
    pub failures: Vec<Failure>,
    /// The last lines of the guest's console, control characters replaced.
    pub console: Vec<String>,
    /// The folder with the evidence: console, output, trace, frames, snapshot. Kept for failures, and for all with `--keep`.
    pub evidence: Option<PathBuf>,
    /// The command that runs just this one again, in the same way.
    pub reproduce: String,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What: `step 2: modprobe my_driver`, `step 3: dma: copies`, `dmesg`.
    pub name: String,
    /// How it went.
    pub verdict: Verdict,
    /// Why, if it did not pass; empty otherwise.
    pub message: String,
}

/// Something that was not as expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Where in the scenario: the name of the check.
    pub at: String,
    /// The line of the scenario's file that asks for it, counted from 1.
    pub line: Option<u32>,
    /// What was expected.
    pub expected: String,
    /// What came instead.
    pub came: String,
    /// The last lines of what the step wrote, if it is a step that failed.
    pub output: Vec<String>,
}

impl Suite {
    /// How many outcomes have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.verdict == verdict).count()
    }

    /// The exit status of `fencepost test`: 3 if the harness failed anywhere, else 1 if a test failed, else 0.
    pub fn status(&self) -> i32 {
        match self.outcomes.iter().map(|outcome| outcome.verdict).max() {
            Some(Verdict::Broken) => 3,
            Some(Verdict::Failed) => 1,
            _ => 0,
        }
    }
}
