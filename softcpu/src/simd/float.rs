//! SSE and SSE2 floating point: arithmetic, comparison, conversion.

use std::array::from_fn;
use std::cmp::Ordering;

use super::lanes::{dwords, from_dwords, from_qwords, qwords};
use crate::fp::arith;
use crate::fp::env::{Env, Rounding, flag};
use crate::fp::number::{F32, F64, Format, Num};
use crate::fp::round::{convert, from_integer, to_integer};

const LOW: u128 = u64::MAX as u128;
const LOW32: u128 = u32::MAX as u128;

type Op = fn(&mut Env, &Format, Num, Num) -> Num;

fn op32(env: &mut Env, op: Op, a: u32, b: u32) -> u32 {
    let (x, y) = (Num::from_f32(a, env), Num::from_f32(b, env));
    op(env, &F32, x, y).to_f32()
}

fn op64(env: &mut Env, op: Op, a: u64, b: u64) -> u64 {
    let (x, y) = (Num::from_f64(a, env), Num::from_f64(b, env));
    op(env, &F64, x, y).to_f64()
}

/// Whether a native result may stand: rounding to nearest, and the precision exception masked. (The only flag a
/// normal result of normal operands can raise is precision; the caller asks for it to be raised already.)
fn native_allowed(env: &Env) -> bool {
    env.rounding == Rounding::Nearest && env.precision_is_sticky
}

/// A normal number or, as an operand, zero: nothing that could raise a flag but precision.
fn plain32(x: f32) -> bool {
    x.is_normal() || x == 0.0
}

fn plain64(x: f64) -> bool {
    x.is_normal() || x == 0.0
}

macro_rules! binary {
    ($($ps:ident $ss:ident $pd:ident $sd:ident = $op:expr, $native:tt;)*) => {
        $(
            pub fn $ps(env: &mut Env, a: u128, b: u128, _: u8) -> u128 {
                let (a, b) = (dwords(a), dwords(b));
                from_dwords(from_fn(|i| one::$ss(env, a[i], b[i])))
            }
            pub fn $ss(env: &mut Env, a: u128, b: u128, _: u8) -> u128 {
                (a & !LOW32) | u128::from(one::$ss(env, a as u32, b as u32))
            }
            pub fn $pd(env: &mut Env, a: u128, b: u128, _: u8) -> u128 {
                let (a, b) = (qwords(a), qwords(b));
                from_qwords(from_fn(|i| one::$sd(env, a[i], b[i])))
            }
            pub fn $sd(env: &mut Env, a: u128, b: u128, _: u8) -> u128 {
                (a & !LOW) | u128::from(one::$sd(env, a as u64, b as u64))
            }
        )*
        /// One lane: natively where nothing but the (already sticky) precision flag could be raised.
        mod one {
            use super::*;
            $(
                pub fn $ss(env: &mut Env, a: u32, b: u32) -> u32 {
                    let (x, y) = (f32::from_bits(a), f32::from_bits(b));
                    if native_allowed(env) && plain32(x) && plain32(y) {
                        let r = x $native y;
                        // The smallest normal number may have been rounded up from a tiny one, which is underflow.
                        if r.is_normal() && r.abs() > f32::MIN_POSITIVE {
                            return r.to_bits();
                        }
                    }
                    op32(env, $op, a, b)
                }
                pub fn $sd(env: &mut Env, a: u64, b: u64) -> u64 {
                    let (x, y) = (f64::from_bits(a), f64::from_bits(b));
                    if native_allowed(env) && plain64(x) && plain64(y) {
                        let r = x $native y;
                        if r.is_normal() && r.abs() > f64::MIN_POSITIVE {
                            return r.to_bits();
                        }
                    }
                    op64(env, $op, a, b)
                }
            )*
        }
    };
}

binary! {
    addps addss addpd addsd = arith::add, +;
    subps subss subpd subsd = arith::sub, -;
    mulps mulss mulpd mulsd = arith::mul, *;
    divps divss divpd divsd = arith::div, /;
}

fn sqrt32(env: &mut Env, b: u32) -> u32 {
    let x = Num::from_f32(b, env);
    arith::sqrt(env, &F32, x).to_f32()
}

fn sqrt64(env: &mut Env, b: u64) -> u64 {
    let x = Num::from_f64(b, env);
    arith::sqrt(env, &F64, x).to_f64()
}

/// MIN and MAX give the second operand unless the first is strictly smaller (greater): also for NaNs and zeros.
fn choose32(env: &mut Env, a: u32, b: u32, first: Ordering) -> u32 {
    let (x, y) = (Num::from_f32(a, env), Num::from_f32(b, env));
    if arith::compare(env, x, y, true) == Some(first) { flushed32(env, a) } else { flushed32(env, b) }
}

fn choose64(env: &mut Env, a: u64, b: u64, first: Ordering) -> u64 {
    let (x, y) = (Num::from_f64(a, env), Num::from_f64(b, env));
    if arith::compare(env, x, y, true) == Some(first) { flushed64(env, a) } else { flushed64(env, b) }
}

/// A denormal that counts as zero is also returned as zero.
fn flushed32(env: &Env, a: u32) -> u32 {
    if env.daz && a & 0x7f80_0000 == 0 { a & 0x8000_0000 } else { a }
}

fn flushed64(env: &Env, a: u64) -> u64 {
    if env.daz && a & 0x7ff0_0000_0000_0000 == 0 { a & 1 << 63 } else { a }
}

fn min32(env: &mut Env, a: u32, b: u32, _: u8) -> u32 {
    choose32(env, a, b, Ordering::Less)
}

fn max32(env: &mut Env, a: u32, b: u32, _: u8) -> u32 {
    choose32(env, a, b, Ordering::Greater)
}

fn min64(env: &mut Env, a: u64, b: u64, _: u8) -> u64 {
    choose64(env, a, b, Ordering::Less)
}

fn max64(env: &mut Env, a: u64, b: u64, _: u8) -> u64 {
    choose64(env, a, b, Ordering::Greater)
}

/// The eight predicates of CMPPS and its kin (Intel SDM vol. 2, table 3-1).
fn predicate(env: &mut Env, x: Num, y: Num, imm: u8) -> bool {
    let signal = matches!(imm & 3, 1 | 2);
    let order = arith::compare(env, x, y, signal);
    let holds = match imm & 3 {
        0 => order == Some(Ordering::Equal),
        1 => order == Some(Ordering::Less),
        2 => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        _ => order.is_none(),
    };
    holds != (imm & 4 != 0)
}

fn cmp32(env: &mut Env, a: u32, b: u32, imm: u8) -> u32 {
    let (x, y) = (Num::from_f32(a, env), Num::from_f32(b, env));
    if predicate(env, x, y, imm) { u32::MAX } else { 0 }
}

fn cmp64(env: &mut Env, a: u64, b: u64, imm: u8) -> u64 {
    let (x, y) = (Num::from_f64(a, env), Num::from_f64(b, env));
    if predicate(env, x, y, imm) { u64::MAX } else { 0 }
}

macro_rules! chosen {
    ($($ps:ident $ss:ident $pd:ident $sd:ident = $f32:expr, $f64:expr;)*) => {
        $(
            pub fn $ps(env: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
                let (a, b) = (dwords(a), dwords(b));
                from_dwords(from_fn(|i| $f32(env, a[i], b[i], imm)))
            }
            pub fn $ss(env: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
                (a & !LOW32) | u128::from($f32(env, a as u32, b as u32, imm))
            }
            pub fn $pd(env: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
                let (a, b) = (qwords(a), qwords(b));
                from_qwords(from_fn(|i| $f64(env, a[i], b[i], imm)))
            }
            pub fn $sd(env: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
                (a & !LOW) | u128::from($f64(env, a as u64, b as u64, imm))
            }
        )*
    };
}

chosen! {
    minps minss minpd minsd = min32, min64;
    maxps maxss maxpd maxsd = max32, max64;
    cmpps cmpss cmppd cmpsd = cmp32, cmp64;
    sqrtps sqrtss sqrtpd sqrtsd = |env: &mut Env, _, b, _| sqrt32(env, b), |env: &mut Env, _, b, _| sqrt64(env, b);
}

/// ZF, PF and CF as COMISS and its kin set them, from bit 0: CF 0, PF 2, ZF 6 of RFLAGS.
fn order_flags(order: Option<Ordering>) -> u128 {
    match order {
        None => 0x45,
        Some(Ordering::Greater) => 0,
        Some(Ordering::Less) => 0x01,
        Some(Ordering::Equal) => 0x40,
    }
}

macro_rules! ordered {
    ($($name:ident = $from:ident, $int:ty, $signal:expr;)*) => {
        $(
            /// The flags of the comparison, in RFLAGS' places.
            pub fn $name(env: &mut Env, a: u128, b: u128, _: u8) -> u128 {
                let (x, y) = (Num::$from(a as $int, env), Num::$from(b as $int, env));
                order_flags(arith::compare(env, x, y, $signal))
            }
        )*
    };
}

ordered! {
    comiss = from_f32, u32, true;
    ucomiss = from_f32, u32, false;
    comisd = from_f64, u64, true;
    ucomisd = from_f64, u64, false;
}

fn single_to_double(env: &mut Env, a: u32) -> u64 {
    let x = Num::from_f32(a, env);
    if x.denormal {
        env.raise(flag::DENORMAL);
    }
    convert(env, &F64, x).to_f64()
}

fn double_to_single(env: &mut Env, a: u64) -> u32 {
    let x = Num::from_f64(a, env);
    if x.denormal {
        env.raise(flag::DENORMAL);
    }
    convert(env, &F32, x).to_f32()
}

fn single_to_int(env: &mut Env, a: u32, rounding: Rounding) -> u32 {
    let x = Num::from_f32(a, env);
    to_integer(env, x, 32, rounding).map_or(1 << 31, |v| v as u32)
}

fn double_to_int(env: &mut Env, a: u64, rounding: Rounding) -> u32 {
    let x = Num::from_f64(a, env);
    to_integer(env, x, 32, rounding).map_or(1 << 31, |v| v as u32)
}

fn int_to_single(env: &mut Env, v: i64) -> u32 {
    from_integer(env, &F32, v).to_f32()
}

fn int_to_double(env: &mut Env, v: i64) -> u64 {
    from_integer(env, &F64, v).to_f64()
}

macro_rules! conversions {
    ($($name:ident($env:ident, $a:ident, $b:ident) $e:expr;)*) => {
        $(
            pub fn $name($env: &mut Env, $a: u128, $b: u128, _: u8) -> u128 {
                $e
            }
        )*
    };
}

conversions! {
    cvtps2pd(env, _a, b) { let b = dwords(b); from_qwords(from_fn(|i| single_to_double(env, b[i]))) };
    cvtpd2ps(env, _a, b) { let b = qwords(b); u128::from(double_to_single(env, b[0])) | u128::from(double_to_single(env, b[1])) << 32 };
    cvtss2sd(env, a, b) (a & !LOW) | u128::from(single_to_double(env, b as u32));
    cvtsd2ss(env, a, b) (a & !LOW32) | u128::from(double_to_single(env, b as u64));
    cvtdq2ps(env, _a, b) { let b = dwords(b); from_dwords(from_fn(|i| int_to_single(env, i64::from(b[i] as i32)))) };
    cvtdq2pd(env, _a, b) { let b = dwords(b); from_qwords(from_fn(|i| int_to_double(env, i64::from(b[i] as i32)))) };
    cvtpi2ps(env, a, b) { let b = dwords(b); (a & !LOW) | u128::from(int_to_single(env, i64::from(b[0] as i32))) | u128::from(int_to_single(env, i64::from(b[1] as i32))) << 32 };
    cvtsi2ss32(env, a, b) (a & !LOW32) | u128::from(int_to_single(env, i64::from(b as i32)));
    cvtsi2ss64(env, a, b) (a & !LOW32) | u128::from(int_to_single(env, b as i64));
    cvtsi2sd32(env, a, b) (a & !LOW) | u128::from(int_to_double(env, i64::from(b as i32)));
    cvtsi2sd64(env, a, b) (a & !LOW) | u128::from(int_to_double(env, b as i64));
}

macro_rules! to_integers {
    ($($dq:ident $pd:ident $pi:ident $ss32:ident $ss64:ident $sd32:ident $sd64:ident = $env:ident $rounding:expr;)*) => {
        $(
            pub fn $dq($env: &mut Env, _: u128, b: u128, _: u8) -> u128 {
                let (b, rounding) = (dwords(b), $rounding);
                from_dwords(from_fn(|i| single_to_int($env, b[i], rounding)))
            }
            pub fn $pd($env: &mut Env, _: u128, b: u128, _: u8) -> u128 {
                let (b, rounding) = (qwords(b), $rounding);
                u128::from(double_to_int($env, b[0], rounding)) | u128::from(double_to_int($env, b[1], rounding)) << 32
            }
            pub fn $pi($env: &mut Env, _: u128, b: u128, _: u8) -> u128 {
                let (b, rounding) = (dwords(b), $rounding);
                u128::from(single_to_int($env, b[0], rounding)) | u128::from(single_to_int($env, b[1], rounding)) << 32
            }
            pub fn $ss32($env: &mut Env, _: u128, b: u128, _: u8) -> u128 {
                u128::from(single_to_int($env, b as u32, $rounding))
            }
            pub fn $ss64($env: &mut Env, _: u128, b: u128, _: u8) -> u128 {
                let x = Num::from_f32(b as u32, $env);
                u128::from(to_integer($env, x, 64, $rounding).map_or(1 << 63, |v| v as u64))
            }
            pub fn $sd32($env: &mut Env, _: u128, b: u128, _: u8) -> u128 {
                u128::from(double_to_int($env, b as u64, $rounding))
            }
            pub fn $sd64($env: &mut Env, _: u128, b: u128, _: u8) -> u128 {
                let x = Num::from_f64(b as u64, $env);
                u128::from(to_integer($env, x, 64, $rounding).map_or(1 << 63, |v| v as u64))
            }
        )*
    };
}

to_integers! {
    cvtps2dq cvtpd2dq cvtps2pi cvtss2si32 cvtss2si64 cvtsd2si32 cvtsd2si64 = env env.rounding;
    cvttps2dq cvttpd2dq cvttps2pi cvttss2si32 cvttss2si64 cvttsd2si32 cvttsd2si64 = env Rounding::Zero;
}

/// Reciprocals are approximations whose low bits each processor chooses; they obey no MXCSR rounding and raise
/// nothing. Ours are the exact value cut to 12 significant bits after rounding (relative error below 2^-12).
fn approximate(b: u32, f: fn(f64) -> f64) -> u32 {
    let x = f32::from_bits(b);
    if x.is_nan() {
        return b | 0x0040_0000;
    }
    // Denormal operands count as zeros of their sign, tiny results become zeros.
    let x = if x.is_subnormal() { 0f32.copysign(x) } else { x };
    let exact = f(f64::from(x));
    if exact.is_nan() {
        return 0xffc0_0000;
    }
    let r = exact as f32;
    if r.is_infinite() || r == 0.0 {
        return r.to_bits();
    }
    if r.is_subnormal() {
        return r.to_bits() & 0x8000_0000;
    }
    (r.to_bits() + 0x400) & !0x7ff
}

fn rcp(_: &mut Env, _: u32, b: u32, _: u8) -> u32 {
    approximate(b, |x| 1.0 / x)
}

fn rsqrt(_: &mut Env, _: u32, b: u32, _: u8) -> u32 {
    // The root of minus zero is minus zero, so its reciprocal is minus infinity, as the instruction gives.
    approximate(b, |x| 1.0 / x.sqrt())
}

macro_rules! reciprocals {
    ($($ps:ident $ss:ident = $f:expr;)*) => {
        $(
            pub fn $ps(env: &mut Env, _: u128, b: u128, _: u8) -> u128 {
                let b = dwords(b);
                from_dwords(from_fn(|i| $f(env, 0, b[i], 0)))
            }
            pub fn $ss(env: &mut Env, a: u128, b: u128, _: u8) -> u128 {
                (a & !LOW32) | u128::from($f(env, 0, b as u32, 0))
            }
        )*
    };
}

reciprocals! {
    rcpps rcpss = rcp;
    rsqrtps rsqrtss = rsqrt;
}
