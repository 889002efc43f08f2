//! Wire formats: 128 bytes of a ring become a [`Packet`] once, and here only.

use fencepost_trace::JobKind;
use serde::{Deserialize, Serialize};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::compute::{MAX_INSTRUCTIONS, MAX_PLACES, MAX_WINDOW_BYTES};
use super::error::GpuError;
use super::image::{Filter, PIXEL_BYTES, PixelAlpha, Turn};
use super::registers::{MAX_DIMENSION_PX, ring_takes};
use crate::pixel::Range;

/// Bytes of one packet.
pub const PACKET_BYTES: u32 = 128;
/// The most rows of a fill or a copy.
pub const MAX_ROWS: u32 = 65_536;
/// The most bytes of a fill or a copy: 1 GiB, above what the largest list of whole pages holds.
pub const MAX_AREA_BYTES: u64 = 1 << 30;

const CONVERT_FORMAT: u32 = 0b011;
const CONVERT_FULL_RANGE: u32 = 0b100;
const ROTATE_QUARTERS: u32 = 0b0011;
const ROTATE_FLIP_X: u32 = 1 << 2;
const ROTATE_FLIP_Y: u32 = 1 << 3;
const WAIT_EQUAL: u32 = 1 << 0;
const WAIT_PATIENT: u32 = 1 << 1;

/// An operand as it is in memory.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawOperand {
    /// IOVA of the list; virtual address of the buffer in a context.
    pub table: U64,
    /// Its entries.
    pub entries: U32,
    /// Bytes from row to row.
    pub stride: U32,
    /// Byte offset of the first row.
    pub offset: U64,
}

/// A packet as it is in memory.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawPacket {
    /// What to do.
    pub opcode: U32,
    /// How.
    pub flags: U32,
    /// Fence value, or a label.
    pub seqno: U64,
    /// Where to.
    pub dst: RawOperand,
    /// Where from.
    pub src: RawOperand,
    /// The second plane.
    pub src2: RawOperand,
    /// Bytes or pixels in a row.
    pub width: U32,
    /// Rows.
    pub height: U32,
    /// Pattern or semaphore value.
    pub value: U64,
    /// The semaphore, or where a result goes.
    pub address: U64,
    /// Pixels in a row of a source of another size.
    pub src_width: U32,
    /// Its rows.
    pub src_height: U32,
    /// Whose addresses it has; 0: I/O virtual addresses.
    pub context: U32,
    /// Zero.
    pub reserved: [u8; 4],
}

/// A window into a buffer, whose list is not fetched yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// IOVA of the list; virtual address of the buffer in a context.
    pub table: u64,
    /// Its entries; none in a context.
    pub entries: u32,
    /// Bytes from row to row.
    pub stride: u32,
    /// Byte offset of the first row.
    pub offset: u64,
}

/// Where a conversion reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<W> {
    /// Packed YUYV.
    Yuyv(W),
    /// A plane of luma and one of chroma.
    Nv12 {
        /// Luma.
        luma: W,
        /// Interleaved Cb and Cr.
        chroma: W,
    },
}

/// When a semaphore wait ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// The word is at least this, unsigned.
    AtLeast(u64),
    /// The word is this.
    Equal(u64),
}

impl Condition {
    /// Whether `word` satisfies it.
    pub fn holds(self, word: u64) -> bool {
        match self {
            Condition::AtLeast(value) => word >= value,
            Condition::Equal(value) => word == value,
        }
    }
}

/// A packet that is right in itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Nothing.
    Nop,
    /// Write a pattern.
    Fill { dst: Operand, width_bytes: u32, rows: u32, pattern: u32 },
    /// Copy rows.
    Copy { dst: Operand, src: Operand, width_bytes: u32, rows: u32 },
    /// Convert to XRGB8888.
    Convert { dst: Operand, src: Source<Operand>, range: Range, width_px: u32, rows: u32 },
    /// Scale from one size, width and height, to another.
    Scale { dst: Operand, src: Operand, filter: Filter, to: (u32, u32), from: (u32, u32) },
    /// Blend over what is there.
    Blend { dst: Operand, src: Operand, mode: PixelAlpha, plane: u8, size: (u32, u32) },
    /// Turn and flip a source of this size.
    Rotate { dst: Operand, src: Operand, turn: Turn, size: (u32, u32) },
    /// Write the CRC-32 of rows.
    Checksum { src: Operand, address: u64, width_bytes: u32, rows: u32 },
    /// Run a program at each place of a grid.
    Compute {
        dst: Operand,
        src: Option<Operand>,
        program: Operand,
        instructions: u32,
        grid: (u32, u32),
        values: [u32; 2],
    },
    /// Wait on a semaphore; for ever if it is `patient`.
    SemWait { address: u64, condition: Condition, patient: bool },
    /// Write a semaphore.
    SemSignal { address: u64, value: u64 },
    /// Write the fence word, and before it where it is asked for how busy the ring was.
    Fence { seqno: u64, cycles_at: Option<u64> },
}

impl RawPacket {
    /// What traces call the job, right or not.
    pub fn kind(&self) -> JobKind {
        match self.opcode.get() {
            0 => JobKind::Nop,
            1 => JobKind::Fill,
            2 => JobKind::Copy,
            3 => JobKind::Convert,
            4 => JobKind::SemaphoreWait,
            5 => JobKind::SemaphoreSignal,
            6 => JobKind::Fence,
            7 => JobKind::Scale,
            8 => JobKind::Blend,
            9 => JobKind::Rotate,
            10 => JobKind::Checksum,
            11 => JobKind::Compute,
            _ => JobKind::Unknown,
        }
    }

    /// As [`Self::parse`], and whether ring `index` takes it.
    pub fn parse_for(&self, index: u32) -> Result<Packet, GpuError> {
        let packet = self.parse()?;
        if ring_takes(index, self.opcode.get()) { Ok(packet) } else { Err(GpuError::Opcode) }
    }

    /// Checks everything that can be checked without memory.
    fn parse(&self) -> Result<Packet, GpuError> {
        let packet = match self.opcode.get() {
            0 => Packet::Nop,
            1 => self.fill()?,
            2 => self.copy()?,
            3 => self.convert()?,
            4 => {
                let patient = self.flags.get() & WAIT_PATIENT != 0;
                Packet::SemWait { address: self.semaphore()?, condition: self.condition(), patient }
            }
            5 => Packet::SemSignal { address: self.semaphore()?, value: self.value.get() },
            6 => {
                let at = self.semaphore()?;
                Packet::Fence { seqno: self.seqno.get(), cycles_at: (at != 0).then_some(at) }
            }
            7 => self.scale()?,
            8 => self.blend()?,
            9 => self.rotate()?,
            10 => self.checksum()?,
            11 => self.compute()?,
            _ => return Err(GpuError::Opcode),
        };
        let rest = self.without_fields_of(&packet);
        // "Fields that an opcode does not use, and all reserved fields, must be zero."
        if rest.as_bytes().iter().any(|&byte| byte != 0) {
            return Err(GpuError::Packet);
        }
        Ok(packet)
    }

    fn fill(&self) -> Result<Packet, GpuError> {
        let (width_bytes, rows) = self.area()?;
        let pattern = u32::try_from(self.value.get()).map_err(|_| GpuError::Packet)?;
        check(width_bytes % 4 == 0)?;
        Ok(Packet::Fill { dst: self.dst.window(width_bytes, rows)?, width_bytes, rows, pattern })
    }

    fn copy(&self) -> Result<Packet, GpuError> {
        let (width_bytes, rows) = self.area()?;
        let dst = self.dst.window(width_bytes, rows)?;
        Ok(Packet::Copy { dst, src: self.src.window(width_bytes, rows)?, width_bytes, rows })
    }

    fn convert(&self) -> Result<Packet, GpuError> {
        let (width_px, rows) = dimensions(self.width, self.height)?;
        check(width_px % 2 == 0)?;
        check(self.flags.get() & !(CONVERT_FORMAT | CONVERT_FULL_RANGE) == 0)?;
        let range = if self.flags.get() & CONVERT_FULL_RANGE != 0 { Range::Full } else { Range::Limited };
        let src = match self.flags.get() & CONVERT_FORMAT {
            0 => Source::Yuyv(self.src.window(width_px.saturating_mul(2), rows)?),
            1 => {
                check(rows % 2 == 0)?;
                let luma = self.src.window(width_px, rows)?;
                Source::Nv12 { luma, chroma: self.src2.window(width_px, rows / 2)? }
            }
            _ => return Err(GpuError::Packet),
        };
        let dst = self.dst.window(width_px.saturating_mul(4), rows)?;
        Ok(Packet::Convert { dst, src, range, width_px, rows })
    }

    fn scale(&self) -> Result<Packet, GpuError> {
        let filter = match self.flags.get() {
            0 => Filter::Nearest,
            1 => Filter::Bilinear,
            _ => return Err(GpuError::Packet),
        };
        let (to, from) = (dimensions(self.width, self.height)?, dimensions(self.src_width, self.src_height)?);
        Ok(Packet::Scale { dst: self.dst.pixels(to)?, src: self.src.pixels(from)?, filter, to, from })
    }

    fn blend(&self) -> Result<Packet, GpuError> {
        let mode = match self.flags.get() {
            0 => PixelAlpha::Ignored,
            1 => PixelAlpha::Premultiplied,
            2 => PixelAlpha::Coverage,
            _ => return Err(GpuError::Packet),
        };
        let plane = u8::try_from(self.value.get()).map_err(|_| GpuError::Packet)?;
        let size = dimensions(self.width, self.height)?;
        Ok(Packet::Blend { dst: self.dst.pixels(size)?, src: self.src.pixels(size)?, mode, plane, size })
    }

    fn rotate(&self) -> Result<Packet, GpuError> {
        let flags = self.flags.get();
        check(flags & !(ROTATE_QUARTERS | ROTATE_FLIP_X | ROTATE_FLIP_Y) == 0)?;
        let turn = Turn {
            quarters: (flags & ROTATE_QUARTERS) as u8,
            flip_x: flags & ROTATE_FLIP_X != 0,
            flip_y: flags & ROTATE_FLIP_Y != 0,
        };
        let size = dimensions(self.width, self.height)?;
        let dst = self.dst.pixels(turn.size(size))?;
        Ok(Packet::Rotate { dst, src: self.src.pixels(size)?, turn, size })
    }

    fn checksum(&self) -> Result<Packet, GpuError> {
        let (width_bytes, rows) = self.area()?;
        let src = self.src.window(width_bytes, rows)?;
        Ok(Packet::Checksum { src, address: self.semaphore()?, width_bytes, rows })
    }

    fn compute(&self) -> Result<Packet, GpuError> {
        let (grid, instructions) = (dimensions(self.width, self.height)?, self.src_width.get());
        check(u64::from(grid.0).saturating_mul(grid.1.into()) <= MAX_PLACES)?;
        check((1..=MAX_INSTRUCTIONS).contains(&instructions))?;
        let value = self.value.get();
        Ok(Packet::Compute {
            dst: self.dst.words()?,
            // One of nothing is none: then no field of it may be set.
            src: if self.src.stride.get() == 0 { None } else { Some(self.src.words()?) },
            program: self.src2.window(0, 1)?,
            instructions,
            grid,
            values: [value as u32, (value >> 32) as u32],
        })
    }

    fn area(&self) -> Result<(u32, u32), GpuError> {
        let (width, rows) = (self.width.get(), self.height.get());
        let bytes = u64::from(width).saturating_mul(u64::from(rows));
        check(bytes != 0 && bytes <= MAX_AREA_BYTES && rows <= MAX_ROWS)?;
        Ok((width, rows))
    }

    fn semaphore(&self) -> Result<u64, GpuError> {
        check(self.address.get() % 8 == 0)?;
        Ok(self.address.get())
    }

    fn condition(&self) -> Condition {
        let value = self.value.get();
        if self.flags.get() & WAIT_EQUAL != 0 { Condition::Equal(value) } else { Condition::AtLeast(value) }
    }

    /// A copy with every field that `packet`'s opcode uses as zero.
    fn without_fields_of(&self, packet: &Packet) -> RawPacket {
        let rest = RawPacket { opcode: U32::ZERO, seqno: U64::ZERO, context: U32::ZERO, ..*self };
        let none = RawOperand::default();
        let (width, height, value, address) = (U32::ZERO, U32::ZERO, U64::ZERO, U64::ZERO);
        match packet {
            Packet::Nop => rest,
            Packet::Fence { .. } => RawPacket { address, ..rest },
            Packet::Fill { .. } => RawPacket { dst: none, width, height, value, ..rest },
            Packet::Copy { .. } => RawPacket { dst: none, src: none, width, height, ..rest },
            Packet::Convert { src, .. } => {
                let src2 = if matches!(src, Source::Nv12 { .. }) { none } else { rest.src2 };
                RawPacket { flags: U32::ZERO, dst: none, src: none, src2, width, height, ..rest }
            }
            Packet::Scale { .. } => {
                let (src_width, src_height) = (U32::ZERO, U32::ZERO);
                let flags = U32::ZERO;
                RawPacket { flags, dst: none, src: none, width, height, src_width, src_height, ..rest }
            }
            Packet::Blend { .. } | Packet::Rotate { .. } => {
                // A rotation's value is not used.
                let value = if matches!(packet, Packet::Blend { .. }) { value } else { rest.value };
                RawPacket { flags: U32::ZERO, dst: none, src: none, width, height, value, ..rest }
            }
            Packet::Compute { src, .. } => {
                let src = if src.is_some() { none } else { rest.src };
                let src_width = U32::ZERO;
                RawPacket { dst: none, src, src2: none, width, height, src_width, value, ..rest }
            }
            Packet::Checksum { .. } => RawPacket { src: none, width, height, address, ..rest },
            Packet::SemWait { .. } => {
                let flags = U32::new(rest.flags.get() & !(WAIT_EQUAL | WAIT_PATIENT));
                RawPacket { flags, value, address, ..rest }
            }
            Packet::SemSignal { .. } => RawPacket { value, address, ..rest },
        }
    }
}

impl RawOperand {
    /// A window of as many bytes as its stride says, which are whole words.
    fn words(&self) -> Result<Operand, GpuError> {
        let bytes = self.stride.get();
        check(bytes != 0 && bytes % 4 == 0 && bytes <= MAX_WINDOW_BYTES)?;
        self.window(bytes, 1)
    }

    /// A window of pixels of 32 bits.
    fn pixels(&self, (width, rows): (u32, u32)) -> Result<Operand, GpuError> {
        self.window(width.saturating_mul(PIXEL_BYTES), rows)
    }

    fn window(&self, row_bytes: u32, rows: u32) -> Result<Operand, GpuError> {
        check(rows == 1 || self.stride.get() >= row_bytes)?;
        Ok(Operand {
            table: self.table.get(),
            entries: self.entries.get(),
            stride: self.stride.get(),
            offset: self.offset.get(),
        })
    }
}

/// A width and a height that a picture may have.
fn dimensions(width: U32, height: U32) -> Result<(u32, u32), GpuError> {
    let (width, height) = (width.get(), height.get());
    check((1..=MAX_DIMENSION_PX).contains(&width) && (1..=MAX_DIMENSION_PX).contains(&height))?;
    Ok((width, height))
}

fn check(right: bool) -> Result<(), GpuError> {
    if right { Ok(()) } else { Err(GpuError::Packet) }
}
