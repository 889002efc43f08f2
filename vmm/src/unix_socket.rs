//! A Unix socket of this run's own, at which other programs connect.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
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
            fs::remove_file(path)?;
        }
        let socket = UnixSocket { listener: listen(path, None)?, path: path.to_path_buf() };
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

/// A socket at `path`, where nothing is, with these rights if they are not to be the usual ones. Whoever finds it can connect: it gets its
/// name when somebody listens.
///
/// # Errors
///
/// There is something, or no socket can be made there.
pub fn listen(path: &Path, mode: Option<u32>) -> io::Result<UnixListener> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // What is too long for a socket is refused under its own name, which may be the longer one.
    SocketAddr::from_pathname(path)?;
    let unnamed = tempfile::Builder::new()
        .prefix(".")
        .rand_bytes(4)
        .make_in(folder, |path| UnixListener::bind(path))?;
    if let Some(mode) = mode {
        fs::set_permissions(unnamed.path(), Permissions::from_mode(mode))?;
    }
    unnamed.persist_noclobber(path).map_err(|refused| match refused.error.kind() {
        ErrorKind::AlreadyExists => io::Error::from_raw_os_error(libc::EADDRINUSE),
        _ => refused.error,
    })
}

/// Whether a socket is there at which nobody listens any more.
fn is_left(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket())
        && UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

impl AsFd for UnixSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const ROUNDS: u32 = 2000;

    #[test]
    fn whoever_finds_it_can_connect() {
        let folder = tempfile::tempdir().unwrap();
        let path = |round: u32| folder.path().join(round.to_string());
        let found = AtomicU32::new(0);
        std::thread::scope(|scope| {
            let finder = scope.spawn(|| {
                for round in 0..ROUNDS {
                    while !path(round).exists() {
                        std::hint::spin_loop();
                    }
                    UnixStream::connect(path(round)).expect("somebody listens");
                    found.store(round + 1, Ordering::Release);
                }
            });
            for round in 0..ROUNDS {
                let _socket = UnixSocket::bind(&path(round)).unwrap();
                while found.load(Ordering::Acquire) <= round && !finder.is_finished() {
                    std::thread::yield_now();
                }
            }
        });
    }

    #[test]
    fn its_rights_are_what_they_are_to_be_and_nothing_is_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _socket = listen(&path, Some(0o600)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(listen(&path, None).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(
            listen(&folder.path().join("x".repeat(108)), None).is_err(),
            "no name of a socket's is so long"
        );
    }

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
        fs::write(&path, "text").unwrap();
        assert_eq!(UnixSocket::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }
}
