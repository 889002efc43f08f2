//! Random values from a fixed seed, with a taste for the interesting ones.

use std::ops::{Deref, DerefMut};

/// A generator.
pub struct Random(fencepost_random::Random);

impl Deref for Random {
    type Target = fencepost_random::Random;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Random {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Random {
    /// One of a seed.
    pub fn new(seed: u64) -> Self {
        Random(fencepost_random::Random::new(seed))
    }

    /// An integer: often small, near a power of two, or a repeated byte.
    pub fn integer(&mut self) -> u64 {
        let r = self.bits();
        match self.below(8) {
            0 => self.below(4),
            1 => (self.below(4)).wrapping_neg(),
            2 => (1u64 << (r & 63)).wrapping_add(self.below(3)).wrapping_sub(1),
            3 => (r & 0xff) * 0x0101_0101_0101_0101,
            4 => r & 0xffff_ffff,
            5 => r as i16 as u64,
            _ => r,
        }
    }

    /// Single precision: specials, denormals, numbers of like size, whole numbers, anything.
    pub fn single(&mut self) -> u32 {
        let r = self.bits() as u32;
        match self.below(10) {
            0 => self.pick(&[
                0,
                0x8000_0000,
                0x7f80_0000,
                0xff80_0000,
                0x7fc0_0000,
                0xffc0_0000,
                0x7f7f_ffff,
                0x0080_0000,
            ]),
            1 => r & 0x807f_ffff,
            2 => 0x7f80_0000 | r & 0x807f_ffff,
            3 | 4 => r & 0x807f_ffff | (120 + (r >> 23) % 14) << 23,
            5 => ((r % 2000) as f32 - 1000.0).to_bits(),
            6 => (self.bits() as i32 as f32).to_bits(),
            7 => r & 0x807f_0000 | (60 + (r >> 23) % 120) << 23,
            _ => r,
        }
    }

    /// Double precision, in the same way.
    pub fn double(&mut self) -> u64 {
        let r = self.bits();
        const FRACTION: u64 = 0x800f_ffff_ffff_ffff;
        const INFINITY: u64 = 0x7ff0_0000_0000_0000;
        match self.below(10) {
            0 => self.pick(&[
                0,
                1 << 63,
                INFINITY,
                INFINITY | 1 << 63,
                INFINITY | 1 << 51,
                0x7fef_ffff_ffff_ffff,
                1 << 52,
            ]),
            1 => r & FRACTION,
            2 => INFINITY | r & FRACTION,
            3 | 4 => r & FRACTION | (1016 + (r >> 52) % 14) << 52,
            5 => ((r % 2000) as f64 - 1000.0).to_bits(),
            6 => (self.bits() as i64 as f64).to_bits(),
            7 => (f64::from(f32::from_bits(self.single()))).to_bits(),
            _ => r,
        }
    }

    /// The 80-bit format, refused encodings among them.
    pub fn extended(&mut self) -> u128 {
        let r = self.bits();
        let integer_bit = 1 << 63;
        let sign = (r & 0x8000) as u128;
        let sig = self.bits() | integer_bit;
        let (exponent, sig) = match self.below(12) {
            0 => (0, 0),
            1 => (0, sig >> (1 + r % 40)),
            2 => (0x7fff, integer_bit),
            3 => (0x7fff, sig),
            4 => (r & 0x7fff, self.bits()),
            5 | 6 => (0x3fff - 4 + r % 14, sig),
            7 => (0x3fff + r % 64, integer_bit | (self.bits() << 32)),
            8 => (0x3fff - 64 + r % 128, sig),
            9 => (0x3fff + r % 10, integer_bit | (self.bits() & 0x3) << 56),
            10 => (self.pick(&[1, 2, 0x7ffe, 0x7ffd, 0x3f81, 0x407e, 0x3c01, 0x43fe]), sig),
            _ => (r & 0x7fff, sig),
        };
        (sign | u128::from(exponent & 0x7fff)) << 64 | u128::from(sig)
    }

    /// Sixteen bytes that make sense as integers or floating-point numbers.
    pub fn vector(&mut self) -> u128 {
        match self.below(3) {
            0 => u128::from(self.integer()) << 64 | u128::from(self.integer()),
            1 => (0..4).map(|i| u128::from(self.single()) << (32 * i)).sum(),
            _ => u128::from(self.double()) << 64 | u128::from(self.double()),
        }
    }
}
