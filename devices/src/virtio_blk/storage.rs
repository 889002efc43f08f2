//! What the requests reach: the host's disk, or the overlay above it.

use super::disk::{Disk, DiskError};
use super::overlay::Overlay;

/// The disk as the guest sees it.
pub struct Storage {
    /// The host's.
    pub disk: Box<dyn Disk>,
    /// What the guest wrote, where the host's disk is not to be written.
    pub overlay: Option<Overlay>,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let overlay = self.overlay.as_ref().map(Overlay::bytes);
        f.debug_struct("Storage").field("bytes", &self.disk.bytes()).field("overlay", &overlay).finish()
    }
}

impl Storage {
    /// As [`Disk::read`].
    pub fn read(&mut self, at: u64, data: &mut [u8]) -> Result<(), DiskError> {
        match &self.overlay {
            Some(overlay) => overlay.read(&mut *self.disk, at, data),
            None => self.disk.read(at, data),
        }
    }

    /// As [`Disk::write`].
    pub fn write(&mut self, at: u64, data: &[u8]) -> Result<(), DiskError> {
        match &mut self.overlay {
            Some(overlay) => overlay.write(&mut *self.disk, at, data),
            None => self.disk.write(at, data),
        }
    }

    /// As [`Disk::zero`].
    pub fn zero(&mut self, at: u64, bytes: u64, unmap: bool) -> Result<(), DiskError> {
        match &mut self.overlay {
            Some(overlay) => overlay.zero(&mut *self.disk, at, bytes),
            None => self.disk.zero(at, bytes, unmap),
        }
    }

    /// As [`Disk::discard`].
    pub fn discard(&mut self, at: u64, bytes: u64) -> Result<(), DiskError> {
        match &mut self.overlay {
            Some(overlay) => {
                overlay.discard(at, bytes);
                Ok(())
            }
            None => self.disk.discard(at, bytes),
        }
    }

    /// As [`Disk::flush`]. What an overlay has is as safe as it will ever be.
    pub fn flush(&mut self) -> Result<(), DiskError> {
        if self.overlay.is_some() { Ok(()) } else { self.disk.flush() }
    }
}
