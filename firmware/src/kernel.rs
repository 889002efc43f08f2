//! Kernel images: an ELF `vmlinux`, or a bzImage that is unpacked here, on the host.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use linux_loader::bootparam::setup_header;
use linux_loader::loader::KernelLoader;
use vm_memory::{ByteValued, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::unpack::{UnpackError, unpack};

/// Offset of `setup_header` in a bzImage and in `boot_params` (Documentation/arch/x86/boot.rst).
const SETUP_HEADER: usize = 0x1f1;
/// `HdrS` and its offset.
const HEADER_MAGIC: (usize, &[u8; 4]) = (0x202, b"HdrS");
/// The first protocol version with `payload_offset`.
const PROTOCOL_WITH_PAYLOAD: u16 = 0x0208;
/// `xloadflags` bit 0: the kernel has a 64-bit entry (protocol 2.12).
const XLF_KERNEL_64: u16 = 1;
/// A larger bzImage is refused: a stock one is about 12 MiB.
const MAX_FILE: u64 = 1 << 30;

/// Why a file is not taken as a kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The file could not be read.
    #[error("cannot read the kernel {name}: {error}")]
    Read {
        /// The file.
        name: String,
        /// The system's word.
        error: io::Error,
    },
    /// The file is not a kernel that can be booted.
    #[error("{name} is not a kernel: {reason}")]
    NotAKernel {
        /// The file.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A segment does not fit into the guest's memory.
    #[error(
        "the guest's memory is too small: the kernel {name} needs {kernel_end:#x} bytes, there are {memory:#x}"
    )]
    TooLittleMemory {
        /// The file.
        name: String,
        /// The end of the kernel in guest-physical memory.
        kernel_end: u64,
        /// The end of low memory.
        memory: u64,
    },
}

#[derive(Debug)]
enum Elf {
    File(File),
    Bytes(Vec<u8>),
}

/// A kernel that has been recognised, ready to be placed in guest memory.
#[derive(Debug)]
pub struct KernelImage {
    name: String,
    elf: Elf,
    setup_header: Option<setup_header>,
    extent: Range<u64>,
    entry: u64,
}

/// What the first bytes of a file say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageKind {
    /// An ELF file: taken as it is.
    Vmlinux,
    /// A bzImage: its payload must be unpacked.
    BzImage,
}

impl ImageKind {
    /// Recognises a kernel by its first bytes (at least 0x206 of them for a bzImage).
    pub fn of(head: &[u8]) -> Option<ImageKind> {
        if head.starts_with(b"\x7fELF") {
            Some(ImageKind::Vmlinux)
        } else if head.get(HEADER_MAGIC.0..HEADER_MAGIC.0 + 4) == Some(HEADER_MAGIC.1) {
            Some(ImageKind::BzImage)
        } else {
            None
        }
    }
}

impl KernelImage {
    /// Opens a `vmlinux` or a bzImage, which is unpacked.
    ///
    /// # Errors
    /// [`KernelError`], naming the file.
    pub fn open(path: &Path) -> Result<KernelImage, KernelError> {
        let name = path.display().to_string();
        let (mut file, head) = open_with_head(path, &name)?;
        match ImageKind::of(&head) {
            Some(ImageKind::Vmlinux) => KernelImage::from_elf(name, Elf::File(file), None),
            Some(ImageKind::BzImage) => {
                let mut bytes = Vec::new();
                let read = file.rewind().and_then(|()| file.take(MAX_FILE).read_to_end(&mut bytes));
                read.map_err(|error| KernelError::Read { name: name.clone(), error })?;
                KernelImage::from_bytes(name, &bytes)
            }
            None => Err(not_a_kernel(&name, "neither an ELF vmlinux nor a bzImage")),
        }
    }

    /// Opens a bzImage whose payload has been unpacked before: `vmlinux` is what [`KernelImage::vmlinux_of`] gave for
    /// the same `path`. A caller that keeps the unpacked file saves the time of unpacking.
    ///
    /// # Errors
    /// [`KernelError`], naming the file.
    pub fn open_unpacked(path: &Path, vmlinux: &Path) -> Result<KernelImage, KernelError> {
        let name = path.display().to_string();
        let (_, head) = open_with_head(path, &name)?;
        let header = match ImageKind::of(&head) {
            Some(ImageKind::BzImage) => Some(parse_setup_header(&name, &head)?),
            _ => None,
        };
        let file = File::open(vmlinux)
            .map_err(|error| KernelError::Read { name: vmlinux.display().to_string(), error })?;
        KernelImage::from_elf(name, Elf::File(file), header)
    }

    /// A kernel from the bytes of a `vmlinux` or a bzImage; `name` is for messages.
    ///
    /// # Errors
    /// [`KernelError::NotAKernel`].
    pub fn from_bytes(name: String, bytes: &[u8]) -> Result<KernelImage, KernelError> {
        match ImageKind::of(bytes) {
            Some(ImageKind::Vmlinux) => KernelImage::from_elf(name, Elf::Bytes(bytes.to_vec()), None),
            Some(ImageKind::BzImage) => {
                let header = parse_setup_header(&name, bytes)?;
                let vmlinux = KernelImage::vmlinux_of(&name, bytes)?;
                KernelImage::from_elf(name, Elf::Bytes(vmlinux), Some(header))
            }
            None => Err(not_a_kernel(&name, "neither an ELF vmlinux nor a bzImage")),
        }
    }

    /// Unpacks the ELF `vmlinux` out of a bzImage's bytes.
    ///
    /// # Errors
    /// [`KernelError::NotAKernel`].
    pub fn vmlinux_of(name: &str, bz_image: &[u8]) -> Result<Vec<u8>, KernelError> {
        let payload = payload_of(name, bz_image)?;
        let unpacked = unpack(payload).map_err(|e: UnpackError| not_a_kernel(name, &e.to_string()))?;
        if unpacked.starts_with(b"\x7fELF") {
            Ok(unpacked)
        } else {
            Err(not_a_kernel(name, "its payload unpacks to something that is not an ELF file"))
        }
    }

    fn from_elf(
        name: String,
        mut elf: Elf,
        header: Option<setup_header>,
    ) -> Result<KernelImage, KernelError> {
        let parsed = match &mut elf {
            Elf::File(file) => parse_elf(file),
            Elf::Bytes(bytes) => parse_elf(&mut io::Cursor::new(bytes.as_slice())),
        };
        let (entry, extent) = parsed.map_err(|reason| not_a_kernel(&name, &reason))?;
        Ok(KernelImage { name, elf, setup_header: header, extent, entry })
    }

    /// The file's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bzImage's setup header, when the kernel was one.
    pub fn setup_header(&self) -> Option<&setup_header> {
        self.setup_header.as_ref()
    }

    /// The guest-physical addresses that the kernel takes, uninitialised data included.
    pub fn extent(&self) -> Range<u64> {
        self.extent.clone()
    }

    /// The guest-physical address of the 64-bit entry.
    pub fn entry(&self) -> u64 {
        self.entry
    }

    /// Places the kernel's segments at their physical addresses.
    ///
    /// # Errors
    /// [`KernelError::TooLittleMemory`] when they do not fit, [`KernelError::NotAKernel`] when the file is cut off.
    pub(crate) fn place(&mut self, memory: &GuestMemoryMmap<()>) -> Result<(), KernelError> {
        let length = (self.extent.end - self.extent.start) as usize;
        if !memory.check_range(GuestAddress(self.extent.start), length) {
            return Err(KernelError::TooLittleMemory {
                name: self.name.clone(),
                kernel_end: self.extent.end,
                memory: crate::boot_params::low_memory_end(memory),
            });
        }
        let loaded = match &mut self.elf {
            Elf::File(file) => linux_loader::loader::Elf::load(memory, None, file, None),
            Elf::Bytes(bytes) => {
                linux_loader::loader::Elf::load(memory, None, &mut io::Cursor::new(bytes.as_slice()), None)
            }
        };
        loaded.map(drop).map_err(|error| not_a_kernel(&self.name, &format!("cannot load it ({error})")))
    }
}

fn open_with_head(path: &Path, name: &str) -> Result<(File, Vec<u8>), KernelError> {
    let failed = |error| KernelError::Read { name: name.to_owned(), error };
    let mut file = File::open(path).map_err(failed)?;
    let mut head = Vec::new();
    file.by_ref().take(0x1000).read_to_end(&mut head).map_err(failed)?;
    Ok((file, head))
}

fn not_a_kernel(name: &str, reason: &str) -> KernelError {
    KernelError::NotAKernel { name: name.to_owned(), reason: reason.to_owned() }
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

fn payload_of<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a [u8], KernelError> {
    let header = parse_setup_header(name, bytes)?;
    let setup_sectors = if header.setup_sects == 0 { 4 } else { usize::from(header.setup_sects) };
    let start = (setup_sectors + 1) * 512 + header.payload_offset as usize;
    let payload = start.checked_add(header.payload_length as usize).and_then(|end| bytes.get(start..end));
    payload.ok_or_else(|| not_a_kernel(name, "the bzImage is cut off: its payload ends beyond the file"))
}

/// The ELF header (System V ABI, "ELF Header"; little endian, 64-bit).
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct ElfHeader {
    magic: [u8; 4],
    class: u8,
    data: u8,
    other_identification: [u8; 10],
    kind: u16,
    machine: u16,
    version: u32,
    entry: u64,
    program_headers: u64,
    section_headers: u64,
    flags: u32,
    size: u16,
    program_header_size: u16,
    program_header_count: u16,
    section_fields: [u16; 3],
}

/// A program header.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    virtual_address: u64,
    physical_address: u64,
    file_size: u64,
    memory_size: u64,
    alignment: u64,
}

/// The physical entry and extent of an x86-64 ELF executable.
fn parse_elf<R: Read + Seek>(file: &mut R) -> Result<(u64, Range<u64>), String> {
    const CLASS_64: u8 = 2;
    const LITTLE_ENDIAN: u8 = 1;
    const EXECUTABLE: u16 = 2;
    const SHARED: u16 = 3;
    const X86_64: u16 = 62;
    const LOAD: u32 = 1;
    let cut_off = |_| "the ELF file is cut off".to_owned();
    let mut header = ElfHeader::new_zeroed();
    file.rewind().map_err(cut_off)?;
    file.read_exact(header.as_mut_bytes()).map_err(cut_off)?;
    if (header.class, header.data, header.machine) != (CLASS_64, LITTLE_ENDIAN, X86_64) {
        return Err("the ELF file is not for x86-64".to_owned());
    }
    if ![EXECUTABLE, SHARED].contains(&header.kind) {
        return Err("the ELF file is not an executable (an object file or a module?)".to_owned());
    }
    if usize::from(header.program_header_size) != size_of::<ProgramHeader>() {
        return Err("the ELF file has no program headers of the right size".to_owned());
    }
    file.seek(SeekFrom::Start(header.program_headers)).map_err(cut_off)?;
    let (mut start, mut end) = (u64::MAX, 0);
    for _ in 0..header.program_header_count {
        let mut segment = ProgramHeader::new_zeroed();
        file.read_exact(segment.as_mut_bytes()).map_err(cut_off)?;
        if segment.kind == LOAD && segment.memory_size.max(segment.file_size) > 0 {
            let segment_end =
                segment.physical_address.checked_add(segment.memory_size.max(segment.file_size));
            start = start.min(segment.physical_address);
            end = end.max(segment_end.ok_or("a segment's end passes the address space")?);
        }
    }
    if !(start..end).contains(&header.entry) {
        return Err(format!("its entry {:#x} is in none of its segments (a program?)", header.entry));
    }
    if start < crate::layout::ONE_MIB {
        return Err(format!("it wants to be loaded at {start:#x}, below 1 MiB"));
    }
    Ok((header.entry, start..end))
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
pub(crate) mod tests;
