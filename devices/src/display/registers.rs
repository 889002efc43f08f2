//! The register map of docs/display.md, as one table.

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

use super::edid::EDID_BYTES;
use crate::registers::{Map, Register, acting, all, clear_by_ones, read_only, read_write};

/// Value of `ID`: "FPD1".
pub const ID_VALUE: u32 = u32::from_le_bytes(*b"FPD1");
/// The largest side of the active area, pixels.
pub const MAX_SIDE_PX: u16 = 4096;
/// Value of `MAX_SIZE`.
pub const MAX_SIZE: Size = Size { width_px: MAX_SIDE_PX, height_px: MAX_SIDE_PX };
/// The only format: DRM fourcc "XR24", XRGB8888 (drm_fourcc.h).
pub const FORMAT_XRGB8888: u32 = u32::from_le_bytes(*b"XR24");

/// BAR 0 size.
pub const BAR0_BYTES: u32 = 0x1000;

bitflags! {
    /// `IRQ_STATUS` and `IRQ_ENABLE`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Irq: u32 {
        const VBLANK = 1 << 0;
        const FLIP_DONE = 1 << 1;
        const ERROR = 1 << 2;
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
    }
}

impl Irq {
    /// The MSI-X vector of each single bit: the bit's number.
    pub fn vectors(self) -> impl Iterator<Item = u16> {
        (0u16..3).filter(move |&vector| self.bits() & (1u32 << vector) != 0)
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
    PlaneControl,
    PlaneFormat,
    PlaneTable,
    PlaneEntries,
    PlaneOffset,
    PlanePitch,
    PlaneSize,
    Connector,
    Edid,
}

/// BAR 0.
pub static MAP: Map<Reg> = Map::new(REGISTERS, BAR0_BYTES as usize);

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
    acting("COMMIT", 0x110, 4, 0, 1).id(Reg::Commit),
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
    read_write("PLANE_CONTROL", 0x400, 4, 0, 1).id(Reg::PlaneControl),
    read_write("PLANE_FORMAT", 0x404, 4, 0, all(4)).id(Reg::PlaneFormat),
    read_write("PLANE_TABLE", 0x408, 8, 0, all(8)).id(Reg::PlaneTable),
    read_write("PLANE_ENTRIES", 0x410, 4, 0, all(4)).id(Reg::PlaneEntries),
    read_write("PLANE_OFFSET", 0x414, 4, 0, all(4)).id(Reg::PlaneOffset),
    read_write("PLANE_PITCH", 0x418, 4, 0, all(4)).id(Reg::PlanePitch),
    read_write("PLANE_SIZE", 0x41c, 4, 0, all(4)).id(Reg::PlaneSize),
    read_only("CONNECTOR", 0x800, 4, 1).id(Reg::Connector),
    read_only("EDID", 0x900, 4, 0).each(EDID_BYTES / 4, 4).configured().id(Reg::Edid),
];
