//! Vectors as arrays of lanes, lowest lane first.

use std::array::from_fn;

/// Sixteen bytes.
#[inline(always)]
pub fn bytes(v: u128) -> [u8; 16] {
    v.to_le_bytes()
}

/// Eight words.
#[inline(always)]
pub fn words(v: u128) -> [u16; 8] {
    let b = v.to_le_bytes();
    from_fn(|i| u16::from_le_bytes([b[2 * i], b[2 * i + 1]]))
}

/// Four doublewords.
#[inline(always)]
pub fn dwords(v: u128) -> [u32; 4] {
    [v as u32, (v >> 32) as u32, (v >> 64) as u32, (v >> 96) as u32]
}

/// Two quadwords.
#[inline(always)]
pub fn qwords(v: u128) -> [u64; 2] {
    [v as u64, (v >> 64) as u64]
}

/// The inverse of [`bytes`].
#[inline(always)]
pub fn from_bytes(v: [u8; 16]) -> u128 {
    u128::from_le_bytes(v)
}

/// The inverse of [`words`].
#[inline(always)]
pub fn from_words(v: [u16; 8]) -> u128 {
    let mut out = [0; 16];
    for (i, w) in v.iter().enumerate() {
        [out[2 * i], out[2 * i + 1]] = w.to_le_bytes();
    }
    u128::from_le_bytes(out)
}

/// The inverse of [`dwords`].
#[inline(always)]
pub fn from_dwords(v: [u32; 4]) -> u128 {
    u128::from(v[0]) | u128::from(v[1]) << 32 | u128::from(v[2]) << 64 | u128::from(v[3]) << 96
}

/// The inverse of [`qwords`].
#[inline(always)]
pub fn from_qwords(v: [u64; 2]) -> u128 {
    u128::from(v[0]) | u128::from(v[1]) << 64
}

/// Joins pairs of bytes.
#[inline(always)]
pub fn zip_bytes(a: u128, b: u128, f: impl Fn(u8, u8) -> u8) -> u128 {
    let (a, b) = (bytes(a), bytes(b));
    from_bytes(from_fn(|i| f(a[i], b[i])))
}

/// Joins pairs of words.
#[inline(always)]
pub fn zip_words(a: u128, b: u128, f: impl Fn(u16, u16) -> u16) -> u128 {
    let (a, b) = (words(a), words(b));
    from_words(from_fn(|i| f(a[i], b[i])))
}

/// Joins pairs of doublewords.
#[inline(always)]
pub fn zip_dwords(a: u128, b: u128, f: impl Fn(u32, u32) -> u32) -> u128 {
    let (a, b) = (dwords(a), dwords(b));
    from_dwords(from_fn(|i| f(a[i], b[i])))
}

/// Joins pairs of quadwords.
#[inline(always)]
pub fn zip_qwords(a: u128, b: u128, f: impl Fn(u64, u64) -> u64) -> u128 {
    let (a, b) = (qwords(a), qwords(b));
    from_qwords(from_fn(|i| f(a[i], b[i])))
}
