//! A flag for which a thread can wait together with a socket, a pipe or a terminal.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

/// Such a flag.
#[derive(Debug)]
pub struct Event(OwnedFd);

impl Event {
    /// One that is not set.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        Ok(Event(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Sets it: it is readable from now on.
    pub fn set(&self) {
        // Fails only when the count is full: then it is readable all the same.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Clears it; says whether it was set.
    pub fn clear(&self) -> bool {
        rustix::io::read(&self.0, &mut [0u8; 8]).is_ok()
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
