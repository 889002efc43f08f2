//! A disk in a qcow2 image, by the crate `imago`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use fencepost_devices::virtio_blk::{Fingerprint, Wanted};
use imago::file::File as ImageFile;
use imago::qcow2::Qcow2;
use imago::{DenyImplicitOpenGate, FormatAccess, FormatDriverBuilder, StorageOpenOptions};

use super::kept::Medium;
use super::{disk_size, fingerprint};
use crate::error::plain;

/// The disk.
pub struct Qcow2Disk {
    image: FormatAccess<ImageFile>,
    /// The same open file, for what the crate does not tell.
    file: File,
    bytes: u64,
    writable: bool,
}

impl Qcow2Disk {
    /// The disk in the image `file`.
    ///
    /// # Errors
    ///
    /// It is damaged, of a kind that the crate does not know, or needs another file: why, and the fix.
    pub fn new(file: File, wanted: Wanted<'_>) -> Result<Self, String> {
        let refused = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "is a qcow2 image that needs another file, which is never opened; \
                 `qemu-img convert -O qcow2 FILE OTHER` makes one image of both"
                    .to_string()
            }
            _ => format!("is no sound qcow2 image: {}; `qemu-img check FILE` says more", plain(&error)),
        };
        if wanted.writable && !counts_its_header(&file).unwrap_or(false) {
            return Err(
                "is no sound qcow2 image: its first cluster counts as free; `qemu-img check FILE` says more"
                    .into(),
            );
        }
        let options = StorageOpenOptions::new().filename(wanted.path).write(wanted.writable);
        let storage = file.try_clone().and_then(|file| ImageFile::from_open_file(file, options));
        let image = storage.and_then(|storage| {
            Qcow2::<ImageFile>::builder(storage).write(wanted.writable).open(DenyImplicitOpenGate::default())
        });
        let image = FormatAccess::new(image.map_err(refused)?);
        let bytes = disk_size(image.size())?;
        Ok(Qcow2Disk { image, file, bytes, writable: wanted.writable })
    }
}

/// Whether the reference counts (QEMU, docs/interop/qcow2.txt) say that the header's cluster is used. The crate takes that for granted:
/// it would put data over the header, or look for room without an end. Numbers are big endian.
fn counts_its_header(file: &File) -> io::Result<bool> {
    let number = |at: u64| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at).map(|()| u64::from_be_bytes(bytes))
    };
    let word = |at: u64| number(at).map(|both| (both >> 32) as u32);
    let (is_version_2, has_table) = (word(4)? == 2, word(56)? != 0);
    // The table's first entry is where the first block of counts is; its lowest 9 bits have no meaning.
    let block = number(number(48)?)? & !0x1ff;
    let count_bits = if is_version_2 { Some(16) } else { 1u32.checked_shl(word(96)?) };
    let Some(count_bits @ 1..=64) = count_bits.filter(|_| has_table && block != 0) else { return Ok(false) };
    // Counts of less than a byte begin with its lowest bits.
    Ok(match count_bits {
        8.. => number(block)? >> (64 - count_bits) != 0,
        few => number(block)? >> 56 & ((1 << few) - 1) != 0,
    })
}

impl Medium for Qcow2Disk {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read(&mut self, at: u64, data: &mut [u8]) -> io::Result<()> {
        self.image.read(data, at)
    }

    fn write(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.image.write(data, at)
    }

    fn zero(&mut self, at: u64, bytes: u64, unmap: bool) -> io::Result<()> {
        if unmap { self.image.discard_to_zero(at, bytes) } else { self.image.write_zeroes(at, bytes) }
    }

    fn discard(&mut self, at: u64, bytes: u64) -> io::Result<()> {
        match self.image.discard_to_any(at, bytes) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
            done => done,
        }
    }

    fn settle(&self) -> io::Result<()> {
        if self.writable { self.image.flush() } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        self.image.sync()
    }

    fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.file)
    }
}
