//! The other end of a guest's network device (docs/virtio-net.md): a user-mode network stack in a process of its own, or a tap device.
//!
//! Frames from the host come at the host's times. So a machine with a wire does not repeat, and one with a seed takes only what was
//! recorded before (`--replay-input`).

mod stream;
mod tap;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use fencepost_devices::virtio_net::Wire;

use crate::config::MachineConfig;
use crate::error::HostError;
use crate::hooks::Hooks;
use crate::launch::Launch;
use stream::Stream;
use tap::Tap;

/// `--net`: what is at the wire's other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetAt {
    /// A process `passt` of this run's own.
    Passt,
    /// A process that listens at this Unix socket, and takes and gives frames as QEMU's stream does: `passt`, for one.
    Socket(PathBuf),
    /// This tap device.
    Tap(String),
}

impl FromStr for NetAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "passt" => Ok(NetAt::Passt),
            Some(("socket", path)) if !path.is_empty() => Ok(NetAt::Socket(path.into())),
            Some(("tap", name)) if (1..=tap::NAME_MAX_BYTES).contains(&name.len()) => {
                Ok(NetAt::Tap(name.into()))
            }
            _ => Err("write passt, socket=PATH, or tap=NAME with a name of at most 15 characters".into()),
        }
    }
}

/// The wire's threads and process, for as long as it lives.
pub enum Connected {
    /// A socket.
    Stream(Stream),
    /// A tap device.
    Tap(Tap),
}

/// Connects the machine's network device, as `launch` wants it.
///
/// # Errors
///
/// A seed without recorded input, a machine without such a device, and another end that cannot be reached.
pub fn connect(
    launch: &Launch,
    machine: &MachineConfig,
    hooks: &mut Hooks,
) -> Result<Option<Connected>, HostError> {
    let Some(net) = &launch.net else { return Ok(None) };
    if launch.replay_input.is_some() {
        // What came is known; what goes is nobody's.
        return Ok(None);
    }
    if machine.seed.is_some() {
        return Err(HostError::input(
            "--net: what a network brings is in no seed",
            "leave --seed out, or record a run with --record-input and give --replay-input",
        ));
    }
    let device = machine.devices.iter().filter(|device| device.kind == "virtio-net").map(|it| it.slot).min();
    let slot = device.ok_or_else(|| {
        HostError::input("--net: the machine has no virtio-net", "plug one: --device virtio-net")
    })?;
    let control = Arc::clone(&hooks.control);
    let (connected, wire): (Connected, Box<dyn Wire>) = match net {
        NetAt::Passt => {
            let stream = Stream::passt(slot, control)?;
            let wire = Box::new(stream.wire());
            (Connected::Stream(stream), wire)
        }
        NetAt::Socket(path) => {
            let stream = Stream::connect(path, slot, control)?;
            let wire = Box::new(stream.wire());
            (Connected::Stream(stream), wire)
        }
        NetAt::Tap(name) => {
            let tap = Tap::open(name, slot, control)?;
            let wire = Box::new(tap.wire());
            (Connected::Tap(tap), wire)
        }
    };
    hooks.wire = Some(wire);
    Ok(Some(connected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_is_passt_a_socket_or_a_tap() {
        assert_eq!("passt".parse(), Ok(NetAt::Passt));
        assert_eq!("socket=/run/a=b".parse(), Ok(NetAt::Socket("/run/a=b".into())));
        assert_eq!("tap=tap0".parse(), Ok(NetAt::Tap("tap0".into())));
        for wrong in ["", "user", "passt=1", "socket=", "tap=", "tap", "tap=a-name-of-16-char"] {
            assert!(wrong.parse::<NetAt>().is_err_and(|why| why.contains("socket=PATH")), "{wrong}");
        }
    }
}
