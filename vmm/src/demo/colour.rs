//! Colours by ITU-R BT.601 in floating point, and nothing of the camera's or the GPU's own code.

/// Sample ranges of YCbCr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Y 16..=235, Cb and Cr 16..=240.
    Limited,
    /// 0..=255.
    Full,
}

/// Planar 8-bit YCbCr with its chroma subsampling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planar {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Luma pixels per chroma sample, horizontally.
    pub sub_x: usize,
    /// Luma pixels per chroma sample, vertically.
    pub sub_y: usize,
    /// Range of the samples.
    pub range: Range,
    /// The three planes, without padding.
    pub planes: [Vec<u8>; 3],
}

/// What each sample adds to a pixel's colour by BT.601 (Kr = 0.299, Kb = 0.114), in real arithmetic. `quantised` rounds each
/// coefficient to 1/65536 first, as `docs/gpu.md` prescribes for the GPU.
struct Shares {
    luma: [f64; 256],
    red_cr: [f64; 256],
    green_cb: [f64; 256],
    green_cr: [f64; 256],
    blue_cb: [f64; 256],
}

impl Shares {
    fn new(range: Range, quantised: bool) -> Self {
        let (kr, kb) = (0.299, 0.114);
        let kg = 1.0 - kr - kb;
        let (black, luma_gain, chroma_gain) = match range {
            Range::Limited => (16.0, 255.0 / 219.0, 255.0 / 224.0),
            Range::Full => (0.0, 1.0, 1.0),
        };
        let of_each = |real: f64, zero: f64| {
            let coefficient = if quantised { (real * 65536.0).round() / 65536.0 } else { real };
            std::array::from_fn(|code| coefficient * (code as f64 - zero))
        };
        Shares {
            luma: of_each(luma_gain, black),
            red_cr: of_each(2.0 * (1.0 - kr) * chroma_gain, 128.0),
            green_cb: of_each(2.0 * (1.0 - kb) * kb / kg * chroma_gain, 128.0),
            green_cr: of_each(2.0 * (1.0 - kr) * kr / kg * chroma_gain, 128.0),
            blue_cb: of_each(2.0 * (1.0 - kb) * chroma_gain, 128.0),
        }
    }

    /// One pixel's colour, rounded to the nearest integer (halves up) and clamped.
    fn colour(&self, y: u8, cb: u8, cr: u8) -> [u8; 3] {
        let (y, cb, cr) = (usize::from(y), usize::from(cb), usize::from(cr));
        let luma = self.luma[y];
        let green = luma - self.green_cb[cb] - self.green_cr[cr];
        // What is not negative is cut off to an integer as `floor` does.
        [luma + self.red_cr[cr], green, luma + self.blue_cb[cb]].map(|v| (v + 0.5).clamp(0.0, 255.0) as u8)
    }
}

impl Planar {
    /// The picture as red, green and blue, each pixel with the chroma sample that covers it.
    pub fn to_rgb(&self) -> Vec<u8> {
        let shares = Shares::new(self.range, true);
        let mut out = Vec::with_capacity(self.width * self.height * 3);
        for row in 0..self.height {
            // The same samples again have the same colours: many pictures have lines that are alike.
            if row > 0 && self.line(row) == self.line(row - 1) {
                out.extend_from_within(out.len() - self.width * 3..);
            } else {
                self.convert(row, &shares, &mut out);
            }
        }
        out
    }

    /// Whether the bytes `rgb` are the picture. It makes no picture of its own, which would be larger than what a processor keeps
    /// near.
    pub fn is_shown_by(&self, rgb: &[u8]) -> bool {
        let shares = Shares::new(self.range, true);
        let row_bytes = self.width * 3;
        let mut line = Vec::with_capacity(row_bytes);
        rgb.len() == row_bytes * self.height
            && rgb.chunks_exact(row_bytes).enumerate().all(|(row, shown)| {
                if row == 0 || self.line(row) != self.line(row - 1) {
                    line.clear();
                    self.convert(row, &shares, &mut line);
                }
                line == shown
            })
    }

    /// The samples of a line of pixels.
    fn line(&self, row: usize) -> [&[u8]; 3] {
        let stride = self.width / self.sub_x;
        let chroma = row / self.sub_y * stride;
        let [luma, cb, cr] = &self.planes;
        [&luma[row * self.width..][..self.width], &cb[chroma..][..stride], &cr[chroma..][..stride]]
    }

    fn convert(&self, row: usize, shares: &Shares, out: &mut Vec<u8>) {
        let [luma, cb, cr] = self.line(row);
        for (column, y) in luma.iter().enumerate() {
            let at = column / self.sub_x;
            out.extend_from_slice(&shares.colour(*y, cb[at], cr[at]));
        }
    }

    /// 4:4:4 as 4:2:2, 4:2:2 as 4:2:0: means of two samples, halves up, as `docs/camera.md` prescribes.
    pub fn halve_chroma(&self, across: bool) -> Planar {
        let width = self.width / self.sub_x;
        let halve = |plane: &[u8]| -> Vec<u8> {
            let mean = |a: u8, b: u8| ((f64::from(a) + f64::from(b)) / 2.0 + 0.5).floor() as u8;
            if across {
                plane.chunks(2).map(|pair| mean(pair[0], pair[1])).collect()
            } else {
                let rows: Vec<&[u8]> = plane.chunks(width).collect();
                rows.chunks(2).flat_map(|two| two[0].iter().zip(two[1]).map(|(a, b)| mean(*a, *b))).collect()
            }
        };
        Planar {
            sub_x: if across { 2 * self.sub_x } else { self.sub_x },
            sub_y: if across { self.sub_y } else { 2 * self.sub_y },
            planes: [self.planes[0].clone(), halve(&self.planes[1]), halve(&self.planes[2])],
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Colour bars of ITU-R BT.601, 100 %, as 8-bit limited-range Y, Cb, Cr.
    #[test]
    fn limited_range_white_black_and_red() {
        assert_eq!(Shares::new(Range::Limited, true).colour(235, 128, 128), [255, 255, 255]);
        assert_eq!(Shares::new(Range::Limited, true).colour(16, 128, 128), [0, 0, 0]);
        assert_eq!(Shares::new(Range::Limited, true).colour(81, 90, 240), [254, 0, 0]);
    }

    #[test]
    fn a_picture_is_shown_by_its_pixels_alone() {
        let planes = [(0..64).collect(), vec![90; 16], (100..116).collect()];
        let picture = Planar { width: 8, height: 8, sub_x: 2, sub_y: 2, range: Range::Full, planes };
        let pixels = picture.to_rgb();
        assert!(picture.is_shown_by(&pixels));
        for at in 0..pixels.len() {
            let mut other = pixels.clone();
            other[at] ^= 1;
            assert!(!picture.is_shown_by(&other), "byte {at}");
        }
        assert!(!picture.is_shown_by(&pixels[3..]) && !picture.is_shown_by(&[]));
    }

    #[test]
    fn full_range_keeps_grey() {
        for grey in [0, 1, 127, 254, 255] {
            assert_eq!(Shares::new(Range::Full, true).colour(grey, 128, 128), [grey; 3]);
        }
    }

    // What the GPU's page prescribes is BT.601: rounding its coefficients moves no result by more than one.
    #[test]
    fn quantised_coefficients_stay_within_one_of_the_recommendation() {
        for range in [Range::Limited, Range::Full] {
            let (rounded, real) = (Shares::new(range, true), Shares::new(range, false));
            for (y, cb, cr) in (0..=255).step_by(5).flat_map(|y| {
                (0..=255).step_by(3).flat_map(move |cb| (0..=255).step_by(3).map(move |cr| (y, cb, cr)))
            }) {
                let (near, real) = (rounded.colour(y, cb, cr), real.colour(y, cb, cr));
                assert!(near.iter().zip(real).all(|(n, r)| n.abs_diff(r) <= 1), "{y} {cb} {cr} {range:?}");
            }
        }
    }
}
