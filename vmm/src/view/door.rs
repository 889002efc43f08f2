//! Where viewers come in: a listening socket, and a thread for each connection, of which there are only so many.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::event::Event;
use crate::sandbox::{self, Role};

/// Connections at once; further ones are closed at once.
pub const CONNECTIONS_MAX: usize = 16;
/// After a connection could not be taken (no descriptor is left), that long until the next try.
const PAUSE: Duration = Duration::from_millis(100);

/// What is done with a connection, in its thread.
pub type Serve = dyn Fn(TcpStream) + Send + Sync;

/// A listening socket. Dropped, it closes, and waits for the connections, which must have been told to end.
pub struct Door {
    address: SocketAddr,
    stop: Arc<Event>,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    /// Listens at `address`; port 0 is a free one.
    ///
    /// # Errors
    ///
    /// The address is not to be had, or no thread.
    pub fn open(name: &str, address: SocketAddr, serve: Arc<Serve>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let (address, stop) = (listener.local_addr()?, Arc::new(Event::new()?));
        let told = Arc::clone(&stop);
        let connection = format!("{name} viewer");
        let thread = sandbox::start(Role::Server, name, move || {
            listen(&listener, &told, &connection, &serve);
        })?;
        Ok(Door { address, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.set();
        // Nothing in it can panic, and there is nothing to be told.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn listen(listener: &TcpListener, stop: &Event, name: &str, serve: &Arc<Serve>) {
    let mut connections: Vec<JoinHandle<()>> = Vec::new();
    let pause = Timespec { tv_sec: 0, tv_nsec: PAUSE.subsec_nanos().into() };
    let mut refused = false;
    loop {
        let mut both = [PollFd::new(stop, PollFlags::IN), PollFd::new(listener, PollFlags::IN)];
        let waited_for = if refused { &mut both[..1] } else { &mut both[..] };
        // A wait that fails is one that was interrupted.
        let _ = poll(waited_for, refused.then_some(&pause));
        if !both[0].revents().is_empty() {
            break;
        }
        connections.retain(|thread| !thread.is_finished());
        refused = match listener.accept() {
            Ok(_) if connections.len() >= CONNECTIONS_MAX => false,
            Ok((stream, _)) => {
                let serve = Arc::clone(serve);
                let thread = sandbox::start(Role::Server, name, move || serve(stream));
                thread.map(|thread| connections.push(thread)).is_err()
            }
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        };
    }
    for connection in connections {
        let _ = connection.join();
    }
}
