//! The machine's side of its serial ports: 0 is the console, the others are there when they were asked for.

use std::io::Write;

use fencepost_firmware::layout;

use super::Machine;
use super::events::Call;
use super::serial::SerialPort;
use crate::control::Received;

impl Machine {
    /// Plugs the next serial port beside the console; what it sends goes to `out`.
    pub fn plug_serial(&mut self, out: Box<dyn Write + Send>) {
        self.more_serial.push(SerialPort::new(out));
    }

    /// What the serial ports beside the console send goes to `outs` from now on, in their order.
    pub fn connect_serial(&mut self, outs: Vec<Box<dyn Write + Send>>) {
        self.more_serial.iter_mut().zip(outs).for_each(|(port, out)| port.connect(out));
    }

    fn serial_port(&mut self, port: u8) -> Option<&mut SerialPort> {
        match usize::from(port).checked_sub(1) {
            None => Some(&mut self.serial),
            Some(more) => self.more_serial.get_mut(more),
        }
    }

    /// Reads a register of a serial port, if that is there.
    pub(super) fn read_serial(&mut self, port: u8, offset: u8) -> Option<u8> {
        let value = self.serial_port(port)?.read(offset);
        self.attend_serial(port);
        // A read cannot say that the CPU must come back, but the next character may be due before anything else.
        if self.queue.next_ns().is_some_and(|next| next < self.cpu_deadline_ns) {
            self.control.nudge();
        }
        Some(value)
    }

    /// Writes a register of a serial port; false if that is not there.
    pub(super) fn write_serial(&mut self, port: u8, offset: u8, value: u8) -> bool {
        let Some(serial) = self.serial_port(port) else { return false };
        serial.write(offset, value);
        self.serial_pulse(port);
        self.attend_serial(port);
        true
    }

    /// Has the next character of each serial port's input on its way, if one waits and the guest listens.
    pub fn attend_console(&mut self) {
        for port in (0u8..).take(1 + self.more_serial.len()) {
            self.attend_serial(port);
        }
    }

    pub(super) fn attend_serial(&mut self, port: u8) {
        if let Some(ns) = self.serial_port(port).and_then(|serial| serial.next_character_ns())
            && !self.queue.is_pending(Call::serial(port))
            && self.control.has_serial_input(port)
        {
            self.queue.schedule(self.time.now().ns.saturating_add(ns), 0, Call::serial(port));
        }
    }

    /// A character arrives over a port's line. If the guest no longer listens, it waits at the other end.
    pub(super) fn serial_character(&mut self, port: u8) {
        let control = std::sync::Arc::clone(&self.control);
        if let Some(serial) = self.serial_port(port)
            && serial.next_character_ns().is_some()
            && let Some(received) = control.take_serial_input(port)
        {
            match received {
                Received::Character(byte) => serial.input(byte),
                Received::Break => serial.input_break(),
            }
            self.count_character(port);
            self.serial_pulse(port);
        }
        self.attend_serial(port);
    }

    /// Shows unfinished lines: the guest waits, perhaps at a prompt.
    pub fn flush_console(&mut self) {
        self.serial.flush();
        self.more_serial.iter_mut().for_each(SerialPort::flush);
    }

    /// Whether there is an unfinished line to show.
    pub fn console_unfinished(&self) -> bool {
        self.serial.unfinished() || self.more_serial.iter().any(SerialPort::unfinished)
    }

    fn serial_pulse(&mut self, port: u8) {
        if self.serial_port(port).is_some_and(|serial| serial.take_pulse()) {
            let more = usize::from(port).checked_sub(1).and_then(|more| layout::MORE_SERIAL.get(more));
            self.interrupts.pulse(more.map_or(layout::SERIAL_GSI, |(_, gsi)| *gsi));
        }
    }
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
