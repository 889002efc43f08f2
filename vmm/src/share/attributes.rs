//! What the guest sees of a file's attributes: only what two copies of a directory have in common.

use rustix::fs::{FileType, Statx};

use super::wire::{Attr, AttrOut, EntryOut};

/// Bytes of a block, as the guest is told.
const BLOCK_BYTES: u32 = 4096;
/// The bytes that a directory is told to have: the host's number depends on its history.
const DIRECTORY_BYTES: u64 = 4096;

/// Who is shown as root: the user and group that this process runs as.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// The process's.
    pub fn of_process() -> Self {
        Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
    }

    /// The attributes of node `ino`.
    ///
    /// Access and change times are shown as the time of modification, for reading and copying change them. A directory's links and
    /// size, and how many blocks a file takes, depend on the host's file system.
    pub fn attributes(self, ino: u64, stat: &Statx) -> Attr {
        let is_directory = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory;
        let size = if is_directory { DIRECTORY_BYTES } else { stat.stx_size };
        // Times before 1970 are negative, and the wire has them so.
        let (time, time_ns) = (stat.stx_mtime.tv_sec as u64, stat.stx_mtime.tv_nsec);
        Attr {
            ino,
            size,
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            atime_ns: time_ns,
            mtime_ns: time_ns,
            ctime_ns: time_ns,
            mode: stat.stx_mode.into(),
            nlink: if is_directory { 1 } else { stat.stx_nlink },
            uid: if stat.stx_uid == self.uid { 0 } else { stat.stx_uid },
            gid: if stat.stx_gid == self.gid { 0 } else { stat.stx_gid },
            rdev: 0,
            block_bytes: BLOCK_BYTES,
            flags: 0,
        }
    }
}

/// The reply with attributes, which hold for `cache_s` seconds.
pub fn attr_out(attr: Attr, cache_s: u32) -> AttrOut {
    AttrOut { valid_s: cache_s.into(), attr, ..AttrOut::default() }
}

/// The reply with a node and its attributes, which hold for `cache_s` seconds.
pub fn entry_out(attr: Attr, cache_s: u32) -> EntryOut {
    let valid = u64::from(cache_s);
    EntryOut { node: attr.ino, entry_valid_s: valid, attr_valid_s: valid, attr, ..EntryOut::default() }
}
