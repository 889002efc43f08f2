//! How the host's files are reached: by one name at a time, from a directory that is open, and never out of it.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Statx, StatxAttributes, StatxFlags, openat, openat2,
    statx,
};
use rustix::io::Errno;

/// The longest name (Linux, `NAME_MAX`).
const NAME_MAX_BYTES: usize = 255;

/// Not above the directory, not through a link of any kind, and not into another file system that is mounted below.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// A name of one file in a directory.
///
/// # Errors
///
/// Names that lead elsewhere, and those that are too long.
pub fn name(name: &CStr) -> Result<&CStr, Errno> {
    match name.to_bytes() {
        [] | b"." | b".." => Err(Errno::INVAL),
        bytes if bytes.contains(&b'/') => Err(Errno::INVAL),
        bytes if bytes.len() > NAME_MAX_BYTES => Err(Errno::NAMETOOLONG),
        _ => Ok(name),
    }
}

/// Opens what `name` is in the directory `dir`, with `flags` and, where it is made, `mode`. The last part of [`BENEATH`] is told as
/// if it were not permitted.
///
/// # Errors
///
/// The host's.
pub fn open(dir: BorrowedFd<'_>, name: &CStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(dir, name, flags, mode, BENEATH).map_err(|error| match error {
        Errno::XDEV => Errno::ACCESS,
        // Without O_PATH, a link is not followed.
        error => error,
    })
}

/// A place of what `name` is in `dir`, which reads nothing.
///
/// # Errors
///
/// As [`open`].
pub fn place(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    open(dir, name, OFlags::PATH, Mode::empty())
}

/// The attributes of what `name` is in `dir`. Links are not followed.
///
/// # Errors
///
/// The host's; `EACCES` of what another file system is mounted on, and of all but files, directories and symbolic links.
pub fn look(dir: BorrowedFd<'_>, name: &CStr) -> Result<Statx, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    shareable(statx(dir, name, flags, StatxFlags::BASIC_STATS)?)
}

/// The attributes of what is open.
///
/// # Errors
///
/// The host's.
pub fn look_at(fd: BorrowedFd<'_>) -> Result<Statx, Errno> {
    statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
}

fn shareable(stat: Statx) -> Result<Statx, Errno> {
    let plain = matches!(kind(&stat), FileType::RegularFile | FileType::Directory | FileType::Symlink);
    if stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) || !plain {
        return Err(Errno::ACCESS);
    }
    Ok(stat)
}

/// What it is.
pub fn kind(stat: &Statx) -> FileType {
    FileType::from_raw_mode(stat.stx_mode.into())
}

/// What a file is on this host: the file system, and its number there.
pub fn identity(stat: &Statx) -> (u64, u64) {
    (rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino)
}

/// The process's own descriptors as files, by which a place becomes a file: the very same one, whatever its name means by now.
pub struct Reopen(OwnedFd);

impl Reopen {
    /// # Errors
    ///
    /// The host has no `/proc`.
    pub fn new() -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Reopen(openat(CWD, c"/proc/self/fd", flags, Mode::empty())?))
    }

    /// Opens a place, which is a file or directory, with these flags.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn open(&self, place: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd, Errno> {
        // A file of the kind that blocks or acts when it is opened never has a place; this is one more lock on that door.
        let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        openat(&self.0, place.as_raw_fd().to_string(), flags, Mode::empty())
    }

    /// A place as a name, for those calls that take nothing else: relative to the first of the two.
    pub fn named(&self, place: BorrowedFd<'_>) -> (BorrowedFd<'_>, String) {
        use std::os::fd::AsFd;
        (self.0.as_fd(), place.as_raw_fd().to_string())
    }
}

/// The place of the directory that is shared: the host's user names it, and may do so by a link.
///
/// # Errors
///
/// The host's; `ENOSYS` where it cannot confine the guest.
pub fn root(path: &Path) -> Result<OwnedFd, Errno> {
    use std::os::fd::AsFd;
    let root = openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    open(root.as_fd(), c".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    Ok(root)
}
