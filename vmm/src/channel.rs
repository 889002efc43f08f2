//! The other end of a guest's channel: a Unix socket of the host, to which one program at a time connects.
//!
//! What the guest writes to its port (docs/virtio-console.md) goes to the program that is connected; without one the guest's kernel
//! knows that nobody is there. What the program writes goes to the guest, and waits there while no program has the port open.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use fencepost_devices::virtio_console::Port;
use fencepost_devices::virtio_console::message::{DATA_MAX_BYTES, Message};
use rustix::event::{PollFd, PollFlags, poll};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::config::MachineConfig;
use crate::control::{Control, Route};
use crate::error::{HostError, plain};
use crate::hooks::Hooks;
use crate::launch::{ConsoleAt, Launch};
use crate::outlet::{Full, Gate, Items, Load, Outlet};

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
    path: PathBuf,
    client: Client,
    stop: EventFd,
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
        let listener = UnixListener::bind(path).map_err(|error| failed(&error))?;
        let client = Client::default();
        let started = || -> std::io::Result<_> {
            listener.set_nonblocking(true)?;
            let stop = EventFd::new(EFD_NONBLOCK)?;
            let serve = Serve {
                listener: listener.try_clone()?,
                stop: stop.try_clone()?,
                client: client.clone(),
                control: Arc::clone(control),
                slot,
            };
            let to_client = client.clone();
            let outlet = Outlet::start("channel", Gate::new(control, BOUND_BYTES), move |items| {
                write_items(&to_client, items);
            })?;
            let thread = std::thread::Builder::new().name("channel-in".into()).spawn(move || serve.run())?;
            Ok((stop, outlet, thread))
        };
        let (stop, outlet, thread) = started().map_err(|error| failed(&error))?;
        control.set_others(true);
        Ok(Channel {
            path: path.to_path_buf(),
            client,
            stop,
            thread: Some(thread),
            control: Arc::clone(control),
            outlet: Some(outlet),
        })
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
        let _ = self.stop.write(1);
        if let Some(stream) = self.client.stream() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = std::fs::remove_file(&self.path);
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
    listener: UnixListener,
    stop: EventFd,
    client: Client,
    control: Arc<Control>,
    slot: u8,
}

impl Serve {
    fn run(&self) {
        while self.wait() {
            match self.listener.accept() {
                Ok((stream, _)) => self.attend(stream),
                Err(error) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&error.kind()) => {}
                // Too many descriptors, say: nobody can connect any more, and the guest goes on.
                Err(_) => break,
            }
        }
    }

    /// Waits for a program; false when the run is over.
    fn wait(&self) -> bool {
        let over = || self.stop.read().is_ok() || self.control.stop_reason().is_some();
        // SAFETY: the descriptor is open for as long as the borrow.
        let stop =
            unsafe { std::os::fd::BorrowedFd::borrow_raw(std::os::fd::AsRawFd::as_raw_fd(&self.stop)) };
        let mut both = [PollFd::new(&stop, PollFlags::IN), PollFd::new(&self.listener, PollFlags::IN)];
        let _ = poll(&mut both, None);
        !over()
    }

    /// Reads from one program until it goes away.
    fn attend(&self, mut stream: UnixStream) {
        let Ok(other) = stream.try_clone() else { return };
        *self.client.lock() = Some(other);
        self.control.deliver(self.slot, Message::Connected(true).bytes());
        let mut buffer = [0; DATA_MAX_BYTES];
        loop {
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
        *self.client.lock() = None;
        self.control.deliver(self.slot, Message::Connected(false).bytes());
    }
}
