//! What the string comparisons of SSE4.2 compute (Intel SDM vol. 2, 4.1): two vectors of bytes or words, with lengths, give
//! a bit for each element of the second.

use std::array::from_fn;

use super::lanes::{bytes, words};
use crate::flags::{CF, OF, SF, ZF};

/// The immediate's fields.
const WORDS: u8 = 1;
const SIGNED: u8 = 2;
const MASKED: u8 = 0x20;
const NEGATED: u8 = 0x10;
const LAST_OR_WIDE: u8 = 0x40;

/// Most elements.
const MOST: usize = 16;

/// Elements with their count.
pub struct Text {
    elements: [i32; MOST],
    valid: usize,
}

/// Bytes or words in an operand.
pub fn capacity(imm: u8) -> usize {
    if imm & WORDS != 0 { 8 } else { 16 }
}

impl Text {
    /// An operand with its length; without one it ends before its first zero.
    pub fn new(operand: u128, length: Option<u64>, imm: u8) -> Text {
        let elements: [i32; MOST] = match imm & (WORDS | SIGNED) {
            0 => bytes(operand).map(i32::from),
            SIGNED => bytes(operand).map(|b| i32::from(b as i8)),
            kind => from_fn(|i| {
                let word = words(operand).get(i).copied().unwrap_or(0);
                if kind & SIGNED != 0 { i32::from(word as i16) } else { i32::from(word) }
            }),
        };
        let most = capacity(imm);
        let valid = match length {
            Some(length) => length.min(most as u64) as usize,
            None => elements[..most].iter().position(|&e| e == 0).unwrap_or(most),
        };
        Text { elements, valid }
    }

    fn at(&self, n: usize) -> Option<i32> {
        (n < self.valid).then(|| self.elements[n])
    }
}

/// The bit of element `j` of `b` (IntRes1).
fn matches(a: &Text, b: &Text, j: usize, imm: u8) -> bool {
    let most = capacity(imm);
    match imm >> 2 & 3 {
        // Equal to any.
        0 => b.at(j).is_some_and(|e| a.elements[..a.valid].contains(&e)),
        // In any range.
        1 => b.at(j).is_some_and(|e| a.elements[..a.valid].chunks_exact(2).any(|r| r[0] <= e && e <= r[1])),
        // Equal to the one at the same place; both may be behind the end.
        2 => a.at(j) == b.at(j),
        // Where `a` starts, as far as the operand shows it.
        _ => (j..most).zip(0..a.valid).all(|(in_b, in_a)| b.at(in_b) == a.at(in_a)),
    }
}

/// The bits (IntRes2), and the flags.
pub fn compare(a: &Text, b: &Text, imm: u8) -> (u16, u64) {
    let most = capacity(imm);
    let bits = (0..most).filter(|&j| {
        let negated = imm & NEGATED != 0 && (imm & MASKED == 0 || j < b.valid);
        matches(a, b, j, imm) != negated
    });
    let result: u16 = bits.map(|j| 1 << j).sum();
    let flag = |set: bool, flag: u64| if set { flag } else { 0 };
    let flags = flag(result != 0, CF)
        | flag(b.valid < most, ZF)
        | flag(a.valid < most, SF)
        | flag(result & 1 != 0, OF);
    (result, flags)
}

/// The place of the first bit, or of the last; the number of elements if there is none.
pub fn index(result: u16, imm: u8) -> u64 {
    match result {
        0 => capacity(imm) as u64,
        _ if imm & LAST_OR_WIDE != 0 => 15 - u64::from(result.leading_zeros()),
        _ => u64::from(result.trailing_zeros()),
    }
}

/// The bits as such, or each as wide as its element.
pub fn mask(result: u16, imm: u8) -> u128 {
    if imm & LAST_OR_WIDE == 0 {
        return u128::from(result);
    }
    let width = 128 / capacity(imm);
    let element = (1u128 << width) - 1;
    (0..capacity(imm)).filter(|j| result >> j & 1 != 0).map(|j| element << (j * width)).sum()
}
