//! The other end of a guest's channel: a Unix socket of the host, to which one program at a time connects.
//!
//! What the guest writes to its port (docs/virtio-console.md) goes to the program that is connected; without one the guest's kernel
//! knows that nobody is there. What the program writes goes to the guest, and waits there while no program has the port open.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use fencepost_devices::virtio_console::Port;
use fencepost_devices::virtio_console::message::{DATA_MAX_BYTES, Message};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::config::MachineConfig;
use crate::control::{Control, Route};
use crate::error::{HostError, plain};
use crate::event::Event;
use crate::hooks::Hooks;
use crate::launch::{ConsoleAt, Launch};
use crate::outlet::{Full, Gate, Items, Load, Outlet};
use crate::sandbox::{self, Role};
use crate::unix_socket::UnixSocket;

/// Bytes for the program that may wait.
const BOUND_BYTES: usize = 1 << 20;
/// What a piece takes of the bound besides its bytes.
const PIECE_BYTES: usize = 64;

/// Leads console input and the channel to the machine's virtio console, as `launch` wants it.
///
/// # Errors
///
/// A machine without such a console, and those of [`Channel::open`].
pub fn connect(
    launch: &Launch,
    machine: &MachineConfig,
    hooks: &mut Hooks,
) -> Result<Option<Channel>, HostError> {
    if launch.console == ConsoleAt::Serial && launch.channel.is_none() {
        return Ok(None);
    }
    let console =
        machine.devices.iter().filter(|device| device.kind == "virtio-console").map(|it| it.slot).min();
    let slot = console.ok_or_else(|| {
        let option = if launch.channel.is_some() { "--channel" } else { "--console hvc0" };
        HostError::input(
            format!("{option}: the machine has no virtio-console"),
            "plug one: --device virtio-console",
        )
    })?;
    if launch.console == ConsoleAt::Hvc0 {
        hooks.control.route_console(Route {
            slot,
            characters: |bytes| Message::Data(Port::Terminal, bytes).bytes(),
            size: |size| Message::Size(size.columns, size.rows).bytes(),
        });
    }
    if launch.restore.is_some() && launch.channel.is_some() {
        // Whoever was connected when the machine was saved is not any more.
        hooks.control.deliver(slot, Message::Connected(false).bytes());
    }
    let open = |path| Channel::open(path, slot, &hooks.control);
    let channel = launch.channel.as_deref().map(open).transpose()?;
    if let Some(channel) = &channel {
        hooks.channel = Some(Box::new(channel.writer(launch.slow_output)));
        hooks.gates.extend(channel.gate());
    }
    Ok(channel)
}

/// The program that is connected.
#[derive(Clone, Default)]
struct Client(Arc<Mutex<Option<UnixStream>>>);

impl Client {
    fn lock(&self) -> MutexGuard<'_, Option<UnixStream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream, for one who writes to it without keeping others from it.
    fn stream(&self) -> Option<UnixStream> {
        self.lock().as_ref()?.try_clone().ok()
    }
}

/// A socket and the threads behind it; dropping it ends them and removes the socket.
pub struct Channel {
    client: Client,
    stop: Arc<Event>,
    thread: Option<JoinHandle<()>>,
    control: Arc<Control>,
    outlet: Option<Outlet<Vec<u8>, ()>>,
}

impl Channel {
    /// Listens at `path` for the program at the other end of the channel of the console in `slot`.
    ///
    /// # Errors
    ///
    /// A path where there is something already, or where no socket can be.
    pub fn open(path: &Path, slot: u8, control: &Arc<Control>) -> Result<Self, HostError> {
        let failed = |error: &std::io::Error| {
            let fix = "name a socket that is not there yet, in a folder where you may write";
            HostError::input(format!("--channel {}: {}", path.display(), plain(error)), fix)
        };
        let client = Client::default();
        let started = || -> std::io::Result<_> {
            let (socket, stop) = (UnixSocket::bind(path)?, Arc::new(Event::new()?));
            let serve = Serve {
                socket,
                stop: Arc::clone(&stop),
                client: client.clone(),
                control: Arc::clone(control),
                slot,
            };
            let to_client = client.clone();
            let outlet =
                Outlet::start((Role::Output, "channel"), Gate::new(control, BOUND_BYTES), move |items| {
                    write_items(&to_client, items);
                })?;
            let thread = sandbox::start(Role::Server, "channel-in", move || serve.run())?;
            Ok((stop, outlet, thread))
        };
        let (stop, outlet, thread) = started().map_err(|error| failed(&error))?;
        control.set_others(true);
        Ok(Channel { client, stop, thread: Some(thread), control: Arc::clone(control), outlet: Some(outlet) })
    }

    /// Where what the guest writes goes.
    pub fn writer(&self, full: Full) -> impl Write + Send + 'static {
        let handle = self.outlet.as_ref().map(|outlet| outlet.handle().clone());
        Writer { handle, client: self.client.clone(), full }
    }

    /// The bound that the machine waits for.
    pub fn gate(&self) -> Option<Arc<Gate>> {
        self.outlet.as_ref().map(|outlet| Arc::clone(outlet.gate()))
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.control.set_others(false);
        // What the guest wrote last is still to be read: it goes out first, as far as the program takes it.
        drop(self.outlet.take().map(Outlet::finish));
        // Nobody takes what a program still sends: whoever waits for room is not to wait any more.
        self.control.close_input();
        self.stop.set();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Writer {
    handle: Option<crate::outlet::Handle<Vec<u8>>>,
    client: Client,
    full: Full,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // Nobody is there: the guest was told, and what it wrote before it knew is nobody's.
        if let Some(handle) = self.handle.as_ref().filter(|_| self.client.lock().is_some()) {
            let load = Load { bytes: bytes.len().saturating_add(PIECE_BYTES), units: bytes.len() as u64 };
            let _ = handle.put(bytes.to_vec(), load, self.full);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn write_items(client: &Client, items: &mut Items<Vec<u8>>) {
    for bytes in items {
        // A program that goes away in the middle gets no more; its end is seen where it is read.
        let _ = client.stream().map(|mut stream| stream.write_all(&bytes));
    }
}

/// The thread that waits for programs and reads from them.
struct Serve {
    socket: UnixSocket,
    stop: Arc<Event>,
    client: Client,
    control: Arc<Control>,
    slot: u8,
}

impl Serve {
    fn run(&self) {
        while self.wait_for(&self.socket) {
            match self.socket.accept() {
                Ok(stream) => self.attend(stream),
                Err(error) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&error.kind()) => {}
                // Too many descriptors, say: nobody can connect any more, and the guest goes on.
                Err(_) => break,
            }
        }
    }

    /// Waits until something comes from `source`; false when the run is over.
    fn wait_for(&self, source: impl AsFd) -> bool {
        let mut both = [PollFd::new(&*self.stop, PollFlags::IN), PollFd::new(&source, PollFlags::IN)];
        loop {
            match poll(&mut both, None) {
                Err(Errno::INTR) => {}
                Err(_) => return false,
                Ok(_) => return both[0].revents().is_empty() && self.control.stop_reason().is_none(),
            }
        }
    }

    /// Reads from one program until it goes away, or the run is over.
    fn attend(&self, mut stream: UnixStream) {
        let Ok(other) = stream.try_clone() else { return };
        *self.client.lock() = Some(other);
        self.control.deliver(self.slot, Message::Connected(true).bytes());
        let mut buffer = [0; DATA_MAX_BYTES];
        while self.wait_for(&stream) {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    let message = Message::Data(Port::Channel, buffer.get(..count).unwrap_or_default());
                    self.control.deliver(self.slot, message.bytes());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // Whoever writes to it at the moment writes to nobody.
        let _ = stream.shutdown(Shutdown::Both);
        *self.client.lock() = None;
        self.control.deliver(self.slot, Message::Connected(false).bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    /// Far longer than anything here takes: a test that hangs says so.
    const HANGS: Duration = Duration::from_secs(60);

    /// Runs `what` in a thread; whether it comes to an end.
    fn ends(what: impl FnOnce() + Send + 'static) -> bool {
        let (done, waits) = channel();
        std::thread::spawn(move || {
            what();
            let _ = done.send(());
        });
        waits.recv_timeout(HANGS).is_ok()
    }

    #[test]
    fn a_program_that_sends_what_nobody_takes_does_not_hold_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let (path, control) = (folder.path().join("channel"), Arc::<Control>::default());
        let channel = Channel::open(&path, 9, &control).unwrap();
        let mut program = UnixStream::connect(&path).unwrap();
        program.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        // Until nobody takes more: the reader waits for room by then.
        while program.write(&[0; 4096]).is_ok() {}
        assert!(ends(move || drop(channel)));
        assert!(!path.exists());
    }

    #[test]
    fn a_program_that_comes_as_the_run_ends_does_not_hold_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("channel");
        let serve = Serve {
            socket: UnixSocket::bind(&path).unwrap(),
            stop: Arc::new(Event::new().unwrap()),
            client: Client::default(),
            control: Arc::default(),
            slot: 9,
        };
        let program = UnixStream::connect(&path).unwrap();
        assert!(serve.wait_for(&serve.socket));
        // The word comes between the look and the program's turn.
        serve.stop.set();
        let stream = serve.socket.accept().unwrap();
        assert!(ends(move || serve.attend(stream)));
        drop(program);
    }

    #[test]
    fn what_a_killed_run_left_at_the_path_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("channel");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let channel = Channel::open(&path, 9, &Arc::default()).expect("nobody listens there");
        assert!(Channel::open(&path, 9, &Arc::default()).is_err(), "somebody does");
        drop(channel);
    }
}
