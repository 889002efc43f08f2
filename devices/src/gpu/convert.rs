//! Conversions of pictures from YCbCr of BT.601 to XRGB8888. Several rows are read, converted and written together.

use super::error::GpuError;
use super::progress::Progress;
use super::view::View;
use super::window::Window;
use crate::pixel::{self, Coefficients, Encoding, Range};

/// What of the destination is written together: it stays in a processor's nearest cache meanwhile.
const BAND_BYTES: u32 = 16 << 10;

/// How many rows of `dst` are converted together: whole pairs, because NV12 has a row of chroma for two.
fn band_rows(dst: &Window) -> u32 {
    (BAND_BYTES / 2).checked_div(dst.row_bytes()).unwrap_or(0).clamp(1, BAND_BYTES).saturating_mul(2)
}

/// The steps of a conversion: a band each.
pub fn steps(dst: &Window) -> u64 {
    dst.rows().div_ceil(band_rows(dst)).into()
}

/// About what a pixel takes.
const PIXELS_IN_NS: u32 = 2;

/// The first row of a band, and how many there are in it.
fn band_of(dst: &Window, step: u64) -> (u32, u32) {
    let y = band_rows(dst).saturating_mul(step as u32);
    (y, band_rows(dst).min(dst.rows().saturating_sub(y)))
}

fn spend(dst: &Window, count: u32, view: &mut View<'_, '_>) {
    view.spend((count.saturating_mul(dst.row_bytes() / 4) / PIXELS_IN_NS).into());
}

/// Room for so many rows.
fn room(window: &Window, rows: u32) -> Vec<u8> {
    vec![0; window.row_bytes().saturating_mul(rows.min(window.rows())) as usize]
}

/// The part of `room` that `count` rows take.
fn rows<'a>(room: &'a mut [u8], window: &Window, count: u32) -> &'a mut [u8] {
    room.get_mut(..window.row_bytes().saturating_mul(count) as usize).unwrap_or_default()
}

/// Packed YUYV.
pub fn yuyv(
    dst: &Window,
    src: &Window,
    range: Range,
    (it, last): (&mut Progress, u64),
    view: &mut View<'_, '_>,
) -> Result<bool, GpuError> {
    let coefficients = Coefficients::of(Encoding::Bt601, range);
    let band = band_rows(dst);
    let (mut from, mut to) = (room(src, band), room(dst, band));
    it.go(last, view, |step, view| {
        let (y, count) = band_of(dst, step);
        let (from, to) = (rows(&mut from, src, count), rows(&mut to, dst, count));
        src.read_rows(y, from, view)?;
        // A row has an even number of pixels, so no pair goes across rows.
        pixel::yuyv_to_xrgb8888(&coefficients, from, to);
        spend(dst, count, view);
        dst.write_rows(y, to, view).map(|()| true)
    })
}

/// A plane of luma and one of chroma, which has a row for two of luma.
pub fn nv12(
    dst: &Window,
    (luma, chroma): (&Window, &Window),
    range: Range,
    (it, last): (&mut Progress, u64),
    view: &mut View<'_, '_>,
) -> Result<bool, GpuError> {
    let coefficients = Coefficients::of(Encoding::Bt601, range);
    let band = band_rows(dst);
    let (mut lumas, mut chromas, mut to) = (room(luma, band), room(chroma, band / 2), room(dst, band));
    it.go(last, view, |step, view| {
        let (y, count) = band_of(dst, step);
        let lumas = rows(&mut lumas, luma, count);
        let (chromas, to) = (rows(&mut chromas, chroma, count / 2), rows(&mut to, dst, count));
        chroma.read_rows(y / 2, chromas, view)?;
        luma.read_rows(y, lumas, view)?;
        let (luma_bytes, dst_bytes) = (luma.row_bytes() as usize, dst.row_bytes() as usize);
        let pairs = lumas.chunks_exact(luma_bytes.saturating_mul(2));
        let pairs = pairs.zip(to.chunks_exact_mut(dst_bytes.saturating_mul(2)));
        for ((luma, dst), chroma) in pairs.zip(chromas.chunks_exact(chroma.row_bytes() as usize)) {
            let (upper, lower) = dst.split_at_mut(dst_bytes);
            let luma = luma.split_at(luma_bytes);
            pixel::nv12_to_xrgb8888(&coefficients, [luma.0, luma.1], chroma, [upper, lower]);
        }
        spend(dst, count, view);
        dst.write_rows(y, to, view).map(|()| true)
    })
}
