//! What the driver can change in the picture: `docs/camera.md` has the formulae.

use serde::{Deserialize, Serialize};

use super::chart::{Chart, draw};
use super::source::{Band, FrameSource, Picture, Range, Size, SourceError};

/// FLIP: the picture is mirrored, left and right.
pub const FLIP_HORIZONTAL: u32 = 1;
/// FLIP: the picture stands on its head.
pub const FLIP_VERTICAL: u32 = 2;
/// CONTRAST that changes nothing.
pub const CONTRAST_UNIT: u32 = 128;
/// EXPOSURE and GAIN that change nothing.
pub const LIGHT_UNIT: u32 = 256;

/// One set of values, each as the driver wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controls {
    /// Added to luma; signed.
    pub brightness: u32,
    /// How far luma is from the middle, in [`CONTRAST_UNIT`].
    pub contrast: u32,
    /// How much light there is, in [`LIGHT_UNIT`].
    pub exposure: u32,
    /// How much the sensor amplifies, in [`LIGHT_UNIT`].
    pub gain: u32,
    /// [`FLIP_HORIZONTAL`] and [`FLIP_VERTICAL`].
    pub flip: u32,
    /// A chart in place of the source's pictures, or 0.
    pub pattern: u32,
}

impl Default for Controls {
    fn default() -> Self {
        Controls {
            brightness: 0,
            contrast: CONTRAST_UNIT,
            exposure: LIGHT_UNIT,
            gain: LIGHT_UNIT,
            flip: 0,
            pattern: 0,
        }
    }
}

/// `value` times `factor` / 2^`shift`, to the nearest, halves up; in a byte around `zero`.
fn scaled(value: i64, zero: i64, factor: u32, shift: u32) -> i64 {
    let half = 1i64.checked_shl(shift.saturating_sub(1)).unwrap_or(0);
    let product = value.saturating_sub(zero).saturating_mul(factor.into()).saturating_add(half);
    product.checked_shr(shift).unwrap_or(0).saturating_add(zero).clamp(0, 255)
}

impl Controls {
    /// A band of picture `sequence` of `source`, or of the chart that is chosen, as this set makes it.
    pub fn take(
        &self,
        source: &mut dyn FrameSource,
        sequence: u32,
        size: Size,
        band: Band,
    ) -> Result<Picture, SourceError> {
        let range = source.range();
        let band = if self.flip & FLIP_VERTICAL == 0 { band } else { from_below(band, size) };
        let mut picture = match Chart::from_register(self.pattern) {
            None => source.band(sequence, size, band)?,
            Some(chart) => draw(chart, range, sequence, size, band)
                .ok_or_else(|| SourceError(format!("no chart of {}x{}", size.width_px, size.height_px)))?,
        };
        self.tone(&mut picture, range);
        self.turn(&mut picture);
        Ok(picture)
    }

    /// EXPOSURE times GAIN, in 1/65536.
    fn light(&self) -> u32 {
        let part = |value: u32| value.clamp(16, 4096);
        part(self.exposure).saturating_mul(part(self.gain))
    }

    fn luma_of(&self, code: u8, black: i64) -> u8 {
        let lit = scaled(code.into(), black, self.light(), 16);
        let stretched = scaled(lit, 128, self.contrast.min(255), 7);
        let brightness = i64::from((self.brightness as i32).clamp(-128, 127));
        stretched.saturating_add(brightness).clamp(0, 255) as u8
    }

    /// Exposure, gain, contrast and brightness.
    fn tone(&self, picture: &mut Picture, range: Range) {
        let unchanged = Controls { flip: self.flip, pattern: self.pattern, ..Controls::default() };
        if *self == unchanged {
            return;
        }
        let black = match range {
            Range::Limited => 16,
            Range::Full => 0,
        };
        let luma: [u8; 256] = std::array::from_fn(|code| self.luma_of(code as u8, black));
        let chroma: [u8; 256] = std::array::from_fn(|code| scaled(code as i64, 128, self.light(), 16) as u8);
        translate(&mut picture.luma, &luma);
        translate(&mut picture.cb, &chroma);
        translate(&mut picture.cr, &chroma);
    }

    fn turn(&self, picture: &mut Picture) {
        let width = picture.size().width_px as usize;
        let planes = [(&mut picture.luma, width), (&mut picture.cb, width / 2), (&mut picture.cr, width / 2)];
        for (plane, line) in planes {
            if self.flip & FLIP_HORIZONTAL != 0 {
                plane.chunks_exact_mut(line).for_each(<[u8]>::reverse);
            }
            if self.flip & FLIP_VERTICAL != 0 {
                // Both ways, and the lines back again.
                plane.reverse();
                plane.chunks_exact_mut(line).for_each(<[u8]>::reverse);
            }
        }
    }
}

/// The lines that a band shows of a picture that stands on its head.
fn from_below(band: Band, size: Size) -> Band {
    Band { top_px: size.height_px.saturating_sub(band.end_px()), ..band }
}

fn translate(samples: &mut [u8], table: &[u8; 256]) {
    for sample in samples {
        *sample = table[usize::from(*sample)];
    }
}
