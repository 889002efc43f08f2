//! Which files a run reads and writes.

use crate::config::{MachineConfig, SerialEnd};
use crate::error::HostError;
use crate::files::Claims;
use crate::launch::Launch;
use crate::shelf::png::PngFolder;

/// Who reads and who writes which file. No output may be an input or another output.
pub fn claims(launch: &Launch) -> Result<Claims, HostError> {
    let mut claims = Claims::default();
    let MachineConfig { kernel, tracing, devices, .. } = &launch.machine;
    kernel.path.iter().for_each(|path| claims.input("--kernel", path));
    launch.restore.iter().for_each(|path| claims.input("--restore", path));
    launch.input.iter().for_each(|path| claims.input("--input", path));
    kernel.initramfs.iter().for_each(|path| claims.input("--initrd", path));
    let files =
        || devices.iter().flat_map(|device| device.files().into_iter().map(|file| (&device.kind, file)));
    for (kind, (path, _)) in files().filter(|(_, (_, written))| !written) {
        claims.input(&format!("the {kind}'s source"), path);
    }
    launch.replay_input.iter().for_each(|path| claims.input("--replay-input", path));
    claims.standard_streams()?;
    for (kind, (path, _)) in files().filter(|(_, (_, written))| *written) {
        claims.output(&format!("the file of the {kind}"), path)?;
    }
    tracing.file.iter().try_for_each(|path| claims.output("--trace", path))?;
    launch.snapshot.iter().try_for_each(|path| claims.output("--snapshot", path))?;
    for end in &launch.machine.serial {
        if let SerialEnd::File(path) = end {
            claims.output("--serial", path)?;
        }
    }
    launch.console_log.iter().try_for_each(|path| claims.output("--console-log", path))?;
    launch.state_log.iter().try_for_each(|(path, _)| claims.output("--state-log", path))?;
    launch.record_input.iter().try_for_each(|path| claims.output("--record-input", path))?;
    launch.frames.iter().try_for_each(|folder| claims.pictures("--frames", folder, PngFolder::PREFIX))?;
    Ok(claims)
}
