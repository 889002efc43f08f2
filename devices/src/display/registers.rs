//! The register map of docs/display.md, as one table.

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

use super::color::{COEFFICIENTS, ColorControl, ENTRIES};
use super::monitor::EDID_BYTES;
use crate::registers::{Map, Register, acting, all, clear_by_ones, read_only, read_write};

/// Value of `ID`: "FPD1".
pub const ID_VALUE: u32 = u32::from_le_bytes(*b"FPD1");
/// The largest side of the active area, pixels.
pub const MAX_SIDE_PX: u16 = 4096;
/// Value of `MAX_SIZE`.
pub const MAX_SIZE: Size = Size { width_px: MAX_SIDE_PX, height_px: MAX_SIDE_PX };
/// How many planes there are: a primary one, two overlays and a cursor, in this order.
pub const PLANES: usize = 4;
/// Bytes from one plane's registers to the next one's.
const PLANE_STRIDE: usize = 0x80;

/// How many heads there are.
pub const HEADS: usize = 2;
/// Bytes from one head's registers to the next one's. Those of the function are among the first head's.
pub const HEAD_BYTES: u32 = 0x1000;

/// MSI-X vectors of a head: one for each bit of `IRQ_STATUS`.
const HEAD_VECTORS: u16 = 5;
/// MSI-X vectors: the first head's, then the next one's.
pub const VECTORS: u16 = HEAD_VECTORS * HEADS as u16;

/// BAR 0 size.
pub const BAR0_BYTES: u32 = HEAD_BYTES * HEADS as u32;

bitflags! {
    /// `IRQ_STATUS` and `IRQ_ENABLE`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Irq: u32 {
        const VBLANK = 1 << 0;
        const FLIP_DONE = 1 << 1;
        const ERROR = 1 << 2;
        const HOTPLUG = 1 << 3;
        const WRITEBACK = 1 << 4;
    }

    /// `ERROR_STATUS`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct ErrorBits: u32 {
        const MODE = 1 << 0;
        const COMMIT_BUSY = 1 << 1;
        const COMMIT_INVALID = 1 << 2;
        const TABLE = 1 << 3;
        const FETCH = 1 << 4;
        const LATE = 1 << 5;
        const WRITEBACK = 1 << 6;
    }

    /// What is written to `COMMIT`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Commit: u32 {
        /// The registers become a commit.
        const GO = 1 << 0;
        /// It is shown at once.
        const NOW = 1 << 1;
        /// It takes the place of one that waits.
        const REPLACE = 1 << 2;
    }

    /// `PLANE_COLOR`: how YCbCr is meant.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Color: u32 {
        /// By BT.709, and not BT.601.
        const BT709 = 1 << 0;
        /// In full range, and not limited.
        const FULL_RANGE = 1 << 1;
    }
}

impl Irq {
    /// The MSI-X vector of each single bit, of head `number`.
    pub fn vectors(self, number: u8) -> impl Iterator<Item = u16> {
        let first = u16::from(number).saturating_mul(HEAD_VECTORS);
        let bits = (0..HEAD_VECTORS).filter(move |&bit| self.bits() & (1u32 << bit) != 0);
        bits.map(move |bit| first.saturating_add(bit))
    }
}

/// A width and a height packed in one register: low and high half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Pixels in a line.
    pub width_px: u16,
    /// Lines.
    pub height_px: u16,
}

impl Size {
    /// From the register.
    pub fn from_bits(bits: u32) -> Self {
        Size { width_px: bits as u16, height_px: (bits >> 16) as u16 }
    }

    /// To the register.
    pub const fn bits(self) -> u32 {
        self.width_px as u32 | (self.height_px as u32) << 16
    }

    /// Width times height.
    pub fn area(self) -> u64 {
        u64::from(self.width_px).saturating_mul(u64::from(self.height_px))
    }
}

/// A place packed in one register: low and high half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point<T> {
    /// Pixels from the left.
    pub x: T,
    /// Lines from the top.
    pub y: T,
}

impl Point<u16> {
    /// From the register.
    pub fn from_bits(bits: u32) -> Self {
        Point { x: bits as u16, y: (bits >> 16) as u16 }
    }

    /// To the register.
    pub fn bits(self) -> u32 {
        u32::from(self.x) | u32::from(self.y) << 16
    }
}

impl Point<i16> {
    /// From the register, whose halves have signs.
    pub fn from_bits(bits: u32) -> Self {
        Point { x: bits as i16, y: (bits >> 16) as i16 }
    }

    /// To the register.
    pub fn bits(self) -> u32 {
        u32::from(self.x as u16) | u32::from(self.y as u16) << 16
    }
}

/// `PLANE_BLEND`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blend {
    /// What alpha pixels have: one of the modes below, or 3, which there is not.
    pub mode: u8,
    /// The alpha of the plane.
    pub alpha: u8,
}

impl Blend {
    /// Pixels have no alpha of their own.
    pub const NONE: u8 = 0;
    /// Their colours are multiplied by it already.
    pub const PREMULTIPLIED: u8 = 1;
    /// They are not.
    pub const COVERAGE: u8 = 2;
    /// The register after reset.
    pub const RESET: Blend = Blend { mode: Blend::NONE, alpha: 0xff };

    /// From the register.
    pub fn from_bits(bits: u32) -> Self {
        Blend { mode: bits as u8 & 3, alpha: (bits >> 8) as u8 }
    }

    /// To the register.
    pub const fn bits(self) -> u32 {
        self.mode as u32 | (self.alpha as u32) << 8
    }
}

/// A register, by its name in docs/display.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reg {
    Id,
    MaxSize,
    IrqStatus,
    IrqEnable,
    ErrorStatus,
    NowNs,
    NowCycles,
    CrtcEnable,
    ModeActive,
    ModeTotal,
    ModeClock,
    Commit,
    CommitAccepted,
    CommitLatched,
    VblankCount,
    VblankCycles,
    VblankNs,
    CrcFrame,
    CrcValue,
    Underruns,
    Refused,
    FaultIova,
    EnableNs,
    VrrControl,
    VrrTotal,
    ColorControl,
    ColorMatrix,
    Gamma,
    PlaneControl,
    PlaneFormat,
    PlaneTable,
    PlaneEntries,
    PlaneOffset,
    PlanePitch,
    PlaneSize,
    PlaneCrop,
    PlanePosition,
    PlaneScreenSize,
    PlaneBlend,
    PlaneColor,
    PlaneOrder,
    PlaneFilter,
    PlaneChromaTable,
    PlaneChromaEntries,
    PlaneChromaOffset,
    PlaneChromaPitch,
    Connector,
    Edid,
    WritebackControl,
    WritebackFormat,
    WritebackTable,
    WritebackEntries,
    WritebackOffset,
    WritebackPitch,
    WritebackStatus,
    WritebackDone,
    WritebackFailures,
}

impl Reg {
    /// Whether there is one of it, and not one for each head.
    pub fn is_of_function(self) -> bool {
        matches!(self, Reg::Id | Reg::MaxSize | Reg::NowNs | Reg::NowCycles)
    }
}

/// The function's registers and the first head's.
pub static MAP: Map<Reg> = Map::new(REGISTERS, HEAD_BYTES as usize);

/// All registers.
pub fn rows() -> Vec<Register> {
    let row = |register: &Register<Reg>| match register.id.is_of_function() {
        true => register.anonymous(),
        false => register.anonymous().in_sets(HEADS, HEAD_BYTES as usize),
    };
    REGISTERS.iter().map(row).collect()
}

/// Where each head's register known as `id` is.
pub fn offsets(id: Reg) -> impl Iterator<Item = u32> {
    let heads = (0..BAR0_BYTES).step_by(HEAD_BYTES as usize);
    heads.flat_map(move |head| MAP.offsets(id).map(move |offset| head.saturating_add(offset)))
}

const REGISTERS: &[Register<Reg>] = &[
    read_only("ID", 0x000, 4, ID_VALUE as u64).id(Reg::Id),
    read_only("MAX_SIZE", 0x004, 4, MAX_SIZE.bits() as u64).id(Reg::MaxSize),
    clear_by_ones("IRQ_STATUS", 0x010, 4, 0, Irq::all().bits() as u64).id(Reg::IrqStatus),
    read_write("IRQ_ENABLE", 0x014, 4, 0, Irq::all().bits() as u64).id(Reg::IrqEnable),
    clear_by_ones("ERROR_STATUS", 0x018, 4, 0, ErrorBits::all().bits() as u64).id(Reg::ErrorStatus),
    read_only("NOW_NS", 0x020, 8, 0).configured().id(Reg::NowNs),
    read_only("NOW_CYCLES", 0x028, 8, 0).configured().id(Reg::NowCycles),
    acting("CRTC_ENABLE", 0x100, 4, 0, 1).id(Reg::CrtcEnable),
    read_write("MODE_ACTIVE", 0x104, 4, 0, all(4)).id(Reg::ModeActive),
    read_write("MODE_TOTAL", 0x108, 4, 0, all(4)).id(Reg::ModeTotal),
    read_write("MODE_CLOCK", 0x10c, 4, 0, all(4)).id(Reg::ModeClock),
    acting("COMMIT", 0x110, 4, 0, Commit::all().bits() as u64).id(Reg::Commit),
    read_only("COMMIT_ACCEPTED", 0x118, 8, 0).id(Reg::CommitAccepted),
    read_only("COMMIT_LATCHED", 0x120, 8, 0).id(Reg::CommitLatched),
    read_only("VBLANK_COUNT", 0x128, 8, 0).id(Reg::VblankCount),
    read_only("VBLANK_CYCLES", 0x130, 8, 0).id(Reg::VblankCycles),
    read_only("VBLANK_NS", 0x138, 8, 0).id(Reg::VblankNs),
    read_only("CRC_FRAME", 0x140, 8, 0).id(Reg::CrcFrame),
    read_only("CRC_VALUE", 0x148, 4, 0).id(Reg::CrcValue),
    read_only("UNDERRUNS", 0x150, 4, 0).id(Reg::Underruns),
    read_only("REFUSED", 0x154, 4, 0).id(Reg::Refused),
    read_only("FAULT_IOVA", 0x158, 8, 0).id(Reg::FaultIova),
    read_write("COLOR_CONTROL", 0x160, 4, 0, ColorControl::all().bits() as u64).id(Reg::ColorControl),
    read_only("ENABLE_NS", 0x168, 8, 0).id(Reg::EnableNs),
    read_write("VRR_CONTROL", 0x170, 4, 0, 1).id(Reg::VrrControl),
    read_write("VRR_TOTAL", 0x174, 4, 0, 0xffff).id(Reg::VrrTotal),
    read_write("COLOR_MATRIX", 0x180, 4, 0, all(4)).each(COEFFICIENTS, 4).id(Reg::ColorMatrix),
    read_write("PLANE_CONTROL", 0x400, 4, 0, 1).each(PLANES, PLANE_STRIDE).id(Reg::PlaneControl),
    read_write("PLANE_FORMAT", 0x404, 4, 0, all(4)).each(PLANES, PLANE_STRIDE).id(Reg::PlaneFormat),
    read_write("PLANE_TABLE", 0x408, 8, 0, all(8)).each(PLANES, PLANE_STRIDE).id(Reg::PlaneTable),
    read_write("PLANE_ENTRIES", 0x410, 4, 0, all(4)).each(PLANES, PLANE_STRIDE).id(Reg::PlaneEntries),
    read_write("PLANE_OFFSET", 0x414, 4, 0, all(4)).each(PLANES, PLANE_STRIDE).id(Reg::PlaneOffset),
    read_write("PLANE_PITCH", 0x418, 4, 0, all(4)).each(PLANES, PLANE_STRIDE).id(Reg::PlanePitch),
    read_write("PLANE_SIZE", 0x41c, 4, 0, all(4)).each(PLANES, PLANE_STRIDE).id(Reg::PlaneSize),
    read_write("PLANE_CROP", 0x420, 4, 0, all(4)).each(PLANES, PLANE_STRIDE).id(Reg::PlaneCrop),
    read_write("PLANE_POSITION", 0x424, 4, 0, all(4)).each(PLANES, PLANE_STRIDE).id(Reg::PlanePosition),
    read_write("PLANE_SCREEN_SIZE", 0x428, 4, 0, all(4)).each(PLANES, PLANE_STRIDE).id(Reg::PlaneScreenSize),
    read_write("PLANE_BLEND", 0x42c, 4, Blend::RESET.bits() as u64, 0xff03)
        .each(PLANES, PLANE_STRIDE)
        .id(Reg::PlaneBlend),
    read_write("PLANE_COLOR", 0x430, 4, 0, Color::all().bits() as u64)
        .each(PLANES, PLANE_STRIDE)
        .id(Reg::PlaneColor),
    read_write("PLANE_ORDER", 0x434, 4, 0, 3).each(PLANES, PLANE_STRIDE).id(Reg::PlaneOrder),
    read_write("PLANE_FILTER", 0x438, 4, 0, 1).each(PLANES, PLANE_STRIDE).id(Reg::PlaneFilter),
    read_write("PLANE_CHROMA_TABLE", 0x440, 8, 0, all(8))
        .each(PLANES, PLANE_STRIDE)
        .id(Reg::PlaneChromaTable),
    read_write("PLANE_CHROMA_ENTRIES", 0x448, 4, 0, all(4))
        .each(PLANES, PLANE_STRIDE)
        .id(Reg::PlaneChromaEntries),
    read_write("PLANE_CHROMA_OFFSET", 0x44c, 4, 0, all(4))
        .each(PLANES, PLANE_STRIDE)
        .id(Reg::PlaneChromaOffset),
    read_write("PLANE_CHROMA_PITCH", 0x450, 4, 0, all(4))
        .each(PLANES, PLANE_STRIDE)
        .id(Reg::PlaneChromaPitch),
    read_only("CONNECTOR", 0x800, 4, 0).configured().id(Reg::Connector),
    read_only("EDID", 0x900, 4, 0).each(EDID_BYTES / 4, 4).configured().id(Reg::Edid),
    acting("WRITEBACK_CONTROL", 0xa00, 4, 0, 1).id(Reg::WritebackControl),
    read_write("WRITEBACK_FORMAT", 0xa04, 4, 0, all(4)).id(Reg::WritebackFormat),
    read_write("WRITEBACK_TABLE", 0xa08, 8, 0, all(8)).id(Reg::WritebackTable),
    read_write("WRITEBACK_ENTRIES", 0xa10, 4, 0, all(4)).id(Reg::WritebackEntries),
    read_write("WRITEBACK_OFFSET", 0xa14, 4, 0, all(4)).id(Reg::WritebackOffset),
    read_write("WRITEBACK_PITCH", 0xa18, 4, 0, all(4)).id(Reg::WritebackPitch),
    read_only("WRITEBACK_STATUS", 0xa1c, 4, 0).id(Reg::WritebackStatus),
    read_only("WRITEBACK_DONE", 0xa20, 8, 0).id(Reg::WritebackDone),
    read_only("WRITEBACK_FAILURES", 0xa28, 4, 0).id(Reg::WritebackFailures),
    read_write("GAMMA", 0xc00, 4, 0, 0xff_ffff).each(ENTRIES, 4).id(Reg::Gamma),
];
