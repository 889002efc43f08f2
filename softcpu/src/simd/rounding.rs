//! Rounding to whole numbers (SSE4.1).

use std::array::from_fn;

use super::lanes::{dwords, from_dwords, from_qwords, qwords};
use crate::fp::env::{Env, Rounding};
use crate::fp::number::{Class, F32, F64, Format, Num};
use crate::fp::round::{convert, integer_magnitude};

const LOW: u128 = u64::MAX as u128;
const LOW32: u128 = u32::MAX as u128;
/// MXCSR says how, not the immediate.
const BY_MXCSR: u8 = 4;
/// No precision exception.
const SILENT: u8 = 8;

fn whole(env: &mut Env, format: &Format, n: Num, imm: u8) -> Num {
    // What has no fraction (or is none) is only converted: that quiets NaNs.
    if n.class != Class::Finite || n.exp >= 63 {
        return convert(env, format, n);
    }
    let rounding = if imm & BY_MXCSR != 0 { env.rounding } else { Rounding::from_bits(u32::from(imm)) };
    let flags = env.flags;
    let magnitude = integer_magnitude(env, n, rounding).unwrap_or(0);
    if imm & SILENT != 0 {
        env.flags = flags;
    }
    Num::normalised(n.sign, 63, magnitude)
}

fn single(env: &mut Env, b: u32, imm: u8) -> u32 {
    let n = Num::from_f32(b, env);
    whole(env, &F32, n, imm).to_f32()
}

fn double(env: &mut Env, b: u64, imm: u8) -> u64 {
    let n = Num::from_f64(b, env);
    whole(env, &F64, n, imm).to_f64()
}

pub fn roundps(env: &mut Env, _: u128, b: u128, imm: u8) -> u128 {
    let b = dwords(b);
    from_dwords(from_fn(|i| single(env, b[i], imm)))
}

pub fn roundpd(env: &mut Env, _: u128, b: u128, imm: u8) -> u128 {
    let b = qwords(b);
    from_qwords(from_fn(|i| double(env, b[i], imm)))
}

pub fn roundss(env: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
    a & !LOW32 | u128::from(single(env, b as u32, imm))
}

pub fn roundsd(env: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
    a & !LOW | u128::from(double(env, b as u64, imm))
}
