//! Disks in files: raw and qcow2. What is wrong with a file is found when it is opened, and is one line with the fix.
//!
//! One machine writes a file, or several read it: a lock on the file (`flock`) keeps another machine out, whatever its path.
//!
//! A guest that writes the first bytes of a qcow2 image into a raw disk must not have the next run read it as one, with whatever
//! tables it holds. So a disk that nobody said was raw, and that did not begin so, cannot be made to: that one write fails. A
//! qcow2 image that names another file, to be read or written, is refused always.

mod kept;
mod qcow2;
mod raw;
#[cfg(test)]
mod tests;

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use fencepost_devices::virtio_blk::{Disk, Fingerprint, Format, SECTOR_BYTES, Wanted};
use rustix::fs::{FlockOperation, flock};

use crate::error::plain;
use crate::failures::Failures;

use kept::{Kept, Medium};

/// What a qcow2 image begins with.
const QCOW2_MAGIC: [u8; 4] = *b"QFI\xfb";

/// Opens a disk; what goes wrong later is noted in `failures`.
///
/// # Errors
///
/// Why not, and the fix, as a line that names the file.
pub fn open(wanted: Wanted<'_>, failures: Failures) -> Result<Box<dyn Disk>, String> {
    let name = wanted.path.display().to_string();
    let medium = medium(wanted).map_err(|why| format!("{name}: {why}"))?;
    Ok(Box::new(Kept::new(medium, name, failures)))
}

fn medium(wanted: Wanted<'_>) -> Result<Box<dyn Medium>, String> {
    let file = open_file(wanted.path, wanted.writable)?;
    lock(&file, wanted.writable)?;
    let mut first = [0; 4];
    // A file of fewer bytes is no disk, which is said below.
    let is_qcow2 = file.read_exact_at(&mut first, 0).is_ok() && first == QCOW2_MAGIC;
    match (wanted.format, is_qcow2) {
        (Format::Qcow2, false) => Err("is no qcow2 image; leave out format=qcow2".into()),
        (Format::Qcow2 | Format::Auto, true) => Ok(Box::new(qcow2::Qcow2Disk::new(file, wanted)?)),
        (format, _) => Ok(Box::new(raw::RawDisk::new(file, format == Format::Raw)?)),
    }
}

fn open_file(path: &Path, writable: bool) -> Result<File, String> {
    let fix = if writable {
        "name a file that can be written, or add ro or snapshot"
    } else {
        "name a file that can be read"
    };
    let failed = |error: std::io::Error| format!("{}; {fix}", plain(&error));
    let disk = |kind: FileType| match kind.is_file() || kind.is_block_device() {
        true => Ok(()),
        false => {
            let what = if kind.is_dir() { "is a folder" } else { "is no regular file" };
            Err(format!("{what}; name the file of a disk, or a block device"))
        }
    };
    disk(fs::metadata(path).map_err(failed)?.file_type())?;
    // What has come in its place meanwhile must not hold us, as a pipe would, and is looked at again.
    let mut options = OpenOptions::new();
    let file = options.read(true).write(writable).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.map_err(failed)?;
    disk(file.metadata().map_err(failed)?.file_type())?;
    Ok(file)
}

fn lock(file: &File, writable: bool) -> Result<(), String> {
    let how = if writable {
        FlockOperation::NonBlockingLockExclusive
    } else {
        FlockOperation::NonBlockingLockShared
    };
    match flock(file, how) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let fix = "end that one, or give both the disk with ro or snapshot";
            Err(format!("is in use by another machine; {fix}"))
        }
        // Some network file systems have no locks.
        Err(rustix::io::Errno::NOTSUP | rustix::io::Errno::NOLCK) => Ok(()),
        Err(error) => {
            Err(format!("cannot be locked: {}; copy it to another file system", plain(&error.into())))
        }
    }
}

/// The bytes of a file or block device.
fn length(mut file: &File) -> std::io::Result<u64> {
    file.seek(SeekFrom::End(0))
}

/// A size that a disk can have.
fn disk_size(bytes: u64) -> Result<u64, String> {
    if bytes == 0 {
        return Err("is empty; give it a size, such as with `truncate -s 1G FILE`".into());
    }
    if i64::try_from(bytes).is_err() {
        return Err("says that it has more bytes than any file can have; name another one".into());
    }
    if bytes % SECTOR_BYTES != 0 {
        let even = bytes.next_multiple_of(SECTOR_BYTES);
        return Err(format!(
            "has {bytes} bytes, which are no whole sectors; `truncate -s {even} FILE` fills the last"
        ));
    }
    Ok(bytes)
}

/// What the host says of the file. Of a block device it says nothing but the size.
fn fingerprint(file: &File) -> Fingerprint {
    let bytes = length(file).unwrap_or_default();
    match file.metadata() {
        Ok(said) if said.is_file() => {
            Fingerprint { bytes, written_s: said.mtime(), written_ns: said.mtime_nsec() }
        }
        _ => Fingerprint { bytes, ..Fingerprint::default() },
    }
}
