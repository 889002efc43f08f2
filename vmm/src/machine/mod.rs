//! The machine around the CPU: memory map, buses, time, interrupts and the devices on them.
//!
//! One thread at a time works on it. Under `soft` there is only one; under `kvm` a mutex sees to it.

mod bus;
pub mod changes;
mod clock;
mod console;
pub mod events;
mod failures;
pub mod faults;
mod guest_counter;
mod guest_trace;
mod inbox;
pub mod irq;
mod line;
pub mod log;
pub mod map;
pub mod memory;
mod numbers;
pub mod past;
mod pauses;
mod ports;
pub mod recent;
mod record;
pub mod recorded;
pub mod remap;
pub mod saved;
pub mod serial;
pub mod time;
mod timed;
mod unclaimed;
pub mod variation;

#[cfg(test)]
mod pci_tests;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod remap_tests;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod variation_tests;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use fencepost_devices::function::Counter;
use fencepost_devices::pci::{MsiWrite, PciRoot, PlacedDoorbell};
use fencepost_softcpu::code::CodePages;
use fencepost_softcpu::ioapic::IoApicState;
use fencepost_time::{Cycles, Moment, OffsetHistory, TscOffset};
use fencepost_trace::Stamp;
use vm_memory::GuestMemoryMmap;

use crate::config::Date;
use crate::control::Control;
use crate::error::HostError;
use crate::outlet::{Full, Gate};
use crate::panic::Panics;
use changes::Changes;
use clock::Clock;
use events::{Call, Due, EventQueue};
use faults::{FaultCount, Faults};
pub use guest_trace::GuestRefused;
use guest_trace::GuestTrace;
use inbox::Inboxes;
use irq::InterruptController;
use log::EventLog;
use past::Ways;
pub use pauses::Pauses;
use recent::{Exit, ExitKind, Recent};
use recorded::{Recording, Taken};
use remap::Remapping;
use serial::SerialPort;
use time::TimeBase;
pub use timed::{Brought, Timed};
pub use unclaimed::Unclaimed;
use variation::{Stream, Variation};

/// How a guest ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestEnd {
    /// It wrote its status to the exit port.
    Exit(u8),
    /// It powered the machine off.
    PowerOff,
    /// It asked for a reset.
    Reset,
    /// An exception while a double fault was delivered.
    TripleFault,
    /// Halted, and nothing will ever wake it.
    Dead,
    /// Interrupts off and no access to the machine for as long as the watchdog allows.
    Stuck,
    /// Its kernel has panicked, or has failed in another way that ends the run.
    Panicked,
    /// KVM cannot go on: why.
    Unrunnable(String),
    /// It came to a mark at which another back end takes over: the end of this back end's part only.
    Mark(u8),
    /// It came to a point at which the host saves it: the end of this part only.
    Pause,
}

impl GuestEnd {
    /// Whether the guest died rather than ended.
    pub fn is_death(&self) -> bool {
        matches!(self, Self::TripleFault | Self::Dead | Self::Stuck | Self::Unrunnable(_))
    }
}

/// What a machine is built of.
pub struct Parts {
    /// Guest RAM.
    pub memory: GuestMemoryMmap,
    /// Told of every write that is not the CPU's.
    pub code: Arc<CodePages>,
    /// Time.
    pub time: TimeBase,
    /// Interrupt delivery.
    pub interrupts: Box<dyn InterruptController>,
    /// Where the guest's serial output goes.
    pub console: Box<dyn Write + Send>,
    /// Where its input comes from.
    pub control: Arc<Control>,
    /// The trace.
    pub log: EventLog,
    /// The functions on bus 0.
    pub pci: PciRoot,
    /// From I/O virtual to guest-physical addresses.
    pub iommu: Remapping,
}

/// The machine.
pub struct Machine {
    /// The CPU that runs, of several.
    cpu: u32,
    memory: GuestMemoryMmap,
    code: Arc<CodePages>,
    time: TimeBase,
    /// What the guest's counter reads more than the machine's.
    guest_counter: OffsetHistory,
    queue: EventQueue,
    variation: Option<Variation>,
    /// What RDRAND gives.
    numbers: Stream,
    /// The trace port, while the guest's trace is wanted.
    guest_trace: Option<GuestTrace>,
    log: EventLog,
    interrupts: Box<dyn InterruptController>,
    serial: SerialPort,
    /// Those beside the console.
    more_serial: Vec<SerialPort>,
    clock: Clock,
    control: Arc<Control>,
    panics: Panics,
    pci: PciRoot,
    iommu: Remapping,
    inboxes: Inboxes,
    /// Where it is recorded what the host brings, and how much that was.
    record: Option<Box<dyn Write + Send>>,
    taken: Taken,
    /// What the host brought since it was said that this is to be kept.
    brought: Option<Recording>,
    ways: Option<Ways>,
    faults: Faults,
    changes: Changes,
    /// When what was due was done last, and whether something for a device waits for the cycle behind it.
    due_at: Option<Cycles>,
    /// The CPU takes messages itself.
    delivers_itself: bool,
    delivery_held: bool,
    timed: Timed,
    /// The lines of interrupt pins that interrupt delivery was told of last ([`Machine::drive_all_lines`]).
    lines: u32,
    /// Messages raised during a bus call; empty between calls.
    messages: Vec<MsiWrite>,
    /// The bus's revision that interrupt delivery was told of last.
    routed_revision: u64,
    recent: Recent,
    end: Option<GuestEnd>,
    marks: BTreeSet<u8>,
    pauses: Pauses,
    unclaimed: Unclaimed,
    /// What happens to output for which there is no room, and the outlets that the machine must wait for.
    slow_output: Full,
    gates: Vec<Arc<Gate>>,
    /// What the CPU was told to run until; an earlier event must stop it.
    cpu_deadline_ns: u64,
}

impl Machine {
    /// Builds the machine.
    pub fn new(parts: Parts) -> Self {
        Machine {
            cpu: 0,
            memory: parts.memory,
            code: parts.code,
            time: parts.time,
            guest_counter: OffsetHistory::new(TscOffset::default()),
            queue: EventQueue::default(),
            variation: None,
            numbers: numbers::numbers(0),
            guest_trace: None,
            log: parts.log,
            interrupts: parts.interrupts,
            serial: SerialPort::new(parts.console),
            more_serial: Vec::new(),
            clock: Clock::default(),
            control: parts.control,
            panics: Panics::default(),
            pci: parts.pci,
            iommu: parts.iommu,
            inboxes: Inboxes::default(),
            record: None,
            taken: Taken::default(),
            brought: None,
            ways: None,
            faults: Faults::default(),
            changes: Changes::default(),
            due_at: None,
            delivers_itself: false,
            delivery_held: false,
            timed: Timed::default(),
            lines: 0,
            messages: Vec::new(),
            routed_revision: 0,
            recent: Recent::default(),
            end: None,
            marks: BTreeSet::new(),
            pauses: Pauses::default(),
            unclaimed: Unclaimed::default(),
            slow_output: Full::Wait,
            gates: Vec::new(),
            cpu_deadline_ns: u64::MAX,
        }
    }

    /// What happens to output for which there is no room, and the outlets that the machine must wait for.
    pub fn write_through(&mut self, gates: Vec<Arc<Gate>>, slow_output: Full) {
        (self.gates, self.slow_output) = (gates, slow_output);
    }

    /// The outlets that whoever runs the machine must wait for.
    pub fn gates(&self) -> &[Arc<Gate>] {
        &self.gates
    }

    /// From now on the date clock runs; at the machine's time zero it shows `date`.
    pub fn run_clock_from(&mut self, date: Date) {
        self.clock = Clock::running_from(date);
    }

    /// Now.
    pub fn now(&self) -> Stamp {
        self.time.now()
    }

    /// The CPU that accessed the machine last.
    pub fn last_cpu(&self) -> u32 {
        self.cpu
    }

    /// Tells virtual time what the CPU's counter is.
    pub fn set_cycles(&mut self, cycles: Cycles) {
        self.time.set_cycles(cycles);
    }

    /// The machine's counter now, and what the guest's is to it as far as that is known.
    pub fn moment(&self) -> Moment {
        Moment { cycles: self.time.cycles(), offset: self.guest_counter.current() }
    }

    /// The guest's TSC frequency.
    pub fn tsc_hz(&self) -> u64 {
        self.time.hz()
    }

    /// Guest RAM.
    pub fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    /// Who must be told of writes to RAM that are not the CPU's.
    pub fn code(&self) -> &CodePages {
        &self.code
    }

    /// The same, for who keeps it.
    pub fn shared_code(&self) -> Arc<CodePages> {
        Arc::clone(&self.code)
    }

    /// Another back end takes over: its time, which continues from the old one's, and its interrupt delivery.
    pub fn resume_with(&mut self, time: TimeBase, interrupts: Box<dyn InterruptController>) {
        self.time = time;
        self.interrupts = interrupts;
        self.drive_all_lines();
        self.pass_mark();
    }

    /// The I/O APIC, when nothing that the machine has sent is on its way any more.
    pub fn ioapic(&mut self) -> Result<IoApicState, HostError> {
        self.interrupts.save()
    }

    /// What each device has counted, by its name.
    pub fn counters(&self) -> Vec<(String, Vec<Counter>)> {
        let functions = self.pci.counters().map(|(name, counters)| (name.to_string(), counters));
        functions.chain(self.iommu.counters().map(|counters| ("iommu".to_string(), counters))).collect()
    }

    /// Gives the local APICs a message from one of them.
    pub fn carry_message(&mut self, message: MsiWrite) {
        self.interrupts.msi(message);
    }

    /// How the guest ended, if it has.
    pub fn end(&self) -> Option<&GuestEnd> {
        self.end.as_ref()
    }

    /// Records an event between the CPU and the machine, now.
    pub fn note(&mut self, kind: ExitKind, address: u64, data: &[u8]) {
        let (width, value) = (data.len() as u8, recent::value_of(data));
        self.recent.push(Exit { stamp: self.time.now(), cpu: self.cpu, kind, address, width, value });
    }

    /// The events recorded last.
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Ends the guest. The first end stays.
    pub fn set_end(&mut self, end: GuestEnd) {
        self.end.get_or_insert(end);
    }

    /// Counts rings of a doorbell that were not heard one by one.
    pub fn doorbells_unheard(&mut self, rings: u64) {
        self.unclaimed.doorbells = self.unclaimed.doorbells.saturating_add(rings);
    }

    /// Unanswered accesses.
    pub fn unclaimed(&self) -> &Unclaimed {
        &self.unclaimed
    }

    /// When the next event is due, in nanoseconds.
    pub fn next_event_ns(&self) -> Option<u64> {
        let held = self.delivery_held.then(|| self.time.now().ns);
        self.queue.next_ns().into_iter().chain(held).chain(self.next_timed_ns()).min()
    }

    /// The CPU cycle up to which the CPU may run undisturbed, and notes it. Always ahead of now, so that the guest
    /// gets on even when a device asks to be called again at once.
    pub fn cpu_deadline(&mut self) -> Cycles {
        let now = self.time.cycles();
        let next_ns = self.next_event_ns().into_iter().chain(self.pauses.at_ns.first().copied()).min();
        self.cpu_deadline_ns = next_ns.unwrap_or(u64::MAX);
        next_ns.map_or(Cycles::MAX, |ns| self.time.cycle_at(ns)).max(now + 1)
    }

    /// From now to `cycles`, in nanoseconds.
    pub fn ns_until(&self, cycles: Cycles) -> u64 {
        self.time.cycles_to_ns(cycles.0.saturating_sub(self.time.cycles().0))
    }

    /// The first cycle at which the clock reads at least `ns`.
    pub fn cycles_at(&self, ns: u64) -> Cycles {
        self.time.cycle_at(ns)
    }

    /// Has what is recorded so far written to the trace's file. Under `soft` the guest alone may bring this about: the file
    /// shows where it was done.
    pub fn flush_trace(&mut self) {
        self.log.flush();
    }

    /// Does that if nothing was recorded for a while, and says at which cycle to come again, if there is a file.
    pub fn flush_silent_trace(&mut self) -> Option<Cycles> {
        self.log.look(&self.time)
    }

    /// Does what is due now, in order. What is asked for meanwhile waits for the next round.
    pub fn run_due(&mut self) {
        self.due_at = Some(self.time.cycles());
        self.deliver_timed();
        let now_ns = self.time.now().ns;
        let round = self.queue.sequence();
        while let Some(due) = self.queue.pop_due(now_ns, round) {
            let done = due.done();
            match due {
                Due::Call(call) if call.is_serial() => self.serial_character(call.token as u8),
                Due::Call(Call::IOMMU) => self.remapping_goes_on(),
                Due::Call(call) => self.call(call),
                Due::Message(message) => self.interrupts.msi(message),
            }
            // Whatever else the host wants can wait for the end of the round, which must be the same in all runs.
            if self.control.is_wanted(done) && self.control.stop_reason().is_some() {
                return;
            }
        }
    }

    /// The doorbells of all functions, always the same ones in the same order, and where they are now.
    pub fn doorbells(&self) -> Vec<PlacedDoorbell> {
        self.pci.doorbells()
    }

    /// Another number whenever [`doorbells`](Self::doorbells) may have moved.
    pub fn bus_revision(&self) -> u64 {
        self.pci.revision()
    }

    /// Whether an interrupt or an end waits for the back end.
    pub fn needs_attention(&self) -> bool {
        self.end.is_some() || self.interrupts.waiting()
    }

    /// Whether the CPU must come back at its next instruction boundary.
    fn wants_cpu(&self) -> bool {
        self.interrupts.waiting() || self.wants_more_than_messages()
    }

    fn wants_more_than_messages(&self) -> bool {
        self.end.is_some() || self.next_event_ns().is_some_and(|next| next < self.cpu_deadline_ns)
    }

    /// Ends the machine and gives what is left of it.
    pub fn finish(mut self) -> Remains {
        self.flush_console();
        let guest_trace_refused = self.guest_trace_refused();
        let (faults, faults_refused) = self.fault_counts();
        let counters = self.counters();
        // In the order in which the trace's header names them.
        let values = |(_, set): &(String, Vec<Counter>)| set.iter().map(|counter| counter.value).collect();
        let counted = counters.iter().map(values).collect();
        Remains {
            counters,
            faults,
            faults_refused,
            memory: self.memory,
            guest_trace_refused,
            log: self.log.finish(counted),
            unclaimed: self.unclaimed,
            recent: self.recent,
        }
    }
}

/// What is left of a machine.
pub struct Remains {
    /// Guest RAM.
    pub memory: GuestMemoryMmap,
    /// The trace.
    pub log: log::FinishedLog,
    /// What of the guest's trace was left out.
    pub guest_trace_refused: GuestRefused,
    /// What each device counted, by its name.
    pub counters: Vec<(String, Vec<Counter>)>,
    /// The faults that were asked for and what became of them.
    pub faults: Vec<FaultCount>,
    /// Why some could not be given.
    pub faults_refused: Vec<String>,
    /// Unanswered accesses.
    pub unclaimed: Unclaimed,
    /// The last events between the CPU and the machine.
    pub recent: Recent,
}
