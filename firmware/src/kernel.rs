//! Kernel images: an ELF `vmlinux`, and what one may be packed in, which is unpacked here, on the host.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::ops::Range;

use linux_loader::bootparam::setup_header;
use linux_loader::loader::KernelLoader;
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use crate::bz_image;
use crate::elf::{self, Layout};
use crate::foreign::{MOST_BYTES, what_is};
use crate::packed::{Packed, Whole, drain};
use crate::parts;
use crate::unified::{self, Sections, Unified};
use crate::unpack::Method;

/// Bytes that a kernel is recognised by.
pub(crate) const HEAD_BYTES: u64 = 4096;
/// What a stream may hold before and between a vmlinux's segments, in bytes.
const STREAM_PADDING_MAX: u64 = 64 << 20;

/// Why a file is not taken as a kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The file could not be read.
    #[error("cannot read the kernel {name}: {error}")]
    Read {
        /// The file.
        name: String,
        /// The system's error.
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
    /// The cached file is damaged: the kernel must be unpacked again.
    #[error("the kept, unpacked kernel is damaged")]
    KeptDamaged,
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
    layout: Layout,
    /// CRC-32 of what the segments hold, where the file was kept from an earlier run.
    checksum: Option<u32>,
}

/// What `--kernel` names.
#[derive(Debug)]
pub enum KernelFile {
    /// An ELF file: taken as it is.
    Vmlinux(KernelImage),
    /// A bzImage, whose payload must be unpacked, or a vmlinux that is packed as a whole.
    Packed(Packed),
    /// A unified kernel image.
    Unified(Unified),
}

/// What may still be in what: a kernel's wrappers are taken once each.
#[derive(Clone, Copy)]
struct Wrappers {
    packed: bool,
    unified: bool,
}

impl KernelFile {
    /// Reads a kernel's file or pipe, once and from front to back, and no more of it than the kernel needs. `memory` is the
    /// guest's, in bytes: no kernel can be larger.
    ///
    /// # Errors
    /// [`KernelError`], naming the file.
    pub fn read(name: String, mut file: File, memory: u64) -> Result<KernelFile, KernelError> {
        let mut head = Vec::new();
        let failed = |error| KernelError::Read { name: name.clone(), error };
        file.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_file() {
            if head.starts_with(b"\x7fELF") {
                return KernelImage::from_elf(name, Elf::File(file), None).map(KernelFile::Vmlinux);
            }
            if bz_image::is_one(&head) && file.stream_position().map_err(failed)? == head.len() as u64 {
                return bz_image::from_file(&name, head, file, memory).map(KernelFile::Packed);
            }
        }
        recognise(&name, head, &mut file, memory, Wrappers { packed: true, unified: true })
    }
}

/// Reads a kernel that can be read once, `head` being its beginning.
fn recognise(
    name: &str,
    mut head: Vec<u8>,
    rest: &mut dyn Read,
    memory: u64,
    wrappers: Wrappers,
) -> Result<KernelFile, KernelError> {
    if bz_image::is_one(&head) {
        return bz_image::read(name, head, rest, memory).map(KernelFile::Packed);
    }
    if head.starts_with(b"\x7fELF") {
        let vmlinux = vmlinux_from_stream(name, head, rest, memory)?;
        return KernelImage::from_bytes(name.to_owned(), vmlinux, None).map(KernelFile::Vmlinux);
    }
    if wrappers.unified && unified::may_be(&head) {
        return unified(name, head, rest, memory, wrappers);
    }
    match Method::of(&head) {
        Ok(method) if wrappers.packed => {
            let whole = Whole::read(name, method, head, rest)?;
            packed(name, whole, memory, wrappers)
        }
        _ => {
            let missing = MOST_BYTES.saturating_sub(head.len() as u64);
            // What cannot be read does not tell more.
            let _ = rest.take(missing).read_to_end(&mut head);
            Err(not_a_kernel(name, what_is(&head)))
        }
    }
}

/// What is in a file that is packed as a whole.
fn packed(name: &str, whole: Whole, memory: u64, wrappers: Wrappers) -> Result<KernelFile, KernelError> {
    if whole.head.starts_with(b"\x7fELF") {
        return Ok(KernelFile::Packed(whole.vmlinux(name.to_owned(), memory)));
    }
    let inside = Wrappers { packed: false, ..wrappers };
    let read = whole.unpacked(name, |head, rest| {
        let kernel = recognise(name, head, rest, memory, inside)?;
        drain(name, rest)?;
        Ok(kernel)
    });
    read.map_err(|error| match error {
        KernelError::NotAKernel { name, reason } => {
            let reason = format!("it is packed with {}; of what is in it: {reason}", whole.method());
            KernelError::NotAKernel { name, reason }
        }
        other => other,
    })
}

/// A unified image is read whole: what of it boots must fit into the guest's memory.
fn unified(
    name: &str,
    mut file: Vec<u8>,
    rest: &mut dyn Read,
    memory: u64,
    wrappers: Wrappers,
) -> Result<KernelFile, KernelError> {
    let most = memory.saturating_add(STREAM_PADDING_MAX);
    let read = rest.take(most).read_to_end(&mut file);
    read.map_err(|error| KernelError::Read { name: name.to_owned(), error })?;
    if file.len() as u64 > most {
        return Err(not_a_kernel(name, &format!("its EFI program has more than {most} bytes")));
    }
    let sections = unified::sections(&file).map_err(|reason| not_a_kernel(name, &reason))?;
    let (head, mut rest) = sections.linux.split_at(sections.linux.len().min(HEAD_BYTES as usize));
    let inside = Wrappers { unified: false, ..wrappers };
    let kernel = recognise(name, head.to_vec(), &mut rest, memory, inside)?;
    let Sections { initrd, command_line, .. } = sections;
    Ok(KernelFile::Unified(Unified { kernel: Box::new(kernel), initrd, command_line }))
}

/// Reads from a pipe as much as the segments of a vmlinux need; `bytes` is its beginning.
pub(crate) fn vmlinux_from_stream(
    name: &str,
    mut bytes: Vec<u8>,
    mut rest: impl Read,
    memory: u64,
) -> Result<Vec<u8>, KernelError> {
    let most = memory.saturating_add(STREAM_PADDING_MAX);
    let mut read_until = |bytes: &mut Vec<u8>, end: u64| {
        if end > most {
            return Err(not_a_kernel(name, &format!("its segments lie beyond the first {most} bytes")));
        }
        let missing = end.saturating_sub(bytes.len() as u64);
        let read = rest.by_ref().take(missing).read_to_end(bytes);
        read.map(drop).map_err(|error| KernelError::Read { name: name.to_owned(), error })
    };
    if let Some(end) = elf::headers_end(&bytes) {
        read_until(&mut bytes, end)?;
    }
    let layout = elf::parse(&mut io::Cursor::new(&bytes)).map_err(|reason| not_a_kernel(name, &reason))?;
    read_until(&mut bytes, layout.file_end)?;
    Ok(bytes)
}

impl KernelImage {
    /// A kernel from the bytes of a `vmlinux`; `name` is for messages, the header is that of the bzImage it was in.
    ///
    /// # Errors
    /// [`KernelError::NotAKernel`].
    pub fn from_bytes(
        name: String,
        vmlinux: Vec<u8>,
        header: Option<setup_header>,
    ) -> Result<KernelImage, KernelError> {
        KernelImage::from_elf(name, Elf::Bytes(vmlinux), header)
    }

    /// A kernel from a file that was kept, with the CRC-32 that its segments must have.
    pub(crate) fn from_kept(
        name: String,
        file: File,
        header: Option<setup_header>,
        checksum: u32,
    ) -> Result<KernelImage, KernelError> {
        let image = KernelImage::from_elf(name, Elf::File(file), header)?;
        Ok(KernelImage { checksum: Some(checksum), ..image })
    }

    fn from_elf(
        name: String,
        mut elf: Elf,
        setup_header: Option<setup_header>,
    ) -> Result<KernelImage, KernelError> {
        let parsed = match &mut elf {
            Elf::File(file) => elf::parse(file),
            Elf::Bytes(bytes) => elf::parse(&mut io::Cursor::new(bytes.as_slice())),
        };
        let layout = parsed.map_err(|reason| not_a_kernel(&name, &reason))?;
        Ok(KernelImage { name, elf, setup_header, layout, checksum: None })
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
        self.layout.extent.clone()
    }

    /// The guest-physical address of the 64-bit entry.
    pub fn entry(&self) -> u64 {
        self.layout.entry
    }

    /// Places the kernel's segments at their physical addresses.
    ///
    /// # Errors
    /// [`KernelError::TooLittleMemory`] when they do not fit, [`KernelError::NotAKernel`] when the file is cut off,
    /// [`KernelError::KeptDamaged`] when what a kept file gave is not what was kept.
    pub(crate) fn place(&mut self, memory: &GuestMemoryMmap<()>) -> Result<(), KernelError> {
        let extent = &self.layout.extent;
        let length = usize::try_from(extent.end - extent.start).unwrap_or(usize::MAX);
        if !memory.check_range(GuestAddress(extent.start), length) {
            return Err(KernelError::TooLittleMemory {
                name: self.name.clone(),
                kernel_end: extent.end,
                memory: crate::boot_params::low_memory_end(memory),
            });
        }
        if let (Elf::File(file), Some(kept)) = (&self.elf, self.checksum) {
            let sum = parts::place(file, &self.layout, memory);
            return if sum == Some(kept) { Ok(()) } else { Err(KernelError::KeptDamaged) };
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

pub(crate) fn not_a_kernel(name: &str, reason: &str) -> KernelError {
    KernelError::NotAKernel { name: name.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
pub(crate) mod tests;
