//! A server of the GDB remote protocol (docs/gdb.md), by the crate `gdbstub`.
//!
//! A thread listens and reads (`door`); the machine's own thread works on what was said while the machine stands still
//! (`session`), on plain data (`subject`). Nothing here runs the guest: that is the back ends' business, by
//! [`crate::debug`].

mod address;
mod door;
mod monitor;
mod registers;
mod session;
mod subject;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gdbstub::common::Signal;
use gdbstub::stub::MultiThreadStopReason as Reason;
use tempfile::TempDir;

use crate::control::Control;
use crate::debug::{Attached, Waits};
use crate::error::{HostError, plain};
pub use address::{GdbAt, Place};
use door::{Door, Inbox};
use session::{Lines, Session};

/// The server; dropping it ends the session.
pub struct Gdb {
    session: Arc<Mutex<Session>>,
    door: Door,
    inbox: Arc<Inbox>,
    waits: Waits,
    /// The folder of a socket that nobody has named.
    folder: Option<TempDir>,
}

/// How a machine has ended, for a debugger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a status of the guest's, of which a debugger sees the low eight bits.
    Exited(i32),
    /// By the host.
    Stopped,
}

impl Gdb {
    /// Listens where `at` says; with none, at a socket in a folder of its own. With `on_panic` the guest waits for a debugger when its
    /// kernel fails; with `at_end`, which is said then, when it is over.
    ///
    /// # Errors
    ///
    /// A place where nobody can listen.
    pub fn open(
        at: Option<&GdbAt>,
        on_panic: bool,
        at_end: Option<&str>,
        control: &Arc<Control>,
    ) -> Result<Self, HostError> {
        let inbox = Arc::<Inbox>::default();
        let (door, folder) = match at {
            Some(at) => (Door::open("--gdb", &at.place, &inbox, control)?, None),
            None => {
                let folder = tempfile::Builder::new().prefix("fencepost-gdb-").tempdir();
                let folder = folder.map_err(|error| {
                    let why = format!("--on-panic gdb: no folder for a socket: {}", plain(&error));
                    HostError::input(why, "name a socket by --gdb unix:PATH,nowait")
                })?;
                let place = Place::Unix(folder.path().join("socket"));
                (Door::open("--on-panic gdb", &place, &inbox, control)?, Some(folder))
            }
        };
        let failed = on_panic.then(|| {
            format!("the guest's kernel has failed, and waits for: gdb VMLINUX -ex '{}'", door.command)
        });
        let over = at_end.map(|what| format!("{what}: gdb -ex '{}'", door.command));
        let lines = Lines { waits_at_start: at.is_some_and(|at| at.waits), at_failure: failed, at_end: over };
        let session = Session::new(&inbox, control, lines);
        let waits = Waits { at_failure: on_panic, at_end: at_end.is_some() };
        Ok(Gdb { session: Arc::new(Mutex::new(session)), door, inbox, waits, folder })
    }

    /// For a back end.
    pub fn attached(&self) -> Attached {
        Attached::new(Arc::clone(&self.session) as _, Arc::clone(&self.inbox) as _, self.waits)
    }

    /// The folder that is removed with the socket in it when this is dropped, if nobody has named a socket.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(TempDir::path)
    }

    /// What the user is told: where it is.
    pub fn line(&self) -> String {
        format!("gdb: {}", self.door.command)
    }

    /// The machine has ended.
    pub fn end(self, how: Ended) {
        let reason = match how {
            Ended::Exited(status) => Reason::Exited(status as u8),
            Ended::Stopped => Reason::Terminated(Signal::SIGTERM),
        };
        self.session.lock().unwrap_or_else(PoisonError::into_inner).end(reason);
    }
}
