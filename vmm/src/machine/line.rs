//! The serial port's line: how it is set, how long a character takes on it, and whether the guest listens.
//!
//! Register numbers and bits are those of the PC16550D's data sheet, section 8.

/// Registers, by their offset.
const DATA: u8 = 0;
const INTERRUPT_ENABLE: u8 = 1;
const LINE_CONTROL: u8 = 3;
const MODEM_CONTROL: u8 = 4;
pub const LINE_STATUS: u8 = 5;

/// Interrupt enable: received data available.
const RECEIVE_INTERRUPT: u8 = 1;
/// Line control: bits of a character less 5; a second stop bit (half a one for 5 bits); a parity bit; offsets 0 and 1 are the divisor.
const WORD_LENGTH: u8 = 3;
const TWO_STOP_BITS: u8 = 1 << 2;
const PARITY: u8 = 1 << 3;
const DIVISOR_ACCESS: u8 = 1 << 7;
/// Modem control: data terminal ready and request to send; what is sent is received.
const READY_TO_RECEIVE: u8 = 0b11;
const LOOP_BACK: u8 = 1 << 4;

/// Bits a second at a divisor of 1: a PC's clock of 1.8432 MHz over 16.
const BAUD_BASE: u64 = 115_200;
/// Received characters that wait for the guest, as in a 16550.
pub const FIFO_BYTES: usize = 16;

/// Looks at the line's status that show a guest to poll: one may be for the transmitter.
const OFTEN: u8 = 2;

/// How the line is set.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Registers of the port, as the guest wrote them.
    pub interrupt_enable: u8,
    pub line_control: u8,
    pub modem_control: u8,
    /// Of the clock; zero stands for 65,536.
    pub divisor: u16,
    /// How often the guest has looked at the line's status without another access between; twice is often.
    pub looks: u8,
}

impl Line {
    /// The guest writes a register.
    pub fn note_write(&mut self, offset: u8, value: u8) {
        self.looks = 0;
        let [low, high] = self.divisor.to_le_bytes();
        match offset {
            DATA if self.line_control & DIVISOR_ACCESS != 0 => {
                self.divisor = u16::from_le_bytes([value, high])
            }
            INTERRUPT_ENABLE if self.line_control & DIVISOR_ACCESS != 0 => {
                self.divisor = u16::from_le_bytes([low, value]);
            }
            INTERRUPT_ENABLE => self.interrupt_enable = value,
            LINE_CONTROL => self.line_control = value,
            MODEM_CONTROL => self.modem_control = value,
            _ => {}
        }
    }

    /// The guest reads a register.
    pub fn note_read(&mut self, offset: u8) {
        self.looks = if offset == LINE_STATUS { self.looks.saturating_add(1).min(OFTEN) } else { 0 };
    }

    /// Whether the guest listens: by interrupts, with the lines up that tell the other end so, or by looking at the status again
    /// and again. A driver that only probes the port does neither, and its reads would swallow what came.
    pub fn listens(&self) -> bool {
        let by_interrupts = self.interrupt_enable & RECEIVE_INTERRUPT != 0
            && self.modem_control & READY_TO_RECEIVE == READY_TO_RECEIVE;
        (by_interrupts || self.looks >= OFTEN) && self.modem_control & LOOP_BACK == 0
    }

    /// How long a character takes, in nanoseconds.
    pub fn character_ns(&self) -> u64 {
        let word = 5 + u64::from(self.line_control & WORD_LENGTH);
        let parity = u64::from(self.line_control & PARITY != 0);
        let stop = 1 + u64::from(self.line_control & TWO_STOP_BITS != 0);
        // A counter of 16 bits: zero is its whole length.
        let divisor = if self.divisor == 0 { 1 << 16 } else { u64::from(self.divisor) };
        (1 + word + parity + stop) * divisor * 1_000_000_000 / BAUD_BASE
    }
}
