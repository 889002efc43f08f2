//! A file in memory, for what reads only files.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, memfd_create};

/// A file without a name that holds `bytes`, and a path at which it can be opened as long as it lives.
pub fn file(bytes: &[u8]) -> (File, PathBuf) {
    let mut file =
        File::from(memfd_create("fuzz", MemfdFlags::CLOEXEC).expect("the host gives a file in memory"));
    file.write_all(bytes).expect("memory takes it");
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    (file, path.into())
}
