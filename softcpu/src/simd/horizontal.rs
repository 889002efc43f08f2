//! Arithmetic between the lanes of one operand (SSE3, SSSE3), dot products and sums of differences (SSE4.1).

use std::array::from_fn;

use super::float;
use super::lanes::{bytes, dwords, from_dwords, from_qwords, from_words, qwords, words};
use super::shuffle::joined;
use crate::fp::env::Env;

/// A scalar kernel.
type Kernel = fn(&mut Env, u128, u128, u8) -> u128;

fn singles(env: &mut Env, kernel: Kernel, x: u32, y: u32) -> u32 {
    kernel(env, u128::from(x), u128::from(y), 0) as u32
}

fn doubles(env: &mut Env, kernel: Kernel, x: u64, y: u64) -> u64 {
    kernel(env, u128::from(x), u128::from(y), 0) as u64
}

macro_rules! float_pairs {
    ($($ps:ident $pd:ident = $ss:ident, $sd:ident;)*) => {
        $(
            pub fn $ps(env: &mut Env, a: u128, b: u128, _: u8) -> u128 {
                let (a, b) = (dwords(a), dwords(b));
                let pairs = [(a[0], a[1]), (a[2], a[3]), (b[0], b[1]), (b[2], b[3])];
                from_dwords(pairs.map(|(x, y)| singles(env, float::$ss, x, y)))
            }
            pub fn $pd(env: &mut Env, a: u128, b: u128, _: u8) -> u128 {
                let pairs = [qwords(a), qwords(b)];
                from_qwords(pairs.map(|[x, y]| doubles(env, float::$sd, x, y)))
            }
        )*
    };
}

float_pairs! {
    haddps haddpd = addss, addsd;
    hsubps hsubpd = subss, subsd;
}

/// Differences in the even lanes, sums in the odd ones.
pub fn addsubps(env: &mut Env, a: u128, b: u128, _: u8) -> u128 {
    let (a, b) = (dwords(a), dwords(b));
    from_dwords(from_fn(|i| singles(env, if i & 1 == 0 { float::subss } else { float::addss }, a[i], b[i])))
}

/// The same of doubles.
pub fn addsubpd(env: &mut Env, a: u128, b: u128, _: u8) -> u128 {
    let (a, b) = (qwords(a), qwords(b));
    from_qwords(from_fn(|i| doubles(env, if i == 0 { float::subsd } else { float::addsd }, a[i], b[i])))
}

macro_rules! pairs {
    ($($name:ident $mmx:ident = $split:ident, $join:ident($x:ident, $y:ident) $e:expr;)*) => {
        $(
            pub fn $name(_: &mut Env, a: u128, b: u128, _: u8) -> u128 {
                let (a, b) = ($split(a), $split(b));
                let half = a.len() / 2;
                $join(from_fn(|i| {
                    let (from, at) = if i < half { (&a, 2 * i) } else { (&b, 2 * (i - half)) };
                    let ($x, $y) = (from[at], from[at + 1]);
                    $e
                }))
            }
            pub fn $mmx(env: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
                $name(env, joined(a, b), 0, imm)
            }
        )*
    };
}

pairs! {
    phaddw phaddw_mmx = words, from_words(x, y) x.wrapping_add(y);
    phaddd phaddd_mmx = dwords, from_dwords(x, y) x.wrapping_add(y);
    phaddsw phaddsw_mmx = words, from_words(x, y) (x as i16).saturating_add(y as i16) as u16;
    phsubw phsubw_mmx = words, from_words(x, y) x.wrapping_sub(y);
    phsubd phsubd_mmx = dwords, from_dwords(x, y) x.wrapping_sub(y);
    phsubsw phsubsw_mmx = words, from_words(x, y) (x as i16).saturating_sub(y as i16) as u16;
}

/// Products of unsigned bytes and signed bytes, added in pairs with saturation.
pub fn pmaddubsw(_: &mut Env, a: u128, b: u128, _: u8) -> u128 {
    let (a, b) = (bytes(a), bytes(b));
    let product = |i: usize| i32::from(a[i]) * i32::from(b[i] as i8);
    from_words(from_fn(|i| (product(2 * i) + product(2 * i + 1)).clamp(-32768, 32767) as u16))
}

/// Eight sums of absolute differences: four bytes of `b` against four of `a`, from eight places one after the other.
pub fn mpsadbw(_: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
    let (a, b) = (bytes(a), bytes(b));
    let (in_a, in_b) = (usize::from(imm & 4), 4 * usize::from(imm & 3));
    from_words(from_fn(|i| (0..4).map(|k| u16::from(a[in_a + i + k].abs_diff(b[in_b + k]))).sum()))
}

/// The smallest word, and above it its number.
pub fn phminposuw(_: &mut Env, _: u128, b: u128, _: u8) -> u128 {
    let least = words(b).into_iter().zip(0u128..).min_by_key(|&(word, _)| word);
    least.map_or(0, |(word, at)| u128::from(word) | at << 16)
}

/// Ends a stage: whether an exception that is not masked ends the instruction with it.
fn stopped(env: &mut Env) -> bool {
    let stopped = env.unmasked_raised() != 0;
    if !stopped {
        env.settled = env.flags;
    }
    stopped
}

/// Sum of the products that the upper half of the immediate selects, in the lanes that its lower half selects.
pub fn dpps(env: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
    let (a, b) = (dwords(a), dwords(b));
    let products: [u32; 4] = from_fn(|i| match imm >> (4 + i) & 1 {
        0 => 0,
        _ => singles(env, float::mulss, a[i], b[i]),
    });
    if stopped(env) {
        return 0;
    }
    let low = singles(env, float::addss, products[0], products[1]);
    let high = singles(env, float::addss, products[2], products[3]);
    if stopped(env) {
        return 0;
    }
    let sum = singles(env, float::addss, low, high);
    from_dwords(from_fn(|i| if imm >> i & 1 != 0 { sum } else { 0 }))
}

/// The same of doubles.
pub fn dppd(env: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
    let (a, b) = (qwords(a), qwords(b));
    let products: [u64; 2] = from_fn(|i| match imm >> (4 + i) & 1 {
        0 => 0,
        _ => doubles(env, float::mulsd, a[i], b[i]),
    });
    if stopped(env) {
        return 0;
    }
    let sum = doubles(env, float::addsd, products[0], products[1]);
    from_qwords(from_fn(|i| if imm >> i & 1 != 0 { sum } else { 0 }))
}
