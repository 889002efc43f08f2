//! The register map of docs/gpu.md, as one table.

/// Size of BAR 0 in bytes.
pub const REGISTERS_BYTES: u32 = 0x1000;
/// Number of rings.
pub const RINGS: u32 = 2;
/// The vector of errors; ring `n`'s fences raise vector `n`.
pub const ERROR_VECTOR: u16 = RINGS as u16;
/// Number of MSI-X vectors.
pub const VECTORS: u16 = ERROR_VECTOR.wrapping_add(1);
/// `ID`: "FGPU" in memory order.
pub const ID_VALUE: u32 = u32::from_le_bytes(*b"FGPU");
/// `VERSION`: 1.1.
pub const VERSION_VALUE: u32 = 0x0001_0001;
/// `CAPS`: opcodes 0 to 6.
pub const CAPS_VALUE: u32 = 0x7f;
/// `RING_MAX_PACKETS`.
pub const RING_MAX_PACKETS: u32 = 4096;
/// `MAX_DIMENSION`, in pixels.
pub const MAX_DIMENSION_PX: u32 = 8192;
/// `POLL_CYCLES`.
pub const POLL_CYCLES: u32 = 10_000;
/// Reset value of `RING_WAIT_TIMEOUT`, in microseconds.
pub const WAIT_TIMEOUT_US: u32 = 1_000_000;

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

const RING_FIRST: u32 = 0x100;
const RING_SPAN: u32 = 0x100;

/// A global register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
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
}

/// A register of each ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
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
}

/// One row of the map.
#[derive(Clone, Copy, Debug)]
pub struct Row<R> {
    /// Which register.
    pub register: R,
    /// Its name in docs/gpu.md.
    pub name: &'static str,
    /// Where it starts, from BAR 0 or from the ring's registers.
    pub offset: u32,
    /// Its width in bytes, 4 or 8.
    pub bytes: u32,
}

const fn row<R: Copy>(register: R, name: &'static str, offset: u32, bytes: u32) -> Row<R> {
    Row { register, name, offset, bytes }
}

/// The global registers.
pub const GLOBAL: &[Row<Global>] = &[
    row(Global::Id, "ID", 0x000, 4),
    row(Global::Version, "VERSION", 0x004, 4),
    row(Global::Caps, "CAPS", 0x008, 4),
    row(Global::Rings, "RINGS", 0x00c, 4),
    row(Global::RingMaxPackets, "RING_MAX_PACKETS", 0x010, 4),
    row(Global::SgMaxEntries, "SG_MAX_ENTRIES", 0x014, 4),
    row(Global::MaxDimension, "MAX_DIMENSION", 0x018, 4),
    row(Global::Vectors, "VECTORS", 0x01c, 4),
    row(Global::FixedCycles, "FIXED_CYCLES", 0x020, 8),
    row(Global::BytesPerCycle, "BYTES_PER_CYCLE", 0x028, 4),
    row(Global::PollCycles, "POLL_CYCLES", 0x02c, 4),
    row(Global::ErrorRings, "ERROR_RINGS", 0x030, 4),
    row(Global::Control, "CONTROL", 0x034, 4),
];

/// The registers of a ring.
pub const RING: &[Row<Ring>] = &[
    row(Ring::Base, "RING_BASE", 0x00, 8),
    row(Ring::Size, "RING_SIZE", 0x08, 4),
    row(Ring::Head, "RING_HEAD", 0x0c, 4),
    row(Ring::Tail, "RING_TAIL", 0x10, 4),
    row(Ring::Control, "RING_CONTROL", 0x14, 4),
    row(Ring::Status, "RING_STATUS", 0x18, 4),
    row(Ring::Fence, "RING_FENCE", 0x20, 8),
    row(Ring::Seqno, "RING_SEQNO", 0x28, 8),
    row(Ring::ErrorCode, "RING_ERROR_CODE", 0x30, 4),
    row(Ring::ErrorPacket, "RING_ERROR_PACKET", 0x34, 4),
    row(Ring::ErrorAddress, "RING_ERROR_ADDRESS", 0x38, 8),
    row(Ring::ErrorCount, "RING_ERROR_COUNT", 0x40, 4),
    row(Ring::WaitTimeout, "RING_WAIT_TIMEOUT", 0x44, 4),
    row(Ring::Packets, "RING_PACKETS", 0x48, 8),
    row(Ring::TailAddress, "RING_TAIL_ADDR", 0x50, 8),
    row(Ring::Doorbell, "RING_DOORBELL", 0x58, 4),
];

/// The half of a register that a 32-bit word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Bits 31:0.
    Low,
    /// Bits 63:32.
    High,
}

impl Half {
    /// This half of `value`.
    pub fn of(self, value: u64) -> u32 {
        match self {
            Half::Low => value as u32,
            Half::High => (value >> 32) as u32,
        }
    }

    /// `value` with this half replaced.
    pub fn put(self, value: u64, half: u32) -> u64 {
        match self {
            Half::Low => (value & !0xffff_ffff) | u64::from(half),
            Half::High => (value & 0xffff_ffff) | (u64::from(half) << 32),
        }
    }
}

/// Where in BAR 0 the 32-bit `register` of ring `index` is, if it is in the map.
pub fn ring_offset(index: u32, register: Ring) -> Option<u32> {
    let row = RING.iter().find(|row| row.register == register)?;
    Some(RING_FIRST.saturating_add(index.saturating_mul(RING_SPAN)).saturating_add(row.offset))
}

/// What a 32-bit word of BAR 0 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A half of a global register.
    Global(Global, Half),
    /// A half of a register of the ring of this index.
    Ring(usize, Ring, Half),
    /// Nothing.
    Hole,
}

/// Decodes a 4-aligned offset of BAR 0.
pub fn place(offset: u32) -> Place {
    if offset < RING_FIRST {
        return find(GLOBAL, offset).map_or(Place::Hole, |(r, half)| Place::Global(r, half));
    }
    let index = offset.saturating_sub(RING_FIRST) / RING_SPAN;
    if index >= RINGS {
        return Place::Hole;
    }
    find(RING, offset % RING_SPAN).map_or(Place::Hole, |(r, half)| Place::Ring(index as usize, r, half))
}

fn find<R: Copy>(rows: &[Row<R>], offset: u32) -> Option<(R, Half)> {
    rows.iter().find_map(|row| match offset.checked_sub(row.offset) {
        Some(0) => Some((row.register, Half::Low)),
        Some(4) if row.bytes == 8 => Some((row.register, Half::High)),
        _ => None,
    })
}
