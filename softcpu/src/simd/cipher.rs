//! The AES rounds (FIPS 197) and carry-less multiplication.

use std::array::from_fn;

use super::lanes::{bytes, dwords, from_bytes, from_dwords, qwords};
use crate::fp::env::Env;

/// The S-box (5.1.1) and its inverse: each element's inverse, found by walking the powers of 3, through the affine map.
const fn boxes() -> ([u8; 256], [u8; 256]) {
    let (mut forward, mut back) = ([0; 256], [0; 256]);
    let (mut power, mut inverse) = (1u8, 1u8);
    loop {
        power ^= double(power);
        // Divided by 3.
        inverse ^= inverse << 1;
        inverse ^= inverse << 2;
        inverse ^= inverse << 4;
        if inverse & 0x80 != 0 {
            inverse ^= 9;
        }
        let affine = inverse
            ^ inverse.rotate_left(1)
            ^ inverse.rotate_left(2)
            ^ inverse.rotate_left(3)
            ^ inverse.rotate_left(4)
            ^ 0x63;
        forward[power as usize] = affine;
        back[affine as usize] = power;
        if power == 1 {
            break;
        }
    }
    forward[0] = 0x63;
    back[0x63] = 0;
    (forward, back)
}

const BOXES: ([u8; 256], [u8; 256]) = boxes();
static FORWARD: [u8; 256] = BOXES.0;
static BACK: [u8; 256] = BOXES.1;

/// Times 2 in the field (4.2.1).
const fn double(x: u8) -> u8 {
    x << 1 ^ if x & 0x80 != 0 { 0x1b } else { 0 }
}

fn times(x: u8, by: u8) -> u8 {
    let (x2, x4, x8) = (double(x), double(double(x)), double(double(double(x))));
    let take = |bit: u8, value: u8| if by & bit != 0 { value } else { 0 };
    take(1, x) ^ take(2, x2) ^ take(4, x4) ^ take(8, x8)
}

/// Columns times the circulant matrix with this first row (5.1.3, 5.3.3).
fn mixed(state: [u8; 16], row: [u8; 4]) -> [u8; 16] {
    from_fn(|at| {
        let (r, column) = (at & 3, at & !3);
        (0..4).fold(0, |sum, k| sum ^ times(state[column + k], row[(k + 4 - r) & 3]))
    })
}

const MIX: [u8; 4] = [2, 3, 1, 1];
const UNMIX: [u8; 4] = [14, 11, 13, 9];

/// Row r moves r columns to the left (5.1.2).
fn shifted(state: [u8; 16]) -> [u8; 16] {
    from_fn(|at| state[(at + 4 * (at & 3)) & 15])
}

/// To the right (5.3.1).
fn unshifted(state: [u8; 16]) -> [u8; 16] {
    from_fn(|at| state[(at + 16 - 4 * (at & 3)) & 15])
}

fn encrypted(a: u128) -> [u8; 16] {
    shifted(bytes(a)).map(|b| FORWARD[usize::from(b)])
}

fn decrypted(a: u128) -> [u8; 16] {
    unshifted(bytes(a)).map(|b| BACK[usize::from(b)])
}

/// A round.
pub fn aesenc(_: &mut Env, a: u128, key: u128, _: u8) -> u128 {
    from_bytes(mixed(encrypted(a), MIX)) ^ key
}

/// The last round.
pub fn aesenclast(_: &mut Env, a: u128, key: u128, _: u8) -> u128 {
    from_bytes(encrypted(a)) ^ key
}

/// A round of the equivalent inverse cipher (5.3.5).
pub fn aesdec(_: &mut Env, a: u128, key: u128, _: u8) -> u128 {
    from_bytes(mixed(decrypted(a), UNMIX)) ^ key
}

/// Its last round.
pub fn aesdeclast(_: &mut Env, a: u128, key: u128, _: u8) -> u128 {
    from_bytes(decrypted(a)) ^ key
}

/// A round key for the equivalent inverse cipher.
pub fn aesimc(_: &mut Env, _: u128, b: u128, _: u8) -> u128 {
    from_bytes(mixed(bytes(b), UNMIX))
}

/// What the key expansion needs of two words (5.2).
pub fn aeskeygenassist(_: &mut Env, _: u128, b: u128, imm: u8) -> u128 {
    let substituted = |word: u32| u32::from_le_bytes(word.to_le_bytes().map(|b| FORWARD[usize::from(b)]));
    let rotated = |word: u32| word.rotate_right(8) ^ u32::from(imm);
    let [_, first, _, second] = dwords(b).map(substituted);
    from_dwords([first, rotated(first), second, rotated(second)])
}

/// The product of two quadwords as polynomials over two elements.
pub fn pclmulqdq(_: &mut Env, a: u128, b: u128, imm: u8) -> u128 {
    let (a, b) = (qwords(a)[usize::from(imm & 1)], qwords(b)[usize::from(imm >> 4 & 1)]);
    (0..64).filter(|bit| b >> bit & 1 != 0).fold(0, |product, bit| product ^ u128::from(a) << bit)
}
