//! A copy of a user's sources to build in, so that their own folder stays as it is.
//!
//! The copy is brought up to date, not made anew, so that `make` builds what changed only. What a build left in the user's folder is
//! not copied: it may be for another kernel.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use memchr::memmem;

/// Folders within folders, and files of a copy, at most.
const MOST_DEPTH: usize = 24;
const MOST_FILES: usize = 20_000;
/// Longest file that is searched for names of folders beside its own, in bytes.
const SEARCHED_MAX: u64 = 4 << 20;
/// What was copied: a file beside the copy.
const LIST: &str = "copied";

/// Length and time of the last change, by which a file is known again.
type Stamp = (u64, i64, i64);
type Files = BTreeMap<PathBuf, Stamp>;

/// Brings the copy of `from` in the folder `work` up to date, and gives it. It has the name of `from`, so that what is beside that, and
/// is named in a source by `../NAME`, is found beside the copy: as links to the files.
///
/// # Errors
///
/// Something cannot be read or written, or is too much for a module's sources.
pub fn mirror(from: &Path, work: &Path) -> io::Result<PathBuf> {
    let name = from.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // make takes names apart at blanks and colons.
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "+-._".contains(c));
    let to = work.join("tree").join(if plain { &name } else { "source" });
    let mut files = Files::new();
    find(from, Path::new(""), MOST_DEPTH, &mut files)?;
    let list = work.join(LIST);
    let before: Files =
        fs::read(&list).ok().and_then(|bytes| postcard::from_bytes(&bytes).ok()).unwrap_or_default();
    // What was made of a file that is gone would be taken for made of another.
    let gone = before.keys().any(|path| !files.contains_key(path));
    if (gone || before.is_empty()) && to.exists() {
        fs::remove_dir_all(work.join("tree"))?;
    }
    for (path, stamp) in &files {
        let copy = to.join(path);
        if before.get(path) != Some(stamp) || !copy.is_file() {
            put(&from.join(path), &copy)?;
        }
    }
    fs::create_dir_all(&to)?;
    fs::write(&list, postcard::to_stdvec(&files).map_err(io::Error::other)?)?;
    if let Some(parent) = from.parent() {
        neighbours(parent, &to, &files)?;
    }
    Ok(to)
}

/// Finds the files below `from`, links followed, without what a build made.
fn find(from: &Path, inside: &Path, depth: usize, files: &mut Files) -> io::Result<()> {
    let folder = from.join(inside);
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        let path = inside.join(&name);
        if text == ".git" || is_made(&folder, &text) {
            continue;
        }
        // A link to nowhere is nothing to build with.
        let Ok(of) = fs::metadata(from.join(&path)) else { continue };
        if of.is_dir() && depth > 0 {
            find(from, &path, depth - 1, files)?;
        } else if of.is_file() {
            files.insert(path, (of.len(), of.mtime(), of.mtime_nsec()));
        }
        if files.len() > MOST_FILES || (of.is_dir() && depth == 0) {
            return Err(io::Error::other(format!(
                "there are more than {MOST_FILES} files or {MOST_DEPTH} folders in each other"
            )));
        }
    }
    Ok(())
}

/// Whether Kbuild made a file: it leaves `.NAME.cmd` beside what it makes, but for one kind.
fn is_made(folder: &Path, name: &str) -> bool {
    let is_note = name.starts_with('.') && name.ends_with(".cmd");
    is_note || name.ends_with(".mod.c") || folder.join(format!(".{name}.cmd")).is_file()
}

/// Copies a file, as changed now: an old file that came anew must be built.
fn put(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(Path::new(".")))?;
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::copy(from, to).map(drop)
}

/// Puts links to what is beside the sources, as far as they name it, beside their copy.
fn neighbours(parent: &Path, copy: &Path, files: &Files) -> io::Result<()> {
    let beside = copy.parent().unwrap_or(Path::new("."));
    let own = copy.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for name in named(copy, files)? {
        let (from, to) = (parent.join(&name), beside.join(&name));
        let Some(of) = fs::metadata(&from).ok().filter(|_| name != own) else { continue };
        let mut linked = Files::new();
        // What is too much for a source was not meant; if it was, the compiler says what is missing.
        if of.is_dir() && find(&from, Path::new(""), MOST_DEPTH, &mut linked).is_err() {
            continue;
        }
        if to.is_dir() {
            fs::remove_dir_all(&to)?;
        } else if to.symlink_metadata().is_ok() {
            fs::remove_file(&to)?;
        }
        if of.is_file() {
            symlink(&from, &to)?;
            continue;
        }
        for path in linked.keys() {
            let link = to.join(path);
            fs::create_dir_all(link.parent().unwrap_or(&to))?;
            symlink(from.join(path), link)?;
        }
    }
    Ok(())
}

/// The names behind `../` in the sources.
fn named(copy: &Path, files: &Files) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for (path, (length, ..)) in files {
        if *length > SEARCHED_MAX {
            continue;
        }
        let bytes = fs::read(copy.join(path))?;
        for at in memmem::find_iter(&bytes, "../") {
            let rest = &bytes[at + 3..];
            let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && !b"+-._".contains(byte));
            let name = String::from_utf8_lossy(&rest[..end.unwrap_or(rest.len())]).into_owned();
            if !name.is_empty() && name != ".." && name != "." {
                names.push(name);
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
