//! Pixel maths shared by the devices: pure functions over one line.
//!
//! BT.601 and BT.709, as V4L2 (`V4L2_YCBCR_ENC_601`) and DRM (`ITU-R BT.601 YCbCr`) define them. With Kr = 0.299 and Kb = 0.114
//! (BT.709: 0.2126 and 0.0722):
//! `R = L + 2(1 - Kr) Cr`, `B = L + 2(1 - Kb) Cb`, `G = (L - Kr R - Kb B) / (1 - Kr - Kb)`, where in limited range luma is
//! scaled by 255/219 from 16 and chroma by 255/224 from 128. The coefficients are rounded to 1/65536; sums are rounded to
//! the nearest integer and clamped.
//!
//! Conversions of lines are compiled twice, for any x86-64 processor and for one with AVX2: the sums are of integers, so
//! both give the same bytes.

mod coefficients;
pub mod scaling;
#[cfg(test)]
mod tests;

pub use coefficients::Coefficients;

use multiversion::multiversion;

/// Bytes of one XRGB8888 pixel (DRM `XR24`: bytes B, G, R, X).
pub const XRGB8888_BYTES: usize = 4;
/// Bytes of two YUYV pixels (V4L2 and DRM `YUYV`: bytes Y0, Cb, Y1, Cr).
pub const YUYV_PAIR_BYTES: usize = 4;
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

/// Converts a line of YUYV of BT.601 to XRGB8888; both pixels of a pair share its chroma.
///
/// Converts as many whole pairs as both slices hold, and leaves the rest of `dst` alone.
#[multiversion(targets("x86_64+avx2"))]
pub fn yuyv_to_xrgb8888(range: Range, src: &[u8], dst: &mut [u8]) {
    let coefficients = Coefficients::of(Encoding::Bt601, range);
    let pairs = src.chunks_exact(YUYV_PAIR_BYTES).zip(dst.chunks_exact_mut(2 * XRGB8888_BYTES));
    for (src, dst) in pairs {
        let &[y0, cb, y1, cr] = src else { continue };
        put_pair(&coefficients, [y0, y1], cb, cr, dst);
    }
}

/// Converts a line of NV12 of BT.601 to XRGB8888: `luma` has a byte a pixel, `chroma` Cb and Cr for every two pixels.
///
/// Converts as many whole pairs as all slices hold, and leaves the rest of `dst` alone.
#[multiversion(targets("x86_64+avx2"))]
pub fn nv12_to_xrgb8888(range: Range, luma: &[u8], chroma: &[u8], dst: &mut [u8]) {
    let coefficients = Coefficients::of(Encoding::Bt601, range);
    let pairs =
        luma.chunks_exact(2).zip(chroma.chunks_exact(2)).zip(dst.chunks_exact_mut(2 * XRGB8888_BYTES));
    for ((luma, chroma), dst) in pairs {
        let (&[y0, y1], &[cb, cr]) = (luma, chroma) else { continue };
        put_pair(&coefficients, [y0, y1], cb, cr, dst);
    }
}

#[inline]
fn put_pair(coefficients: &Coefficients, luma: [u8; 2], cb: u8, cr: u8, dst: &mut [u8]) {
    let chroma = coefficients.chroma(cb, cr);
    // One pixel behind the other: so compilers see that many pairs can be worked out at once.
    for (pixel, luma) in dst.chunks_exact_mut(XRGB8888_BYTES).zip(luma) {
        let [r, g, b] = chroma.rgb(luma);
        pixel.copy_from_slice(&[b, g, r, X_BYTE]);
    }
}
