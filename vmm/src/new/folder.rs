//! The folder that is written: all of it, or nothing.

use std::cell::RefCell;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::HostError;

/// A file to write, with marks in its path and text.
pub struct File {
    /// Its path in the folder.
    pub path: &'static str,
    /// What is in it.
    pub text: &'static str,
}

/// A folder that was not there, or empty.
pub struct Folder {
    path: PathBuf,
    /// What was made in it, the folder itself first.
    made: RefCell<Vec<PathBuf>>,
}

impl Folder {
    /// Takes `path` for a new folder, and makes it with those above it.
    ///
    /// # Errors
    ///
    /// Something is there, or it cannot be made.
    pub fn new(path: &Path) -> Result<Folder, HostError> {
        let folder = Folder { path: path.to_path_buf(), made: RefCell::default() };
        let there = fs::symlink_metadata(path);
        match fs::read_dir(path).map(Iterator::count) {
            Ok(0) => Ok(folder),
            Ok(_) => Err(folder.refused("there is something in it; name a folder that is new or empty")),
            Err(error) if error.kind() == io::ErrorKind::NotFound && there.is_err() => {
                folder.make_folder(path).map_err(|error| folder.failed(&error))?;
                Ok(folder)
            }
            Err(error) if there.is_err() || error.kind() == io::ErrorKind::PermissionDenied => {
                Err(folder.failed(&error))
            }
            Err(_) => Err(folder.refused("it is there and no folder; name a folder that is new or empty")),
        }
    }

    /// Writes `files`, whose paths and texts `fill` completes.
    ///
    /// # Errors
    ///
    /// One cannot be written; then nothing is left.
    pub fn write(&self, files: &[File], fill: &dyn Fn(&str) -> String) -> Result<(), HostError> {
        files.iter().try_for_each(|file| self.add(&fill(file.path), &fill(file.text)))
    }

    /// Writes one more.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn add(&self, path: &str, text: &str) -> Result<(), HostError> {
        let path = self.path.join(path);
        let written = path.parent().map_or(Ok(()), |parent| self.make_folder(parent)).and_then(|()| {
            let mut file = fs::File::create_new(&path)?;
            self.made.borrow_mut().push(path.clone());
            file.write_all(text.as_bytes())
        });
        written.map_err(|error| self.failed(&error))
    }

    /// Makes `path` and those above it, as far as they are not there.
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        path.parent().map_or(Ok(()), |parent| self.make_folder(parent))?;
        fs::create_dir(path)?;
        self.made.borrow_mut().push(path.to_path_buf());
        Ok(())
    }

    /// Removes what was made, the last first.
    fn undo(&self) {
        for path in self.made.borrow_mut().drain(..).rev() {
            // What somebody else has put there in the meantime stays.
            let _ = if path.is_dir() { fs::remove_dir(&path) } else { fs::remove_file(&path) };
        }
    }

    /// Removes what was made, and says why.
    fn failed(&self, error: &io::Error) -> HostError {
        self.undo();
        HostError::file("new", &self.path, error, "name a place where you may write")
    }

    fn refused(&self, why: &str) -> HostError {
        HostError::Input(format!("new {}: {why}", self.path.display()))
    }
}
