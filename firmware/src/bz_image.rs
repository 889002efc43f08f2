//! bzImages: the setup header, and where the payload lies (Linux, Documentation/arch/x86/boot.rst).

use std::fs::File;
use std::io::Read;

use linux_loader::bootparam::setup_header;
use vm_memory::ByteValued;

use crate::kernel::{KernelError, not_a_kernel};
use crate::packed::{KERNEL_MAX, Packed};

/// Offset of `setup_header` in a bzImage and in `boot_params`.
pub(crate) const SETUP_HEADER: usize = 0x1f1;
/// `HdrS` and its offset.
pub(crate) const HEADER_MAGIC: (usize, &[u8; 4]) = (0x202, b"HdrS");
/// The first protocol version with `payload_offset`.
const PROTOCOL_WITH_PAYLOAD: u16 = 0x0208;
/// The first protocol version with `init_size`.
const PROTOCOL_WITH_INIT_SIZE: u16 = 0x020a;
/// `xloadflags` bit 0: the kernel has a 64-bit entry (protocol 2.12).
const XLF_KERNEL_64: u16 = 1;
/// The longest text of a version that is looked at, in bytes.
const VERSION_MAX: usize = 256;
/// Where it ends at most: the header has its offset from 0x200 in 16 bits.
const VERSION_END: usize = 0x200 + 0xffff + VERSION_MAX;
pub(crate) const CUT_OFF: &str = "the bzImage is cut off: its payload ends beyond the file";

/// Whether a file that begins with `head` is a bzImage.
pub(crate) fn is_one(head: &[u8]) -> bool {
    head.get(HEADER_MAGIC.0..HEADER_MAGIC.0 + 4) == Some(HEADER_MAGIC.1)
}

/// Reads what `head` is the beginning of, as far as the payload reaches. `memory` is the guest's, in bytes.
pub(crate) fn read(name: &str, head: Vec<u8>, rest: impl Read, memory: u64) -> Result<Packed, KernelError> {
    let mut image = described(name, head, memory)?;
    read_to(image.payload.end, &mut image, rest)?;
    Ok(image)
}

/// The same of a regular file that has been read to the end of `head`, whose payload is left there.
pub(crate) fn from_file(name: &str, head: Vec<u8>, file: File, memory: u64) -> Result<Packed, KernelError> {
    let mut image = described(name, head, memory)?;
    let end = image.payload.end;
    let length = file.metadata().map_err(|error| KernelError::Read { name: name.to_owned(), error })?.len();
    if length < end as u64 {
        return Err(not_a_kernel(name, CUT_OFF));
    }
    read_to(end.min(VERSION_END), &mut image, &file)?;
    image.file = Some(file);
    Ok(image)
}

/// What the header says, with no more read than that.
fn described(name: &str, head: Vec<u8>, memory: u64) -> Result<Packed, KernelError> {
    let header = parse_setup_header(name, &head)?;
    let setup_sectors = if header.setup_sects == 0 { 4 } else { u64::from(header.setup_sects) };
    let start = (setup_sectors + 1) * 512 + u64::from(header.payload_offset);
    let end = start + u64::from(header.payload_length);
    // The kernel unpacks itself within `init_size` bytes.
    let own = if header.version < PROTOCOL_WITH_INIT_SIZE { u32::MAX } else { header.init_size };
    let most = u64::from(own).min(KERNEL_MAX);
    let image = Packed {
        name: name.to_owned(),
        header: Some(header),
        bytes: head,
        file: None,
        payload: start as usize..end as usize,
        limit: most.min(memory),
        limited_by_memory: memory < most,
    };
    if end - start > image.limit {
        return Err(image.too_large("is longer than"));
    }
    Ok(image)
}

/// Reads from `rest` until the image has all bytes before `end`.
fn read_to(end: usize, image: &mut Packed, rest: impl Read) -> Result<(), KernelError> {
    let missing = end.saturating_sub(image.bytes.len());
    // Only what is read takes memory; a host that is short of it fails when it is needed.
    let _ = image.bytes.try_reserve_exact(missing);
    rest.take(missing as u64)
        .read_to_end(&mut image.bytes)
        .map_err(|error| KernelError::Read { name: image.name.clone(), error })?;
    if image.bytes.len() < end {
        return Err(not_a_kernel(&image.name, CUT_OFF));
    }
    image.bytes.truncate(end);
    Ok(())
}

/// The first word of the version that the header points to.
pub(crate) fn release<'a>(header: &setup_header, bytes: &'a [u8]) -> Option<&'a str> {
    let start = (header.kernel_version != 0).then(|| usize::from(header.kernel_version) + 0x200)?;
    let text = bytes.get(start..bytes.len().min(start + VERSION_MAX))?;
    let text = &text[..text.iter().position(|byte| *byte == 0)?];
    std::str::from_utf8(text).ok()?.split_whitespace().next()
}

fn parse_setup_header(name: &str, bytes: &[u8]) -> Result<setup_header, KernelError> {
    let end = SETUP_HEADER + size_of::<setup_header>();
    let raw = bytes.get(SETUP_HEADER..end).ok_or_else(|| not_a_kernel(name, "the bzImage is cut off"))?;
    let mut header = setup_header::default();
    header.as_mut_slice().copy_from_slice(raw);
    let version = header.version;
    if version < PROTOCOL_WITH_PAYLOAD {
        return Err(not_a_kernel(name, &format!("its boot protocol {version:#x} is older than 2.08")));
    }
    if header.xloadflags & XLF_KERNEL_64 == 0 {
        return Err(not_a_kernel(name, "it is not a 64-bit kernel"));
    }
    Ok(header)
}
