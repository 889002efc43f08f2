//! The charts that the device can draw in place of the source's pictures: register PATTERN.

use super::pattern::BARS;
use super::source::{Band, Picture, Range, Sampling, Size};

/// A chart, by its number in PATTERN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chart {
    /// Eight bars that stand still.
    Bars,
    /// Luma grows from left to right.
    Ramp,
    /// Squares of 16 pixels, black and white.
    Squares,
    /// Luma and chroma grow in different directions, and with each frame.
    Waves,
}

/// Pixels of a side of a square.
const SQUARE_PX: u32 = 16;

impl Chart {
    /// The chart of a value of PATTERN; none for 0, and for values that are none.
    pub fn from_register(value: u32) -> Option<Self> {
        match value {
            1 => Some(Chart::Bars),
            2 => Some(Chart::Ramp),
            3 => Some(Chart::Squares),
            4 => Some(Chart::Waves),
            _ => None,
        }
    }

    fn luma(self, range: Range, sequence: u32, size: Size, x: u32, y: u32) -> u8 {
        let (black, white) = match range {
            Range::Limited => (16, 235),
            Range::Full => (0, 255),
        };
        match self {
            Chart::Bars => bar(x, size.width_px).0,
            Chart::Ramp => {
                let steps = x.saturating_mul(u32::from(white).saturating_sub(u32::from(black)));
                let step = steps.checked_div(size.width_px.saturating_sub(1)).unwrap_or(0);
                step.saturating_add(u32::from(black)) as u8
            }
            Chart::Squares if (x / SQUARE_PX).wrapping_add(y / SQUARE_PX) % 2 == 0 => white,
            Chart::Squares => black,
            Chart::Waves => x.wrapping_add(y).wrapping_add(sequence) as u8,
        }
    }

    /// Cb and Cr of chroma column `x` and line `y`.
    fn chroma(self, sequence: u32, size: Size, x: u32, y: u32) -> (u8, u8) {
        match self {
            Chart::Bars => {
                let (_, cb, cr) = bar(x.saturating_mul(2), size.width_px);
                (cb, cr)
            }
            Chart::Ramp | Chart::Squares => (128, 128),
            Chart::Waves => {
                let along = x.wrapping_mul(2).wrapping_add(sequence);
                let down = y.wrapping_mul(3).wrapping_sub(sequence);
                (along as u8, down as u8)
            }
        }
    }
}

/// The bar at pixel `x`: the same codes in both ranges.
fn bar(x: u32, width_px: u32) -> (u8, u8, u8) {
    let index = x.saturating_mul(8).checked_div(width_px).unwrap_or(0);
    BARS.get(index as usize).copied().unwrap_or(BARS[7])
}

/// A band of the chart for frame `sequence`, 4:2:2. `None` for a size that is none.
pub fn draw(chart: Chart, range: Range, sequence: u32, size: Size, band: Band) -> Option<Picture> {
    let mut picture = Picture::new(band.size_in(size)?, Sampling::Yuv422)?;
    let width = size.width_px as usize;
    for (y, line) in (band.top_px..).zip(picture.luma.chunks_exact_mut(width)) {
        for (x, luma) in (0..).zip(line) {
            *luma = chart.luma(range, sequence, size, x, y);
        }
    }
    let half = width / 2;
    let lines = picture.cb.chunks_exact_mut(half).zip(picture.cr.chunks_exact_mut(half));
    for (y, (cb_line, cr_line)) in (band.top_px..).zip(lines) {
        for (x, (cb, cr)) in (0..).zip(cb_line.iter_mut().zip(cr_line)) {
            (*cb, *cr) = chart.chroma(sequence, size, x, y);
        }
    }
    Some(picture)
}
