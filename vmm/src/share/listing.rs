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
        let names: usize = self.open.values().map(|listing| listing.len()).sum();
        if self.open.len() >= LISTINGS || names + listing.len() > NAMES {
            return Err(Errno::NFILE);
        }
        self.open.insert(handle, listing);
        Ok(())
    }

    /// The listing of directory `node` that is read from `offset` on: that of the handle, or the one that was begun last, or a new
    /// one that `read` makes.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    pub fn get(
        &mut self,
        handle: u64,
        node: u64,
        offset: u64,
        read: impl FnOnce() -> Result<Listing, Errno>,
    ) -> Result<Listing, Errno> {
        if let Some(listing) = self.open.get_mut(&handle) {
            // Who begins again wants to see what has changed.
            if offset == 0 {
                *listing = read()?;
            }
            return Ok(listing.clone());
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
