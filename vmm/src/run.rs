//! One run of one guest, from the files on the command line to the exit status.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fencepost_devices::function::Counter;
use fencepost_firmware as firmware;
use fencepost_firmware::Entry;
use fencepost_firmware::kernel::KernelError;
use fencepost_softcpu::code::CodePages;
use fencepost_trace::Category;
use vm_memory::GuestMemoryMmap;

use crate::accel::{self, Chosen};
use crate::backend::kvm::assist::Assists;
use crate::backend::moves::{Moves, Plan};
use crate::backend::{self, BackEnd, End, Ran, SavedCpu};
use crate::cache::{self, Cache};
use crate::cli::RunArgs;
use crate::config::MachineConfig;
use crate::control::{Control, StopReason};
use crate::devices;
use crate::dump::LastMoment;
use crate::error::HostError;
use crate::files::Claims;
use crate::footprint;
use crate::frames::{FrameSink, PngFolder};
use crate::initrd;
use crate::kernel::{self, Kernel};
use crate::machine::log::{EventLog, FinishedLog, Keep};
use crate::machine::remap::Remapping;
use crate::machine::{GuestEnd, GuestRefused, Machine, Parts, Pauses, Unclaimed, memory};
use crate::options::{Accel, SnapshotAt, Switch};
use crate::outlet::{Delivery, Gate};
use crate::say;
use crate::snapshot::{self, Saved};
use crate::tracing::{self, Stream};

/// What the caller of [`run`] wants of it beside the command line.
pub struct Hooks {
    /// Where the guest's serial output goes.
    pub console: Box<dyn Write + Send>,
    /// Stops the guest and gives it console input, from any thread.
    pub control: Arc<Control>,
    /// Gets every picture that a flip brings to the screen.
    pub frames: Option<Box<dyn FrameSink>>,
    /// How many of the newest records to keep in memory for [`Outcome::log`]; none unless told otherwise.
    pub records: usize,
    /// Which of them to keep; all when absent.
    pub keep: Option<Keep>,
    /// Outlets behind `console` and `frames` that the machine must wait for.
    pub gates: Vec<Arc<Gate>>,
    /// Shows a line to the user while the run is prepared.
    pub say: Box<dyn FnMut(&str)>,
}

impl Hooks {
    /// Output to `console`, nothing else.
    pub fn new(console: Box<dyn Write + Send>) -> Self {
        Hooks {
            console,
            control: Arc::default(),
            frames: None,
            records: 0,
            keep: None,
            gates: Vec::new(),
            say: Box::new(|line| say::line(format_args!("fencepost: {line}"))),
        }
    }
}

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
    /// What the software CPU did for KVM.
    pub assists: Assists,
    /// The moves between back ends.
    pub moves: Moves,
    /// The guest's TSC frequency.
    pub tsc_hz: u64,
    /// Accesses that nobody answered.
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
    /// What became of the outputs, the trace apart.
    pub outputs: Vec<Delivery>,
    /// Why an output was given up that took nothing when the guest had ended.
    pub gave_up: Option<StopReason>,
    /// Why the last snapshot was not written, if it was not.
    pub snapshot_error: Option<HostError>,
}

impl Outcome {
    /// The exit status that the end stands for.
    pub fn status(&self) -> i32 {
        match &self.end {
            End::Guest(GuestEnd::Exit(status)) => i32::from(*status),
            End::Guest(GuestEnd::PowerOff | GuestEnd::Mark(_) | GuestEnd::Pause) => 0,
            End::Guest(GuestEnd::Reset) => 4,
            End::Guest(_) => 3,
            End::Host(reason) => reason.status(),
        }
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

    /// `status` of a command that ran the guest, as its outputs leave it: that of the reason to stop which ended the wait for
    /// one of them, and not 0 when the host failed to write one.
    pub fn with_outputs(&self, status: i32) -> i32 {
        let failed = self.trace_error().is_some()
            || self.snapshot_error.is_some()
            || self.outputs.iter().any(Delivery::failed);
        match self.gave_up {
            Some(reason) => reason.status(),
            None if status == 0 && failed => 1,
            None => status,
        }
    }
}

/// Runs a guest to its end.
pub fn run(args: &RunArgs, mut hooks: Hooks) -> Result<Outcome, HostError> {
    let start = Instant::now();
    claims(args)?;
    let control = Arc::clone(&hooks.control);
    let source = match &args.restore {
        None => Source::Boot(load(args, &mut hooks.say)?),
        Some(file) => Source::Saved(Box::new(snapshot::open(file)?)),
    };
    if let Some(limit) = args.timeout {
        // For a trace's reader that does not come; the guest's time begins later.
        control.set_limit(start + limit);
    }
    let trace_file = tracing::create(args, &control)?;
    let mut files = None;
    if let Some(folder) = &args.frames {
        let (png, writer) = PngFolder::create(folder.clone(), &control, args.slow_output)?;
        hooks.frames = Some(both(hooks.frames.take(), png));
        hooks.gates.push(Arc::clone(writer.gate()));
        files = Some(writer);
    }
    let mut ready = match source {
        Source::Boot((memory, entry)) => powered_on(args, memory, &entry, trace_file, hooks)?,
        Source::Saved(saved) => restored(args, *saved, trace_file, hooks)?,
    };
    ready.machine.pause_at(pauses(args, ready.accel)?);
    control.set_watchdog(args.watchdog);
    control.begin();
    let limit = args.timeout.map(|limit| TimeLimit::start(limit, Arc::clone(&control)));
    let startup = start.elapsed();
    let first = Instant::now();
    let (ready, ran, snapshot_error) = run_to_end(args, ready, &control)?;
    let wall = first.elapsed();
    drop(limit);
    let mut outcome = finish(args, ready, ran, snapshot_error, (startup, wall))?;
    outcome.give_up(outcome.log.written.as_ref().is_some_and(|written| written.given_up), &control);
    if let Some(files) = files {
        outcome.add(files.finish(), &control);
    }
    Ok(outcome)
}

/// Where a machine comes from.
enum Source {
    /// Memory with a kernel in it.
    Boot((GuestMemoryMmap, Entry)),
    /// A snapshot.
    Saved(Box<Saved>),
}

/// A machine and what runs it.
struct Ready {
    config: MachineConfig,
    accel: Chosen,
    back_end: Box<dyn BackEnd>,
    machine: Machine,
    /// Instructions retired before this run.
    retired_before: u64,
}

/// The machine after power-on.
fn powered_on(
    args: &RunArgs,
    memory: GuestMemoryMmap,
    entry: &Entry,
    trace_file: Option<File>,
    mut hooks: Hooks,
) -> Result<Ready, HostError> {
    let config = args.machine();
    let pci = devices::plug(&config, hooks.frames.take())?;
    let (accel, why) = accel::choose(accel::with_seed(args.accel, args.seed)?)?;
    let plan = plan(args)?;
    if let Some(why) = why {
        (hooks.say)(&why);
    }
    let code = Arc::new(CodePages::new(memory::end(&memory)));
    let (back_end, time, interrupts) = backend::build(accel, &plan, &memory, &code, entry, &control)?;
    let stream =
        trace_file.map(|file| tracing::begin(args, &config, file, accel, &time, &control)).transpose()?;
    let log = event_log(args, &mut hooks, stream);
    let iommu = Remapping::new(config.iommu);
    let mut machine = Machine::new(Parts {
        memory,
        code,
        time,
        interrupts,
        console: hooks.console,
        control,
        log,
        pci,
        iommu,
    });
    machine.write_through(hooks.gates, args.slow_output);
    if let Some(seed) = config.seed {
        machine.vary(seed);
    }
    if args.trace.is_some() && args.trace_categories.list().contains(&Category::Guest) {
        machine.trace_guest();
    }
    Ok(Ready { config, accel, back_end, machine, retired_before: 0 })
}

/// The machine of a snapshot.
fn restored(
    args: &RunArgs,
    saved: Saved,
    trace_file: Option<File>,
    mut hooks: Hooks,
) -> Result<Ready, HostError> {
    // Only `soft` can; `auto` has nothing to measure.
    let accel = if args.accel == Accel::Kvm { Chosen::Kvm } else { Chosen::Soft };
    let memory = saved.map_memory()?;
    let refused = |error| snapshot::refused(args.restore.as_deref(), error);
    let Saved { config, cpu, machine: state, .. } = saved;
    let pci = devices::restore(&config, hooks.frames.take(), &state.pci).map_err(refused)?;
    let control = Arc::clone(&hooks.control);
    let code = Arc::new(CodePages::new(memory::end(&memory)));
    let resumed = backend::resume(accel, &memory, &code, &cpu, &state, &control);
    let (back_end, time, interrupts) = resumed.map_err(refused)?;
    let begin = |file| tracing::begin(args, &config, file, accel, &time, &control);
    let stream = trace_file.map(begin).transpose()?;
    let log = event_log(args, &mut hooks, stream);
    let parts = Parts {
        memory,
        code,
        time,
        interrupts,
        console: hooks.console,
        control,
        log,
        pci,
        iommu: Remapping::Off,
    };
    let mut machine = Machine::restore(parts, state).map_err(refused)?;
    machine.write_through(hooks.gates, args.slow_output);
    Ok(Ready { config, accel, back_end, machine, retired_before: cpu.state.retired })
}

/// Where the guest is to be saved.
fn pauses(args: &RunArgs, accel: Chosen) -> Result<Pauses, HostError> {
    if args.snapshot.is_some() && (accel == Chosen::Kvm || !args.moves.is_empty()) {
        return Err(HostError::input(
            "--snapshot: only a machine that runs under soft from its start can be saved",
            "give it --accel soft, and no --move",
        ));
    }
    let mut pauses = Pauses::default();
    for at in &args.snapshot_at {
        match *at {
            SnapshotAt::Mark(mark) => pauses.marks.insert(mark),
            SnapshotAt::Time(at_ns) => pauses.at_ns.insert(at_ns),
        };
    }
    Ok(pauses)
}

/// Runs the machine to its end, and saves it wherever it pauses for that. A snapshot that cannot be written costs the guest
/// nothing; the last reason is given back.
fn run_to_end(
    args: &RunArgs,
    mut ready: Ready,
    control: &Control,
) -> Result<(Ready, Ran, Option<HostError>), HostError> {
    let mut failed = None;
    loop {
        let (mut machine, ran) = ready.back_end.run(ready.machine, control)?;
        if let (End::Guest(GuestEnd::Pause), Some(path)) = (&ran.end, &args.snapshot) {
            let cpu = SavedCpu { state: ran.state, translations: ran.translations };
            failed = snapshot::save(path, &ready.config, &mut machine, cpu).err();
            machine.pass_mark();
            ready.machine = machine;
            continue;
        }
        ready.machine = machine;
        return Ok((ready, ran, failed));
    }
}

/// Where the machine goes at which mark.
fn plan(args: &RunArgs) -> Result<Plan, HostError> {
    let mut plan = Plan::new();
    if args.seed.is_some() && !args.moves.is_empty() {
        return Err(HostError::input(
            "--seed holds under soft only, --move leaves it",
            "leave one of them out",
        ));
    }
    for at in &args.moves {
        if plan.insert(at.mark, at.to).is_some_and(|to| to != at.to) {
            return Err(HostError::input(
                format!("--move: mark {} leads to both back ends", at.mark),
                "give each mark one",
            ));
        }
    }
    Ok(plan)
}

fn finish(
    args: &RunArgs,
    ready: Ready,
    ran: Ran,
    snapshot_error: Option<HostError>,
    (startup, wall): (Duration, Duration),
) -> Result<Outcome, HostError> {
    let Ready { accel, machine, retired_before, .. } = ready;
    let tsc_hz = machine.tsc_hz();
    let remains = machine.finish();
    let memory_digest = args.memory_hash.then(|| memory::digest(&remains.memory)).transpose()?;
    let cycles = ran.state.cycles.0;
    // KVM counts none, so neither does a machine that was there for a while.
    let instructions = (accel == Chosen::Soft && args.moves.is_empty()).then_some(ran.state.retired);
    let last = LastMoment::new(ran.state, &remains.memory, &remains.recent);
    let stats = RunStats {
        startup,
        wall,
        instructions,
        retired_before,
        cycles,
        unknown: ran.unknown,
        assists: ran.assists,
        moves: ran.moves,
        tsc_hz,
        unclaimed: remains.unclaimed,
        guest_trace_refused: remains.guest_trace_refused,
        counters: remains.counters,
        beyond_ram_bytes: footprint::beyond_ram_bytes(&remains.memory),
    };
    let (outputs, gave_up) = (Vec::new(), None);
    let (end, log) = (ran.end, remains.log);
    Ok(Outcome { end, accel, stats, log, memory_digest, last, outputs, gave_up, snapshot_error })
}

/// Who reads and who writes which file. No output may be an input or another output.
pub fn claims(args: &RunArgs) -> Result<Claims, HostError> {
    let mut claims = Claims::default();
    args.kernel.iter().for_each(|path| claims.input("--kernel", path));
    args.restore.iter().for_each(|path| claims.input("--restore", path));
    args.initrd.iter().for_each(|path| claims.input("--initrd", path));
    args.camera.source.iter().for_each(|path| claims.input("the camera's source", path));
    claims.standard_streams()?;
    args.trace.iter().try_for_each(|path| claims.output("--trace", path))?;
    args.snapshot.iter().try_for_each(|path| claims.output("--snapshot", path))?;
    args.frames.iter().try_for_each(|folder| claims.pictures("--frames", folder, PngFolder::PREFIX))?;
    Ok(claims)
}

/// Reads kernel and initramfs and puts them into new guest memory.
fn load(args: &RunArgs, say: &mut dyn FnMut(&str)) -> Result<(GuestMemoryMmap, Entry), HostError> {
    let cache = cache::folder().map(|folder| Cache::new(&folder));
    let path =
        args.kernel.as_deref().ok_or_else(|| HostError::input("no kernel", "name one with --kernel"))?;
    let mut kernel = kernel::open(path, args.memory.0, cache.as_ref(), say)?;
    let read = |path| initrd::read(path, &kernel.image, args.memory.0);
    let initrd = args.initrd.as_deref().map(read).transpose()?;
    let memory = memory::map(args.memory.0)?;
    match place(args, &memory, &mut kernel, initrd.as_deref()) {
        Err(firmware::Error::Kernel(KernelError::KeptDamaged)) => {}
        placed => return Ok((memory, placed.map_err(|error| load_error(&error))?)),
    }
    kernel.unpack_again(cache.as_ref(), say)?;
    // The guest must find nothing of what was loaded first.
    drop(memory);
    let memory = memory::map(args.memory.0)?;
    let entry = place(args, &memory, &mut kernel, initrd.as_deref()).map_err(|error| load_error(&error))?;
    Ok((memory, entry))
}

fn place(
    args: &RunArgs,
    memory: &GuestMemoryMmap,
    kernel: &mut Kernel,
    initrd: Option<&[u8]>,
) -> Result<Entry, firmware::Error> {
    let options = firmware::Options { iommu: args.iommu == Switch::On, ..firmware::Options::default() };
    firmware::load(memory, &mut kernel.image, initrd, &args.append, 1, &options)
}

fn load_error(error: &firmware::Error) -> HostError {
    match error {
        firmware::Error::Kernel(error) => kernel::input_error(error),
        firmware::Error::InitrdTooLarge { .. } | firmware::Error::TooLittleMemory(_) => {
            HostError::input(error, "give the guest more with --memory")
        }
        firmware::Error::CommandLineTooLong { .. } | firmware::Error::CommandLineNul => {
            HostError::input(format!("--append: {error}"), "change it")
        }
        _ => HostError::Host(error.to_string()),
    }
}

fn event_log(args: &RunArgs, hooks: &mut Hooks, stream: Option<Stream>) -> EventLog {
    let mut log = EventLog::new(hooks.records);
    if let Some(keep) = hooks.keep.take() {
        log = log.keep_only(keep);
    }
    if let Some(stream) = stream {
        log = log.stream_to(stream, args.trace_categories);
    }
    if args.memory_hash { log.hashed() } else { log }
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
    fn start(limit: Duration, control: Arc<Control>) -> Self {
        // Whoever waits for an output when the guest is over looks there.
        control.set_limit(Instant::now() + limit);
        let (sender, receiver) = channel();
        let waiter = move || {
            if receiver.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                control.stop(StopReason::Timeout);
            }
        };
        // A host that cannot start a thread has no limit to enforce; the guest still ends by itself.
        let thread = std::thread::Builder::new().name("time limit".into()).spawn(waiter).ok();
        TimeLimit { sender: Some(sender), thread }
    }
}

impl Drop for TimeLimit {
    fn drop(&mut self) {
        self.sender = None;
        // Nothing in it can panic, and there is nothing to be told.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
