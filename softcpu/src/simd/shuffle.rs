//! Shuffles, unpacks, packs, inserts, extracts and moves.

use std::array::from_fn;

use super::lanes::{bytes, dwords, from_bytes, from_dwords, from_qwords, from_words, qwords, words};
use crate::fp::env::Env;

const LOW: u128 = u64::MAX as u128;

/// Lane `n` of four chosen by an immediate.
fn pick(imm: u8, n: usize) -> usize {
    usize::from(imm >> (2 * n) & 3)
}

/// Four doublewords in any order.
pub fn pshufd(_: &mut Env, _: u128, b: u128, imm: u8) -> u128 {
    let b = dwords(b);
    from_dwords(from_fn(|i| b[pick(imm, i)]))
}

/// Four low words in any order.
pub fn pshuflw(_: &mut Env, _: u128, b: u128, imm: u8) -> u128 {
    let b = words(b);
    from_words(from_fn(|i| if i < 4 { b[pick(imm, i)] } else { b[i] }))
}

/// Four high words in any order.
pub fn pshufhw(_: &mut Env, _: u128, b: u128, imm: u8) -> u128 {
    let b = words(b);
    from_words(from_fn(|i| if i < 4 { b[i] } else { b[4 + pick(imm, i - 4)] }))
}

/// Two singles of each operand.
pub fn shufps(_: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
    let (a, b) = (dwords(a), dwords(b));
    from_dwords(from_fn(|i| if i < 2 { a[pick(imm, i)] } else { b[pick(imm, i)] }))
}

/// One double of each operand.
pub fn shufpd(_: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
    from_qwords([qwords(a)[usize::from(imm & 1)], qwords(b)[usize::from(imm >> 1 & 1)]])
}

macro_rules! unpacks {
    ($($name:ident = $split:ident, $join:ident, $start:expr;)*) => {
        $(
            pub fn $name(_: &mut Env, a: u128, b: u128, _: u8) -> u128 {
                let (a, b) = ($split(a), $split(b));
                $join(from_fn(|i| if i & 1 == 0 { a[$start + i / 2] } else { b[$start + i / 2] }))
            }
        )*
    };
}

unpacks! {
    punpcklbw = bytes, from_bytes, 0;
    punpcklwd = words, from_words, 0;
    punpckldq = dwords, from_dwords, 0;
    punpcklqdq = qwords, from_qwords, 0;
    punpckhbw = bytes, from_bytes, 8;
    punpckhwd = words, from_words, 4;
    punpckhdq = dwords, from_dwords, 2;
    punpckhqdq = qwords, from_qwords, 1;
    punpckhbw_mmx = bytes, from_bytes, 4;
    punpckhwd_mmx = words, from_words, 2;
    punpckhdq_mmx = dwords, from_dwords, 1;
}

fn signed_byte(w: u16) -> u8 {
    (w as i16).clamp(-128, 127) as u8
}

fn unsigned_byte(w: u16) -> u8 {
    (w as i16).clamp(0, 255) as u8
}

fn signed_word(d: u32) -> u16 {
    (d as i32).clamp(-32768, 32767) as u16
}

fn pack_words(a: u128, b: u128, narrow: fn(u16) -> u8) -> u128 {
    let (a, b) = (words(a), words(b));
    from_bytes(from_fn(|i| narrow(if i < 8 { a[i] } else { b[i - 8] })))
}

/// Words to signed bytes.
pub fn packsswb(_: &mut Env, a: u128, b: u128, _: u8) -> u128 {
    pack_words(a, b, signed_byte)
}

/// Words to unsigned bytes.
pub fn packuswb(_: &mut Env, a: u128, b: u128, _: u8) -> u128 {
    pack_words(a, b, unsigned_byte)
}

/// Doublewords to signed words.
pub fn packssdw(_: &mut Env, a: u128, b: u128, _: u8) -> u128 {
    let (a, b) = (dwords(a), dwords(b));
    from_words(from_fn(|i| signed_word(if i < 4 { a[i] } else { b[i - 4] })))
}

/// Two 64-bit operands side by side: a 64-bit pack is the lower half of packing these.
pub(super) fn joined(a: u128, b: u128) -> u128 {
    (a & LOW) | b << 64
}

/// [`packsswb`] on MMX registers.
pub fn packsswb_mmx(_: &mut Env, a: u128, b: u128, _: u8) -> u128 {
    pack_words(joined(a, b), 0, signed_byte)
}

/// [`packuswb`] on MMX registers.
pub fn packuswb_mmx(_: &mut Env, a: u128, b: u128, _: u8) -> u128 {
    pack_words(joined(a, b), 0, unsigned_byte)
}

/// [`packssdw`] on MMX registers.
pub fn packssdw_mmx(env: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
    packssdw(env, joined(a, b), 0, imm)
}

fn insert_word(a: u128, word: u128, lane: u32) -> u128 {
    (a & !(0xffff << (16 * lane))) | (word & 0xffff) << (16 * lane)
}

/// Puts a word in one of eight lanes.
pub fn pinsrw(_: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
    insert_word(a, b, u32::from(imm & 7))
}

/// Puts a word in one of four lanes.
pub fn pinsrw_mmx(_: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
    insert_word(a, b, u32::from(imm & 3))
}

/// Takes one of eight words.
pub fn pextrw(_: &mut Env, _: u128, b: u128, imm: u8) -> u128 {
    b >> (16 * u32::from(imm & 7)) & 0xffff
}

/// Takes one of four words.
pub fn pextrw_mmx(_: &mut Env, _: u128, b: u128, imm: u8) -> u128 {
    b >> (16 * u32::from(imm & 3)) & 0xffff
}
