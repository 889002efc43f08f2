//! Guest memory at several moments of one run: at each, only the pages that were written since the one before.
//!
//! The pages lie in a file without a name in the host's folder for temporary files. Who writes guest memory under `soft` says so
//! ([`CodePages::track`]), so that nothing is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use fencepost_softcpu::code::{CodePages, PAGE_BYTES};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

/// The place in the file of a page of zeroes, which takes none.
const ZEROES: u32 = u32::MAX;
const PAGE: usize = PAGE_BYTES as usize;

/// Memory at several moments, which are numbered in the order of the guest's time.
pub struct Pages {
    memory: GuestMemoryMmap,
    code: Arc<CodePages>,
    file: File,
    free: Vec<u32>,
    places: u32,
    /// For each moment the pages that were written since the one before, and where they lie; for the first one all that are not zeroes.
    moments: Vec<BTreeMap<u64, u32>>,
    /// Memory is as at this moment, but for what was written since.
    at: usize,
}

impl Pages {
    /// Keeps `memory` as it is now as moment 0, in `file`, whose content is gone. CPUs on it must be given their translations after this, as for [`CodePages::track`];
    /// so they must after each other call that is said to begin anew.
    ///
    /// # Errors
    ///
    /// There is no room on the host.
    pub fn begin(file: File, memory: &GuestMemoryMmap, code: &Arc<CodePages>) -> io::Result<Self> {
        file.set_len(0)?;
        code.track();
        code.take_changed();
        let mut pages = Pages {
            memory: memory.clone(),
            code: Arc::clone(code),
            file,
            free: Vec::new(),
            places: 0,
            moments: Vec::new(),
            at: 0,
        };
        let regions = memory.iter().map(|region| (region.start_addr().raw_value(), region.len()));
        let all = regions.flat_map(|(start, len)| start / PAGE_BYTES..(start + len) / PAGE_BYTES);
        let mut first = BTreeMap::new();
        for page in all {
            let place = pages.store(page)?;
            if place != ZEROES {
                first.insert(page, place);
            }
        }
        pages.moments.push(first);
        Ok(pages)
    }

    /// The number of the moment that memory goes on from.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What is stored, in bytes.
    pub fn bytes(&self) -> u64 {
        (u64::from(self.places) - self.free.len() as u64) * PAGE_BYTES
    }

    fn read(&self, page: u64, bytes: &mut [u8; PAGE]) -> io::Result<()> {
        let read = self.memory.read_slice(bytes, GuestAddress(page * PAGE_BYTES));
        read.map_err(io::Error::other)
    }

    /// Stores a page as it is now; gives its place.
    fn store(&mut self, page: u64) -> io::Result<u32> {
        let mut bytes = [0; PAGE];
        self.read(page, &mut bytes)?;
        if bytes == [0; PAGE] {
            return Ok(ZEROES);
        }
        let place = self.free.pop().unwrap_or(self.places);
        if place == self.places {
            if place == ZEROES - 1 {
                return Err(io::Error::other("there are too many pages"));
            }
            self.places += 1;
        }
        self.file.write_all_at(&bytes, u64::from(place) * PAGE_BYTES)?;
        Ok(place)
    }

    fn give_back(&mut self, place: u32) {
        if place != ZEROES {
            self.free.push(place);
        }
    }

    /// Keeps memory as it is now as the moment behind [`at`](Self::at); those behind it move up by one. Begins anew.
    ///
    /// # Errors
    ///
    /// There is no room on the host. Nothing that is kept may be used then.
    pub fn keep(&mut self) -> io::Result<()> {
        let mut changed = BTreeMap::new();
        for page in self.code.take_changed() {
            changed.insert(page, self.store(page)?);
        }
        self.at += 1;
        self.moments.insert(self.at, changed);
        Ok(())
    }

    /// Where a page lies as it was at a moment.
    fn place(&self, page: u64, moment: usize) -> u32 {
        let moments = self.moments.iter().take(moment + 1).rev();
        moments.filter_map(|pages| pages.get(&page)).next().copied().unwrap_or(ZEROES)
    }

    /// Makes memory what it was at a moment; gives how many pages were written for that. Begins anew.
    ///
    /// # Errors
    ///
    /// Those of the host. Memory is not to be used then.
    pub fn go_to(&mut self, moment: usize) -> io::Result<usize> {
        let mut differ: BTreeSet<u64> = self.code.take_changed().into_iter().collect();
        let (from, to) = (self.at.min(moment), self.at.max(moment));
        self.moments.iter().take(to + 1).skip(from + 1).for_each(|pages| differ.extend(pages.keys()));
        let mut bytes = [0; PAGE];
        for &page in &differ {
            match self.place(page, moment) {
                ZEROES => bytes = [0; PAGE],
                place => self.file.read_exact_at(&mut bytes, u64::from(place) * PAGE_BYTES)?,
            }
            let gpa = page * PAGE_BYTES;
            self.memory.write_slice(&bytes, GuestAddress(gpa)).map_err(io::Error::other)?;
            self.code.written(gpa, PAGE_BYTES);
        }
        // That was no change.
        self.code.take_changed();
        self.at = moment;
        Ok(differ.len())
    }

    /// Forgets a moment, which must be neither the first, nor the last, nor [`at`](Self::at).
    pub fn forget(&mut self, moment: usize) {
        assert!(moment > 0 && moment + 1 < self.moments.len() && moment != self.at, "moment {moment}");
        let pages = self.moments.remove(moment);
        for (page, place) in pages {
            let kept = *self.moments[moment].entry(page).or_insert(place);
            // No two pages lie at one place.
            if kept != place {
                self.give_back(place);
            }
        }
        if self.at > moment {
            self.at -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> (GuestMemoryMmap, Arc<CodePages>) {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 64 * PAGE)]).unwrap();
        (memory, Arc::new(CodePages::new(64 * PAGE_BYTES)))
    }

    fn put(memory: &GuestMemoryMmap, code: &CodePages, page: u64, value: u8) {
        memory.write_slice(&[value; 3], GuestAddress(page * PAGE_BYTES + 5)).unwrap();
        code.written(page * PAGE_BYTES + 5, 3);
    }

    fn values(memory: &GuestMemoryMmap) -> Vec<u8> {
        let value = |page: u64| memory.read_obj::<u8>(GuestAddress(page * PAGE_BYTES + 6)).unwrap();
        (0..4).map(value).collect()
    }

    #[test]
    fn memory_is_what_it_was_at_each_moment() {
        let (memory, code) = memory();
        put(&memory, &code, 1, 1);
        let mut pages = Pages::begin(tempfile::tempfile().unwrap(), &memory, &code).unwrap();
        put(&memory, &code, 1, 2);
        put(&memory, &code, 2, 2);
        pages.keep().unwrap();
        put(&memory, &code, 1, 0);
        put(&memory, &code, 3, 3);
        pages.keep().unwrap();
        put(&memory, &code, 0, 4);
        let moments = [vec![0, 1, 0, 0], vec![0, 2, 2, 0], vec![0, 0, 2, 3]];
        for moment in [0, 2, 1, 1, 2, 0, 1] {
            pages.go_to(moment).unwrap();
            assert_eq!((values(&memory), pages.at()), (moments[moment].clone(), moment));
            put(&memory, &code, 2, 9);
        }
        // One between two others: what was written by then was written by the second of them.
        pages.go_to(1).unwrap();
        put(&memory, &code, 3, 7);
        pages.keep().unwrap();
        for (moment, value) in [(3, 3), (2, 7), (1, 0)] {
            pages.go_to(moment).unwrap();
            assert_eq!(values(&memory)[3], value, "moment {moment}");
        }
        pages.forget(2);
        assert_eq!(pages.go_to(2).unwrap(), 2);
        assert_eq!(values(&memory), moments[2]);
        pages.forget(1);
        pages.go_to(0).unwrap();
        pages.go_to(1).unwrap();
        assert_eq!(values(&memory), moments[2]);
        // Page 1 at the beginning, and pages 2 and 3; page 1 was zeroes in the end, and what was forgotten took no room.
        assert_eq!(pages.bytes(), 3 * PAGE_BYTES);
    }
}
