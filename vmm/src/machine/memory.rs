//! Guest RAM: below 3 GiB, and the rest above 4 GiB.

use fencepost_firmware::layout::{HIGH_RAM, LOW_RAM_END};
use sha2::{Digest, Sha256};
use vm_memory::{
    Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap,
};

pub use crate::config::{MEMORY_MAX_BYTES, MEMORY_MIN_BYTES};
use crate::error::HostError;
use crate::machine::log::hex;

/// Where `bytes` of guest RAM lie: each region's start and length in bytes.
pub fn ranges(bytes: u64) -> Vec<(GuestAddress, usize)> {
    let low = bytes.min(LOW_RAM_END);
    let mut ranges = vec![(GuestAddress(0), low as usize)];
    if bytes > low {
        ranges.push((GuestAddress(HIGH_RAM), (bytes - low) as usize));
    }
    ranges
}

/// Maps `bytes` of zeroed guest RAM.
pub fn map(bytes: u64) -> Result<GuestMemoryMmap, HostError> {
    let memory = GuestMemoryMmap::from_ranges(&ranges(bytes)).map_err(|error| {
        HostError::input(
            format!("--memory {} MiB: the host cannot map it ({error})", bytes >> 20),
            "ask for less memory",
        )
    })?;
    for region in memory.iter() {
        ask_for_large_pages(region);
    }
    Ok(memory)
}

/// Large host pages make loading a kernel cheap (a fault for 2 MiB instead of 512) and the guest's accesses quick.
fn ask_for_large_pages(region: &GuestRegionMmap) {
    // SAFETY: the range is one live mapping of this length, and the advice changes no content. A host that does not
    // take it leaves everything as it was.
    unsafe { libc::madvise(region.as_ptr().cast(), region.len() as usize, libc::MADV_HUGEPAGE) };
}

/// The first address above all RAM.
pub fn end(memory: &GuestMemoryMmap) -> u64 {
    memory.last_addr().0.saturating_add(1)
}

/// SHA-256 of all RAM, in address order, in hexadecimal.
pub fn digest(memory: &GuestMemoryMmap) -> Result<String, HostError> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0u8; 1 << 20];
    for region in memory.iter() {
        let mut offset = 0;
        while offset < region.len() {
            let part = chunk.len().min((region.len() - offset) as usize);
            memory
                .read_slice(&mut chunk[..part], GuestAddress(region.start_addr().0 + offset))
                .map_err(|error| HostError::Host(format!("Guest memory cannot be read: {error}")))?;
            hasher.update(&chunk[..part]);
            offset += part as u64;
        }
    }
    Ok(hex(&hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_beyond_three_gib_continues_at_four() {
        let memory = map(LOW_RAM_END + 0x20_0000).expect("mapped lazily");
        assert_eq!(end(&memory), HIGH_RAM + 0x20_0000);
        assert!(memory.check_address(GuestAddress(LOW_RAM_END)).is_none());
        assert!(memory.check_address(GuestAddress(HIGH_RAM)).is_some());
    }

    #[test]
    fn the_digest_sees_one_bit() {
        let memory = map(MEMORY_MIN_BYTES).expect("mapped");
        let before = digest(&memory).expect("readable");
        memory.write_obj(1u8, GuestAddress(MEMORY_MIN_BYTES - 1)).expect("RAM");
        assert_ne!(before, digest(&memory).expect("readable"));
    }
}
