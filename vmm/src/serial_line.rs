//! The host's ends of the serial ports beside the console: files, pseudo-terminals and Unix sockets.
//!
//! A line at whose other end nobody is loses what is sent, as a cable that is not plugged. Where somebody is, the machine waits for them or
//! drops, as `--slow-output` says.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::allowance::Allowance;
use crate::config::SerialEnd;
use crate::control::Control;
use crate::error::HostError;
use crate::outlet::bytes::Bytes;
use crate::outlet::{Delivery, Full, Gate};
use crate::sandbox::{self, Role};
use crate::unix_socket::UnixSocket;

/// Between two looks at who is there, and whether the machine is over.
const LOOK_AROUND: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// What the user knows the line of port `number` by.
fn name_of(number: u8, end: &SerialEnd) -> String {
    format!("--serial {end} (ttyS{number})")
}

/// The ends of all lines.
#[derive(Default)]
pub struct SerialLines {
    outs: Vec<Box<dyn Write + Send>>,
    files: Vec<Bytes>,
    peers: Vec<Listening>,
}

impl SerialLines {
    /// Opens them, for ttyS1 and up; `say` tells the names of pseudo-terminals.
    ///
    /// # Errors
    ///
    /// What the host refuses, as bad input.
    pub fn open(
        ends: &[SerialEnd],
        control: &Arc<Control>,
        (full, allowance): (Full, &Allowance),
        say: &mut dyn FnMut(&str),
    ) -> Result<Self, HostError> {
        let mut lines = SerialLines::default();
        for (number, end) in (1..).zip(ends) {
            let refused = |error: io::Error, fix: &str| {
                HostError::input(format!("{}: {}", name_of(number, end), crate::error::plain(&error)), fix)
            };
            match end {
                SerialEnd::Null => lines.outs.push(Box::new(io::sink())),
                SerialEnd::File(path) => {
                    let file = Bytes::create(path, &name_of(number, end), control);
                    let file = file.map_err(|error| refused(error, "name a file that can be written"))?;
                    lines.outs.push(Box::new(file.writer(full).within(allowance)));
                    lines.files.push(file);
                }
                SerialEnd::Pty => {
                    let (peer, name) = pty().map_err(|error| refused(error, "use unix:FILE"))?;
                    say(&format!("ttyS{number} is {name}"));
                    lines
                        .listen(number, peer, control, full)
                        .map_err(|error| refused(error, "use file:FILE"))?;
                }
                SerialEnd::Unix(path) => {
                    let fix = "name a socket of your own, in a folder that can be written";
                    let peer = socket(path).map_err(|error| refused(error, fix))?;
                    lines
                        .listen(number, peer, control, full)
                        .map_err(|error| refused(error, "use file:FILE"))?;
                }
            }
        }
        Ok(lines)
    }

    fn listen(&mut self, number: u8, peer: Peer, control: &Arc<Control>, full: Full) -> io::Result<()> {
        let peer = Arc::new(peer);
        self.outs.push(Box::new(ToPeer { peer: Arc::clone(&peer), control: Arc::clone(control), full }));
        let (reader, guest) = (Arc::clone(&peer), Arc::clone(control));
        let reader = move || reader.read_for(number, &guest);
        let thread = sandbox::start(Role::Server, &format!("ttyS{number}"), reader)?;
        // A guest that waits for what comes there is not dead.
        control.set_others(true);
        self.peers.push(Listening { peer, control: Arc::clone(control), thread: Some(thread) });
        Ok(())
    }

    /// Writers to the lines, in their order; once.
    pub fn take_outs(&mut self) -> Vec<Box<dyn Write + Send>> {
        std::mem::take(&mut self.outs)
    }

    /// Bounds of what the machine must wait for.
    pub fn gates(&self) -> impl Iterator<Item = Arc<Gate>> {
        self.files.iter().map(|file| Arc::clone(file.gate()))
    }

    /// Waits until all is written.
    pub fn finish(self) -> Vec<Delivery> {
        self.files.into_iter().map(Bytes::finish).collect()
    }
}

/// A line's reader; it ends when this is dropped, and nothing comes there any more.
struct Listening {
    peer: Arc<Peer>,
    control: Arc<Control>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.control.set_others(false);
        self.peer.state().over = true;
        // It looks around often, cannot panic, and there is nothing to be told.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Where others come to a line.
enum Door {
    /// Whoever opens the other side of this pseudo-terminal.
    Pty,
    /// Whoever connects.
    Socket(UnixSocket),
}

#[derive(Default)]
struct State {
    /// Who is there; for a pseudo-terminal always its own side.
    line: Option<Arc<OwnedFd>>,
    over: bool,
}

/// The other end of a line.
struct Peer {
    door: Door,
    state: Mutex<State>,
}

/// A raw pseudo-terminal, and the name of its other side.
fn pty() -> io::Result<(Peer, String)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?.to_string_lossy().into_owned();
    // Opened and closed once, it says from then on whether somebody has it open.
    let theirs = File::options().read(true).write(true).open(&name)?;
    let mut settings = tcgetattr(&theirs)?;
    settings.make_raw();
    tcsetattr(&theirs, OptionalActions::Now, &settings)?;
    drop(theirs);
    fcntl_setfl(&ours, fcntl_getfl(&ours)? | OFlags::NONBLOCK)?;
    let state = State { line: Some(Arc::new(ours)), over: false };
    Ok((Peer { door: Door::Pty, state: Mutex::new(state) }, name))
}

fn socket(path: &Path) -> io::Result<Peer> {
    Ok(Peer { door: Door::Socket(UnixSocket::bind(path)?), state: Mutex::default() })
}

/// What can be done with a line now.
fn ready(line: impl AsFd, wanted: PollFlags) -> PollFlags {
    let mut one = [PollFd::new(&line, wanted)];
    match poll(&mut one, Some(&LOOK_AROUND)) {
        Ok(_) => one[0].revents(),
        Err(_) => PollFlags::empty(),
    }
}

impl Peer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Brings the guest's port `number` what comes, until the machine is over.
    fn read_for(&self, number: u8, control: &Control) {
        let mut buffer = [0; 256];
        loop {
            let (line, over) = {
                let state = self.state();
                (state.line.clone(), state.over)
            };
            if over {
                return;
            }
            let Some(line) = line else {
                self.greet();
                continue;
            };
            if !control.has_serial_room(number) {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            let found = ready(&line, PollFlags::IN);
            if !found.contains(PollFlags::IN) {
                if found.intersects(PollFlags::HUP | PollFlags::ERR) {
                    self.hung_up();
                }
                continue;
            }
            match rustix::io::read(&line, &mut buffer) {
                Ok(0) => self.hung_up(),
                Ok(count) => control.push_serial_input(number, &buffer[..count]),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => self.hung_up(),
            }
        }
    }

    /// Lets in whoever connects.
    fn greet(&self) {
        let Door::Socket(socket) = &self.door else { return };
        if ready(socket, PollFlags::IN).contains(PollFlags::IN)
            && let Ok(stream) = socket.accept()
            && stream.set_nonblocking(true).is_ok()
        {
            self.state().line = Some(Arc::new(stream.into()));
        }
    }

    /// Nobody is there any more.
    fn hung_up(&self) {
        match self.door {
            // It stays, for whoever opens it next.
            Door::Pty => std::thread::sleep(Duration::from_millis(50)),
            Door::Socket(..) => self.state().line = None,
        }
    }
}

/// Writes to whoever is at the other end.
struct ToPeer {
    peer: Arc<Peer>,
    control: Arc<Control>,
    full: Full,
}

impl Write for ToPeer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        let Some(line) = self.peer.state().line.clone() else { return Ok(bytes.len()) };
        while !rest.is_empty() {
            let there = ready(&line, PollFlags::OUT);
            let gone = there.intersects(PollFlags::HUP | PollFlags::ERR);
            let slow = !there.contains(PollFlags::OUT)
                && (self.full == Full::Drop || self.control.stop_reason().is_some());
            if gone || slow {
                break;
            }
            match rustix::io::write(&line, rest) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => break,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_may_wait_for_whoever_comes_to_a_line() {
        let control = Arc::<Control>::default();
        let folder = tempfile::tempdir().expect("temporary folder");
        let open = |end: SerialEnd| {
            let lines = SerialLines::open(
                &[SerialEnd::Null, end],
                &control,
                (Full::Wait, &Allowance::default()),
                &mut |_| (),
            );
            let lines = lines.expect("it can be had");
            let may_come = control.input_open();
            drop(lines);
            (may_come, control.input_open())
        };
        assert_eq!(open(SerialEnd::Pty), (true, false));
        assert_eq!(open(SerialEnd::Unix(folder.path().join("line"))), (true, false));
        assert_eq!(open(SerialEnd::File(folder.path().join("log"))), (false, false));
    }
}
