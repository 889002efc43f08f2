//! A file that is there whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};

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

/// Whether [`write()`] could begin to write `path` now.
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

/// Gives the file its name. A link cannot take the place of another file: where there is one it is made beside it and renamed.
/// A process that dies in between leaves the link; the next that wants its name removes it.
fn name(file: &File, target: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    let link = |at: &Path| match rustix::fs::linkat(CWD, &open, CWD, at, AtFlags::SYMLINK_FOLLOW) {
        // There is no /proc. Without it the host wants CAP_DAC_READ_SEARCH, or from Linux 6.10 on that we have opened it.
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::ACCESS) => {
            rustix::fs::linkat(file, "", CWD, at, AtFlags::EMPTY_PATH)
        }
        done => done,
    };
    match link(target) {
        Err(rustix::io::Errno::EXIST) => {}
        done => return Ok(done?),
    }
    // Whoever finds the link can tell that its process lives.
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)?;
    let mut number = 0;
    while number < NAMES {
        let beside = target.with_file_name(format!(".fencepost-{number}.part"));
        match link(&beside) {
            Ok(()) => {
                return fs::rename(&beside, target).inspect_err(|_| {
                    // Report the first error.
                    let _ = fs::remove_file(&beside);
                });
            }
            Err(rustix::io::Errno::EXIST) if remove_abandoned(&beside) => {}
            Err(rustix::io::Errno::EXIST) => number += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Err(rustix::io::Errno::EXIST.into())
}

/// Removes a link that a process has left which died; whether it did.
fn remove_abandoned(beside: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(left) = rustix::fs::open(beside, flags, Mode::empty()) else { return false };
    rustix::fs::flock(&left, FlockOperation::NonBlockingLockExclusive).is_ok()
        && fs::remove_file(beside).is_ok()
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

    #[test]
    fn what_a_dead_process_left_is_removed_and_what_a_living_one_has_is_not() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("kept");
        write(&path, |_| Ok(())).expect("written");
        let part = |number: u32| folder.path().join(format!(".fencepost-{number}.part"));
        fs::write(part(0), "of a living process").expect("written");
        let living = File::open(part(0)).expect("opened");
        rustix::fs::flock(&living, FlockOperation::NonBlockingLockExclusive).expect("locked");
        fs::write(part(1), "of a dead one").expect("written");
        write(&path, |mut file| file.write_all(b"new")).expect("replaced");
        assert_eq!(fs::read(&path).expect("there"), b"new");
        assert!(part(0).exists() && !part(1).exists());
        drop(living);
        write(&path, |_| Ok(())).expect("replaced");
        assert!(!part(0).exists());
    }

    #[test]
    fn several_threads_that_write_one_file_leave_a_whole_one() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("kept");
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..50 {
                        write(path, |mut file| file.write_all(&[thread; 1000])).expect("written");
                    }
                });
            }
        });
        let read = fs::read(&path).expect("there");
        assert!(read.len() == 1000 && read.iter().all(|byte| *byte == read[0]));
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }
}
