//! The machine as data: everything but guest memory, the CPU and what the host provides.

use fencepost_devices::iommu::Iommu;
use fencepost_devices::state::{SavedState, pack, unpack};
use fencepost_softcpu::ioapic::IoApicState;
use fencepost_time::OffsetHistory;
use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::events::{Call, EventQueue, EventQueueState};
use super::faults::Faults;
use super::guest_trace::GuestTrace;
use super::inbox::Inboxes;
use super::recorded::Taken;
use super::remap::Remapping;
use super::serial::SerialState;
use super::time::SavedTime;
use super::variation::{Stream, Variation};
use super::{Machine, Parts};
use crate::error::HostError;
use crate::panic::Ears;

/// A machine between two instructions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MachineState {
    /// Time; the back end that takes over continues it from there.
    pub time: SavedTime,
    /// The I/O APIC. What was sent has arrived.
    pub ioapic: IoApicState,
    /// The bus and its functions.
    pub pci: SavedState,
    guest_counter: OffsetHistory,
    queue: EventQueueState,
    variation: Option<Variation>,
    numbers: Stream,
    guest_trace: Option<GuestTrace>,
    serial: SerialState,
    more_serial: Vec<SerialState>,
    clock: Clock,
    iommu: Option<SavedState>,
    inboxes: Inboxes,
    taken: Taken,
    faults: Faults,
    panics: Ears,
}

impl Machine {
    /// The state now. The back end has stopped the CPU and taken every interrupt message.
    ///
    /// # Errors
    ///
    /// Those of an interrupt delivery that cannot say what it holds.
    pub fn save(&mut self) -> Result<MachineState, HostError> {
        Ok(MachineState {
            time: self.time.save(),
            ioapic: self.interrupts.save()?,
            pci: pack(&self.pci),
            guest_counter: self.guest_counter.clone(),
            queue: self.queue.save(),
            variation: self.variation.clone(),
            numbers: self.numbers.clone(),
            guest_trace: self.guest_trace.clone(),
            serial: self.serial.save(),
            more_serial: self.more_serial.iter_mut().map(super::SerialPort::save).collect(),
            clock: self.clock,
            iommu: match &self.iommu {
                Remapping::Off | Remapping::Virtio(_) => None,
                Remapping::Vtd(unit) => Some(pack(&**unit)),
            },
            inboxes: self.inboxes.clone(),
            taken: self.taken.clone(),
            faults: self.faults.clone(),
            panics: self.panics.save(),
        })
    }

    /// A machine of `parts` that goes on from `state`. The bus in them was restored from `state.pci`, their time and
    /// interrupt delivery from `state.time` and `state.ioapic`; their IOMMU is replaced.
    ///
    /// # Errors
    ///
    /// A state that the machine could not be in is refused as bad input.
    pub fn restore(parts: Parts, state: MachineState) -> Result<Self, HostError> {
        let impossible = |what: &str| HostError::Input(format!("its {what} is impossible"));
        let queue = EventQueue::restore(&state.queue).ok_or_else(|| impossible("event queue"))?;
        let serial = super::SerialPort::restore(&state.serial, parts.console)
            .ok_or_else(|| impossible("serial port"))?;
        let iommu = match &state.iommu {
            None => parts.iommu,
            Some(saved) => Remapping::Vtd(Box::new(
                unpack::<Iommu>((), saved).map_err(|error| HostError::Input(error.to_string()))?,
            )),
        };
        let console = Box::new(std::io::sink());
        let mut machine = Machine::new(Parts { iommu, console, ..parts });
        machine.serial = serial;
        let port = |state| super::SerialPort::restore(state, Box::new(std::io::sink()));
        machine.more_serial = state
            .more_serial
            .iter()
            .map(port)
            .collect::<Option<_>>()
            .ok_or_else(|| impossible("serial port"))?;
        machine.guest_counter = state.guest_counter;
        machine.variation = state.variation;
        machine.numbers = state.numbers;
        machine.clock = state.clock;
        machine.guest_trace = state.guest_trace;
        machine.inboxes = state.inboxes;
        machine.taken = state.taken;
        machine.faults = state.faults;
        machine.panics.restore(state.panics);
        machine.take_queue(queue)?;
        machine.announce_definitions();
        machine.follow_routes();
        machine.drive_all_lines();
        Ok(machine)
    }

    /// When the guest is to be stopped for the host next, in nanoseconds.
    pub fn next_pause_ns(&self) -> Option<u64> {
        self.pauses.at_ns.first().copied()
    }

    /// The newest records of its trace, oldest first.
    pub fn records(&self) -> impl Iterator<Item = &fencepost_trace::Record> {
        self.log.records()
    }

    /// Takes a saved queue, if the calls in it are those that the restored functions wait for. It is the queue that counts,
    /// since it has their order.
    fn take_queue(&mut self, queue: EventQueue) -> Result<(), HostError> {
        let variation = self.variation.clone();
        self.on_bus(|pci, platform| pci.rearm(platform));
        self.variation = variation;
        // The console's next character is nobody's call: who waits at the other end of its line is the host's affair.
        if !self.queue.calls().eq(queue.calls().filter(|(call, _)| !call.is_serial() && *call != Call::IOMMU))
        {
            return Err(HostError::Input("its event queue is not what its devices wait for".into()));
        }
        self.queue = queue;
        Ok(())
    }
}
