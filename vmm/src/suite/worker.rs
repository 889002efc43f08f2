//! A worker: does one [`Order`] in a process of its own.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fencepost_report::dmesg::{self, Allowed, Policy};
use fencepost_report::ktap::Known;
use fencepost_report::{Judged, Outcome as Report, Verdict};
use fencepost_trace::conditions::{Condition, Finding};
use fencepost_trace::file::TraceFile;
use fencepost_trace::journey::Journeys;

use super::frames::Seeing;
use super::guest::{BEGINS, channel_slot};
use super::heard::Heard;
use super::judge;
use super::order::{Boot, Order, Play};
use super::play::{Ended, Judge, Played, Player, Record, SaveAt, Task, Wanted};
use super::tasks;
use super::{counters, faults};
use crate::config::Size;
use crate::confinement::{self, folder_of};
use crate::console::{self, Eof};
use crate::console_log::Both;
use crate::control::Control;
use crate::error::{HostError, plain};
use crate::launch::Launch;
use crate::outlet::Full;
use crate::panic::OnPanic;
use crate::report;
use crate::run::{Hooks, Outcome, run};
use crate::sandbox::{Right, Sandbox};
use crate::say;
use crate::scenario::{Ending, Found};
use crate::tail::Tail;
use crate::terminal::RawTerminal;

/// The longest that a kernel may take to its agent, in the guest's time and in the host's.
const BOOT_LIMIT: Duration = Duration::from_secs(600);
/// The run's trace in the folder of evidence.
const TRACE: &str = "trace.fptrace";
/// The most of a trace that is kept for its own sake.
const EVIDENCE_TRACE: Size = Size(64 << 20);
/// Lines of the console that a report shows.
const CONSOLE_LINES: usize = 15;
/// The most of the console that is kept in the evidence.
const CONSOLE_MAX_BYTES: u64 = 64 << 20;

/// Does what is ordered; gives what is to be written to standard output.
///
/// # Errors
///
/// What the host could not do, or why no machine was saved.
pub fn work(order: Order, control: &Arc<Control>) -> Result<String, HostError> {
    match order {
        Order::Boot(order) => boot(*order, control).map(|()| String::new()),
        Order::Play(order) => {
            let report = play(&order, control)?;
            serde_json::to_string(&report).map_err(|error| HostError::Host(error.to_string()))
        }
    }
}

/// Brings a machine to where its agent waits, and saves it.
fn boot(order: Boot, control: &Arc<Control>) -> Result<(), HostError> {
    let (restore, script) = order.from.unzip();
    let tasks: Vec<Task> =
        script.into_iter().map(|script| Task::Command { script, limit_ns: None }).collect();
    let wanted = Wanted {
        tasks,
        timed: Vec::new(),
        limit_ns: BOOT_LIMIT.as_nanos() as u64,
        waiting: restore.is_some(),
        judge: Box::new(|played| played.ended == Some(Ended::Status(0))),
        shell: None,
        save: Some((order.to.clone(), SaveAt::End)),
    };
    let mut launch = Launch::new(order.machine);
    launch.restore = restore;
    launch.timeout = Some(BOOT_LIMIT);
    launch.on_panic = Some(OnPanic::Exit);
    let tail = Tail::in_memory();
    let sandbox = order.sandbox.then(|| {
        let mut sandbox = Sandbox::default();
        confinement::allow_saving(&mut sandbox, &order.to);
        sandbox.allowing(folder_of(&order.console), Right::Fill)
    });
    let (record, outcome) = run_player(&launch, wanted, (&tail, None), sandbox, control)?;
    if let Some(error) = record.save_error {
        return Err(HostError::Host(error));
    }
    if record.finished {
        let Some(bad) = record.played.iter().find(|it| it.ended != Some(Ended::Status(0))) else {
            return Ok(());
        };
        let _ = std::fs::remove_file(&order.to);
        let last = judge::lines(&bad.output.bytes, 1).pop().unwrap_or_default();
        return Err(HostError::Input(format!("the guest's modules were not loaded: {last}")));
    }
    // Only here has anybody a use for it.
    std::fs::write(&order.console, tail.bytes())
        .map_err(|error| HostError::file("console", &order.console, &error, "make room there"))?;
    let said = judge::lines(&tail.bytes(), 1).pop().map(|line| format!("; its console: {line}"));
    let why = format!(
        "the guest has not come to its first command: {}{}",
        how_it_ended(&outcome),
        said.unwrap_or_default()
    );
    Err(HostError::input(why, format!("see {}", order.console.display())))
}

/// Runs a machine with a player; gives its record, and how the run ended. `tail` gets its console.
pub(super) fn run_player(
    launch: &Launch,
    wanted: Wanted,
    (tail, seeing): (&Tail, Option<&Seeing>),
    sandbox: Option<Sandbox>,
    control: &Arc<Control>,
) -> Result<(Record, Outcome), HostError> {
    let slot = channel_slot(&launch.machine)
        .ok_or_else(|| HostError::Host("the scenario's machine has no channel".to_string()))?;
    let shell = wanted.shell.is_some();
    let heard = Heard::new(control);
    let record = Arc::new(Mutex::new(Record::default()));
    let mut hooks = Hooks::new(Box::new(tail.clone()));
    hooks.control = Arc::clone(control);
    hooks.sandbox = sandbox;
    hooks.channel = Some(Box::new(heard.clone()));
    hooks.frames = seeing.map(|seeing| Box::new(seeing.clone()) as _);
    hooks.conductor = Some(Box::new(Player::new(wanted, heard, control, slot, &record)));
    let outcome = if shell { on_terminal(launch, hooks, tail)? } else { run(launch, hooks)? };
    let record = std::mem::take(&mut *record.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((record, outcome))
}

/// Runs a machine with its console on the user's terminal.
fn on_terminal(launch: &Launch, mut hooks: Hooks, tail: &Tail) -> Result<Outcome, HostError> {
    let control = Arc::clone(&hooks.control);
    let screen = say::output(&control)
        .map_err(|error| HostError::Host(format!("standard output: {}", plain(&error))))?;
    hooks.console = Both::of(Box::new(screen.writer(Full::Wait)), Box::new(tail.clone()));
    hooks.gates.push(Arc::clone(screen.gate()));
    let terminal = RawTerminal::enter();
    let reader = console::read_stdin(Arc::clone(&control), terminal.is_some(), Eof::Send);
    let outcome = run(launch, hooks);
    drop(reader);
    let mut outcome = outcome?;
    outcome.add(screen.finish(), &control);
    Ok(outcome)
}

fn how_it_ended(outcome: &Outcome) -> String {
    let lines = report::lines(&Launch::new(Default::default()), false, outcome);
    let line = lines.iter().find_map(|line| line.strip_prefix("fencepost: ")).map(str::to_string);
    line.unwrap_or_else(|| "it ended the machine".to_string())
}

/// The run of a scenario.
pub(super) fn launched(order: &Play, found: &Found) -> Launch {
    let mut launch = Launch::new(order.machine.clone());
    launch.restore = order.restore.clone();
    launch.restored_seed = order.seed;
    launch.soft_cpu = order.soft_cpu;
    launch.machine.tracing.file = Some(order.folder.join(TRACE));
    if found.scenario.expect.trace.is_empty() {
        launch.machine.tracing.limit = EVIDENCE_TRACE;
    }
    launch.timeout = (!order.shell).then_some(found.scenario.scenario.wall_timeout.0);
    launch.realtime = order.shell;
    launch.on_panic = Some(OnPanic::Exit);
    launch
}

/// Plays a scenario.
pub(super) fn play(order: &Play, control: &Arc<Control>) -> Result<Report, HostError> {
    let found = Found::of(&order.path, &order.text)?.as_variant(order.variant.as_deref());
    let about = &found.scenario.scenario;
    // A failure that is expected is nothing to look into.
    let save = order.save && found.scenario.expect.fails.is_none();
    let seeing = Seeing::default();
    let judged: Arc<Mutex<Vec<(usize, Judged)>>> = Arc::default();
    let wanted = Wanted {
        waiting: order.restore.is_some(),
        limit_ns: about.timeout.ns(),
        judge: judge_into(&found, &judged)?,
        save: save.then(|| (order.folder.join("failure.snapshot"), SaveAt::Failure)),
        ..tasks::wanted(order, &found)?
    };
    let launch = launched(order, &found);
    let console = order.folder.join("console.txt");
    let unwritten = |error: std::io::Error| HostError::file("evidence", &console, &error, "make room there");
    let tail = Tail::new(File::create(&console).map_err(unwritten)?, CONSOLE_MAX_BYTES);
    let (record, outcome) =
        run_player(&launch, wanted, (&tail, Some(&seeing)), confined(order, &found), control)?;
    let mut kept = tail.finish().map_err(unwritten);
    kept = kept.and(write_output(&found, &record, &order.folder));
    let steps = std::mem::take(&mut *judged.lock().unwrap_or_else(PoisonError::into_inner));
    let mut all = judge_all(&found, steps, (&record, &outcome), order)?;
    all.append(seeing.judge(&found.scenario.expect.frames));
    let mut all = match &found.scenario.expect.fails {
        Some(fails) => judge::as_failing(all, fails)?,
        None => all,
    };
    if order.keep || !all.failures.is_empty() {
        kept = kept.and(seeing.keep(&order.folder));
    }
    without_evidence(&mut all, kept)?;
    Ok(Report {
        name: order.name.clone(),
        file: Some(order.path.clone()),
        kernel: Some(order.release.clone()),
        seed: order.seed,
        verdict: if all.failures.is_empty() { Verdict::Passed } else { Verdict::Failed },
        // Whoever gave the order measures that.
        wall_ms: 0,
        guest_ns: record.last_ns.saturating_sub(record.began_ns.unwrap_or(record.last_ns)),
        checks: all.checks,
        failures: all.failures,
        console: judge::lines(&tail.bytes(), CONSOLE_LINES),
        evidence: None,
        reproduce: String::new(),
    })
}

/// What the run of a scenario needs beside what its machine does: its evidence, and the picture that it is compared with. One that
/// is played in the command's own process has no sandbox: others are to be played there after it.
fn confined(order: &Play, found: &Found) -> Option<Sandbox> {
    if !order.sandbox || order.shell || order.gdb.is_some() {
        return None;
    }
    let picture = found.scenario.expect.frames.png.iter().filter(|picture| picture.exists());
    let sandbox = Sandbox::default().allowing(&order.folder, Right::Fill);
    Some(picture.fold(sandbox, |sandbox, picture| sandbox.allowing(picture, Right::Read)))
}

/// A scenario that failed has failed without its evidence too, and says what of it is missing.
///
/// # Errors
///
/// What was not written, of a scenario that did not fail.
fn without_evidence(all: &mut Judged, kept: Result<(), HostError>) -> Result<(), HostError> {
    match kept {
        Err(error) if !all.failures.is_empty() => {
            all.failures.push(judge::missing_evidence(&error.to_string()));
            Ok(())
        }
        other => other,
    }
}

/// What the steps gave, and what of the run is judged at its end.
fn judge_all(
    found: &Found,
    mut steps: Vec<(usize, Judged)>,
    (record, outcome): (&Record, &Outcome),
    order: &Play,
) -> Result<Judged, HostError> {
    let mut all = Judged::default();
    steps.sort_by_key(|(task, _)| *task);
    steps.into_iter().for_each(|(_, judged)| all.append(judged));
    all.append(unfinished(found, record)?);
    all.append(ending(found, record, outcome));
    all.append(messages(found, record)?);
    all.append(conditions(found, &order.folder)?);
    all.append(unsaved(record));
    let stats = &outcome.stats;
    all.append(counters::judge(&found.scenario.expect.counters, &stats.counters));
    all.append(faults::judge(found, &record.played, &stats.faults, &stats.faults_refused));
    Ok(all)
}

/// Judges each task as it ends, and keeps what came of it.
pub(super) fn judge_into(
    found: &Found,
    judged: &Arc<Mutex<Vec<(usize, Judged)>>>,
) -> Result<Judge, HostError> {
    let (found, judged, known) = (found.clone(), Arc::clone(judged), known(found)?);
    Ok(Box::new(move |played| {
        let one = judge_task(&found, &known, played);
        let good = one.failures.is_empty();
        judged.lock().unwrap_or_else(PoisonError::into_inner).push((played.task, one));
        good
    }))
}

/// The tests that may fail.
fn known(found: &Found) -> Result<Vec<Known>, HostError> {
    let all = found.scenario.expect.ktap.known.iter();
    let all = all.map(|known| Known::pattern(&known.pattern, known.reason.clone()));
    all.collect::<Result<_, _>>().map_err(|error| HostError::Input(error.to_string()))
}

fn judge_task(found: &Found, known: &[Known], played: &Played) -> Judged {
    match tasks::step(found, played.task) {
        Some(step) => {
            let name = format!("step {}: {}", played.task, tasks::title(found, played.task));
            judge::step(step.get_ref(), &name, Some(found.line(step)), known, played)
        }
        None if played.task == 0 => {
            judge::step(&Default::default(), &tasks::title(found, 0), None, known, played)
        }
        None => Judged::default(),
    }
}

/// The machine that was to be saved, and was not.
fn unsaved(record: &Record) -> Judged {
    let mut judged = Judged::default();
    if let Some(error) = &record.save_error {
        judged.failed("the machine at the failure", "that it is saved", error.as_str(), Vec::new());
    }
    judged
}

/// The step that was running when the guest ended.
fn unfinished(found: &Found, record: &Record) -> Result<Judged, HostError> {
    let mut judged = Judged::default();
    if found.scenario.expect.end.is_none() {
        let known = known(found)?;
        let running = record.played.iter().filter(|played| played.ended.is_none());
        running.for_each(|played| judged.append(judge_task(found, &known, played)));
    }
    Ok(judged)
}

/// Looks at what the kernel has said since the scenario began. A guest that ended before it was asked has a failure already, or was
/// to end.
fn messages(found: &Found, record: &Record) -> Result<Judged, HostError> {
    let wanted = &found.scenario.expect.dmesg;
    let last = tasks::last(found);
    let said = record.played.iter().find(|played| played.task == last);
    let Some(said) = said.filter(|_| wanted.clean) else { return Ok(Judged::default()) };
    if said.ended != Some(Ended::Status(0)) {
        let mut judged = Judged::default();
        judged.failed(tasks::title(found, last), "that the guest tells them", "it does not", Vec::new());
        return Ok(judged);
    }
    let text = String::from_utf8_lossy(&said.output.bytes);
    // Without that line the guest was not made ready, and all counts.
    let text = text.rsplit_once(BEGINS).map_or(&*text, |(_, behind)| behind);
    let allowed = wanted.allow.iter().map(|it| Allowed::new(&it.pattern, it.reason.clone()));
    let allowed = allowed.collect::<Result<_, _>>().map_err(|error| HostError::Input(error.to_string()))?;
    Ok(dmesg::judge(&dmesg::find(text), &Policy { errors: false, allowed }, &tasks::title(found, last)))
}

/// Holds the trace against the sentences about it.
fn conditions(found: &Found, folder: &Path) -> Result<Judged, HostError> {
    let mut judged = Judged::default();
    if found.scenario.expect.trace.is_empty() {
        return Ok(judged);
    }
    let path = folder.join(TRACE);
    let failed = |why: String| HostError::Host(format!("{}: {why}", path.display()));
    let file = File::open(&path).map_err(|error| failed(plain(&error)))?;
    let trace = TraceFile::read(BufReader::new(file)).map_err(|error| failed(error.to_string()))?;
    let journeys = Journeys::build(&trace);
    for sentence in &found.scenario.expect.trace {
        let condition: Condition = sentence.parse().map_err(|error| HostError::Input(format!("{error}")))?;
        let name = format!("trace: {condition}");
        match condition.check(&trace, &journeys) {
            Finding::Holds(says) => judged.passed(name, says),
            Finding::Broken { says, .. } => judged.failed(name, sentence.as_str(), says, Vec::new()),
            Finding::Unknown(why) => {
                judged.failed(name, sentence.as_str(), format!("the trace does not tell: {why}"), Vec::new());
            }
        }
    }
    Ok(judged)
}

/// Compares how the guest ended with what was expected.
fn ending(found: &Found, record: &Record, outcome: &Outcome) -> Judged {
    use crate::backend::End;
    use crate::machine::GuestEnd;
    let mut judged = Judged::default();
    let expected = found.scenario.expect.end;
    let came = match &outcome.end {
        End::Host(_) => None,
        End::Guest(_) if outcome.findings.panic.is_some() => Some(Ending::Panic),
        End::Guest(GuestEnd::PowerOff | GuestEnd::Exit(0)) => Some(Ending::PowerOff),
        End::Guest(GuestEnd::Reset) => Some(Ending::Reset),
        End::Guest(_) => None,
    };
    let by_host = matches!(outcome.end, End::Host(_));
    let at = "the guest's end";
    let how = || match (record.over, record.finished) {
        (true, _) => "its time was over".to_string(),
        (_, true) => "it was still there".to_string(),
        _ => how_it_ended(outcome),
    };
    let timed_out = record.played.iter().any(|played| played.ended == Some(Ended::TimedOut));
    let wrong = match expected {
        Some(expected) if came == Some(expected) => None,
        Some(Ending::PowerOff) => Some("that the guest powers off".to_string()),
        Some(Ending::Reset) => Some("that the guest restarts".to_string()),
        Some(Ending::Panic) => Some("that the guest's kernel panics".to_string()),
        None if !by_host => Some("that the guest is there to the end".to_string()),
        // The step says so.
        None if record.over && timed_out => None,
        None if record.over => Some(format!("its end within {}", found.scenario.scenario.timeout)),
        None if !record.finished => {
            Some(format!("its end within {} of the host's time", found.scenario.scenario.wall_timeout))
        }
        None => None,
    };
    match wrong {
        Some(expected) => judged.failed(at, expected, how(), Vec::new()),
        None if expected.is_some() => judged.passed(at, ""),
        None => {}
    }
    judged
}

/// Writes what the commands wrote into the folder of evidence.
fn write_output(found: &Found, record: &Record, folder: &Path) -> Result<(), HostError> {
    let path = folder.join("output.txt");
    let write = || -> std::io::Result<()> {
        let mut file = std::io::BufWriter::new(File::create(&path)?);
        for played in &record.played {
            writeln!(file, "== {}: {}", played.task, tasks::title(found, played.task))?;
            file.write_all(&played.output.bytes)?;
            if played.output.lost > 0 {
                writeln!(file, "[{} bytes left out]", played.output.lost)?;
            }
            match &played.ended {
                Some(Ended::Status(status)) => writeln!(file, "== {}: status {status}", played.task)?,
                other => writeln!(file, "== {}: {other:?}", played.task)?,
            }
        }
        file.into_inner()?.sync_data()
    };
    write().map_err(|error| HostError::file("evidence", &path, &error, "make room there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_disk() -> Result<(), HostError> {
        Err(HostError::Host("output.txt: No space left on device".to_owned()))
    }

    #[test]
    fn a_failure_stays_one_without_its_evidence() {
        let mut failed = Judged::default();
        failed.failed("step 1", "exit status 0", "exit status 3", Vec::new());
        without_evidence(&mut failed, full_disk()).unwrap();
        let at: Vec<_> = failed.failures.iter().map(|it| (it.at.as_str(), it.came.as_str())).collect();
        assert_eq!(at, [("step 1", "exit status 3"), ("evidence", "output.txt: No space left on device")]);
        without_evidence(&mut Judged::default(), full_disk()).unwrap_err();
    }
}
