//! bzImages: the setup header, and the payload that is unpacked on the host (Linux, Documentation/arch/x86/boot.rst).

use std::io::Read;
use std::ops::Range;

use linux_loader::bootparam::setup_header;
use vm_memory::ByteValued;

use crate::kernel::{KernelError, KernelImage, not_a_kernel};
use crate::unpack::{UnpackError, unpack};

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
/// A larger kernel is refused, unpacked or packed, in bytes: a stock one has some 60 MiB unpacked.
const KERNEL_MAX: u64 = 1 << 30;
/// The longest text of a version that is looked at, in bytes.
const VERSION_MAX: usize = 256;

/// Whether a file that begins with `head` is a bzImage.
pub(crate) fn is_one(head: &[u8]) -> bool {
    head.get(HEADER_MAGIC.0..HEADER_MAGIC.0 + 4) == Some(HEADER_MAGIC.1)
}

/// A bzImage, read as far as its payload reaches.
#[derive(Debug)]
pub struct BzImage {
    name: String,
    header: setup_header,
    /// From the file's start to the payload's end.
    bytes: Vec<u8>,
    payload: Range<usize>,
    /// The most that the payload may unpack to, in bytes, and whether the guest's memory sets that.
    limit: u64,
    limited_by_memory: bool,
}

impl BzImage {
    /// Reads what `head` is the beginning of. `memory` is the guest's, in bytes.
    pub(crate) fn read(
        name: String,
        head: Vec<u8>,
        rest: impl Read,
        memory: u64,
    ) -> Result<BzImage, KernelError> {
        let header = parse_setup_header(&name, &head)?;
        let setup_sectors = if header.setup_sects == 0 { 4 } else { u64::from(header.setup_sects) };
        let start = (setup_sectors + 1) * 512 + u64::from(header.payload_offset);
        let end = start + u64::from(header.payload_length);
        // The kernel unpacks itself within `init_size` bytes.
        let own = if header.version < PROTOCOL_WITH_INIT_SIZE { u32::MAX } else { header.init_size };
        let most = u64::from(own).min(KERNEL_MAX);
        let (limit, limited_by_memory) = (most.min(memory), memory < most);
        let mut image = BzImage {
            name,
            header,
            bytes: head,
            payload: start as usize..end as usize,
            limit,
            limited_by_memory,
        };
        if end - start > limit {
            return Err(image.too_large("is longer than"));
        }
        let missing = end.saturating_sub(image.bytes.len() as u64);
        // Only what is read takes memory; a host that is short of it fails when it is needed.
        let _ = image.bytes.try_reserve_exact(missing as usize);
        rest.take(missing)
            .read_to_end(&mut image.bytes)
            .map_err(|error| KernelError::Read { name: image.name.clone(), error })?;
        if (image.bytes.len() as u64) < end {
            return Err(not_a_kernel(
                &image.name,
                "the bzImage is cut off: its payload ends beyond the file",
            ));
        }
        image.bytes.truncate(end as usize);
        Ok(image)
    }

    /// The file's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The setup header.
    pub fn header(&self) -> &setup_header {
        &self.header
    }

    /// The bytes that decide which kernel this is.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The kernel's release, such as `6.1.0-18-amd64`: the first word of the version that the header points to.
    pub fn release(&self) -> Option<&str> {
        let start =
            (self.header.kernel_version != 0).then(|| usize::from(self.header.kernel_version) + 0x200)?;
        let text = self.bytes.get(start..self.bytes.len().min(start + VERSION_MAX))?;
        let text = &text[..text.iter().position(|byte| *byte == 0)?];
        std::str::from_utf8(text).ok()?.split_whitespace().next()
    }

    /// Unpacks the ELF `vmlinux`.
    ///
    /// # Errors
    /// [`KernelError::NotAKernel`], or [`KernelError::TooLittleMemory`] when it would be larger than the guest's memory.
    pub fn unpack(&self) -> Result<Vec<u8>, KernelError> {
        let unpacked =
            unpack(&self.bytes[self.payload.clone()], self.limit).map_err(|error| match error {
                UnpackError::TooLarge(_) => self.too_large("unpacks to more than"),
                other => not_a_kernel(&self.name, &other.to_string()),
            })?;
        if unpacked.starts_with(b"\x7fELF") {
            Ok(unpacked)
        } else {
            Err(not_a_kernel(&self.name, "its payload unpacks to something that is not an ELF file"))
        }
    }

    /// The kernel that [`BzImage::unpack`] gave.
    ///
    /// # Errors
    /// [`KernelError::NotAKernel`].
    pub fn image(&self, vmlinux: Vec<u8>) -> Result<KernelImage, KernelError> {
        KernelImage::from_bytes(self.name.clone(), vmlinux, Some(self.header))
    }

    fn too_large(&self, how: &str) -> KernelError {
        let limit = self.limit;
        if self.limited_by_memory {
            let kernel_end = u64::from(self.header.init_size).saturating_add(self.header.pref_address);
            return KernelError::TooLittleMemory { name: self.name.clone(), kernel_end, memory: limit };
        }
        let whose = if limit == KERNEL_MAX { "that any kernel has" } else { "that its header declares" };
        not_a_kernel(&self.name, &format!("its payload {how} the {limit} bytes {whose}"))
    }
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
