//! What is in the cache folder, and its removal: what Fencepost itself keeps, entry by entry, and what the scripts in `ci` keep.
//!
//! Nothing in it is needed: what is gone is made or fetched anew. Links are never followed.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::Serialize;

use crate::cache;
use crate::error::HostError;

/// A folder of Fencepost's own.
struct Group {
    name: &'static str,
    /// What an entry of it is, or all of it together.
    kind: &'static str,
    /// Whether its entries are listed one by one; else the folder is an entry: it holds many small files.
    apart: bool,
}

impl Group {
    const fn new(name: &'static str, kind: &'static str, apart: bool) -> Self {
        Group { name, kind, apart }
    }
}

/// All of them.
const OWN: [Group; 8] = [
    Group::new("booted", "machines that tests begin with", false),
    Group::new("kernels", "unpacked kernel", true),
    Group::new("module-builds", "modules built for tests", true),
    Group::new("module-index", "index of a kernel's modules", true),
    Group::new("root", "packages and parts of guest roots", true),
    Group::new("roots", "guest roots of tests", false),
    Group::new("snapshots", "marks of snapshots that were checked", false),
    Group::new("stages", "files for guests of tests", false),
];
/// Everything else is the scripts'.
const OTHER: &str = "of the scripts in ci";
/// Folders below one entry that are counted, at most.
const DEPTH_MAX: usize = 64;

/// One thing that can be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its path in the cache folder.
    pub name: String,
    /// What it is, in words.
    pub kind: &'static str,
    /// Files in it, links included.
    pub files: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// When it was used or written last, in seconds since 1970.
    pub used: u64,
    /// Whether Fencepost made it and `clear` without names removes it.
    pub own: bool,
}

/// What is in `folder`, sorted by name. A folder that is not there holds nothing.
///
/// # Errors
///
/// The folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<Entry>, HostError> {
    let mut entries = Vec::new();
    for (name, metadata) in children(folder)? {
        match OWN.iter().find(|group| group.name == name).filter(|_| metadata.is_dir()) {
            Some(group) if group.apart => {
                for (inner, metadata) in children(&folder.join(&name))? {
                    entries.push(entry(folder, format!("{name}/{inner}"), group.kind, &metadata, true));
                }
            }
            Some(group) => {
                let whole = entry(folder, name, group.kind, &metadata, true);
                entries.extend(Some(whole).filter(|whole| whole.files > 0));
            }
            None => entries.push(entry(folder, name, OTHER, &metadata, false)),
        }
    }
    // Locks hold nothing, and whoever waits for one must find the same file.
    entries.retain(|entry| !is_lock(&entry.name));
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

/// Removes the entries that `names` name, by the whole name, the name of the folder of several, or its beginning where only one has it;
/// without names all of Fencepost's own. A kernel that is being written is left. Gives what was removed.
///
/// # Errors
///
/// A name that names nothing, before anything is removed; or what cannot be removed.
pub fn clear(folder: &Path, names: &[String]) -> Result<Vec<Entry>, HostError> {
    let all = list(folder)?;
    let mut chosen = BTreeSet::new();
    for name in names {
        chosen.extend(named(&all, name)?);
    }
    let is_chosen = |(index, entry): &(usize, Entry)| {
        (if names.is_empty() { entry.own } else { chosen.contains(index) }) && !is_being_written(entry)
    };
    let removed: Vec<Entry> = all.into_iter().enumerate().filter(is_chosen).map(|(_, entry)| entry).collect();
    let _lock =
        removed.iter().any(|entry| entry.name.starts_with("root/")).then(|| lock_root(folder)).transpose()?;
    for entry in &removed {
        let path = folder.join(&entry.name);
        let gone = match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(error) => Err(error),
        };
        match gone {
            // Somebody else was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(|error| HostError::file("cache", &path, &error, "remove it yourself"))?,
        }
    }
    Ok(removed)
}

/// Keeps `fencepost root` out of its folder until the file is dropped.
fn lock_root(folder: &Path) -> Result<File, HostError> {
    let path = folder.join("root/lock");
    let failed = |error: io::Error| HostError::file("cache", &path, &error, "look who else uses the folder");
    let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => {
            Err(HostError::input("cache: a fencepost root uses it at the moment", "wait for its end"))
        }
        other => other.map(|()| file).map_err(|error| failed(error.into())),
    }
}

/// The entries that a name means, by their number.
fn named(all: &[Entry], name: &str) -> Result<Vec<usize>, HostError> {
    let name = name.trim_end_matches('/');
    let matching = |fits: &dyn Fn(&str) -> bool| -> Vec<usize> {
        all.iter().enumerate().filter(|(_, entry)| fits(&entry.name)).map(|(index, _)| index).collect()
    };
    let inside = format!("{name}/");
    let whole = matching(&|entry| entry == name || entry.starts_with(&inside));
    // A group of Fencepost's own may be empty.
    if !whole.is_empty() || OWN.iter().any(|group| group.name == name) {
        return Ok(whole);
    }
    let refused = |why: &str| {
        Err(HostError::input(format!("cache: {why} '{name}'"), "`fencepost cache` lists the names"))
    };
    match matching(&|entry| !name.is_empty() && entry.starts_with(name)) {
        one if one.len() == 1 => Ok(one),
        none if none.is_empty() => refused("nothing has the name"),
        _ => refused("several names begin with"),
    }
}

fn is_lock(name: &str) -> bool {
    name.ends_with(".lock") || name.ends_with("/lock")
}

fn is_being_written(entry: &Entry) -> bool {
    let name = entry.name.strip_prefix("kernels/").unwrap_or_default();
    let used = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(entry.used);
    cache::is_being_written(name.as_ref(), used)
}

fn children(folder: &Path) -> Result<Vec<(String, Metadata)>, HostError> {
    let failed =
        |error: io::Error| HostError::file("cache", folder, &error, "set FENCEPOST_CACHE to a folder");
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut children = Vec::new();
    for child in read {
        let child = child.map_err(failed)?;
        // What is gone meanwhile is not listed; a name in other letters than UTF-8 is nobody's here.
        if let (Ok(name), Ok(metadata)) = (child.file_name().into_string(), child.metadata()) {
            children.push((name, metadata));
        }
    }
    Ok(children)
}

fn entry(folder: &Path, name: String, kind: &'static str, metadata: &Metadata, own: bool) -> Entry {
    let mut entry = Entry { name, kind, files: 0, bytes: 0, used: 0, own };
    let path = folder.join(&entry.name);
    count(&path, metadata, &mut entry, 0);
    entry
}

/// Adds what `path` holds. What cannot be read counts as nothing.
fn count(path: &Path, metadata: &Metadata, into: &mut Entry, depth: usize) {
    let since_1970 = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok();
    into.used = into.used.max(metadata.modified().ok().and_then(since_1970).map_or(0, |time| time.as_secs()));
    if !metadata.is_dir() {
        into.files += 1;
        into.bytes = into.bytes.saturating_add(metadata.len());
    } else if depth < DEPTH_MAX {
        for child in fs::read_dir(path).into_iter().flatten().flatten() {
            if let Ok(metadata) = child.metadata() {
                count(&child.path(), &metadata, into, depth + 1);
            }
        }
    }
}

#[cfg(test)]
#[path = "cache_contents_tests.rs"]
mod tests;
