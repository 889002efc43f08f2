//! Where the initramfs goes, and how large it may be.

use crate::kernel::KernelImage;
use crate::{Error, layout};

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;

/// What `initrd_addr_max` is for a kernel that does not say (boot.rst), and what x86-64 kernels say.
const USUAL_ADDRESS_MAX: u32 = 0x7fff_ffff;

/// An initramfs for [`load`](crate::load).
#[derive(Clone, Copy, Debug)]
pub enum Initrd<'a> {
    /// Its bytes, to be put into guest memory.
    Bytes(&'a [u8]),
    /// So many bytes that are in guest memory, at [`start`].
    InPlace(u64),
}

/// The highest address + 1 that the kernel takes an initramfs below, in any memory.
fn reach(kernel: &KernelImage) -> u64 {
    let highest = kernel.setup_header().map_or(USUAL_ADDRESS_MAX, |h| h.initrd_addr_max);
    (u64::from(highest) + 1).min(layout::LOW_RAM_END)
}

/// The first page behind the kernel.
fn kernel_end(kernel: &KernelImage) -> u64 {
    kernel.extent().end.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX)
}

/// The largest initramfs that fits next to the kernel in a guest whose memory from address 0 ends at `low_end`, in bytes.
pub fn room(kernel: &KernelImage, low_end: u64) -> u64 {
    low_end.min(reach(kernel)).saturating_sub(kernel_end(kernel))
}

/// The highest page at which an initramfs of `size` bytes ends below what memory and kernel allow.
///
/// # Errors
/// [`Error::InitrdTooLarge`] when more memory would help, [`Error::InitrdBeyondReach`] when none would.
pub fn start(kernel: &KernelImage, low_end: u64, size: u64) -> Result<u64, Error> {
    let most = room(kernel, layout::LOW_RAM_END);
    if size > most {
        return Err(Error::InitrdBeyondReach { initrd: size, most });
    }
    let start = below(low_end.min(reach(kernel)), size);
    start.filter(|start| *start >= kernel_end(kernel)).ok_or_else(|| Error::InitrdTooLarge {
        initrd: size,
        room: room(kernel, low_end),
        needed_mib: (kernel_end(kernel) + size.next_multiple_of(PAGE)).div_ceil(MIB),
    })
}

/// Where [`start`] most likely will be, for who has not seen the kernel yet.
pub fn usual_start(low_end: u64, size: u64) -> Option<u64> {
    below(low_end.min(u64::from(USUAL_ADDRESS_MAX) + 1).min(layout::LOW_RAM_END), size)
}

/// The highest page at which `size` bytes end below `limit`.
fn below(limit: u64, size: u64) -> Option<u64> {
    limit.checked_sub(size).map(|start| start & !(PAGE - 1))
}
