//! Bytes on their way to a descriptor of the host: the guest's console, what the command says.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::{Delivery, Finished, Full, Gate, Handle, Items, Load, Outlet, open};
use crate::allowance::Allowance;
use crate::control::Control;
use crate::error::plain;
use crate::sandbox::Role;

/// Bytes that may wait.
const BOUND_BYTES: usize = 1 << 20;
/// What a piece takes of the bound besides its bytes.
const PIECE_BYTES: usize = 64;

/// Why something was not written, and how much.
#[derive(Debug, Default)]
struct Lost {
    error: Option<io::Error>,
    bytes: u64,
}

/// A descriptor, and the thread that writes to it.
pub struct Bytes {
    name: String,
    outlet: Outlet<Vec<u8>, Lost>,
}

impl Bytes {
    /// Opens the file `path`, which the user knows as `name`, and starts the thread that writes to it. What was in it is gone; a FIFO's reader is
    /// waited for, as [`open::for_writing`] does.
    ///
    /// # Errors
    ///
    /// It cannot be made or written.
    pub fn create(path: &Path, name: &str, control: &Arc<Control>) -> io::Result<Self> {
        let file = open::for_writing(path, control)?;
        if file.metadata()?.is_file() {
            file.set_len(0)?;
        }
        Bytes::start(name, file.into(), control)
    }

    /// Starts the thread that writes to `to`, which the user knows as `name`.
    pub fn start(name: &str, to: OwnedFd, control: &Arc<Control>) -> io::Result<Self> {
        let gate = Gate::new(control, BOUND_BYTES);
        let outlet = Outlet::start((Role::Output, name), gate, move |items| write_items(&to, items))?;
        Ok(Bytes { name: name.into(), outlet })
    }

    /// A writer to it, which never fails.
    pub fn writer(&self, full: Full) -> BytesWriter {
        BytesWriter { handle: self.outlet.handle().clone(), full, allowance: Allowance::default() }
    }

    /// Its bound.
    pub fn gate(&self) -> &Arc<Gate> {
        self.outlet.gate()
    }

    /// Waits until all is written, as [`Outlet::finish`] does.
    pub fn finish(self) -> Delivery {
        let gate = Arc::clone(self.outlet.gate());
        let mut delivery = Delivery { name: self.name, unit: "bytes", ..Delivery::default() };
        match self.outlet.finish() {
            Finished::GivenUp(bytes) => (delivery.given_up, delivery.unwritten) = (true, bytes),
            Finished::Ended(Err(error)) => delivery.error = Some(plain(&error)),
            Finished::Ended(Ok(lost)) => {
                delivery.unwritten = lost.bytes;
                delivery.closed =
                    lost.error.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
                delivery.error = match lost.error {
                    Some(_) if delivery.closed => Some("its reader is gone".into()),
                    error => error.map(|error| plain(&error)),
                };
            }
        }
        (delivery.dropped, delivery.beyond) = (gate.dropped(), gate.beyond());
        delivery
    }
}

/// Hands bytes to the thread.
#[derive(Clone)]
pub struct BytesWriter {
    handle: Handle<Vec<u8>>,
    full: Full,
    allowance: Allowance,
}

impl BytesWriter {
    /// The same; what it is given is taken from `allowance`, and it ends when that does.
    #[must_use]
    pub fn within(self, allowance: &Allowance) -> Self {
        BytesWriter { allowance: allowance.clone(), ..self }
    }

    /// What happens from now on to that for which there is no room.
    pub fn full(&mut self, full: Full) {
        self.full = full;
    }
}

impl Write for BytesWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gate = &self.handle.gate;
        let allowed = self.allowance.take_up_to(gate.allowed(bytes.len() as u64));
        let (out, beyond) = bytes.split_at(usize::try_from(allowed).unwrap_or(usize::MAX).min(bytes.len()));
        if !out.is_empty() {
            let load = Load { bytes: out.len().saturating_add(PIECE_BYTES), units: out.len() as u64 };
            // What is dropped is counted there.
            let _ = self.handle.put(out.to_vec(), load, self.full);
        }
        if !beyond.is_empty() {
            gate.end_after(0);
            gate.leave_out(beyond.len() as u64);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_items(to: &OwnedFd, items: &mut Items<Vec<u8>>) -> Lost {
    let mut lost = Lost::default();
    while let Some(bytes) = items.next() {
        let mut rest = &bytes[..];
        while lost.error.is_none() && !rest.is_empty() {
            match write_some(to, rest) {
                Ok(count) => {
                    rest = &rest[count..];
                    items.wrote(Load { bytes: count, units: count as u64 });
                }
                Err(error) => lost.error = Some(error),
            }
        }
        lost.bytes = lost.bytes.saturating_add(rest.len() as u64);
    }
    lost
}

/// Writes a part of `bytes`, and waits for room on a descriptor that somebody has made non-blocking.
pub fn write_some(to: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match rustix::io::write(&to, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => return Ok(count),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&to, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
}
