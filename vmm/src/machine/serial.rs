//! The 16550 console on port 0x3f8: vm-superio's register model, with host input that waits its turn.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use vm_superio::serial::NoEvents;
use vm_superio::{Serial, Trigger};

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
    bytes_out: u64,
}

/// The console.
pub struct SerialPort {
    uart: Serial<Pulse, NoEvents, LineWriter>,
    pulse: Pulse,
    bytes_out: u64,
}

/// Registers of a 16550, in ports.
pub const SERIAL_PORTS: u16 = 8;

impl SerialPort {
    /// A console whose output goes to `out`.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        let pulse = Pulse::default();
        let uart = Serial::new(pulse.clone(), LineWriter { out, line: Vec::new() });
        SerialPort { uart, pulse, bytes_out: 0 }
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
            bytes_out: self.bytes_out,
        }
    }

    /// A console in `state` whose output goes to `out`; none if more input waits than there is room for.
    pub fn restore(state: &SerialState, out: Box<dyn Write + Send>) -> Option<Self> {
        let registers = vm_superio::serial::SerialState {
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
        let writer = LineWriter { out, line: Vec::new() };
        let pulse = Pulse::default();
        let uart = Serial::from_state(&registers, pulse.clone(), NoEvents, writer).ok()?;
        // Restoring a level makes no edge: the saved machine has had its pulse.
        pulse.0.store(false, Ordering::Relaxed);
        Some(SerialPort { uart, pulse, bytes_out: state.bytes_out })
    }

    /// Reads the register at `offset`, 0 to 7.
    pub fn read(&mut self, offset: u8) -> u8 {
        self.uart.read(offset)
    }

    /// Writes the register at `offset`, 0 to 7.
    pub fn write(&mut self, offset: u8, value: u8) {
        if offset == 0 {
            self.bytes_out += 1;
        }
        // The writer never fails and the trigger cannot; a full FIFO in loop-back mode drops bytes, as hardware does.
        let _ = self.uart.write(offset, value);
    }

    /// How many bytes of input fit.
    pub fn room(&self) -> usize {
        self.uart.fifo_capacity()
    }

    /// Gives the guest input; more than [`room`](Self::room) is dropped.
    pub fn input(&mut self, bytes: &[u8]) {
        let fitting = bytes.len().min(self.room());
        let _ = self.uart.enqueue_raw_bytes(&bytes[..fitting]);
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

    #[test]
    fn input_pulses_the_line_only_when_the_guest_wants_it() {
        let mut serial = SerialPort::new(Box::new(std::io::sink()));
        serial.input(b"x");
        assert!(!serial.take_pulse());
        serial.write(1, 1);
        assert!(serial.take_pulse());
        assert_eq!(serial.read(0), b'x');
    }

    #[test]
    fn a_restored_port_has_its_input_and_makes_no_edge() {
        let mut serial = SerialPort::new(Box::new(std::io::sink()));
        serial.write(1, 1);
        serial.input(b"xy");
        assert!(serial.take_pulse());
        let state = serial.save();
        let mut restored = SerialPort::restore(&state, Box::new(std::io::sink())).expect("possible");
        assert_eq!(restored.save(), state);
        assert!(!restored.take_pulse());
        assert_eq!([restored.read(0), restored.read(0)], *b"xy");
        let full = SerialState { input: vec![0; 1000], ..state };
        assert!(SerialPort::restore(&full, Box::new(std::io::sink())).is_none());
    }

    #[test]
    fn input_beyond_the_fifo_is_refused_not_lost_silently() {
        let mut serial = SerialPort::new(Box::new(std::io::sink()));
        let room = serial.room();
        serial.input(&vec![b'a'; room + 10]);
        assert_eq!(serial.room(), 0);
    }
}
