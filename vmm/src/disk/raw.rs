//! A disk byte for byte in a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use fencepost_devices::virtio_blk::Fingerprint;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::kept::Medium;
use super::{QCOW2_MAGIC, disk_size, fingerprint, length};
use crate::error::plain;

/// Zeros are written in pieces of so many bytes where the file system cannot make them.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The disk.
pub struct RawDisk {
    file: File,
    bytes: u64,
    /// The user has said that it is raw: the guest may write what it likes.
    said: bool,
}

impl RawDisk {
    /// The disk in `file`; `said`: its user has named the format.
    ///
    /// # Errors
    ///
    /// It has no size that a disk can have: why, and the fix.
    pub fn new(file: File, said: bool) -> Result<Self, String> {
        let bytes = length(&file).map_err(|error| format!("{}; name another file", plain(&error)))?;
        let bytes = disk_size(bytes)?;
        Ok(RawDisk { file, bytes, said })
    }

    /// Whether the file system can do that to the range; false if it has no such call.
    fn allocate(&self, at: u64, bytes: u64, how: FallocateFlags) -> io::Result<bool> {
        if bytes == 0 {
            return Ok(true);
        }
        match fallocate(&self.file, how | FallocateFlags::KEEP_SIZE, at, bytes) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::NODEV) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Medium for RawDisk {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read(&mut self, at: u64, data: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(data, at)
    }

    fn write(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        if at == 0 && !self.said && data.starts_with(&QCOW2_MAGIC) {
            return Err(io::Error::other(
                "the guest would have made it look like a qcow2 image; say format=raw if it may",
            ));
        }
        self.file.write_all_at(data, at)
    }

    fn zero(&mut self, at: u64, bytes: u64, unmap: bool) -> io::Result<()> {
        let ways: &[FallocateFlags] = match unmap {
            true => &[FallocateFlags::PUNCH_HOLE, FallocateFlags::ZERO_RANGE],
            false => &[FallocateFlags::ZERO_RANGE],
        };
        for how in ways {
            if self.allocate(at, bytes, *how)? {
                return Ok(());
            }
        }
        let mut done = 0;
        while done < bytes {
            let piece = usize::try_from(bytes - done).unwrap_or(usize::MAX).min(ZEROS.len());
            self.file.write_all_at(&ZEROS[..piece], at + done)?;
            done += piece as u64;
        }
        Ok(())
    }

    fn discard(&mut self, at: u64, bytes: u64) -> io::Result<()> {
        // A file system that cannot give room back keeps it.
        self.allocate(at, bytes, FallocateFlags::PUNCH_HOLE).map(|_| ())
    }

    fn settle(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.file)
    }
}
