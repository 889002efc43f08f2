//! A viewer's connection: a socket that never blocks, in a thread that waits for it, for news and for the clock.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::hub::{Hub, Waiter};

/// How long a viewer may take none of what it is sent, and how long a picture may take in all.
pub const SEND_LIMIT: Duration = Duration::from_secs(60);
/// How long the end of the machine waits for a viewer to take the last picture.
pub const END_LIMIT: Duration = Duration::from_secs(1);

/// A connection.
pub struct Connection {
    /// The socket, which does not block.
    pub stream: TcpStream,
    /// Where pictures come from.
    pub hub: Arc<Hub>,
    /// Told of news.
    pub waiter: Arc<Waiter>,
}

/// What came of a wait: something to read or room to write, or news, or the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Look at everything.
    Up,
    /// The time has passed.
    Late,
}

impl Connection {
    /// Takes over a new socket.
    ///
    /// # Errors
    ///
    /// It cannot be set up.
    pub fn new(stream: TcpStream, hub: &Arc<Hub>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, hub: Arc::clone(hub), waiter: hub.wait_for_news()? })
    }

    /// Waits until there is something to read, or room to write if that is wanted, or news, or `until`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn wait(&self, to_write: bool, until: Option<Instant>) -> io::Result<Woken> {
        let wanted = if to_write { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut both = [PollFd::new(&self.stream, wanted), PollFd::new(&self.waiter.event, PollFlags::IN)];
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        match poll(&mut both, left.as_ref()) {
            Ok(0) => Ok(Woken::Late),
            Ok(_) | Err(Errno::INTR) => Ok(Woken::Up),
            Err(error) => Err(error.into()),
        }
    }

    /// Adds to `input` what can be read, `limit` bytes in all at most; says whether the other side may send more.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub fn read_into(&self, input: &mut Vec<u8>, limit: usize) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        while input.len() < limit {
            let room = buffer.len().min(limit.saturating_sub(input.len()));
            match (&self.stream).read(&mut buffer[..room]) {
                Ok(0) => return Ok(false),
                Ok(count) => input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Writes what can be written of `output` from `*done` on; says whether that was all.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub fn write_some(&self, output: &[u8], done: &mut usize) -> io::Result<bool> {
        while let Some(rest) = output.get(*done..).filter(|rest| !rest.is_empty()) {
            match (&self.stream).write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => *done += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Writes all of `output` before `until`, and reads nothing meanwhile.
    ///
    /// # Errors
    ///
    /// The connection is broken, or the other side too slow.
    pub fn write_all(&self, output: &[u8], until: Instant) -> io::Result<()> {
        let mut done = 0;
        while !self.write_some(output, &mut done)? {
            if self.room_by(until)? == Woken::Late {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Waits for room to write, until `until`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn room_by(&self, until: Instant) -> io::Result<Woken> {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&self.stream, PollFlags::OUT)], Some(&left)) {
            Ok(0) => Ok(Woken::Late),
            Ok(_) | Err(Errno::INTR) => Ok(Woken::Up),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the connection so that the other side gets all that was written: what it still sends is read for a while, for a socket
    /// with unread bytes would be reset.
    pub fn close(&self) {
        let until = Instant::now() + END_LIMIT;
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let mut rest = Vec::new();
        while let Ok(true) = self.read_into(&mut rest, 4096) {
            rest.clear();
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            if !matches!(poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], Some(&left)), Ok(1..)) {
                return;
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.hub.forget(&self.waiter);
    }
}
