//! Conversions of pictures from YCbCr of BT.601 to XRGB8888. Several rows are read, converted and written together.

use vm_memory::VolatileSlice;

use super::error::GpuError;
use super::progress::Progress;
use super::view::View;
use super::window::Window;
use crate::pixel::{BLOCK_BYTES, Coefficients, Encoding, Line, Range, XRGB8888_BYTES};

/// What of the destination is written together: what it is made of stays in a processor's nearest cache meanwhile.
const BAND_BYTES: u32 = 64 << 10;

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
    let mut from = room(src, band_rows(dst));
    let bytes = src.row_bytes() as usize;
    it.go(last, view, |step, view| {
        let (y, count) = band_of(dst, step);
        let from = rows(&mut from, src, count);
        src.read_rows(y, from, view)?;
        spend(dst, count, view);
        put(&coefficients, dst, (y, count), view, |row| Line::Yuyv(row_of(from, bytes, row)))
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
    let (mut lumas, mut chromas) = (room(luma, band), room(chroma, band / 2));
    let (luma_bytes, chroma_bytes) = (luma.row_bytes() as usize, chroma.row_bytes() as usize);
    it.go(last, view, |step, view| {
        let (y, count) = band_of(dst, step);
        let (lumas, chromas) = (rows(&mut lumas, luma, count), rows(&mut chromas, chroma, count / 2));
        chroma.read_rows(y / 2, chromas, view)?;
        luma.read_rows(y, lumas, view)?;
        spend(dst, count, view);
        put(&coefficients, dst, (y, count), view, |row| Line::Nv12 {
            luma: row_of(lumas, luma_bytes, row),
            chroma: row_of(chromas, chroma_bytes, row / 2),
        })
    })
}

fn row_of(rows: &[u8], bytes: usize, row: usize) -> &[u8] {
    rows.get(bytes.saturating_mul(row)..).and_then(|rows| rows.get(..bytes)).unwrap_or_default()
}

/// Writes rows of `dst` while they are converted: in memory's own spans, so that nothing is copied once more. `line` has each row.
fn put<'l>(
    coefficients: &Coefficients,
    dst: &Window,
    (y, count): (u32, u32),
    view: &mut View<'_, '_>,
    line: impl Fn(usize) -> Line<'l>,
) -> Result<bool, GpuError> {
    let row_bytes = dst.row_bytes() as usize;
    dst.put_rows(y, count, view, &mut |before, span| {
        let mut done = 0usize;
        while done < span.len() {
            let at = before.saturating_add(done);
            let row = at.checked_div(row_bytes).unwrap_or(0);
            let start = at.saturating_sub(row.saturating_mul(row_bytes));
            let left = span.len().saturating_sub(done).min(row_bytes.saturating_sub(start));
            let Ok(rest) = span.subslice(done, left) else { break };
            done = done.saturating_add(put_some(coefficients, line(row), start, rest));
        }
    })?;
    Ok(true)
}

/// Converts a line from byte `start` of XRGB8888 on, as much as goes at once, to a span that ends with it at the latest; how many bytes
/// that is, one at least.
fn put_some(coefficients: &Coefficients, line: Line<'_>, start: usize, span: VolatileSlice<'_>) -> usize {
    let skip = start % BLOCK_BYTES;
    let line = line.behind(start.saturating_sub(skip) / XRGB8888_BYTES);
    let done = if skip == 0 { line.blocks_to(coefficients, span) } else { 0 };
    if done > 0 {
        return done;
    }
    // Of a block that does not lie in the span as a whole the part that does.
    let mut block = [0; BLOCK_BYTES];
    line.to_xrgb8888(coefficients, &mut block);
    let part = block.get(skip..).unwrap_or_default();
    let part = part.get(..span.len().min(part.len())).unwrap_or_default();
    span.copy_from(part);
    part.len().max(1)
}
