//! The other end of a guest's network device (docs/virtio-net.md): a user-mode network stack in a process of its own, or a tap device.
//!
//! Frames from the host come at the host's times. So a machine with a wire does not repeat, and one with a seed takes only what was
//! recorded before (`--replay-input`).

mod stream;
mod tap;

use std::sync::Arc;

use fencepost_devices::virtio_net::Wire;

use crate::config::MachineConfig;
use crate::error::HostError;
use crate::hooks::Hooks;
use crate::launch::Launch;
use crate::net_at::NetAt;
use stream::Stream;
use tap::Tap;

/// What the user is told when whoever was at the other end is not any more.
const GONE: &str = "fencepost: --net: the other end is gone; the guest has no network any more";

/// The wire's threads and process, for as long as it lives.
pub enum Connected {
    /// A socket.
    Stream(Stream),
    /// A tap device.
    Tap(Tap),
}

impl Connected {
    /// The process at the other end, if it was started here.
    pub fn child(&self) -> Option<u32> {
        match self {
            Connected::Stream(stream) => stream.child(),
            Connected::Tap(_) => None,
        }
    }
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
