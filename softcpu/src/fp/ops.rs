//! What the x87 instructions compute, apart from the comparisons and the transcendental ones.

use super::arith;
use super::env::{Env, flag};
use super::host;
use super::number::{Class, F32, F64, F80, Format, INTEGER_BIT, Num};
use super::round::{convert, from_integer, integer_magnitude, round, to_integer};
use super::stack::{C0, C1, C2, C3, Unit};

/// The two-operand operations: destination and source, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// Destination plus source.
    Add,
    /// Destination times source.
    Mul,
    /// Destination minus source.
    Sub,
    /// Source minus destination.
    SubReversed,
    /// Destination divided by source.
    Div,
    /// Source divided by destination.
    DivReversed,
}

impl Binary {
    fn apply(self, env: &mut Env, format: &Format, dst: Num, src: Num) -> Num {
        match self {
            Binary::Add => arith::add(env, format, dst, src),
            Binary::Mul => arith::mul(env, format, dst, src),
            Binary::Sub => arith::sub(env, format, dst, src),
            Binary::SubReversed => arith::sub(env, format, src, dst),
            Binary::Div => arith::div(env, format, dst, src),
            Binary::DivReversed => arith::div(env, format, src, dst),
        }
    }
}

/// A value from memory, not yet an operand.
#[derive(Clone, Copy, Debug)]
pub enum Operand {
    /// Single precision.
    F32(u32),
    /// Double precision.
    F64(u64),
    /// A signed integer.
    Int(i64),
}

impl Operand {
    pub(super) fn number(self, env: &Env) -> Num {
        match self {
            Operand::F32(bits) => Num::from_f32(bits, env),
            Operand::F64(bits) => Num::from_f64(bits, env),
            Operand::Int(value) => Num::normalised(value < 0, 63, value.unsigned_abs()),
        }
    }
}

/// ST(0) and a value from memory.
pub fn binary_memory(u: &mut Unit, operation: Binary, operand: Operand) {
    if u.is_hosted(&[0]) {
        return u.by_host(0, 0, |registers, dst, _| host::binary_memory(operation, registers, dst, operand));
    }
    let result = if u.any_empty(&[0]) {
        Num::default_nan()
    } else {
        let (dst, src, format) = (u.st(0), operand.number(&u.env), u.format());
        operation.apply(&mut u.env, &format, dst, src)
    };
    u.set(0, result);
}

/// ST(dst) and ST(src), then perhaps a pop.
pub fn binary(u: &mut Unit, operation: Binary, dst: usize, src: usize, pop: bool) {
    if u.is_hosted(&[dst, src]) {
        u.by_host(dst, src, |registers, dst, src| host::binary(operation, registers, dst, src));
        if pop {
            u.pop();
        }
        return;
    }
    let result = if u.any_empty(&[dst, src]) {
        Num::default_nan()
    } else {
        let (d, s, format) = (u.st(dst), u.st(src), u.format());
        operation.apply(&mut u.env, &format, d, s)
    };
    if u.set(dst, result) && pop {
        u.pop();
    }
}

/// Loads a single, double or integer.
pub fn load(u: &mut Unit, operand: Operand) {
    if !u.is_empty(7) {
        u.push_raw(0);
        return;
    }
    if u.is_hosted(&[]) {
        u.push_unchecked(0);
        return u.by_host(0, 0, |registers, dst, _| host::load(registers, dst, operand));
    }
    let n = operand.number(&u.env);
    if n.denormal {
        u.env.raise(flag::DENORMAL);
    }
    let n = convert(&mut u.env, &F80, n);
    // A denormal is loaded even when its exception is not masked.
    if u.env.masked(flag::INVALID) || u.env.flags & flag::INVALID == 0 {
        u.push_unchecked(n.to_f80());
    }
}

/// FLD ST(i).
pub fn load_register(u: &mut Unit, i: usize) {
    if u.any_empty(&[i]) {
        u.push_indefinite();
    } else {
        u.push_raw(u.raw(i));
    }
}

/// FST and FSTP to a register.
pub fn store_register(u: &mut Unit, i: usize, pop: bool) {
    let bits = if u.any_empty(&[0]) { Num::default_nan().to_f80() } else { u.raw(0) };
    if u.blocked() {
        return;
    }
    u.set_raw(i, bits);
    if pop {
        u.pop();
    }
}

/// The bytes FST m32 would store; `None` when an unmasked exception forbids it.
pub fn as_f32(u: &mut Unit) -> Option<u32> {
    let n = u.st(0);
    let n = convert(&mut u.env, &F32, n);
    u.c1 |= u.env.rounded_up;
    (!u.store_blocked()).then(|| n.to_f32())
}

/// The bytes FST m64 would store; `None` when an unmasked exception forbids it.
pub fn as_f64(u: &mut Unit) -> Option<u64> {
    if u.is_hosted(&[0]) {
        let mut value = 0;
        u.by_host(0, 0, |registers, src, _| {
            let (stored, status) = host::as_f64(registers, src);
            value = stored;
            status
        });
        return Some(value);
    }
    let n = u.st(0);
    let n = convert(&mut u.env, &F64, n);
    u.c1 |= u.env.rounded_up;
    (!u.store_blocked()).then(|| n.to_f64())
}

/// The bytes FSTP m80 would store: any bits, unchanged.
pub fn as_f80(u: &mut Unit) -> Option<u128> {
    let bits = if u.any_empty(&[0]) { Num::default_nan().to_f80() } else { u.raw(0) };
    (!u.store_blocked()).then_some(bits)
}

/// The integer FIST would store, of `bits` bits; the most negative one stands for "invalid".
pub fn as_integer(u: &mut Unit, bits: u32) -> Option<i64> {
    let indefinite = i64::MIN >> (64 - bits);
    let value = if u.any_empty(&[0]) {
        indefinite
    } else {
        let (n, rounding) = (u.st(0), u.env.rounding);
        to_integer(&mut u.env, n, bits, rounding).unwrap_or(indefinite)
    };
    u.c1 |= u.env.rounded_up;
    (!u.store_blocked()).then_some(value)
}

/// FBLD: eighteen decimal digits and a sign.
pub fn load_bcd(u: &mut Unit, bits: u128) {
    let magnitude =
        (0..18).rev().fold(0u64, |sum, i| sum.wrapping_mul(10).wrapping_add((bits >> (4 * i)) as u64 & 15));
    let n = Num::normalised(bits >> 79 & 1 != 0, 63, magnitude);
    u.push_raw(n.to_f80());
}

/// The ten bytes FBSTP would store.
pub fn as_bcd(u: &mut Unit) -> Option<u128> {
    const INDEFINITE: u128 = 0xffff_c000_0000_0000_0000;
    let n = u.st(0);
    let flags = u.env.flags;
    let rounding = u.env.rounding;
    let magnitude = match n.class {
        Class::Zero | Class::Finite => integer_magnitude(&mut u.env, n, rounding),
        _ => None,
    };
    let bits = match magnitude {
        Some(mut rest) if rest < 1_000_000_000_000_000_000 => {
            let mut digits = u128::from(n.sign) << 79;
            for i in 0..18 {
                digits |= u128::from(rest % 10) << (4 * i);
                rest /= 10;
            }
            u.c1 |= u.env.rounded_up;
            digits
        }
        _ => {
            u.env.flags = flags | flag::INVALID;
            INDEFINITE
        }
    };
    (!u.store_blocked()).then_some(bits)
}

/// FXCH.
pub fn exchange(u: &mut Unit, i: usize) {
    let nan = Num::default_nan().to_f80();
    let a = if u.is_empty(0) { nan } else { u.raw(0) };
    let b = if u.is_empty(i) { nan } else { u.raw(i) };
    u.any_empty(&[0, i]);
    if !u.blocked() {
        u.set_raw(0, b);
        u.set_raw(i, a);
    }
}

/// FCMOVcc, once its condition is known.
pub fn conditional_move(u: &mut Unit, i: usize, holds: bool) {
    if u.any_empty(&[0, i]) {
        u.set(0, Num::default_nan());
    } else if holds {
        u.set_raw(0, u.raw(i));
    }
}

/// FABS and FCHS: the sign bit of whatever is there.
pub fn change_sign(u: &mut Unit, change: fn(u128) -> u128) {
    if u.any_empty(&[0]) {
        u.set(0, Num::default_nan());
    } else {
        u.set_raw(0, change(u.raw(0)));
    }
}

/// FSQRT.
pub fn square_root(u: &mut Unit) {
    if u.is_hosted(&[0]) {
        return u.by_host(0, 0, |registers, dst, _| host::square_root(registers, dst));
    }
    let result = if u.any_empty(&[0]) {
        Num::default_nan()
    } else {
        let (n, format) = (u.st(0), u.format());
        arith::sqrt(&mut u.env, &format, n)
    };
    u.set(0, result);
}

/// FRNDINT.
pub fn round_to_integer(u: &mut Unit) {
    if u.any_empty(&[0]) {
        u.set(0, Num::default_nan());
        return;
    }
    let n = u.st(0);
    let result = match n.class {
        Class::Finite if n.exp < 63 => {
            if n.denormal {
                u.env.raise(flag::DENORMAL);
            }
            let rounding = u.env.rounding;
            let magnitude = integer_magnitude(&mut u.env, n, rounding).unwrap_or(0);
            Num::normalised(n.sign, 63, magnitude)
        }
        _ => convert(&mut u.env, &F80, n),
    };
    u.set(0, result);
}

/// FSCALE.
pub fn scale(u: &mut Unit) {
    if u.any_empty(&[0, 1]) {
        u.set(0, Num::default_nan());
        return;
    }
    let (n, by) = (u.st(0), u.st(1));
    let result = scaled(&mut u.env, n, by);
    u.set(0, result);
}

fn scaled(env: &mut Env, n: Num, by: Num) -> Num {
    if let Some(nan) = arith::propagate(env, n, by) {
        return nan;
    }
    if by.is_infinite() && (n.is_zero() && !by.sign || n.is_infinite() && by.sign) {
        return arith::invalid(env);
    }
    if n.denormal || by.denormal {
        env.raise(flag::DENORMAL);
    }
    if by.is_infinite() {
        return if by.sign { Num::zero(n.sign) } else { Num::infinity(n.sign) };
    }
    if n.class != Class::Finite {
        return n;
    }
    // Far beyond the exponent range everything is the same overflow or underflow.
    let distance = if by.exp > 16 { 1 << 16 } else { truncated(by) };
    let exp = n.exp + if by.sign { -distance } else { distance };
    round(env, &F80, n.sign, exp, u128::from(n.sig) << 64)
}

/// The integer part of a magnitude below 2^17.
fn truncated(n: Num) -> i32 {
    if n.class != Class::Finite || n.exp < 0 { 0 } else { (n.sig >> (63 - n.exp)) as i32 }
}

/// FXTRACT: the exponent replaces ST(0), the significand is pushed.
pub fn extract(u: &mut Unit) {
    let nan = Num::default_nan();
    if u.any_empty(&[0]) || u.overflows() {
        if u.set(0, nan) {
            u.free(7);
            u.push_raw(nan.to_f80());
        }
        return;
    }
    let n = u.st(0);
    let (exponent, significand) = match n.class {
        Class::Nan | Class::Unsupported => {
            let quiet = convert(&mut u.env, &F80, n);
            (quiet, quiet)
        }
        Class::Infinity => (Num::infinity(false), n),
        Class::Zero => {
            u.env.raise(flag::ZERO_DIVIDE);
            (Num::infinity(true), n)
        }
        Class::Finite => {
            if n.denormal {
                u.env.raise(flag::DENORMAL);
            }
            (from_integer(&mut u.env, &F80, i64::from(n.exp)), Num::finite(n.sign, 0, n.sig))
        }
    };
    if u.set(0, exponent) {
        u.push_raw(significand.to_f80());
    }
}

/// FPREM and, with the quotient rounded to nearest, FPREM1.
pub fn remainder(u: &mut Unit, nearest: bool) {
    u.clear_c2();
    if u.any_empty(&[0, 1]) {
        u.set(0, Num::default_nan());
        return;
    }
    let (a, b) = (u.st(0), u.st(1));
    if let Some(nan) = arith::propagate(&mut u.env, a, b) {
        u.set(0, nan);
        return;
    }
    if a.is_infinite() || b.is_zero() {
        let nan = arith::invalid(&mut u.env);
        u.set(0, nan);
        return;
    }
    if a.denormal || b.denormal {
        u.env.raise(flag::DENORMAL);
    }
    if u.blocked() {
        return;
    }
    let (result, quotient, partial) =
        if a.is_zero() || b.is_infinite() { (a, 0, false) } else { reduced(a, b, nearest) };
    let result = convert(&mut u.env, &F80, result);
    u.set(0, result);
    let bit = |n: u32, c: u16| if quotient >> n & 1 != 0 && !partial { c } else { 0 };
    u.set_conditions(bit(2, C0) | bit(1, C3) | if partial { C2 } else { 0 });
    u.c1 = bit(0, C1) != 0;
}

/// The remainder of finite magnitudes, the low bits of the quotient, and whether more reduction is needed.
fn reduced(a: Num, b: Num, nearest: bool) -> (Num, u64, bool) {
    let distance = a.exp - b.exp;
    if distance >= 64 {
        // Intel SDM vol. 2, FPREM: reduce the exponent by N, between 32 and 63.
        let n = (distance & 31) | 32;
        let rest = (u128::from(a.sig) << n) % u128::from(b.sig);
        return (Num::normalised(a.sign, a.exp - n, rest as u64), 0, true);
    }
    if distance < -1 || distance < 0 && !nearest {
        return (a, 0, false);
    }
    // In units of the smaller operand's last place.
    let (n, divisor, unit) = match distance {
        -1 => (u128::from(a.sig), u128::from(b.sig) << 1, a.exp),
        d => (u128::from(a.sig) << d, u128::from(b.sig), b.exp),
    };
    let (mut quotient, mut rest, mut sign) = ((n / divisor) as u64, n % divisor, a.sign);
    if nearest && (2 * rest > divisor || 2 * rest == divisor && quotient & 1 == 1) {
        rest = divisor - rest;
        quotient = quotient.wrapping_add(1);
        sign = !sign;
    }
    if rest == 0 {
        return (Num::zero(a.sign), quotient, false);
    }
    (Num::normalised(sign, unit, rest as u64), quotient, false)
}

/// The constants of FLDxx: exponent, and the significand to 128 bits.
#[derive(Clone, Copy, Debug)]
pub struct Constant(pub i32, pub u128);

/// 1.
pub const ONE: Constant = Constant(0, (INTEGER_BIT as u128) << 64);
/// log2 10.
pub const LOG2_10: Constant = Constant(1, 0xd49a_784b_cd1b_8afe_492b_f6ff_4daf_db4c);
/// log2 e.
pub const LOG2_E: Constant = Constant(0, 0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e88);
/// pi.
pub const PI: Constant = Constant(1, 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1);
/// log10 2.
pub const LOG10_2: Constant = Constant(-2, 0x9a20_9a84_fbcf_f798_8f89_59ac_0b7c_9178);
/// ln 2.
pub const LN_2: Constant = Constant(-1, 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af);

/// Pushes a constant, rounded as rounding control says, with no precision exception.
pub fn load_constant(u: &mut Unit, constant: Constant) {
    let mut quiet = Env { rounding: u.env.rounding, ..Env::from_fcw(0x37f) };
    let n = round(&mut quiet, &F80, false, constant.0, constant.1);
    u.push_raw(n.to_f80());
}

/// Pushes zero.
pub fn load_zero(u: &mut Unit) {
    u.push_raw(0);
}
