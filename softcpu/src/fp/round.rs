//! Rounding an exact result to a format, with the exceptions that belong to it.

use super::env::{Env, Rounding, flag};
use super::number::{Class, Format, Num};

/// What is added to or taken from the exponent of a result whose overflow or underflow is not masked (Intel SDM
/// vol. 1, 8.5.4 and 8.5.5). x87 delivers such results; SSE delivers none, but finds precision in the same way.
const EXPONENT_ADJUST: i32 = 24576;

/// `value >> shift`, with the lowest bit set when any bit that is set was lost.
pub fn shift_right_sticky(value: u128, shift: u32) -> u128 {
    match shift {
        0 => value,
        1..=127 => value >> shift | u128::from(value << (128 - shift) != 0),
        _ => u128::from(value != 0),
    }
}

/// An integer cut out of a wider one.
struct Cut {
    kept: u128,
    inexact: bool,
    up: bool,
}

/// Drops the low `drop` bits (1..=127), rounding what is left.
fn cut(sig: u128, drop: u32, sign: bool, rounding: Rounding) -> Cut {
    let kept = sig >> drop;
    let lost = sig << (128 - drop);
    let half = 1u128 << 127;
    let up = lost != 0
        && match rounding {
            Rounding::Nearest => lost > half || (lost == half && kept & 1 == 1),
            Rounding::Down => sign,
            Rounding::Up => !sign,
            Rounding::Zero => false,
        };
    Cut { kept: kept + u128::from(up), inexact: lost != 0, up }
}

/// Rounds `sig * 2^(exp - 127)`, bit 127 of `sig` set and its lowest bit sticky, to `format`.
pub fn round(env: &mut Env, format: &Format, sign: bool, exp: i32, sig: u128) -> Num {
    debug_assert!(sig >> 127 == 1);
    let drop = 128 - format.precision;
    let normal = cut(sig, drop, sign, env.rounding);
    let carried = normal.kept >> format.precision != 0;
    let rounded_exp = exp + i32::from(carried);
    if exp < format.emin {
        let tiny = rounded_exp < format.emin;
        if tiny && !env.masked(flag::UNDERFLOW) {
            env.raise(flag::UNDERFLOW);
            if exp + EXPONENT_ADJUST < format.emin {
                env.raise(flag::PRECISION);
                return Num::zero(sign);
            }
            return finish(env, &normal, format, sign, exp + EXPONENT_ADJUST);
        }
        return denormal(env, format, sign, exp, sig, tiny);
    }
    if rounded_exp > format.emax {
        env.raise(flag::OVERFLOW);
        if !env.masked(flag::OVERFLOW) {
            if rounded_exp - EXPONENT_ADJUST > format.emax {
                env.raise(flag::PRECISION);
                env.rounded_up = true;
                return Num::infinity(sign);
            }
            return finish(env, &normal, format, sign, exp - EXPONENT_ADJUST);
        }
        env.raise(flag::PRECISION);
        return overflowed(env, format, sign);
    }
    finish(env, &normal, format, sign, exp)
}

/// The result of a rounding that stays in range.
fn finish(env: &mut Env, cut: &Cut, format: &Format, sign: bool, exp: i32) -> Num {
    if cut.inexact {
        env.raise(flag::PRECISION);
    }
    env.rounded_up = cut.up;
    if cut.kept >> format.precision != 0 {
        return Num::finite(sign, exp + 1, 1 << 63);
    }
    Num::finite(sign, exp, (cut.kept as u64) << (64 - format.precision))
}

/// Rounds at the fixed place where denormals of `format` end.
fn denormal(env: &mut Env, format: &Format, sign: bool, exp: i32, sig: u128, tiny: bool) -> Num {
    if tiny && env.ftz && env.masked(flag::UNDERFLOW) {
        env.raise(flag::UNDERFLOW | flag::PRECISION);
        return Num::zero(sign);
    }
    let shift = (format.emin - exp) as u32;
    let cut = cut(shift_right_sticky(sig, shift), 128 - format.precision, sign, env.rounding);
    if tiny && cut.inexact {
        env.raise(flag::UNDERFLOW);
    }
    if cut.inexact {
        env.raise(flag::PRECISION);
    }
    env.rounded_up = cut.up;
    Num::normalised(sign, format.emin, (cut.kept as u64) << (64 - format.precision))
}

/// The masked response to overflow (Intel SDM vol. 1, table 4-11).
fn overflowed(env: &mut Env, format: &Format, sign: bool) -> Num {
    let to_infinity = match env.rounding {
        Rounding::Nearest => true,
        Rounding::Down => sign,
        Rounding::Up => !sign,
        Rounding::Zero => false,
    };
    env.rounded_up = to_infinity;
    if to_infinity {
        return Num::infinity(sign);
    }
    Num::finite(sign, format.emax, u64::MAX << (64 - format.precision))
}

/// Rounds to another format: what a conversion or a store does. NaNs are quieted, an unsupported encoding is invalid.
pub fn convert(env: &mut Env, format: &Format, n: Num) -> Num {
    match n.class {
        Class::Zero | Class::Infinity => n,
        Class::Nan => {
            if n.is_signalling() {
                env.raise(flag::INVALID);
            }
            n.quieted()
        }
        Class::Unsupported => {
            env.raise(flag::INVALID);
            Num::default_nan()
        }
        Class::Finite => round(env, format, n.sign, n.exp, u128::from(n.sig) << 64),
    }
}

/// Rounds a finite number to an integer magnitude; `None` when it does not fit 64 bits. Raises nothing but
/// [`flag::PRECISION`].
pub fn integer_magnitude(env: &mut Env, n: Num, rounding: Rounding) -> Option<u64> {
    if n.is_zero() {
        return Some(0);
    }
    if n.exp > 63 {
        return None;
    }
    // The binary point is put at bit 64, so that a magnitude below one keeps its place for rounding.
    let shift = (63 - n.exp) as u32;
    let fixed = shift_right_sticky(u128::from(n.sig) << 64, shift);
    let cut = cut(fixed, 64, n.sign, rounding);
    let magnitude = u64::try_from(cut.kept).ok()?;
    if cut.inexact {
        env.raise(flag::PRECISION);
    }
    env.rounded_up = cut.up;
    Some(magnitude)
}

/// Converts to a signed integer of `bits` bits; `None` is an invalid operation, already raised.
pub fn to_integer(env: &mut Env, n: Num, bits: u32, rounding: Rounding) -> Option<i64> {
    let flags = env.flags;
    let value = match n.class {
        Class::Zero | Class::Finite => integer_magnitude(env, n, rounding),
        _ => None,
    };
    let limit = (1u64 << (bits - 1)) - u64::from(!n.sign);
    match value {
        Some(magnitude) if magnitude <= limit => {
            let value = magnitude as i64;
            Some(if n.sign { value.wrapping_neg() } else { value })
        }
        _ => {
            env.flags = flags | flag::INVALID;
            env.rounded_up = false;
            None
        }
    }
}

/// Converts an integer.
pub fn from_integer(env: &mut Env, format: &Format, value: i64) -> Num {
    let exact = Num::normalised(value < 0, 63, value.unsigned_abs());
    convert(env, format, exact)
}
