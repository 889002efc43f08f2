//! Which snapshots are known to be whole: reading all of a file to find that out takes longer than restoring from it.
//!
//! For each file that was checked, the cache folder remembers what the host says of it: its inode, length, and the times of
//! its last change of content and of attributes. Every write moves the second of these, and no program can set it. A file that
//! reads the same there is as it was; one that does not is checked again. Without a cache folder every restore checks.
//!
//! The host's clock of files ticks: a second write within the same tick as the first leaves the same times. So a file is
//! remembered only when its last change is some ticks ago by then.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::cache;

/// Most files that are remembered; beyond that the oldest half is forgotten.
const REMEMBERED: usize = 1000;
/// More than a tick of the clock that Linux stamps files with (at most 10 ms).
const TICK: Duration = Duration::from_millis(25);
/// The same where a file system keeps whole seconds, or every second one.
const COARSE_TICK: Duration = Duration::from_secs(3);

/// What the host says of a file: another value when it was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// That of an open file, if the host tells.
    pub fn of(file: &File) -> Option<Self> {
        let said = file.metadata().ok()?;
        Some(Stamp {
            device: said.dev(),
            inode: said.ino(),
            len: said.len(),
            modified: (said.mtime(), said.mtime_nsec()),
            changed: (said.ctime(), said.ctime_nsec()),
        })
    }

    /// Whether the content is the same as far as the host says. A file that loses its name has another time of change, but not of
    /// this; a program could set this back.
    pub fn is_content_of(&self, other: &Self) -> bool {
        (self.len, self.modified) == (other.len, other.modified)
    }

    /// Where the file is remembered, and what is remembered of it.
    fn note(&self) -> Option<(PathBuf, String)> {
        let folder = cache::folder()?.join("snapshots");
        let ((modified, modified_ns), (changed, changed_ns)) = (self.modified, self.changed);
        let text = format!("{} {modified}.{modified_ns:09} {changed}.{changed_ns:09}\n", self.len);
        Some((folder.join(format!("{:x}-{:x}", self.device, self.inode)), text))
    }

    /// How long until a change of the file would show in its times.
    fn settles_in(&self) -> Duration {
        let (seconds, ns) = self.changed;
        let tick = if ns == 0 { COARSE_TICK } else { TICK };
        let changed = Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(ns).unwrap_or(0));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // Also of a file from the future, as another computer's clock may have it.
        (changed + tick).saturating_sub(now)
    }
}

/// Whether the file is as it was when it was checked last.
pub fn is_known(stamp: &Stamp) -> bool {
    stamp.note().is_some_and(|(path, text)| fs::read(path).is_ok_and(|kept| kept == text.as_bytes()))
}

/// Remembers that the file is whole: that `check` says so, and that it was not changed meanwhile. That it cannot be remembered
/// costs time at the next restore, nothing else.
///
/// # Errors
///
/// Those of `check`.
pub fn remember_if<E>(file: &File, check: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    let wait = Stamp::of(file).map(|stamp| stamp.settles_in()).filter(|wait| *wait <= TICK);
    wait.iter().for_each(|wait| std::thread::sleep(*wait));
    let before = Stamp::of(file);
    check()?;
    if let Some(stamp) = before
        && stamp.settles_in().is_zero()
        && Stamp::of(file).as_ref() == Some(&stamp)
    {
        remember(&stamp);
    }
    Ok(())
}

fn remember(stamp: &Stamp) {
    if let Some((path, text)) = stamp.note()
        && let Some(folder) = path.parent()
        && fs::create_dir_all(folder).is_ok()
    {
        forget_oldest(folder);
        // Half a note is no note: it does not read the same. So several processes may write one at once.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn changed_before(age: Duration, ns: i64) -> Stamp {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let at = now.saturating_sub(age);
        let changed = (at.as_secs() as i64, if ns < 0 { i64::from(at.subsec_nanos().max(1)) } else { ns });
        Stamp { device: 1, inode: 1, len: 1, modified: (0, 0), changed }
    }

    #[test]
    fn a_file_settles_after_a_tick_of_its_clock() {
        assert!(!changed_before(Duration::ZERO, -1).settles_in().is_zero());
        assert!(changed_before(TICK * 2, -1).settles_in().is_zero());
        assert!(changed_before(TICK * 2, 0).settles_in() > TICK, "whole seconds");
        assert!(changed_before(COARSE_TICK * 2, 0).settles_in().is_zero());
    }

    #[test]
    fn a_file_that_is_changed_while_it_is_checked_is_not_remembered() {
        let file = tempfile::NamedTempFile::new().expect("file");
        let known = || is_known(&Stamp::of(file.as_file()).expect("told"));
        let change = |text: &str| fs::write(file.path(), text).expect("written");
        let changing = || {
            change("a");
            Ok::<_, ()>(())
        };
        remember_if(file.as_file(), changing).expect("checked");
        assert!(!known());
        assert_eq!(remember_if(file.as_file(), || Err("damaged")), Err("damaged"));
        assert!(!known());
        remember_if(file.as_file(), || Ok::<_, ()>(())).expect("checked");
        assert!(known() || cache::folder().is_none());
        change("b");
        assert!(!known());
    }
}
