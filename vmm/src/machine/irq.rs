//! Interrupts on their way to the CPU: pins of the I/O APIC, and messages.

use std::collections::VecDeque;

use fencepost_devices::pci::{MsiSource, MsiWrite};
use fencepost_firmware::layout;
use fencepost_softcpu::ioapic::{IoApic, IoApicState, PinMessage, WINDOW_BYTES};

use crate::error::HostError;

/// What delivers interrupts: the machine's own I/O APIC under `soft`, the host kernel's under `kvm`.
pub trait InterruptController: Send {
    /// An interrupt message was written.
    fn msi(&mut self, message: MsiWrite);
    /// What the senders of messages would send has changed. `open` lists it: one message for each sender that is not
    /// held back. Only for a delivery that prepares the way of each sender.
    fn follow(&mut self, open: &dyn Fn() -> Vec<MsiWrite>);
    /// An edge-triggered line pulsed.
    fn pulse(&mut self, gsi: u32);
    /// A level-triggered line is asserted, or not any more. The same again changes nothing.
    fn set_line(&mut self, gsi: u32, asserted: bool);
    /// The guest reads the I/O APIC's page.
    fn read(&mut self, offset: u64) -> u32;
    /// The guest writes the I/O APIC's page.
    fn write(&mut self, offset: u64, value: u32);
    /// The CPU ended a level-triggered interrupt.
    fn end_of_interrupt(&mut self, vector: u8);
    /// Whether messages wait for [`take`](Self::take).
    fn waiting(&self) -> bool;
    /// Takes the oldest message that comes to the CPU. The IOMMU may stand before it.
    fn take(&mut self) -> Option<MsiWrite>;
    /// The I/O APIC's state. Whatever was sent has arrived, and the delivery sends nothing after this.
    fn save(&mut self) -> Result<IoApicState, HostError>;
}

/// The machine's own I/O APIC, with an outbox that the back end empties at the next instruction boundary.
pub struct SoftInterrupts {
    ioapic: IoApic,
    outbox: VecDeque<MsiWrite>,
}

impl SoftInterrupts {
    /// An I/O APIC in a state that [`InterruptController::save`] gave; none if it is of another layout.
    pub fn restore(state: &IoApicState) -> Option<Self> {
        Some(SoftInterrupts { ioapic: IoApic::restore(state)?, outbox: VecDeque::new() })
    }

    fn send(&mut self, messages: impl IntoIterator<Item = PinMessage>) {
        let source = MsiSource::Pin { rid: layout::IOAPIC_REQUESTER };
        let written = |PinMessage { address, data }| MsiWrite { source, address, data };
        self.outbox.extend(messages.into_iter().map(written));
    }
}

/// The I/O APIC's id, as the MADT has it.
const IOAPIC_ID: u8 = 0;

impl Default for SoftInterrupts {
    fn default() -> Self {
        SoftInterrupts { ioapic: IoApic::new(IOAPIC_ID), outbox: VecDeque::new() }
    }
}

impl InterruptController for SoftInterrupts {
    fn msi(&mut self, message: MsiWrite) {
        // A write to elsewhere is lost, as on a bus.
        if layout::MESSAGES.contains(&message.address) {
            self.outbox.push_back(message);
        }
    }

    /// Every message goes the same way.
    fn follow(&mut self, _open: &dyn Fn() -> Vec<MsiWrite>) {}

    fn pulse(&mut self, gsi: u32) {
        [true, false].into_iter().for_each(|asserted| self.set_line(gsi, asserted));
    }

    fn set_line(&mut self, gsi: u32, asserted: bool) {
        let message = self.ioapic.set_pin(gsi as usize, asserted);
        self.send(message);
    }

    fn read(&mut self, offset: u64) -> u32 {
        if offset < WINDOW_BYTES { self.ioapic.read(offset) } else { 0 }
    }

    fn write(&mut self, offset: u64, value: u32) {
        if offset < WINDOW_BYTES {
            let messages = self.ioapic.write(offset, value);
            self.send(messages);
        }
    }

    fn end_of_interrupt(&mut self, vector: u8) {
        let messages = self.ioapic.end_of_interrupt(vector);
        self.send(messages);
    }

    fn waiting(&self) -> bool {
        !self.outbox.is_empty()
    }

    fn take(&mut self) -> Option<MsiWrite> {
        self.outbox.pop_front()
    }

    fn save(&mut self) -> Result<IoApicState, HostError> {
        Ok(self.ioapic.save())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fencepost_devices::pci::MsiSource;

    /// Redirection entry registers of pin 4.
    const PIN4_LOW: u32 = 0x18;

    #[test]
    fn a_pulse_becomes_one_message_with_the_pins_vector() {
        let mut interrupts = SoftInterrupts::default();
        interrupts.pulse(4);
        assert!(!interrupts.waiting(), "masked after power-on");
        interrupts.write(0, PIN4_LOW);
        interrupts.write(0x10, 0x31);
        interrupts.pulse(4);
        assert_eq!(interrupts.take().map(|m| m.data & 0xff), Some(0x31));
        assert!(!interrupts.waiting());
    }

    #[test]
    fn a_level_is_sent_again_at_each_end_of_interrupt_while_it_lasts() {
        const PIN17_LOW: u32 = 0x32;
        const LEVEL: u32 = 1 << 15;
        let mut interrupts = SoftInterrupts::default();
        interrupts.write(0, PIN17_LOW);
        interrupts.write(0x10, 0x41 | LEVEL);
        let mut sent = |act: &dyn Fn(&mut SoftInterrupts)| {
            act(&mut interrupts);
            let level = |data: u32| data & 1 << 15 != 0;
            let taken = std::iter::from_fn(|| interrupts.take());
            taken.map(|m| (m.data & 0xff, level(m.data))).collect::<Vec<_>>()
        };
        assert_eq!(sent(&|interrupts| interrupts.set_line(17, true)), [(0x41, true)]);
        assert_eq!(sent(&|interrupts| interrupts.set_line(17, true)), [], "the same again");
        assert_eq!(sent(&|interrupts| interrupts.end_of_interrupt(0x41)), [(0x41, true)]);
        assert_eq!(sent(&|interrupts| interrupts.set_line(17, false)), []);
        assert_eq!(sent(&|interrupts| interrupts.end_of_interrupt(0x41)), []);
    }

    #[test]
    fn a_write_outside_the_message_window_is_no_interrupt() {
        let mut interrupts = SoftInterrupts::default();
        let write = |address| MsiWrite { source: MsiSource::Processor, address, data: 0x41 };
        interrupts.msi(write(0x1000));
        assert!(!interrupts.waiting());
        interrupts.msi(write(0xfee0_0000));
        assert!(interrupts.take().is_some() && !interrupts.waiting());
    }
}
