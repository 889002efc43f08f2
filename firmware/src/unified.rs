//! Unified kernel images: EFI programs whose sections are a kernel and what it is to be booted with
//! (UAPI Group Specifications, "Unified Kernel Image (UKI)").

use object::pe::{IMAGE_FILE_MACHINE_AMD64, IMAGE_FILE_MACHINE_ARM64, IMAGE_FILE_MACHINE_I386, Machine};
use object::pe::{IMAGE_SUBSYSTEM_EFI_APPLICATION, IMAGE_SUBSYSTEM_EFI_BOOT_SERVICE_DRIVER};
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader, PeFile64};
use object::{Object, ObjectSection};

use crate::kernel::KernelFile;

/// A kernel and what its unified image has beside it.
#[derive(Debug)]
pub struct Unified {
    /// The section `.linux`.
    pub kernel: Box<KernelFile>,
    /// The sections `.ucode` and `.initrd`, one behind the other as the kernel takes them; empty without.
    pub initrd: Vec<u8>,
    /// The section `.cmdline`, without what ends it.
    pub command_line: Option<String>,
}

/// The sections of an EFI program, as far as they matter.
pub(crate) struct Sections<'a> {
    pub(crate) linux: &'a [u8],
    pub(crate) initrd: Vec<u8>,
    pub(crate) command_line: Option<String>,
}

/// Whether a file that begins with `head` may be one: a PE file that is not a bzImage.
pub(crate) fn may_be(head: &[u8]) -> bool {
    let place = head.get(0x3c..0x40).map_or(0, |at| u32::from_le_bytes([at[0], at[1], at[2], at[3]]));
    head.starts_with(b"MZ") && head.get(place as usize..).is_some_and(|rest| rest.starts_with(b"PE\0\0"))
}

/// Finds the sections of a unified image, or says in words what the file is instead.
pub(crate) fn sections(file: &[u8]) -> Result<Sections<'_>, String> {
    match machine(file) {
        Some(IMAGE_FILE_MACHINE_AMD64) | None => {}
        Some(IMAGE_FILE_MACHINE_ARM64) => {
            return Err("it is an EFI program for AArch64, not for x86-64".into());
        }
        Some(IMAGE_FILE_MACHINE_I386) => return Err("it is an EFI or Windows program for i386".into()),
        Some(other) => {
            return Err(format!(
                "it is an EFI or Windows program for machine {:#x}, not for x86-64",
                other.0
            ));
        }
    }
    let pe =
        PeFile64::parse(file).map_err(|error| format!("it is a damaged EFI or Windows program ({error})"))?;
    let section = |name: &str| -> Result<Option<&[u8]>, String> {
        let found = pe.sections().find(|section| section.name() == Ok(name));
        let damaged = |_| format!("the section {name} of its unified image is cut off");
        found.map(|section| section.data().map_err(damaged)).transpose()
    };
    let Some(linux) = section(".linux")? else {
        let efi = [IMAGE_SUBSYSTEM_EFI_APPLICATION, IMAGE_SUBSYSTEM_EFI_BOOT_SERVICE_DRIVER];
        return Err(if efi.contains(&pe.nt_headers().optional_header().subsystem()) {
            "it is an EFI program without a kernel in a section .linux (a boot loader?), and there is no EFI here".into()
        } else {
            "it is a Windows program".into()
        });
    };
    let mut initrd = section(".ucode")?.unwrap_or_default().to_vec();
    append_aligned(&mut initrd, section(".initrd")?.unwrap_or_default());
    let command_line = section(".cmdline")?.map(command_line);
    Ok(Sections { linux, initrd, command_line })
}

/// Puts an archive behind others as boot loaders do: zeros up to the next multiple of 4 come between them.
pub fn append_aligned(archives: &mut Vec<u8>, next: &[u8]) {
    archives.resize(archives.len().next_multiple_of(4), 0);
    archives.extend_from_slice(next);
}

/// The machine in the COFF header, wherever the optional header is of another size.
fn machine(file: &[u8]) -> Option<Machine> {
    let dos = object::pe::ImageDosHeader::parse(file).ok()?;
    let at = dos.nt_headers_offset() as usize + 4;
    file.get(at..at + 2).map(|bytes| Machine(u16::from_le_bytes([bytes[0], bytes[1]])))
}

/// As systemd's stub does it: what controls a terminal is a blank, and blanks at the end go.
fn command_line(section: &[u8]) -> String {
    let text = section.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text).replace(|letter: char| letter.is_control(), " ");
    text.trim().to_owned()
}

#[cfg(test)]
mod tests;
