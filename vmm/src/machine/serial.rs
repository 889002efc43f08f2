//! The 16550 console on port 0x3f8: vm-superio's register model at the end of a line.
//!
//! Input comes as over a line: one character in the time that the port's divisor and format give, and only while the guest
//! listens; the other end heeds the port's modem lines, and waits rather than loses. Output takes no time.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use vm_superio::serial::{NoEvents, SerialState as UartState};
use vm_superio::{Serial, Trigger};

use super::line::{FIFO_BYTES, LINE_STATUS, Line};

/// Notes that the interrupt line pulsed; the machine takes the note after each access.
#[derive(Clone, Debug, Default)]
struct Pulse(Arc<AtomicBool>);

impl Trigger for Pulse {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        self.0.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Gathers a line before it writes: the register model flushes after each byte.
struct LineWriter {
    out: Box<dyn Write + Send>,
    line: Vec<u8>,
}

const LINE_MAX_BYTES: usize = 4096;
/// Received characters that the register model has room for.
const RECEIVED_MAX: usize = 64;

impl LineWriter {
    fn drain(&mut self) {
        // A console that has gone away (a closed pipe) is no reason to stop the guest.
        let _ = self.out.write_all(&self.line).and_then(|()| self.out.flush());
        self.line.clear();
    }
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if bytes.contains(&b'\n') || self.line.len() >= LINE_MAX_BYTES {
            self.drain();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The registers of a [`SerialPort`], and the input that the guest has not read yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialState {
    divisor: [u8; 2],
    interrupt_enable: u8,
    interrupt_identification: u8,
    line_control: u8,
    line_status: u8,
    modem_control: u8,
    modem_status: u8,
    scratch: u8,
    input: Vec<u8>,
    /// How often the guest has looked at the line's status without another access between.
    looks: u8,
    /// Which of the characters in `input` are BREAKs, the first in bit 0.
    breaks: u64,
}

/// Line status: the character that is read next is a BREAK (PC16550D, 8.4).
const BREAK_INTERRUPT: u8 = 1 << 4;

/// The console.
pub struct SerialPort {
    uart: Serial<Pulse, NoEvents, LineWriter>,
    pulse: Pulse,
    line: Line,
    /// Which of the received characters are BREAKs that the guest has not been told of, the next one in bit 0.
    breaks: u64,
}

/// Registers of a 16550, in ports.
pub const SERIAL_PORTS: u16 = 8;

impl SerialPort {
    /// A console whose output goes to `out`; its line is at 115200 baud, as firmware would leave it.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        let state = UartState { baud_divisor_low: 1, baud_divisor_high: 0, ..UartState::default() };
        Self::of(&state, 0, 0, out).expect("nothing waits in a new port")
    }

    /// A console with these registers; none if more input waits than there is room for.
    fn of(state: &UartState, looks: u8, breaks: u64, out: Box<dyn Write + Send>) -> Option<Self> {
        let pulse = Pulse::default();
        let writer = LineWriter { out, line: Vec::new() };
        let uart = Serial::from_state(state, pulse.clone(), NoEvents, writer).ok()?;
        // Restoring a level makes no edge: the saved machine has had its pulse.
        pulse.0.store(false, Ordering::Relaxed);
        let line = Line {
            interrupt_enable: state.interrupt_enable,
            line_control: state.line_control,
            modem_control: state.modem_control,
            divisor: u16::from_le_bytes([state.baud_divisor_low, state.baud_divisor_high]),
            looks,
        };
        Some(SerialPort { uart, pulse, line, breaks })
    }

    /// The state now. What was written is shown first: the host's side is no part of it.
    pub fn save(&mut self) -> SerialState {
        self.flush();
        let state = self.uart.state();
        SerialState {
            divisor: [state.baud_divisor_low, state.baud_divisor_high],
            interrupt_enable: state.interrupt_enable,
            interrupt_identification: state.interrupt_identification,
            line_control: state.line_control,
            line_status: state.line_status,
            modem_control: state.modem_control,
            modem_status: state.modem_status,
            scratch: state.scratch,
            input: state.in_buffer,
            looks: self.line.looks,
            breaks: self.breaks,
        }
    }

    /// A console in `state` whose output goes to `out`; none if more input waits than there is room for.
    pub fn restore(state: &SerialState, out: Box<dyn Write + Send>) -> Option<Self> {
        let registers = UartState {
            baud_divisor_low: state.divisor[0],
            baud_divisor_high: state.divisor[1],
            interrupt_enable: state.interrupt_enable,
            interrupt_identification: state.interrupt_identification,
            line_control: state.line_control,
            line_status: state.line_status,
            modem_control: state.modem_control,
            modem_status: state.modem_status,
            scratch: state.scratch,
            in_buffer: state.input.clone(),
        };
        Self::of(&registers, state.looks, state.breaks, out)
    }

    /// What is written goes to `out` from now on.
    pub fn connect(&mut self, out: Box<dyn Write + Send>) {
        self.flush();
        self.uart.writer_mut().out = out;
    }

    /// Where it writes, which is nowhere from now on. What it was to write and has not is lost.
    pub fn part(&mut self) -> Box<dyn Write + Send> {
        self.uart.writer_mut().line.clear();
        std::mem::replace(&mut self.uart.writer_mut().out, Box::new(std::io::sink()))
    }

    /// Reads the register at `offset`, 0 to 7.
    pub fn read(&mut self, offset: u8) -> u8 {
        self.line.note_read(offset);
        let before = self.waiting();
        let mut value = self.uart.read(offset);
        if self.waiting() < before {
            self.breaks >>= 1;
        } else if offset == LINE_STATUS && self.breaks & 1 != 0 {
            value |= BREAK_INTERRUPT;
            // Reading the status clears it.
            self.breaks &= !1;
        }
        value
    }

    /// Received characters that the guest has not read.
    fn waiting(&self) -> usize {
        RECEIVED_MAX - self.uart.fifo_capacity()
    }

    /// Writes the register at `offset`, 0 to 7.
    pub fn write(&mut self, offset: u8, value: u8) {
        self.line.note_write(offset, value);
        // The writer never fails and the trigger cannot; a full FIFO in loop-back mode drops bytes, as hardware does.
        let _ = self.uart.write(offset, value);
    }

    /// How long the line takes for a character, in nanoseconds, if the guest would take one.
    pub fn next_character_ns(&self) -> Option<u64> {
        (self.line.listens() && self.waiting() < FIFO_BYTES).then(|| self.line.character_ns())
    }

    /// A character has come over the line.
    pub fn input(&mut self, byte: u8) {
        // There was room for it.
        let _ = self.uart.enqueue_raw_bytes(&[byte]);
    }

    /// A BREAK has come over the line, which also is a character of zeros.
    pub fn input_break(&mut self) {
        self.breaks |= 1 << self.waiting().min(RECEIVED_MAX - 1);
        self.input(0);
    }

    /// Whether the interrupt line pulsed since the last call.
    pub fn take_pulse(&mut self) -> bool {
        self.pulse.0.swap(false, Ordering::Relaxed)
    }

    /// Whether there is an unfinished line to show.
    pub fn unfinished(&self) -> bool {
        !self.uart.writer().line.is_empty()
    }

    /// Shows what the guest has written of an unfinished line, such as a prompt.
    pub fn flush(&mut self) {
        let writer = self.uart.writer_mut();
        if !writer.line.is_empty() {
            writer.drain();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_written_at_its_end_and_a_prompt_when_flushed() {
        let shared = Shared::default();
        let mut serial = SerialPort::new(Box::new(shared.clone()));
        for &byte in b"one\ntw" {
            serial.write(0, byte);
        }
        assert_eq!(*shared.0.lock().expect("not poisoned"), b"one\n");
        serial.flush();
        assert_eq!(*shared.0.lock().expect("not poisoned"), b"one\ntw");
    }

    fn port() -> SerialPort {
        SerialPort::new(Box::new(std::io::sink()))
    }

    /// A driver's settings: interrupt enable and modem control.
    fn set(serial: &mut SerialPort, interrupts: u8, modem: u8) {
        serial.write(1, interrupts);
        serial.write(4, modem);
    }

    #[test]
    fn input_pulses_the_line_only_when_the_guest_wants_it() {
        let mut serial = port();
        serial.input(b'x');
        assert!(!serial.take_pulse());
        serial.write(1, 1);
        assert!(serial.take_pulse());
        assert_eq!(serial.read(0), b'x');
    }

    #[test]
    fn a_restored_port_has_its_input_and_its_line_and_makes_no_edge() {
        let mut serial = port();
        serial.write(3, 0x80);
        serial.write(0, 12);
        serial.write(3, 3);
        set(&mut serial, 1, 3);
        serial.input(b'x');
        serial.input(b'y');
        assert!(serial.take_pulse());
        let state = serial.save();
        let restored = |state: &SerialState| SerialPort::restore(state, Box::new(std::io::sink()));
        let mut again = restored(&state).expect("possible");
        assert_eq!(again.save(), state);
        assert!(!again.take_pulse());
        assert_eq!(again.next_character_ns(), serial.next_character_ns());
        assert_eq!([again.read(0), again.read(0)], *b"xy");
        set(&mut serial, 0, 0);
        assert_eq!([serial.read(5), serial.read(5)], [0x61; 2], "input waits");
        let polled = restored(&serial.save()).expect("possible");
        assert_eq!((polled.next_character_ns(), polled.line.looks), (serial.next_character_ns(), 2));
        assert!(restored(&SerialState { input: vec![0; 1000], ..state }).is_none());
    }

    #[test]
    fn a_driver_listens_with_its_interrupt_and_both_modem_lines() {
        for (interrupts, modem, listens) in [
            (0, 0x0b, false),
            (1, 0x08, false),
            (1, 0x0a, false),
            (1, 0x09, false),
            (1, 0x0b, true),
            (5, 3, true),
            (1, 0x1b, false),
        ] {
            let mut serial = port();
            set(&mut serial, interrupts, modem);
            assert_eq!(serial.next_character_ns().is_some(), listens, "{interrupts:#x} {modem:#x}");
        }
    }

    #[test]
    fn whoever_looks_at_the_status_again_and_again_listens() {
        let mut serial = port();
        serial.read(5);
        assert_eq!(serial.next_character_ns(), None, "one look may be for the transmitter");
        serial.read(5);
        assert!(serial.next_character_ns().is_some());
        serial.write(0, b'.');
        serial.read(5);
        assert_eq!(serial.next_character_ns(), None);
        serial.read(5);
        assert!(serial.next_character_ns().is_some());
        serial.read(0);
        assert_eq!(serial.next_character_ns(), None);
    }

    #[test]
    fn a_character_takes_as_long_as_divisor_and_format_say() {
        // Divisor, line control, and bits of a character: a start bit, then data, parity, stop.
        for (divisor, format, bits) in
            [(1u64, 3, 10), (12, 3, 10), (12, 7, 11), (96, 0x1b, 11), (1, 0, 7), (0, 3, 10)]
        {
            let mut serial = port();
            serial.write(3, 0x80);
            serial.write(0, divisor as u8);
            serial.write(1, (divisor >> 8) as u8);
            serial.write(3, format);
            set(&mut serial, 1, 3);
            let divisor = if divisor == 0 { 65_536 } else { divisor };
            let ns = bits * divisor * 1_000_000_000 / 115_200;
            assert_eq!(serial.next_character_ns(), Some(ns), "{divisor} {format:#x}");
        }
        let mut serial = port();
        set(&mut serial, 1, 3);
        assert_eq!(serial.next_character_ns(), Some(86_805), "115200 baud before anybody set it");
    }

    /// The status of PC16550D, 8.4: data ready is bit 0, a BREAK bit 4; the transmitter is empty (bits 5 and 6).
    #[test]
    fn a_break_shows_in_the_status_when_its_character_is_the_next_one_and_once() {
        let mut serial = port();
        set(&mut serial, 1, 3);
        serial.input(b'a');
        serial.input_break();
        serial.input(b'b');
        assert_eq!((serial.read(5), serial.read(0)), (0x61, b'a'));
        let state = serial.save();
        let mut again = SerialPort::restore(&state, Box::new(std::io::sink())).expect("possible");
        assert_eq!(again.save(), state);
        for serial in [&mut serial, &mut again] {
            assert_eq!([serial.read(5), serial.read(5), serial.read(0)], [0x71, 0x61, 0]);
            assert_eq!([serial.read(5), serial.read(0), serial.read(5)], [0x61, b'b', 0x60]);
        }
        serial.input_break();
        assert_eq!((serial.read(0), serial.read(5)), (0, 0x60), "read without a look at the status");
    }

    #[test]
    fn a_full_fifo_holds_the_line() {
        let mut serial = port();
        set(&mut serial, 1, 3);
        for byte in 0..16 {
            assert!(serial.next_character_ns().is_some());
            serial.input(byte);
        }
        assert_eq!(serial.next_character_ns(), None);
        assert_eq!(serial.read(0), 0);
        assert!(serial.next_character_ns().is_some());
    }
}
