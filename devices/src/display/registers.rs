//! The display's registers, as `docs/display.md` lists them.

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

/// Value of [`ID`]: "FPD1".
pub const ID_VALUE: u32 = u32::from_le_bytes(*b"FPD1");
/// The largest side of the active area, pixels.
pub const MAX_SIDE_PX: u16 = 4096;
/// The only format: DRM fourcc "XR24", XRGB8888 (drm_fourcc.h).
pub const FORMAT_XRGB8888: u32 = u32::from_le_bytes(*b"XR24");

pub const ID: u32 = 0x000;
pub const MAX_SIZE: u32 = 0x004;
pub const IRQ_STATUS: u32 = 0x010;
pub const IRQ_ENABLE: u32 = 0x014;
pub const ERROR_STATUS: u32 = 0x018;
pub const NOW_NS: u32 = 0x020;
pub const NOW_CYCLES: u32 = 0x028;
pub const CRTC_ENABLE: u32 = 0x100;
pub const MODE_ACTIVE: u32 = 0x104;
pub const MODE_TOTAL: u32 = 0x108;
pub const MODE_CLOCK: u32 = 0x10c;
pub const COMMIT: u32 = 0x110;
pub const COMMIT_ACCEPTED: u32 = 0x118;
pub const COMMIT_LATCHED: u32 = 0x120;
pub const VBLANK_COUNT: u32 = 0x128;
pub const VBLANK_CYCLES: u32 = 0x130;
pub const VBLANK_NS: u32 = 0x138;
pub const CRC_FRAME: u32 = 0x140;
pub const CRC_VALUE: u32 = 0x148;
pub const UNDERRUNS: u32 = 0x150;
pub const REFUSED: u32 = 0x154;
pub const FAULT_IOVA: u32 = 0x158;
pub const PLANE_CONTROL: u32 = 0x400;
pub const PLANE_FORMAT: u32 = 0x404;
pub const PLANE_TABLE: u32 = 0x408;
pub const PLANE_TABLE_HIGH: u32 = 0x40c;
pub const PLANE_ENTRIES: u32 = 0x410;
pub const PLANE_OFFSET: u32 = 0x414;
pub const PLANE_PITCH: u32 = 0x418;
pub const PLANE_SIZE: u32 = 0x41c;
pub const CONNECTOR: u32 = 0x800;
pub const EDID: u32 = 0x900;
pub const EDID_END: u32 = 0x980;

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
    pub fn bits(self) -> u32 {
        u32::from(self.width_px) | u32::from(self.height_px) << 16
    }

    /// Width times height.
    pub fn area(self) -> u64 {
        u64::from(self.width_px).saturating_mul(u64::from(self.height_px))
    }
}
