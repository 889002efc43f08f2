//! Dispatch of the CPU's accesses outside RAM.

use fencepost_devices::pci::{CONFIG_PORTS, MsiSource, MsiWrite, Space};
use fencepost_firmware::layout::{self, S5_SLP_TYP};
use fencepost_softcpu::bus::{Bus, Flow, Waiting};
use fencepost_time::{Cycles, TscOffset};
use fencepost_trace::Event;

use super::map::{MmioTarget, PortTarget, mmio, port};
use super::recent::ExitKind;
use super::variation::{TURN, Variation};
use super::{GuestEnd, Machine};

/// SLP_EN and SLP_TYP of the sleep control register (ACPI 6.5, table 4.21).
const SLEEP_ENABLE: u8 = 1 << 5;
const SLEEP_TYPE_SHIFT: u8 = 2;
const SLEEP_TYPE_MASK: u8 = 7;
/// ACPI reset value, as the FADT has it.
const RESET_VALUE: u8 = 1;
/// Keyboard controller command: pulse the reset line.
const KEYBOARD_RESET: u8 = 0xfe;
/// Keyboard controller status: both buffers empty, so that a driver sees a quiet controller and gives up soon.
const KEYBOARD_STATUS: u8 = 0;

impl Machine {
    /// Reads `data.len()` bytes from a port. Ports are a byte wide: a wider access reads those that follow.
    pub fn read_port(&mut self, first: u16, data: &mut [u8]) {
        // The two targets whose registers are wider than a byte: an access means something as a whole.
        if CONFIG_PORTS.contains(&first) && self.on_bus(|pci, platform| pci.port_read(first, data, platform))
        {
            return self.flush_messages();
        }
        if layout::PCI_PORTS.contains(&first) && self.read_bar(Space::Ports, first.into(), data) {
            return;
        }
        for (index, byte) in (0u16..).zip(data.iter_mut()) {
            let number = first.wrapping_add(index);
            *byte = match port(number) {
                Some((PortTarget::Serial(port), offset)) => {
                    self.read_serial(port, offset as u8).unwrap_or_else(|| {
                        self.unclaimed.port(number);
                        u8::MAX
                    })
                }
                Some((PortTarget::Clock, offset)) => self.clock.read(offset, self.time.now().ns),
                Some((PortTarget::KeyboardController, _)) => KEYBOARD_STATUS,
                Some((PortTarget::SleepControl | PortTarget::SleepStatus, _)) => 0,
                Some((PortTarget::Exit | PortTarget::Mark | PortTarget::Reset, _)) => u8::MAX,
                Some((PortTarget::Trace, offset)) => self.read_trace_port(offset),
                Some((PortTarget::PciConfig | PortTarget::PciPorts, _)) | None => {
                    self.unclaimed.port(number);
                    u8::MAX
                }
            };
        }
    }

    /// Writes `data` to a port. The exit port takes the low byte of any width.
    pub fn write_port(&mut self, first: u16, data: &[u8]) {
        // By far the most written port of a traced machine: ahead of the others, and not byte by byte.
        if first == layout::TRACE_PORT.start && data.len() <= layout::TRACE_PORT.len() {
            return self.write_trace_port(data);
        }
        if CONFIG_PORTS.contains(&first) && self.on_bus(|pci, platform| pci.port_write(first, data, platform))
        {
            return;
        }
        let bar = layout::PCI_PORTS.contains(&first);
        if bar && self.on_bus(|pci, platform| pci.write(Space::Ports, first.into(), data, platform)) {
            self.offer_inboxes();
            return;
        }
        for (index, &byte) in (0u16..).zip(data) {
            let number = first.wrapping_add(index);
            match port(number) {
                Some((PortTarget::Trace, _)) => self.write_trace_port(&[byte]),
                Some((PortTarget::Serial(port), offset)) => {
                    if !self.write_serial(port, offset as u8, byte) {
                        self.unclaimed.port(number);
                    }
                    self.heed_panics();
                }
                Some((PortTarget::Clock, offset)) => self.clock.write(offset, byte),
                Some((PortTarget::Exit, _)) => self.set_end(GuestEnd::Exit(byte)),
                Some((PortTarget::Mark, _)) => self.reach_mark(byte),
                Some((PortTarget::KeyboardController, _)) if byte == KEYBOARD_RESET => {
                    self.set_end(GuestEnd::Reset);
                }
                Some((PortTarget::Reset, _)) if byte == RESET_VALUE => self.set_end(GuestEnd::Reset),
                Some((PortTarget::SleepControl, _)) if sleeps_for_good(byte) => {
                    self.set_end(GuestEnd::PowerOff)
                }
                None | Some((PortTarget::PciConfig | PortTarget::PciPorts, _)) => {
                    self.unclaimed.port(number);
                }
                Some(_) => {}
            }
        }
    }

    /// Reads memory-mapped registers; nothing there reads as all ones.
    pub fn read_mmio(&mut self, gpa: u64, data: &mut [u8]) {
        if self.read_flushes(gpa) {
            self.flush_messages();
        }
        let answered = match mmio(gpa) {
            Some((MmioTarget::PciWindow, _)) => self.read_bar(Space::Memory, gpa, data),
            Some((MmioTarget::Ecam, offset)) => {
                self.on_bus(|pci, platform| pci.ecam_read(offset, data, platform));
                true
            }
            Some((MmioTarget::IoApic, offset)) => {
                fill(data, &self.interrupts.read(offset).to_le_bytes());
                true
            }
            Some((MmioTarget::Dmar, offset)) => self.read_remapping(offset, data),
            Some((MmioTarget::Messages, _)) | None => false,
        };
        if !answered {
            self.unclaimed.mmio += 1;
            data.fill(u8::MAX);
        }
    }

    /// Reads a function's registers, which brings in the messages that are on their way. False when no BAR is there.
    fn read_bar(&mut self, space: Space, address: u64, data: &mut [u8]) -> bool {
        let wanted = self.wants_cpu();
        if self.queue.in_flight() > 0 {
            self.flush_messages();
        }
        let answered = self.on_bus(|pci, platform| pci.read(space, address, data, platform));
        // A read cannot say that the CPU must come back, but the function may have interrupted it.
        if self.wants_cpu() && !wanted {
            self.control.nudge();
        }
        answered
    }

    /// Whether reading there brings messages in that are on their way.
    fn read_flushes(&self, gpa: u64) -> bool {
        let functions = [MmioTarget::PciWindow, MmioTarget::Ecam, MmioTarget::Dmar];
        self.queue.in_flight() > 0 && mmio(gpa).is_some_and(|(target, _)| functions.contains(&target))
    }

    /// Writes memory-mapped registers; nothing there ignores it.
    pub fn write_mmio(&mut self, gpa: u64, data: &[u8]) {
        let answered = match mmio(gpa) {
            Some((MmioTarget::PciWindow, _)) => {
                let answered = self.on_bus(|pci, platform| pci.write(Space::Memory, gpa, data, platform));
                self.offer_inboxes();
                answered
            }
            Some((MmioTarget::Ecam, offset)) => {
                self.on_bus(|pci, platform| pci.ecam_write(offset, data, platform));
                true
            }
            Some((MmioTarget::IoApic, offset)) => {
                self.interrupts.write(offset, low_word(data));
                true
            }
            Some((MmioTarget::Messages, _)) if data.len() == 4 => {
                let source = MsiSource::Processor;
                self.interrupts.msi(MsiWrite { source, address: gpa, data: low_word(data) });
                true
            }
            Some((MmioTarget::Dmar, offset)) => self.write_remapping(offset, data),
            Some((MmioTarget::Messages, _)) | None => false,
        };
        if !answered {
            self.unclaimed.mmio += 1;
        }
    }

    /// Whether the CPU must come back for what was just done.
    fn flow(&self) -> Flow {
        if self.wants_cpu() { Flow::Yield } else { Flow::Continue }
    }

    /// The same after a write to registers, by which most messages come.
    fn flow_of_write(&self) -> Flow {
        match (self.wants_more_than_messages(), self.interrupts.waiting()) {
            (false, false) => Flow::Continue,
            (false, true) if self.delivers_itself => Flow::Message,
            _ => Flow::Yield,
        }
    }
}

fn sleeps_for_good(control: u8) -> bool {
    control & SLEEP_ENABLE != 0 && control >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK == S5_SLP_TYP
}

/// Copies a register's bytes to an access of another width; missing bytes are zero.
fn fill(data: &mut [u8], register: &[u8]) {
    data.fill(0);
    for (to, from) in data.iter_mut().zip(register) {
        *to = *from;
    }
}

/// The low 32 bits of what is written.
fn low_word(data: &[u8]) -> u32 {
    let mut word = [0; 4];
    fill(&mut word, data);
    u32::from_le_bytes(word)
}

impl Bus for Machine {
    fn mmio_read(&mut self, now: Cycles, gpa: u64, data: &mut [u8]) {
        self.set_cycles(now);
        self.read_mmio(gpa, data);
        self.note(ExitKind::MmioRead, gpa, data);
    }

    fn read_interrupts(&mut self, gpa: u64) -> bool {
        self.read_flushes(gpa)
    }

    fn mmio_write(&mut self, now: Cycles, gpa: u64, data: &[u8]) -> Flow {
        self.set_cycles(now);
        self.note(ExitKind::MmioWrite, gpa, data);
        self.write_mmio(gpa, data);
        self.flow_of_write()
    }

    fn port_read(&mut self, now: Cycles, port: u16, data: &mut [u8]) -> Flow {
        self.set_cycles(now);
        self.read_port(port, data);
        self.note(ExitKind::PortRead, port.into(), data);
        self.flow()
    }

    fn port_write(&mut self, now: Cycles, port: u16, data: &[u8]) -> Flow {
        self.set_cycles(now);
        self.note(ExitKind::PortWrite, port.into(), data);
        self.write_port(port, data);
        self.flow()
    }

    fn end_of_interrupt(&mut self, now: Cycles, vector: u8, level: bool) -> Flow {
        self.set_cycles(now);
        self.record(Event::EndOfInterrupt { cpu: self.cpu, vector });
        self.note(ExitKind::EndOfInterrupt, vector.into(), &[]);
        if level {
            self.interrupts.end_of_interrupt(vector);
        }
        self.flow()
    }

    fn runs(&mut self, cpu: u32) {
        self.cpu = cpu;
    }

    fn turn(&mut self) -> u64 {
        self.variation.as_mut().map_or(TURN, Variation::turn)
    }

    fn random(&mut self) -> u64 {
        self.numbers.any()
    }

    fn waiting(&mut self, now: Cycles) -> Waiting {
        self.set_cycles(now);
        if !self.delivers_itself || self.wants_more_than_messages() {
            return Waiting::Machine;
        }
        // As a round of what is due would have it, in which there is nothing.
        self.due_at = Some(now);
        match self.take_written() {
            // (To take one changes no event of the machine's.)
            Some(message) if self.messages.is_empty() && !self.interrupts.waiting() => {
                Waiting::Last(message.address, message.data)
            }
            Some(message) => Waiting::Message(message.address, message.data),
            None if self.wants_cpu() => Waiting::Machine,
            None => Waiting::Nothing,
        }
    }

    fn interrupt_delivered(&mut self, now: Cycles, vector: u8) {
        self.set_cycles(now);
        self.record(Event::InterruptDelivered { cpu: self.cpu, vector });
        self.note(ExitKind::Interrupt, vector.into(), &[]);
    }
    fn counter_set(&mut self, now: Cycles, offset: TscOffset) {
        // Of a guest on KVM's CPU that is not the machine's counter: the offset is read from KVM.
        if self.time.from_host().is_none() {
            self.set_cycles(now);
            self.guest_counter.change(now, offset);
        }
    }
}
