//! The register map of docs/gpu.md, as one table.

use crate::registers::{Map, Register, acting, all, locked, read_only, read_write, write_only};
use crate::sg::SG_MAX_ENTRIES;

/// Size of BAR 0 in bytes.
pub const REGISTERS_BYTES: u32 = 0x1000;
/// Number of rings.
pub const RINGS: u32 = 3;
/// `COPY_RINGS`: ring 2 only copies.
pub const COPY_RINGS_VALUE: u32 = 1 << 2;
/// The opcodes that a copy ring takes, a bit each: `NOP`, `FILL`, `COPY`, `SEM_WAIT`, `SEM_SIGNAL` and `FENCE`.
const COPY_OPCODES: u32 = 0b111_0111;
/// The vector of errors; ring `n`'s fences raise vector `n`.
pub const ERROR_VECTOR: u16 = RINGS as u16;
/// Number of MSI-X vectors.
pub const VECTORS: u16 = ERROR_VECTOR.wrapping_add(1);
/// `ID`: "FGPU" in memory order.
pub const ID_VALUE: u32 = u32::from_le_bytes(*b"FGPU");
/// `VERSION`: 1.4.
pub const VERSION_VALUE: u32 = 0x0001_0004;
/// `CAPS`: opcodes 0 to 11.
pub const CAPS_VALUE: u32 = 0xfff;
/// `RING_MAX_PACKETS`.
pub const RING_MAX_PACKETS: u32 = 4096;
/// `MAX_DIMENSION`, in pixels.
pub const MAX_DIMENSION_PX: u32 = 8192;
/// `POLL_CYCLES`.
pub const POLL_CYCLES: u32 = 10_000;
/// Reset value of `RING_WAIT_TIMEOUT`, in microseconds.
pub const WAIT_TIMEOUT_US: u32 = 1_000_000;

/// The largest value of `CONTEXT_COUNT`.
pub const MAX_CONTEXTS: u32 = 0xffff;
/// `CONTEXT_TABLE`: the bits of an address of a page.
const CONTEXT_TABLE_BITS: u64 = 0x000f_ffff_ffff_f000;
/// `TLB_INVALIDATE`: all contexts.
pub const INVALIDATE_ALL: u32 = 1 << 31;

/// `CONTROL`: reset the function.
pub const CONTROL_RESET: u32 = 1 << 0;
/// `RING_CONTROL`: run.
pub const RING_ENABLE: u32 = 1 << 0;
/// `RING_CONTROL`: drop everything.
pub const RING_RESET: u32 = 1 << 1;

/// `RING_STATUS`: enabled.
pub const STATUS_ENABLED: u32 = 1 << 0;
/// `RING_STATUS`: a packet is executing.
pub const STATUS_BUSY: u32 = 1 << 1;
/// `RING_STATUS`: it is an unsatisfied semaphore wait.
pub const STATUS_WAITING: u32 = 1 << 2;
/// `RING_STATUS`: halted by an error.
pub const STATUS_ERROR: u32 = 1 << 3;

const RING_FIRST: usize = 0x100;
const RING_SPAN: usize = 0x100;

/// Which register it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reg {
    /// One of the GPU.
    Global(Global),
    /// One of each ring.
    Ring(Ring),
}

/// A global register, by its name in docs/gpu.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    Id,
    Version,
    Caps,
    Rings,
    RingMaxPackets,
    SgMaxEntries,
    MaxDimension,
    Vectors,
    FixedCycles,
    BytesPerCycle,
    PollCycles,
    ErrorRings,
    Control,
    CopyRings,
    ContextTable,
    ContextCount,
    TlbInvalidate,
}

/// A register of each ring, by its name in docs/gpu.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    Base,
    Size,
    Head,
    Tail,
    Control,
    Status,
    Fence,
    Seqno,
    ErrorCode,
    ErrorPacket,
    ErrorAddress,
    ErrorCount,
    WaitTimeout,
    Packets,
    TailAddress,
    Doorbell,
    Busy,
    ErrorContext,
}

/// Whether ring `index` takes packets of `opcode`, which the device has.
pub fn ring_takes(index: u32, opcode: u32) -> bool {
    let has = |bits: u32, at: u32| bits.checked_shr(at).is_some_and(|bits| bits & 1 != 0);
    !has(COPY_RINGS_VALUE, index) || has(COPY_OPCODES, opcode)
}

const fn global(id: Global, register: Register) -> Register<Reg> {
    register.id(Reg::Global(id))
}

/// `register` lies behind the start of each ring's registers.
const fn ring(id: Ring, register: Register) -> Register<Reg> {
    let offset = RING_FIRST.saturating_add(register.offset);
    Register { offset, ..register.each(RINGS as usize, RING_SPAN) }.id(Reg::Ring(id))
}

/// BAR 0.
pub static MAP: Map<Reg> = Map::new(REGISTERS, REGISTERS_BYTES as usize);

const REGISTERS: &[Register<Reg>] = &[
    global(Global::Id, read_only("ID", 0x000, 4, ID_VALUE as u64)),
    global(Global::Version, read_only("VERSION", 0x004, 4, VERSION_VALUE as u64)),
    global(Global::Caps, read_only("CAPS", 0x008, 4, CAPS_VALUE as u64)),
    global(Global::Rings, read_only("RINGS", 0x00c, 4, RINGS as u64)),
    global(Global::RingMaxPackets, read_only("RING_MAX_PACKETS", 0x010, 4, RING_MAX_PACKETS as u64)),
    global(Global::SgMaxEntries, read_only("SG_MAX_ENTRIES", 0x014, 4, SG_MAX_ENTRIES as u64)),
    global(Global::MaxDimension, read_only("MAX_DIMENSION", 0x018, 4, MAX_DIMENSION_PX as u64)),
    global(Global::Vectors, read_only("VECTORS", 0x01c, 4, VECTORS as u64)),
    global(Global::FixedCycles, read_only("FIXED_CYCLES", 0x020, 8, 0).configured()),
    global(Global::BytesPerCycle, read_only("BYTES_PER_CYCLE", 0x028, 4, 0).configured()),
    global(Global::PollCycles, read_only("POLL_CYCLES", 0x02c, 4, POLL_CYCLES as u64)),
    global(Global::ErrorRings, read_only("ERROR_RINGS", 0x030, 4, 0)),
    global(Global::Control, write_only("CONTROL", 0x034, 4, CONTROL_RESET as u64)),
    global(Global::CopyRings, read_only("COPY_RINGS", 0x038, 4, COPY_RINGS_VALUE as u64)),
    global(Global::ContextTable, read_write("CONTEXT_TABLE", 0x040, 8, 0, CONTEXT_TABLE_BITS)),
    global(Global::ContextCount, read_write("CONTEXT_COUNT", 0x048, 4, 0, MAX_CONTEXTS as u64)),
    global(
        Global::TlbInvalidate,
        write_only("TLB_INVALIDATE", 0x04c, 4, (INVALIDATE_ALL | MAX_CONTEXTS) as u64),
    ),
    ring(Ring::Base, locked("RING_BASE", 0x00, 8, 0)),
    ring(Ring::Size, locked("RING_SIZE", 0x08, 4, 0)),
    ring(Ring::Head, read_only("RING_HEAD", 0x0c, 4, 0)),
    ring(Ring::Tail, acting("RING_TAIL", 0x10, 4, 0, all(4))),
    ring(Ring::Control, acting("RING_CONTROL", 0x14, 4, 0, (RING_ENABLE | RING_RESET) as u64)),
    ring(Ring::Status, read_only("RING_STATUS", 0x18, 4, 0)),
    ring(Ring::Fence, locked("RING_FENCE", 0x20, 8, 0)),
    ring(Ring::Seqno, read_only("RING_SEQNO", 0x28, 8, 0)),
    ring(Ring::ErrorCode, read_only("RING_ERROR_CODE", 0x30, 4, 0)),
    ring(Ring::ErrorPacket, read_only("RING_ERROR_PACKET", 0x34, 4, 0)),
    ring(Ring::ErrorAddress, read_only("RING_ERROR_ADDRESS", 0x38, 8, 0)),
    ring(Ring::ErrorCount, read_only("RING_ERROR_COUNT", 0x40, 4, 0)),
    ring(Ring::WaitTimeout, read_write("RING_WAIT_TIMEOUT", 0x44, 4, WAIT_TIMEOUT_US as u64, all(4))),
    ring(Ring::Packets, read_only("RING_PACKETS", 0x48, 8, 0)),
    ring(Ring::TailAddress, locked("RING_TAIL_ADDR", 0x50, 8, 0)),
    ring(Ring::Doorbell, write_only("RING_DOORBELL", 0x58, 4, all(4))),
    ring(Ring::Busy, read_only("RING_BUSY_CYCLES", 0x60, 8, 0)),
    ring(Ring::ErrorContext, read_only("RING_ERROR_CONTEXT", 0x68, 4, 0)),
];
