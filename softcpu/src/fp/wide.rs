//! Positive numbers of 128 significant bits, for functions whose result is rounded to 64. Every operation truncates, so
//! a chain of a hundred of them is good for about 120 bits.

use super::number::Num;

/// `sig * 2^(exp - 127)` with bit 127 of `sig` set, or zero when `sig` is zero; negative by `sign`.
#[derive(Clone, Copy, Debug)]
pub struct Wide {
    /// Negative.
    pub sign: bool,
    /// Exponent.
    pub exp: i32,
    /// Significand.
    pub sig: u128,
}

/// The high half of a 256-bit product.
fn multiply_high(a: u128, b: u128) -> u128 {
    const LOW: u128 = u64::MAX as u128;
    let (ah, al, bh, bl) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let (low, mid, cross) = (al * bl, ah * bl, al * bh);
    let carry = ((low >> 64) + (mid & LOW) + (cross & LOW)) >> 64;
    ah * bh + (mid >> 64) + (cross >> 64) + carry
}

impl Wide {
    /// Zero.
    pub const ZERO: Wide = Wide { sign: false, exp: 0, sig: 0 };
    /// One.
    pub const ONE: Wide = Wide { sign: false, exp: 0, sig: 1 << 127 };

    /// From an exponent and a normalised significand.
    pub const fn new(exp: i32, sig: u128) -> Wide {
        Wide { sign: false, exp, sig }
    }

    /// From a finite number.
    pub fn from_num(n: Num) -> Wide {
        Wide { sign: n.sign, exp: n.exp, sig: u128::from(n.sig) << 64 }
    }

    /// A small integer.
    pub fn integer(value: i64) -> Wide {
        Wide::normalised(value < 0, 127, u128::from(value.unsigned_abs()))
    }

    /// `sig * 2^(exp - 127)` for any `sig`.
    pub fn normalised(sign: bool, exp: i32, sig: u128) -> Wide {
        if sig == 0 {
            return Wide::ZERO;
        }
        let shift = sig.leading_zeros();
        Wide { sign, exp: exp - shift as i32, sig: sig << shift }
    }

    /// Whether it is zero.
    pub fn is_zero(self) -> bool {
        self.sig == 0
    }

    /// With the other sign.
    pub fn negated(self) -> Wide {
        Wide { sign: !self.sign, ..self }
    }

    /// Times a power of two.
    pub fn scaled(self, by: i32) -> Wide {
        Wide { exp: self.exp + by, ..self }
    }

    /// Product.
    pub fn times(self, other: Wide) -> Wide {
        let sign = self.sign != other.sign;
        Wide::normalised(sign, self.exp + other.exp + 1, multiply_high(self.sig, other.sig))
    }

    /// Sum.
    pub fn plus(self, other: Wide) -> Wide {
        if self.is_zero() {
            return other;
        }
        if other.is_zero() {
            return self;
        }
        let (big, small) =
            if (self.exp, self.sig) >= (other.exp, other.sig) { (self, other) } else { (other, self) };
        let aligned = (small.sig >> 1).checked_shr((big.exp - small.exp) as u32).unwrap_or(0);
        let head = big.sig >> 1;
        let sum = if big.sign == small.sign { head + aligned } else { head - aligned };
        Wide::normalised(big.sign, big.exp + 1, sum)
    }

    /// Difference.
    pub fn minus(self, other: Wide) -> Wide {
        self.plus(other.negated())
    }

    /// Quotient; the divisor must not be zero. One bit at a time: divisions are few.
    pub fn over(self, other: Wide) -> Wide {
        let (mut rest, mut quotient, mut carry) = (self.sig, 0u128, false);
        let exp = self.exp - other.exp;
        for _ in 0..128 {
            quotient <<= 1;
            if carry || rest >= other.sig {
                rest = rest.wrapping_sub(other.sig);
                quotient |= 1;
            }
            carry = rest >> 127 != 0;
            rest <<= 1;
        }
        Wide::normalised(self.sign != other.sign, exp, quotient)
    }

    /// Quotient by a small integer.
    pub fn over_integer(self, by: u32) -> Wide {
        // 32 guard bits, as the divisor has at most 32.
        if self.is_zero() {
            return self;
        }
        let by = u128::from(by);
        let (high, rest) = (self.sig / by, self.sig % by);
        let shift = high.leading_zeros();
        let low = (rest << shift) / by;
        Wide::normalised(self.sign, self.exp - shift as i32, high << shift | low)
    }

    /// Square root of a positive number: Newton's iteration on a 64-bit start.
    pub fn root(self) -> Wide {
        if self.is_zero() {
            return self;
        }
        let odd = self.exp.rem_euclid(2);
        let start = (self.sig >> (1 - odd)).isqrt();
        let mut guess = Wide::normalised(false, self.exp.div_euclid(2) + 64, start);
        for _ in 0..2 {
            guess = guess.plus(self.over(guess)).scaled(-1);
        }
        guess
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(w: Wide) -> f64 {
        let magnitude = (w.sig >> 64) as f64 * 2f64.powi(w.exp - 63);
        if w.sign { -magnitude } else { magnitude }
    }

    #[test]
    fn arithmetic_of_small_integers() {
        for a in -20..=20i64 {
            for b in -20..=20i64 {
                let (x, y) = (Wide::integer(a), Wide::integer(b));
                assert_eq!(value(x.plus(y)), (a + b) as f64);
                assert_eq!(value(x.minus(y)), (a - b) as f64);
                assert_eq!(value(x.times(y)), (a * b) as f64);
                if b != 0 {
                    assert!((value(x.over(y)) - a as f64 / b as f64).abs() < 1e-14);
                    assert_eq!(value(x.over(y).times(y)).round(), a as f64);
                }
                if b > 0 {
                    assert!((value(x.over_integer(b as u32)) - a as f64 / b as f64).abs() < 1e-14);
                }
            }
        }
    }

    #[test]
    fn roots_square_to_what_they_were_taken_of() {
        for n in 1..200i64 {
            let w = Wide::integer(n).scaled(n as i32 % 7 - 3);
            let root = w.root();
            let error = root.times(root).minus(w);
            assert!(error.is_zero() || error.exp < w.exp - 120, "{n}");
        }
    }
}
