//! Which snapshots are known to be whole: reading all of a file to find that out takes longer than restoring from it.
//!
//! For each file that was checked, the cache folder remembers what the host says of it: its inode, length, and the times of
//! its last change of content and of attributes. Every write moves the second of these, and no program can set it. A file that
//! reads the same there is as it was; one that does not is checked again. Without a cache folder every restore checks.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::cache;

/// Most files that are remembered; beyond that the oldest half is forgotten.
const REMEMBERED: usize = 1000;

/// Where the file is remembered, and what is remembered of it.
fn note(file: &File) -> Option<(PathBuf, String)> {
    let said = file.metadata().ok()?;
    let folder = cache::folder()?.join("snapshots");
    let name = format!("{:x}-{:x}", said.dev(), said.ino());
    let text = format!(
        "{} {}.{:09} {}.{:09}\n",
        said.len(),
        said.mtime(),
        said.mtime_nsec(),
        said.ctime(),
        said.ctime_nsec()
    );
    Some((folder.join(name), text))
}

/// Whether the file is as it was when it was checked last.
pub fn is_known(file: &File) -> bool {
    note(file).is_some_and(|(path, text)| fs::read(path).is_ok_and(|kept| kept == text.as_bytes()))
}

/// Remembers that the file is whole. That it cannot be remembered costs time at the next restore, nothing else.
pub fn remember(file: &File) {
    if let Some((path, text)) = note(file)
        && let Some(folder) = path.parent()
        && fs::create_dir_all(folder).is_ok()
    {
        forget_oldest(folder);
        // Half a note is no note: it does not read the same.
        let _ = fs::write(path, text);
    }
}

fn forget_oldest(folder: &std::path::Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut notes: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    if notes.len() < REMEMBERED {
        return;
    }
    notes.sort();
    for (_, path) in notes.iter().take(REMEMBERED / 2) {
        // Another process may have been first.
        let _ = fs::remove_file(path);
    }
}
