//! LZO1X blocks (Linux, Documentation/staging/lzo.rst, without the run-length variant that only zram writes).

/// A distance of this or more takes two bytes and one bit of the instruction.
const FAR: usize = 16384;
/// The distance that stands for the end of the stream.
const END: usize = FAR;
/// After a run of literals, an instruction below 16 is a match of three bytes at this distance or more.
const AFTER_LITERALS: usize = 2049;

/// What came before an instruction below 16, which decides what it means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// No literal.
    Nothing,
    /// One to three, in the two low bits of the last match.
    Few,
    /// A run of its own.
    Run,
}

/// Why a block cannot be unpacked, in words.
pub(crate) type Reason = &'static str;

const CUT_OFF: Reason = "it ends inside a block";
const TOO_LONG: Reason = "a block unpacks to more than its header says";
const TOO_FAR: Reason = "a match begins before its block";

struct Unpacker<'a> {
    packed: &'a [u8],
    unpacked: &'a mut Vec<u8>,
    most: usize,
}

/// Unpacks one block to exactly `size` bytes, in place of what `unpacked` held.
pub(crate) fn unpack(packed: &[u8], size: usize, unpacked: &mut Vec<u8>) -> Result<(), Reason> {
    unpacked.clear();
    let mut unpacker = Unpacker { packed, unpacked, most: size };
    unpacker.run()?;
    match (unpacker.packed.is_empty(), unpacker.unpacked.len() == size) {
        (true, true) => Ok(()),
        (false, _) => Err("a block goes on behind its end"),
        (_, false) => Err("a block unpacks to less than its header says"),
    }
}

impl Unpacker<'_> {
    fn run(&mut self) -> Result<(), Reason> {
        let mut before = Before::Nothing;
        // The first instruction has literals alone for what would make no sense there.
        if let Some(first) = self.packed.first().copied().filter(|first| *first > 17) {
            self.packed = &self.packed[1..];
            before = self.literals_behind(usize::from(first) - 17)?;
        }
        loop {
            let instruction = usize::from(self.byte()?);
            let (length, distance, literals) = match instruction {
                0..=15 if before == Before::Nothing => {
                    let length = self.length(instruction, 15)? + 3;
                    self.literals(length)?;
                    before = Before::Run;
                    continue;
                }
                0..=15 => {
                    let near = (usize::from(self.byte()?) << 2) + (instruction >> 2);
                    let (length, base) = if before == Before::Run { (3, AFTER_LITERALS) } else { (2, 1) };
                    (length, near + base, instruction & 3)
                }
                16..=31 => {
                    let length = self.length(instruction & 7, 7)? + 2;
                    let (low, literals) = self.distance_and_literals()?;
                    let distance = FAR + ((instruction & 8) << 11) + low;
                    if distance == END {
                        return Ok(());
                    }
                    (length, distance, literals)
                }
                32..=63 => {
                    let length = self.length(instruction & 31, 31)? + 2;
                    let (low, literals) = self.distance_and_literals()?;
                    (length, low + 1, literals)
                }
                _ => {
                    let high = usize::from(self.byte()?) << 3;
                    let length = if instruction < 128 {
                        3 + (instruction >> 5 & 1)
                    } else {
                        5 + (instruction >> 5 & 3)
                    };
                    (length, high + (instruction >> 2 & 7) + 1, instruction & 3)
                }
            };
            self.copy(length, distance)?;
            before = self.literals_behind(literals)?;
        }
    }

    /// Literals that an instruction has behind it, and what they are to the next one.
    fn literals_behind(&mut self, count: usize) -> Result<Before, Reason> {
        self.literals(count)?;
        Ok(match count {
            0 => Before::Nothing,
            1..=3 => Before::Few,
            _ => Before::Run,
        })
    }

    fn byte(&mut self) -> Result<u8, Reason> {
        let (byte, rest) = self.packed.split_first().ok_or(CUT_OFF)?;
        self.packed = rest;
        Ok(*byte)
    }

    /// A length of the instruction's own bits; where they are zero, it goes on over zero bytes of 255 each.
    fn length(&mut self, bits: usize, base: usize) -> Result<usize, Reason> {
        if bits != 0 {
            return Ok(bits);
        }
        let zeros = self.packed.iter().take_while(|byte| **byte == 0).count();
        self.packed = &self.packed[zeros..];
        // A block is in memory: the product is far below the end of the type.
        Ok(base + zeros * 255 + usize::from(self.byte()?))
    }

    fn distance_and_literals(&mut self) -> Result<(usize, usize), Reason> {
        let word = usize::from(u16::from_le_bytes([self.byte()?, self.byte()?]));
        Ok((word >> 2, word & 3))
    }

    fn room_for(&self, length: usize) -> Result<(), Reason> {
        if length > self.most - self.unpacked.len() { Err(TOO_LONG) } else { Ok(()) }
    }

    fn literals(&mut self, count: usize) -> Result<(), Reason> {
        self.room_for(count)?;
        let (literals, rest) = self.packed.split_at_checked(count).ok_or(CUT_OFF)?;
        self.unpacked.extend_from_slice(literals);
        self.packed = rest;
        Ok(())
    }

    fn copy(&mut self, length: usize, distance: usize) -> Result<(), Reason> {
        self.room_for(length)?;
        let mut from = self.unpacked.len().checked_sub(distance).ok_or(TOO_FAR)?;
        let mut left = length;
        // A match may reach into itself: what was copied is copied again.
        while left > 0 {
            let part = left.min(self.unpacked.len() - from);
            self.unpacked.extend_from_within(from..from + part);
            (from, left) = (from + part, left - part);
        }
        Ok(())
    }
}
