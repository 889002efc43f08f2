//! `fencepost run`: its options, and the run that they describe.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use fencepost_devices::parameters::Parameters;
use fencepost_devices::pvpanic::Pvpanic;
use fencepost_devices::registry::find;
use fencepost_devices::state::Stateful;
use fencepost_softcpu::Translate;
use fencepost_softcpu::model::Model;

use super::bounds::BoundsArgs;
use super::console::ConsoleArgs;
use super::disk::DiskOption;
use super::fault::FaultOption;
use super::links::LinksArgs;
use super::root::BootArgs;
use super::values::{
    ACCEL, CPU, DeviceOption, IOMMU, SANDBOX, SLOW_OUTPUT, SOFT_CPU, memory_size, on_panic, parameters_of,
    share, timeout, trace_limit, whole, word,
};
use super::view::ViewArgs;
use crate::config::{self, Accel, CPUS_MAX, Categories, IommuKind, MachineConfig, Plug, Size};
use crate::error::HostError;
use crate::gdb::GdbAt;
use crate::launch::{Launch, MoveAt, SnapshotAt};
use crate::outlet::Full;
use crate::panic::OnPanic;
use crate::root::initramfs::Beside;
use crate::snapshot;

/// `fencepost run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Read the machine from this file (TOML, docs/machine-file.md); the other options override it
    #[arg(long, value_name = "FILE")]
    pub machine: Option<PathBuf>,
    /// Print the machine that the options describe as such a file, and end
    #[arg(long)]
    pub print_machine: bool,
    /// Kernel: a vmlinux (ELF), packed or not, a distribution's bzImage or a unified kernel image
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// Initial RAM file system. May be given several times: the kernel unpacks them in this order, behind that of a unified image
    #[arg(long, value_name = "FILE")]
    pub initrd: Vec<PathBuf>,
    /// Boots a root.
    #[command(flatten)]
    pub root: BootArgs,
    /// Kernel command line, instead of a unified image's own [default: console=ttyS0 panic=-1 reboot=acpi]
    ///
    /// A stock kernel needs reboot=acpi to find the reset register: on hardware-reduced ACPI it would ask EFI.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub append: Option<String>,
    /// Guest memory, with K, M or G (of 1024); MiB without [default: 256M]
    #[arg(long, value_name = "SIZE", value_parser = memory_size, allow_hyphen_values = true)]
    pub memory: Option<Size>,
    /// Virtual CPUs, at most 64 [default: 1]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1, CPUS_MAX.into()), allow_negative_numbers = true)]
    pub cpus: Option<u32>,
    /// What the CPUs can do [default: v2]
    #[arg(long, value_name = "MODEL", value_parser = word(CPU))]
    pub cpu: Option<Model>,
    /// What runs the guest's CPU [default: auto]
    #[arg(long, value_parser = word(ACCEL))]
    pub accel: Option<Accel>,
    /// Camera: source=FILE (Y4M or PNG), or a test pattern of at most width=, height=; fps=; cost: latency=CYCLES,
    /// bytes-per-cycle=N
    #[arg(long, value_name = "KEY=VALUE,...", default_value = "", value_parser = parameters_of("camera"))]
    pub camera: Parameters,
    /// GPU cost model: latency=CYCLES, bytes-per-cycle=N
    #[arg(long, value_name = "KEY=VALUE,...", default_value = "", value_parser = parameters_of("gpu"))]
    pub gpu: Parameters,
    /// Display: width=, height=, hz=, scanout=always|on-flip; cost: latency=CYCLES, bytes-per-cycle=N
    #[arg(long, value_name = "KEY=VALUE,...", default_value = "", value_parser = parameters_of("display"))]
    pub display: Parameters,
    /// Plug another device: its kind, slot= (1 to 31; a free one without it) and its keys. May be given several times;
    /// `help` lists kinds and keys
    #[arg(long = "device", value_name = "KIND[,slot=N][,KEY=VALUE...]")]
    pub devices: Vec<DeviceOption>,
    /// Share this directory with the guest, which mounts it by the tag: mount -t virtiofs TAG /mnt. The guest reads it only,
    /// unless `,rw` stands behind it. Without TAG=, the tag is `share`. May be given several times (docs/virtio-fs.md)
    #[arg(long = "share", value_name = "[TAG=]DIR[,rw]", value_parser = share)]
    pub shares: Vec<Plug>,
    /// Plug a disk (virtio-blk): a raw or qcow2 file, or a block device. `ro`: the guest cannot write it; `snapshot`: what it
    /// writes is forgotten at the end, and the file stays as it is; `format=`: raw or qcow2, else as the file begins. May be
    /// given several times; a comma in a name is written twice
    #[arg(long = "disk", value_name = "FILE[,ro][,snapshot][,format=F]")]
    pub disks: Vec<DiskOption>,
    /// The IOMMU that the guest finds: on is VT-d [default: on]
    #[arg(long, value_parser = word(IOMMU))]
    pub iommu: Option<IommuKind>,
    /// Vary by this number what hardware may vary: how long jobs take, the order of what is due at one moment, the
    /// delay of interrupts (docs/machine.md). The same number gives the same run. With --accel soft only
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0, u64::MAX), allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Have hardware fail: TARGET (a kind of device, its slot, or iommu) has the fault KIND, at a time, a count or by chance
    /// (docs/faults.md); `help` lists kinds and keys. May be given several times
    #[arg(long = "fault", value_name = "TARGET:KIND[,KEY=VALUE...]")]
    pub faults: Vec<FaultOption>,
    /// Move the running machine to another back end (kvm or soft) when the guest writes this number to the mark port
    #[arg(long = "move", value_name = "MARK=BACKEND")]
    pub moves: Vec<MoveAt>,
    /// End the machine after this many seconds of host time, with status 124
    #[arg(long, value_name = "SECONDS", value_parser = timeout, allow_negative_numbers = true)]
    pub timeout: Option<Duration>,
    /// Give up on a guest whose CPU has interrupts off and reaches no device for this many seconds, with status 3:
    /// of the guest's time under soft, of the host's under kvm
    #[arg(long, value_name = "SECONDS", value_parser = timeout, allow_negative_numbers = true)]
    pub watchdog: Option<Duration>,
    /// When the guest's kernel panics or oopses (docs/panic.md): exit, end the run with status 5 when the report is on the
    /// console; dump, do that, show the CPU, and save the machine in the file of --snapshot; gdb, stop the guest until a debugger has come
    /// (to the address of --gdb, or to one that is printed) and lets it go on. The machine gets a pvpanic device
    /// if a slot is free. A guest that ends with 0 although its kernel has reported a WARN or the like ends with 6.
    /// Without this option reports are named at the end, and the run ends with 5 when a panicked kernel does nothing any more
    #[arg(long, value_name = "exit|dump|gdb", value_parser = on_panic)]
    pub on_panic: Option<OnPanic>,
    /// Serve the GDB remote protocol to a debugger on this computer (docs/gdb.md): at a socket or a port (0: any). The guest waits for a
    /// debugger before its first instruction, unless `,nowait` stands behind it. Where gdb is to go is printed on standard error
    #[arg(long, value_name = "unix:PATH|[ADDR:]PORT[,nowait]")]
    pub gdb: Option<GdbAt>,
    /// The guest's clock and its console.
    #[command(flatten)]
    pub console: ConsoleArgs,
    /// Save the whole machine in this file (docs/snapshots.md): at --snapshot-at, and whenever the process gets SIGUSR1. The guest goes on
    #[arg(long, value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
    /// When: mark:N, when the guest writes N to the mark port, or a time of the guest's such as 2s or 1500ms. May be given
    /// several times; each snapshot takes the place of the one before
    #[arg(long, value_name = "WHEN", requires = "snapshot")]
    pub snapshot_at: Vec<SnapshotAt>,
    /// Go on from the machine saved in this file, which has its own kernel, memory and devices
    #[arg(long, value_name = "FILE", conflicts_with_all =
        ["machine", "kernel", "initrd", "append", "memory", "cpus", "cpu", "camera", "gpu", "display", "devices", "disks", "shares", "iommu", "seed", "moves"])]
    pub restore: Option<PathBuf>,
    /// Say at the end how much was executed, how fast, which exceptions there were, and what was not known
    #[arg(long)]
    pub stats: bool,
    /// Trace the run into a file, for `fencepost trace`
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// What to trace: names out of register, dma, iommu, iotlb, engine, interrupt, vcpu, guest, or all, default, none;
    /// +NAME and -NAME change the default [default: default]
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub trace_categories: Option<Categories>,
    /// Bytes that the trace's file may take, with K, M or G. A full one ends there, readable; what comes later is counted
    /// [default: 1G]
    #[arg(long, visible_alias = "max-trace", value_name = "SIZE", value_parser = trace_limit)]
    pub trace_limit: Option<Size>,
    /// Print the SHA-256 of guest memory at the end
    #[arg(long)]
    pub memory_hash: bool,
    /// Write the cycle and a digest of all CPUs with their translations, at 1,000s of moments, into this file: of two runs that should be the
    /// same, the first line that differs says where they part. With --accel soft only
    #[arg(long, value_name = "FILE")]
    pub state_log: Option<PathBuf>,
    /// Instructions between two lines of --state-log, on average
    #[arg(long, value_name = "N", requires = "state_log", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub state_log_every: u64,
    /// Write every picture that the display flips to into this folder, as PNG
    #[arg(long, value_name = "DIR")]
    pub frames: Option<PathBuf>,
    /// What the machine's virtio devices are connected to.
    #[command(flatten)]
    pub links: LinksArgs,
    /// Do at the virtio-keyboard and virtio-tablet what this file says, at times of the guest's (docs/input.md)
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// The live view.
    #[command(flatten)]
    pub view: ViewArgs,
    /// Whether the process gives up, before the guest's first instruction, all that the run does not need (docs/security.md): calls of the
    /// host's kernel, files, the network, capabilities
    #[arg(long, value_name = "on|off", default_value = "on", action = ArgAction::Set, value_parser = word(SANDBOX))]
    pub sandbox: bool,
    /// What to do when the host does not take the console's output, or the frames, as fast as they come: have the machine
    /// wait, or drop what has no room and say at the end how much. A trace waits under soft and drops under kvm; with
    /// `drop` it always drops
    #[arg(long, value_name = "WHAT", default_value = "wait", value_parser = word(SLOW_OUTPUT))]
    pub slow_output: Full,
    /// How the software CPU runs the guest's code, which sees no difference
    #[arg(long, value_name = "WHICH", default_value = "translator", value_parser = word(SOFT_CPU))]
    pub soft_cpu: Translate,
    /// Bounds of what the guest writes.
    #[command(flatten)]
    pub bounds: BoundsArgs,
}

impl RunArgs {
    /// Whether nothing names a kernel.
    pub(super) fn lacks_kernel(&self) -> bool {
        let other =
            self.restore.is_some() || self.machine.is_some() || self.print_machine || self.root.is_given();
        self.kernel.is_none() && !other
    }

    /// The run that the options describe.
    ///
    /// # Errors
    ///
    /// A bad file of `--machine`, and two devices in one slot.
    pub fn launch(&self) -> Result<Launch, HostError> {
        Ok(Launch {
            restore: self.restore.clone(),
            moves: self.moves.clone(),
            timeout: self.timeout,
            watchdog: self.watchdog,
            on_panic: self.on_panic,
            gdb: self.gdb.clone(),
            realtime: self.console.is_paced(!self.view.addresses().is_empty()),
            console_size: self.console.size(),
            console_log: self.console.console_log.clone(),
            snapshot: self.snapshot.clone(),
            snapshot_at: self.snapshot_at.clone(),
            memory_hash: self.memory_hash,
            state_log: self.state_log.clone().map(|path| (path, self.state_log_every)),
            frames: self.frames.clone(),
            input: self.input.clone(),
            view: self.view.addresses(),
            slow_output: self.slow_output,
            soft_cpu: self.soft_cpu,
            bounds: self.bounds.bounds(),
            ..self.links.connected(Launch::new(self.machine()?))
        })
    }

    /// The machine of `--print-machine`: that of the snapshot, where one is restored.
    ///
    /// # Errors
    ///
    /// As [`Self::launch`], and a bad snapshot.
    pub fn described(&self) -> Result<MachineConfig, HostError> {
        let launch = self.launch()?;
        let Some(file) = &launch.restore else { return Ok(launch.machine) };
        Ok(launch.machine.run_as(snapshot::open(file)?.config))
    }

    /// The machine: that of the file, or the default one, with what the options say.
    fn machine(&self) -> Result<MachineConfig, HostError> {
        let mut machine = self.machine.as_deref().map(config::read).transpose()?.unwrap_or_default();
        set(&mut machine.memory, &self.memory);
        set(&mut machine.cpus, &self.cpus);
        set(&mut machine.cpu, &self.cpu);
        set(&mut machine.accel, &self.accel);
        set(&mut machine.iommu, &self.iommu);
        set_some(&mut machine.seed, &self.seed);
        if !self.console.serial.is_empty() {
            machine.serial = self.console.serial.clone();
        }
        set_some(&mut machine.date, &self.console.date(machine.seed.is_some())?);
        set_some(&mut machine.kernel.path, &self.kernel);
        if !self.initrd.is_empty() {
            machine.kernel.initramfs.clone_from(&self.initrd);
        }
        set_some(&mut machine.kernel.command_line, &self.append);
        set_some(&mut machine.tracing.file, &self.trace);
        set(&mut machine.tracing.categories, &self.trace_categories);
        set(&mut machine.tracing.limit, &self.trace_limit);
        for (kind, parameters) in [("gpu", &self.gpu), ("camera", &self.camera), ("display", &self.display)] {
            let set = find(kind).and_then(|model| machine.set(model, parameters));
            set.map_err(|why| HostError::Input(format!("--{kind}: {why}")))?;
        }
        machine.faults.extend(self.faults.iter().filter_map(FaultOption::spec).cloned());
        self.plug(&mut machine)?;
        self.plug_pvpanic(&mut machine);
        let network = self.links.net.is_some() || machine.devices.iter().any(|it| it.kind == "virtio-net");
        let beside = Beside { agent: self.links.agent.is_some(), network, iommu: machine.iommu };
        self.root.boot(&mut machine, self.append.is_none(), beside)?;
        if self.restore.is_none() {
            self.links.plug(&mut machine)?;
        }
        Ok(machine)
    }

    /// Plugs the device by which the guest's kernel says that it has panicked, if that is asked for and there is none. Without a
    /// free slot the console's text is all that tells.
    fn plug_pvpanic(&self, machine: &mut MachineConfig) {
        let kind = Pvpanic::KIND;
        if self.on_panic.is_some() && machine.devices.iter().all(|device| device.kind != kind) {
            let _ = machine.plug(&Plug { model: kind, slot: None, parameters: Parameters::new() });
        }
    }

    /// Plugs the devices of `--device`: those that name their slots first, for the others take what is left. One that names
    /// kind and slot of a device that is there sets its keys.
    fn plug(&self, machine: &mut MachineConfig) -> Result<(), HostError> {
        let mut there: BTreeSet<u8> = machine.devices.iter().map(|device| device.slot).collect();
        let plugs = || self.devices.iter().filter_map(DeviceOption::plug).chain(&self.shares);
        let (named, others) =
            (plugs().filter(|it| it.slot.is_some()), plugs().filter(|it| it.slot.is_none()));
        for plug in named.chain(others) {
            let is_it = |slot: u8| Some(slot) == plug.slot && there.contains(&slot);
            let same = machine.devices.iter_mut().find(|it| it.kind == plug.model && is_it(it.slot));
            if let Some(device) = same {
                there.remove(&device.slot);
                device.parameters.extend(plug.parameters.clone());
                continue;
            }
            let refused = |why| HostError::Input(format!("--device {}: {why}", plug.model));
            machine.plug(plug).map_err(refused)?;
        }
        for disk in &self.disks {
            machine.plug(&disk.0).map_err(|why| HostError::Input(format!("--disk: {why}")))?;
        }
        Ok(())
    }
}

fn set<T: Clone>(key: &mut T, option: &Option<T>) {
    if let Some(value) = option {
        *key = value.clone();
    }
}

fn set_some<T: Clone>(key: &mut Option<T>, option: &Option<T>) {
    if option.is_some() {
        *key = option.clone();
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
