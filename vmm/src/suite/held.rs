//! Folders that hold something for as long as a process lives. What a killed one has left is removed by the next.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

/// So many names are tried.
const TRIES: usize = 16;

/// A new folder with a name of its own, gone when this is dropped.
pub struct Held {
    folder: TempDir,
    /// The lock on it ends with this process, however that ends.
    _lock: File,
}

impl Held {
    /// Makes one in `parent` whose name begins with `prefix`.
    ///
    /// # Errors
    ///
    /// The host's file system.
    pub fn new(parent: &Path, prefix: &str) -> io::Result<Held> {
        for _ in 0..TRIES {
            let folder = match tempfile::Builder::new().prefix(prefix).tempdir_in(parent) {
                // Another process had nothing to leave there, and took it away.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(parent)?;
                    continue;
                }
                made => made?,
            };
            // Between these two lines another process may take it for one that was left.
            if let Some(lock) = locked(folder.path()) {
                return Ok(Held { folder, _lock: lock });
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Gives the folder another name, under which it stays.
    ///
    /// # Errors
    ///
    /// The host's file system.
    pub fn keep_as(self, to: &Path) -> io::Result<()> {
        fs::rename(self.folder.path(), to)?;
        let _ = self.folder.keep();
        Ok(())
    }
}

/// Locks a folder, if no other process holds it and it is still there.
fn locked(folder: &Path) -> Option<File> {
    let file = File::open(folder).ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    folder.is_dir().then_some(file)
}

/// Removes the folders in `parent` whose names begin with `prefix` and whose processes are gone.
pub fn sweep(parent: &Path, prefix: &str) {
    let left = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
    };
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(left) {
        if let Some(_lock) = locked(&path) {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_holds_is_swept_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let held = Held::new(parent.path(), "stage-").unwrap();
        let left = parent.path().join("stage-left");
        fs::create_dir_all(left.join("files")).unwrap();
        fs::create_dir(parent.path().join("other")).unwrap();
        sweep(parent.path(), "stage-");
        assert!(held.path().is_dir() && !left.exists() && parent.path().join("other").is_dir());
        let path = held.path().to_path_buf();
        let to = parent.path().join("kept");
        held.keep_as(&to).unwrap();
        assert!(!path.exists() && to.is_dir());
        drop(Held::new(parent.path(), "stage-").unwrap());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_parent_that_another_process_took_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().join("results/here");
        assert!(Held::new(&parent, "stage-").unwrap().path().starts_with(&parent));
    }
}
