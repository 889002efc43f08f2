//! A machine that goes back: what it was at a moment of its run, and the same machine there again, with the host's ends that it has.
//!
//! What leaves the process is said once ([`crate::once`], [`super::log`]). What the host brought is kept with the guest's times
//! ([`super::recorded`]), and comes again at those.

use std::fs::File;
use std::io;

use fencepost_devices::pci::PciRoot;
use fencepost_devices::state::SavedState;
use fencepost_time::Cycles;

use super::irq::SoftInterrupts;
use super::log::{EventLog, Said};
use super::recent::Recent;
use super::recorded::Recording;
use super::remap::Remapping;
use super::saved::MachineState;
use super::time::TimeBase;
use super::{Changes, GuestEnd, Machine, Parts, Timed, Unclaimed};
use crate::config::MachineConfig;
use crate::error::HostError;
use crate::once::Counted;

/// Makes the bus of a machine with its devices again, with the same ends on the host.
pub trait Rebuild: Send {
    /// The bus of `config` in the state `saved`, and what translates for its devices.
    ///
    /// # Errors
    ///
    /// Those of the host.
    fn bus(&mut self, config: &MachineConfig, saved: &SavedState) -> Result<(PciRoot, Remapping), HostError>;
}

/// What a machine needs to go back.
pub struct Ways {
    /// What it is made of.
    pub config: MachineConfig,
    /// Makes its devices.
    pub rebuild: Box<dyn Rebuild>,
    /// What leaves the process.
    pub outputs: Vec<Box<dyn Counted>>,
    /// A file for what its memory was: open before the process can open no more.
    pub pages: File,
}

/// What a machine was at a moment, beside guest memory and the CPUs.
pub struct Remembered {
    state: MachineState,
    timed: Timed,
    said: Said,
    outputs: Vec<u64>,
    changes: Changes,
    recent: Recent,
    unclaimed: Unclaimed,
    end: Option<GuestEnd>,
    due_at: Option<Cycles>,
    delivery_held: bool,
}

impl Machine {
    /// From now on it can go back, by `ways`.
    pub fn allow_going_back(&mut self, ways: Ways) {
        self.ways = Some(ways);
    }

    /// Whether it can go back.
    pub fn can_go_back(&self) -> bool {
        self.ways.is_some()
    }

    /// The file for what its memory was, for one past at a time.
    ///
    /// # Errors
    ///
    /// It cannot go back, or the host has no descriptor left.
    pub fn file_of_past(&self) -> io::Result<File> {
        let ways = self.ways.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        ways.pages.try_clone()
    }

    /// From now on it keeps what the host brings.
    pub fn begin_past(&mut self) {
        // What a record brings is known anyway.
        self.brought = (!self.control.ignores_host()).then(|| Recording::begin(&self.taken));
        self.control.keep_input();
    }

    /// It is not to go back any more, and is not in its past.
    pub fn end_past(&mut self) {
        self.brought = None;
        self.control.keep_no_input(self.record.is_some());
    }

    /// What it is now. The back end has stopped the CPU and taken every interrupt message.
    ///
    /// # Errors
    ///
    /// Those of an interrupt delivery that cannot say what it holds.
    pub fn remember(&mut self) -> Result<Remembered, HostError> {
        let mut remembered = Remembered {
            state: self.save()?,
            timed: self.timed.clone(),
            said: self.log.said(),
            outputs: Vec::new(),
            changes: self.changes.clone(),
            recent: self.recent.clone(),
            unclaimed: self.unclaimed.clone(),
            end: self.end.clone(),
            due_at: self.due_at,
            delivery_held: self.delivery_held,
        };
        // Saving has shown what was said.
        let ways = self.ways.iter().flat_map(|ways| &ways.outputs);
        remembered.outputs = ways.map(|output| output.said()).collect();
        Ok(remembered)
    }

    /// Makes it what it was then. Guest memory and the CPUs are.
    ///
    /// # Errors
    ///
    /// Those of the host. The machine is not to be used then.
    pub fn go_back(&mut self, to: &Remembered) -> Result<(), HostError> {
        let Some(mut ways) = self.ways.take() else { return Ok(()) };
        let state = to.state.clone();
        self.changes.clone_from(&to.changes);
        // Files that one device at a time may have are let go first.
        self.pci = PciRoot::new();
        let (pci, iommu) = ways.rebuild.bus(&self.described_by(ways.config.clone()), &state.pci)?;
        let impossible = || HostError::Host("the machine cannot be what it was".into());
        let parts = Parts {
            memory: self.memory.clone(),
            code: self.code.clone(),
            time: TimeBase::resume(&state.time).ok_or_else(impossible)?,
            interrupts: Box::new(SoftInterrupts::restore(&state.ioapic).ok_or_else(impossible)?),
            console: Box::new(std::io::sink()),
            control: self.control.clone(),
            log: EventLog::new(0),
            pci,
            iommu,
        };
        let mut then = Machine::restore(parts, state)?;
        then.take_ends(self);
        then.log.go_back(to.said);
        ways.outputs.iter().zip(&to.outputs).for_each(|(output, said)| output.go_back(*said));
        then.ways = Some(ways);
        then.control.hold_input(true);
        let from_file = then.control.give_back(self.characters_since(&then.taken));
        then.timed = match &then.brought {
            Some(brought) => brought.since(&then.taken, then.now().ns, from_file).ok_or_else(impossible)?,
            None => Timed::default(),
        };
        then.timed.append(to.timed.clone());
        (then.recent, then.unclaimed) = (to.recent.clone(), to.unclaimed.clone());
        (then.end, then.due_at, then.delivery_held) = (to.end.clone(), to.due_at, to.delivery_held);
        then.changes.clone_from(&to.changes);
        *self = then;
        Ok(())
    }

    /// Takes the host's ends of `other`, which is given up.
    fn take_ends(&mut self, other: &mut Machine) {
        self.serial.connect(other.serial.part());
        let more = other.more_serial.iter_mut().map(super::SerialPort::part).collect();
        self.connect_serial(more);
        std::mem::swap(&mut self.log, &mut other.log);
        self.heed(&other.panics);
        self.record = other.record.take();
        self.brought = other.brought.take();
        self.gates = std::mem::take(&mut other.gates);
        self.slow_output = other.slow_output;
        self.pauses = std::mem::take(&mut other.pauses);
        self.marks = std::mem::take(&mut other.marks);
        self.cpu = other.cpu;
    }

    /// It is where it was farthest: from here on the host brings more.
    pub fn leave_past(&mut self) {
        self.control.hold_input(false);
    }
}
