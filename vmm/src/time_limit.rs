//! `--timeout`: the end of a run after so much of the host's time.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::control::{Control, StopReason};
use crate::error::HostError;
use crate::sandbox::{self, Role};

/// Stops the guest after a while of host time; dropped, it does nothing more.
pub(crate) struct TimeLimit {
    /// Dropped, it ends the thread.
    sender: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TimeLimit {
    /// Starts it now.
    pub(crate) fn start(limit: Duration, control: Arc<Control>) -> Result<Self, HostError> {
        // Whoever waits for an output when the guest is over looks there.
        control.set_limit(Instant::now() + limit);
        let (sender, receiver) = channel();
        let waiter = move || {
            if receiver.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                control.stop(StopReason::Timeout);
            }
        };
        let thread = sandbox::start(Role::Other, "time limit", waiter);
        let cannot = |error| HostError::Host(format!("--timeout: cannot start a thread for it: {error}"));
        Ok(TimeLimit { sender: Some(sender), thread: Some(thread.map_err(cannot)?) })
    }
}

impl Drop for TimeLimit {
    fn drop(&mut self) {
        self.sender = None;
        // Nothing in it can panic, and there is nothing to be told.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
