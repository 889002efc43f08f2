//! What the machine lends the PCI bus for one call: memory through the IOMMU, time, trace, messages.

use fencepost_devices::function::Pin;
use fencepost_devices::pci::{BusClock, MsiWrite, PciRoot, Platform};
use fencepost_devices::ports::Gpa;
use fencepost_firmware::layout;
use fencepost_softcpu::apic::InterruptMessage;
use fencepost_softcpu::code::PAGE_BYTES;
use fencepost_trace::{Event, Stamp, Trace};

use super::Machine;
use super::events::{Call, EventQueue};
use super::log::EventLog;
use super::time::TimeBase;
use super::variation::{IN_FLIGHT_MAX, Variation};

/// Time for one call: now does not advance while a device handles it.
struct CallClock<'a> {
    now: Stamp,
    time: TimeBase,
    queue: &'a mut EventQueue,
    variation: Option<&'a mut Variation>,
}

impl BusClock for CallClock<'_> {
    fn now(&self) -> Stamp {
        self.now
    }

    fn call_at(&mut self, rid: u16, token: u32, at_ns: u64) {
        let rank = self.variation.as_mut().map_or(0, |variation| variation.tie());
        self.queue.schedule(at_ns, rank, Call { rid, token });
    }

    fn cancel(&mut self, rid: u16, token: u32) {
        self.queue.cancel(Call { rid, token });
    }

    fn cycles_to_ns(&self, cycles: u64) -> u64 {
        self.time.cycles_to_ns(cycles)
    }

    fn vary(&mut self, cycles: u64) -> u64 {
        self.variation.as_mut().map_or(cycles, |variation| variation.duration(cycles))
    }
}

/// Stamps events with the call's time.
pub(super) struct CallTrace<'a> {
    pub now: Stamp,
    pub log: &'a mut EventLog,
}

impl Trace for CallTrace<'_> {
    fn record(&mut self, event: Event) {
        self.log.push(self.now, event);
    }

    fn is_heard(&self) -> bool {
        self.log.is_heard()
    }

    fn count(&mut self, events: u64) {
        self.log.count(events);
    }
}

impl Machine {
    /// Calls into the PCI bus with a platform for this one call, then sends the messages it raised.
    pub(super) fn on_bus<R>(&mut self, call: impl FnOnce(&mut PciRoot, &mut Platform<'_>) -> R) -> R {
        let now = self.time.now();
        let code = &self.code;
        let mut platform = Platform {
            cpu: self.cpu,
            memory: &self.memory,
            translation: &mut self.iommu,
            written: &|gpa: Gpa, len| code.written(gpa.0, len),
            observe: &|gpa: Gpa| code.observe(gpa.0 / PAGE_BYTES),
            clock: &mut CallClock {
                now,
                time: self.time,
                queue: &mut self.queue,
                variation: self.variation.as_mut(),
            },
            trace: &mut CallTrace { now, log: &mut self.log },
            messages: &mut self.messages,
        };
        let result = call(&mut self.pci, &mut platform);
        self.remapping_reports();
        if self.pci.revision() != self.routed_revision {
            self.routed_revision = self.pci.revision();
            self.follow_routes();
        }
        self.send_messages();
        self.follow_lines();
        self.heed_panics();
        result
    }

    /// Hands on what has become of the lines of the functions' interrupt pins.
    fn follow_lines(&mut self) {
        let lines = self.asserted_lines();
        let changed = lines ^ self.lines;
        self.lines = lines;
        self.drive_lines(changed);
    }

    /// Gives interrupt delivery all of the lines: it is another one than before, or of a restored machine.
    pub(super) fn drive_all_lines(&mut self) {
        self.lines = self.asserted_lines();
        self.drive_lines(u32::MAX);
    }

    /// Bit n: some function asserts the line of global system interrupt [`layout::PCI_FIRST_GSI`] + n.
    fn asserted_lines(&self) -> u32 {
        let gsi = |(slot, pin): (u8, Pin)| layout::pci_gsi(slot, pin as u8 - Pin::A as u8);
        self.pci.asserted().map(gsi).fold(0, |lines, gsi| lines | 1 << (gsi - layout::PCI_FIRST_GSI))
    }

    /// Sets those of the lines that are in `which`, which is nearly always none.
    fn drive_lines(&mut self, which: u32) {
        if which == 0 {
            return;
        }
        for line in (0..layout::PCI_GSIS).filter(|line| which >> line & 1 != 0) {
            self.interrupts.set_line(layout::PCI_FIRST_GSI + line, self.lines >> line & 1 != 0);
        }
    }

    /// Tells interrupt delivery what each sender of messages would send now: the guest has changed it, or the delivery
    /// is another one than before.
    pub fn follow_routes(&mut self) {
        let (pci, iommu) = (&self.pci, &self.iommu);
        self.interrupts
            .follow(&|| pci.open_vectors().chain(iommu.open_events().into_iter().flatten()).collect());
    }

    /// Sends the messages that devices raised, in order. They arrive at once, unless their time is to be varied.
    pub(super) fn send_messages(&mut self) {
        for message in self.messages.drain(..) {
            match &mut self.variation {
                Some(variation) if self.queue.in_flight() < IN_FLIGHT_MAX => {
                    let at_ns = self.time.now().ns.saturating_add(variation.delay_ns());
                    self.queue.send(at_ns, variation.tie(), message);
                }
                _ => self.interrupts.msi(message),
            }
        }
    }

    /// Whether the CPU takes messages itself from now on ([`Bus::waiting`](fencepost_softcpu::bus::Bus::waiting)): where whoever runs it
    /// would do nothing else than give it them.
    pub fn let_messages_be_taken(&mut self, may: bool) {
        self.delivers_itself = may;
    }

    /// Takes the oldest interrupt message for the local APIC, past the IOMMU if it remaps them.
    pub fn take_message(&mut self) -> Option<InterruptMessage> {
        loop {
            let message = self.take_written()?;
            // What means nothing is lost, as on a bus.
            let taken = InterruptMessage::from_msi(message.address, message.data);
            if taken.is_some() {
                return taken;
            }
        }
    }

    /// The same as it was written, which may mean nothing.
    pub(super) fn take_written(&mut self) -> Option<MsiWrite> {
        loop {
            while let Some(message) = self.interrupts.take() {
                let remapped = self.remap_interrupt(message);
                if remapped.is_some() {
                    return remapped;
                }
            }
            // One that the IOMMU has refused may have it send its fault event, which is not remapped.
            if self.messages.is_empty() {
                return None;
            }
            self.send_messages();
        }
    }

    /// Has every message on its way arrive now. The answer to a read cannot pass what the function wrote before (PCI
    /// Express Base Specification 5.0, 2.4.1), and an interrupt message is a write: a driver that has switched an
    /// interrupt off and reads something back knows that none is on its way any more.
    pub(super) fn flush_messages(&mut self) {
        for message in self.queue.take_messages() {
            self.interrupts.msi(message);
        }
    }

    /// Makes a call that a function asked its clock for.
    pub(super) fn call(&mut self, call: Call) {
        self.on_bus(|pci, platform| pci.timer(call.rid, call.token, platform));
    }
}
