//! Addition, multiplication, division, square root, comparison: exact, then rounded once.

use std::cmp::Ordering;

use super::env::{Env, Rounding, Unit, flag};
use super::number::{Class, Format, Num};
use super::round::{round, shift_right_sticky};

/// An invalid operation's result.
pub fn invalid(env: &mut Env) -> Num {
    env.raise(flag::INVALID);
    Num::default_nan()
}

/// The result when an operand is no number: `None` when both are.
pub fn propagate(env: &mut Env, a: Num, b: Num) -> Option<Num> {
    if a.class == Class::Unsupported || b.class == Class::Unsupported {
        return Some(invalid(env));
    }
    if !a.is_nan() && !b.is_nan() {
        return None;
    }
    if a.is_signalling() || b.is_signalling() {
        env.raise(flag::INVALID);
    }
    let chosen = match (a.is_nan(), b.is_nan()) {
        (true, false) => a,
        (false, _) => b,
        (true, true) if env.unit == Unit::Sse => a,
        // Intel SDM vol. 1, table 4-7: a quiet NaN before a signalling one, else the larger significand.
        (true, true) => match (a.is_signalling(), b.is_signalling()) {
            (true, false) => b,
            (false, true) => a,
            _ => match a.sig.cmp(&b.sig) {
                Ordering::Greater => a,
                Ordering::Less => b,
                Ordering::Equal => {
                    if a.sign {
                        b
                    } else {
                        a
                    }
                }
            },
        },
    };
    Some(chosen.quieted())
}

fn denormals(env: &mut Env, a: &Num, b: &Num) {
    if a.denormal || b.denormal {
        env.raise(flag::DENORMAL);
    }
}

/// `a + b`.
pub fn add(env: &mut Env, format: &Format, a: Num, b: Num) -> Num {
    match propagate(env, a, b) {
        Some(nan) => nan,
        None => sum(env, format, a, b),
    }
}

/// `a - b`.
pub fn sub(env: &mut Env, format: &Format, a: Num, b: Num) -> Num {
    match propagate(env, a, b) {
        Some(nan) => nan,
        None => sum(env, format, a, b.negated()),
    }
}

fn sum(env: &mut Env, format: &Format, a: Num, b: Num) -> Num {
    if a.is_infinite() && b.is_infinite() && a.sign != b.sign {
        return invalid(env);
    }
    denormals(env, &a, &b);
    match (a.class, b.class) {
        (Class::Infinity, _) => return a,
        (_, Class::Infinity) => return b,
        (Class::Zero, Class::Zero) => {
            let sign = if a.sign == b.sign { a.sign } else { env.rounding == Rounding::Down };
            return Num::zero(sign);
        }
        (Class::Zero, _) => return round(env, format, b.sign, b.exp, u128::from(b.sig) << 64),
        (_, Class::Zero) => return round(env, format, a.sign, a.exp, u128::from(a.sig) << 64),
        _ => {}
    }
    let (big, small) = if (a.exp, a.sig) >= (b.exp, b.sig) { (a, b) } else { (b, a) };
    // One bit of head room for the carry.
    let x = u128::from(big.sig) << 63;
    let y = shift_right_sticky(u128::from(small.sig) << 63, (big.exp - small.exp) as u32);
    let total = if big.sign == small.sign { x + y } else { x - y };
    if total == 0 {
        return Num::zero(env.rounding == Rounding::Down);
    }
    let shift = total.leading_zeros();
    round(env, format, big.sign, big.exp + 1 - shift as i32, total << shift)
}

/// `a * b`.
pub fn mul(env: &mut Env, format: &Format, a: Num, b: Num) -> Num {
    if let Some(nan) = propagate(env, a, b) {
        return nan;
    }
    let sign = a.sign != b.sign;
    if a.is_infinite() && b.is_zero() || a.is_zero() && b.is_infinite() {
        return invalid(env);
    }
    denormals(env, &a, &b);
    if a.is_infinite() || b.is_infinite() {
        return Num::infinity(sign);
    }
    if a.is_zero() || b.is_zero() {
        return Num::zero(sign);
    }
    let product = u128::from(a.sig) * u128::from(b.sig);
    let shift = product.leading_zeros();
    round(env, format, sign, a.exp + b.exp + 1 - shift as i32, product << shift)
}

/// `a / b`.
pub fn div(env: &mut Env, format: &Format, a: Num, b: Num) -> Num {
    if let Some(nan) = propagate(env, a, b) {
        return nan;
    }
    let sign = a.sign != b.sign;
    if a.is_infinite() && b.is_infinite() || a.is_zero() && b.is_zero() {
        return invalid(env);
    }
    if b.is_zero() && !a.is_infinite() {
        env.raise(flag::ZERO_DIVIDE);
        return Num::infinity(sign);
    }
    denormals(env, &a, &b);
    if a.is_infinite() {
        return Num::infinity(sign);
    }
    if a.is_zero() || b.is_infinite() {
        return Num::zero(sign);
    }
    let (sig, exp) = quotient(a, b);
    round(env, format, sign, exp, sig)
}

/// The quotient of two finite magnitudes as a normalised significand with a sticky bit, and its exponent.
fn quotient(a: Num, b: Num) -> (u128, i32) {
    let divisor = u128::from(b.sig);
    let numerator = u128::from(a.sig) << 64;
    let (high, rest) = (numerator / divisor, numerator % divisor);
    // 32 more bits, well below the rounding place, and a sticky bit for what is left.
    let (low, rest) = ((rest << 32) / divisor, (rest << 32) % divisor);
    let sig = high << 33 | low << 1 | u128::from(rest != 0);
    let shift = sig.leading_zeros();
    // A quotient of one has bit 64 + 33 set.
    (sig << shift, a.exp - b.exp + (127 - shift as i32) - 97)
}

/// Square root.
pub fn sqrt(env: &mut Env, format: &Format, a: Num) -> Num {
    if let Some(nan) = propagate(env, a, a) {
        return nan;
    }
    if a.is_zero() {
        return a;
    }
    if a.sign {
        return invalid(env);
    }
    if a.is_infinite() {
        return a;
    }
    denormals(env, &a, &a);
    let odd = a.exp.rem_euclid(2);
    let n = u128::from(a.sig) << (63 + odd);
    let root = n.isqrt();
    let rest = n - root * root;
    // The root is never halfway between two 64-bit integers, so "more than half" and "anything" are all that matters.
    let sig = root << 64 | u128::from(rest > root) << 63 | u128::from(rest != 0);
    round(env, format, false, a.exp.div_euclid(2), sig)
}

/// Orders two numbers; `None` is unordered. Raises [`flag::INVALID`] for signalling NaNs (for any NaN when
/// `quiet_invalid`) and unsupported encodings.
pub fn compare(env: &mut Env, a: Num, b: Num, quiet_invalid: bool) -> Option<Ordering> {
    if propagate(env, a, b).is_some() {
        if quiet_invalid {
            env.raise(flag::INVALID);
        }
        return None;
    }
    denormals(env, &a, &b);
    Some(order(a, b))
}

/// Orders two numbers that are no NaNs.
pub fn order(a: Num, b: Num) -> Ordering {
    let rank = |n: &Num| match n.class {
        Class::Zero => (0, 0, 0),
        Class::Infinity => (2, 0, 0),
        _ => (1, n.exp, n.sig),
    };
    let magnitude = rank(&a).cmp(&rank(&b));
    match (a.sign, b.sign) {
        _ if a.is_zero() && b.is_zero() => Ordering::Equal,
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => magnitude,
        (true, true) => magnitude.reverse(),
    }
}
