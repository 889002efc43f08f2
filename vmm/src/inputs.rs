//! `--record-input` and `--replay-input`: the files of what the host brings devices.

use std::fs;
use std::sync::Arc;

use crate::config::{Accel, MachineConfig};
use crate::control::Control;
use crate::error::HostError;
use crate::launch::Launch;
use crate::machine::Machine;
use crate::machine::recorded::{Recording, parse};
use crate::outlet::Full;
use crate::outlet::bytes::Bytes;

/// The longest record that is read: some hours of typing, or a gigabyte that went over a network.
const REPLAY_MAX_BYTES: u64 = 2 << 30;
const FIX: &str = "name a file that --record-input made";

/// The file to record in, if there is to be one.
///
/// # Errors
///
/// A file that cannot be made, and `--replay-input` where times are the host's.
pub fn open(
    launch: &Launch,
    machine: &MachineConfig,
    control: &Arc<Control>,
) -> Result<Option<Bytes>, HostError> {
    if launch.replay_input.is_some() && machine.accel == Accel::Kvm {
        return Err(HostError::input(
            "--replay-input: under --accel kvm time is the host's, and nothing repeats",
            "use --accel soft",
        ));
    }
    let Some(path) = &launch.record_input else { return Ok(None) };
    let failed =
        |error: std::io::Error| HostError::output("--record-input", path, &error, "name another file");
    Bytes::create(path, "the record of input", control).map(Some).map_err(failed)
}

/// What was recorded, if the machine is to get that.
///
/// # Errors
///
/// A record that cannot be read: which line, and why.
pub fn read(launch: &Launch) -> Result<Option<Recording>, HostError> {
    let Some(path) = &launch.replay_input else { return Ok(None) };
    let failed = |error| HostError::file("the record of input", path, &error, FIX);
    if fs::metadata(path).map_err(failed)?.len() > REPLAY_MAX_BYTES {
        return Err(HostError::input(format!("{}: it is longer than 2 GiB", path.display()), FIX));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let recording = parse(&text).map_err(|(line, why)| {
        HostError::input(format!("--replay-input {}:{line}: {why}", path.display()), FIX)
    })?;
    Ok(Some(recording))
}

/// Has `machine` record what it gets, or get what was recorded.
///
/// # Errors
///
/// A record that is not of the machine's run.
pub fn connect(
    launch: &Launch,
    record: Option<&Bytes>,
    recording: Option<Recording>,
    machine: &mut Machine,
) -> Result<(), HostError> {
    if let Some(record) = record {
        machine.record_input(Box::new(record.writer(Full::Wait)));
    }
    let (Some(path), Some(recording)) = (&launch.replay_input, recording) else { return Ok(()) };
    if machine.replay(recording) {
        return Ok(());
    }
    let why = match launch.restore {
        Some(_) => "the snapshot was not taken in the run that it records",
        None => "it begins at a snapshot",
    };
    let fix = "restore a snapshot that the recorded run began with, or took";
    Err(HostError::input(format!("--replay-input {}: {why}", path.display()), fix))
}
