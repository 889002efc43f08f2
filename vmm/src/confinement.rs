//! What a run needs once its guest runs: the files and folders that its options and its machine name.

use std::path::{Path, PathBuf};

use fencepost_devices::parameters::Value;

use crate::accel::Chosen;
use crate::cache;
use crate::config::{DeviceConfig, MachineConfig, SerialEnd};
use crate::gdb::Place;
use crate::launch::Launch;
use crate::sandbox::{Right, Sandbox};

/// Adds to `sandbox` what the run of `launch` needs, whose machine is that of `config` under `accel`.
pub(crate) fn add(sandbox: &mut Sandbox, launch: &Launch, config: &MachineConfig, accel: Chosen) {
    if let Some(folder) = &launch.frames {
        sandbox.allow(folder, Right::Pictures);
    }
    if let Some(file) = &launch.snapshot {
        allow_saving(sandbox, file);
    }
    for device in &config.devices {
        shared(sandbox, device);
    }
    if launch.gdb.is_some() && accel == Chosen::Soft {
        // A machine that goes back has its devices made again.
        let files = config.devices.iter().flat_map(DeviceConfig::files).map(|(path, _)| path);
        files.filter(|path| path.exists()).for_each(|path| sandbox.allow(path, Right::Read));
    }
    for socket in sockets(launch) {
        sandbox.allow(folder_of(socket), Right::Remove);
    }
}

/// Lets a snapshot take the place of `file`.
pub(crate) fn allow_saving(sandbox: &mut Sandbox, file: &Path) {
    // As the snapshot does: where a link leads to.
    let target = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_path_buf());
    sandbox.allow(folder_of(&target), Right::Replace);
    // Notes on whole snapshots are kept there; without them the next restore checks.
    let notes = cache::folder().map(|folder| folder.join("snapshots"));
    let notes = notes.filter(|notes| std::fs::create_dir_all(notes).is_ok());
    notes.into_iter().for_each(|notes| sandbox.allow(notes, Right::Fill));
}

/// Lets `folder` be removed with what is in it.
pub(crate) fn allow_removal(sandbox: &mut Sandbox, folder: &Path) {
    sandbox.allow(folder, Right::Fill);
    sandbox.allow(folder_of(folder), Right::Remove);
}

/// The folder that `path` is in.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_path_buf()
}

/// The folder that `device` shares, if it does.
fn shared(sandbox: &mut Sandbox, device: &DeviceConfig) {
    let text = |key: &str| match device.parameters.get(key) {
        Some(Value::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    if device.kind != "virtio-fs" {
        return;
    }
    let right = if text("access") == Some("rw") { Right::Change } else { Right::Read };
    text("dir").into_iter().for_each(|dir| sandbox.allow(dir, right));
}

/// The sockets that are removed when the run is over.
fn sockets(launch: &Launch) -> impl Iterator<Item = &Path> {
    let serial = launch.machine.serial.iter().filter_map(|end| match end {
        SerialEnd::Unix(path) => Some(path.as_path()),
        _ => None,
    });
    let gdb = launch.gdb.as_ref().and_then(|at| match &at.place {
        Place::Unix(path) => Some(path.as_path()),
        Place::Tcp(_) => None,
    });
    serial.chain(gdb).chain(launch.channel.as_deref())
}
