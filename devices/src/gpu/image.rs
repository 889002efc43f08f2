//! Pixel operations over windows: scaling, blending and rotation, to the bit as docs/gpu.md has them.

use serde::{Deserialize, Serialize};

use super::error::GpuError;
use super::progress::Progress;
use super::view::View;
use super::window::Window;
use crate::pixel::scaling::{Sample, mix};

/// Bytes of a pixel.
pub const PIXEL_BYTES: u32 = 4;

/// Rows of a quarter's turn that are made together, and how much of each.
const BAND_ROWS: u32 = 64;
const TILE_COLUMNS: u32 = 1024;

/// How a scaled pixel is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    /// The source pixel at the place.
    Nearest,
    /// The four around it, by their distance.
    Bilinear,
}

/// What a pixel's alpha means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PixelAlpha {
    /// Nothing: all are opaque.
    Ignored,
    /// Its colours are multiplied by it already.
    Premultiplied,
    /// Its colours are not.
    Coverage,
}

/// A rotation behind two flips.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Quarters of a turn, clockwise.
    pub quarters: u8,
    /// Left and right are exchanged first.
    pub flip_x: bool,
    /// Top and bottom are exchanged first.
    pub flip_y: bool,
}

impl Turn {
    /// Whether rows become columns.
    fn transposes(self) -> bool {
        self.quarters % 2 == 1
    }

    /// The size of what becomes of a picture of this size.
    pub fn size(self, (width, height): (u32, u32)) -> (u32, u32) {
        if self.transposes() { (height, width) } else { (width, height) }
    }

    /// The place in a source of `width` × `height` pixels of the pixel at (`x`, `y`) of the destination.
    fn source(self, (x, y): (u32, u32), (width, height): (u32, u32)) -> (u32, u32) {
        let (right, bottom) = (width.saturating_sub(1), height.saturating_sub(1));
        let (x, y) = match self.quarters {
            0 => (x, y),
            1 => (y, bottom.saturating_sub(x)),
            2 => (right.saturating_sub(x), bottom.saturating_sub(y)),
            _ => (right.saturating_sub(y), x),
        };
        let x = if self.flip_x { right.saturating_sub(x) } else { x };
        (x, if self.flip_y { bottom.saturating_sub(y) } else { y })
    }
}

/// The rows of a source that were read last.
struct Rows<'a> {
    window: &'a Window,
    /// A row's number and its bytes.
    kept: [(Option<u32>, Vec<u8>); 2],
}

impl<'a> Rows<'a> {
    fn new(window: &'a Window) -> Self {
        let row = || (None, vec![0; window.row_bytes() as usize]);
        Rows { window, kept: [row(), row()] }
    }

    /// Row `y`; the other kept row stays.
    fn row(&mut self, slot: usize, y: u32, view: &mut View<'_, '_>) -> Result<&[u8], GpuError> {
        let slot = slot & 1;
        if self.kept[slot].0 != Some(y) {
            self.kept[slot].0 = None;
            if self.kept[slot ^ 1].0 == Some(y) {
                self.kept.swap(0, 1);
            } else {
                self.window.read(y, &mut self.kept[slot].1, view)?;
                self.kept[slot].0 = Some(y);
            }
        }
        Ok(&self.kept[slot].1)
    }
}

/// The bytes of so many pixels.
fn row_of(pixels: u32) -> usize {
    pixels.saturating_mul(PIXEL_BYTES) as usize
}

fn pixel(row: &[u8], x: u32) -> [u8; 4] {
    row.get(row_of(x)..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default()
}

/// Scales `src` to the size of `dst`: a step is a row of that.
pub fn scale(
    dst: &Window,
    src: &Window,
    filter: Filter,
    (it, last): (&mut Progress, u64),
    view: &mut View<'_, '_>,
) -> Result<bool, GpuError> {
    let (from, to) = (size(src), size(dst));
    let mut rows = Rows::new(src);
    let mut line = vec![0; dst.row_bytes() as usize];
    it.go(last, view, |step, view| {
        let y = step as u32;
        match filter {
            Filter::Nearest => {
                let row = rows.row(0, Sample::nearest(y, from.1, to.1).first, view)?;
                for (x, out) in (0u32..).zip(line.chunks_exact_mut(4)) {
                    out.copy_from_slice(&pixel(row, Sample::nearest(x, from.0, to.0).first));
                }
                spend(to.0, NEAREST_NS, view);
            }
            Filter::Bilinear => {
                let row = Sample::bilinear(y, from.1, to.1);
                let upper = rows.row(0, row.first, view)?.to_vec();
                let lower = rows.row(1, row.second, view)?;
                for (x, out) in (0u32..).zip(line.chunks_exact_mut(4)) {
                    let column = Sample::bilinear(x, from.0, to.0);
                    let [a, b] = [column.first, column.second].map(|x| pixel(&upper, x));
                    let [c, d] = [column.first, column.second].map(|x| pixel(lower, x));
                    out.copy_from_slice(&mix([a, b, c, d], column.share, row.share));
                }
                spend(to.0, BILINEAR_NS, view);
            }
        }
        dst.write(y, &line, view).map(|()| true)
    })
}

/// About what a pixel takes.
const NEAREST_NS: u32 = 3;
const BILINEAR_NS: u32 = 20;
const BLENDED_NS: u32 = 5;
const TURNED_NS: u32 = 14;

fn spend(pixels: u32, each_ns: u32, view: &mut View<'_, '_>) {
    view.spend(pixels.saturating_mul(each_ns).into());
}

fn size(window: &Window) -> (u32, u32) {
    (window.row_bytes() / PIXEL_BYTES, window.rows())
}

/// Blends `src` over `dst`: a step is a row.
pub fn blend(
    (dst, src): (&Window, &Window),
    mode: PixelAlpha,
    plane: u8,
    (it, last): (&mut Progress, u64),
    view: &mut View<'_, '_>,
) -> Result<bool, GpuError> {
    let mut over = vec![0; src.row_bytes() as usize];
    let mut line = vec![0; dst.row_bytes() as usize];
    it.go(last, view, |step, view| {
        let y = step as u32;
        src.read(y, &mut over, view)?;
        dst.read(y, &mut line, view)?;
        for (out, over) in line.chunks_exact_mut(4).zip(over.chunks_exact(4)) {
            let (Some(&over), Some(&under)) = (over.first_chunk(), out.first_chunk()) else { continue };
            out.copy_from_slice(&blended(over, under, mode, plane));
        }
        spend(size(dst).0, BLENDED_NS, view);
        dst.write(y, &line, view).map(|()| true)
    })
}

/// One pixel, bytes B, G, R, A.
fn blended(over: [u8; 4], under: [u8; 4], mode: PixelAlpha, plane: u8) -> [u8; 4] {
    let plane = u32::from(plane);
    let alpha = if mode == PixelAlpha::Ignored { 255 } else { u32::from(over[3]) };
    let cover = divided(alpha.wrapping_mul(plane));
    let weight = if mode == PixelAlpha::Coverage { cover } else { plane };
    let [b, g, r, _] = over.map(u32::from);
    let opaque = if mode == PixelAlpha::Premultiplied { alpha } else { 255 };
    let mut out = [0; 4];
    for ((out, over), under) in out.iter_mut().zip([b, g, r, opaque]).zip(under) {
        let rest = u32::from(under).wrapping_mul(255u32.saturating_sub(cover));
        *out = divided(over.wrapping_mul(weight).wrapping_add(rest)).min(255) as u8;
    }
    out
}

/// A 255th, rounded to the nearest.
fn divided(value: u32) -> u32 {
    value.saturating_add(127) / 255
}

/// The steps of a rotation: a row each, or a tile where rows become columns.
pub fn rotate_steps(dst: &Window, turn: Turn) -> u64 {
    let (columns, bands) = tiles(dst);
    if turn.transposes() { u64::from(columns).saturating_mul(bands.into()) } else { dst.rows().into() }
}

/// How many tiles there are beside each other, and below each other.
fn tiles(dst: &Window) -> (u32, u32) {
    let (width, rows) = size(dst);
    (width.div_ceil(TILE_COLUMNS), rows.div_ceil(BAND_ROWS))
}

/// Turns `src`; `dst` has its rows as columns where the turn does that.
pub fn rotate(
    dst: &Window,
    src: &Window,
    turn: Turn,
    (it, last): (&mut Progress, u64),
    view: &mut View<'_, '_>,
) -> Result<bool, GpuError> {
    let from = size(src);
    if turn.transposes() {
        let mut room = vec![0; row_of(BAND_ROWS.saturating_mul(TILE_COLUMNS))];
        let mut line = vec![0; row_of(TILE_COLUMNS)];
        return it.go(last, view, |step, view| {
            turn_tile((dst, src), turn, step as u32, (&mut room, &mut line), view).map(|()| true)
        });
    }
    let mut row = vec![0; src.row_bytes() as usize];
    let mut line = vec![0; dst.row_bytes() as usize];
    it.go(last, view, |step, view| {
        let y = step as u32;
        src.read(turn.source((0, y), from).1, &mut row, view)?;
        for (x, out) in (0u32..).zip(line.chunks_exact_mut(4)) {
            out.copy_from_slice(&pixel(&row, turn.source((x, y), from).0));
        }
        spend(from.0, TURNED_NS, view);
        dst.write(y, &line, view).map(|()| true)
    })
}

/// Pixels from `first` on, at most `most` of those before `end`: the last of them.
fn last_of(first: u32, most: u32, end: u32) -> u32 {
    first.saturating_add(most).min(end).saturating_sub(1)
}

/// Makes a tile of the destination. Its rows are columns of the source, of which it takes a part of some rows.
fn turn_tile(
    (dst, src): (&Window, &Window),
    turn: Turn,
    number: u32,
    (room, line): (&mut [u8], &mut [u8]),
    view: &mut View<'_, '_>,
) -> Result<(), GpuError> {
    let (from, to, columns) = (size(src), size(dst), tiles(dst).0);
    let band = number.checked_div(columns).unwrap_or(0);
    let tile = number.saturating_sub(band.saturating_mul(columns));
    let (x, y) = (tile.saturating_mul(TILE_COLUMNS), band.saturating_mul(BAND_ROWS));
    let (last_x, last_y) = (last_of(x, TILE_COLUMNS, to.0), last_of(y, BAND_ROWS, to.1));
    let (one, other) = (turn.source((x, y), from), turn.source((last_x, last_y), from));
    let (left, top) = (one.0.min(other.0), one.1.min(other.1));
    let bytes = row_of(one.0.abs_diff(other.0).saturating_add(1));
    let rows = top..=one.1.max(other.1);
    for (sy, piece) in rows.zip(room.chunks_exact_mut(bytes)) {
        src.read_from(sy, left.saturating_mul(PIXEL_BYTES), piece, view)?;
    }
    let width = last_x.saturating_sub(x).saturating_add(1);
    let line = line.get_mut(..row_of(width)).unwrap_or_default();
    for y in y..=last_y {
        for (x, out) in (x..).zip(line.chunks_exact_mut(4)) {
            let (sx, sy) = turn.source((x, y), from);
            let piece = room.chunks_exact(bytes).nth(sy.saturating_sub(top) as usize).unwrap_or_default();
            out.copy_from_slice(&pixel(piece, sx.saturating_sub(left)));
        }
        spend(width, TURNED_NS, view);
        dst.write_from(y, x.saturating_mul(PIXEL_BYTES), line, view)?;
    }
    Ok(())
}
