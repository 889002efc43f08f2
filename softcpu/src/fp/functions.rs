//! The elementary functions behind the transcendental x87 instructions, to about 120 bits (see [`Wide`]): the result
//! rounded to 64 bits is the correctly rounded one but for about one argument in 2^50.

use super::ops::{LN_2, PI};
use super::wide::Wide;

const PI_WIDE: Wide = Wide::new(PI.0, PI.1);
const LN_2_WIDE: Wide = Wide::new(LN_2.0, LN_2.1);
/// Terms smaller than this, relative to the sum, change nothing.
const NEGLIGIBLE: i32 = 130;

/// Adds `first * (1 + r0 + r0 r1 + ...)`, where `ratio(n)` is the quotient of term `n + 1` by term `n`.
fn series(first: Wide, mut ratio: impl FnMut(u32) -> Wide) -> Wide {
    let (mut sum, mut term) = (first, first);
    for n in 0..200 {
        term = term.times(ratio(n));
        if term.is_zero() || term.exp < sum.exp - NEGLIGIBLE {
            break;
        }
        sum = sum.plus(term);
    }
    sum
}

/// `2^x - 1` for `-1 <= x <= 1`.
pub fn exp2_minus_1(x: Wide) -> Wide {
    let y = x.times(LN_2_WIDE);
    series(y, |n| y.over_integer(n + 2))
}

/// Natural logarithm of `(1 + s) / (1 - s)`.
fn ln_ratio(s: Wide) -> Wide {
    let square = s.times(s);
    let mut power = s;
    let mut sum = s;
    for n in 1..200 {
        power = power.times(square);
        let term = power.over_integer(2 * n + 1);
        if term.is_zero() || term.exp < sum.exp - NEGLIGIBLE {
            break;
        }
        sum = sum.plus(term);
    }
    sum.scaled(1)
}

/// Base-2 logarithm of a positive number.
pub fn log2(x: Wide) -> Wide {
    // The significand is taken between 3/4 and 3/2, so that numbers near 1 lose nothing to cancellation.
    let big = x.sig >> 126 == 3;
    let exponent = x.exp + i32::from(big);
    let m = Wide { exp: -i32::from(big), ..x };
    let s = m.minus(Wide::ONE).over(m.plus(Wide::ONE));
    let fraction = if s.is_zero() { s } else { ln_ratio(s).over(LN_2_WIDE) };
    Wide::integer(exponent.into()).plus(fraction)
}

/// Base-2 logarithm of `1 + x`, for `|x| < 1/2`.
pub fn log2_plus_1(x: Wide) -> Wide {
    let s = x.over(x.plus(Wide::integer(2)));
    ln_ratio(s).over(LN_2_WIDE)
}

/// Sine and cosine of an angle below pi/4 in magnitude.
fn sine_cosine_small(x: Wide) -> (Wide, Wide) {
    let square = x.times(x).negated();
    let sine = series(x, |n| square.over_integer((2 * n + 2) * (2 * n + 3)));
    let cosine = series(Wide::ONE, |n| square.over_integer((2 * n + 1) * (2 * n + 2)));
    (sine, cosine)
}

/// Sine and cosine of an angle below 2^63. The angle is reduced with pi to 128 bits, so the absolute error grows with the
/// angle as `|x| 2^-128`: better than the 66-bit pi of the manual (Intel SDM vol. 1, 8.3.8).
pub fn sine_cosine(x: Wide) -> (Wide, Wide) {
    let half_pi = PI_WIDE.scaled(-1);
    let turns = x.over(half_pi);
    // The nearest integer: at most 2^64, so that it is exact.
    let shift = 127 - turns.exp;
    let quarter = match shift {
        ..=0 => return sine_cosine_small(Wide::ZERO),
        1..=127 => (turns.sig >> shift) + (turns.sig >> (shift - 1) & 1),
        128 => 1,
        _ => 0,
    };
    let whole = Wide::normalised(x.sign, 127, quarter);
    let (sine, cosine) = sine_cosine_small(x.minus(whole.times(half_pi)));
    let signed = if x.sign { quarter.wrapping_neg() } else { quarter };
    match signed & 3 {
        0 => (sine, cosine),
        1 => (cosine, sine.negated()),
        2 => (sine.negated(), cosine.negated()),
        _ => (cosine.negated(), sine),
    }
}

/// Arc tangent of a positive number at most 1.
fn arc_tangent_small(mut z: Wide) -> Wide {
    // Halving the angle three times brings the argument below 0.1.
    for _ in 0..3 {
        z = z.over(Wide::ONE.plus(Wide::ONE.plus(z.times(z)).root()));
    }
    let square = z.times(z).negated();
    let (mut power, mut sum) = (z, z);
    for n in 1..200 {
        power = power.times(square);
        let term = power.over_integer(2 * n + 1);
        if term.is_zero() || term.exp < sum.exp - NEGLIGIBLE {
            break;
        }
        sum = sum.plus(term);
    }
    sum.scaled(3)
}

/// The angle of the point `(x, y)`, neither of them zero: `-pi..pi`.
pub fn arc_tangent(y: Wide, x: Wide) -> Wide {
    let (height, width) = (Wide { sign: false, ..y }, Wide { sign: false, ..x });
    let steep = (height.exp, height.sig) > (width.exp, width.sig);
    let first = if steep {
        PI_WIDE.scaled(-1).minus(arc_tangent_small(width.over(height)))
    } else {
        arc_tangent_small(height.over(width))
    };
    let angle = if x.sign { PI_WIDE.minus(first) } else { first };
    Wide { sign: y.sign, ..angle }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fp::env::Env;
    use crate::fp::number::Num;

    fn wide(x: f64) -> Wide {
        Wide::from_num(Num::from_f64(x.to_bits(), &Env::from_mxcsr(0x1f80)))
    }

    fn near(ours: Wide, theirs: f64, about: &str) {
        let value = (ours.sig >> 64) as f64 * 2f64.powi(ours.exp - 63) * if ours.sign { -1.0 } else { 1.0 };
        assert!((value - theirs).abs() <= theirs.abs().max(1e-3) * 1e-14, "{about}: {value} and {theirs}");
    }

    #[test]
    fn agree_with_the_libraries_of_the_host() {
        for n in 1..400 {
            let x = f64::from(n) * 0.0173;
            for x in [x, -x] {
                let (sine, cosine) = sine_cosine(wide(x));
                near(sine, x.sin(), "sine");
                near(cosine, x.cos(), "cosine");
                near(arc_tangent(wide(x), wide(0.7)), x.atan2(0.7), "arc tangent");
                near(arc_tangent(wide(x), wide(-1.3)), x.atan2(-1.3), "arc tangent to the left");
                near(exp2_minus_1(wide(x / 7.0)), (x / 7.0 * std::f64::consts::LN_2).exp_m1(), "exponential");
                near(
                    log2_plus_1(wide(x / 17.0)),
                    (x / 17.0).ln_1p() / std::f64::consts::LN_2,
                    "logarithm near one",
                );
            }
            near(log2(wide(x)), x.log2(), "logarithm");
        }
    }
}
