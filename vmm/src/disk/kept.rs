//! A disk whose failures are noted for the host's user, and that is whole in its file when the machine is gone.

use std::io;

use fencepost_devices::virtio_blk::{Disk, DiskError, Fingerprint};

use crate::error::plain;
use crate::failures::Failures;

/// What a file stores. Errors are the host's own.
pub trait Medium: Send {
    /// As [`Disk::bytes`].
    fn bytes(&self) -> u64;
    /// As [`Disk::read`].
    fn read(&mut self, at: u64, data: &mut [u8]) -> io::Result<()>;
    /// As [`Disk::write`].
    fn write(&mut self, at: u64, data: &[u8]) -> io::Result<()>;
    /// As [`Disk::zero`].
    fn zero(&mut self, at: u64, bytes: u64, unmap: bool) -> io::Result<()>;
    /// As [`Disk::discard`].
    fn discard(&mut self, at: u64, bytes: u64) -> io::Result<()>;
    /// Gives all that was written to the file, which need not be safe there yet.
    fn settle(&self) -> io::Result<()>;
    /// As [`Disk::flush`], behind [`Self::settle`].
    fn sync(&self) -> io::Result<()>;
    /// As [`Disk::fingerprint`], behind [`Self::settle`].
    fn fingerprint(&self) -> Fingerprint;
}

/// A medium, and who is told of what it cannot do.
pub struct Kept {
    medium: Box<dyn Medium>,
    name: String,
    failures: Failures,
}

impl Kept {
    /// The disk in the file of this name.
    pub fn new(medium: Box<dyn Medium>, name: String, failures: Failures) -> Self {
        Kept { medium, name, failures }
    }

    fn note<T>(&self, done: io::Result<T>) -> Result<T, DiskError> {
        done.map_err(|error| {
            let what = format!("the disk {}", self.name);
            self.failures.add(&what, &plain(&error), "requests that the guest got as I/O errors");
            DiskError
        })
    }
}

impl Disk for Kept {
    fn bytes(&self) -> u64 {
        self.medium.bytes()
    }

    fn read(&mut self, at: u64, data: &mut [u8]) -> Result<(), DiskError> {
        let done = self.medium.read(at, data);
        self.note(done)
    }

    fn write(&mut self, at: u64, data: &[u8]) -> Result<(), DiskError> {
        let done = self.medium.write(at, data);
        self.note(done)
    }

    fn zero(&mut self, at: u64, bytes: u64, unmap: bool) -> Result<(), DiskError> {
        let done = self.medium.zero(at, bytes, unmap);
        self.note(done)
    }

    fn discard(&mut self, at: u64, bytes: u64) -> Result<(), DiskError> {
        let done = self.medium.discard(at, bytes);
        self.note(done)
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.note(self.medium.settle().and_then(|()| self.medium.sync()))
    }

    fn fingerprint(&self) -> Fingerprint {
        self.settle();
        self.medium.fingerprint()
    }
}

impl Kept {
    /// Where the guest has asked for nothing, it is told of nothing.
    fn settle(&self) {
        if let Err(error) = self.medium.settle() {
            let what = format!("the disk {}", self.name);
            self.failures.add(&what, &plain(&error), "times that it could not be brought up to date");
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.settle();
    }
}
