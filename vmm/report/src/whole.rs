//! Files that are there whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Writes a file beside the one that is wanted, `NAME.PROCESS.part`, which then takes its place: a process that is killed meanwhile leaves
/// that, and no more than what was at `path` before. What is no file, such as a pipe, is written as it is.
///
/// # Errors
///
/// The host's. Nothing is left beside `path` then.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A link stays one: what it names is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(path).is_ok_and(|it| !it.is_file()) {
        return OpenOptions::new().write(true).open(path)?.write_all(bytes);
    }
    let Some(name) = path.file_name() else { return Err(io::ErrorKind::IsADirectory.into()) };
    let mut other = name.to_owned();
    other.push(format!(".{}.part", std::process::id()));
    let other = path.with_file_name(other);
    let written = fs::write(&other, bytes).and_then(|()| fs::rename(&other, path));
    written.inspect_err(|_| drop(fs::remove_file(&other)))
}
