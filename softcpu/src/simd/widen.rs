//! Lanes made wider, compared, limited, blended and tested (SSSE3, SSE4.1, SSE4.2).

use std::array::from_fn;

use super::lanes::{
    bytes, dwords, from_bytes, from_dwords, from_qwords, from_words, qwords, words, zip_bytes, zip_dwords,
    zip_qwords, zip_words,
};
use super::shuffle::joined;
use crate::flags::{CF, ZF};
use crate::fp::env::Env;

macro_rules! lanewise {
    ($($name:ident = $zip:ident($x:ident, $y:ident) $e:expr;)*) => {
        $(
            pub fn $name(_: &mut Env, a: u128, b: u128, _: u8) -> u128 {
                $zip(a, b, |$x, $y| $e)
            }
        )*
    };
}

lanewise! {
    pabsb = zip_bytes(_x, y) (y as i8).unsigned_abs();
    pabsw = zip_words(_x, y) (y as i16).unsigned_abs();
    pabsd = zip_dwords(_x, y) (y as i32).unsigned_abs();
    psignb = zip_bytes(x, y) (x as i8).wrapping_mul((y as i8).signum()) as u8;
    psignw = zip_words(x, y) (x as i16).wrapping_mul((y as i16).signum()) as u16;
    psignd = zip_dwords(x, y) (x as i32).wrapping_mul((y as i32).signum()) as u32;
    pmulhrsw = zip_words(x, y) ((((i32::from(x as i16) * i32::from(y as i16)) >> 14) + 1) >> 1) as u16;
    pmulld = zip_dwords(x, y) x.wrapping_mul(y);
    pmuldq = zip_qwords(x, y) i64::from(x as i32).wrapping_mul(i64::from(y as i32)) as u64;
    pcmpeqq = zip_qwords(x, y) if x == y { u64::MAX } else { 0 };
    pcmpgtq = zip_qwords(x, y) if x as i64 > y as i64 { u64::MAX } else { 0 };
    pminsb = zip_bytes(x, y) (x as i8).min(y as i8) as u8;
    pmaxsb = zip_bytes(x, y) (x as i8).max(y as i8) as u8;
    pminuw = zip_words(x, y) x.min(y);
    pmaxuw = zip_words(x, y) x.max(y);
    pminsd = zip_dwords(x, y) (x as i32).min(y as i32) as u32;
    pmaxsd = zip_dwords(x, y) (x as i32).max(y as i32) as u32;
    pminud = zip_dwords(x, y) x.min(y);
    pmaxud = zip_dwords(x, y) x.max(y);
}

macro_rules! widened {
    ($($name:ident = $split:ident, $join:ident, $from:ty, $to:ty, $lane:ty;)*) => {
        $(
            pub fn $name(_: &mut Env, _: u128, b: u128, _: u8) -> u128 {
                let b = $split(b);
                $join(from_fn(|i| <$to>::from(b[i] as $from) as $lane))
            }
        )*
    };
}

widened! {
    pmovsxbw = bytes, from_words, i8, i16, u16;
    pmovsxbd = bytes, from_dwords, i8, i32, u32;
    pmovsxbq = bytes, from_qwords, i8, i64, u64;
    pmovsxwd = words, from_dwords, i16, i32, u32;
    pmovsxwq = words, from_qwords, i16, i64, u64;
    pmovsxdq = dwords, from_qwords, i32, i64, u64;
    pmovzxbw = bytes, from_words, u8, u16, u16;
    pmovzxbd = bytes, from_dwords, u8, u32, u32;
    pmovzxbq = bytes, from_qwords, u8, u64, u64;
    pmovzxwd = words, from_dwords, u16, u32, u32;
    pmovzxwq = words, from_qwords, u16, u64, u64;
    pmovzxdq = dwords, from_qwords, u32, u64, u64;
}

/// Doublewords to unsigned words.
pub fn packusdw(_: &mut Env, a: u128, b: u128, _: u8) -> u128 {
    let (a, b) = (dwords(a), dwords(b));
    from_words(from_fn(|i| (if i < 4 { a[i] } else { b[i - 4] } as i32).clamp(0, 65535) as u16))
}

/// Bytes of `a` in the order that `b` says; zero where its top bit is set.
pub fn pshufb(_: &mut Env, a: u128, b: u128, _: u8) -> u128 {
    let a = bytes(a);
    from_bytes(bytes(b).map(|at| if at & 0x80 != 0 { 0 } else { a[usize::from(at & 15)] }))
}

/// [`pshufb`] on MMX registers.
pub fn pshufb_mmx(env: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
    pshufb(env, joined(a, a), b, imm)
}

/// Sixteen bytes out of `a` above `b`.
pub fn palignr(_: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
    match 8 * u32::from(imm) {
        0 => b,
        shift @ 1..128 => b >> shift | a << (128 - shift),
        shift => a.checked_shr(shift - 128).unwrap_or(0),
    }
}

/// Eight bytes out of `a` above `b`.
pub fn palignr_mmx(_: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
    joined(b, a).checked_shr(8 * u32::from(imm)).unwrap_or(0)
}

/// The lower single (of memory or a register) twice, each with its neighbour left out.
pub fn movsldup(_: &mut Env, _: u128, b: u128, _: u8) -> u128 {
    let b = dwords(b);
    from_dwords([b[0], b[0], b[2], b[2]])
}

/// The same with the upper ones.
pub fn movshdup(_: &mut Env, _: u128, b: u128, _: u8) -> u128 {
    let b = dwords(b);
    from_dwords([b[1], b[1], b[3], b[3]])
}

/// The lower double twice.
pub fn movddup(_: &mut Env, _: u128, b: u128, _: u8) -> u128 {
    from_qwords([b as u64; 2])
}

macro_rules! blends {
    ($($name:ident = $split:ident, $join:ident;)*) => {
        $(
            pub fn $name(_: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
                let (a, b) = ($split(a), $split(b));
                $join(from_fn(|i| if imm >> i & 1 != 0 { b[i] } else { a[i] }))
            }
        )*
    };
}

blends! {
    blendps = dwords, from_dwords;
    blendpd = qwords, from_qwords;
    pblendw = words, from_words;
}

/// All the bits of the bytes whose top bit is set.
pub fn byte_signs(mask: u128) -> u128 {
    zip_bytes(mask, 0, |m, _| (m as i8 >> 7) as u8)
}

/// Of doublewords.
pub fn dword_signs(mask: u128) -> u128 {
    zip_dwords(mask, 0, |m, _| (m as i32 >> 31) as u32)
}

/// Of quadwords.
pub fn qword_signs(mask: u128) -> u128 {
    zip_qwords(mask, 0, |m, _| (m as i64 >> 63) as u64)
}

/// RFLAGS of PTEST: ZF if the operands have no bit in common, CF if all of `b`'s are in `a`.
pub fn ptest(_: &mut Env, a: u128, b: u128, _: u8) -> u128 {
    u128::from(if a & b == 0 { ZF } else { 0 } | if !a & b == 0 { CF } else { 0 })
}

/// A single of `b` (bits 6 and 7) into a lane of `a` (4 and 5); then the lanes of the lowest four bits are cleared.
pub fn insertps(_: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
    let mut lanes = dwords(a);
    lanes[usize::from(imm >> 4 & 3)] = dwords(b)[usize::from(imm >> 6)];
    from_dwords(from_fn(|i| if imm >> i & 1 != 0 { 0 } else { lanes[i] }))
}
