//! A Unix socket of this run's own, at which other programs connect.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A socket that never blocks. Dropped, it is gone: whoever comes later finds no socket that nobody answers at.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl UnixSocket {
    /// Listens at `path`, where nothing is, or a socket that a run before has left.
    ///
    /// # Errors
    ///
    /// There is something, or no socket can be made there.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if is_left(path) {
            std::fs::remove_file(path)?;
        }
        let socket = UnixSocket { listener: UnixListener::bind(path)?, path: path.to_path_buf() };
        socket.listener.set_nonblocking(true)?;
        Ok(socket)
    }

    /// Lets in whoever waits: its stream blocks.
    ///
    /// # Errors
    ///
    /// Nobody waits ([`ErrorKind::WouldBlock`]); the host's.
    pub fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().map(|(stream, _)| stream)
    }
}

/// Whether a socket is there at which nobody listens any more.
fn is_left(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket())
        && UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

impl AsFd for UnixSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_left_gives_way_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        // As a process that was killed leaves it.
        drop(UnixListener::bind(&path).unwrap());
        let socket = UnixSocket::bind(&path).expect("nobody listens there any more");
        assert_eq!(UnixSocket::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert!(UnixStream::connect(&path).is_ok(), "the first is still there");
        drop(socket);
        assert!(!path.exists());
        std::fs::write(&path, "text").unwrap();
        assert_eq!(UnixSocket::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
    }
}
