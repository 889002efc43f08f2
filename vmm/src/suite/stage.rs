//! The folder that a scenario's guest finds shared, with the files that it is to copy.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::error::{HostError, plain};
use crate::scenario::Scenario;

/// A folder that is gone when this is dropped.
pub struct Stage {
    folder: TempDir,
    /// What the guest is to copy: from where in the stage, and where to.
    pub copies: Vec<(String, String)>,
}

impl Stage {
    /// Makes a stage below `parent`.
    ///
    /// # Errors
    ///
    /// The host's file system.
    pub fn new(parent: &Path, scenario: &Scenario) -> Result<Stage, HostError> {
        let failed = |path: &Path, error: &std::io::Error| {
            HostError::input(
                format!("{}: {}", path.display(), plain(error)),
                "make room there, or see to its rights",
            )
        };
        let folder = tempfile::Builder::new()
            .prefix("stage-")
            .tempdir_in(parent)
            .map_err(|error| failed(parent, &error))?;
        fs::create_dir(folder.path().join("files")).map_err(|error| failed(folder.path(), &error))?;
        let mut copies = Vec::new();
        for (number, (to, from)) in scenario.guest.files.iter().enumerate() {
            let name = format!("files/{number}");
            copy_tree(from, &folder.path().join(&name)).map_err(|error| failed(from, &error))?;
            let to = if to.starts_with('/') { to.clone() } else { format!("/work/{to}") };
            copies.push((name, to));
        }
        Ok(Stage { folder, copies })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Copies a file or a folder with all that is in it; of links, what they lead to.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    if !fs::metadata(from)?.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
