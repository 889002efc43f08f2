//! The 16550 console on port 0x3f8: vm-superio's register model, with host input that waits its turn.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    fn input_beyond_the_fifo_is_refused_not_lost_silently() {
        let mut serial = SerialPort::new(Box::new(std::io::sink()));
        let room = serial.room();
        serial.input(&vec![b'a'; room + 10]);
        assert_eq!(serial.room(), 0);
    }
}
