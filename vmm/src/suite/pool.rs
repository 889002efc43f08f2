//! Workers: processes of this program, as many at a time as are wanted.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use fencepost_report::{Outcome, Verdict};

use super::held::{Held, sweep};
use super::order::{COMMAND, Order, Play};
use super::plan::Item;
use super::prepare::Ready;
use super::progress::Telling;
use super::queue::Queue;
use super::reopened;
use super::{Wanted, judge, worker};
use crate::control::Control;
use crate::error::{HostError, plain};
use crate::signals;

/// How often a worker is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// How long a worker may take beyond its scenario's own limit.
const GRACE: Duration = Duration::from_secs(20);
/// The most that a worker answers.
const ANSWER_MAX_BYTES: u64 = 256 << 20;

/// How a worker begins the line of what its sandbox has not; that of the first which said so is told once, for all.
const LACK: &str = "fencepost: sandbox: ";
static LACKING: OnceLock<String> = OnceLock::new();
static TOLD: AtomicBool = AtomicBool::new(false);

/// Where this program was when the first worker was started.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// What the folder of a scenario that runs is called.
const RUNNING: &str = ".running-";

/// Runs what comes by the queue until that is closed, as many at a time as are wanted; whoever fills it does so by `fill`.
///
/// # Errors
///
/// A signal, or the folder of evidence cannot be written. Nothing more is run then.
pub fn run(
    queue: &Queue<Ready>,
    wanted: &Wanted,
    signal: &AtomicI32,
    telling: &Telling<'_>,
    fill: impl FnOnce() -> Result<(), HostError>,
) -> Result<Vec<Outcome>, HostError> {
    fs::create_dir_all(&wanted.results)
        .map_err(|error| HostError::Input(unwritable(&wanted.results, &error)))?;
    sweep(&wanted.results, RUNNING);
    let outcomes = Mutex::new(Ok(Vec::new()));
    let filled = std::thread::scope(|scope| {
        for _ in 0..wanted.jobs {
            scope.spawn(|| work(queue, wanted, signal, telling, &outcomes));
        }
        let filled = fill();
        match filled {
            Ok(()) => queue.close(),
            Err(_) => queue.stop(),
        }
        filled
    });
    // Where nothing failed, nothing is left.
    let _ = fs::remove_dir(&wanted.results);
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    match signal.load(Ordering::Relaxed) {
        0 => filled.map(|()| outcomes),
        _ => Err(HostError::Host(format!("stopped by a signal; {} scenarios were run", outcomes.len()))),
    }
}

/// Runs one after the other.
fn work(
    queue: &Queue<Ready>,
    wanted: &Wanted,
    signal: &AtomicI32,
    telling: &Telling<'_>,
    outcomes: &Mutex<Result<Vec<Outcome>, HostError>>,
) {
    while let Some(ready) = queue.take(Ready::is_booting) {
        if signal.load(Ordering::Relaxed) != 0 {
            return queue.stop();
        }
        telling.begun(&ready.item.name);
        let ended = one(ready, wanted, signal, telling);
        if let Some(line) = LACKING.get().filter(|_| !TOLD.swap(true, Ordering::Relaxed)) {
            telling.line(line);
        }
        let stopped = ended.is_err();
        if let Ok(outcome) = &ended {
            telling.done(outcome);
        }
        let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        match (ended, &mut *outcomes) {
            (Ok(outcome), Ok(all)) => all.push(outcome),
            // A signal is told by whoever started this.
            (Err(error), Ok(_)) if signal.load(Ordering::Relaxed) == 0 => *outcomes = Err(error),
            _ => {}
        }
        if stopped {
            return queue.stop();
        }
    }
}

/// Runs one scenario in a worker, and keeps its evidence.
fn one(
    ready: Ready,
    wanted: &Wanted,
    signal: &AtomicI32,
    telling: &Telling<'_>,
) -> Result<Outcome, HostError> {
    let Ready { item, mut play, stage, base, loaded } = ready;
    let say = |text: &str| telling.line(text);
    let mut refused = None;
    if let Some((loaded, rest)) = &loaded
        && let Ok(Ok(path)) = loaded.snapshot(signal, &say)
    {
        (play.restore, play.prepare) = (Some(path), rest.clone());
    } else if let Some(base) = &base {
        // What is wrong with its modules the scenario itself shows.
        match base.snapshot(signal, &say) {
            Ok(Ok(path)) => play.restore = Some(path),
            Ok(Err(why)) => refused = Some(broken(&item, &why)),
            Err(error) if signal.load(Ordering::Relaxed) == 0 => {
                refused = Some(broken(&item, &error.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    let start = Instant::now();
    let mut outcome = match refused {
        Some(outcome) => outcome,
        None => with_evidence(&item, play, wanted, signal)?,
    };
    drop((stage, base, loaded));
    outcome.wall_ms = start.elapsed().as_millis() as u64;
    outcome.reproduce = wanted.command_for(&item);
    Ok(outcome)
}

/// Runs one scenario, and keeps its evidence where it is wanted.
fn with_evidence(item: &Item, play: Play, wanted: &Wanted, signal: &AtomicI32) -> Result<Outcome, HostError> {
    let folder = match Held::new(&wanted.results, RUNNING) {
        Ok(folder) => folder,
        Err(error) => return Ok(broken(item, &unwritable(&wanted.results, &error))),
    };
    let mut outcome = in_folder(item, play, folder.path(), signal)?;
    if wanted.keep || outcome.verdict > Verdict::Skipped {
        let to = wanted.results.join(file_name(&outcome.name));
        let _ = fs::remove_dir_all(&to);
        match folder.keep_as(&to) {
            Ok(()) => outcome.evidence = Some(to),
            // It has failed all the same.
            Err(error) if outcome.verdict == Verdict::Failed => {
                outcome.failures.push(judge::missing_evidence(&unwritable(&to, &error)));
            }
            Err(error) => return Ok(broken(item, &unwritable(&to, &error))),
        }
    }
    Ok(outcome)
}

/// Runs one scenario, whose evidence goes into `folder`.
fn in_folder(item: &Item, mut play: Play, folder: &Path, signal: &AtomicI32) -> Result<Outcome, HostError> {
    play.folder = folder.to_path_buf();
    let limit = item.found.scenario.scenario.wall_timeout.0 + GRACE;
    let answered = match play.shell || play.gdb.is_some() {
        true => here(&play),
        false => answer(&Order::Play(Box::new(play)), Some(limit), signal)?,
    };
    Ok(match answered {
        Ok(text) => serde_json::from_str::<Outcome>(&text)
            .unwrap_or_else(|error| broken(item, &format!("the worker's answer makes no sense: {error}"))),
        Err(why) => broken(item, &why),
    })
}

/// Why there is no evidence, in one line.
fn unwritable(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {}; make room there, or name another folder with --results", path.display(), plain(error))
}

/// Plays in this process, whose terminal the guest has at a step that fails.
fn here(play: &Play) -> Result<String, String> {
    let control = Arc::<Control>::default();
    let signals = signals::watch(Arc::clone(&control));
    let outcome = worker::play(play, &control).map_err(|error| error.to_string())?;
    drop(signals);
    if let Some(place) = play.gdb.as_ref().filter(|_| outcome.verdict == Verdict::Failed) {
        reopened::open(play, place).map_err(|error| error.to_string())?;
    }
    serde_json::to_string(&outcome).map_err(|error| error.to_string())
}

/// A scenario's name as that of a folder.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_.[]#+".contains(c) { c } else { '_' };
    let name: String = name.chars().map(plain).take(120).collect();
    if name.starts_with('.') { format!("_{name}") } else { name }
}

fn broken(item: &Item, why: &str) -> Outcome {
    item.without_run(Verdict::Broken, "the harness", "that it runs the scenario", why)
}

/// Has a worker do an order, and waits for it; gives what it answered, or why it failed.
///
/// # Errors
///
/// A signal came, or the worker cannot be waited for.
pub fn alone(order: &Order, signal: &AtomicI32) -> Result<Result<String, String>, HostError> {
    answer(order, None, signal)
}

fn answer(
    order: &Order,
    limit: Option<Duration>,
    signal: &AtomicI32,
) -> Result<Result<String, String>, HostError> {
    let text = serde_json::to_vec(order).map_err(|error| HostError::Host(error.to_string()))?;
    let mut worker = match start() {
        Ok(worker) => worker,
        // The other scenarios and the reports go on.
        Err(error) => return Ok(Err(format!("no worker can be started: {}", plain(&error)))),
    };
    // It reads all before it does anything; if it cannot, its end says so.
    let _ = worker.0.stdin.take().map(|mut stdin| stdin.write_all(&text));
    let output = read_in_thread(worker.0.stdout.take());
    let errors = read_in_thread(worker.0.stderr.take());
    let status = wait(&mut worker, limit, signal)?;
    let text = |thread: std::thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&thread.join().unwrap_or_default()).into_owned()
    };
    let (output, errors) = (text(output), text(errors));
    if let Some(line) = errors.lines().find(|line| line.starts_with(LACK)) {
        let _ = LACKING.set(line.to_string());
    }
    Ok(match status {
        Some(status) if status.success() => Ok(output),
        Some(status) => {
            let last = errors.lines().rfind(|line| !line.trim().is_empty());
            let last = last.map(|line| line.trim_start_matches("fencepost: ").to_string());
            Err(last.unwrap_or_else(|| format!("the worker ended with {status} and said nothing")))
        }
        None => Err("the worker took longer than its time limit, and was killed".to_string()),
    })
}

/// A worker; killed when this is dropped before it has ended.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This program: the one that runs, even if another has taken its place since; by its path if `/proc` has gone in the meantime.
fn program() -> PathBuf {
    let running = PathBuf::from("/proc/self/exe");
    let path = PROGRAM.get_or_init(|| std::env::current_exe().unwrap_or_else(|_| running.clone()));
    if running.exists() { running } else { path.clone() }
}

fn start() -> std::io::Result<Worker> {
    let parent = rustix::process::getpid();
    let mut command = Command::new(program());
    command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A signal of the terminal's is the parent's to deal with.
    command.process_group(0);
    let die_with_parent = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // The parent may be gone already.
        match rustix::process::getppid() == Some(parent) {
            true => Ok(()),
            false => Err(std::io::Error::from_raw_os_error(libc::ESRCH)),
        }
    };
    // SAFETY: between fork and exec it makes two system calls and allocates nothing.
    unsafe { command.pre_exec(die_with_parent) };
    command.spawn().map(Worker)
}

/// Waits for its end; none if it took too long.
fn wait(
    worker: &mut Worker,
    limit: Option<Duration>,
    signal: &AtomicI32,
) -> Result<Option<std::process::ExitStatus>, HostError> {
    let start = Instant::now();
    loop {
        let ended =
            worker.0.try_wait().map_err(|error| HostError::Host(format!("a worker: {}", plain(&error))))?;
        if let Some(status) = ended {
            return Ok(Some(status));
        }
        if signal.load(Ordering::Relaxed) != 0 {
            return Err(HostError::Host("stopped by a signal".to_string()));
        }
        if limit.is_some_and(|limit| start.elapsed() > limit) {
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

fn read_in_thread(from: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(from) = from {
            let _ = from.take(ANSWER_MAX_BYTES).read_to_end(&mut bytes);
        }
        bytes
    })
}
