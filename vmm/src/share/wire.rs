//! The FUSE protocol's structures, as they are on the wire (Linux, `include/uapi/linux/fuse.h`, 7.31).
//!
//! Those crates that have them, `fuse-backend-rs` and `virtiofsd`, need other versions of crates that are here already, and read
//! requests from a queue's descriptors or a file, not from bytes (docs/virtio-fs.md).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The protocol that is spoken: 7.31.
pub const MAJOR: u32 = 7;
/// The minor version that is answered.
pub const MINOR: u32 = 31;
/// The oldest minor version whose structures are these.
pub const OLDEST_MINOR: u32 = 27;
/// The directory itself.
pub const ROOT_ID: u64 = 1;
/// An inode number that is not known yet.
pub const UNKNOWN_INO: u64 = 0xffff_ffff;

/// What is asked for: `enum fuse_opcode`.
pub mod opcode {
    #![allow(missing_docs)]
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const SETATTR: u32 = 4;
    pub const READLINK: u32 = 5;
    pub const SYMLINK: u32 = 6;
    pub const MKNOD: u32 = 8;
    pub const MKDIR: u32 = 9;
    pub const UNLINK: u32 = 10;
    pub const RMDIR: u32 = 11;
    pub const RENAME: u32 = 12;
    pub const LINK: u32 = 13;
    pub const OPEN: u32 = 14;
    pub const READ: u32 = 15;
    pub const WRITE: u32 = 16;
    pub const STATFS: u32 = 17;
    pub const RELEASE: u32 = 18;
    pub const FSYNC: u32 = 20;
    pub const SETXATTR: u32 = 21;
    pub const REMOVEXATTR: u32 = 24;
    pub const FLUSH: u32 = 25;
    pub const INIT: u32 = 26;
    pub const OPENDIR: u32 = 27;
    pub const READDIR: u32 = 28;
    pub const RELEASEDIR: u32 = 29;
    pub const FSYNCDIR: u32 = 30;
    pub const CREATE: u32 = 35;
    pub const INTERRUPT: u32 = 36;
    pub const DESTROY: u32 = 38;
    pub const BATCH_FORGET: u32 = 42;
    pub const FALLOCATE: u32 = 43;
    pub const READDIRPLUS: u32 = 44;
    pub const RENAME2: u32 = 45;
    pub const TMPFILE: u32 = 51;
}

/// Flags of INIT.
pub mod init {
    #![allow(missing_docs)]
    pub const ASYNC_READ: u32 = 1;
    pub const BIG_WRITES: u32 = 1 << 5;
    pub const AUTO_INVAL_DATA: u32 = 1 << 12;
    pub const DO_READDIRPLUS: u32 = 1 << 13;
    pub const READDIRPLUS_AUTO: u32 = 1 << 14;
    pub const NO_OPEN_SUPPORT: u32 = 1 << 17;
    pub const MAX_PAGES: u32 = 1 << 22;
    pub const CACHE_SYMLINKS: u32 = 1 << 23;
    pub const NO_OPENDIR_SUPPORT: u32 = 1 << 24;
}

/// Which of [`SetattrIn`] are set.
pub mod fattr {
    #![allow(missing_docs)]
    pub const MODE: u32 = 1;
    pub const UID: u32 = 1 << 1;
    pub const GID: u32 = 1 << 2;
    pub const SIZE: u32 = 1 << 3;
    pub const ATIME: u32 = 1 << 4;
    pub const MTIME: u32 = 1 << 5;
    pub const FH: u32 = 1 << 6;
    pub const MTIME_NOW: u32 = 1 << 8;
}

/// Declares structures of the wire, each `#[repr(C)]` and without padding of the compiler's.
macro_rules! wire {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
        #[repr(C)]
        #[allow(missing_docs)]
        pub struct $name { $(pub $field: $type,)* })*
    };
}

wire! {
    /// `struct fuse_in_header`.
    InHeader { len: u32, opcode: u32, unique: u64, node: u64, uid: u32, gid: u32, pid: u32, extensions: u16, padding: u16, }
    /// `struct fuse_out_header`.
    OutHeader { len: u32, error: i32, unique: u64, }
    /// `struct fuse_attr`.
    Attr {
        ino: u64, size: u64, blocks: u64, atime: u64, mtime: u64, ctime: u64, atime_ns: u32, mtime_ns: u32, ctime_ns: u32,
        mode: u32, nlink: u32, uid: u32, gid: u32, rdev: u32, block_bytes: u32, flags: u32,
    }
    /// `struct fuse_entry_out`.
    EntryOut {
        node: u64, generation: u64, entry_valid_s: u64, attr_valid_s: u64, entry_valid_ns: u32, attr_valid_ns: u32, attr: Attr,
    }
    /// `struct fuse_attr_out`.
    AttrOut { valid_s: u64, valid_ns: u32, dummy: u32, attr: Attr, }
    /// `struct fuse_init_in`, as far as all versions have it.
    InitIn { major: u32, minor: u32, max_readahead: u32, flags: u32, }
    /// `struct fuse_init_out`.
    InitOut {
        major: u32, minor: u32, max_readahead: u32, flags: u32, max_background: u16, congestion_threshold: u16,
        max_write: u32, time_gran_ns: u32, max_pages: u16, map_alignment: u16, flags2: u32, unused: [u32; 7],
    }
    /// `struct fuse_open_in`.
    OpenIn { flags: u32, open_flags: u32, }
    /// `struct fuse_open_out`.
    OpenOut { handle: u64, open_flags: u32, padding: u32, }
    /// `struct fuse_create_in`.
    CreateIn { flags: u32, mode: u32, umask: u32, open_flags: u32, }
    /// `struct fuse_release_in`.
    ReleaseIn { handle: u64, flags: u32, release_flags: u32, lock_owner: u64, }
    /// `struct fuse_read_in`, and `struct fuse_write_in`.
    ReadIn {
        handle: u64, offset: u64, size: u32, io_flags: u32, lock_owner: u64, flags: u32, padding: u32,
    }
    /// `struct fuse_write_out`.
    WriteOut { size: u32, padding: u32, }
    /// `struct fuse_dirent` without the name.
    Dirent { ino: u64, off: u64, name_bytes: u32, kind: u32, }
    /// `struct fuse_kstatfs`, which is `struct fuse_statfs_out`.
    StatfsOut {
        blocks: u64, bfree: u64, bavail: u64, files: u64, ffree: u64, bsize: u32, name_bytes: u32, frsize: u32, padding: u32,
        spare: [u32; 6],
    }
    /// `struct fuse_forget_in`.
    ForgetIn { lookups: u64, }
    /// `struct fuse_batch_forget_in`.
    BatchForgetIn { count: u32, dummy: u32, }
    /// `struct fuse_forget_one`.
    ForgetOne { node: u64, lookups: u64, }
    /// `struct fuse_setattr_in`.
    SetattrIn {
        valid: u32, padding: u32, handle: u64, size: u64, lock_owner: u64, atime: u64, mtime: u64, ctime: u64, atime_ns: u32,
        mtime_ns: u32, ctime_ns: u32, mode: u32, unused4: u32, uid: u32, gid: u32, unused5: u32,
    }
    /// `struct fuse_mknod_in`.
    MknodIn { mode: u32, rdev: u32, umask: u32, padding: u32, }
    /// `struct fuse_mkdir_in`.
    MkdirIn { mode: u32, umask: u32, }
    /// `struct fuse_rename_in`.
    RenameIn { new_dir: u64, }
    /// `struct fuse_rename2_in`.
    Rename2In { new_dir: u64, flags: u32, padding: u32, }
    /// `struct fuse_link_in`.
    LinkIn { node: u64, }
    /// `struct fuse_fsync_in`.
    FsyncIn { handle: u64, flags: u32, padding: u32, }
    /// `struct fuse_fallocate_in`.
    FallocateIn { handle: u64, offset: u64, length: u64, mode: u32, padding: u32, }
}
