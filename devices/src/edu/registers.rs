//! The registers of docs/edu.md, and the bits in them.

use crate::registers::{Map, Register, acting, all, locked, read_only, read_write, write_only};

/// Size of BAR 0.
pub const BAR_BYTES: u32 = 1 << 20;
/// Registers below this offset take 4-byte accesses only.
pub const WIDE_FROM: u64 = 0x80;

/// Version 1.0, and the device's signature in the low 12 bits.
pub const ID_VALUE: u64 = 0x0100_00ed;
/// Status: a factorial is being computed.
pub const COMPUTING: u64 = 1;
/// Status: interrupt when it is done.
pub const INTERRUPT_WHEN_DONE: u64 = 1 << 7;
/// DMA command: start, and busy.
pub const START: u64 = 1;
/// DMA command: from the device to memory.
pub const TO_MEMORY: u64 = 2;
/// DMA command: interrupt at the end.
pub const INTERRUPT_AT_END: u64 = 4;
/// Interrupt status: a factorial is done.
pub const FACTORIAL_DONE: u32 = 1;
/// Interrupt status: a transfer is done.
pub const TRANSFER_DONE: u32 = 0x100;

/// Where DMA finds the buffer among the device's own addresses.
pub const BUFFER: u64 = 0x4_0000;
/// Size of the buffer.
pub const BUFFER_BYTES: usize = 4096;

/// The registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    Identification,
    Liveness,
    Factorial,
    Status,
    InterruptStatus,
    InterruptRaise,
    InterruptAcknowledge,
    Source,
    Destination,
    Count,
    Command,
}

const ROWS: &[Register<Id>] = &[
    read_only("ID", 0x00, 4, ID_VALUE).id(Id::Identification),
    acting("LIVENESS", 0x04, 4, 0, all(4)).id(Id::Liveness),
    read_write("FACTORIAL", 0x08, 4, 0, all(4)).id(Id::Factorial),
    read_write("STATUS", 0x20, 4, 0, INTERRUPT_WHEN_DONE).id(Id::Status),
    read_only("IRQ_STATUS", 0x24, 4, 0).id(Id::InterruptStatus),
    write_only("IRQ_RAISE", 0x60, 4, all(4)).id(Id::InterruptRaise),
    write_only("IRQ_ACK", 0x64, 4, all(4)).id(Id::InterruptAcknowledge),
    locked("DMA_SRC", 0x80, 8, 0).id(Id::Source),
    locked("DMA_DST", 0x88, 8, 0).id(Id::Destination),
    locked("DMA_COUNT", 0x90, 8, 0).id(Id::Count),
    Register { writable: START | TO_MEMORY | INTERRUPT_AT_END, ..locked("DMA_CMD", 0x98, 8, 0) }
        .id(Id::Command),
];

/// The registers by offset.
pub static MAP: Map<Id> = Map::new(ROWS, BAR_BYTES as usize);
