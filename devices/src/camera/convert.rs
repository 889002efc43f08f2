//! From planar pictures to what the guest asked for. Pure.

use serde::{Deserialize, Serialize};

use super::source::{Picture, Sampling, Size};

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
}

impl PixelFormat {
    /// Its V4L2 fourcc (linux/videodev2.h).
    pub const fn fourcc(self) -> u32 {
        match self {
            PixelFormat::Yuyv => u32::from_le_bytes(*b"YUYV"),
            PixelFormat::Nv12 => u32::from_le_bytes(*b"NV12"),
        }
    }

    /// The format of a fourcc, if the camera has it.
    pub fn from_fourcc(fourcc: u32) -> Option<Self> {
        [PixelFormat::Yuyv, PixelFormat::Nv12].into_iter().find(|format| format.fourcc() == fourcc)
    }

    /// Bytes of pixels in a line of `width_px`.
    pub fn line_bytes(self, width_px: u32) -> u32 {
        match self {
            PixelFormat::Yuyv => width_px.saturating_mul(2),
            PixelFormat::Nv12 => width_px,
        }
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
    /// Bytes of the first plane: all of YUYV, the luma of NV12.
    pub fn first_bytes(&self) -> u32 {
        self.stride_bytes.saturating_mul(self.size.height_px)
    }

    /// Bytes of the chroma plane; zero for YUYV.
    pub fn chroma_bytes(&self) -> u32 {
        match self.format {
            PixelFormat::Yuyv => 0,
            PixelFormat::Nv12 => self.stride_bytes.saturating_mul(self.size.height_px / 2),
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

/// The bytes of `picture` in `layout`, padding zero. `None` when the sizes differ or the stride is too short.
///
/// Codes are kept; only sampling changes: 4:2:0 to YUYV repeats chroma lines, 4:2:2 to NV12 takes the rounded
/// mean of two.
pub fn convert(picture: &Picture, layout: &FrameLayout) -> Option<Vec<u8>> {
    if picture.size() != layout.size || !layout.stride_is_good() {
        return None;
    }
    let mut out = vec![0; layout.frame_bytes() as usize];
    match layout.format {
        PixelFormat::Yuyv => write_yuyv(picture, layout, &mut out),
        PixelFormat::Nv12 => write_nv12(picture, layout, &mut out),
    }
    Some(out)
}

fn write_yuyv(picture: &Picture, layout: &FrameLayout, out: &mut [u8]) {
    let width = layout.size.width_px as usize;
    let lines = out.chunks_exact_mut(layout.stride_bytes as usize).zip(picture.luma.chunks_exact(width));
    for (y, (line, luma)) in lines.enumerate() {
        let chroma_line = match picture.sampling() {
            Sampling::Yuv420 => y / 2,
            Sampling::Yuv422 => y,
        };
        let (cb, cr) = (chroma(&picture.cb, width, chroma_line), chroma(&picture.cr, width, chroma_line));
        let chromas = cb.iter().zip(cr);
        for ((pixels, luma), (&cb, &cr)) in line.chunks_exact_mut(4).zip(luma.chunks_exact(2)).zip(chromas) {
            pixels.copy_from_slice(&[luma[0], cb, luma[1], cr]);
        }
    }
}

fn write_nv12(picture: &Picture, layout: &FrameLayout, out: &mut [u8]) {
    let width = layout.size.width_px as usize;
    let stride = layout.stride_bytes as usize;
    let (first, second) = out.split_at_mut(layout.first_bytes() as usize);
    for (line, luma) in first.chunks_exact_mut(stride).zip(picture.luma.chunks_exact(width)) {
        for (to, from) in line.iter_mut().zip(luma) {
            *to = *from;
        }
    }
    for (y, line) in second.chunks_exact_mut(stride).enumerate() {
        let (above, below) = match picture.sampling() {
            Sampling::Yuv420 => (y, y),
            Sampling::Yuv422 => (y.saturating_mul(2), y.saturating_mul(2).saturating_add(1)),
        };
        let cbs = chroma(&picture.cb, width, above).iter().zip(chroma(&picture.cb, width, below));
        let crs = chroma(&picture.cr, width, above).iter().zip(chroma(&picture.cr, width, below));
        for (pair, (cb, cr)) in line.chunks_exact_mut(2).zip(cbs.zip(crs)) {
            pair.copy_from_slice(&[mean(*cb.0, *cb.1), mean(*cr.0, *cr.1)]);
        }
    }
}

/// Chroma line `y` of a plane for a picture `width` pixels wide; empty beyond the end.
fn chroma(plane: &[u8], width: usize, y: usize) -> &[u8] {
    plane.chunks_exact((width / 2).max(1)).nth(y).unwrap_or(&[])
}

fn mean(a: u8, b: u8) -> u8 {
    // (a + b + 1) / 2 fits a byte.
    u16::from(a).saturating_add(u16::from(b)).div_ceil(2) as u8
}
