//! The folder that a scenario's guest finds shared, with the files that it is to copy.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::guest::{TRACE_AGENT, is_traced};
use super::held::{Held, sweep};
use crate::error::{HostError, plain};
use crate::scenario::Scenario;

/// The program that hands the guest's own events over (docs/trace-agent.md); empty where it could not be built.
const AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/trace_agent"));

const PREFIX: &str = "stage-";

/// Removes the stages below `parent` of commands that were killed.
pub fn sweep_killed(parent: &Path) {
    sweep(parent, PREFIX);
}

/// A folder that is gone when this is dropped.
pub struct Stage {
    folder: Held,
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
        let folder = Held::new(parent, PREFIX).map_err(|error| failed(parent, &error))?;
        fs::create_dir(folder.path().join("files")).map_err(|error| failed(folder.path(), &error))?;
        let mut copies = Vec::new();
        for (number, (to, from)) in scenario.guest.files.iter().enumerate() {
            let name = format!("files/{number}");
            copy_tree(from, &folder.path().join(&name)).map_err(|error| failed(from, &error))?;
            let to = if to.starts_with('/') { to.clone() } else { format!("/work/{to}") };
            copies.push((name, to));
        }
        if is_traced(scenario) {
            let path = folder.path().join(TRACE_AGENT);
            place_agent(&path, AGENT)?.map_err(|error| failed(&path, &error))?;
        }
        Ok(Stage { folder, copies })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Writes the trace agent's program.
fn place_agent(path: &Path, program: &[u8]) -> Result<std::io::Result<()>, HostError> {
    if program.is_empty() {
        return Err(HostError::input(
            "this build has no trace agent, which a sentence about the guest's own events needs",
            "build fencepost on a host with a static libc (Debian: libc6-dev)",
        ));
    }
    Ok(fs::write(path, program).and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755))))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_an_agent_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent");
        assert!(place_agent(&path, &[]).unwrap_err().to_string().contains("static libc"));
        place_agent(&path, AGENT).unwrap().unwrap();
        assert_eq!(fs::read(&path).unwrap()[..4], *b"\x7fELF");
    }
}
