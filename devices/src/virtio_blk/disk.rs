//! What a block device asks of the host.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// The unit of all places and lengths on a disk (5.2: `capacity` counts them, whatever `blk_size` is).
pub const SECTOR_BYTES: u64 = 512;
/// Size of the disk that is none.
const NO_DISK_BYTES: u64 = 64 << 20;

/// How a file stores a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// As the first bytes of the file say.
    #[default]
    Auto,
    /// Byte for byte.
    Raw,
    /// As QEMU's format of that name, version 2 or 3.
    Qcow2,
}

/// Which disk the host is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Its file.
    pub path: &'a Path,
    /// How the file stores it.
    pub format: Format,
    /// Whether it will be written.
    pub writable: bool,
}

/// What the host says of a disk's content: another value when something else has written it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Bytes of the file.
    pub bytes: u64,
    /// When it was last written, in seconds since 1970.
    pub written_s: i64,
    /// Nanoseconds of that.
    pub written_ns: i64,
}

/// The host could not do it. Why is for the host's user, whom the host has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host could not do it")]
pub struct DiskError;

/// A disk of the host. Places and lengths are bytes, multiples of [`SECTOR_BYTES`], and within [`Self::bytes`]: the device has
/// checked that.
pub trait Disk: Send {
    /// Its size, a multiple of [`SECTOR_BYTES`], which never changes.
    fn bytes(&self) -> u64;
    /// Fills `data` from `at` on.
    ///
    /// # Errors
    ///
    /// The host cannot read it.
    fn read(&mut self, at: u64, data: &mut [u8]) -> Result<(), DiskError>;
    /// Writes `data` at `at`.
    ///
    /// # Errors
    ///
    /// The host cannot write it, or has no room for it.
    fn write(&mut self, at: u64, data: &[u8]) -> Result<(), DiskError>;
    /// Makes so many bytes at `at` zero; with `unmap` the host may give their room back.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    fn zero(&mut self, at: u64, bytes: u64, unmap: bool) -> Result<(), DiskError>;
    /// Says that nobody will read so many bytes at `at` again before they are written.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    fn discard(&mut self, at: u64, bytes: u64) -> Result<(), DiskError>;
    /// Returns when all that was written is on what survives a loss of power.
    ///
    /// # Errors
    ///
    /// The host cannot promise that.
    fn flush(&mut self) -> Result<(), DiskError>;
    /// What its file looks like when all that was written is in it.
    fn fingerprint(&self) -> Fingerprint;
}

/// The disk of a device without a file: 64 MiB of zeros. It is never written.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDisk;

impl Disk for NoDisk {
    fn bytes(&self) -> u64 {
        NO_DISK_BYTES
    }

    fn read(&mut self, _: u64, data: &mut [u8]) -> Result<(), DiskError> {
        data.fill(0);
        Ok(())
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), DiskError> {
        Err(DiskError)
    }

    fn zero(&mut self, _: u64, _: u64, _: bool) -> Result<(), DiskError> {
        Err(DiskError)
    }

    fn discard(&mut self, _: u64, _: u64) -> Result<(), DiskError> {
        Err(DiskError)
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        Ok(())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint { bytes: NO_DISK_BYTES, ..Fingerprint::default() }
    }
}
