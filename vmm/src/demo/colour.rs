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

/// One pixel's colour by BT.601 (Kr = 0.299, Kb = 0.114), in real arithmetic, rounded to the nearest integer (halves
/// up) and clamped. `quantised` rounds each coefficient to 1/65536 first, as `docs/gpu.md` prescribes for the GPU.
fn bt601_real(y: u8, cb: u8, cr: u8, range: Range, quantised: bool) -> [u8; 3] {
    let (kr, kb) = (0.299, 0.114);
    let kg = 1.0 - kr - kb;
    let (black, luma_gain, chroma_gain) = match range {
        Range::Limited => (16.0, 255.0 / 219.0, 255.0 / 224.0),
        Range::Full => (0.0, 1.0, 1.0),
    };
    let coefficient = |real: f64| if quantised { (real * 65536.0).round() / 65536.0 } else { real };
    let luma = coefficient(luma_gain) * (f64::from(y) - black);
    let (cb, cr) = (f64::from(cb) - 128.0, f64::from(cr) - 128.0);
    let red = luma + coefficient(2.0 * (1.0 - kr) * chroma_gain) * cr;
    let blue = luma + coefficient(2.0 * (1.0 - kb) * chroma_gain) * cb;
    let green_cb = coefficient(2.0 * (1.0 - kb) * kb / kg * chroma_gain);
    let green_cr = coefficient(2.0 * (1.0 - kr) * kr / kg * chroma_gain);
    let green = luma - green_cb * cb - green_cr * cr;
    [red, green, blue].map(|v| (v + 0.5).floor().clamp(0.0, 255.0) as u8)
}

/// The colour that the GPU must give for one pixel.
pub fn bt601(y: u8, cb: u8, cr: u8, range: Range) -> [u8; 3] {
    bt601_real(y, cb, cr, range, true)
}

impl Planar {
    /// The picture as XRGB8888 (bytes B, G, R, 0), each pixel with the chroma sample that covers it.
    pub fn to_xrgb(&self) -> Vec<u8> {
        let chroma_stride = self.width / self.sub_x;
        let mut out = Vec::with_capacity(self.width * self.height * 4);
        for row in 0..self.height {
            for column in 0..self.width {
                let chroma = row / self.sub_y * chroma_stride + column / self.sub_x;
                let luma = self.planes[0][row * self.width + column];
                let [r, g, b] = bt601(luma, self.planes[1][chroma], self.planes[2][chroma], self.range);
                out.extend_from_slice(&[b, g, r, 0]);
            }
        }
        out
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
        assert_eq!(bt601(235, 128, 128, Range::Limited), [255, 255, 255]);
        assert_eq!(bt601(16, 128, 128, Range::Limited), [0, 0, 0]);
        assert_eq!(bt601(81, 90, 240, Range::Limited), [254, 0, 0]);
    }

    #[test]
    fn full_range_keeps_grey() {
        for grey in [0, 1, 127, 254, 255] {
            assert_eq!(bt601(grey, 128, 128, Range::Full), [grey; 3]);
        }
    }

    // What the GPU's page prescribes is BT.601: rounding its coefficients moves no result by more than one.
    #[test]
    fn quantised_coefficients_stay_within_one_of_the_recommendation() {
        for (y, cb, cr) in (0..=255).step_by(5).flat_map(|y| {
            (0..=255).step_by(3).flat_map(move |cb| (0..=255).step_by(3).map(move |cr| (y, cb, cr)))
        }) {
            for range in [Range::Limited, Range::Full] {
                let near = bt601(y, cb, cr, range);
                let real = bt601_real(y, cb, cr, range, false);
                assert!(near.iter().zip(real).all(|(n, r)| n.abs_diff(r) <= 1), "{y} {cb} {cr} {range:?}");
            }
        }
    }
}
