//! `fencepost test`: its options, and what it does.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clap::{ArgAction, Args, Subcommand};
use fencepost_report::merge::merge_files;
use fencepost_report::reports::Reports;
use fencepost_report::shard::{Shard, durations};
use fencepost_report::{Suite, write};
use fencepost_softcpu::Translate;

use super::root::watch;
use super::values::{SANDBOX, SOFT_CPU, whole, word};
use crate::console_size::ConsoleSize;
use crate::control::Control;
use crate::error::{HostError, plain};
use crate::gdb::{GdbAt, Place};
use crate::sandbox;
use crate::say;
use crate::scenario::Found;
use crate::signals;
use crate::suite::order::Order;
use crate::suite::{self, Wanted, worker};

/// `fencepost test`.
#[derive(Clone, Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true
)]
pub struct TestArgs {
    /// What to do instead.
    #[command(subcommand)]
    pub command: Option<TestCommand>,
    /// Scenarios, and folders in which they are looked for (each *.toml with a table "scenario"). With --module: the command
    /// that the guest runs, for its /bin/sh
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// No scenario: build the kernel module in this folder (Kbuild) and run a command in a guest that can load it
    #[arg(long, value_name = "DIR")]
    pub module: Option<PathBuf>,
    /// Only scenarios that have this in their names, or with `=` before it are named so; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub filter: Vec<String>,
    /// Run on these kernels instead of the scenarios' own: packages, or versions such as 6.12
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub kernel: Vec<String>,
    /// List the scenarios, and end
    #[arg(long)]
    pub list: bool,
    /// Run each so many times; with --seed each time with the next seed
    #[arg(long, value_name = "N", default_value = "1", value_parser = whole::<u32>(1, 100_000))]
    pub repeat: u32,
    /// Vary by this number what hardware may vary (docs/machine.md)
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0, u64::MAX), allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// So many at a time; without it, as many as there are CPUs
    #[arg(short, long, value_name = "N", value_parser = whole::<u32>(1, 1024))]
    pub jobs: Option<u32>,
    /// Keep the evidence (console, output, snapshot) of all, not only of those that failed
    #[arg(long)]
    pub keep: bool,
    /// The folder for evidence
    #[arg(long, value_name = "DIR", default_value = "fencepost-results")]
    pub results: PathBuf,
    /// At the first step that fails, a shell in the guest on this terminal. One scenario runs at a time
    #[arg(long)]
    pub shell: bool,
    /// Open a scenario that failed at its end to gdb, here: unix:PATH or PORT (docs/gdb.md). One scenario runs at a time
    #[arg(long, value_name = "ADDR", conflicts_with = "shell")]
    pub gdb: Option<GdbAt>,
    /// Whether the process of each guest gives up, before the guest's first instruction, all that the run does not need (docs/security.md): calls of the
    /// host's kernel, files, the network, capabilities
    #[arg(long, value_name = "on|off", default_value = "on", action = ArgAction::Set, value_parser = word(SANDBOX))]
    pub sandbox: bool,
    /// Boot each scenario's machine, instead of starting it from the snapshot of one that was booted before
    #[arg(long)]
    pub boot_each: bool,
    /// How the software CPU runs the guests' code, which see no difference
    #[arg(long, value_name = "WHICH", default_value = "translator", value_parser = word(SOFT_CPU))]
    pub soft_cpu: Translate,
    /// Run only part K of N of the suite: each scenario is in one part, in the same one on every host
    #[arg(long, value_name = "K/N")]
    pub shard: Option<Shard>,
    /// Balance the parts of --shard by what this earlier report says of durations: the same file for all parts
    #[arg(long, value_name = "JSON", requires = "shard")]
    pub durations: Option<PathBuf>,
    /// The reports.
    #[command(flatten)]
    pub reports: ReportArgs,
}

/// What is done with suites beside running them.
#[derive(Clone, Debug, Subcommand)]
pub enum TestCommand {
    /// Join the reports of all parts of a suite (--shard) into one
    ///
    /// Prints the summary of the whole. The exit status is that of the whole suite, or 2 for a report that is missing, of another
    /// suite, or there twice.
    Merge(MergeArgs),
}

/// `fencepost test merge`.
#[derive(Clone, Debug, Args)]
pub struct MergeArgs {
    /// The file that each part wrote with --json
    #[arg(value_name = "REPORT", required = true)]
    pub parts: Vec<PathBuf>,
    /// The reports.
    #[command(flatten)]
    pub reports: ReportArgs,
}

/// The files in which outcomes are told.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// Write the outcomes into this file as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write them as JUnit's XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write them as KTAP
    #[arg(long, value_name = "FILE")]
    pub ktap: Option<PathBuf>,
}

/// How this program is called: a program with devices of its own has another name.
fn program() -> String {
    let called = std::env::args_os().next().unwrap_or_default();
    let own = Path::new(&called).file_name().is_some_and(|name| name != "fencepost");
    if own { called.to_string_lossy().into_owned() } else { "fencepost".to_string() }
}

/// What a report says of durations.
fn recorded(path: &Path) -> Result<BTreeMap<String, u64>, HostError> {
    let fix = "name a file that --json wrote";
    let text =
        std::fs::read_to_string(path).map_err(|error| HostError::file("--durations", path, &error, fix))?;
    let suite = write::json::read(&text);
    let suite =
        suite.map_err(|error| HostError::Input(format!("--durations {}: {error}", path.display())))?;
    Ok(durations(&suite))
}

/// `fencepost exec`.
#[derive(Clone, Debug, Args)]
pub struct ExecArgs {
    /// The socket of --agent
    #[arg(value_name = "PATH")]
    pub socket: PathBuf,
    /// The command, for the guest's /bin/sh
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// Runs a command in a guest; gives its exit status.
///
/// # Errors
///
/// There is no guest, or it ended.
pub fn exec(args: &ExecArgs) -> Result<i32, HostError> {
    let signal = watch().map_err(|error| HostError::Host(format!("signals: {}", plain(&error))))?;
    let mut out = std::io::stdout();
    match crate::exec::exec(&args.socket, &args.command.join(" "), &mut out, &signal) {
        Err(error) if signal.load(Ordering::Relaxed) != 0 => {
            tell(&format!("fencepost: {error}"));
            Ok(128 + signal.load(Ordering::Relaxed))
        }
        other => other,
    }
}

/// Runs scenarios; gives the exit status.
///
/// # Errors
///
/// Bad input, or the harness could not begin.
pub fn test(args: &TestArgs) -> Result<i32, HostError> {
    let signal = watch().map_err(|error| HostError::Host(format!("signals: {}", plain(&error))))?;
    if let Some(TestCommand::Merge(merge)) = &args.command {
        let merged = merge_files(&merge.parts).map_err(|error| HostError::Input(error.to_string()))?;
        return finish(&merge.reports, &merged);
    }
    args.reports.check()?;
    let wanted = args.wanted()?;
    if args.list {
        return list(&wanted);
    }
    if wanted.sandbox && (wanted.shell || wanted.gdb.is_some()) {
        tell("fencepost: sandbox: none with --shell or --gdb: all scenarios are played in this process then");
    }
    match suite::run(&wanted, &signal, &tell) {
        Ok(suite) => finish(&args.reports, &suite),
        Err(error) if signal.load(Ordering::Relaxed) != 0 => {
            tell(&format!("fencepost: {error}"));
            Ok(128 + signal.load(Ordering::Relaxed))
        }
        // Bad input is 2, a harness that failed 3.
        Err(HostError::Host(why)) => {
            tell(&format!("fencepost: {why}"));
            Ok(HARNESS_FAILED)
        }
        Err(error) => Err(error),
    }
}

/// The exit status where it is not a test that failed.
const HARNESS_FAILED: i32 = 3;

fn tell(text: &str) {
    say::line(text);
}

fn list(wanted: &Wanted) -> Result<i32, HostError> {
    let mut text = String::new();
    for item in suite::list(wanted)? {
        let about = &item.found.scenario.scenario;
        text.push_str(format!("{:40} {}", item.name, about.description).trim_end());
        text.push('\n');
    }
    say::list(&text)
}

/// Writes the reports, and says what came of it.
fn finish(args: &ReportArgs, suite: &Suite) -> Result<i32, HostError> {
    let github = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
    let step_summary = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|_| github).map(PathBuf::from);
    let (json, junit, ktap) = (args.json.clone(), args.junit.clone(), args.ktap.clone());
    let missing = Reports { json, junit, ktap, step_summary }.write(suite);
    let mut text = Vec::new();
    let style = write::summary::Style {
        columns: ConsoleSize::of_terminal().map_or(100, |size| usize::from(size.columns).max(40)),
        ..Default::default()
    };
    if write::summary::write(suite, style, &mut text).is_ok() {
        let text = String::from_utf8_lossy(&text);
        match github {
            true => annotate(suite, &text)?,
            false => text.lines().for_each(tell),
        }
    }
    missing.iter().for_each(|error| tell(&format!("fencepost: {error}")));
    Ok(if missing.is_empty() { suite.status() } else { HARNESS_FAILED })
}

/// What GitHub shows beside the code, and behind it the summary, in which a guest's words are no commands of the runner's. Both go the same
/// way, so that they are read in this order.
fn annotate(suite: &Suite, summary: &str) -> Result<(), HostError> {
    let mut text = Vec::new();
    let host = |error: std::io::Error| HostError::Host(format!("GitHub's annotations: {}", plain(&error)));
    write::github::annotations(suite, &mut text).map_err(host)?;
    // Nobody who wrote a part of the summary knows it.
    let token = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    say::list(&format!("{}{}", String::from_utf8_lossy(&text), write::github::quoted(&token, summary)))?;
    Ok(())
}

impl ReportArgs {
    /// Refuses files that could not be written, before anything runs.
    fn check(&self) -> Result<(), HostError> {
        let all = [("--json", &self.json), ("--junit", &self.junit), ("--ktap", &self.ktap)];
        for (option, path) in all.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?))) {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            let fix = "name a file in a folder that is there";
            if path.is_dir() {
                return Err(HostError::input(format!("{option} {}: is a folder", path.display()), fix));
            }
            std::fs::read_dir(folder).map_err(|error| HostError::file(option, path, &error, fix))?;
        }
        Ok(())
    }
}

impl TestArgs {
    fn wanted(&self) -> Result<Wanted, HostError> {
        let module = self.module.as_deref().map(|dir| self.module_scenario(dir)).transpose()?;
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Wanted {
            paths: if module.is_some() { Vec::new() } else { self.paths.clone() },
            module,
            filter: self.filter.clone(),
            kernels: self.kernel.clone(),
            repeat: self.repeat,
            seed: self.seed,
            shard: self.shard,
            durations: self.durations.as_deref().map(recorded).transpose()?.unwrap_or_default(),
            gdb: self.gdb_place()?,
            jobs: if self.shell || self.gdb.is_some() {
                1
            } else {
                self.jobs.map_or(cpus, |jobs| jobs as usize)
            },
            shell: self.shell,
            keep: self.keep,
            results: self.results.clone(),
            boot_each: self.boot_each,
            soft_cpu: self.soft_cpu,
            sandbox: self.sandbox,
            again: self.again(),
        })
    }

    /// Where a debugger comes to.
    fn gdb_place(&self) -> Result<Option<Place>, HostError> {
        if self.gdb.is_some() && self.jobs.is_some_and(|jobs| jobs > 1) {
            return Err(HostError::input(
                "--gdb: one scenario runs at a time, so that one waits",
                "leave out --jobs, or write --jobs 1",
            ));
        }
        match &self.gdb {
            Some(GdbAt { waits: false, .. }) => Err(HostError::input(
                "--gdb: `,nowait` is for `fencepost run`; a scenario that failed waits",
                "leave it out",
            )),
            at => Ok(at.as_ref().map(|at| at.place.clone())),
        }
    }

    /// This command without filters and scenarios.
    fn again(&self) -> String {
        let mut words = vec![format!("{} test", program())];
        words.extend(self.seed.map(|seed| format!("--seed {seed}")));
        if !self.kernel.is_empty() {
            words.push(format!("--kernel {}", self.kernel.join(",")));
        }
        if self.repeat > 1 {
            words.push(format!("--repeat {}", self.repeat));
        }
        if let Some(dir) = &self.module {
            let command: Vec<_> = self.paths.iter().map(|path| path.display().to_string()).collect();
            let (dir, command) = (dir.display().to_string(), command.join(" "));
            words.push(format!("--module {} {}", suite::quoted(&dir), suite::quoted(&command)));
        }
        words.join(" ")
    }

    /// The scenario of `--module`.
    fn module_scenario(&self, dir: &Path) -> Result<Found, HostError> {
        let words: Option<Vec<&str>> = self.paths.iter().map(|path| path.to_str()).collect();
        let words = words
            .ok_or_else(|| HostError::input("--module: the command is not UTF-8", "write it in UTF-8"))?;
        let quoted = |text: &str| toml::Value::String(text.to_string()).to_string();
        let dir =
            dir.to_str().ok_or_else(|| HostError::input("--module: its name is not UTF-8", "rename it"))?;
        let text = format!(
            "[scenario]\nname = \"module\"\n[modules]\nbuild = {}\nload = false\n[[step]]\nrun = {}\n",
            quoted(dir),
            quoted(&words.join(" "))
        );
        Found::of(Path::new("module.toml"), &text)
    }
}

/// The hidden command of a worker: does the order on standard input.
///
/// # Errors
///
/// What the worker could not do.
pub fn work() -> Result<i32, HostError> {
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    read.map_err(|error| HostError::Host(format!("standard input: {}", plain(&error))))?;
    let order: Order = serde_json::from_str(&text)
        .map_err(|_| HostError::input("this is for `fencepost test` alone", "call that"))?;
    if order.sandbox() {
        sandbox::prepare();
    }
    let control = Arc::<Control>::default();
    let _signals = signals::watch(Arc::clone(&control));
    say::list(&worker::work(order, &control)?)
}
