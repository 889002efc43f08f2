//! A machine of a snapshot as a value: run it, look at it, and return it to the snapshot.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use fencepost_softcpu::code::CodePages;
use fencepost_trace::Record;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use super::Saved;
use super::reset::Original;
use crate::accel::Chosen;
use crate::backend::{self, BackEnd, End, Ran, Resumed, SavedCpus};
use crate::control::Control;
use crate::devices::{self, HostFiles};
use crate::error::HostError;
use crate::frames::{Frame, FrameSink};
use crate::machine::irq::InterruptController;
use crate::machine::log::EventLog;
use crate::machine::remap::Remapping;
use crate::machine::time::TimeBase;
use crate::machine::{GuestEnd, Machine, Parts, Pauses, memory};
use crate::panic::{Console, Panics};

/// Where a machine's output goes, over all of its resets.
pub struct Outputs {
    /// Its serial port.
    pub console: Box<dyn Write + Send>,
    /// Every picture that a flip brings to the screen.
    pub frames: Option<Box<dyn FrameSink>>,
    /// How many of the newest records since the last reset are kept for [`Vm::records`].
    pub records: usize,
}

impl Default for Outputs {
    /// Nowhere.
    fn default() -> Self {
        Outputs { console: Box::new(io::sink()), frames: None, records: 0 }
    }
}

/// How far a machine is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until the guest writes this number to the mark port.
    Mark(u8),
    /// Until the first stop of the CPU at or after this time of the guest's, in nanoseconds. Under `kvm` that is soon after
    /// it, and not the same instruction each time.
    Time(u64),
    /// Until the guest or the host ends it.
    End,
}

/// What a reset took back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Pages of guest memory that were copied: under `soft` those that were written since the snapshot or the reset before
    /// this one, under `kvm` those that were written since the machine was made.
    pub pages: usize,
}

/// A machine that began at a snapshot, and can be returned to it any number of times.
///
/// Under `soft` it is each time the same machine: what it does from there on is the same, to the byte.
///
/// ```
/// use std::path::Path;
///
/// use fencepost::accel::Chosen;
/// use fencepost::backend::End;
/// use fencepost::error::HostError;
/// use fencepost::snapshot::{self, Outputs, Until, Vm};
///
/// /// Runs the guest of a snapshot to its end `rounds` times; how it ended each time.
/// fn again(file: &Path, rounds: usize) -> Result<Vec<End>, HostError> {
///     let mut vm = Vm::restore(snapshot::open(file)?, Chosen::Soft, Outputs::default())?;
///     let mut ends = Vec::new();
///     for _ in 0..rounds {
///         ends.push(vm.run(Until::End)?);
///         vm.reset()?;
///     }
///     Ok(ends)
/// }
///
/// assert!(again(Path::new("/nonexistent"), 3).is_err());
/// ```
pub struct Vm {
    saved: Saved,
    original: Original,
    memory: GuestMemoryMmap,
    code: Arc<CodePages>,
    control: Arc<Control>,
    outputs: Shared,
    records: usize,
    back_end: Resumed,
    /// Always there but while the back end has it, or after that has failed.
    machine: Option<Machine>,
    cpus: SavedCpus,
    /// It is where it was told to stop, or was not run yet.
    at_pause: bool,
}

impl Vm {
    /// The machine of `saved`, before its first instruction.
    ///
    /// # Errors
    ///
    /// Those of the host; a machine that cannot be, or that this host cannot give.
    pub fn restore(saved: Saved, accel: Chosen, outputs: Outputs) -> Result<Self, HostError> {
        let memory = saved.map_memory()?;
        let original = Original::new(&saved, &memory)?;
        let code = Arc::new(CodePages::new(memory::end(&memory)));
        code.track();
        let control = Arc::<Control>::default();
        control.begin();
        let (back_end, time, interrupts) = backend::resume(
            (accel, saved.config.cpu),
            &memory,
            &code,
            &saved.cpus,
            &saved.machine,
            &control,
        )?;
        let (outputs, records) = (Shared::new(outputs.console, outputs.frames), outputs.records);
        let cpus = saved.cpus.clone();
        let mut vm = Vm {
            saved,
            original,
            memory,
            code,
            control,
            outputs,
            records,
            back_end,
            machine: None,
            cpus,
            at_pause: true,
        };
        vm.machine = Some(vm.assemble(time, interrupts)?);
        Ok(vm)
    }

    /// The machine as the snapshot has it, around the time and interrupt delivery that belong to the CPU.
    fn assemble(
        &self,
        time: TimeBase,
        interrupts: Box<dyn InterruptController>,
    ) -> Result<Machine, HostError> {
        let state = self.saved.machine.clone();
        let frames = Box::new(self.outputs.clone()) as Box<dyn FrameSink>;
        let panics = Panics::default();
        let mut host = HostFiles::new(Some(frames), None).telling(&panics);
        let pci = devices::restore(&self.saved.config, &mut host, &state.pci)?;
        let parts = Parts {
            memory: self.memory.clone(),
            code: Arc::clone(&self.code),
            time,
            interrupts,
            console: panics.console(Console::Serial, Box::new(self.outputs.clone())),
            control: Arc::clone(&self.control),
            log: EventLog::new(self.records),
            pci,
            iommu: Remapping::Off,
        };
        let mut machine = Machine::restore(parts, state)?;
        machine.heed(&panics);
        Ok(machine)
    }

    /// Runs the machine. It may be run on after each end but the guest's own.
    ///
    /// # Errors
    ///
    /// Those of the host.
    pub fn run(&mut self, until: Until) -> Result<End, HostError> {
        let (mut marks, mut at_ns) = (BTreeSet::new(), BTreeSet::new());
        match until {
            Until::Mark(mark) => drop(marks.insert(mark)),
            Until::Time(ns) => drop(at_ns.insert(ns)),
            Until::End => {}
        }
        let mut machine = self.machine.take().ok_or_else(failed)?;
        machine.pause_at(Pauses { marks, at_ns });
        machine.pass_mark();
        let (machine, ran) = self.back_end.run(machine, &self.control)?;
        let Ran { end, cpus, .. } = ran;
        self.cpus = cpus;
        self.machine = Some(machine);
        self.at_pause = Self::is_there(&end);
        Ok(end)
    }

    /// Returns the machine to the snapshot: the pages of memory that were written, the CPU, the devices and all that was to
    /// come. Console input that the guest has not read stays, as it is the host's.
    ///
    /// # Errors
    ///
    /// Those of the host; a snapshot's file that was written to or cut since it was opened. The machine is not to be used then.
    pub fn reset(&mut self) -> Result<Taken, HostError> {
        self.machine = None;
        let written = match self.back_end {
            Resumed::Soft(_) => self.code.take_changed(),
            // KVM's CPU says nothing of what it writes.
            Resumed::Kvm(_) => {
                self.code.take_changed();
                self.original.private_pages()?
            }
        };
        let pages = self.original.copy_back(written, &self.code)?;
        // The report of what was copied is no change.
        self.code.take_changed();
        let (time, interrupts) = self.back_end.restart(&self.saved.cpus, &self.saved.machine)?;
        self.cpus.clone_from(&self.saved.cpus);
        self.machine = Some(self.assemble(time, interrupts)?);
        self.at_pause = true;
        Ok(Taken { pages })
    }

    /// Saves the machine where it has stopped, as `path`: whole or not at all. Under `kvm` that must be where
    /// [`run`](Self::run) was told to stop, or the snapshot that it came from.
    ///
    /// # Errors
    ///
    /// Those of the host's file system; a machine under `kvm` that stopped elsewhere.
    pub fn save(&mut self, path: &Path) -> Result<(), HostError> {
        if matches!(self.back_end, Resumed::Kvm(_)) && !self.at_pause {
            return Err(HostError::input(
                "a machine under kvm is saved at a stop",
                "run it until a mark or a time",
            ));
        }
        let machine = self.machine.as_mut().ok_or_else(failed)?;
        super::save(path, &self.saved.config, machine, self.cpus.clone())
    }

    /// Compares all of memory with the snapshot's: the addresses of pages that are not the same. Right after
    /// [`reset`](Self::reset) there is none.
    pub fn differing_pages(&self) -> Vec<u64> {
        self.original.differing_pages()
    }

    /// The newest records since the last reset, oldest first.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.machine.iter().flat_map(Machine::records)
    }

    /// The CPUs where the machine stopped last.
    pub fn cpus(&self) -> &SavedCpus {
        &self.cpus
    }

    /// Where guest memory is: the first address of each stretch, and its bytes.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.memory.iter().map(|region| (region.start_addr().0, region.len()))
    }

    /// SHA-256 of all guest memory, as `--memory-hash` has it.
    ///
    /// # Errors
    ///
    /// Memory that the host does not let this process read.
    pub fn memory_digest(&self) -> Result<String, HostError> {
        memory::digest(&self.memory)
    }

    /// Reads guest memory at a physical address. Nobody outside gets the memory itself: the software CPU counts on being alone with it
    /// (docs/memory-safety.md).
    ///
    /// # Errors
    ///
    /// Memory that is not there is refused as bad input.
    pub fn read(&self, gpa: u64, bytes: &mut [u8]) -> Result<(), HostError> {
        self.check_range(gpa, bytes.len())?;
        let read = self.memory.read_slice(bytes, GuestAddress(gpa));
        read.map_err(|error| HostError::Host(format!("guest memory at {gpa:#x}: {error}")))
    }

    /// Writes to guest memory at a physical address, as a device would: an input for the guest to find.
    ///
    /// # Errors
    ///
    /// Memory that is not there is refused as bad input, with nothing written.
    pub fn write(&mut self, gpa: u64, bytes: &[u8]) -> Result<(), HostError> {
        self.check_range(gpa, bytes.len())?;
        self.code.written(gpa, bytes.len() as u64);
        self.write_untold(gpa, bytes)
    }

    /// The same, and nobody is told: what a defect would do, for tests of who looks.
    #[doc(hidden)]
    pub fn write_untold(&mut self, gpa: u64, bytes: &[u8]) -> Result<(), HostError> {
        let written = self.memory.write_slice(bytes, GuestAddress(gpa));
        written.map_err(|error| HostError::Host(format!("guest memory at {gpa:#x}: {error}")))
    }

    fn check_range(&self, gpa: u64, len: usize) -> Result<(), HostError> {
        if self.memory.check_range(GuestAddress(gpa), len) {
            return Ok(());
        }
        Err(HostError::Input(format!("there is no guest memory for {len} bytes at {gpa:#x}")))
    }

    /// Gives the guest console input, and stops it from another thread.
    pub fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// Whether `end` is where [`run`](Self::run) was told to stop.
    pub fn is_there(end: &End) -> bool {
        *end == End::Guest(GuestEnd::Pause)
    }
}

fn failed() -> HostError {
    HostError::Host("the machine is gone: its last run or reset failed".into())
}

struct Sinks {
    console: Box<dyn Write + Send>,
    frames: Option<Box<dyn FrameSink>>,
}

/// Outputs that each machine after a reset takes on.
#[derive(Clone)]
struct Shared(Arc<Mutex<Sinks>>);

impl Shared {
    fn new(console: Box<dyn Write + Send>, frames: Option<Box<dyn FrameSink>>) -> Self {
        Shared(Arc::new(Mutex::new(Sinks { console, frames })))
    }

    fn get(&self) -> MutexGuard<'_, Sinks> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.get().console.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.get().console.flush()
    }
}

impl FrameSink for Shared {
    fn frame(&mut self, frame: &Frame<'_>) {
        if let Some(frames) = &mut self.get().frames {
            frames.frame(frame);
        }
    }
}
