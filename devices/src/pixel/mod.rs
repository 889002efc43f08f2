//! Pixel maths shared by the devices: pure functions over one line.
//!
//! BT.601 and BT.709, as V4L2 (`V4L2_YCBCR_ENC_601`) and DRM (`ITU-R BT.601 YCbCr`) define them. With Kr = 0.299 and Kb = 0.114
//! (BT.709: 0.2126 and 0.0722):
//! `R = L + 2(1 - Kr) Cr`, `B = L + 2(1 - Kb) Cb`, `G = (L - Kr R - Kb B) / (1 - Kr - Kb)`, where in limited range luma is
//! scaled by 255/219 from 16 and chroma by 255/224 from 128. The coefficients are rounded to 1/65536; sums are rounded to
//! the nearest integer and clamped.
//!
//! Lines are converted pair by pair, and by many pixels at once on processors with AVX2: the sums are of integers, so both
//! give the same bytes.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod coefficients;
pub mod scaling;
#[cfg(test)]
mod tests;

use vm_memory::VolatileSlice;

pub use coefficients::Coefficients;

/// Bytes of one XRGB8888 pixel (DRM `XR24`: bytes B, G, R, X).
pub const XRGB8888_BYTES: usize = 4;
/// Bytes of two YUYV pixels (V4L2 and DRM `YUYV`: bytes Y0, Cb, Y1, Cr).
pub const YUYV_PAIR_BYTES: usize = 4;
/// Bytes of XRGB8888 that [`Line::blocks_to`] works out at once.
pub const BLOCK_BYTES: usize = 16 * XRGB8888_BYTES;
/// What conversions write in the X byte of XRGB8888.
pub const X_BYTE: u8 = 0xff;

/// Which luma coefficients samples were made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// ITU-R BT.601 (`V4L2_YCBCR_ENC_601`).
    Bt601,
    /// ITU-R BT.709 (`V4L2_YCBCR_ENC_709`).
    Bt709,
}

/// Quantization range of YCbCr samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Range {
    /// Y 16..=235, Cb and Cr 16..=240 (`V4L2_QUANTIZATION_LIM_RANGE`).
    Limited,
    /// 0..=255 (`V4L2_QUANTIZATION_FULL_RANGE`).
    Full,
}

/// Converts one YCbCr sample of BT.601 to red, green and blue.
pub fn ycbcr_to_rgb(range: Range, y: u8, cb: u8, cr: u8) -> [u8; 3] {
    Coefficients::of(Encoding::Bt601, range).rgb(y, cb, cr)
}

/// A line of samples, two pixels of which share their chroma.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// [`YUYV_PAIR_BYTES`] for two pixels.
    Yuyv(&'a [u8]),
    /// NV12: a byte of luma for each pixel, Cb and Cr for every two.
    Nv12 {
        /// Luma.
        luma: &'a [u8],
        /// Cb and Cr in turn.
        chroma: &'a [u8],
    },
}

impl<'a> Line<'a> {
    /// The line from a pixel on, which is the first of two.
    pub fn behind(self, pixels: usize) -> Line<'a> {
        match self {
            Line::Yuyv(samples) => Line::Yuyv(rest(samples, pixels.saturating_mul(YUYV_PAIR_BYTES / 2))),
            Line::Nv12 { luma, chroma } => {
                Line::Nv12 { luma: rest(luma, pixels), chroma: rest(chroma, pixels) }
            }
        }
    }

    /// Converts to XRGB8888 as many whole pairs as the line and `dst` hold, and leaves the rest of `dst` alone.
    pub fn to_xrgb8888(self, coefficients: &Coefficients, dst: &mut [u8]) {
        let done = self.blocks_to(coefficients, VolatileSlice::from(&mut *dst));
        let dst = dst.get_mut(done..).unwrap_or_default().chunks_exact_mut(2 * XRGB8888_BYTES);
        match self.behind(done / XRGB8888_BYTES) {
            Line::Yuyv(samples) => {
                for (samples, dst) in samples.chunks_exact(YUYV_PAIR_BYTES).zip(dst) {
                    let &[y0, cb, y1, cr] = samples else { continue };
                    put_pair(coefficients, [y0, y1], cb, cr, dst);
                }
            }
            Line::Nv12 { luma, chroma } => {
                for ((luma, chroma), dst) in luma.chunks_exact(2).zip(chroma.chunks_exact(2)).zip(dst) {
                    let (&[y0, y1], &[cb, cr]) = (luma, chroma) else { continue };
                    put_pair(coefficients, [y0, y1], cb, cr, dst);
                }
            }
        }
    }

    /// Converts to XRGB8888 as many whole blocks of [`BLOCK_BYTES`] as the line and `dst` hold, straight to memory that others may
    /// reach, too; says how many bytes that is. None on a processor that can but convert pixel by pixel.
    pub fn blocks_to(self, coefficients: &Coefficients, dst: VolatileSlice<'_>) -> usize {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: The processor has AVX2.
            return unsafe { avx2::convert(coefficients, self, dst) };
        }
        0
    }
}

/// Pixels of XRGB8888 as red, green and blue, three bytes each.
pub fn xrgb8888_to_rgb(pixels: &[u8]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity((pixels.len() / XRGB8888_BYTES).saturating_mul(3));
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: The processor has AVX2.
        unsafe { avx2::to_rgb(pixels, &mut rgb) };
    }
    let done = (rgb.len() / 3).saturating_mul(XRGB8888_BYTES);
    for pixel in rest(pixels, done).chunks_exact(XRGB8888_BYTES) {
        let &[b, g, r, _] = pixel else { continue };
        rgb.extend_from_slice(&[r, g, b]);
    }
    rgb
}

fn rest(bytes: &[u8], done: usize) -> &[u8] {
    bytes.get(done..).unwrap_or_default()
}

#[inline]
fn put_pair(coefficients: &Coefficients, luma: [u8; 2], cb: u8, cr: u8, dst: &mut [u8]) {
    let chroma = coefficients.chroma(cb, cr);
    for (pixel, luma) in dst.chunks_exact_mut(XRGB8888_BYTES).zip(luma) {
        let [r, g, b] = chroma.rgb(luma);
        pixel.copy_from_slice(&[b, g, r, X_BYTE]);
    }
}
