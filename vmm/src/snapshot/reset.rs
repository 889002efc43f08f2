//! Guest memory as the snapshot has it, for what was written to be copied back.
//!
//! The pages are copied from a second mapping of the file, shared and read-only, in ascending order: half a microsecond each.
//! Reading them with `pread` took two to three times as long where they lie scattered, and dropping them (`MADV_DONTNEED`)
//! costs as much, and again 3 us a page when the guest writes it next. docs/snapshots.md has the figures. A page that is a
//! hole in the file is filled with zeroes: through the mapping the host would need a page of its own for each.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

use fencepost_softcpu::code::{CodePages, PAGE_BYTES};
use vm_memory::{
    Address, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, MemoryRegionAddress,
};

use super::Saved;
use super::checked::Stamp;
use crate::error::{HostError, plain};

/// A region of guest memory and the same bytes in the file.
struct Region {
    /// Its first page's number.
    first: u64,
    pages: u64,
    /// Where it lies in the file.
    at: u64,
    /// Where it lies in this process.
    guest: NonNull<u8>,
    /// Where the file's bytes lie in this process, mapped by this structure.
    file: NonNull<u8>,
}

/// The snapshot's memory beside that of a machine which was restored from it.
pub(super) struct Original {
    regions: Vec<Region>,
    /// Where the file has data ([`data_ranges`](super::file::Snapshot::data_ranges)).
    data: Vec<(u64, u64)>,
    /// The machine's memory, which this keeps mapped.
    memory: GuestMemoryMmap,
    /// The file, as it was when it was opened.
    file: std::sync::Arc<File>,
    stamp: Option<Stamp>,
}

// SAFETY: the pointers are to mappings that this structure keeps for as long as it lives, the same in every thread. It is
// used through `&self` by `Vm` alone, whose `reset` has the machine to itself.
unsafe impl Send for Original {}

fn host(what: &str, error: &std::io::Error) -> HostError {
    HostError::Host(format!("{what}: {}", plain(error)))
}

impl Original {
    /// The memory of `saved` beside `memory`, which was mapped from it.
    pub fn new(saved: &Saved, memory: &GuestMemoryMmap) -> Result<Self, HostError> {
        let file = saved.file.shared_file();
        let stamp = Stamp::of(&file);
        let mut original = Original {
            regions: Vec::new(),
            data: saved.file.data_ranges(),
            memory: memory.clone(),
            file,
            stamp,
        };
        let mut at = super::file::MEMORY_AT;
        for region in memory.iter() {
            let guest = region.get_host_address(MemoryRegionAddress(0)).ok().and_then(NonNull::new);
            let guest = guest.ok_or_else(|| HostError::Host("guest memory has no address".into()))?;
            // SAFETY: a new mapping, at a place that the host's kernel chooses, read only.
            let mapped = unsafe {
                rustix::mm::mmap(
                    std::ptr::null_mut(),
                    region.len() as usize,
                    rustix::mm::ProtFlags::READ,
                    rustix::mm::MapFlags::SHARED,
                    &original.file,
                    at,
                )
            };
            let mapped = mapped.map_err(|error| host("the snapshot cannot be mapped", &error.into()))?;
            let file = NonNull::new(mapped.cast()).expect("a mapping is not at zero");
            let first = region.start_addr().raw_value() / PAGE_BYTES;
            original.regions.push(Region { first, pages: region.len() / PAGE_BYTES, at, guest, file });
            at += region.len();
        }
        Ok(original)
    }

    /// Copies `pages` (page numbers) back, and tells `code` of them; how many there were.
    ///
    /// # Errors
    ///
    /// Nothing is copied from a file that is not as it was.
    pub fn copy_back(&self, mut pages: Vec<u64>, code: &CodePages) -> Result<usize, HostError> {
        let now = Stamp::of(&self.file);
        if !now.zip(self.stamp.as_ref()).is_some_and(|(now, then)| now.is_content_of(then)) {
            return Err(HostError::Host(
                "the snapshot's file was changed while a machine ran from it; save the machine again".into(),
            ));
        }
        pages.sort_unstable();
        let mut copied = 0;
        for &page in &pages {
            let Some(region) =
                self.regions.iter().find(|region| page.wrapping_sub(region.first) < region.pages)
            else {
                continue;
            };
            let offset = ((page - region.first) * PAGE_BYTES) as usize;
            // SAFETY: the page lies in both mappings, which do not overlap and which `self` keeps. The machine to which the memory
            // belongs does not run, and no thread of its is left: `Vm::reset` has given it up. Another process may write to the
            // file, which then changes what is copied and nothing else: there is no reference to it.
            unsafe {
                let guest = region.guest.add(offset);
                if self.is_hole(region.at + offset as u64) {
                    guest.write_bytes(0, PAGE_BYTES as usize);
                } else {
                    region.file.add(offset).copy_to_nonoverlapping(guest, PAGE_BYTES as usize);
                }
            }
            if code.holds_code(page) {
                code.written(page * PAGE_BYTES, PAGE_BYTES);
            }
            copied += 1;
        }
        Ok(copied)
    }

    /// Whether the page at this place of the file has no data.
    fn is_hole(&self, at: u64) -> bool {
        let next = self.data.partition_point(|&(_, end)| end <= at);
        self.data.get(next).is_none_or(|&(start, _)| at + PAGE_BYTES <= start)
    }

    /// The numbers of the pages that this process has for itself: those that were ever written.
    pub fn private_pages(&self) -> Result<Vec<u64>, HostError> {
        /// Of an entry of /proc/PID/pagemap: in memory, swapped out, of a file or shared (Linux, admin-guide/mm/pagemap).
        const PRESENT: u64 = 1 << 63;
        const SWAPPED: u64 = 1 << 62;
        const OF_FILE: u64 = 1 << 61;
        let cannot = |error: std::io::Error| host("/proc/self/pagemap", &error);
        let pagemap = File::open("/proc/self/pagemap").map_err(cannot)?;
        let mut entries = vec![0; 1 << 18];
        let mut pages = Vec::new();
        for region in &self.regions {
            let mut page = 0;
            while page < region.pages {
                let count = (region.pages - page).min(entries.len() as u64 / 8);
                let part = &mut entries[..count as usize * 8];
                let at = (region.guest.addr().get() as u64 / PAGE_BYTES + page) * 8;
                pagemap.read_exact_at(part, at).map_err(cannot)?;
                for (number, entry) in (page..).zip(part.chunks_exact(8)) {
                    let entry = u64::from_le_bytes(entry.try_into().expect("eight bytes"));
                    if entry & (PRESENT | SWAPPED) != 0 && entry & OF_FILE == 0 {
                        pages.push(region.first + number);
                    }
                }
                page += count;
            }
        }
        Ok(pages)
    }

    /// The addresses of all pages that are not as the file has them; those that cannot be read are among them.
    pub fn differing_pages(&self) -> Vec<u64> {
        let (mut here, mut there) = ([0; PAGE_BYTES as usize], [0; PAGE_BYTES as usize]);
        let mut differing = Vec::new();
        for region in &self.regions {
            for page in 0..region.pages {
                let gpa = (region.first + page) * PAGE_BYTES;
                let read = self.memory.read_slice(&mut here, GuestAddress(gpa)).is_ok()
                    && self.file.read_exact_at(&mut there, region.at + page * PAGE_BYTES).is_ok();
                if !read || here != there {
                    differing.push(gpa);
                }
            }
        }
        differing
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        for region in &self.regions {
            // SAFETY: `new` mapped exactly this, and nothing refers to it any more.
            let unmapped = unsafe {
                rustix::mm::munmap(region.file.as_ptr().cast(), (region.pages * PAGE_BYTES) as usize)
            };
            debug_assert!(unmapped.is_ok(), "it was mapped");
        }
    }
}
