//! One unpacked form for the three formats: single, double and 80-bit extended.

use super::env::Env;

/// The most significant bit of a significand (the "integer bit").
pub const INTEGER_BIT: u64 = 1 << 63;
/// The bit that makes a NaN quiet.
pub const QUIET_BIT: u64 = 1 << 62;

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Zero.
    Zero,
    /// A finite number that is not zero.
    Finite,
    /// Infinity.
    Infinity,
    /// Not a number, quiet or signalling by [`QUIET_BIT`] of the significand.
    Nan,
    /// An 80-bit encoding processors since the 387 refuse (Intel SDM vol. 1, 8.2.2).
    Unsupported,
}

/// A number: for [`Class::Finite`] the value is `sig * 2^(exp - 63)` with the integer bit of `sig` set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Num {
    /// Negative.
    pub sign: bool,
    /// What it is.
    pub class: Class,
    /// Unbiased exponent.
    pub exp: i32,
    /// Significand; for a NaN, as in the 80-bit format.
    pub sig: u64,
    /// The operand was encoded as a denormal.
    pub denormal: bool,
}

/// Precision in bits and the range of the unbiased exponent.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Significand bits, the integer bit included.
    pub precision: u32,
    /// Exponent of the smallest normal number.
    pub emin: i32,
    /// Exponent of the largest number.
    pub emax: i32,
}

/// Single precision.
pub const F32: Format = Format { precision: 24, emin: -126, emax: 127 };
/// Double precision.
pub const F64: Format = Format { precision: 53, emin: -1022, emax: 1023 };
/// Double-extended precision.
pub const F80: Format = Format { precision: 64, emin: -16382, emax: 16383 };

impl Num {
    /// A zero.
    pub const fn zero(sign: bool) -> Self {
        Num { sign, class: Class::Zero, exp: 0, sig: 0, denormal: false }
    }

    /// An infinity.
    pub const fn infinity(sign: bool) -> Self {
        Num { sign, class: Class::Infinity, exp: 0, sig: INTEGER_BIT, denormal: false }
    }

    /// The NaN that invalid operations give ("real indefinite").
    pub const fn default_nan() -> Self {
        Num { sign: true, class: Class::Nan, exp: 0, sig: INTEGER_BIT | QUIET_BIT, denormal: false }
    }

    /// A finite number whose significand is already normalised.
    pub const fn finite(sign: bool, exp: i32, sig: u64) -> Self {
        Num { sign, class: Class::Finite, exp, sig, denormal: false }
    }

    /// `sig * 2^(exp - 63)` for any significand.
    pub fn normalised(sign: bool, exp: i32, sig: u64) -> Self {
        if sig == 0 {
            return Num::zero(sign);
        }
        let shift = sig.leading_zeros();
        Num::finite(sign, exp - shift as i32, sig << shift)
    }

    /// Whether it is a NaN.
    pub fn is_nan(&self) -> bool {
        self.class == Class::Nan
    }

    /// Whether it is a signalling NaN.
    pub fn is_signalling(&self) -> bool {
        self.is_nan() && self.sig & QUIET_BIT == 0
    }

    /// The same NaN, quiet.
    pub fn quieted(mut self) -> Self {
        self.sig |= QUIET_BIT;
        self
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.class == Class::Zero
    }

    /// Whether it is infinite.
    pub fn is_infinite(&self) -> bool {
        self.class == Class::Infinity
    }

    /// The same with the other sign.
    pub fn negated(mut self) -> Self {
        self.sign = !self.sign;
        self
    }

    fn unpack(bits: u64, fraction_bits: u32, exponent_bits: u32, daz: bool) -> Self {
        let sign = bits >> (fraction_bits + exponent_bits) != 0;
        let max = (1i32 << exponent_bits) - 1;
        let bias = max >> 1;
        let exponent = (bits >> fraction_bits) as i32 & max;
        let fraction = bits & ((1 << fraction_bits) - 1);
        let sig = fraction << (63 - fraction_bits);
        match (exponent, fraction) {
            (0, 0) => Num::zero(sign),
            (0, _) if daz => Num::zero(sign),
            (0, _) => Num { denormal: true, ..Num::normalised(sign, 1 - bias, sig) },
            (e, 0) if e == max => Num::infinity(sign),
            (e, _) if e == max => {
                Num { sign, class: Class::Nan, exp: 0, sig: sig | INTEGER_BIT, denormal: false }
            }
            _ => Num::finite(sign, exponent - bias, sig | INTEGER_BIT),
        }
    }

    /// From single precision.
    pub fn from_f32(bits: u32, env: &Env) -> Self {
        Num::unpack(u64::from(bits), 23, 8, env.daz)
    }

    /// From double precision.
    pub fn from_f64(bits: u64, env: &Env) -> Self {
        Num::unpack(bits, 52, 11, env.daz)
    }

    /// From the low 80 bits.
    pub fn from_f80(bits: u128) -> Self {
        let sig = bits as u64;
        let exponent = (bits >> 64) as i32 & 0x7fff;
        let sign = bits >> 79 & 1 != 0;
        let unsupported = Num { sign, class: Class::Unsupported, exp: 0, sig, denormal: false };
        match (exponent, sig) {
            (0, 0) => Num::zero(sign),
            (0, _) => Num { denormal: true, ..Num::normalised(sign, F80.emin, sig) },
            (_, s) if s & INTEGER_BIT == 0 => unsupported,
            (0x7fff, INTEGER_BIT) => Num::infinity(sign),
            (0x7fff, _) => Num { sign, class: Class::Nan, exp: 0, sig, denormal: false },
            _ => Num::finite(sign, exponent - 16383, sig),
        }
    }

    fn pack(&self, fraction_bits: u32, exponent_bits: u32) -> u64 {
        let max = (1u64 << exponent_bits) - 1;
        let bias = (max >> 1) as i32;
        let drop = 63 - fraction_bits;
        let fraction = (self.sig & !INTEGER_BIT) >> drop;
        let (exponent, fraction) = match self.class {
            Class::Zero => (0, 0),
            Class::Infinity => (max, 0),
            Class::Nan | Class::Unsupported => (max, fraction),
            Class::Finite if self.exp < 1 - bias => {
                let shift = drop + (1 - bias - self.exp) as u32;
                (0, self.sig.checked_shr(shift).unwrap_or(0))
            }
            Class::Finite => ((self.exp + bias) as u64, fraction),
        };
        u64::from(self.sign) << (fraction_bits + exponent_bits) | exponent << fraction_bits | fraction
    }

    /// To single precision: it must have been rounded to it (a NaN's low bits are dropped).
    pub fn to_f32(&self) -> u32 {
        self.pack(23, 8) as u32
    }

    /// To double precision: it must have been rounded to it (a NaN's low bits are dropped).
    pub fn to_f64(&self) -> u64 {
        self.pack(52, 11)
    }

    /// To the low 80 bits.
    pub fn to_f80(&self) -> u128 {
        let (exponent, sig) = match self.class {
            Class::Zero => (0, 0),
            Class::Infinity | Class::Nan | Class::Unsupported => (0x7fff, self.sig),
            Class::Finite if self.exp < F80.emin => {
                (0, self.sig.checked_shr((F80.emin - self.exp) as u32).unwrap_or(0))
            }
            Class::Finite => ((self.exp + 16383) as u128, self.sig),
        };
        u128::from(self.sign) << 79 | exponent << 64 | u128::from(sig)
    }
}
