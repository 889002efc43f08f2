//! The I/O APIC: 24 pins, each with a redirection entry (82093AA data sheet, with the EOI register of version 0x20).

#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::apic::DeliveryMode;

/// Number of input pins.
pub const PINS: usize = 24;
/// Bytes of the register page that mean something.
pub const WINDOW_BYTES: u64 = 0x44;

const SELECT: u64 = 0x00;
const DATA: u64 = 0x10;
const EOI: u64 = 0x40;

const INDEX_ID: u8 = 0x00;
const INDEX_VERSION: u8 = 0x01;
const INDEX_ARBITRATION: u8 = 0x02;
const INDEX_ENTRIES: u8 = 0x10;
/// Maximum redirection entry 23, version 0x20.
const VERSION: u32 = 0x0017_0020;

const ENTRY_REMOTE_IRR: u64 = 1 << 14;
const ENTRY_LEVEL: u64 = 1 << 15;
const ENTRY_MASKED: u64 = 1 << 16;
/// Delivery status (always idle here) and remote IRR are read-only; bits 17..48 are reserved. The 82093AA has a destination
/// in bits 56..64 alone; what is below belongs to the index of an entry in remappable format.
const ENTRY_WRITABLE: u64 = 0xffff_0000_0001_afff;

/// The saved state of an [`IoApic`], version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoApicState {
    /// Layout version of this struct: 1.
    pub version: u32,
    /// Id register, bits 24..28.
    pub id: u32,
    /// Index selected by IOREGSEL.
    pub select: u8,
    /// Redirection entries by pin.
    pub entries: Vec<u64>,
    /// Bit n: pin n is asserted.
    pub pins: u32,
}

/// What a pin sends: a write of `data` to `address`, like a message-signalled interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinMessage {
    /// Where.
    pub address: u64,
    /// What.
    pub data: u32,
}

/// One I/O APIC. Pins carry "asserted", not a voltage: the polarity bit is kept for the guest and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoApic {
    id: u32,
    select: u8,
    entries: [u64; PINS],
    pins: u32,
}

impl IoApic {
    /// An I/O APIC after power-on: every pin masked and not asserted.
    pub fn new(id: u8) -> Self {
        IoApic { id: u32::from(id & 0xf) << 24, select: 0, entries: [ENTRY_MASKED; PINS], pins: 0 }
    }

    /// Builds from a saved state; `None` when its version or its number of pins is another.
    pub fn restore(state: &IoApicState) -> Option<Self> {
        let entries = state.entries.as_slice().try_into().ok()?;
        (state.version == 1).then_some(IoApic {
            id: state.id,
            select: state.select,
            entries,
            pins: state.pins,
        })
    }

    /// The whole state.
    pub fn save(&self) -> IoApicState {
        IoApicState {
            version: 1,
            id: self.id,
            select: self.select,
            entries: self.entries.to_vec(),
            pins: self.pins,
        }
    }

    /// Reads the 32-bit register at byte `offset` of the page. Nothing there reads as zero.
    pub fn read(&self, offset: u64) -> u32 {
        match offset {
            SELECT => u32::from(self.select),
            DATA => self.read_indexed(),
            _ => 0,
        }
    }

    fn read_indexed(&self) -> u32 {
        match self.select {
            INDEX_ID | INDEX_ARBITRATION => self.id,
            INDEX_VERSION => VERSION,
            _ => self.selected_entry().map_or(0, |(pin, shift)| (self.entries[pin] >> shift) as u32),
        }
    }

    /// The pin, and the first bit of its entry, that the selected index names.
    fn selected_entry(&self) -> Option<(usize, u32)> {
        let index = usize::from(self.select.checked_sub(INDEX_ENTRIES)?);
        (index / 2 < PINS).then_some((index / 2, (index as u32 & 1) << 5))
    }

    /// Writes the 32-bit register at byte `offset` of the page. Returns the messages to send: unmasking an asserted
    /// level-triggered pin, or ending its interrupt, sends one.
    #[must_use]
    pub fn write(&mut self, offset: u64, value: u32) -> Vec<PinMessage> {
        match offset {
            SELECT => self.select = value as u8,
            DATA => return self.write_indexed(value).into_iter().collect(),
            EOI => return self.end_of_interrupt(value as u8),
            _ => {}
        }
        Vec::new()
    }

    fn write_indexed(&mut self, value: u32) -> Option<PinMessage> {
        if self.select == INDEX_ID {
            self.id = value & 0x0f00_0000;
            return None;
        }
        let (pin, shift) = self.selected_entry()?;
        let half = 0xffff_ffffu64 << shift;
        let writable = ENTRY_WRITABLE & half;
        let entry = &mut self.entries[pin];
        *entry = *entry & !writable | u64::from(value) << shift & writable;
        if *entry & ENTRY_LEVEL == 0 {
            // An edge-triggered entry has no remote IRR; switching to edge and back is how software of version
            // 0x11 controllers clears it.
            *entry &= !ENTRY_REMOTE_IRR;
        }
        self.try_level(pin)
    }

    /// Sets the level of `pin`. Returns the message to send, if the change sends one. A rising edge at a masked
    /// edge-triggered pin is lost, as in hardware. Pins beyond the last are ignored.
    #[must_use]
    pub fn set_pin(&mut self, pin: usize, asserted: bool) -> Option<PinMessage> {
        let entry = *self.entries.get(pin)?;
        let was = self.pins >> pin & 1 != 0;
        self.pins = self.pins & !(1 << pin) | u32::from(asserted) << pin;
        if entry & ENTRY_LEVEL != 0 {
            return self.try_level(pin);
        }
        (asserted && !was && entry & ENTRY_MASKED == 0).then(|| message(entry))?
    }

    /// A CPU ended the level-triggered interrupt `vector`. Returns the messages to send for pins still asserted.
    #[must_use]
    pub fn end_of_interrupt(&mut self, vector: u8) -> Vec<PinMessage> {
        let mut messages = Vec::new();
        for pin in 0..PINS {
            let entry = &mut self.entries[pin];
            if *entry & ENTRY_LEVEL != 0 && *entry as u8 == vector {
                *entry &= !ENTRY_REMOTE_IRR;
                messages.extend(self.try_level(pin));
            }
        }
        messages
    }

    /// Sends a level-triggered pin's message if it is asserted, unmasked and not already being serviced.
    fn try_level(&mut self, pin: usize) -> Option<PinMessage> {
        let entry = self.entries[pin];
        let ready = entry & (ENTRY_LEVEL | ENTRY_MASKED | ENTRY_REMOTE_IRR) == ENTRY_LEVEL;
        if !ready || self.pins >> pin & 1 == 0 {
            return None;
        }
        let message = message(entry)?;
        self.entries[pin] |= ENTRY_REMOTE_IRR;
        Some(message)
    }
}

/// The message a redirection entry describes; `None` when its delivery mode is reserved. Bits 48..64 and 11 go where a message
/// has its destination and its mode, or in remappable format (bit 48) the index of an entry (Intel VT-d specification 3.3, 5.1.5.1).
fn message(entry: u64) -> Option<PinMessage> {
    const WINDOW: u64 = 0xfee0_0000;
    const LEVEL_ASSERT: u32 = 1 << 14;
    const DELIVERY: u32 = 0x7ff;
    let low = entry as u32;
    DeliveryMode::from_bits(low >> 8)?;
    Some(PinMessage {
        address: WINDOW | entry >> 48 << 4 | (entry >> 11 & 1) << 2,
        data: low & ENTRY_LEVEL as u32 | LEVEL_ASSERT | low & DELIVERY,
    })
}
