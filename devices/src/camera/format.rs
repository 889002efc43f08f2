//! The pixel formats of the guest's buffers, and how a frame lies in them.

use serde::{Deserialize, Serialize};

use super::source::Size;

/// Lines in the guest's buffers start at multiples of this, in bytes.
pub const STRIDE_ALIGN: u32 = 4;
/// The longest stride, in bytes.
pub const MAX_STRIDE: u32 = 16_384;

/// A pixel format of the guest's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PixelFormat {
    /// Packed 4:2:2, Y0 Cb Y1 Cr (V4L2 `YUYV`).
    Yuyv,
    /// A luma plane and a plane of Cb Cr pairs, 4:2:0 (V4L2 `NV12`).
    Nv12,
    /// Packed 4:2:2, Cb Y0 Cr Y1 (V4L2 `UYVY`).
    Uyvy,
    /// Four bytes, B G R and all ones (V4L2 `XBGR32`, which is DRM's `XRGB8888`).
    Xrgb8888,
    /// Luma alone (V4L2 `GREY`).
    Grey,
    /// One colour a pixel, lines of R G and of G B (V4L2 `SRGGB8`).
    Bayer8,
    /// The same with 10 bits in two bytes, the low one first (V4L2 `SRGGB10`).
    Bayer10,
}

/// All of them, in the order of the bits of FORMATS.
pub const FORMATS: [PixelFormat; 7] = [
    PixelFormat::Yuyv,
    PixelFormat::Nv12,
    PixelFormat::Uyvy,
    PixelFormat::Xrgb8888,
    PixelFormat::Grey,
    PixelFormat::Bayer8,
    PixelFormat::Bayer10,
];

impl PixelFormat {
    /// Its V4L2 fourcc (linux/videodev2.h).
    pub const fn fourcc(self) -> u32 {
        u32::from_le_bytes(*match self {
            PixelFormat::Yuyv => b"YUYV",
            PixelFormat::Nv12 => b"NV12",
            PixelFormat::Uyvy => b"UYVY",
            PixelFormat::Xrgb8888 => b"XR24",
            PixelFormat::Grey => b"GREY",
            PixelFormat::Bayer8 => b"RGGB",
            PixelFormat::Bayer10 => b"RG10",
        })
    }

    /// The format of a fourcc, if the camera has it.
    pub fn from_fourcc(fourcc: u32) -> Option<Self> {
        FORMATS.into_iter().find(|format| format.fourcc() == fourcc)
    }

    /// Bytes of pixels in a line of `width_px`.
    pub fn line_bytes(self, width_px: u32) -> u32 {
        width_px.saturating_mul(match self {
            PixelFormat::Nv12 | PixelFormat::Grey | PixelFormat::Bayer8 => 1,
            PixelFormat::Yuyv | PixelFormat::Uyvy | PixelFormat::Bayer10 => 2,
            PixelFormat::Xrgb8888 => 4,
        })
    }
}

/// How a frame lies in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameLayout {
    /// The format.
    pub format: PixelFormat,
    /// The size, even.
    pub size: Size,
    /// Bytes from a line to the next, in both planes.
    pub stride_bytes: u32,
}

impl FrameLayout {
    /// Bytes of the first plane: the luma of NV12, all of the others.
    pub fn first_bytes(&self) -> u32 {
        self.stride_bytes.saturating_mul(self.size.height_px)
    }

    /// Bytes of the chroma plane; zero for all but NV12.
    pub fn chroma_bytes(&self) -> u32 {
        match self.format {
            PixelFormat::Nv12 => self.stride_bytes.saturating_mul(self.size.height_px / 2),
            _ => 0,
        }
    }

    /// Bytes of the whole frame.
    pub fn frame_bytes(&self) -> u32 {
        self.first_bytes().saturating_add(self.chroma_bytes())
    }

    /// Whether the camera can write such a frame (the size against the source's limits is not checked here).
    pub fn stride_is_good(&self) -> bool {
        self.stride_bytes >= self.format.line_bytes(self.size.width_px)
            && self.stride_bytes <= MAX_STRIDE
            && self.stride_bytes % STRIDE_ALIGN == 0
    }
}
