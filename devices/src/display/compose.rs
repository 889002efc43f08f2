//! One picture of several planes: scaling and blending, line by line. docs/display.md has the equations.

use super::format::{Bgra, Decoder, Format};
use super::plane::PlaneRegs;
use super::registers::{Blend, Size};
use crate::pixel::scaling::{Sample, mix};

/// Alphas of pixel and plane multiply to this.
const ONE: u32 = 255 * 255;

/// A plane's bytes, as fetched: lines without gaps.
pub(super) struct Fetched<'a> {
    pub pixels: &'a [u8],
    pub pixel_row: usize,
    pub chroma: &'a [u8],
    pub chroma_row: usize,
}

impl Fetched<'_> {
    /// Its colours in line `y`, counted from its crop.
    fn line(&self, plane: &PlaneRegs, decoder: &Decoder, y: u32, out: &mut [Bgra]) {
        let row = |bytes: &[u8], len: usize, number: u32| -> std::ops::Range<usize> {
            let start = len.saturating_mul(number as usize).min(bytes.len());
            start..start.saturating_add(len).min(bytes.len())
        };
        let top = u32::from(plane.crop.y);
        let chroma_y = (top.saturating_add(y) / 2).saturating_sub(top / 2);
        let pixels = row(self.pixels, self.pixel_row, y);
        let chroma = row(self.chroma, self.chroma_row, chroma_y);
        decoder.line(&self.pixels[pixels], &self.chroma[chroma], out);
    }
}

/// Lines of a picture that is `active` large.
pub(super) struct Strip<'a> {
    pub lines: &'a mut [u8],
    /// The number of the first.
    pub top: u32,
    pub active: Size,
}

impl Strip<'_> {
    fn row_bytes(&self) -> usize {
        usize::from(self.active.width_px).saturating_mul(4)
    }
}

/// Makes lines of a plane of XRGB8888 that fills the picture.
pub(super) fn put_whole(fetched: &Fetched<'_>, strip: &mut Strip<'_>) {
    let above = strip.row_bytes().saturating_mul(strip.top as usize);
    let pixels = fetched.pixels.get(above..).unwrap_or_default();
    for (out, pixel) in strip.lines.chunks_exact_mut(4).zip(pixels.chunks_exact(4)) {
        out.copy_from_slice(&colours(pixel));
    }
}

/// Clears of each pixel the byte that is no colour.
pub(super) fn clear_rest(pixels: &mut [u8]) {
    // Many at once: compilers mask them as one.
    const MANY: usize = 64;
    const MASK: [u8; MANY] = {
        let mut mask = [0xff; MANY];
        let mut at = 3;
        while at < MANY {
            mask[at] = 0;
            at += 4;
        }
        mask
    };
    let mut many = pixels.chunks_exact_mut(MANY);
    for block in &mut many {
        block.iter_mut().zip(MASK).for_each(|(byte, mask)| *byte &= mask);
    }
    for pixel in many.into_remainder().chunks_exact_mut(4) {
        pixel.copy_from_slice(&colours(pixel));
    }
}

/// A pixel without the byte that is no colour. It is masked as one word, so that compilers see that many can be masked at once.
fn colours(pixel: &[u8]) -> [u8; 4] {
    let &[b, g, r, x] = pixel else { return [0; 4] };
    (u32::from_le_bytes([b, g, r, x]) & 0x00ff_ffff).to_le_bytes()
}

/// Puts a plane, whose format is `format`, over what is in `strip`.
pub(super) fn put(plane: &PlaneRegs, format: Format, fetched: &Fetched<'_>, strip: &mut Strip<'_>) {
    let decoder = Decoder::new(format, plane);
    let (screen, active) = (plane.size_on_screen(), strip.active);
    let (left, columns) = visible(plane.position.x, screen.width_px, active.width_px);
    let (top, lines) = visible(plane.position.y, screen.height_px, active.height_px);
    // What of the plane, and of the strip, is above the lines that both have.
    let above = (strip.top as usize).saturating_sub(top);
    let below = top.saturating_sub(strip.top as usize);
    let mut scaler = Scaler::new(plane);
    let row_bytes = strip.row_bytes();
    let rows = strip.lines.chunks_exact_mut(row_bytes).skip(below);
    for (row, y) in rows.zip(lines.skip(above)) {
        let line = scaler.line(y, &mut |y, out| fetched.line(plane, &decoder, y, out));
        let under = row.chunks_exact_mut(4).skip(left);
        let over = line.get(columns.start as usize..columns.end as usize).unwrap_or_default();
        for (under, over) in under.zip(over) {
            blend(plane.blend, *over, under);
        }
    }
}

/// Whether a plane is on line `y` of the screen.
pub(super) fn has_line(plane: &PlaneRegs, active: Size, y: u32) -> bool {
    let (top, lines) = visible(plane.position.y, plane.size_on_screen().height_px, active.height_px);
    (top..top.saturating_add(lines.len())).contains(&(y as usize))
}

/// The first place on the screen that a plane has, and which of its own places lie on the screen.
fn visible(position: i16, length: u16, active: u16) -> (usize, std::ops::Range<u32>) {
    let (position, length, active) = (i32::from(position), i32::from(length), i32::from(active));
    let hidden = position.saturating_neg().clamp(0, length);
    let end = active.saturating_sub(position).clamp(hidden, length);
    (position.max(0) as usize, hidden as u32..end as u32)
}

/// Mixes a pixel into the one under it, whose fourth byte stays zero.
fn blend(blend: Blend, over: Bgra, under: &mut [u8]) {
    let plane_alpha = u32::from(blend.alpha);
    let [b, g, r, alpha] = over;
    let alpha = if blend.mode == Blend::NONE { 255 } else { u32::from(alpha) }.saturating_mul(plane_alpha);
    let weight = if blend.mode == Blend::COVERAGE { alpha } else { plane_alpha.saturating_mul(255) };
    let rest = ONE.saturating_sub(alpha);
    for (under, over) in under.iter_mut().zip([b, g, r]) {
        let sum = weight.saturating_mul(over.into()).saturating_add(rest.saturating_mul((*under).into()));
        *under = (sum.saturating_add(ONE / 2) / ONE).min(255) as u8;
    }
}

/// Makes lines of a plane's size on the screen from lines of its size in memory.
struct Scaler {
    columns: Option<Vec<Sample>>,
    height: u32,
    screen_height: u32,
    nearest: bool,
    lines: [Vec<Bgra>; 2],
    out: Vec<Bgra>,
}

impl Scaler {
    fn new(plane: &PlaneRegs) -> Self {
        let (size, screen, nearest) = (plane.size, plane.size_on_screen(), plane.nearest);
        let (from, to) = (u32::from(size.width_px), u32::from(screen.width_px));
        let columns = (size != screen).then(|| (0..to).map(|x| sample(x, from, to, nearest)).collect());
        let line = || vec![[0; 4]; from as usize];
        Scaler {
            columns,
            height: size.height_px.into(),
            screen_height: screen.height_px.into(),
            nearest,
            lines: [line(), line()],
            out: vec![[0; 4]; to as usize],
        }
    }

    /// Line `y` on the screen; `source` gives a line of the memory's.
    fn line(&mut self, y: u32, source: &mut dyn FnMut(u32, &mut [Bgra])) -> &[Bgra] {
        let [upper, lower] = &mut self.lines;
        let Some(columns) = &self.columns else {
            source(y, upper);
            return upper;
        };
        let row = sample(y, self.height, self.screen_height, self.nearest);
        source(row.first, upper);
        source(row.second, lower);
        for (out, column) in self.out.iter_mut().zip(columns) {
            let at = |line: &[Bgra], x: u32| line.get(x as usize).copied().unwrap_or_default();
            let (a, b) = (at(upper, column.first), at(upper, column.second));
            let (c, d) = (at(lower, column.first), at(lower, column.second));
            *out = mix([a, b, c, d], column.share, row.share);
        }
        &self.out
    }
}

/// The source of pixel `at` of `to`, from `from` pixels.
fn sample(at: u32, from: u32, to: u32, nearest: bool) -> Sample {
    if nearest { Sample::nearest(at, from, to) } else { Sample::bilinear(at, from, to) }
}
