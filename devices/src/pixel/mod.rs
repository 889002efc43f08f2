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

pub use coefficients::Coefficients;

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

/// Converts a line of YUYV to XRGB8888; both pixels of a pair share its chroma.
///
/// Converts as many whole pairs as both slices hold, and leaves the rest of `dst` alone.
pub fn yuyv_to_xrgb8888(coefficients: &Coefficients, src: &[u8], dst: &mut [u8]) {
    let done = yuyv_blocks(coefficients, src, dst);
    let src = rest(src, done.saturating_mul(YUYV_PAIR_BYTES / 2)).chunks_exact(YUYV_PAIR_BYTES);
    for (src, dst) in src.zip(pairs(dst, done)) {
        let &[y0, cb, y1, cr] = src else { continue };
        put_pair(coefficients, [y0, y1], cb, cr, dst);
    }
}

/// Converts lines of NV12 to XRGB8888 that have the same chroma: `luma` has a byte a pixel, `chroma` Cb and Cr for every two
/// pixels.
///
/// Converts as many whole pairs as all slices hold, and leaves the rest of `dst` alone.
pub fn nv12_to_xrgb8888<const LINES: usize>(
    coefficients: &Coefficients,
    luma: [&[u8]; LINES],
    chroma: &[u8],
    mut dst: [&mut [u8]; LINES],
) {
    let done = nv12_blocks(coefficients, luma, chroma, &mut dst);
    for (luma, dst) in luma.into_iter().zip(dst) {
        let samples = rest(luma, done).chunks_exact(2).zip(rest(chroma, done).chunks_exact(2));
        for ((luma, chroma), dst) in samples.zip(pairs(dst, done)) {
            let (&[y0, y1], &[cb, cr]) = (luma, chroma) else { continue };
            put_pair(coefficients, [y0, y1], cb, cr, dst);
        }
    }
}

/// The pairs behind the first `done` pixels.
fn pairs(dst: &mut [u8], done: usize) -> impl Iterator<Item = &mut [u8]> {
    let rest = dst.get_mut(done.saturating_mul(XRGB8888_BYTES)..).unwrap_or_default();
    rest.chunks_exact_mut(2 * XRGB8888_BYTES)
}

fn rest(bytes: &[u8], done: usize) -> &[u8] {
    bytes.get(done..).unwrap_or_default()
}

/// [`avx2::yuyv`] where this processor has it.
fn yuyv_blocks(coefficients: &Coefficients, src: &[u8], dst: &mut [u8]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: The processor has AVX2.
        return unsafe { avx2::yuyv(coefficients, src, dst) };
    }
    0
}

/// [`avx2::nv12`] where this processor has it.
fn nv12_blocks<const LINES: usize>(
    coefficients: &Coefficients,
    luma: [&[u8]; LINES],
    chroma: &[u8],
    dst: &mut [&mut [u8]; LINES],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: The processor has AVX2.
        return unsafe { avx2::nv12(coefficients, luma, chroma, dst) };
    }
    0
}

#[inline]
fn put_pair(coefficients: &Coefficients, luma: [u8; 2], cb: u8, cr: u8, dst: &mut [u8]) {
    let chroma = coefficients.chroma(cb, cr);
    for (pixel, luma) in dst.chunks_exact_mut(XRGB8888_BYTES).zip(luma) {
        let [r, g, b] = chroma.rgb(luma);
        pixel.copy_from_slice(&[b, g, r, X_BYTE]);
    }
}
