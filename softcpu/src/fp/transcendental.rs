//! F2XM1, FYL2X, FYL2XP1, FSIN, FCOS, FSINCOS, FPTAN, FPATAN: operands, special cases and results. The values are
//! correctly rounded in all but the rarest cases (see [`functions`]), which processors are not: their results differ by
//! an ulp here and there. An inexact result is always rounded by rounding control and always to 64 bits.

use super::arith::{invalid, propagate};
use super::env::{Env, flag};
use super::functions;
use super::number::{Class, F80, Num};
use super::ops::{Constant, PI};
use super::round::round;
use super::stack::Unit;
use super::wide::Wide;

/// Rounds a value that is never exact.
fn inexact(env: &mut Env, value: Wide) -> Num {
    round(env, &F80, value.sign, value.exp, value.sig | 1)
}

/// Rounds a value that is exact.
fn exact(env: &mut Env, value: Wide) -> Num {
    round(env, &F80, value.sign, value.exp, value.sig)
}

fn denormals(env: &mut Env, numbers: &[Num]) {
    if numbers.iter().any(|n| n.denormal) {
        env.raise(flag::DENORMAL);
    }
}

/// A fraction of pi.
fn pi_times(env: &mut Env, sign: bool, numerator: i64, halvings: i32) -> Num {
    let Constant(exp, sig) = PI;
    let value = Wide::new(exp, sig).times(Wide::integer(numerator)).scaled(-halvings);
    inexact(env, Wide { sign, ..value })
}

/// F2XM1. The manual defines it from -1 to 1; beyond, the operand stays as it is.
pub fn exp2_minus_1(u: &mut Unit) {
    let n = u.st(0);
    let result = match n.class {
        Class::Nan | Class::Unsupported => propagate(&mut u.env, n, n).unwrap_or(n),
        Class::Zero => n,
        Class::Infinity if n.sign => Num::finite(true, 0, 1 << 63),
        Class::Infinity => n,
        Class::Finite if n.exp > 0 || n.exp == 0 && n.sig != 1 << 63 => n,
        Class::Finite if n.exp == 0 => {
            // 2^1 - 1 and 2^-1 - 1.
            if n.sign { Num::finite(true, -1, 1 << 63) } else { n }
        }
        Class::Finite => {
            denormals(&mut u.env, &[n]);
            inexact(&mut u.env, functions::exp2_minus_1(Wide::from_num(n)))
        }
    };
    u.set(0, result);
}

/// `y * log`, where only the logarithm of a power of two is exact.
fn times_log(env: &mut Env, y: Num, log: Wide, exact_log: bool) -> Num {
    let product = Wide::from_num(y).times(log);
    if exact_log { exact(env, product) } else { inexact(env, product) }
}

/// FYL2X: ST(1) times the base-2 logarithm of ST(0); pops.
pub fn y_log2(u: &mut Unit) {
    let result = if u.any_empty(&[0, 1]) {
        Num::default_nan()
    } else {
        let (x, y) = (u.st(0), u.st(1));
        y_log2_of(&mut u.env, x, y)
    };
    if u.set(1, result) {
        u.pop();
    }
}

fn y_log2_of(env: &mut Env, x: Num, y: Num) -> Num {
    if let Some(nan) = propagate(env, x, y) {
        return nan;
    }
    let is_one = x.class == Class::Finite && x.exp == 0 && x.sig == 1 << 63;
    if x.sign && !x.is_zero() || y.is_zero() && (x.is_zero() || x.is_infinite()) || y.is_infinite() && is_one
    {
        return invalid(env);
    }
    if x.is_zero() {
        if !y.is_infinite() {
            env.raise(flag::ZERO_DIVIDE);
        }
        return Num::infinity(!y.sign);
    }
    denormals(env, &[x, y]);
    let below_one = x.class == Class::Finite && x.exp < 0;
    if x.is_infinite() || y.is_infinite() {
        return Num::infinity(y.sign != below_one);
    }
    if y.is_zero() || is_one {
        return Num::zero(y.sign != below_one);
    }
    let power_of_two = x.sig == 1 << 63;
    times_log(env, y, functions::log2(Wide::from_num(x)), power_of_two)
}

/// FYL2XP1: ST(1) times the base-2 logarithm of ST(0) + 1; pops. Defined for |ST(0)| below 1 - sqrt(2)/2; a wider
/// operand down to -1 is computed all the same.
pub fn y_log2_plus_1(u: &mut Unit) {
    let result = if u.any_empty(&[0, 1]) {
        Num::default_nan()
    } else {
        let (x, y) = (u.st(0), u.st(1));
        y_log2_plus_1_of(&mut u.env, x, y)
    };
    if u.set(1, result) {
        u.pop();
    }
}

fn y_log2_plus_1_of(env: &mut Env, x: Num, y: Num) -> Num {
    if let Some(nan) = propagate(env, x, y) {
        return nan;
    }
    if x.sign && x.exp >= 0 && !x.is_zero()
        || y.is_infinite() && x.is_zero()
        || y.is_zero() && x.is_infinite()
    {
        return invalid(env);
    }
    denormals(env, &[x, y]);
    let sign = x.sign != y.sign;
    if x.is_infinite() || y.is_infinite() {
        return Num::infinity(sign);
    }
    if x.is_zero() || y.is_zero() {
        return Num::zero(sign);
    }
    let wide = Wide::from_num(x);
    let log = if x.exp < -1 { functions::log2_plus_1(wide) } else { functions::log2(wide.plus(Wide::ONE)) };
    times_log(env, y, log, false)
}

/// FPATAN: the angle of the point (ST(0), ST(1)); pops.
pub fn arc_tangent(u: &mut Unit) {
    let result = if u.any_empty(&[0, 1]) {
        Num::default_nan()
    } else {
        let (x, y) = (u.st(0), u.st(1));
        arc_tangent_of(&mut u.env, x, y)
    };
    if u.set(1, result) {
        u.pop();
    }
}

/// Intel SDM vol. 2, table 3-30.
fn arc_tangent_of(env: &mut Env, x: Num, y: Num) -> Num {
    if let Some(nan) = propagate(env, x, y) {
        return nan;
    }
    denormals(env, &[x, y]);
    match (x.is_infinite(), y.is_infinite()) {
        (true, true) => return pi_times(env, y.sign, if x.sign { 3 } else { 1 }, 2),
        (false, true) => return pi_times(env, y.sign, 1, 1),
        (true, false) if x.sign => return pi_times(env, y.sign, 1, 0),
        (true, false) => return Num::zero(y.sign),
        _ => {}
    }
    if y.is_zero() {
        return if x.sign { pi_times(env, y.sign, 1, 0) } else { y };
    }
    if x.is_zero() {
        return pi_times(env, y.sign, 1, 1);
    }
    // Beyond 2^200 in the quotient only one of the two matters.
    let distance = y.exp - x.exp;
    if distance > 200 {
        return pi_times(env, y.sign, 1, 1);
    }
    if distance < -200 && x.sign {
        return pi_times(env, y.sign, 1, 0);
    }
    if distance < -200 {
        let quotient = Wide::from_num(y).over(Wide::from_num(x));
        return inexact(env, Wide { sign: y.sign, ..quotient });
    }
    inexact(env, functions::arc_tangent(Wide::from_num(y), Wide::from_num(x)))
}

/// What to do with the operand of a trigonometric function.
enum Angle {
    /// Out of range: C2 is set, nothing else happens.
    OutOfRange,
    /// The results are not numbers, or follow from a zero.
    Special(Num),
    /// Compute.
    Finite(Wide),
}

fn angle(u: &mut Unit) -> Angle {
    u.clear_c2();
    if u.any_empty(&[0]) {
        return Angle::Special(Num::default_nan());
    }
    let n = u.st(0);
    match n.class {
        Class::Nan | Class::Unsupported => Angle::Special(propagate(&mut u.env, n, n).unwrap_or(n)),
        Class::Infinity => Angle::Special(invalid(&mut u.env)),
        Class::Zero => Angle::Special(n),
        Class::Finite if n.exp >= 63 => {
            u.set_c2();
            Angle::OutOfRange
        }
        Class::Finite => {
            denormals(&mut u.env, &[n]);
            Angle::Finite(Wide::from_num(n))
        }
    }
}

const ONE: Num = Num::finite(false, 0, 1 << 63);

/// FSIN.
pub fn sine(u: &mut Unit) {
    let result = match angle(u) {
        Angle::OutOfRange => return,
        Angle::Special(n) => n,
        Angle::Finite(x) => inexact(&mut u.env, functions::sine_cosine(x).0),
    };
    u.set(0, result);
}

/// FCOS.
pub fn cosine(u: &mut Unit) {
    let result = match angle(u) {
        Angle::OutOfRange => return,
        Angle::Special(n) if n.is_zero() => ONE,
        Angle::Special(n) => n,
        Angle::Finite(x) => inexact(&mut u.env, functions::sine_cosine(x).1),
    };
    u.set(0, result);
}

/// FSINCOS: the sine replaces ST(0), the cosine is pushed.
pub fn sine_cosine(u: &mut Unit) {
    two_results(u, |env, x| {
        let (sine, cosine) = functions::sine_cosine(x);
        (inexact(env, sine), inexact(env, cosine))
    });
}

/// FPTAN: the tangent replaces ST(0), one is pushed.
pub fn tangent(u: &mut Unit) {
    two_results(u, |env, x| {
        let (sine, cosine) = functions::sine_cosine(x);
        (inexact(env, sine.over(cosine)), ONE)
    });
}

fn two_results(u: &mut Unit, compute: impl FnOnce(&mut Env, Wide) -> (Num, Num)) {
    u.clear_c2();
    if !u.is_empty(0) && u.overflows() {
        let nan = Num::default_nan();
        if u.set(0, nan) {
            u.push_indefinite();
        }
        return;
    }
    let (first, second) = match angle(u) {
        Angle::OutOfRange => return,
        Angle::Special(n) if n.is_zero() => (n, ONE),
        Angle::Special(n) => (n, n),
        Angle::Finite(x) => compute(&mut u.env, x),
    };
    if u.set(0, first) {
        u.push_indefinite();
        u.set(0, second);
    }
}
