//! Packed integer arithmetic, comparison and logic. MMX forms use the same kernels on zero-extended values: every
//! lane is on its own, and the upper half of the result is dropped.

use super::lanes::{
    dwords, from_dwords, from_qwords, qwords, words, zip_bytes, zip_dwords, zip_qwords, zip_words,
};
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

macro_rules! whole {
    ($($name:ident($x:ident, $y:ident) $e:expr;)*) => {
        $(
            pub fn $name(_: &mut Env, $x: u128, $y: u128, _: u8) -> u128 {
                $e
            }
        )*
    };
}

lanewise! {
    paddb = zip_bytes(x, y) x.wrapping_add(y);
    paddw = zip_words(x, y) x.wrapping_add(y);
    paddd = zip_dwords(x, y) x.wrapping_add(y);
    paddq = zip_qwords(x, y) x.wrapping_add(y);
    psubb = zip_bytes(x, y) x.wrapping_sub(y);
    psubw = zip_words(x, y) x.wrapping_sub(y);
    psubd = zip_dwords(x, y) x.wrapping_sub(y);
    psubq = zip_qwords(x, y) x.wrapping_sub(y);
    paddsb = zip_bytes(x, y) (x as i8).saturating_add(y as i8) as u8;
    paddsw = zip_words(x, y) (x as i16).saturating_add(y as i16) as u16;
    paddusb = zip_bytes(x, y) x.saturating_add(y);
    paddusw = zip_words(x, y) x.saturating_add(y);
    psubsb = zip_bytes(x, y) (x as i8).saturating_sub(y as i8) as u8;
    psubsw = zip_words(x, y) (x as i16).saturating_sub(y as i16) as u16;
    psubusb = zip_bytes(x, y) x.saturating_sub(y);
    psubusw = zip_words(x, y) x.saturating_sub(y);
    pmullw = zip_words(x, y) x.wrapping_mul(y);
    pmulhw = zip_words(x, y) ((i32::from(x as i16) * i32::from(y as i16)) >> 16) as u16;
    pmulhuw = zip_words(x, y) ((u32::from(x) * u32::from(y)) >> 16) as u16;
    pmuludq = zip_qwords(x, y) (x & 0xffff_ffff) * (y & 0xffff_ffff);
    pavgb = zip_bytes(x, y) ((u16::from(x) + u16::from(y) + 1) >> 1) as u8;
    pavgw = zip_words(x, y) ((u32::from(x) + u32::from(y) + 1) >> 1) as u16;
    pminub = zip_bytes(x, y) x.min(y);
    pmaxub = zip_bytes(x, y) x.max(y);
    pminsw = zip_words(x, y) (x as i16).min(y as i16) as u16;
    pmaxsw = zip_words(x, y) (x as i16).max(y as i16) as u16;
    pcmpeqb = zip_bytes(x, y) if x == y { 0xff } else { 0 };
    pcmpeqw = zip_words(x, y) if x == y { 0xffff } else { 0 };
    pcmpeqd = zip_dwords(x, y) if x == y { u32::MAX } else { 0 };
    pcmpgtb = zip_bytes(x, y) if x as i8 > y as i8 { 0xff } else { 0 };
    pcmpgtw = zip_words(x, y) if x as i16 > y as i16 { 0xffff } else { 0 };
    pcmpgtd = zip_dwords(x, y) if x as i32 > y as i32 { u32::MAX } else { 0 };
}

whole! {
    and(x, y) x & y;
    andn(x, y) !x & y;
    or(x, y) x | y;
    xor(x, y) x ^ y;
}

/// Products of signed words, added in pairs.
pub fn pmaddwd(_: &mut Env, a: u128, b: u128, _: u8) -> u128 {
    let (a, b) = (words(a), words(b));
    let product = |i: usize| i32::from(a[i] as i16) * i32::from(b[i] as i16);
    from_dwords(std::array::from_fn(|i| product(2 * i).wrapping_add(product(2 * i + 1)) as u32))
}

/// Sums of absolute differences of bytes, one for each half.
pub fn psadbw(_: &mut Env, a: u128, b: u128, _: u8) -> u128 {
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    let half = |start: usize| (start..start + 8).map(|i| u64::from(a[i].abs_diff(b[i]))).sum();
    from_qwords([half(0), half(8)])
}

/// The shift count: the low 64 bits of the operand, not reduced.
fn count(b: u128) -> u32 {
    u32::try_from(b as u64).unwrap_or(u32::MAX)
}

macro_rules! shifts {
    ($($name:ident = $zip:ident($x:ident, $n:ident) $e:expr;)*) => {
        $(
            pub fn $name(_: &mut Env, a: u128, b: u128, _: u8) -> u128 {
                let $n = count(b);
                $zip(a, 0, |$x, _| $e)
            }
        )*
    };
}

shifts! {
    psllw = zip_words(x, n) x.checked_shl(n).unwrap_or(0);
    pslld = zip_dwords(x, n) x.checked_shl(n).unwrap_or(0);
    psllq = zip_qwords(x, n) x.checked_shl(n).unwrap_or(0);
    psrlw = zip_words(x, n) x.checked_shr(n).unwrap_or(0);
    psrld = zip_dwords(x, n) x.checked_shr(n).unwrap_or(0);
    psrlq = zip_qwords(x, n) x.checked_shr(n).unwrap_or(0);
    psraw = zip_words(x, n) (x as i16 >> n.min(15)) as u16;
    psrad = zip_dwords(x, n) (x as i32 >> n.min(31)) as u32;
}

/// Shifts the whole register left by bytes.
pub fn pslldq(_: &mut Env, a: u128, b: u128, _: u8) -> u128 {
    a.checked_shl(8 * count(b).min(16)).unwrap_or(0)
}

/// Shifts the whole register right by bytes.
pub fn psrldq(_: &mut Env, a: u128, b: u128, _: u8) -> u128 {
    a.checked_shr(8 * count(b).min(16)).unwrap_or(0)
}

/// The sign bits of sixteen bytes.
pub fn pmovmskb(_: &mut Env, _: u128, b: u128, _: u8) -> u128 {
    let mut mask = 0;
    for (i, byte) in b.to_le_bytes().iter().enumerate() {
        mask |= u128::from(byte >> 7) << i;
    }
    mask
}

/// The sign bits of four singles.
pub fn movmskps(_: &mut Env, _: u128, b: u128, _: u8) -> u128 {
    dwords(b).iter().enumerate().map(|(i, d)| u128::from(d >> 31) << i).sum()
}

/// The sign bits of two doubles.
pub fn movmskpd(_: &mut Env, _: u128, b: u128, _: u8) -> u128 {
    qwords(b).iter().enumerate().map(|(i, q)| u128::from(q >> 63) << i).sum()
}
