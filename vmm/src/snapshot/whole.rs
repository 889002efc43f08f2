//! A file that is there whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

/// So many names for the file's last moment under another name are tried.
const NAMES: u32 = 100;

/// Calls `write` to fill a new file that gets its name only when all of it is on the disk. A failure, a signal or the death of
/// this process leaves under `path` what was there before: until then the file has no name, so the host frees it.
///
/// # Errors
///
/// Those of `write` and of the host. A path that exists and is no regular file is refused.
pub fn write(path: &Path, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let (file, target) = begin(path)?;
    write(&file)?;
    file.sync_all()?;
    name(&file, &target)
}

/// Whether [`write`] could begin to write `path` now.
///
/// # Errors
///
/// Why it could not.
pub fn check(path: &Path) -> io::Result<()> {
    begin(path).map(drop)
}

/// A file without a name on the disk where `path` will be, and that path without links.
fn begin(path: &Path) -> io::Result<(File, PathBuf)> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::other("is not a regular file"));
    }
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = Mode::RUSR | Mode::WUSR;
    let file = rustix::fs::open(folder, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode)?;
    Ok((File::from(file), target))
}

/// Gives the file its name. A link cannot take the place of another file, so it is made beside it and renamed.
fn name(file: &File, target: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
    for number in 0..NAMES {
        let beside = target.with_file_name(format!(".fencepost-{}-{number}.part", std::process::id()));
        match rustix::fs::linkat(CWD, &open, CWD, &beside, AtFlags::SYMLINK_FOLLOW) {
            Ok(()) => {
                return fs::rename(&beside, target).inspect_err(|_| {
                    // Report the first error.
                    let _ = fs::remove_file(&beside);
                });
            }
            Err(rustix::io::Errno::EXIST) => taken = rustix::io::Errno::EXIST.into(),
            Err(error) => return Err(error.into()),
        }
    }
    Err(taken)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_cannot_be_finished_leaves_the_old_one_and_nothing_else() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("kept");
        write(&path, |mut file| file.write_all(b"old")).expect("written");
        let failed = write(&path, |mut file| {
            file.write_all(b"new")?;
            Err(io::Error::other("enough"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).expect("there"), b"old");
        write(&path, |mut file| file.write_all(b"newer")).expect("replaced");
        assert_eq!(fs::read(&path).expect("there"), b"newer");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn a_folder_or_a_device_is_not_replaced() {
        let folder = tempfile::tempdir().expect("folder");
        for path in [folder.path(), Path::new("/dev/null")] {
            assert!(write(path, |_| Ok(())).is_err(), "{}", path.display());
            assert!(check(path).is_err(), "{}", path.display());
        }
    }
}
