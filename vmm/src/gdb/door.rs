//! The socket that a debugger comes to, and the thread that reads from it. One debugger at a time; what it says waits here until the
//! machine's own thread takes it.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use super::address::Place;
use crate::control::Control;
use crate::debug::Calls;
use crate::error::{HostError, plain};
use crate::sandbox::{self, Role};
use crate::say;
use crate::unix_socket;

/// What a debugger may say before it is read: more waits in its socket.
const BYTES_MAX: usize = 64 * 1024;
/// How long a debugger may not take what it is sent.
const SEND_LIMIT: Duration = Duration::from_secs(10);
/// The longest wait without a look at the reasons to stop.
const LOOK_AROUND: Duration = Duration::from_millis(50);

/// One end of a connection.
pub enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    fn prepare(&self) -> io::Result<Stream> {
        match self {
            Stream::Unix(stream) => {
                stream.set_nonblocking(false)?;
                stream.set_write_timeout(Some(SEND_LIMIT))?;
                stream.try_clone().map(Stream::Unix)
            }
            Stream::Tcp(stream) => {
                stream.set_nonblocking(false)?;
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(SEND_LIMIT))?;
                stream.try_clone().map(Stream::Tcp)
            }
        }
    }

    /// Ends the connection for both sides.
    pub fn close(&self) {
        // It may be gone already.
        let _ = match self {
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tcp(stream) => stream.read(buffer),
        }
    }

    /// Sends all of it.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.write_all(bytes),
            Stream::Tcp(stream) => stream.write_all(bytes),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Tcp(stream) => stream.as_fd(),
        }
    }
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
            Listener::Tcp(listener) => listener.accept().map(|(stream, _)| Stream::Tcp(stream)),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Unix(listener) => listener.as_fd(),
            Listener::Tcp(listener) => listener.as_fd(),
        }
    }
}

/// What comes from outside.
pub enum News {
    /// A debugger has come; what it is sent goes there.
    Came(Stream),
    /// It has said this.
    Byte(u8),
    /// It has gone.
    Gone,
}

#[derive(Default)]
struct Waiting {
    came: Option<Stream>,
    bytes: VecDeque<u8>,
    gone: bool,
    over: bool,
}

/// What waits for the machine's thread.
#[derive(Default)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// Something waits.
    calls: AtomicBool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, control: &Control, change: impl FnOnce(&mut Waiting)) {
        change(&mut self.lock());
        self.calls.store(true, Ordering::Release);
        self.changed.notify_all();
        // A machine that runs looks there.
        control.nudge();
    }

    /// Takes what waits first, if anything does.
    pub fn take(&self) -> Option<News> {
        let mut waiting = self.lock();
        let news = match waiting.came.take() {
            Some(stream) => Some(News::Came(stream)),
            None => waiting.bytes.pop_front().map(News::Byte),
        };
        let news = news.or_else(|| std::mem::take(&mut waiting.gone).then_some(News::Gone));
        let more = waiting.came.is_some() || !waiting.bytes.is_empty() || waiting.gone;
        self.calls.store(more, Ordering::Release);
        news
    }

    /// Waits for something; none when the machine must end.
    pub fn wait(&self, control: &Control) -> Option<News> {
        loop {
            if let Some(news) = self.take() {
                return Some(news);
            }
            if control.stop_reason().is_some() {
                return None;
            }
            let waiting = self.lock();
            if waiting.came.is_none() && waiting.bytes.is_empty() && !waiting.gone {
                let _ = self.changed.wait_timeout(waiting, LOOK_AROUND);
            }
        }
    }
}

impl Calls for Inbox {
    fn calls(&self) -> bool {
        self.calls.load(Ordering::Acquire)
    }
}

/// The socket and its thread; dropping it ends them.
pub struct Door {
    thread: Option<JoinHandle<()>>,
    inbox: Arc<Inbox>,
    remove: Option<PathBuf>,
    /// How gdb is told to come here.
    pub command: String,
}

impl Door {
    /// Listens at `place`; what comes goes to `inbox`.
    ///
    /// # Errors
    ///
    /// A place where nobody can listen.
    pub fn open(
        option: &str,
        place: &Place,
        inbox: &Arc<Inbox>,
        control: &Arc<Control>,
    ) -> Result<Self, HostError> {
        let (listener, command, remove) = listen(option, place)?;
        let serve = Serve { listener, inbox: Arc::clone(inbox), control: Arc::clone(control) };
        let thread = sandbox::start(Role::Server, "gdb", move || serve.run());
        let thread = thread.map_err(|error| {
            HostError::Host(format!("{option}: cannot start a thread: {}", plain(&error)))
        })?;
        Ok(Door { thread: Some(thread), inbox: Arc::clone(inbox), remove, command })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.inbox.lock().over = true;
        self.inbox.changed.notify_all();
        // Nothing in it can panic, and there is nothing to be told.
        let _ = self.thread.take().map(JoinHandle::join);
        if let Some(path) = &self.remove {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn listen(option: &str, place: &Place) -> Result<(Listener, String, Option<PathBuf>), HostError> {
    let failed = |at: &dyn std::fmt::Display, error: &io::Error, fix: &str| {
        HostError::input(format!("{option} {at}: {}", plain(error)), fix)
    };
    match place {
        Place::Unix(path) => {
            let fix = "name a socket that is not there yet, in a folder where you may write";
            let listener = unix_socket::listen(path, Some(0o600));
            let listener = listener.map_err(|error| failed(&path.display(), &error, fix))?;
            listener.set_nonblocking(true).map_err(|error| failed(&path.display(), &error, fix))?;
            let command = format!("target remote {}", path.display());
            Ok((Listener::Unix(listener), command, Some(path.clone())))
        }
        Place::Tcp(at) => {
            let fix = "name a free port; 0 takes any";
            let listener = TcpListener::bind(at).map_err(|error| failed(at, &error, fix))?;
            listener.set_nonblocking(true).map_err(|error| failed(at, &error, fix))?;
            let at = listener.local_addr().map_err(|error| failed(at, &error, fix))?;
            Ok((Listener::Tcp(listener), format!("target remote {at}"), None))
        }
    }
}

/// The thread.
struct Serve {
    listener: Listener,
    inbox: Arc<Inbox>,
    control: Arc<Control>,
}

impl Serve {
    fn run(&self) {
        let mut debugger: Option<Stream> = None;
        loop {
            let (room, over) = {
                let waiting = self.inbox.lock();
                (waiting.bytes.len() < BYTES_MAX, waiting.over)
            };
            if over {
                debugger.into_iter().for_each(|stream| stream.close());
                return;
            }
            let (comes, says) = self.wait(debugger.as_ref().filter(|_| room));
            if comes {
                self.welcome(&mut debugger);
            }
            if says && !self.hear(&mut debugger) {
                debugger = None;
                self.inbox.put(&self.control, |waiting| waiting.gone = true);
            }
        }
    }

    /// Waits a while; whether somebody comes, and whether the debugger that is there says something.
    fn wait(&self, debugger: Option<&Stream>) -> (bool, bool) {
        let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: LOOK_AROUND.as_nanos() as _ };
        let mut polled = vec![PollFd::new(&self.listener, PollFlags::IN)];
        polled.extend(debugger.map(|stream| PollFd::new(stream, PollFlags::IN)));
        if poll(&mut polled, Some(&timeout)).is_err() {
            return (false, false);
        }
        let ready = |n: usize| polled.get(n).is_some_and(|each| !each.revents().is_empty());
        (ready(0), ready(1))
    }

    fn welcome(&self, debugger: &mut Option<Stream>) {
        let Ok(stream) = self.listener.accept() else { return };
        if debugger.is_some() {
            stream.close();
            say::in_passing("fencepost: gdb: a second debugger was turned away: there is one already");
            return;
        }
        if let Ok(other) = stream.prepare() {
            *debugger = Some(stream);
            self.inbox.put(&self.control, |waiting| waiting.came = Some(other));
        }
    }

    /// Takes what the debugger says; false if it has gone.
    fn hear(&self, debugger: &mut Option<Stream>) -> bool {
        let mut buffer = [0; 4096];
        let Some(stream) = debugger else { return true };
        match stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                let bytes = buffer.get(..count).unwrap_or_default();
                self.inbox.put(&self.control, |waiting| waiting.bytes.extend(bytes));
                true
            }
            Err(error) => [io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock].contains(&error.kind()),
        }
    }
}
