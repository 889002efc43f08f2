//! The test pattern: eight colour bars that move to the left, and the frame number in the middle.

use super::source::{
    Band, FrameSource, MAX_SIDE_PX, Picture, Range, Rate, Sampling, Size, SizeLimits, SourceError,
};

/// The bars' colours as (Y, Cb, Cr): white, yellow, cyan, green, magenta, red, blue, black at 75 % in limited
/// range (ITU-R BT.471-1, 75/0/75/0 bars; BT.601 codes).
pub(super) const BARS: [(u8, u8, u8); 8] = [
    (180, 128, 128),
    (162, 44, 142),
    (131, 156, 44),
    (112, 72, 58),
    (84, 184, 198),
    (65, 100, 212),
    (35, 212, 114),
    (16, 128, 128),
];

/// Pixels that the bars move in a frame: even, so that chroma moves whole samples.
const STEP_PX: u32 = 4;

/// Digits 0 to 9, three pixels wide and five high; the top line is first, the left pixel is the highest of three bits.
const DIGITS: [[u8; 5]; 10] = [
    [0b111, 0b101, 0b101, 0b101, 0b111],
    [0b010, 0b110, 0b010, 0b010, 0b111],
    [0b111, 0b001, 0b111, 0b100, 0b111],
    [0b111, 0b001, 0b111, 0b001, 0b111],
    [0b101, 0b101, 0b111, 0b001, 0b001],
    [0b111, 0b100, 0b111, 0b001, 0b111],
    [0b111, 0b100, 0b111, 0b101, 0b111],
    [0b111, 0b001, 0b010, 0b010, 0b010],
    [0b111, 0b101, 0b111, 0b101, 0b111],
    [0b111, 0b101, 0b111, 0b001, 0b111],
];

/// Digits shown, the number's lowest ones.
const SHOWN_DIGITS: u32 = 6;

/// A picture source that needs no file.
#[derive(Clone, Copy, Debug)]
pub struct TestPattern {
    sizes: SizeLimits,
}

impl TestPattern {
    /// Any even size from 16x16 up to `max`, which is brought into the camera's limits.
    pub fn new(max: Size) -> Self {
        let side = |px: u32| (px & !1).clamp(16, MAX_SIDE_PX);
        let max = Size { width_px: side(max.width_px), height_px: side(max.height_px) };
        TestPattern { sizes: SizeLimits { min: Size { width_px: 16, height_px: 16 }, max } }
    }
}

impl FrameSource for TestPattern {
    fn sizes(&self) -> SizeLimits {
        self.sizes
    }

    fn range(&self) -> Range {
        Range::Limited
    }

    fn rate(&self) -> Rate {
        Rate { num: 30, den: 1 }
    }

    fn band(&mut self, sequence: u32, size: Size, band: Band) -> Result<Picture, SourceError> {
        let mut picture = band
            .size_in(size)
            .and_then(|size| bars(size, sequence))
            .ok_or_else(|| SourceError(format!("no test pattern of {}x{}", size.width_px, size.height_px)))?;
        draw_number(&mut picture, sequence, size, band);
        Ok(picture)
    }
}

/// The bar at pixel `x` of frame `sequence`.
fn bar(x: u32, sequence: u32, width_px: u32) -> (u8, u8, u8) {
    let shift = u64::from(sequence).saturating_mul(u64::from(STEP_PX));
    let at = u64::from(x).saturating_add(shift).checked_rem(u64::from(width_px)).unwrap_or(0);
    let index = at.saturating_mul(8).checked_div(u64::from(width_px)).unwrap_or(0);
    BARS.get(index as usize).copied().unwrap_or(BARS[7])
}

/// The bars alone, or `None` if there is no such picture.
fn bars(size: Size, sequence: u32) -> Option<Picture> {
    let width_px = size.width_px.min(MAX_SIDE_PX);
    let bars = (0..width_px).map(|x| bar(x, sequence, width_px));
    let luma: Vec<u8> = bars.clone().map(|(y, _, _)| y).collect();
    let (cb, cr): (Vec<u8>, Vec<u8>) = bars.step_by(2).map(|(_, cb, cr)| (cb, cr)).unzip();
    Picture::of_line(size, Sampling::Yuv420, [&luma, &cb, &cr])
}

/// Light digits on a dark box in the middle (the bars tint them), as large as fits half the width.
fn draw_number(picture: &mut Picture, sequence: u32, size: Size, band: Band) {
    // A digit is three cells and a gap wide, five cells and a border of one above and below high.
    let (cells_x, cells_y) = (SHOWN_DIGITS.saturating_mul(4).saturating_add(1), 7u32);
    let fit_x = (size.width_px / 2).checked_div(cells_x).unwrap_or(0);
    let cell = fit_x.min((size.height_px / 2).checked_div(cells_y).unwrap_or(0));
    if cell == 0 {
        return;
    }
    let left = size.width_px.saturating_sub(cells_x.saturating_mul(cell)) / 2;
    let top = size.height_px.saturating_sub(cells_y.saturating_mul(cell)) / 2;
    // From the line on at which the band, or the number, begins.
    let lines = picture.luma.chunks_exact_mut(size.width_px as usize);
    let mut lines = (band.top_px..).zip(lines).skip(top.saturating_sub(band.top_px) as usize).peekable();
    for cell_y in 0..cells_y {
        let luma = |cell_x| if is_lit(cell_x, cell_y, sequence) { 235 } else { 16 };
        let cells = (0..cells_x).flat_map(|cell_x| std::iter::repeat_n(luma(cell_x), cell as usize));
        let drawn: Vec<u8> = cells.collect();
        let end = top.saturating_add(cell.saturating_mul(cell_y.saturating_add(1)));
        while let Some((_, line)) = lines.next_if(|(y, _)| *y < end) {
            let Some(to) = line.get_mut(left as usize..).and_then(|to| to.get_mut(..drawn.len())) else {
                return;
            };
            to.copy_from_slice(&drawn);
        }
    }
}

/// Whether a cell of the number's box belongs to a digit.
fn is_lit(cell_x: u32, cell_y: u32, number: u32) -> bool {
    let (Some(x), Some(y)) = (cell_x.checked_sub(1), cell_y.checked_sub(1)) else { return false };
    let place = SHOWN_DIGITS.saturating_sub(1).saturating_sub(x / 4);
    let digit = number.checked_div(10u32.saturating_pow(place)).unwrap_or(0) % 10;
    let row = DIGITS.get(digit as usize).and_then(|rows| rows.get(y as usize)).copied().unwrap_or(0);
    let column = x % 4;
    column < 3 && row >> (2u32.saturating_sub(column)) & 1 == 1
}
