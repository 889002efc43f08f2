//! What is in use in the cache folder, by this process and by others: nobody prunes it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

/// Keeps a file or a folder from being pruned until it is dropped: a lock that many may have.
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "its lock is what is kept")] File);

impl Hold {
    /// Holds what is at `path`, which is the newest from now on; none if nothing is, or somebody is pruning it.
    pub fn of(path: &Path) -> Option<Hold> {
        let file = File::open(path).ok()?;
        flock(&file, FlockOperation::NonBlockingLockShared).ok()?;
        // Whoever had the other lock may have taken it away.
        if !is(path, &file) {
            return None;
        }
        // Only the order of removal depends on it.
        let _ = file.set_modified(SystemTime::now());
        Some(Hold(file))
    }
}

/// Whether `file` is what is at `path`.
fn is(path: &Path, file: &File) -> bool {
    let identity = |of: fs::Metadata| (of.dev(), of.ino());
    let there = fs::metadata(path).ok().map(identity);
    there.is_some() && there == file.metadata().ok().map(identity)
}

/// Has `remove` take away what is at `path`, if nobody holds it.
pub fn remove_idle(path: &Path, remove: impl FnOnce(&Path)) {
    let Ok(file) = File::open(path) else { return };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() && is(path, &file) {
        remove(path);
    }
}

/// The files and folders in `folder` and when each was used last, the newest first.
pub fn by_use(folder: &Path) -> Vec<(SystemTime, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<_> =
        entries.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    all
}

/// Holds, each once.
#[derive(Debug, Default)]
pub struct Holds(Mutex<BTreeMap<PathBuf, Hold>>);

impl Holds {
    /// Whether `path` is there, and held by these from now on.
    pub fn add(&self, path: &Path) -> bool {
        let Some(hold) = Hold::of(path) else { return false };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(path.to_path_buf(), hold);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn remove_file(path: &Path) {
        remove_idle(path, |path| fs::remove_file(path).expect("there"));
    }

    /// Runs flock(1), which holds `path` by `how` until it is killed.
    fn held_elsewhere(path: &Path, how: &str) -> Child {
        let mut other = Command::new("flock");
        other.args([how, "--no-fork"]).arg(path).args(["sh", "-c", "echo held; exec sleep 600"]);
        let mut other = other.stdout(Stdio::piped()).spawn().expect("flock(1), of util-linux");
        let mut said = [0; 5];
        other.stdout.as_mut().expect("piped").read_exact(&mut said).expect("it holds");
        other
    }

    #[test]
    fn what_another_process_holds_stays_and_what_it_removes_is_not_held() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, "text").expect("written");
        let mut other = held_elsewhere(&path, "--shared");
        assert!(Hold::of(&path).is_some(), "both may hold it");
        remove_file(&path);
        assert!(path.exists());
        end(&mut other);
        let mut other = held_elsewhere(&path, "--exclusive");
        assert!(Hold::of(&path).is_none(), "it is being removed");
        end(&mut other);
        remove_file(&path);
        assert!(!path.exists());
    }

    fn end(other: &mut Child) {
        other.kill().expect("ours");
        other.wait().expect("ours");
    }

    #[test]
    fn what_several_hold_goes_after_the_last() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        assert!(Hold::of(&path).is_none());
        fs::write(&path, "text").expect("written");
        let (one, other) = (Hold::of(&path).expect("held"), Hold::of(&path).expect("held too"));
        drop(one);
        remove_file(&path);
        assert!(path.exists());
        drop(other);
        remove_file(&path);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_took_the_place_of_the_held_one_is_not_held() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, "old").expect("written");
        let old = File::open(&path).expect("there");
        fs::remove_file(&path).expect("there");
        assert!(!is(&path, &old), "nothing is there");
        fs::write(&path, "new").expect("written");
        assert!(!is(&path, &old) && is(&path, &File::open(&path).expect("there")));
    }
}
