//! The file of a snapshot: guest memory as it is, to be mapped, and beside it everything else.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4096 | the header: `MAGIC`, version, sizes, checksums; zero to its end |
//! | 4096.. | guest RAM, region after region; a page of zeroes is a hole |
//! | after it | the checksums of memory, one for each MiB |
//! | after them | the machine's state, in postcard's encoding |
//!
//! All numbers are little-endian. Header, checksums and state are checked whenever the file is opened; memory is when the
//! file is not known to be unchanged since it was last checked (`super::checked`).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::SeekFrom;
use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{
    Address, Bytes, FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion,
    GuestRegionMmap,
};

use super::whole;
use crate::config::MEMORY_MAX_BYTES;
use crate::machine::memory::ranges;

/// The first bytes of every snapshot. A transfer that changes line ends or cuts at a zero byte damages it.
const MAGIC: [u8; 8] = *b"FPSNAP\r\n";
/// The layout of the file that this code writes and reads.
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 4096;
/// Where guest memory begins in it.
pub(super) const MEMORY_AT: u64 = HEADER_BYTES as u64;
const PAGE_BYTES: usize = 4096;
/// Bytes of memory with a checksum of their own.
const CHUNK_BYTES: usize = 1 << 20;
/// The largest state: a machine's is some tens of KiB, and 256 MiB of a virtio GPU's pictures; 16 MiB of event queue are beyond any guest.
const STATE_MAX: u64 = 1 << 30;

/// Why a snapshot was refused.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The host refused.
    #[error("{}", crate::error::plain(.0))]
    Io(#[from] io::Error),
    /// Some other file.
    #[error("not a snapshot")]
    Foreign,
    /// Another layout.
    #[error("a snapshot of format {0}; this fencepost reads format {FORMAT}")]
    Format(u32),
    /// Another length than it says.
    #[error("cut off: {actual} of {expected} bytes")]
    Length {
        /// Bytes that there should be.
        expected: u64,
        /// Bytes that there are.
        actual: u64,
    },
    /// A checksum that does not agree.
    #[error("damaged: its {0} does not have the checksum that was saved")]
    Damaged(&'static str),
}

/// The header's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    memory_bytes: u64,
    state_bytes: u64,
    /// CRC-32 of memory's checksums and of the state.
    sums_crc: u32,
    state_crc: u32,
}

impl Header {
    fn sums_at(&self) -> u64 {
        MEMORY_AT.saturating_add(self.memory_bytes)
    }

    fn sums_bytes(&self) -> u64 {
        self.memory_bytes.div_ceil(CHUNK_BYTES as u64).saturating_mul(4)
    }

    fn state_at(&self) -> u64 {
        self.sums_at().saturating_add(self.sums_bytes())
    }

    fn file_bytes(&self) -> u64 {
        self.state_at().saturating_add(self.state_bytes)
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &MAGIC);
        put(8, &FORMAT.to_le_bytes());
        put(16, &self.memory_bytes.to_le_bytes());
        put(24, &self.state_bytes.to_le_bytes());
        put(32, &self.sums_crc.to_le_bytes());
        put(36, &self.state_crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..HEADER_BYTES - 4]);
        bytes[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FileError> {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        if bytes[..8] != MAGIC {
            return Err(FileError::Foreign);
        }
        if u32_at(8) != FORMAT {
            return Err(FileError::Format(u32_at(8)));
        }
        if crc32fast::hash(&bytes[..HEADER_BYTES - 4]) != u32_at(HEADER_BYTES - 4) {
            return Err(FileError::Damaged("header"));
        }
        Ok(Header {
            memory_bytes: u64_at(16),
            state_bytes: u64_at(24),
            sums_crc: u32_at(32),
            state_crc: u32_at(36),
        })
    }
}

/// Writes `memory` and `state` as the snapshot `path`, which is there whole or not at all.
///
/// # Errors
///
/// Those of the host.
pub fn write(path: &Path, memory: &GuestMemoryMmap, state: &[u8]) -> io::Result<()> {
    whole::write(path, |file| {
        let mut sums = Vec::new();
        let mut at = MEMORY_AT;
        for region in memory.iter() {
            at = write_region(file, at, region, &mut sums)?;
        }
        let header = Header {
            memory_bytes: at - MEMORY_AT,
            state_bytes: state.len() as u64,
            sums_crc: crc32fast::hash(&sums),
            state_crc: crc32fast::hash(state),
        };
        file.write_all_at(&sums, header.sums_at())?;
        file.write_all_at(state, header.state_at())?;
        file.write_all_at(&header.encode(), 0)?;
        file.set_len(header.file_bytes())
    })
}

/// Writes the pages of a region that are not zero; gives where the next region goes. Regions are whole MiB but for the last.
fn write_region(file: &File, at: u64, region: &GuestRegionMmap, sums: &mut Vec<u8>) -> io::Result<u64> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    while offset < region.len() {
        let part = &mut chunk[..CHUNK_BYTES.min((region.len() - offset) as usize)];
        let read = region.read_slice(part, vm_memory::MemoryRegionAddress(offset));
        read.map_err(io::Error::other)?;
        sums.extend_from_slice(&crc32fast::hash(part).to_le_bytes());
        for (start, run) in runs(part) {
            file.write_all_at(run, at + offset + start as u64)?;
        }
        offset += part.len() as u64;
    }
    Ok(at + region.len())
}

/// The runs of pages that are not all zero, with where each begins.
fn runs(bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let is_used = |page: usize| {
        let page = &bytes[page * PAGE_BYTES..bytes.len().min((page + 1) * PAGE_BYTES)];
        page.chunks(16).any(|part| part != &[0; 16][..part.len()])
    };
    let pages = bytes.len().div_ceil(PAGE_BYTES);
    let mut runs = Vec::new();
    let mut first = 0;
    while first < pages {
        let mut end = first;
        while end < pages && is_used(end) {
            end += 1;
        }
        if end > first {
            runs.push((first * PAGE_BYTES, &bytes[first * PAGE_BYTES..bytes.len().min(end * PAGE_BYTES)]));
        }
        first = end + 1;
    }
    runs
}

/// An opened snapshot: its header, its state and the checksums of its memory have been checked.
pub struct Snapshot {
    file: Arc<File>,
    header: Header,
    sums: Vec<u32>,
    state: Vec<u8>,
}

impl Snapshot {
    /// Opens the snapshot `path`.
    ///
    /// # Errors
    ///
    /// [`FileError`], each a reason to refuse the file.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path)?;
        let actual = file.metadata()?;
        if !actual.is_file() {
            return Err(FileError::Foreign);
        }
        let mut bytes = [0; HEADER_BYTES];
        file.read_exact_at(&mut bytes, 0).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => FileError::Foreign,
            _ => error.into(),
        })?;
        let header = Header::decode(&bytes)?;
        let (expected, actual) = (header.file_bytes(), actual.len());
        if expected != actual || header.state_bytes > STATE_MAX || header.memory_bytes > MEMORY_MAX_BYTES {
            return Err(FileError::Length { expected, actual });
        }
        let sums = read_checked(&file, header.sums_at(), header.sums_bytes(), header.sums_crc, "checksums")?;
        let state = read_checked(&file, header.state_at(), header.state_bytes, header.state_crc, "state")?;
        let sums =
            sums.chunks_exact(4).map(|sum| u32::from_le_bytes(sum.try_into().expect("four bytes"))).collect();
        Ok(Snapshot { file: Arc::new(file), header, sums, state })
    }

    /// The bytes of the machine's state.
    pub fn state(&self) -> &[u8] {
        &self.state
    }

    /// The file.
    pub fn shared_file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Bytes of guest RAM.
    pub fn memory_bytes(&self) -> u64 {
        self.header.memory_bytes
    }

    /// Where the file has data, in ascending order: from which byte to which. What lies between reads as zeroes.
    pub fn data_ranges(&self) -> Vec<(u64, u64)> {
        let (mut ranges, mut at) = (Vec::new(), 0);
        let len = self.header.file_bytes();
        while at < len {
            let start = match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
                Ok(start) => start,
                Err(rustix::io::Errno::NXIO) => break,
                // A host that cannot tell has data everywhere.
                Err(_) => at,
            };
            let end = rustix::fs::seek(&self.file, SeekFrom::Hole(start)).unwrap_or(len);
            ranges.push((start, end));
            at = end;
        }
        ranges
    }

    /// Compares memory with its checksums.
    ///
    /// # Errors
    ///
    /// [`FileError::Damaged`] if it is not what was saved.
    pub fn check_memory(&self) -> Result<(), FileError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut zero = None;
        for (index, &sum) in self.sums.iter().enumerate() {
            let offset = index as u64 * CHUNK_BYTES as u64;
            let len = CHUNK_BYTES.min((self.header.memory_bytes - offset) as usize);
            let part = &mut chunk[..len];
            let at = MEMORY_AT + offset;
            let actual = if is_hole(&self.file, at, len as u64) {
                *zero.get_or_insert_with(|| crc32fast::hash(&vec![0; CHUNK_BYTES][..len]))
            } else {
                self.file.read_exact_at(part, at)?;
                crc32fast::hash(part)
            };
            if actual != sum {
                return Err(FileError::Damaged("memory"));
            }
        }
        Ok(())
    }

    /// Maps memory from the file: what the guest writes stays with this mapping, what it does not is read when it is first
    /// touched, and shared with every other machine that was restored from this file.
    ///
    /// # Errors
    ///
    /// Those of the host.
    pub fn map_memory(&self) -> io::Result<GuestMemoryMmap> {
        let mut at = MEMORY_AT;
        let mut regions = Vec::new();
        for (start, bytes) in ranges(self.header.memory_bytes) {
            regions.push(Arc::new(self.map_region(start, bytes, at)?));
            at += bytes as u64;
        }
        GuestMemoryMmap::from_arc_regions(regions).map_err(io::Error::other)
    }

    fn map_region(&self, start: GuestAddress, bytes: usize, at: u64) -> io::Result<GuestRegionMmap> {
        let region = MmapRegionBuilder::new(bytes)
            .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
            .with_mmap_flags(libc::MAP_PRIVATE | libc::MAP_NORESERVE)
            .with_file_offset(FileOffset::from_arc(Arc::clone(&self.file), at))
            .build()
            .map_err(io::Error::other)?;
        GuestRegionMmap::new(region, start)
            .ok_or_else(|| io::Error::other(format!("RAM at {:#x} overflows", start.raw_value())))
    }
}

fn read_checked(file: &File, at: u64, len: u64, crc: u32, what: &'static str) -> Result<Vec<u8>, FileError> {
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, at)?;
    if crc32fast::hash(&bytes) == crc { Ok(bytes) } else { Err(FileError::Damaged(what)) }
}

/// Whether the file has no data in `at .. at + len`. A host that cannot tell has data everywhere.
fn is_hole(file: &File, at: u64, len: u64) -> bool {
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(data) => data >= at + len,
        // No data up to the file's end.
        Err(error) => error == rustix::io::Errno::NXIO,
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
