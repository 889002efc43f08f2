//! A wire over a Unix stream socket: each frame after its length, 32 bits in network order, as QEMU's stream back end has it.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use fencepost_devices::virtio_net::Wire;
use rustix::io::{FdFlags, fcntl_setfd};

use crate::control::Control;
use crate::error::{HostError, plain};
use crate::outlet::{Full, Gate, Handle, Items, Load, Outlet};
use crate::sandbox::{self, Role};
use crate::say;

use super::GONE;

/// Bytes of frames that may wait for the other end; further frames are dropped, as on any network.
const BOUND_BYTES: usize = 1 << 20;
/// The longest frame that a sane other end sends: what the length field of an IP packet allows, and a header.
const LENGTH_MAX: usize = 65_535 + 14;
/// How often, and how far apart, a process that cannot be ended is looked at until it is left behind.
const LOOKS: u32 = 200;
const LOOK: Duration = Duration::from_millis(10);

/// A socket, its threads, and the process at its other end if that is ours.
pub struct Stream {
    socket: UnixStream,
    outlet: Option<Outlet<Vec<u8>, ()>>,
    reader: Option<JoinHandle<()>>,
    control: Arc<Control>,
    /// The run is over: nobody is to be told that the other end is gone.
    over: Arc<AtomicBool>,
    process: Option<Peer>,
}

/// The process at the other end: ended when it is dropped, as far as that is permitted.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            let _ = self.0.wait();
            return;
        }
        // It may end by itself, for it has lost its socket; a run must not wait for that without a limit.
        for _ in 0..LOOKS {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK);
        }
        say::in_passing("fencepost: --net passt: no permission to end the process, which goes on running");
    }
}

impl Stream {
    /// Starts a process `passt` at the other end.
    ///
    /// # Errors
    ///
    /// That there is no such program.
    pub fn passt(slot: u8, control: Arc<Control>) -> Result<Self, HostError> {
        let failed = |error: &std::io::Error| {
            let fix = "install it (Debian's package passt), or use --net socket=PATH or tap=NAME";
            HostError::input(format!("--net passt: {}", plain(error)), fix)
        };
        let (ours, theirs) = UnixStream::pair().map_err(|error| failed(&error))?;
        let theirs = OwnedFd::from(theirs);
        // The child is to have it under the same number.
        fcntl_setfd(&theirs, FdFlags::empty()).map_err(|error| failed(&error.into()))?;
        let process = Command::new("passt")
            .args(["--foreground", "--quiet", "--mtu", "1500", "--fd", &theirs.as_raw_fd().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed(&error))?;
        drop(theirs);
        Self::over(ours, slot, control, Some(Peer(process))).map_err(|error| failed(&error))
    }

    /// Connects to the socket at `path`.
    ///
    /// # Errors
    ///
    /// A socket where nobody listens.
    pub fn connect(path: &Path, slot: u8, control: Arc<Control>) -> Result<Self, HostError> {
        let failed = |error: std::io::Error| {
            let fix = "start the process that listens there first, such as passt --socket PATH";
            HostError::input(format!("--net socket={}: {}", path.display(), plain(&error)), fix)
        };
        let socket = UnixStream::connect(path).map_err(failed)?;
        Self::over(socket, slot, control, None).map_err(failed)
    }

    fn over(
        socket: UnixStream,
        slot: u8,
        control: Arc<Control>,
        process: Option<Peer>,
    ) -> std::io::Result<Self> {
        let (mut out, input) = (socket.try_clone()?, socket.try_clone()?);
        let outlet = Outlet::start(
            (Role::Output, "net"),
            Gate::new(&control, BOUND_BYTES),
            move |items: &mut Items<Vec<u8>>| {
                // When the other end is gone the reader says so.
                items.for_each(|frame| drop(out.write_all(&frame)));
            },
        )?;
        let (to, over) = (Arc::clone(&control), Arc::<AtomicBool>::default());
        let ended = Arc::clone(&over);
        let reader = sandbox::start(Role::Input, "net-in", move || {
            read_frames(input, slot, &to);
            if !ended.load(Ordering::SeqCst) && to.stop_reason().is_none() {
                say::in_passing(GONE);
            }
        })?;
        control.set_others(true);
        Ok(Stream { socket, outlet: Some(outlet), reader: Some(reader), control, over, process })
    }

    /// The process at the other end, if it was started here.
    pub fn child(&self) -> Option<u32> {
        self.process.as_ref().map(|peer| peer.0.id())
    }

    /// The end that the guest sends to.
    pub fn wire(&self) -> impl Wire + use<> {
        StreamWire(self.outlet.as_ref().map(|outlet| outlet.handle().clone()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.control.set_others(false);
        self.control.close_input();
        self.over.store(true, Ordering::SeqCst);
        let _ = self.socket.shutdown(Shutdown::Both);
        drop(self.outlet.take().map(Outlet::finish));
        let _ = self.reader.take().map(JoinHandle::join);
        // Its process is ended after this, when it is dropped.
    }
}

struct StreamWire(Option<Handle<Vec<u8>>>);

impl Wire for StreamWire {
    fn send(&mut self, frame: &[u8]) {
        let length = u32::try_from(frame.len()).unwrap_or_default().to_be_bytes();
        let bytes = [&length[..], frame].concat();
        let load = Load { bytes: bytes.len(), units: 1 };
        if let Some(handle) = &self.0 {
            let _ = handle.put(bytes, load, Full::Drop);
        }
    }
}

/// Delivers what comes, until the other end is gone or sends what is no frame.
fn read_frames(mut input: UnixStream, slot: u8, control: &Control) {
    let mut length = [0; 4];
    while input.read_exact(&mut length).is_ok() {
        let bytes = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if bytes > LENGTH_MAX {
            return;
        }
        let mut frame = vec![0; bytes];
        if input.read_exact(&mut frame).is_err() {
            return;
        }
        // What has no bytes is no frame, and would not count against what may wait.
        if bytes > 0 {
            control.deliver(slot, frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_go_both_ways_after_their_length() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let control = Arc::<Control>::default();
        let stream = Stream::over(ours, 9, Arc::clone(&control), None).unwrap();
        stream.wire().send(b"from the guest");
        let mut got = [0; 18];
        theirs.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"\0\0\0\x0efrom the guest");
        theirs.write_all(b"\0\0\0\x03one\0\0\0\x05three").unwrap();
        let mut came = Vec::new();
        while came.len() < 2 {
            control.wait(Some(std::time::Duration::from_millis(10)));
            control.attend();
            came.extend(control.take_delivery());
        }
        assert_eq!(came, [(9, b"one".to_vec()), (9, b"three".to_vec())]);
    }

    #[test]
    fn a_length_that_is_none_ends_it() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let control = Arc::<Control>::default();
        theirs.write_all(b"\0\0\0\0\0\0\0\0\xff\xff\xff\xffgarbage").unwrap();
        read_frames(ours, 9, &control);
        assert_eq!(control.take_delivery(), None);
    }
}
