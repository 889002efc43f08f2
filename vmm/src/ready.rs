//! A machine that is ready for its first instruction: after power-on with a kernel in its memory, or from a snapshot.

use std::fs::File;
use std::sync::Arc;

use fencepost_firmware as firmware;
use fencepost_firmware::Entry;
use fencepost_firmware::kernel::KernelError;
use fencepost_softcpu::code::CodePages;
use fencepost_trace::Category;
use vm_memory::GuestMemoryMmap;

use crate::accel::{self, Chosen};
use crate::backend::moves::Plan;
use crate::backend::{self, BackEnd};
use crate::cache::{self, Cache};
use crate::config::{Accel, COMMAND_LINE_DEFAULT, MachineConfig};
use crate::console_size::ConsoleSize;
use crate::devices::{self, HostFiles};
use crate::error::HostError;
use crate::failures::Failures;
use crate::hooks::Hooks;
use crate::initrd;
use crate::kernel::{self, Kernel};
use crate::launch::{Launch, SnapshotAt};
use crate::machine::log::EventLog;
use crate::machine::remap::Remapping;
use crate::machine::{Machine, Parts, Pauses, memory};
use crate::modules;
use crate::panic::Panics;
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
}

/// The machine after power-on.
pub(crate) fn powered_on(
    launch: &Launch,
    memory: GuestMemoryMmap,
    entry: &Entry,
    trace_file: Option<File>,
    mut hooks: Hooks,
) -> Result<Ready, HostError> {
    let config = launch.machine.clone();
    let panics = Panics::new(launch.on_panic);
    let mut host = HostFiles::new(hooks.frames.take(), hooks.watcher.take())
        .telling(&panics)
        .reading(hooks.terminal.take(), hooks.channel.take())
        .wired(hooks.wire.take());
    let pci = devices::plug(&config, &mut host, std::mem::take(&mut hooks.devices))?;
    let (accel, why) = accel::choose(accel::with_seed(config.accel, config.seed)?)?;
    let plan = plan(launch)?;
    if let Some(why) = why {
        (hooks.say)(&why);
    }
    let control = Arc::clone(&hooks.control);
    let code = Arc::new(CodePages::new(memory::end(&memory)));
    let (back_end, time, interrupts) =
        backend::build(accel, &plan, launch.snapshot.is_some(), &memory, &code, entry, &control)?;
    let stream = trace_file
        .map(|file| tracing::begin(launch, (&config, &pci), file, accel, &time, &control))
        .transpose()?;
    let log = event_log(launch, &mut hooks, stream);
    let iommu = Remapping::new(config.iommu);
    let mut machine = Machine::new(Parts {
        memory,
        code,
        time,
        interrupts,
        console: panics.console(hooks.console),
        control,
        log,
        pci,
        iommu,
    });
    machine.write_through(hooks.gates, launch.slow_output);
    machine.heed(&panics);
    if let Some(seed) = config.seed {
        machine.vary(seed);
    }
    let outs = hooks.serial.into_iter().chain(std::iter::repeat_with(|| Box::new(std::io::sink()) as _));
    outs.take(config.serial.len()).for_each(|out| machine.plug_serial(out));
    if let Some(date) = config.date {
        machine.run_clock_from(date);
    }
    if config.tracing.file.is_some() && config.tracing.categories.list().contains(&Category::Guest) {
        machine.trace_guest();
    }
    Ok(Ready { config, accel, back_end, machine, retired_before: 0, failures: host.failures(), panics })
}

/// The machine of a snapshot.
pub(crate) fn restored(
    launch: &Launch,
    saved: Saved,
    trace_file: Option<File>,
    mut hooks: Hooks,
) -> Result<Ready, HostError> {
    // `auto` has nothing to measure: only `soft` is exact.
    let accel = if launch.machine.accel == Accel::Kvm { Chosen::Kvm } else { Chosen::Soft };
    let memory = saved.map_memory()?;
    launch.restore.iter().for_each(|path| snapshot::explain(path, &memory));
    let refused = |error| snapshot::refused(launch.restore.as_deref(), error);
    let Saved { config, cpu, machine: state, .. } = saved;
    let config = launch.machine.run_as(config);
    let panics = Panics::new(launch.on_panic);
    let mut host = HostFiles::new(hooks.frames.take(), hooks.watcher.take())
        .telling(&panics)
        .reading(hooks.terminal.take(), hooks.channel.take())
        .wired(hooks.wire.take());
    let pci = devices::restore(&config, &mut host, &state.pci).map_err(refused)?;
    let control = Arc::clone(&hooks.control);
    let code = Arc::new(CodePages::new(memory::end(&memory)));
    let resumed = backend::resume(accel, &memory, &code, &cpu, &state, &control);
    let (back_end, time, interrupts) = resumed.map_err(refused)?;
    let begin = |file| tracing::begin(launch, (&config, &pci), file, accel, &time, &control);
    let stream = trace_file.map(begin).transpose()?;
    let log = event_log(launch, &mut hooks, stream);
    let parts = Parts {
        memory,
        code,
        time,
        interrupts,
        console: panics.console(hooks.console),
        control,
        log,
        pci,
        iommu: Remapping::Off,
    };
    let mut machine = Machine::restore(parts, state).map_err(refused)?;
    machine.connect_serial(hooks.serial);
    machine.write_through(hooks.gates, launch.slow_output);
    machine.heed(&panics);
    Ok(Ready {
        config,
        accel,
        back_end: Box::new(back_end),
        machine,
        retired_before: cpu.state.retired,
        failures: host.failures(),
        panics,
    })
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

/// Reads kernel and initramfs and puts them into new guest memory.
pub(crate) fn load(
    config: &MachineConfig,
    size: Option<ConsoleSize>,
    say: &mut dyn FnMut(&str),
) -> Result<(GuestMemoryMmap, Entry), HostError> {
    let cache = cache::folder().map(|folder| Cache::new(&folder));
    let path = config.kernel.path.as_deref().ok_or_else(|| {
        HostError::input(
            "no kernel",
            "name one with --kernel, or as path under [kernel] in the file of --machine",
        )
    })?;
    let mut kernel = kernel::open(path, config.memory.0, cache.as_ref(), say)?;
    let own = std::mem::take(&mut kernel.initrd);
    let initrd = initrd::read(own, &config.kernel.initramfs, &kernel.image, config.memory.0)?;
    let image = initrd.as_ref().map(|initrd| initrd.image.as_slice());
    let mut memory = memory::map(config.memory.0)?;
    let mut placed = place((config, size), &memory, &mut kernel, image);
    if let Err(firmware::Error::Kernel(KernelError::KeptDamaged)) = placed {
        kernel.unpack_again(cache.as_ref(), say)?;
        // The guest must find nothing of what was loaded first.
        memory = memory::map(config.memory.0)?;
        placed = place((config, size), &memory, &mut kernel, image);
    }
    let entry = placed.map_err(|error| load_error(&error))?;
    let release = || {
        let told = kernel.release().map(str::to_owned);
        told.or_else(|| modules::release_in(&memory, kernel.image.extent()))
    };
    let mismatch = initrd.and_then(|initrd| modules::mismatch(initrd.files(), release));
    mismatch.iter().for_each(|line| say(line));
    Ok((memory, entry))
}

fn place(
    (config, size): (&MachineConfig, Option<ConsoleSize>),
    memory: &GuestMemoryMmap,
    kernel: &mut Kernel,
    initrd: Option<&[u8]>,
) -> Result<Entry, firmware::Error> {
    let options = firmware::Options {
        iommu: config.iommu,
        more_serial: config.serial.len(),
        ..firmware::Options::default()
    };
    let given = config.kernel.command_line.as_ref().or(kernel.command_line.as_ref());
    let command_line = given.map_or(COMMAND_LINE_DEFAULT, String::as_str);
    let sized = size.map(|size| size.told_in(command_line));
    let command_line = sized.as_deref().unwrap_or(command_line);
    firmware::load(memory, &mut kernel.image, initrd, command_line, 1, &options)
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
