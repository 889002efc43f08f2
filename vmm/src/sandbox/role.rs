//! What each thread of the process is for: by that the sandbox knows which calls of the host's kernel it needs.

use std::cell::Cell;
use std::io;
use std::sync::mpsc::channel;
use std::thread::{Builder, JoinHandle};

use super::threads;

/// What a thread is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Waits and reports: the time limit, a progress bar.
    Other,
    /// Runs the machine, and the command around it.
    Machine,
    /// Runs one of KVM's CPUs; a part of what [`Role::Machine`] may.
    Vcpu,
    /// Takes the process's signals.
    Signals,
    /// Reads what comes to one descriptor that is open.
    Input,
    /// Writes to one descriptor that is open.
    Output,
    /// Writes files into a folder.
    Files,
    /// Lets in whoever connects to a socket that is there.
    Server,
}

/// All of them, each at its own number.
pub const ALL: [Role; 8] = [
    Role::Other,
    Role::Machine,
    Role::Vcpu,
    Role::Signals,
    Role::Input,
    Role::Output,
    Role::Files,
    Role::Server,
];

thread_local! {
    static ROLE: Cell<Role> = const { Cell::new(Role::Other) };
    static CONFINED: Cell<bool> = const { Cell::new(false) };
}

/// The calling thread's. It may be asked in a signal's handler.
pub fn own() -> Role {
    ROLE.get()
}

/// Whether the calling thread is in the sandbox. It may be asked in a signal's handler.
pub fn is_confined() -> bool {
    CONFINED.get()
}

/// The calling thread is in the sandbox.
pub(super) fn set_confined() {
    CONFINED.set(true);
}

/// The calling thread is for this from now on.
pub(super) fn take_on(role: Role) {
    ROLE.set(role);
}

/// What a new thread has of the one that starts it: to be taken by that one.
#[derive(Clone, Copy, Debug)]
pub struct Heir {
    parent: Role,
    confined: bool,
}

impl Heir {
    /// Of the calling thread.
    pub fn own() -> Self {
        Heir { parent: own(), confined: is_confined() }
    }

    /// The calling thread, which is the new one, is for this. In the sandbox it has its parent's list already; a part of the
    /// machine's gets one of its own too.
    pub fn begin(self, role: Role) {
        ROLE.set(role);
        CONFINED.set(self.confined);
        if self.confined && self.parent == Role::Machine {
            threads::narrow(role);
        }
    }
}

/// Starts a thread.
///
/// # Errors
///
/// The host has no room for one.
pub fn start<T: Send + 'static>(
    role: Role,
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let (tell, told) = channel::<()>();
    let heir = Heir::own();
    let thread = Builder::new().name(name.into()).spawn(move || {
        heir.begin(role);
        drop(tell);
        work()
    })?;
    // From here on the sandbox finds a thread that knows what it is for.
    let _ = told.recv();
    Ok(thread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_knows_what_it_is_for_when_it_is_started() {
        assert!(ALL.iter().enumerate().all(|(number, role)| *role as usize == number));
        let role = start(Role::Output, "test", own).unwrap().join().unwrap();
        assert_eq!((role, own()), (Role::Output, Role::Other));
    }
}
