//! Machines that were booted once: snapshots in the cache folder from which scenarios start.
//!
//! A snapshot's name is a digest of everything that it was made of; beside it lies a list of these things, so that it can be said why
//! one that was made before does not do.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::MachineConfig;
use crate::error::{HostError, plain};
use crate::in_use::{Hold, by_use, remove_idle};
use crate::machine::log::hex;

/// Snapshots that are kept at most, and what they may take of the disk together: those that were used last. Those in use stay.
const MOST_KEPT: usize = 64;
const MOST_BYTES: u64 = 6 << 30;

/// How long files that no list names are left alone.
const LEFT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// What a booted machine is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// What is booted, for people: the kernel's release and the devices.
    pub what: String,
    /// Each thing and what identifies it.
    pub parts: BTreeMap<String, String>,
}

impl Key {
    /// The key of `machine`, which has its kernel; `release` is the kernel's.
    ///
    /// # Errors
    ///
    /// A file of it is not there.
    pub fn of(machine: &MachineConfig, release: &str) -> Result<Key, HostError> {
        let mut parts = BTreeMap::new();
        let own = std::env::current_exe()
            .map_err(|error| HostError::Host(format!("this program: {}", plain(&error))))?;
        parts.insert("fencepost".to_string(), identity(&own)?);
        for (name, path) in machine.kernel.path.iter().map(|path| ("the kernel", path)) {
            parts.insert(name.to_string(), identity(path)?);
        }
        for path in &machine.kernel.initramfs {
            // Its time says when it was used last.
            parts.insert("the initramfs".to_string(), digest(path)?);
        }
        let mut machine = machine.without_host_files();
        let mut kinds = Vec::new();
        for device in &mut machine.devices {
            kinds.push(device.kind.clone());
            if device.kind == "virtio-fs" {
                // A run brings its own folders.
                device.parameters.remove("dir");
            }
            for (number, (path, _)) in device.files().into_iter().enumerate() {
                // A root of other packages has another name, and is the same part.
                parts.insert(format!("file {number} of {}@{}", device.kind, device.slot), identity(path)?);
            }
        }
        let text = serde_json::to_string(&machine).map_err(|error| HostError::Host(error.to_string()))?;
        parts.insert("the machine".to_string(), text);
        Ok(Key { what: format!("{release} with {}", kinds.join(", ")), parts })
    }

    fn name(&self) -> String {
        let mut digest = Sha256::new();
        for (name, identity) in &self.parts {
            digest.update(format!("{name}\0{identity}\0"));
        }
        hex(&digest.finalize())[..24].to_string()
    }
}

/// What a file is taken for as long as it is not changed.
fn identity(path: &Path) -> Result<String, HostError> {
    let failed = |error: std::io::Error| HostError::Input(format!("{}: {}", path.display(), plain(&error)));
    let path = fs::canonicalize(path).map_err(failed)?;
    let data = fs::metadata(&path).map_err(failed)?;
    Ok(format!("{} {} {}.{:09}", path.display(), data.len(), data.mtime(), data.mtime_nsec()))
}

/// What a small file is taken for: its content.
fn digest(path: &Path) -> Result<String, HostError> {
    let bytes = fs::read(path);
    let bytes = bytes.map_err(|error| HostError::Input(format!("{}: {}", path.display(), plain(&error))))?;
    Ok(hex(&Sha256::digest(bytes)))
}

/// A place for a snapshot.
pub struct Place {
    folder: PathBuf,
    key: Key,
}

impl Place {
    /// Where the machine of `key` is, or will be, in the cache folder.
    pub fn new(cache: &Path, key: Key) -> Place {
        Place { folder: cache.join("booted"), key }
    }

    /// The snapshot's file, whether it is there or not.
    pub fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.snapshot", self.key.name()))
    }

    fn list(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.key.name()))
    }

    /// The snapshot, if it is there. It is the newest from now on.
    pub fn find(&self) -> Option<Hold> {
        // Who removes one takes the list away first, and the rest with the lock.
        Hold::of(&self.list()).filter(|_| self.path().is_file())
    }

    /// Why a snapshot of the same thing, made before, does not do; nothing if there is none.
    pub fn stale(&self) -> Option<String> {
        let mut others = self.lists().filter_map(|list| serde_json::from_slice(&fs::read(list).ok()?).ok());
        let other: Key = others.find(|other: &Key| other.what == self.key.what)?;
        let changed = |name: &&String| other.parts.get(*name) != self.key.parts.get(*name);
        let names = self.key.parts.keys().chain(other.parts.keys()).filter(changed);
        let names: std::collections::BTreeSet<&str> = names.map(String::as_str).collect();
        let names: Vec<&str> = names.into_iter().collect();
        Some(format!("{} is not what it was", names.join(", ")))
    }

    /// Makes the folder, so that the snapshot can be written.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn make_room(&self) -> Result<(), HostError> {
        fs::create_dir_all(&self.folder).map_err(|error| cannot(&self.folder, &error))
    }

    /// Says that the snapshot is whole, and holds it; removes others that were used longest ago.
    ///
    /// # Errors
    ///
    /// The list cannot be written.
    pub fn keep(&self) -> Result<Hold, HostError> {
        let text =
            serde_json::to_vec_pretty(&self.key).map_err(|error| HostError::Host(error.to_string()))?;
        let list = self.list();
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            std::io::Write::write_all(&mut file, &text)?;
            file.persist(&list).map_err(|error| error.error)?;
            Hold::of(&list).ok_or_else(|| std::io::ErrorKind::WouldBlock.into())
        };
        // Two that made the same one at a time hold the same list.
        let alone = File::open(&self.folder).and_then(|folder| {
            retry_on_intr(|| flock(&folder, FlockOperation::LockExclusive))?;
            Ok(folder)
        });
        let _alone = alone.map_err(|error| cannot(&self.folder, &error))?;
        let hold = self.find().map_or_else(write, Ok).map_err(|error| cannot(&list, &error))?;
        self.prune();
        Ok(hold)
    }

    fn prune(&self) {
        let (mut count, mut bytes) = (0, 0);
        for list in self.lists() {
            let snapshot = list.with_extension("snapshot");
            count += 1;
            bytes += fs::metadata(&snapshot).map_or(0, |data| data.blocks() * 512);
            if count > MOST_KEPT || bytes > MOST_BYTES {
                remove_idle(&list, |list| {
                    let _ = fs::remove_file(list);
                    let _ = fs::remove_file(&snapshot);
                });
            }
        }
        self.prune_left(SystemTime::now());
    }

    /// Removes what killed commands and failed boots have left, a day later: until then it may be in the making, or wanted as evidence.
    fn prune_left(&self, now: SystemTime) {
        for (written, path) in by_use(&self.folder) {
            let listed = path.with_extension("json").exists();
            if !listed && now.duration_since(written).is_ok_and(|age| age > LEFT_FOR) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// The lists of all snapshots, the one that was used last first.
    fn lists(&self) -> impl Iterator<Item = PathBuf> {
        let lists = by_use(&self.folder).into_iter().map(|(_, path)| path);
        lists.filter(|path| path.extension().is_some_and(|it| it == "json"))
    }
}

fn cannot(path: &Path, error: &std::io::Error) -> HostError {
    HostError::input(
        format!("{}: {}", path.display(), plain(error)),
        "make room there, or set FENCEPOST_CACHE to a folder that can be written",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kernel: &str) -> Key {
        let parts = [("the kernel", kernel), ("the machine", "{}")];
        Key { what: "6.12".into(), parts: parts.map(|(a, b)| (a.to_string(), b.to_string())).into() }
    }

    #[test]
    fn a_snapshot_is_found_by_all_that_it_is_made_of_and_a_change_is_named() {
        let cache = tempfile::tempdir().unwrap();
        let place = Place::new(cache.path(), key("one"));
        assert!(place.find().is_none());
        assert_eq!(place.stale(), None);
        place.make_room().unwrap();
        std::fs::write(place.path(), "machine").unwrap();
        // Without its list it may be half a snapshot.
        assert!(place.find().is_none());
        drop(place.keep().unwrap());
        assert!(place.find().is_some());
        let other = Place::new(cache.path(), key("two"));
        assert!(other.find().is_none());
        assert_eq!(other.stale().unwrap(), "the kernel is not what it was");
    }

    #[test]
    fn what_was_left_goes_after_a_day() {
        let cache = tempfile::tempdir().unwrap();
        let place = Place::new(cache.path(), key("one"));
        place.make_room().unwrap();
        let names = ["1.console", "2.snapshot", ".fencepost-3"].map(|name| place.folder.join(name));
        names.iter().for_each(|name| std::fs::write(name, "left").unwrap());
        std::fs::write(place.path(), "machine").unwrap();
        let _hold = place.keep().unwrap();
        assert!(names.iter().all(|name| name.exists()));
        place.prune_left(SystemTime::now() + LEFT_FOR + LEFT_FOR);
        assert!(!names.iter().any(|name| name.exists()));
        assert!(place.find().is_some());
    }

    #[test]
    fn a_snapshot_that_two_have_made_is_held_by_both() {
        let cache = tempfile::tempdir().unwrap();
        let made = || {
            let place = Place::new(cache.path(), key("the same"));
            place.make_room().unwrap();
            std::fs::write(place.path(), "machine").unwrap();
            (place.keep().unwrap(), place)
        };
        let ((first, place), (second, _)) = (made(), made());
        drop(second);
        remove_idle(&place.list(), |_| panic!("the first is there"));
        drop(first);
        assert!(place.find().is_some());
    }

    #[test]
    fn the_oldest_go_but_for_those_in_use() {
        let cache = tempfile::tempdir().unwrap();
        let mut first = None;
        for number in 0..MOST_KEPT + 3 {
            let place = Place::new(cache.path(), key(&number.to_string()));
            place.make_room().unwrap();
            std::fs::write(place.path(), "machine").unwrap();
            let hold = place.keep().unwrap();
            first = first.or(Some(hold));
        }
        let there = |number: usize| Place::new(cache.path(), key(&number.to_string())).find().is_some();
        let there: Vec<usize> = (0..MOST_KEPT + 3).filter(|number| there(*number)).collect();
        assert_eq!(there[..2], [0, 3]);
        assert_eq!(there.len(), MOST_KEPT + 1);
        drop(first);
    }
}
