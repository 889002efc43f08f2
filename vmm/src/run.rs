//! One run of one guest, from the files on the command line to the exit status.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fencepost_firmware as firmware;
use fencepost_firmware::Entry;
use fencepost_firmware::kernel::KernelError;
use fencepost_softcpu::code::CodePages;
use fencepost_trace::Category;
use vm_memory::GuestMemoryMmap;

use crate::accel::{self, Chosen};
use crate::backend::kvm::assist::Assists;
use crate::backend::moves::{Moves, Plan};
use crate::backend::{self, End, Ran};
use crate::cache::{self, Cache};
use crate::cli::RunArgs;
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
use crate::machine::{GuestEnd, GuestRefused, Machine, Parts, Unclaimed, memory};
use crate::options::Switch;
use crate::outlet::{Delivery, Gate};
use crate::say;
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
    /// Resident host memory beyond guest RAM at the end, where the host tells.
    pub beyond_ram_bytes: Option<u64>,
}

impl RunStats {
    /// Million guest instructions per second of host time.
    pub fn mips(&self) -> Option<f64> {
        self.instructions.map(|count| count as f64 / self.wall.as_secs_f64().max(1e-9) / 1e6)
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
        let failed = self.trace_error().is_some() || self.outputs.iter().any(Delivery::failed);
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
    let (memory, entry) = load(args, &mut hooks.say)?;
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
    let config = args.machine();
    let pci = devices::plug(&config, hooks.frames.take())?;
    let (chosen, why) = accel::choose(accel::with_seed(args.accel, args.seed)?)?;
    let plan = plan(args)?;
    if let Some(why) = why {
        (hooks.say)(&why);
    }
    let code = Arc::new(CodePages::new(memory::end(&memory)));
    let (mut back_end, time, interrupts) = backend::build(chosen, &plan, &memory, &code, &entry, &control)?;
    let stream = trace_file.map(|file| tracing::begin(args, file, chosen, &time, &control)).transpose()?;
    let log = event_log(args, &mut hooks, stream);
    let mut machine = Machine::new(Parts {
        memory,
        code,
        time,
        interrupts,
        console: hooks.console,
        control: Arc::clone(&control),
        log,
        pci,
        iommu: Remapping::new(args.iommu == Switch::On),
    });
    machine.write_through(hooks.gates, args.slow_output);
    if let Some(seed) = args.seed {
        machine.vary(seed);
    }
    if args.trace.is_some() && args.trace_categories.list().contains(&Category::Guest) {
        machine.trace_guest();
    }
    control.set_watchdog(args.watchdog);
    control.begin();
    let limit = args.timeout.map(|limit| TimeLimit::start(limit, Arc::clone(&control)));
    let startup = start.elapsed();
    let first = Instant::now();
    let (machine, ran) = back_end.run(machine, &control)?;
    let wall = first.elapsed();
    drop(limit);
    let mut outcome = finish(args, chosen, machine, ran, (startup, wall))?;
    outcome.give_up(outcome.log.written.as_ref().is_some_and(|written| written.given_up), &control);
    if let Some(files) = files {
        outcome.add(files.finish(), &control);
    }
    Ok(outcome)
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
    accel: Chosen,
    machine: Machine,
    ran: Ran,
    (startup, wall): (Duration, Duration),
) -> Result<Outcome, HostError> {
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
        cycles,
        unknown: ran.unknown,
        assists: ran.assists,
        moves: ran.moves,
        tsc_hz,
        unclaimed: remains.unclaimed,
        guest_trace_refused: remains.guest_trace_refused,
        beyond_ram_bytes: footprint::beyond_ram_bytes(&remains.memory),
    };
    let (outputs, gave_up) = (Vec::new(), None);
    Ok(Outcome { end: ran.end, accel, stats, log: remains.log, memory_digest, last, outputs, gave_up })
}

/// Who reads and who writes which file. No output may be an input or another output.
pub fn claims(args: &RunArgs) -> Result<Claims, HostError> {
    let mut claims = Claims::default();
    claims.input("--kernel", &args.kernel);
    args.initrd.iter().for_each(|path| claims.input("--initrd", path));
    args.camera.source.iter().for_each(|path| claims.input("the camera's source", path));
    claims.standard_streams()?;
    args.trace.iter().try_for_each(|path| claims.output("--trace", path))?;
    args.frames.iter().try_for_each(|folder| claims.pictures("--frames", folder, PngFolder::PREFIX))?;
    Ok(claims)
}

/// Reads kernel and initramfs and puts them into new guest memory.
fn load(args: &RunArgs, say: &mut dyn FnMut(&str)) -> Result<(GuestMemoryMmap, Entry), HostError> {
    let cache = cache::folder().map(|folder| Cache::new(&folder));
    let mut kernel = kernel::open(&args.kernel, args.memory.0, cache.as_ref(), say)?;
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
