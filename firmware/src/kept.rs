//! An unpacked kernel cached in a file: a vmlinux with a seal at its end, so that a damaged file is never booted.
//!
//! The seal is 16 bytes of magic, the CRC-32 of the file's first 4096 bytes (the headers) and the CRC-32 of what the
//! segments hold, little endian. The headers are checked when the file is opened; the segments are checked as they are
//! loaded, which costs a tenth of reading the file twice. It is a guard against damage, not against an enemy.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};

use crate::elf;
use crate::kernel::{HEAD_BYTES, KernelImage};
use crate::packed::Packed;

const MAGIC: &[u8; 16] = b"fencepost kept 1";
const SEAL_BYTES: usize = 24;

/// What to write behind `vmlinux` when it is kept; `None` for one whose headers are not at its beginning.
pub fn seal(vmlinux: &[u8]) -> Option<[u8; SEAL_BYTES]> {
    let layout =
        elf::parse(&mut Cursor::new(vmlinux)).ok().filter(|layout| layout.headers_end <= HEAD_BYTES)?;
    let mut segments = crc32fast::Hasher::new();
    for segment in &layout.in_file {
        segments.update(vmlinux.get(segment.start as usize..segment.end as usize)?);
    }
    let head = crc32fast::hash(&vmlinux[..vmlinux.len().min(HEAD_BYTES as usize)]);
    let mut seal = [0; SEAL_BYTES];
    seal[..16].copy_from_slice(MAGIC);
    seal[16..20].copy_from_slice(&head.to_le_bytes());
    seal[20..].copy_from_slice(&segments.finalize().to_le_bytes());
    Some(seal)
}

/// Opens the cached kernel of `packed`. `None` if its headers are damaged.
pub fn open(packed: &Packed, mut file: File) -> Option<KernelImage> {
    let length = file.metadata().ok()?.len().checked_sub(SEAL_BYTES as u64)?;
    let mut seal = [0; SEAL_BYTES];
    file.seek(SeekFrom::Start(length)).ok()?;
    file.read_exact(&mut seal).ok()?;
    let word = |at: usize| u32::from_le_bytes([seal[at], seal[at + 1], seal[at + 2], seal[at + 3]]);
    let mut head = vec![0; length.min(HEAD_BYTES) as usize];
    file.rewind().ok()?;
    file.read_exact(&mut head).ok()?;
    if &seal[..16] != MAGIC || crc32fast::hash(&head) != word(16) {
        return None;
    }
    KernelImage::from_kept(packed.name().to_owned(), file, packed.header().copied(), word(20)).ok()
}
