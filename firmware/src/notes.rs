//! ELF notes: where a kernel can be entered by PVH (Xen, docs/misc/pvh.pandoc and xen/include/public/elfnote.h).

use std::io::{Read, Seek, SeekFrom};

/// `XEN_ELFNOTE_PHYS32_ENTRY`: the address of an entry in 32-bit protected mode without paging.
const PHYS32_ENTRY: u32 = 18;
const OWNER: &[u8] = b"Xen\0";
/// The most of a segment of notes that is looked at, in bytes: Linux has some hundred.
const NOTES_MAX: u64 = 64 << 10;

/// The PVH entry among the `size` bytes of notes at `offset`, if there is one.
pub(crate) fn phys32_entry<R: Read + Seek>(file: &mut R, offset: u64, size: u64) -> Option<u64> {
    let mut notes = Vec::new();
    file.seek(SeekFrom::Start(offset)).ok()?;
    file.take(size.min(NOTES_MAX)).read_to_end(&mut notes).ok()?;
    let mut rest = notes.as_slice();
    loop {
        let (header, behind) = rest.split_first_chunk::<12>()?;
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (owner, behind) = field(behind, word(0))?;
        let (value, behind) = field(behind, word(4))?;
        if word(8) == PHYS32_ENTRY && owner == OWNER {
            let entry = value.get(..4)?;
            return Some(u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]).into());
        }
        rest = behind;
    }
}

/// A field of `length` bytes, and what follows it and its padding to a multiple of 4.
fn field(bytes: &[u8], length: u32) -> Option<(&[u8], &[u8])> {
    let length = length as usize;
    Some((bytes.get(..length)?, bytes.get(length.checked_next_multiple_of(4)?..).unwrap_or_default()))
}
