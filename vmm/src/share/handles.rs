//! Files that the guest has open to write to. One that is open to read only has no handle: its node is enough.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;

/// The most files that are open to write to.
const HANDLES: usize = 512;

/// An open file.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    /// Which.
    pub node: u64,
    /// Whether it may be read too.
    pub readable: bool,
    /// The file; none: it was gone when the machine was restored.
    pub file: Option<Arc<OwnedFd>>,
}

/// All of them, and the number of the next one: 0 is none, and no number comes twice.
#[derive(Default)]
pub(super) struct Handles {
    pub open: BTreeMap<u64, Handle>,
    pub last: u64,
}

impl Handles {
    /// Closes all.
    pub fn clear(&mut self) {
        *self = Handles::default();
    }

    /// A new number.
    pub fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Whether there is room for another file.
    ///
    /// # Errors
    ///
    /// `ENFILE`: there is not.
    pub fn room(&self) -> Result<(), Errno> {
        if self.open.len() < HANDLES { Ok(()) } else { Err(Errno::NFILE) }
    }

    /// Keeps an open file.
    pub fn keep(&mut self, node: u64, readable: bool, file: OwnedFd) -> u64 {
        let number = self.number();
        self.open.insert(number, Handle { node, readable, file: Some(Arc::new(file)) });
        number
    }

    /// The file of this handle of this node, if it may be read by it.
    pub fn readable(&self, handle: u64, node: u64) -> Option<Arc<OwnedFd>> {
        let handle = self.open.get(&handle).filter(|handle| handle.node == node && handle.readable)?;
        handle.file.clone()
    }

    /// The file of this handle of this node, to write to.
    ///
    /// # Errors
    ///
    /// `EBADF`: there is no such handle; `ESTALE`: its file is gone.
    pub fn writable(&self, handle: u64, node: u64) -> Result<Arc<OwnedFd>, Errno> {
        let handle = self.open.get(&handle).filter(|handle| handle.node == node).ok_or(Errno::BADF)?;
        handle.file.clone().ok_or(Errno::STALE)
    }
}
