//! The names in a directory, sorted.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::fs::RawDir;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// The most names in all listings that the guest holds.
const NAMES: usize = 1 << 20;
/// The most listings.
const LISTINGS: usize = 4096;

/// A name, and what the file is: `DT_*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Listed {
    pub name: CString,
    pub kind: u8,
}

/// The names in a directory, `.` and `..` among them.
pub(super) type Listing = Arc<Vec<Listed>>;

/// The listings that are being read.
#[derive(Default)]
pub(super) struct Listings {
    /// By handle.
    pub open: BTreeMap<u64, Listing>,
    /// The one that was read last without a handle, and its directory.
    last: Option<(u64, Listing)>,
}

/// Reads a directory.
///
/// # Errors
///
/// The host's; `EOVERFLOW` of one with too many names.
pub(super) fn read(dir: BorrowedFd<'_>) -> Result<Listing, Errno> {
    rustix::fs::seek(dir, rustix::fs::SeekFrom::Start(0))?;
    let mut names = Vec::new();
    let mut buffer = Vec::with_capacity(1 << 16);
    let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        names.push(Listed { name: entry.file_name().to_owned(), kind: kind(entry.file_type()) });
        if names.len() > NAMES {
            return Err(Errno::OVERFLOW);
        }
    }
    names.sort_unstable();
    Ok(Arc::new(names))
}

/// The file's kind as `DT_*`, as [`Dirent`](super::wire::Dirent) has it; 0 where the file system does not say.
fn kind(kind: rustix::fs::FileType) -> u8 {
    (kind.as_raw_mode() >> 12) as u8
}

impl Listings {
    /// Forgets all.
    pub fn clear(&mut self) {
        (self.open, self.last) = (BTreeMap::new(), None);
    }

    /// Keeps a listing under this handle.
    ///
    /// # Errors
    ///
    /// `ENFILE`: there are too many.
    pub fn keep(&mut self, handle: u64, listing: Listing) -> Result<(), Errno> {
        if self.open.len() >= LISTINGS {
            return Err(Errno::NFILE);
        }
        self.room(handle, listing.len())?;
        self.open.insert(handle, listing);
        Ok(())
    }

    /// Whether the listing of `handle` may have so many names, beside all others.
    fn room(&self, handle: u64, names: usize) -> Result<(), Errno> {
        let others = self.open.iter().filter(|(other, _)| **other != handle);
        let others: usize = others.map(|(_, listing)| listing.len()).sum();
        if others.saturating_add(names) > NAMES { Err(Errno::NFILE) } else { Ok(()) }
    }

    /// The listing of directory `node` that is read from `offset` on: that of the handle, or the one that was begun last, or a new
    /// one that `read` makes.
    ///
    /// # Errors
    ///
    /// Those of `read`; `ENFILE`: the directory has grown to more names than there is room for.
    pub fn get(
        &mut self,
        handle: u64,
        node: u64,
        offset: u64,
        read: impl FnOnce() -> Result<Listing, Errno>,
    ) -> Result<Listing, Errno> {
        if let Some(listing) = self.open.get(&handle) {
            if offset > 0 {
                return Ok(listing.clone());
            }
            // Who begins again wants to see what has changed.
            let listing = read()?;
            self.room(handle, listing.len())?;
            self.open.insert(handle, listing.clone());
            return Ok(listing);
        }
        match &self.last {
            Some((of, listing)) if *of == node && offset > 0 => Ok(listing.clone()),
            _ => {
                let listing = read()?;
                self.last = Some((node, listing.clone()));
                Ok(listing)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(names: usize) -> Listing {
        Arc::new(vec![Listed { name: c"x".into(), kind: 0 }; names])
    }

    #[test]
    fn names_are_bounded_when_directories_grow_under_open_handles() {
        let mut listings = Listings::default();
        for handle in 0..4 {
            listings.keep(handle, listing(2)).unwrap();
        }
        let half = listing(NAMES / 2);
        let mut again = |handle| listings.get(handle, 1, 0, || Ok(half.clone())).map(|it| it.len());
        assert_eq!(again(0), Ok(NAMES / 2));
        assert_eq!(again(0), Ok(NAMES / 2), "its own old names do not count");
        assert_eq!([again(1), again(2)], [Err(Errno::NFILE); 2]);
        assert_eq!(listings.get(1, 1, 1, || Err(Errno::IO)).map(|it| it.len()), Ok(2), "what it had stays");
        let names: usize = listings.open.values().map(|listing| listing.len()).sum();
        assert!(names <= NAMES, "{names}");
    }
}
