//! What the guest finds at reset: kernel, initramfs, boot parameters, page tables, GDT, ACPI tables.
//!
//! [`load`] writes all of it into guest memory and says what the registers hold at the first instruction. The addresses are
//! those of [`layout`].
//!
//! ```
//! use fencepost_firmware::kernel::KernelImage;
//! use fencepost_firmware::{Options, layout, load};
//! use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
//!
//! // The smallest kernel: an ELF header, one segment, and HLT at 1 MiB.
//! let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
//! elf.resize(16, 0);
//! for half in [2u16, 62] {
//!     elf.extend(half.to_le_bytes()); // an executable, for x86-64
//! }
//! elf.extend(1u32.to_le_bytes());
//! for word in [layout::ONE_MIB, 64, 0] {
//!     elf.extend(word.to_le_bytes()); // entry, program headers, no section headers
//! }
//! elf.extend([0; 4]);
//! for half in [64u16, 56, 1, 0, 0, 0] {
//!     elf.extend(half.to_le_bytes()); // sizes of the headers, and how many there are
//! }
//! elf.extend([1u32, 5].map(u32::to_le_bytes).concat()); // to be loaded; may be read and executed
//! for word in [120, layout::ONE_MIB, layout::ONE_MIB, 1, 1, 16] {
//!     elf.extend(word.to_le_bytes()); // offset, addresses, sizes, alignment
//! }
//! elf.push(0xf4);
//!
//! let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 4 << 20)])?;
//! let mut kernel = KernelImage::from_bytes("halt".into(), elf, None)?;
//! let entry = load(&memory, &mut kernel, None, "console=ttyS0", 1, &Options::default())?;
//!
//! assert_eq!((entry.rip, entry.rsi), (layout::ONE_MIB, layout::ZERO_PAGE));
//! assert_eq!(memory.read_obj::<u8>(GuestAddress(entry.rip))?, 0xf4);
//! let mut rsdp = [0; 8];
//! memory.read_slice(&mut rsdp, GuestAddress(layout::ACPI_TABLES.start))?;
//! assert_eq!(&rsdp, b"RSD PTR ");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(missing_docs)]
#![deny(clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod acpi;
mod boot_params;
mod bz_image;
mod elf;
mod foreign;
pub mod initrd;
pub mod kept;
pub mod kernel;
pub mod layout;
mod notes;
pub mod packed;
mod parts;
pub mod reset;
pub mod unified;
pub mod unpack;

use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

use crate::initrd::Initrd;
use crate::kernel::{KernelError, KernelImage};
pub use crate::reset::{Entry, EntrySegment};

/// The most vCPUs that an 8-bit local APIC id can name (255 is the broadcast).
pub const MAX_VCPUS: u32 = 254;

/// The IOMMU of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Iommu {
    /// There is none.
    None,
    /// A VT-d remapping unit: a DMAR table.
    Vtd {
        /// It can remap interrupts.
        interrupts: bool,
    },
    /// A virtio device: a VIOT table.
    Virtio {
        /// Its PCI device number on bus 0.
        slot: u8,
    },
}

/// What the guest gets in addition to the kernel, the initramfs and the command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// The IOMMU to describe.
    pub iommu: Iommu,
    /// Serial ports beside the console, at most [`layout::MORE_SERIAL_MAX`].
    pub more_serial: usize,
    /// Seeds the kernel's random pool, so that it is ready at once and the same in every run.
    pub rng_seed: [u8; 32],
}

impl Default for Options {
    fn default() -> Self {
        Options {
            iommu: Iommu::Vtd { interrupts: false },
            more_serial: 0,
            rng_seed: *b"fencepost: a seed that is fixed.",
        }
    }
}

/// Why a guest could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel does not fit.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Kernel and initramfs do not fit into low memory together.
    #[error(
        "the guest's memory is too small: the initramfs of {initrd} bytes has {room} beside the kernel, it needs \
         {needed_mib} MiB of memory"
    )]
    InitrdTooLarge {
        /// Its size in bytes.
        initrd: u64,
        /// The room for it, in bytes.
        room: u64,
        /// Memory with room enough, in MiB.
        needed_mib: u64,
    },
    /// The initramfs is larger than the kernel can be given at all.
    #[error(
        "the initramfs of {initrd} bytes is too large for this kernel, which takes at most {most} however much memory \
         there is"
    )]
    InitrdBeyondReach {
        /// Its size in bytes.
        initrd: u64,
        /// The most that fits between the kernel's end and the highest address it takes an initramfs at, in bytes.
        most: u64,
    },
    /// The command line is too long.
    #[error("the kernel command line has {length} bytes, at most {max} are possible")]
    CommandLineTooLong {
        /// Its length in bytes.
        length: usize,
        /// The most that the kernel takes.
        max: usize,
    },
    /// The command line holds a NUL byte, which would end it.
    #[error("the kernel command line holds a NUL byte")]
    CommandLineNul,
    /// There are no vCPUs, or more than there are local APIC ids.
    #[error("{0} vCPUs are not possible: 1 to {MAX_VCPUS} are")]
    Vcpus(u32),
    /// The guest has no memory at 0 or less than the firmware itself needs.
    #[error("the guest's memory is too small: {0:#x} bytes from address 0, at least 0x200000 are needed")]
    TooLittleMemory(u64),
    /// Guest memory refused a write.
    #[error("cannot write guest memory: {0}")]
    Memory(#[from] GuestMemoryError),
}

/// Sets the guest up for its first instruction and says what the first vCPU's registers must hold.
///
/// # Errors
/// [`Error`], when kernel, initramfs and command line do not fit.
pub fn load(
    memory: &GuestMemoryMmap<()>,
    kernel: &mut KernelImage,
    initrd: Option<Initrd<'_>>,
    command_line: &str,
    vcpus: u32,
    options: &Options,
) -> Result<Entry, Error> {
    if vcpus == 0 || vcpus > MAX_VCPUS {
        return Err(Error::Vcpus(vcpus));
    }
    let low_end = boot_params::low_memory_end(memory);
    if low_end < 2 * layout::ONE_MIB {
        return Err(Error::TooLittleMemory(low_end));
    }
    kernel.place(memory)?;
    let initrd = initrd.map(|initrd| place_initrd(memory, kernel, initrd)).transpose()?;
    let tables = acpi::build(vcpus as u8, options.iommu, options.more_serial, layout::ACPI_TABLES.start);
    memory.write_slice(&tables, GuestAddress(layout::ACPI_TABLES.start))?;
    memory.write_slice(&RESTART, GuestAddress(layout::RESTART_VECTOR))?;
    boot_params::write(memory, kernel, initrd, command_line, options)?;
    reset::write_tables(memory)?;
    Ok(Entry::at(kernel.entry()))
}

/// What a kernel that restarts by the BIOS jumps to in real mode (FFFF:0000): it writes 1 to the reset register.
/// `mov dx, 0x602; mov al, 1; out dx, al; hlt; jmp` back to the HLT.
const RESTART: [u8; 9] = [0xba, 0x02, 0x06, 0xb0, 0x01, 0xee, 0xf4, 0xeb, 0xfd];

/// Has the initramfs at the highest page that the kernel accepts; gives its address and size.
fn place_initrd(
    memory: &GuestMemoryMmap<()>,
    kernel: &KernelImage,
    initrd: Initrd<'_>,
) -> Result<(u32, u32), Error> {
    let size = match initrd {
        Initrd::Bytes(image) => image.len() as u64,
        Initrd::InPlace(size) => size,
    };
    let start = initrd::start(kernel, boot_params::low_memory_end(memory), size)?;
    if let Initrd::Bytes(image) = initrd {
        memory.write_slice(image, GuestAddress(start))?;
    }
    Ok((start as u32, size as u32))
}

#[cfg(test)]
mod tests;
