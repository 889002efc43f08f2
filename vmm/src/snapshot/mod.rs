//! A machine as a file, and the same machine from it again.

mod checked;
pub mod file;
mod lost;
mod reset;
mod vm;
mod whole;

use std::path::Path;

use serde::{Deserialize, Serialize};
use vm_memory::GuestMemoryMmap;

use crate::backend::SavedCpus;
use crate::config::MachineConfig;
use crate::error::{HostError, plain};
use crate::machine::Machine;
use crate::machine::saved::MachineState;
use checked::Stamp;
use file::{FileError, Snapshot};
pub use lost::explain;
pub use vm::{Outputs, Taken, Until, Vm};

/// The version of [`Contents`] that this code writes and reads: another number after every change to it or to what lies in
/// it, but for the states that have a version of their own.
const VERSION: u32 = 11;

/// What lies beside guest memory. [`VERSION`] comes first.
#[derive(Debug, Serialize, Deserialize)]
struct Contents {
    /// The [`MachineConfig`] as JSON, which has names where postcard has an order.
    config: String,
    cpus: SavedCpus,
    machine: MachineState,
}

/// A saved machine, read and checked, whose memory is mapped when it is asked for.
pub struct Saved {
    /// What the machine is made of.
    pub config: MachineConfig,
    /// Its CPUs.
    pub cpus: SavedCpus,
    /// The rest of it.
    pub machine: MachineState,
    file: Snapshot,
}

/// Whether a machine could be saved as `path`.
///
/// # Errors
///
/// Why it could not, as one line.
pub fn check(path: &Path) -> Result<(), HostError> {
    whole::check(path).map_err(|error| {
        HostError::output("--snapshot", path, &error, "name a file in a folder that can be written")
    })
}

/// Writes the machine, whose CPUs are `cpus`, as `path`: whole or not at all.
///
/// # Errors
///
/// Those of the host's file system, as one line.
pub fn save(
    path: &Path,
    config: &MachineConfig,
    machine: &mut Machine,
    cpus: SavedCpus,
) -> Result<(), HostError> {
    let unencodable = |error: &dyn std::fmt::Display| {
        HostError::Host(format!("the machine's state cannot be encoded: {error}"))
    };
    let config = machine.described_by(config.without_host_files());
    let config = serde_json::to_string(&config).map_err(|error| unencodable(&error))?;
    let contents = Contents { config, cpus, machine: machine.save()? };
    let bytes = postcard::to_stdvec(&(VERSION, &contents)).map_err(|error| unencodable(&error))?;
    let written = file::write(path, machine.memory(), &bytes);
    written.map_err(|error| {
        HostError::Host(format!("--snapshot {}: {}; nothing was saved", path.display(), plain(&error)))
    })?;
    // A file that this program has just written need not be read again to be believed.
    if let Ok(snapshot) = Snapshot::open(path) {
        return checked::remember_if(&snapshot.shared_file(), || Ok(()));
    }
    Ok(())
}

/// Reads the machine that [`save`] wrote. Its memory is compared with its checksums unless the file is known to be as it was
/// when that was done last.
///
/// # Errors
///
/// What is wrong with the file, as one line.
pub fn open(path: &Path) -> Result<Saved, HostError> {
    let refuse = |why: String| refused(Some(path), HostError::Input(why));
    let refused_file = |error: FileError| refuse(format!("{error}; {}", fix(&error)));
    let file = Snapshot::open(path).map_err(refused_file)?;
    let version = postcard::take_from_bytes::<u32>(file.state());
    let (version, rest) = version.map_err(|_| refuse("its state makes no sense".into()))?;
    if version != VERSION {
        return Err(refuse(format!(
            "a machine of version {version}; this fencepost reads version {VERSION}"
        )));
    }
    let Ok((Contents { config, cpus, machine }, [])) = postcard::take_from_bytes(rest) else {
        return Err(refuse("its state makes no sense".into()));
    };
    let config: MachineConfig = serde_json::from_str(&config)
        .map_err(|error| refuse(format!("its machine's description makes no sense: {error}")))?;
    if config.memory.0 != file.memory_bytes() {
        return Err(refuse("its memory is not of the size that its machine has".into()));
    }
    let open = file.shared_file();
    if !Stamp::of(&open).is_some_and(|stamp| checked::is_known(&stamp)) {
        checked::remember_if(&open, || file.check_memory()).map_err(refused_file)?;
    }
    Ok(Saved { config, cpus, machine, file })
}

/// What to do about a file that is refused.
fn fix(error: &FileError) -> &'static str {
    match error {
        FileError::Io(_) => "name a file that can be read",
        FileError::Foreign => "name one that --snapshot wrote",
        FileError::Format(_) => "save the machine again with this fencepost",
        FileError::Length { .. } | FileError::Damaged(_) => "save the machine again",
    }
}

/// Puts the name of the snapshot before the reason to refuse it.
pub fn refused(path: Option<&Path>, error: HostError) -> HostError {
    let name = path.unwrap_or(Path::new("")).display();
    match error {
        HostError::Input(why) => HostError::Input(format!("--restore {name}: {why}")),
        HostError::Host(why) => HostError::Host(format!("--restore {name}: {why}")),
        over @ HostError::TimedOut(_) => over,
    }
}

impl Saved {
    /// Guest memory, mapped privately from the file.
    ///
    /// # Errors
    ///
    /// Those of the host.
    pub fn map_memory(&self) -> Result<GuestMemoryMmap, HostError> {
        self.file.map_memory().map_err(|error| HostError::Host(format!("guest memory: {}", plain(&error))))
    }
}
