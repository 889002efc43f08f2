//! Guest RAM by physical address.

use vm_memory::{Address, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, MemoryRegionAddress};

use crate::op::Plain;

/// One stretch of RAM.
#[derive(Clone, Copy)]
struct Region {
    start: u64,
    len: u64,
    host: *mut u8,
}

/// Guest RAM: where each physical address lies in the host. Keeps the memory mapped for as long as it lives.
pub struct Ram {
    regions: Vec<Region>,
    _memory: GuestMemoryMmap<()>,
}

// SAFETY: the pointers are to a mapping that `_memory` (which is `Send` itself) owns.
unsafe impl Send for Ram {}

impl Ram {
    /// Takes hold of all regions.
    pub fn new(memory: GuestMemoryMmap<()>) -> Ram {
        let regions = memory
            .iter()
            .filter_map(|region| {
                let host = region.get_host_address(MemoryRegionAddress(0)).ok()?;
                Some(Region { start: region.start_addr().raw_value(), len: region.len(), host })
            })
            .collect();
        Ram { regions, _memory: memory }
    }

    /// The end of the last region, exclusive.
    pub fn end(&self) -> u64 {
        self.regions.iter().map(|r| r.start + r.len).max().unwrap_or(0)
    }

    /// Where the `len` bytes at `gpa` lie in the host, when all are RAM of one region.
    #[inline]
    pub fn host(&self, gpa: u64, len: u64) -> Option<*mut u8> {
        let region = self.regions.iter().find(|r| gpa.wrapping_sub(r.start) < r.len)?;
        let offset = gpa - region.start;
        // SAFETY: the offset is inside the region's mapping.
        (region.len - offset >= len).then(|| unsafe { region.host.add(offset as usize) })
    }

    /// Reads a value at a physical address.
    pub fn read<T: Plain>(&self, gpa: u64) -> Option<T> {
        let host = self.host(gpa, T::SIZE as u64)?;
        // SAFETY: `host` points to `SIZE` mapped bytes, and any bytes are a valid `T`.
        Some(unsafe { host.cast::<T>().read_unaligned() })
    }

    /// Writes a value at a physical address; whether it is RAM.
    pub fn write<T: Plain>(&self, gpa: u64, value: T) -> bool {
        let Some(host) = self.host(gpa, T::SIZE as u64) else { return false };
        // SAFETY: `host` points to `SIZE` mapped bytes.
        unsafe { host.cast::<T>().write_unaligned(value) };
        true
    }

    /// The bytes from `gpa` to the end of its page, copied into `page`; how many there are.
    pub fn read_to_page_end(&self, gpa: u64, page: &mut [u8; 4096]) -> usize {
        let len = 4096 - (gpa & 4095) as usize;
        let Some(host) = self.host(gpa, len as u64) else { return 0 };
        // SAFETY: `host` points to `len` mapped bytes, at most a page, and the buffer is the caller's own.
        unsafe { std::ptr::copy_nonoverlapping(host, page.as_mut_ptr(), len) };
        len
    }
}
