//! What a guest wrote on a disk whose file is not to be written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::disk::{Disk, DiskError};

/// Bytes of one block.
const BLOCK_BYTES: u64 = 4096;
/// The most that an overlay may take: beyond it writes are I/O errors, as on a full disk.
pub const OVERLAY_MAX_BYTES: u64 = 1 << 30;
/// What an entry takes beside its content.
const ENTRY_BYTES: u64 = 64;

/// Blocks that hide those of the disk below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// Content by number; none: zeros.
    blocks: BTreeMap<u64, Option<Vec<u8>>>,
    /// What they take.
    bytes: u64,
    /// The most that they may take.
    limit: u64,
}

impl Default for Overlay {
    fn default() -> Self {
        Overlay::limited(OVERLAY_MAX_BYTES)
    }
}

/// A part of one block: its number, where in it, and the range of the whole that it is.
struct Piece {
    block: u64,
    offset: usize,
    range: std::ops::Range<usize>,
}

/// `bytes` bytes at `at`, cut at the ends of blocks.
fn pieces(at: u64, bytes: u64) -> impl Iterator<Item = Piece> {
    let mut done = 0u64;
    std::iter::from_fn(move || {
        let here = at.saturating_add(done);
        let offset = here % BLOCK_BYTES;
        let length = BLOCK_BYTES.saturating_sub(offset).min(bytes.saturating_sub(done));
        let start = done;
        done = done.saturating_add(length);
        (length != 0).then_some(Piece {
            block: here / BLOCK_BYTES,
            offset: offset as usize,
            range: start as usize..done as usize,
        })
    })
}

fn cost(content: Option<&Option<Vec<u8>>>) -> u64 {
    match content {
        None => 0,
        Some(None) => ENTRY_BYTES,
        Some(Some(_)) => ENTRY_BYTES.saturating_add(BLOCK_BYTES),
    }
}

impl Overlay {
    /// An empty one that may take so many bytes.
    pub fn limited(limit: u64) -> Self {
        Overlay { blocks: BTreeMap::new(), bytes: 0, limit }
    }

    /// Whether it can be one of a disk of so many bytes.
    pub fn is_possible(&self, disk_bytes: u64) -> bool {
        let sound = |content: &Option<Vec<u8>>| {
            content.as_ref().is_none_or(|content| content.len() as u64 == BLOCK_BYTES)
        };
        let last = self.blocks.last_key_value().map_or(0, |(block, _)| *block);
        let taken = self.blocks.values().fold(0u64, |sum, content| sum.saturating_add(cost(Some(content))));
        self.blocks.values().all(sound)
            && taken == self.bytes
            && self.limit == OVERLAY_MAX_BYTES
            && self.bytes <= self.limit
            && (self.blocks.is_empty() || last.saturating_mul(BLOCK_BYTES) < disk_bytes)
    }

    /// The bytes that it takes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Fills `data` from `at` on: what was written, and else what `below` has.
    ///
    /// # Errors
    ///
    /// Those of `below`.
    pub fn read(&self, below: &mut dyn Disk, at: u64, data: &mut [u8]) -> Result<(), DiskError> {
        let hidden = pieces(at, data.len() as u64).all(|piece| self.blocks.contains_key(&piece.block));
        if !hidden {
            below.read(at, data)?;
        }
        for Piece { block, offset, range } in pieces(at, data.len() as u64) {
            let (Some(content), Some(place)) = (self.blocks.get(&block), data.get_mut(range)) else {
                continue;
            };
            match content {
                None => place.fill(0),
                Some(content) => {
                    let rest = content.get(offset..).unwrap_or_default();
                    place.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                }
            }
        }
        Ok(())
    }

    /// Puts `content` for `block` there, if there is room.
    fn put(&mut self, block: u64, content: Option<Vec<u8>>) -> Result<(), DiskError> {
        let before = cost(self.blocks.get(&block));
        let after = self.bytes.saturating_sub(before).saturating_add(cost(Some(&content)));
        if after > self.limit && after > self.bytes {
            return Err(DiskError);
        }
        self.bytes = after;
        self.blocks.insert(block, content);
        Ok(())
    }

    /// The block as it is, to be changed.
    fn whole(&self, below: &mut dyn Disk, block: u64) -> Result<Vec<u8>, DiskError> {
        let start = block.saturating_mul(BLOCK_BYTES);
        let mut content = vec![0; BLOCK_BYTES as usize];
        // The disk may end within its last block.
        let there = below.bytes().saturating_sub(start).min(BLOCK_BYTES) as usize;
        if let Some(there) = content.get_mut(..there) {
            self.read(below, start, there)?;
        }
        Ok(content)
    }

    /// Keeps `data` for `at`.
    ///
    /// # Errors
    ///
    /// No room for it, or `below` cannot be read where `data` covers part of a block.
    pub fn write(&mut self, below: &mut dyn Disk, at: u64, data: &[u8]) -> Result<(), DiskError> {
        for Piece { block, offset, range } in pieces(at, data.len() as u64) {
            let data = data.get(range).unwrap_or_default();
            if let Some(Some(content)) = self.blocks.get_mut(&block) {
                content.iter_mut().skip(offset).zip(data).for_each(|(to, from)| *to = *from);
                continue;
            }
            let mut content = self.whole(below, block)?;
            content.iter_mut().skip(offset).zip(data).for_each(|(to, from)| *to = *from);
            self.put(block, Some(content))?;
        }
        Ok(())
    }

    /// Makes so many bytes at `at` zero.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn zero(&mut self, below: &mut dyn Disk, at: u64, bytes: u64) -> Result<(), DiskError> {
        for Piece { block, offset, range } in pieces(at, bytes) {
            if range.len() as u64 == BLOCK_BYTES {
                self.put(block, None)?;
                continue;
            }
            let mut content = self.whole(below, block)?;
            content.iter_mut().skip(offset).take(range.len()).for_each(|byte| *byte = 0);
            self.put(block, Some(content))?;
        }
        Ok(())
    }

    /// Forgets the blocks that lie within so many bytes at `at`: the disk below shows again.
    pub fn discard(&mut self, at: u64, bytes: u64) {
        let first = at.div_ceil(BLOCK_BYTES);
        let end = at.saturating_add(bytes) / BLOCK_BYTES;
        if first >= end {
            return;
        }
        let numbers: Vec<u64> = self.blocks.range(first..end).map(|(block, _)| *block).collect();
        for number in numbers {
            let content = self.blocks.remove(&number);
            self.bytes = self.bytes.saturating_sub(cost(content.as_ref()));
        }
    }
}
