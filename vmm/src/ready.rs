//! A machine that is ready for its first instruction: after power-on with a kernel in its memory, or from a snapshot.

use std::fs::File;
use std::sync::Arc;

use fencepost_devices::faults::FaultSpec;
use fencepost_devices::pci::PciRoot;
use fencepost_firmware::Entry;
use fencepost_softcpu::code::CodePages;
use fencepost_trace::Category;
use vm_memory::GuestMemoryMmap;

use crate::accel::{self, Chosen};
use crate::backend::moves::Plan;
use crate::backend::{self, BackEnd};
use crate::config::{Accel, IommuKind, MachineConfig};
use crate::devices::{self, HostFiles};
use crate::error::{HostError, plain};
use crate::failures::Failures;
use crate::going_back::{self, Ends};
use crate::hooks::Hooks;
use crate::launch::{Launch, SnapshotAt};
use crate::machine::irq::InterruptController;
use crate::machine::log::EventLog;
use crate::machine::past::Ways;
use crate::machine::time::TimeBase;
use crate::machine::{Machine, Parts, Pauses, memory};
use crate::once::Counted;
use crate::panic::{Console, Panics};
use crate::random;
use crate::snapshot::{self, Saved};
use crate::stream::Stream;
use crate::tracing;

/// Where a machine comes from.
pub(crate) enum Source {
    /// Memory with a kernel in it.
    Boot((GuestMemoryMmap, Entry)),
    /// A snapshot.
    Saved(Box<Saved>),
}

impl Source {
    /// The machine's description.
    pub(crate) fn machine<'s>(&'s self, launch: &'s Launch) -> &'s MachineConfig {
        match self {
            Source::Boot(_) => &launch.machine,
            Source::Saved(saved) => &saved.config,
        }
    }
}

/// A machine and what runs it.
pub(crate) struct Ready {
    pub config: MachineConfig,
    pub accel: Chosen,
    pub back_end: Box<dyn BackEnd>,
    pub machine: Machine,
    /// Instructions retired before this run.
    pub retired_before: u64,
    /// What the host fails to do for the devices.
    pub failures: Failures,
    /// What hears of the guest's failures.
    pub panics: Panics,
    /// Shows a line to the user.
    pub say: Box<dyn FnMut(&str)>,
}

/// What both ways to a machine need of the run.
struct Assembly<'l> {
    launch: &'l Launch,
    hooks: Hooks,
    panics: Panics,
    host: HostFiles,
    ends: Ends,
    /// What leaves the process once.
    outputs: Vec<Box<dyn Counted>>,
    /// There are devices of the caller's own.
    own_devices: bool,
    trace_file: Option<File>,
}

impl<'l> Assembly<'l> {
    fn new(launch: &'l Launch, trace_file: Option<File>, mut hooks: Hooks) -> Self {
        let panics = Panics::new(launch.on_panic);
        hooks.control.set_soft_cpu(launch.soft_cpu);
        let (ends, outputs) = Ends::of(&mut hooks, &panics, launch.gdb.is_some());
        let host = ends.files();
        Assembly { launch, hooks, panics, host, ends, outputs, own_devices: false, trace_file }
    }

    /// How the machine of `config` goes back, for a debugger; or why it cannot.
    fn ways(&mut self, config: &MachineConfig, accel: Chosen) -> Result<Option<Ways>, String> {
        let asked = self.launch.gdb.is_some() && accel == Chosen::Soft;
        if !asked {
            return Ok(None);
        }
        if self.own_devices {
            return Err("a device of the caller's own cannot be made again; add it to the registry".into());
        }
        going_back::check(self.launch, config)?;
        let rebuild = Box::new(self.ends.clone());
        let pages = tempfile::tempfile();
        let pages = pages.map_err(|error| format!("no file for the guest's past: {}", plain(&error)))?;
        let outputs = std::mem::take(&mut self.outputs);
        Ok(Some(Ways { config: config.clone(), rebuild, outputs, pages }))
    }

    /// All that the machine of `config` is built of. Its trace begins.
    fn parts(
        &mut self,
        (config, accel): (&MachineConfig, Chosen),
        (memory, code): (GuestMemoryMmap, Arc<CodePages>),
        (time, interrupts): (TimeBase, Box<dyn InterruptController>),
        pci: PciRoot,
    ) -> Result<Parts, HostError> {
        let control = Arc::clone(&self.hooks.control);
        let begin = |file| tracing::begin(self.launch, (config, &pci), file, accel, &time, &control);
        let stream = self.trace_file.take().map(begin).transpose()?;
        let console = std::mem::replace(&mut self.hooks.console, Box::new(std::io::sink()));
        Ok(Parts {
            memory,
            code,
            time,
            interrupts,
            console: self.panics.console(Console::Serial, console),
            control,
            log: event_log(self.launch, &mut self.hooks, stream),
            pci,
            iommu: self.host.remapping(config.iommu),
        })
    }

    /// `machine` with what it tells the host.
    fn ready(
        mut self,
        mut machine: Machine,
        (config, accel): (MachineConfig, Chosen),
        back_end: Box<dyn BackEnd>,
        retired_before: u64,
    ) -> Ready {
        match self.ways(&config, accel) {
            Ok(ways) => ways.into_iter().for_each(|ways| machine.allow_going_back(ways)),
            Err(why) => (self.hooks.say)(&format!("gdb: no reverse execution: {why}")),
        }
        machine.write_through(self.hooks.gates, self.launch.slow_output);
        machine.heed(&self.panics);
        let failures = self.host.failures();
        let say = self.hooks.say;
        Ready { config, accel, back_end, machine, retired_before, failures, panics: self.panics, say }
    }
}

/// The machine after power-on.
pub(crate) fn powered_on(
    launch: &Launch,
    memory: GuestMemoryMmap,
    entry: &Entry,
    trace_file: Option<File>,
    hooks: Hooks,
) -> Result<Ready, HostError> {
    let mut config = launch.machine.clone();
    let mut assembly = Assembly::new(launch, trace_file, hooks);
    let others = std::mem::take(&mut assembly.hooks.devices);
    assembly.own_devices = !others.is_empty();
    let wanted = accel::with_iommu(accel::with_seed(config.accel, config.seed)?, config.iommu)?;
    let (accel, why) = accel::choose(wanted)?;
    assembly.host.be_random(accel == Chosen::Kvm);
    let pci = devices::plug(&config, &mut assembly.host, others)?;
    let plan = plan(launch)?;
    why.iter().for_each(|why| (assembly.hooks.say)(why));
    if accel == Chosen::Kvm {
        backend::kvm::model::line(config.cpu).iter().for_each(|line| (assembly.hooks.say)(line));
    } else if plan.values().any(|to| *to == Chosen::Kvm) {
        let (cpu, line) = backend::kvm::model::of_moving(config.cpu);
        config.cpu = cpu;
        line.iter().for_each(|line| (assembly.hooks.say)(line));
    }
    let code = Arc::new(CodePages::new(memory::end(&memory)));
    let saved = launch.snapshot.is_some();
    let (back_end, time, interrupts) = backend::build(
        (accel, config.cpuid()),
        &plan,
        saved,
        &memory,
        &code,
        entry,
        &assembly.hooks.control,
    )?;
    let parts = assembly.parts((&config, accel), (memory, code), (time, interrupts), pci)?;
    let mut machine = Machine::new(parts);
    if let Some(seed) = config.seed {
        machine.vary(seed);
    }
    let outs = std::mem::take(&mut assembly.hooks.serial).into_iter();
    let outs = outs.chain(std::iter::repeat_with(|| Box::new(std::io::sink()) as _));
    outs.take(config.serial.len()).for_each(|out| machine.plug_serial(out));
    machine.seed_faults(config.seed.unwrap_or(0));
    machine.seed_numbers(seed_of_numbers(config.seed, accel)?);
    give_faults(&mut machine, &config.faults)?;
    if let Some(date) = config.date {
        machine.run_clock_from(date);
    }
    trace_guest(&mut machine, launch);
    Ok(assembly.ready(machine, (config, accel), back_end, 0))
}

/// The machine of a snapshot.
pub(crate) fn restored(
    launch: &Launch,
    saved: Saved,
    trace_file: Option<File>,
    hooks: Hooks,
) -> Result<Ready, HostError> {
    // `auto` has nothing to measure: only `soft` is exact.
    let accel = if launch.machine.accel == Accel::Kvm { Chosen::Kvm } else { Chosen::Soft };
    let memory = saved.map_memory()?;
    launch.restore.iter().for_each(|path| snapshot::explain(path, &memory));
    let refused = |error| snapshot::refused(launch.restore.as_deref(), error);
    let Saved { config, cpus, machine: state, .. } = saved;
    let config = launch.machine.run_as(config);
    accel::with_iommu(config.accel, config.iommu)?;
    let mut assembly = Assembly::new(launch, trace_file, hooks);
    assembly.host.be_random(accel == Chosen::Kvm);
    let pci = devices::restore(&config, &mut assembly.host, &state.pci).map_err(refused)?;
    let code = Arc::new(CodePages::new(memory::end(&memory)));
    let resumed =
        backend::resume((accel, config.cpu), &memory, &code, &cpus, &state, &assembly.hooks.control);
    let (back_end, time, interrupts) = resumed.map_err(refused)?;
    let parts = assembly.parts((&config, accel), (memory, code), (time, interrupts), pci)?;
    let mut machine = Machine::restore(parts, state).map_err(refused)?;
    machine.connect_serial(std::mem::take(&mut assembly.hooks.serial));
    if let Some(seed) = launch.restored_seed {
        machine.vary(seed);
        machine.seed_faults(seed);
        machine.seed_numbers(seed);
    }
    // A program that the guest starts from here on may ask.
    trace_guest(&mut machine, launch);
    // Those of the saved machine are in its state.
    give_faults(&mut machine, &launch.machine.faults)?;
    Ok(assembly.ready(machine, (config, accel), Box::new(back_end), cpus.retired()))
}

/// Has the trace port say that the guest's own events are wanted, if they are.
fn trace_guest(machine: &mut Machine, launch: &Launch) {
    let tracing = &launch.machine.tracing;
    if tracing.file.is_some() && tracing.categories.list().contains(&Category::Guest) {
        machine.trace_guest();
    }
}

/// The seed of RDRAND's numbers: under `soft` they are the same each time.
fn seed_of_numbers(seed: Option<u64>, accel: Chosen) -> Result<u64, HostError> {
    let mut bytes = [0; 8];
    if seed.is_none() && accel == Chosen::Kvm {
        random::fill(&mut bytes).map_err(|error| HostError::Host(format!("no random numbers: {error}")))?;
    }
    Ok(seed.unwrap_or(u64::from_le_bytes(bytes)))
}

fn give_faults(machine: &mut Machine, faults: &[FaultSpec]) -> Result<(), HostError> {
    let give = |spec| machine.give_fault(spec).map_err(|why| HostError::Input(format!("--fault {why}")));
    faults.iter().try_for_each(give)
}

/// Where the guest is to be saved.
pub(crate) fn pauses(launch: &Launch) -> Pauses {
    let mut pauses = Pauses::default();
    for at in &launch.snapshot_at {
        match *at {
            SnapshotAt::Mark(mark) => pauses.marks.insert(mark),
            SnapshotAt::Time(at_ns) => pauses.at_ns.insert(at_ns),
        };
    }
    pauses
}

/// Where the machine goes at which mark.
fn plan(launch: &Launch) -> Result<Plan, HostError> {
    let mut plan = Plan::new();
    if launch.machine.seed.is_some() && !launch.moves.is_empty() {
        return Err(HostError::input(
            "--seed holds under soft only, --move leaves it",
            "leave one of them out",
        ));
    }
    if launch.machine.iommu == IommuKind::Intremap && !launch.moves.is_empty() {
        return Err(accel::no_remapping("--move"));
    }
    for at in &launch.moves {
        if plan.insert(at.mark, at.to).is_some_and(|to| to != at.to) {
            return Err(HostError::input(
                format!("--move: mark {} leads to both back ends", at.mark),
                "give each mark one",
            ));
        }
    }
    Ok(plan)
}

fn event_log(launch: &Launch, hooks: &mut Hooks, stream: Option<Stream>) -> EventLog {
    let mut log = EventLog::new(hooks.records);
    if let Some(keep) = hooks.keep.take() {
        log = log.keep_only(keep);
    }
    if let Some(stream) = stream {
        log = log.stream_to(stream, launch.machine.tracing.categories);
    }
    if launch.memory_hash { log.hashed() } else { log }
}
