//! The software arithmetic against the host's (rounding to nearest) and against rustc_apfloat (every rounding mode).

use fencepost_random::Random;
use rustc_apfloat::ieee::{Double, Single, X87DoubleExtended};
use rustc_apfloat::{Float, Round, Status};

use super::arith;
use super::env::{Env, Rounding, flag};
use super::number::{F32, F64, F80, Format, Num};

/// Random values of each format: every eighth is special, and exponents are often close together.
struct Values(Random);

impl Values {
    fn new(seed: u64) -> Values {
        Values(Random::new(seed))
    }

    fn next(&mut self) -> u64 {
        self.0.bits()
    }

    fn double(&mut self) -> u64 {
        let r = self.next();
        match r % 8 {
            0 => [
                0,
                1 << 63,
                1,
                0x7ff0_0000_0000_0000,
                0x0010_0000_0000_0000,
                0xfff0_0000_0000_0000,
                0x7fef_ffff_ffff_ffff,
                r >> 13,
            ][(r >> 8) as usize % 8],
            1..=4 => r & 0x800f_ffff_ffff_ffff | (1000 + (r >> 52) % 48) << 52,
            5 => r & 0x800f_ffff_ffff_ffff | ((r >> 52) % 4) << 52,
            _ => r,
        }
    }

    fn single(&mut self) -> u32 {
        let r = self.next() as u32;
        match self.next() % 4 {
            0 => r & 0x807f_ffff | ((r >> 23) % 3) << 23,
            1 => r & 0x807f_ffff | (120 + (r >> 23) % 16) << 23,
            2 => r & 0xff80_0000,
            _ => r,
        }
    }

    fn extended(&mut self) -> u128 {
        let sig = self.next() | 1 << 63;
        let r = self.next();
        let exponent = match r % 4 {
            0 => 1 + (r >> 8) % 3,
            1 => 0x7ffe - (r >> 8) % 3,
            _ => 16380 + (r >> 8) % 16,
        };
        let sig = if r >> 40 & 3 == 0 { sig & 0xffff_ff00_0000_0000 } else { sig };
        u128::from(r & 0x8000 | exponent) << 64 | u128::from(sig)
    }
}

type Operation = fn(&mut Env, &Format, Num, Num) -> Num;
const OPERATIONS: [Operation; 4] = [arith::add, arith::sub, arith::mul, arith::div];
const ROUNDINGS: [(Rounding, Round); 4] = [
    (Rounding::Nearest, Round::NearestTiesToEven),
    (Rounding::Down, Round::TowardNegative),
    (Rounding::Up, Round::TowardPositive),
    (Rounding::Zero, Round::TowardZero),
];

fn reference<F: Float>(a: F, b: F, operation: usize, round: Round) -> (F, Status) {
    let result = match operation {
        0 => a.add_r(b, round),
        1 => a.sub_r(b, round),
        2 => a.mul_r(b, round),
        _ => a.div_r(b, round),
    };
    (result.value, result.status)
}

/// The flags both sides define alike. Underflow differs (x86 finds tininess after rounding), and so does an overflow
/// that is rounded back to the largest number.
fn comparable(status: Status) -> u8 {
    let mut flags = 0;
    for (theirs, ours) in [
        (Status::INVALID_OP, flag::INVALID),
        (Status::DIV_BY_ZERO, flag::ZERO_DIVIDE),
        (Status::OVERFLOW, flag::OVERFLOW),
        (Status::INEXACT, flag::PRECISION),
    ] {
        if status.contains(theirs) {
            flags |= ours;
        }
    }
    flags
}

const COMPARED: u8 = flag::INVALID | flag::ZERO_DIVIDE | flag::OVERFLOW | flag::PRECISION;

#[test]
fn doubles_in_every_rounding_mode() {
    let mut values = Values::new(0x1234_5678_9abc_def1);
    for n in 0..200_000 {
        let (a, b, operation) = (values.double(), values.double(), n % 4);
        let (rounding, round) = ROUNDINGS[n / 4 % 4];
        let mut env = Env { rounding, ..Env::from_mxcsr(0x1f80) };
        let (x, y) = (Num::from_f64(a, &env), Num::from_f64(b, &env));
        let ours = OPERATIONS[operation](&mut env, &F64, x, y);
        let (theirs, status) =
            reference(Double::from_bits(a.into()), Double::from_bits(b.into()), operation, round);
        let about = format!("{a:#x} {b:#x} operation {operation} {rounding:?}");
        assert_eq!(ours.is_nan(), theirs.is_nan(), "{about}");
        if !ours.is_nan() {
            assert_eq!(u128::from(ours.to_f64()), theirs.to_bits(), "{about}");
        }
        if !x.is_nan() && !y.is_nan() {
            let compared = if theirs.is_infinite() { COMPARED } else { COMPARED & !flag::OVERFLOW };
            assert_eq!(env.flags & compared, comparable(status), "{about}");
        }
    }
}

#[test]
fn singles_in_every_rounding_mode() {
    let mut values = Values::new(0x9876_5432_1234_5671);
    for n in 0..200_000 {
        let (a, b, operation) = (values.single(), values.single(), n % 4);
        let (rounding, round) = ROUNDINGS[n / 4 % 4];
        let mut env = Env { rounding, ..Env::from_mxcsr(0x1f80) };
        let (x, y) = (Num::from_f32(a, &env), Num::from_f32(b, &env));
        let ours = OPERATIONS[operation](&mut env, &F32, x, y);
        let (theirs, status) =
            reference(Single::from_bits(a.into()), Single::from_bits(b.into()), operation, round);
        let about = format!("{a:#x} {b:#x} operation {operation} {rounding:?}");
        assert_eq!(ours.is_nan(), theirs.is_nan(), "{about}");
        if !ours.is_nan() {
            assert_eq!(u128::from(ours.to_f32()), theirs.to_bits(), "{about}");
        }
        if !x.is_nan() && !y.is_nan() {
            let compared = if theirs.is_infinite() { COMPARED } else { COMPARED & !flag::OVERFLOW };
            assert_eq!(env.flags & compared, comparable(status), "{about}");
        }
    }
}

#[test]
fn extended_in_every_rounding_mode() {
    let mut values = Values::new(0x0fed_cba9_8765_4321);
    for n in 0..200_000 {
        let (a, b, operation) = (values.extended(), values.extended(), n % 4);
        let (rounding, round) = ROUNDINGS[n / 4 % 4];
        let mut env = Env { rounding, ..Env::from_fcw(0x37f) };
        let (x, y) = (Num::from_f80(a), Num::from_f80(b));
        let ours = OPERATIONS[operation](&mut env, &F80, x, y);
        let (theirs, status) =
            reference(X87DoubleExtended::from_bits(a), X87DoubleExtended::from_bits(b), operation, round);
        let about = format!("{a:#x} {b:#x} operation {operation} {rounding:?}");
        assert_eq!(ours.to_f80(), theirs.to_bits(), "{about}");
        let compared = if theirs.is_infinite() { COMPARED } else { COMPARED & !flag::OVERFLOW };
        assert_eq!(env.flags & compared, comparable(status), "{about}");
    }
}

#[test]
fn square_roots_like_the_host() {
    let mut values = Values::new(0x5555_1234_4321_7777);
    for _ in 0..100_000 {
        let a = values.double() & !(1 << 63);
        let mut env = Env::from_mxcsr(0x1f80);
        let x = Num::from_f64(a, &env);
        let ours = arith::sqrt(&mut env, &F64, x);
        let theirs = f64::from_bits(a).sqrt();
        assert_eq!(ours.is_nan(), theirs.is_nan());
        if !ours.is_nan() {
            assert_eq!(ours.to_f64(), theirs.to_bits(), "{a:#x}");
        }
    }
}

#[test]
fn tininess_is_found_after_rounding() {
    // The largest number below the smallest normal one that rounding to 24 bits does not carry there, times one half
    // ulp less: 0x1.fffffep-127 is tiny and inexact as a denormal, and its rounded value is the smallest normal number.
    let mut env = Env::from_mxcsr(0x1f80);
    let (x, y) = (Num::from_f32(0x3f7f_ffff, &env), Num::from_f32(0x0080_0000, &env));
    let product = arith::mul(&mut env, &F32, x, y);
    assert_eq!(product.to_f32(), 0x0080_0000);
    assert_eq!(env.flags, flag::UNDERFLOW | flag::PRECISION);
}
