//! Which part of the picture goes where in the buffer: registers SOURCE, CROP and COMPOSE.

use serde::{Deserialize, Serialize};

use super::registers::SIZE_STEP;
use super::source::{Band, MAX_SIDE_PX, Picture, Range, Sampling, Size, SizeLimits};

/// The least side of a buffer that has a border, in pixels.
const MIN_SIDE_PX: u32 = 16;

/// The registers, as they were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowRegisters {
    /// Size of the source's pictures; 0: that of the buffer.
    pub source_width: u32,
    pub source_height: u32,
    /// The part of the picture; no width and height: all of it.
    pub crop_left: u32,
    pub crop_top: u32,
    pub crop_width: u32,
    pub crop_height: u32,
    /// Where the part goes.
    pub compose_left: u32,
    pub compose_top: u32,
}

/// A window that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The size of the source's pictures.
    pub source: Size,
    buffer: Size,
    part: Size,
    /// Left and top of the part in the picture.
    from: [u32; 2],
    /// Left and top of the part in the buffer.
    to: [u32; 2],
}

fn fits(px: u32, least: u32, most: u32) -> bool {
    px >= least && px <= most && px % SIZE_STEP == 0
}

impl WindowRegisters {
    /// What they mean for a buffer of this size and a source with these limits, if it fits.
    pub fn window(&self, buffer: Size, limits: &SizeLimits) -> Option<Window> {
        let or = |value: u32, default: u32| if value == 0 { default } else { value };
        let source = Size {
            width_px: or(self.source_width, buffer.width_px),
            height_px: or(self.source_height, buffer.height_px),
        };
        let part = Size {
            width_px: or(self.crop_width, source.width_px),
            height_px: or(self.crop_height, source.height_px),
        };
        let source_fits = fits(source.width_px, limits.min.width_px, limits.max.width_px)
            && fits(source.height_px, limits.min.height_px, limits.max.height_px);
        let buffer_fits = fits(buffer.width_px, MIN_SIDE_PX.min(source.width_px), MAX_SIDE_PX)
            && fits(buffer.height_px, MIN_SIDE_PX.min(source.height_px), MAX_SIDE_PX);
        let (from, to) = ([self.crop_left, self.crop_top], [self.compose_left, self.compose_top]);
        let good = source_fits && buffer_fits && part.lies_in(from, source) && part.lies_in(to, buffer);
        good.then_some(Window { source, buffer, part, from, to })
    }
}

impl Size {
    /// Whether a rectangle of this size at left and top `at` is inside of `outer`, and even.
    fn lies_in(self, at: [u32; 2], outer: Size) -> bool {
        let axis = |at: u32, size: u32, outer: u32| {
            size > 0 && at % SIZE_STEP == 0 && size % SIZE_STEP == 0 && at.saturating_add(size) <= outer
        };
        axis(at[0], self.width_px, outer.width_px) && axis(at[1], self.height_px, outer.height_px)
    }
}

impl Window {
    /// Which lines of the source's picture are in a band of the buffer's, if any.
    pub fn band(&self, band: Band) -> Option<Band> {
        let [_, to_top] = self.to;
        let top = band.top_px.max(to_top);
        let end = band.end_px().min(to_top.saturating_add(self.part.height_px));
        let height_px = end.checked_sub(top).filter(|&lines| lines > 0)?;
        Some(Band { top_px: self.from[1].saturating_add(top.saturating_sub(to_top)), height_px })
    }

    /// A band of the picture as it is in the buffer: what [`Self::band`] says of the source's, if anything, and black around it.
    pub fn cut(&self, lines: Option<Picture>, band: Band, range: Range) -> Option<Picture> {
        let width_px = self.buffer.width_px;
        let size = Size { width_px, height_px: band.height_px };
        let sampling = match lines {
            Some(lines) if self.part.width_px == self.source.width_px && lines.size() == size => {
                return Some(lines);
            }
            Some(ref lines) => lines.sampling(),
            None => Sampling::Yuv422,
        };
        let mut canvas = Picture::new(size, sampling)?;
        if range == Range::Full {
            canvas.luma.fill(0);
        }
        let Some(lines) = lines else { return Some(canvas) };
        let top_px = self.to[1].saturating_sub(band.top_px);
        // A plane's share of a length in a line, and the lines of it that are skipped.
        let (whole, half) = (|px: u32| px as usize, |px: u32| px as usize / 2);
        let chroma_top = sampling.chroma_lines(top_px) as usize;
        self.copy(&lines.luma, &mut canvas.luma, whole, top_px as usize);
        self.copy(&lines.cb, &mut canvas.cb, half, chroma_top);
        self.copy(&lines.cr, &mut canvas.cr, half, chroma_top);
        Some(canvas)
    }

    fn copy(&self, from: &[u8], to: &mut [u8], along: impl Fn(u32) -> usize, top: usize) {
        let lines_from = from.chunks_exact(along(self.source.width_px).max(1));
        let lines_to = to.chunks_exact_mut(along(self.buffer.width_px).max(1)).skip(top);
        let length = along(self.part.width_px);
        for (to, from) in lines_to.zip(lines_from) {
            let samples = from.iter().skip(along(self.from[0])).take(length);
            to.iter_mut().skip(along(self.to[0])).zip(samples).for_each(|(to, &from)| *to = from);
        }
    }
}
