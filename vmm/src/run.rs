//! One run of one guest, from the files on the command line to the exit status.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fencepost_devices::function::Counter;

use crate::accel::Chosen;
use crate::backend::kvm::assist::Assists;
use crate::backend::moves::Moves;
use crate::backend::{End, Ran, SavedCpu};
use crate::channel;
use crate::config::{MachineConfig, SerialEnd};
use crate::console_log::ConsoleLog;
use crate::control::{Control, StopReason};
use crate::dump::LastMoment;
use crate::error::HostError;
use crate::files::Claims;
use crate::footprint;
use crate::frames::FrameSink;
pub use crate::hooks::Hooks;
use crate::input::InputDevices;
use crate::input_script;
use crate::inputs;
use crate::launch::Launch;
use crate::machine::log::FinishedLog;
use crate::machine::{GuestEnd, GuestRefused, Unclaimed, memory};
use crate::outlet::Delivery;
use crate::panic::{Findings, OnPanic};
use crate::ready::{Ready, Source, load, pauses, powered_on, restored};
use crate::serial_line::SerialLines;
use crate::shelf::png::PngFolder;
use crate::snapshot;
use crate::tracing;
use crate::view::View;
use crate::wire;

/// What was executed and how fast.
#[derive(Clone, Debug)]
pub struct RunStats {
    /// From the call of [`run`] to the first guest instruction.
    pub startup: Duration,
    /// From the first guest instruction to the last.
    pub wall: Duration,
    /// Instructions retired; `None` where the back end cannot count them.
    pub instructions: Option<u64>,
    /// Of these, retired before this run: the snapshot's, if it began at one.
    pub retired_before: u64,
    /// The guest's TSC at the end, idle time included.
    pub cycles: u64,
    /// Instructions and MSRs that were not known, by name, with how often each was met.
    pub unknown: Vec<(String, u64)>,
    /// Exceptions that the software CPU delivered, by name, and how many of each; those under `kvm` are not counted.
    pub exceptions: Vec<(&'static str, u64)>,
    /// What the software CPU did for KVM.
    pub assists: Assists,
    /// The moves between back ends.
    pub moves: Moves,
    /// The guest's TSC frequency.
    pub tsc_hz: u64,
    /// Unanswered accesses.
    pub unclaimed: Unclaimed,
    /// What of the guest's trace was left out.
    pub guest_trace_refused: GuestRefused,
    /// What each device counted, by its name.
    pub counters: Vec<(String, Vec<Counter>)>,
    /// Resident host memory beyond guest RAM at the end, where the host tells.
    pub beyond_ram_bytes: Option<u64>,
}

impl RunStats {
    /// Million guest instructions per second of host time.
    pub fn mips(&self) -> Option<f64> {
        let executed = self.instructions.map(|count| count.saturating_sub(self.retired_before));
        executed.map(|count| count as f64 / self.wall.as_secs_f64().max(1e-9) / 1e6)
    }
}

/// Exit status: the guest's kernel has panicked, or failed so that `--on-panic` ended the run.
const PANICKED: i32 = 5;
/// Exit status with `--on-panic`: the guest ended with 0, and its kernel has reported a failure.
const FLAWED: i32 = 6;

/// How a run ended and what it left.
pub struct Outcome {
    /// Why it is over.
    pub end: End,
    /// The back end that ran it.
    pub accel: Chosen,
    /// Figures.
    pub stats: RunStats,
    /// The trace's newest records, the number of events and their digest.
    pub log: FinishedLog,
    /// SHA-256 of guest memory, if asked for.
    pub memory_digest: Option<String>,
    /// The CPU as it was left.
    pub last: LastMoment,
    /// What the host could not do for devices, a line for each file.
    pub device_errors: Vec<String>,
    /// What became of the outputs, the trace apart.
    pub outputs: Vec<Delivery>,
    /// Why an output was given up that took nothing when the guest had ended.
    pub gave_up: Option<StopReason>,
    /// Why the last snapshot was not written, if it was not.
    pub snapshot_error: Option<HostError>,
    /// What the guest's kernel has reported of its own failures.
    pub findings: Findings,
    /// What was wanted when it fails.
    pub on_panic: Option<OnPanic>,
}

impl Outcome {
    /// The exit status that the end stands for.
    pub fn status(&self) -> i32 {
        match &self.end {
            End::Guest(GuestEnd::Exit(0) | GuestEnd::PowerOff) if self.is_flawed() => FLAWED,
            End::Guest(GuestEnd::Exit(status)) => i32::from(*status),
            End::Guest(GuestEnd::PowerOff | GuestEnd::Mark(_) | GuestEnd::Pause) => 0,
            End::Guest(GuestEnd::Panicked) => PANICKED,
            // However a panicked kernel restarts the machine, it is the panic that ended it.
            End::Guest(_) if self.findings.panic.is_some() => PANICKED,
            End::Guest(GuestEnd::Reset) => 4,
            End::Guest(_) => 3,
            End::Host(reason) => reason.status(),
        }
    }

    /// Whether a guest that ended well has reports of its kernel's against it, and somebody asked.
    fn is_flawed(&self) -> bool {
        self.on_panic.is_some() && !self.findings.is_empty()
    }

    /// Why the trace file is not whole, if it is not.
    pub fn trace_error(&self) -> Option<&std::io::Error> {
        self.log.written.as_ref().and_then(|written| written.result.as_ref().err())
    }

    /// Takes what became of an output.
    pub fn add(&mut self, output: Delivery, control: &Control) {
        self.give_up(output.given_up, control);
        self.outputs.push(output);
    }

    fn give_up(&mut self, given_up: bool, control: &Control) {
        if given_up && matches!(self.end, End::Guest(_)) {
            self.gave_up = self.gave_up.or(control.stop_reason());
        }
    }

    /// `status` of a command that ran the guest, as its files leave it: that of the reason to stop which ended the wait for
    /// an output, and not 0 when the host failed to write one, or to serve a device.
    pub fn with_outputs(&self, status: i32) -> i32 {
        let failed = self.trace_error().is_some()
            || self.snapshot_error.is_some()
            || !self.device_errors.is_empty()
            || self.outputs.iter().any(Delivery::failed);
        match self.gave_up {
            Some(reason) => reason.status(),
            None if status == 0 && failed => 1,
            None => status,
        }
    }
}

/// Runs a guest to its end.
pub fn run(launch: &Launch, mut hooks: Hooks) -> Result<Outcome, HostError> {
    let start = Instant::now();
    launch.machine.check().map_err(HostError::Input)?;
    claims(launch)?;
    if !hooks.devices.is_empty() && (launch.snapshot.is_some() || launch.restore.is_some()) {
        return Err(HostError::input(
            "a device of the caller's own is in no snapshot",
            "add it to the registry, or leave out --snapshot and --restore",
        ));
    }
    let control = Arc::clone(&hooks.control);
    launch.snapshot.as_deref().map_or(Ok(()), snapshot::check)?;
    let source = match &launch.restore {
        None => Source::Boot(load(&launch.machine, launch.console_size, &mut hooks.say)?),
        Some(file) => Source::Saved(Box::new(snapshot::open(file)?)),
    };
    if let Some(limit) = launch.timeout {
        // For a trace's reader that does not come; the guest's time begins later.
        control.set_limit(start + limit);
    }
    let trace_file = tracing::create(launch, &control)?;
    let mut files = None;
    if let Some(folder) = &launch.frames {
        let (png, writer) = PngFolder::create(folder.clone(), &control, launch.slow_output)?;
        hooks.frames = Some(both(hooks.frames.take(), png));
        hooks.gates.push(Arc::clone(writer.gate()));
        files = Some(writer);
    }
    let log = log_console(launch, &mut hooks)?;
    let input = launch.input.as_deref().map(|path| input_script::read(path, source.machine(launch)));
    let input = input.transpose()?;
    let lines = open_lines(launch, source.machine(launch), &mut hooks)?;
    let view = watch(launch, source.machine(launch), &mut hooks)?;
    let wire = wire::connect(launch, source.machine(launch), &mut hooks)?;
    let record = inputs::open(launch, source.machine(launch), &control)?;
    let channel = channel::connect(launch, source.machine(launch), &mut hooks)?;
    let mut ready = match source {
        Source::Boot((memory, entry)) => powered_on(launch, memory, &entry, trace_file, hooks)?,
        Source::Saved(saved) => restored(launch, *saved, trace_file, hooks)?,
    };
    ready.machine.pause_at(pauses(launch));
    ready.machine.take_inputs(inputs::inputs(launch, record.as_ref())?);
    input.into_iter().for_each(|timed| ready.machine.deliver_at(timed));
    if launch.snapshot.is_some() {
        control.allow_pauses();
    }
    control.set_watchdog(launch.watchdog);
    control.set_paced(launch.realtime);
    launch.console_size.iter().for_each(|size| control.set_console_size(*size));
    control.begin();
    let limit = launch.timeout.map(|limit| TimeLimit::start(limit, Arc::clone(&control))).transpose()?;
    let startup = start.elapsed();
    let first = Instant::now();
    let (ready, ran, snapshot_error) = run_to_end(launch, ready, &control)?;
    let wall = first.elapsed();
    drop(limit);
    drop(view);
    drop(channel);
    drop(wire);
    let mut outcome = finish(launch, ready, ran, snapshot_error, (startup, wall))?;
    outcome.give_up(outcome.log.written.as_ref().is_some_and(|written| written.given_up), &control);
    if let Some(files) = files {
        outcome.add(files.finish(), &control);
    }
    let log = log.map(ConsoleLog::finish);
    log.into_iter().chain(lines.finish()).for_each(|output| outcome.add(output, &control));
    if let Some(record) = record {
        outcome.add(record.finish(), &control);
    }
    Ok(outcome)
}

/// Has the console written to the file of `--console-log` too, if there is one.
fn log_console(launch: &Launch, hooks: &mut Hooks) -> Result<Option<ConsoleLog>, HostError> {
    let Some(path) = &launch.console_log else { return Ok(None) };
    let log = ConsoleLog::create(path, &hooks.control)?;
    let screen = std::mem::replace(&mut hooks.console, Box::new(std::io::sink()));
    hooks.console = log.beside(screen, launch.slow_output);
    hooks.gates.push(log.gate());
    Ok(Some(log))
}

/// The ends of the serial lines beside the console. `machine`: the one that runs, which may be a snapshot's.
fn open_lines(launch: &Launch, machine: &MachineConfig, hooks: &mut Hooks) -> Result<SerialLines, HostError> {
    let ends = &launch.machine.serial;
    if ends.len() > machine.serial.len() {
        let has = machine.serial.len();
        let why = format!("--serial: the snapshot's machine has {has} serial ports beside the console");
        return Err(HostError::input(why, "leave out what is too much"));
    }
    let mut lines = SerialLines::open(ends, &hooks.control, launch.slow_output, &mut hooks.say)?;
    hooks.serial = lines.take_outs();
    hooks.gates.extend(lines.gates());
    Ok(lines)
}

/// Runs the machine to its end, and saves it wherever it pauses for that. A snapshot that cannot be written costs the guest
/// nothing; the last reason is given back.
fn run_to_end(
    launch: &Launch,
    mut ready: Ready,
    control: &Control,
) -> Result<(Ready, Ran, Option<HostError>), HostError> {
    let mut failed = None;
    loop {
        let (mut machine, ran) = ready.back_end.run(ready.machine, control)?;
        let pauses = ran.end == End::Guest(GuestEnd::Pause);
        let saves =
            pauses || ran.end == End::Guest(GuestEnd::Panicked) && launch.on_panic == Some(OnPanic::Dump);
        if let (true, Some(path)) = (saves, &launch.snapshot) {
            let cpu = SavedCpu { state: ran.state.clone(), translations: ran.translations.clone() };
            failed = snapshot::save(path, &ready.config, &mut machine, cpu).err();
        }
        if pauses && launch.snapshot.is_some() {
            machine.pass_mark();
            ready.machine = machine;
            continue;
        }
        ready.machine = machine;
        return Ok((ready, ran, failed));
    }
}

fn finish(
    launch: &Launch,
    ready: Ready,
    ran: Ran,
    snapshot_error: Option<HostError>,
    (startup, wall): (Duration, Duration),
) -> Result<Outcome, HostError> {
    let Ready { accel, machine, retired_before, failures, panics, .. } = ready;
    let tsc_hz = machine.tsc_hz();
    let remains = machine.finish();
    let memory_digest = launch.memory_hash.then(|| memory::digest(&remains.memory)).transpose()?;
    let cycles = ran.state.cycles.0;
    // KVM counts none, so neither does a machine that was there for a while.
    let instructions = (accel == Chosen::Soft && launch.moves.is_empty()).then_some(ran.state.retired);
    let last = LastMoment::new(ran.state, &remains.memory, &remains.recent);
    let stats = RunStats {
        startup,
        wall,
        instructions,
        retired_before,
        cycles,
        unknown: ran.unknown,
        exceptions: ran.exceptions,
        assists: ran.assists,
        moves: ran.moves,
        tsc_hz,
        unclaimed: remains.unclaimed,
        guest_trace_refused: remains.guest_trace_refused,
        counters: remains.counters,
        beyond_ram_bytes: footprint::beyond_ram_bytes(&remains.memory),
    };
    Ok(Outcome {
        end: ran.end,
        accel,
        stats,
        log: remains.log,
        memory_digest,
        last,
        device_errors: failures.lines(),
        outputs: Vec::new(),
        gave_up: None,
        snapshot_error,
        findings: panics.findings(),
        on_panic: launch.on_panic,
    })
}

/// Opens the live view, if one is wanted, and tells the user where it is.
fn watch(launch: &Launch, machine: &MachineConfig, hooks: &mut Hooks) -> Result<Option<View>, HostError> {
    if launch.view.is_empty() {
        return Ok(None);
    }
    let devices = InputDevices::of(machine, Arc::clone(&hooks.control) as _);
    let view = View::open(launch.view, &devices)?;
    view.lines().iter().for_each(|line| (hooks.say)(line));
    hooks.watcher = Some(view.hub());
    Ok(Some(view))
}

/// Who reads and who writes which file. No output may be an input or another output.
pub fn claims(launch: &Launch) -> Result<Claims, HostError> {
    let mut claims = Claims::default();
    let MachineConfig { kernel, tracing, devices, .. } = &launch.machine;
    kernel.path.iter().for_each(|path| claims.input("--kernel", path));
    launch.restore.iter().for_each(|path| claims.input("--restore", path));
    launch.input.iter().for_each(|path| claims.input("--input", path));
    kernel.initramfs.iter().for_each(|path| claims.input("--initrd", path));
    let files =
        || devices.iter().flat_map(|device| device.files().into_iter().map(|file| (&device.kind, file)));
    for (kind, (path, _)) in files().filter(|(_, (_, written))| !written) {
        claims.input(&format!("the {kind}'s source"), path);
    }
    launch.replay_input.iter().for_each(|path| claims.input("--replay-input", path));
    claims.standard_streams()?;
    for (kind, (path, _)) in files().filter(|(_, (_, written))| *written) {
        claims.output(&format!("the file of the {kind}"), path)?;
    }
    tracing.file.iter().try_for_each(|path| claims.output("--trace", path))?;
    launch.snapshot.iter().try_for_each(|path| claims.output("--snapshot", path))?;
    for end in &launch.machine.serial {
        if let SerialEnd::File(path) = end {
            claims.output("--serial", path)?;
        }
    }
    launch.console_log.iter().try_for_each(|path| claims.output("--console-log", path))?;
    launch.record_input.iter().try_for_each(|path| claims.output("--record-input", path))?;
    launch.frames.iter().try_for_each(|folder| claims.pictures("--frames", folder, PngFolder::PREFIX))?;
    Ok(claims)
}

/// Two sinks as one.
struct Both(Box<dyn FrameSink>, PngFolder);

impl FrameSink for Both {
    fn frame(&mut self, frame: &crate::frames::Frame<'_>) {
        self.0.frame(frame);
        self.1.frame(frame);
    }
}

fn both(first: Option<Box<dyn FrameSink>>, second: PngFolder) -> Box<dyn FrameSink> {
    match first {
        Some(first) => Box::new(Both(first, second)),
        None => Box::new(second),
    }
}

/// Stops the guest after a while of host time; dropped, it does nothing more.
struct TimeLimit {
    /// Dropped, it ends the thread.
    sender: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TimeLimit {
    fn start(limit: Duration, control: Arc<Control>) -> Result<Self, HostError> {
        // Whoever waits for an output when the guest is over looks there.
        control.set_limit(Instant::now() + limit);
        let (sender, receiver) = channel();
        let waiter = move || {
            if receiver.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                control.stop(StopReason::Timeout);
            }
        };
        let thread = std::thread::Builder::new().name("time limit".into()).spawn(waiter);
        let cannot = |error| HostError::Host(format!("--timeout: cannot start a thread for it: {error}"));
        Ok(TimeLimit { sender: Some(sender), thread: Some(thread.map_err(cannot)?) })
    }
}

impl Drop for TimeLimit {
    fn drop(&mut self) {
        self.sender = None;
        // Nothing in it can panic, and there is nothing to be told.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
