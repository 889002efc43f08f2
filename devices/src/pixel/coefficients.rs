//! The fixed-point form of the equations.

use super::{Encoding, Range};

/// Coefficients in units of 1/65536.
#[derive(Clone, Copy)]
pub struct Coefficients {
    pub(super) luma: i32,
    pub(super) luma_zero: i32,
    pub(super) red_cr: i32,
    pub(super) green_cb: i32,
    pub(super) green_cr: i32,
    pub(super) blue_cb: i32,
}

/// The share of the chroma samples in each colour, rounding included; what remains is to add a pixel's luma.
#[derive(Clone, Copy)]
pub(super) struct Chroma {
    luma: i32,
    luma_zero: i32,
    red: i32,
    green: i32,
    blue: i32,
}

const ONE_HALF: i32 = 32_768;

/// BT.601 limited: 255/219; 1.402, 0.344136, 0.714136 and 1.772, each times 255/224.
const LIMITED_601: Coefficients = Coefficients {
    luma: 76_309,
    luma_zero: 16,
    red_cr: 104_597,
    green_cb: 25_675,
    green_cr: 53_279,
    blue_cb: 132_201,
};

/// BT.601 full: 1; 1.402, 0.344136, 0.714136 and 1.772.
const FULL_601: Coefficients = Coefficients {
    luma: 65_536,
    luma_zero: 0,
    red_cr: 91_881,
    green_cb: 22_553,
    green_cr: 46_802,
    blue_cb: 116_130,
};

/// BT.709 limited: 255/219; 1.5748, 0.187324, 0.468124 and 1.8556, each times 255/224.
const LIMITED_709: Coefficients = Coefficients {
    luma: 76_309,
    luma_zero: 16,
    red_cr: 117_489,
    green_cb: 13_975,
    green_cr: 34_925,
    blue_cb: 138_438,
};

/// BT.709 full: 1; 1.5748, 0.187324, 0.468124 and 1.8556.
const FULL_709: Coefficients = Coefficients {
    luma: 65_536,
    luma_zero: 0,
    red_cr: 103_206,
    green_cb: 12_276,
    green_cr: 30_679,
    blue_cb: 121_609,
};

// Samples are bytes and coefficients below 2^18, so every product is below 2^26 and every sum below 2^28: the wrapping
// operations never wrap.
impl Coefficients {
    /// Those of an encoding in a range.
    pub fn of(encoding: Encoding, range: Range) -> Self {
        match (encoding, range) {
            (Encoding::Bt601, Range::Limited) => LIMITED_601,
            (Encoding::Bt601, Range::Full) => FULL_601,
            (Encoding::Bt709, Range::Limited) => LIMITED_709,
            (Encoding::Bt709, Range::Full) => FULL_709,
        }
    }

    /// Red, green and blue of a sample.
    #[inline]
    pub fn rgb(&self, y: u8, cb: u8, cr: u8) -> [u8; 3] {
        self.chroma(cb, cr).rgb(y)
    }

    #[inline]
    pub(super) fn chroma(&self, cb: u8, cr: u8) -> Chroma {
        let cb = i32::from(cb).wrapping_sub(128);
        let cr = i32::from(cr).wrapping_sub(128);
        Chroma {
            luma: self.luma,
            luma_zero: self.luma_zero,
            red: ONE_HALF.wrapping_add(self.red_cr.wrapping_mul(cr)),
            green: ONE_HALF
                .wrapping_sub(self.green_cb.wrapping_mul(cb))
                .wrapping_sub(self.green_cr.wrapping_mul(cr)),
            blue: ONE_HALF.wrapping_add(self.blue_cb.wrapping_mul(cb)),
        }
    }
}

impl Chroma {
    #[inline]
    pub(super) fn rgb(&self, y: u8) -> [u8; 3] {
        let luma = i32::from(y).wrapping_sub(self.luma_zero).wrapping_mul(self.luma);
        [self.red, self.green, self.blue].map(|share| (luma.wrapping_add(share) >> 16).clamp(0, 255) as u8)
    }
}
