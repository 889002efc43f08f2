//! Formats of blocks that are unpacked one by one: the LZ4 legacy frame, and lzop's file of LZO1X blocks.

use std::io::{self, Read};

use super::lzo1x;

/// Block size of the LZ4 legacy frame format.
const LZ4_LEGACY_BLOCK: usize = 8 << 20;
/// The largest block that lzop makes, in bytes (`MAX_BLOCK_SIZE` in its sources).
const LZOP_BLOCK_MAX: usize = 64 << 20;

/// Gives blocks until there are no more; why it cannot go on is in words.
pub(crate) trait Blocks {
    /// Puts the next block in place of what `block` holds; false at the end.
    fn next(&mut self, block: &mut Vec<u8>) -> Result<bool, String>;
}

/// The blocks as one stream.
pub(crate) struct Stream<B> {
    blocks: B,
    block: Vec<u8>,
    read: usize,
    /// Something was unpacked: an empty stream is a damaged one.
    any: bool,
}

impl<B> Stream<B> {
    pub(crate) fn new(blocks: B) -> Self {
        Stream { blocks, block: Vec::new(), read: 0, any: false }
    }
}

impl<B: Blocks> Read for Stream<B> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.read == self.block.len() {
            self.read = 0;
            if !self.blocks.next(&mut self.block).map_err(io::Error::other)? {
                self.block.clear();
                return if self.any { Ok(0) } else { Err(io::Error::other("it holds no block")) };
            }
            self.any = true;
        }
        let bytes = to.len().min(self.block.len() - self.read);
        to[..bytes].copy_from_slice(&self.block[self.read..self.read + bytes]);
        self.read += bytes;
        Ok(bytes)
    }
}

fn take<'a>(packed: &mut &'a [u8], bytes: usize) -> Result<&'a [u8], String> {
    let (taken, rest) = packed.split_at_checked(bytes).ok_or("it ends inside a block")?;
    *packed = rest;
    Ok(taken)
}

/// Blocks of a 32-bit length and that many bytes. There is no mark of the end: the last block may be followed by the unpacked size
/// alone, or by zeros.
pub(crate) struct Lz4Legacy<'a, 'b> {
    packed: &'a mut &'b [u8],
}

impl<'a, 'b> Lz4Legacy<'a, 'b> {
    /// What follows the magic number, which is there.
    pub(crate) fn new(packed: &'a mut &'b [u8]) -> Self {
        *packed = packed.get(4..).unwrap_or_default();
        Lz4Legacy { packed }
    }
}

impl Blocks for Lz4Legacy<'_, '_> {
    fn next(&mut self, block: &mut Vec<u8>) -> Result<bool, String> {
        let Some((length, after)) = self.packed.split_first_chunk::<4>() else { return Ok(false) };
        let length = u32::from_le_bytes(*length) as usize;
        if after.is_empty() || length == 0 {
            return Ok(false);
        }
        *self.packed = after;
        let packed = take(self.packed, length)?;
        block.resize(LZ4_LEGACY_BLOCK, 0);
        let written = lz4_flex::block::decompress_into(packed, block).map_err(|error| error.to_string())?;
        block.truncate(written);
        Ok(true)
    }
}

/// The flags of lzop's header (lzop 1.04, `conf.h`): which checksums a block has, and what the header holds.
const ADLER32_UNPACKED: u32 = 1 << 0;
const ADLER32_PACKED: u32 = 1 << 1;
const EXTRA_FIELD: u32 = 1 << 6;
const CRC32_UNPACKED: u32 = 1 << 8;
const CRC32_PACKED: u32 = 1 << 9;
const FILTER: u32 = 1 << 11;
/// The first version whose header has the oldest version that reads it, the level, and the time in two words.
const VERSION_WITH_LEVEL: u16 = 0x0940;
const MAGIC: &[u8; 9] = b"\x89LZO\0\r\n\x1a\n";

/// lzop's blocks: unpacked size, packed size, checksums, data; a size of 0 ends them. All numbers are big endian.
pub(crate) struct Lzop<'a, 'b> {
    packed: &'a mut &'b [u8],
    flags: u32,
}

impl<'a, 'b> Lzop<'a, 'b> {
    /// Reads the header.
    pub(crate) fn new(packed: &'a mut &'b [u8]) -> Result<Self, String> {
        if take(packed, MAGIC.len())? != MAGIC {
            return Err("its header is damaged".into());
        }
        let version = half(packed)?;
        half(packed)?; // of the library
        if version >= VERSION_WITH_LEVEL {
            half(packed)?; // needed to read it
        }
        let method = byte(packed)?;
        if !(1..=3).contains(&method) {
            return Err(format!("method {method} is not LZO1X"));
        }
        if version >= VERSION_WITH_LEVEL {
            byte(packed)?;
        }
        let flags = word(packed)?;
        if flags & FILTER != 0 {
            return Err("it wants a filter, which no kernel is packed with".into());
        }
        let mode_and_time = if version >= VERSION_WITH_LEVEL { 12 } else { 8 };
        take(packed, mode_and_time)?;
        let name = byte(packed)?;
        take(packed, name.into())?;
        word(packed)?; // the header's checksum
        if flags & EXTRA_FIELD != 0 {
            let length = word(packed)?;
            take(packed, length as usize)?;
            word(packed)?;
        }
        Ok(Lzop { packed, flags })
    }

    fn checksum(&mut self, flag: u32) -> Result<Option<u32>, String> {
        (self.flags & flag != 0).then(|| word(self.packed)).transpose()
    }
}

impl Blocks for Lzop<'_, '_> {
    fn next(&mut self, block: &mut Vec<u8>) -> Result<bool, String> {
        let size = word(self.packed)? as usize;
        if size == 0 {
            return Ok(false);
        }
        let packed_size = word(self.packed)? as usize;
        if size > LZOP_BLOCK_MAX || packed_size > size {
            return Err("a block is larger than lzop makes them".into());
        }
        let adler = self.checksum(ADLER32_UNPACKED)?;
        let crc = self.checksum(CRC32_UNPACKED)?;
        if packed_size < size {
            // What is unpacked is checked, which is what counts.
            self.checksum(ADLER32_PACKED)?;
            self.checksum(CRC32_PACKED)?;
            lzo1x::unpack(take(self.packed, packed_size)?, size, block)?;
        } else {
            block.clear();
            block.extend_from_slice(take(self.packed, size)?);
        }
        let adler_fits = adler.is_none_or(|sum| sum == adler2::adler32_slice(block));
        if !adler_fits || crc.is_some_and(|sum| sum != crc32fast::hash(block)) {
            return Err("a block has another checksum".into());
        }
        Ok(true)
    }
}

fn byte(packed: &mut &[u8]) -> Result<u8, String> {
    Ok(take(packed, 1)?[0])
}

fn half(packed: &mut &[u8]) -> Result<u16, String> {
    let bytes = take(packed, 2)?;
    Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn word(packed: &mut &[u8]) -> Result<u32, String> {
    let bytes = take(packed, 4)?;
    Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}
