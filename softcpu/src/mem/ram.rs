//! Guest RAM by physical address.

use vm_memory::{Address, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, MemoryRegionAddress};

use crate::value::Plain;

/// One stretch of RAM.
#[derive(Clone, Copy)]
struct Region {
    start: u64,
    len: u64,
    host: *mut u8,
}

/// Guest RAM: where each physical address lies in the host. Keeps the memory mapped for as long as it lives.
///
/// All accesses are plain ones, here and wherever [`host`](Self::host) or the TLB gives a pointer. They race with nobody
/// by the promise that was made to [`Cpu::new`](crate::Cpu::new): whoever else accesses the memory does so while the CPU
/// does not run, or is the bus that the CPU itself calls, in the middle of an instruction that holds no reference into
/// the memory. So there are pointers to it and never references.
pub struct Ram {
    regions: Vec<Region>,
    _memory: GuestMemoryMmap<()>,
}

// SAFETY: the pointers are to mappings that `_memory` (which is `Send` itself) keeps, and which are the same in every
// thread.
unsafe impl Send for Ram {}

impl Ram {
    /// Takes all regions of the memory.
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

    /// Where the `len` bytes at `gpa` lie in the host, when all are RAM of one region.
    #[inline]
    pub fn host(&self, gpa: u64, len: u64) -> Option<*mut u8> {
        let region = self.regions.iter().find(|r| gpa.wrapping_sub(r.start) < r.len)?;
        let offset = gpa - region.start;
        // SAFETY: the offset is inside the region's mapping, which is one allocation that `_memory` keeps.
        (region.len - offset >= len).then(|| unsafe { region.host.add(offset as usize) })
    }

    /// Reads a value at a physical address.
    pub fn read<T: Plain>(&self, gpa: u64) -> Option<T> {
        let host = self.host(gpa, T::SIZE as u64)?;
        // SAFETY: `host` points to `SIZE` mapped bytes that nobody else accesses now, and any bytes are a valid `T`.
        Some(unsafe { host.cast::<T>().read_unaligned() })
    }

    /// Writes a value at a physical address; whether it is RAM.
    pub fn write<T: Plain>(&self, gpa: u64, value: T) -> bool {
        let Some(host) = self.host(gpa, T::SIZE as u64) else { return false };
        // SAFETY: `host` points to `SIZE` mapped bytes that nobody else accesses now.
        unsafe { host.cast::<T>().write_unaligned(value) };
        true
    }
}
