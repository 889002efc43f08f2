//! What a buffer asks for (5.2.6).

use serde::{Deserialize, Serialize};

use super::disk::SECTOR_BYTES;
use super::layout::{DISCARD, DISCARD_MAX_SECTORS, FLUSH, RANGES_MAX, WRITE_ZEROES, ZERO_MAX_SECTORS};
use crate::ports::{Dma, DmaFault};
use crate::virtio::Chain;

/// Bytes in front of the data: type, a reserved word, the first sector.
pub const HEADER_BYTES: u64 = 16;
/// Bytes of a range to discard or zero: first sector, sectors, flags.
const RANGE_BYTES: usize = 16;
/// Bytes of the disk's name.
pub const NAME_BYTES: u64 = 20;

/// Types of requests.
const TYPE_IN: u32 = 0;
const TYPE_OUT: u32 = 1;
const TYPE_FLUSH: u32 = 4;
const TYPE_GET_ID: u32 = 8;
const TYPE_DISCARD: u32 = 11;
const TYPE_WRITE_ZEROES: u32 = 13;
/// A range's flag: its room may be given back.
const UNMAP: u32 = 1;

/// The last byte of every buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Done.
    Ok,
    /// Not done.
    Error,
    /// The device does not do that.
    Unsupported,
}

impl Status {
    /// As the driver reads it.
    pub fn byte(self) -> u8 {
        match self {
            Status::Ok => 0,
            Status::Error => 1,
            Status::Unsupported => 2,
        }
    }
}

/// A range of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Its first byte.
    pub at: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Whether its room may be given back, of those to zero.
    pub unmap: bool,
}

/// What is to be done, with what is done of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Disk to memory.
    Read(Range),
    /// Memory to disk.
    Write(Range),
    /// All that was written is to be safe.
    Flush,
    /// The disk's name.
    Name,
    /// These are not needed any more.
    Discard(Vec<Range>),
    /// These become zero.
    Zero(Vec<Range>),
    /// Nothing: it is answered with this.
    Refuse(Status),
}

impl Work {
    /// Bytes that it moves, by which the cost model counts.
    pub fn moved_bytes(&self) -> u64 {
        match self {
            Work::Read(range) | Work::Write(range) => range.bytes,
            Work::Name => NAME_BYTES,
            _ => 0,
        }
    }
}

/// What requests are looked at for.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Bytes of the disk.
    pub disk_bytes: u64,
    /// Whether it can be written.
    pub writable: bool,
    /// Features that the driver took.
    pub features: u64,
}

impl Rules {
    /// The range of `bytes` bytes from `sector` on, if the disk has it.
    fn range(&self, sector: u64, bytes: u64, unmap: bool) -> Option<Range> {
        let at = sector.checked_mul(SECTOR_BYTES)?;
        let inside = at.checked_add(bytes)? <= self.disk_bytes && bytes % SECTOR_BYTES == 0;
        inside.then_some(Range { at, bytes, unmap })
    }

    /// What `chain` asks for.
    ///
    /// # Errors
    ///
    /// Its memory may not be read.
    pub fn work(&self, chain: &Chain, dma: &mut dyn Dma) -> Result<Work, DmaFault> {
        let mut header = [0; HEADER_BYTES as usize];
        if chain.read(dma, 0, &mut header)? < header.len() {
            return Ok(Work::Refuse(Status::Error));
        }
        let [t0, t1, t2, t3, _, _, _, _, sector @ ..] = header;
        let (kind, sector) = (u32::from_le_bytes([t0, t1, t2, t3]), u64::from_le_bytes(sector));
        // The status is behind what the device writes.
        let (to_read, to_write) =
            (chain.readable_bytes().saturating_sub(HEADER_BYTES), chain.writable_bytes().saturating_sub(1));
        let or_error =
            |work: Option<Range>, of: fn(Range) -> Work| work.map_or(Work::Refuse(Status::Error), of);
        let has = |feature: u64| self.features & feature != 0;
        Ok(match kind {
            TYPE_IN => or_error(self.range(sector, to_write, false), Work::Read),
            TYPE_OUT | TYPE_DISCARD | TYPE_WRITE_ZEROES if !self.writable => Work::Refuse(Status::Error),
            TYPE_OUT => or_error(self.range(sector, to_read, false), Work::Write),
            TYPE_FLUSH if has(FLUSH) => Work::Flush,
            TYPE_GET_ID => Work::Name,
            TYPE_DISCARD if has(DISCARD) => self.ranges(chain, dma, (DISCARD_MAX_SECTORS, 0))?,
            TYPE_WRITE_ZEROES if has(WRITE_ZEROES) => self.ranges(chain, dma, (ZERO_MAX_SECTORS, UNMAP))?,
            _ => Work::Refuse(Status::Unsupported),
        })
    }

    /// The ranges of a request to discard, or to zero: at most so many sectors each, with no flag but these.
    fn ranges(
        &self,
        chain: &Chain,
        dma: &mut dyn Dma,
        (sectors_max, flags): (u32, u32),
    ) -> Result<Work, DmaFault> {
        let bytes = chain.readable_bytes().saturating_sub(HEADER_BYTES);
        let most = u64::from(RANGES_MAX).saturating_mul(RANGE_BYTES as u64);
        if bytes == 0 || bytes > most || bytes & (RANGE_BYTES as u64).saturating_sub(1) != 0 {
            return Ok(Work::Refuse(Status::Error));
        }
        let mut data = vec![0; bytes as usize];
        chain.read(dma, HEADER_BYTES, &mut data)?;
        let mut ranges = Vec::new();
        for entry in data.chunks_exact(RANGE_BYTES) {
            let word = |at: usize| entry.get(at..at.saturating_add(4)).and_then(|it| it.try_into().ok());
            let word = |at| word(at).map_or(0, u32::from_le_bytes);
            let sector = u64::from(word(0)) | u64::from(word(4)) << 32;
            let (sectors, set) = (word(8), word(12));
            if set & !flags != 0 {
                return Ok(Work::Refuse(Status::Unsupported));
            }
            let bytes = u64::from(sectors).saturating_mul(SECTOR_BYTES);
            match self.range(sector, bytes, set & UNMAP != 0) {
                Some(range) if sectors <= sectors_max => ranges.push(range),
                _ => return Ok(Work::Refuse(Status::Error)),
            }
        }
        Ok(if flags == 0 { Work::Discard(ranges) } else { Work::Zero(ranges) })
    }
}
