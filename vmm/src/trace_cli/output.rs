//! Output files: whole or not there at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// So many names for a temporary file are tried.
const NAMES: u32 = 100;

/// Calls `write` to fill the file `path`. Returns its bytes. A regular file appears only when all of it is written, so that a failure
/// leaves what was there before.
pub(super) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<u64> {
    let before = fs::metadata(path).ok();
    // Pipes and devices take what comes; so do this process's own files.
    if before.as_ref().is_some_and(|before| !before.is_file()) || of_a_process(path) {
        return match fill(File::create(path)?, write) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            other => other,
        };
    }
    if before.is_some() {
        // What may not be written may not be replaced either.
        File::options().write(true).open(path)?;
    }
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let (beside, file) = create_beside(&target)?;
    let written = fill(file, write).and_then(|bytes| {
        if let Some(before) = before {
            fs::set_permissions(&beside, before.permissions())?;
        }
        fs::rename(&beside, &target)?;
        Ok(bytes)
    });
    if written.is_err() {
        // Report the first error.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Whether a path names a file that a process has open, like `/dev/stdout`.
fn of_a_process(path: &Path) -> bool {
    let folder = path.parent().and_then(|folder| fs::canonicalize(folder).ok());
    let target = fs::read_link(path).ok();
    [folder, target].iter().flatten().any(|place| place.starts_with("/proc"))
}

/// Makes a new file beside `target`.
fn create_beside(target: &Path) -> io::Result<(PathBuf, File)> {
    let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
    for number in 0..NAMES {
        let path = target.with_file_name(format!(".fencepost-{}-{number}.part", std::process::id()));
        match File::options().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}

fn fill(file: File, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<u64> {
    let mut out = BufWriter::new(Counted { file, bytes: 0 });
    write(&mut out)?;
    out.flush()?;
    Ok(out.get_ref().bytes)
}

struct Counted {
    file: File,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes = self.bytes.saturating_add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
