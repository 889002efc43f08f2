//! The machine's side of its serial console.

use fencepost_firmware::layout;

use super::Machine;
use super::events::Call;
use crate::control::Received;

impl Machine {
    /// Has the next character of the console's input on its way, if one waits and the guest listens.
    pub fn attend_console(&mut self) {
        if let Some(ns) = self.serial.next_character_ns()
            && !self.queue.is_pending(Call::CONSOLE)
            && self.control.has_input()
        {
            self.queue.schedule(self.time.now().ns.saturating_add(ns), 0, Call::CONSOLE);
        }
    }

    /// A character arrives over the console's line. If the guest no longer listens, it waits at the other end.
    pub(super) fn console_character(&mut self) {
        if self.serial.next_character_ns().is_some()
            && let Some(received) = self.control.take_input()
        {
            match received {
                Received::Character(byte) => self.serial.input(byte),
                Received::Break => self.serial.input_break(),
            }
            self.serial_pulse();
        }
        self.attend_console();
    }

    /// Shows the console's unfinished line: the guest waits, perhaps at a prompt.
    pub fn flush_console(&mut self) {
        self.serial.flush();
    }

    /// Whether the console has an unfinished line to show.
    pub fn console_unfinished(&self) -> bool {
        self.serial.unfinished()
    }

    pub(super) fn serial_pulse(&mut self) {
        if self.serial.take_pulse() {
            self.interrupts.pulse(layout::SERIAL_GSI);
        }
    }
}
