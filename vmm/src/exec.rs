//! `fencepost exec`: runs a command in a guest whose agent (vmm/src/root/agent.sh) is at the other end of a socket.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use crate::agent::{self, BEGIN, MARK_MAX_BYTES, Mark};
use crate::error::{HostError, plain};

/// How often it is seen whether the user wants to end.
const LOOK: Duration = Duration::from_millis(100);

/// Runs `command` by the guest's `/bin/sh`; what it writes goes to `out` as it comes. Gives its exit status.
///
/// # Errors
///
/// There is no such socket or nobody behind it, the guest ends before the command, or a signal came.
pub fn exec(socket: &Path, command: &str, out: &mut dyn Write, signal: &AtomicI32) -> Result<i32, HostError> {
    let failed = |error: std::io::Error| {
        let what = format!("exec {}: {}", socket.display(), plain(&error));
        HostError::input(what, "name the socket of a running `fencepost run --root ... --agent SOCKET`")
    };
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    stream.set_read_timeout(Some(LOOK)).map_err(failed)?;
    let number = std::process::id();
    // What an earlier command has left to say ends with the answer to this.
    stream.write_all(agent::hello(number).as_bytes()).map_err(failed)?;
    let mut marks = Marks::default();
    until(&mut stream, &mut marks, number, &mut std::io::sink(), signal)?;
    stream.write_all(agent::run(number, command).as_bytes()).map_err(failed)?;
    until(&mut stream, &mut marks, number, out, signal)
}

/// Reads to the mark of order `number`; gives its status.
fn until(
    stream: &mut UnixStream,
    marks: &mut Marks,
    number: u32,
    out: &mut dyn Write,
    signal: &AtomicI32,
) -> Result<i32, HostError> {
    let number = number.to_string();
    let mut buffer = [0; 16 * 1024];
    loop {
        while let Some(mark) = marks.next(out)? {
            if mark.order == number {
                return Ok(mark.status.into());
            }
        }
        if signal.load(Ordering::Relaxed) != 0 {
            return Err(HostError::Host(
                "stopped by a signal; the command may go on in the guest".to_string(),
            ));
        }
        match stream.read(&mut buffer) {
            Ok(0) => {
                return Err(HostError::Host(
                    "the guest has ended, or another one has the socket".to_string(),
                ));
            }
            Ok(count) => marks.0.extend_from_slice(&buffer[..count]),
            Err(error)
                if [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::Interrupted]
                    .contains(&error.kind()) => {}
            Err(error) => return Err(HostError::Host(format!("the guest's socket: {}", plain(&error)))),
        }
    }
}

/// What has come and was not taken.
#[derive(Default)]
struct Marks(Vec<u8>);

impl Marks {
    /// The next mark; what comes before it goes to `out`, and so does all that cannot be part of one.
    fn next(&mut self, out: &mut dyn Write) -> Result<Option<Mark>, HostError> {
        let mut write = |bytes: &[u8]| {
            let written = out.write_all(bytes).and_then(|()| out.flush());
            written.map_err(|error| HostError::Host(format!("standard output: {}", plain(&error))))
        };
        let mut from = 0;
        let (cut, found) = loop {
            let Some(at) = memchr::memchr(BEGIN[0], &self.0[from..]).map(|at| at + from) else {
                break (self.0.len(), None);
            };
            let rest = &self.0[at..];
            match memchr::memchr(b'\n', &rest[..rest.len().min(MARK_MAX_BYTES)]) {
                Some(end) => match Mark::parse(&rest[..end]) {
                    Some(mark) => break (at, Some((at + end + 1, mark))),
                    None => from = at + 1,
                },
                None if rest.len() < MARK_MAX_BYTES => break (at, None),
                None => from = at + 1,
            }
        };
        write(&self.0[..cut])?;
        self.0.drain(..found.as_ref().map_or(cut, |(end, _)| *end));
        Ok(found.map(|(_, mark)| mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_marks_are_told_apart_however_they_are_cut() {
        let all = b"a\x1eb\n\x1efencepost x\n\x1efencepost 7 3\nrest\x1e\n\x1efencepost 8 0\n";
        for size in 1..all.len() {
            let (mut marks, mut out, mut found) = (Marks::default(), Vec::new(), Vec::new());
            for part in all.chunks(size) {
                marks.0.extend_from_slice(part);
                while let Some(mark) = marks.next(&mut out).unwrap() {
                    found.push((mark.order, mark.status));
                }
            }
            assert_eq!(found, [("7".to_string(), 3), ("8".to_string(), 0)], "{size}");
            assert_eq!(out, b"a\x1eb\n\x1efencepost x\nrest\x1e\n", "{size}");
        }
    }

    #[test]
    fn what_cannot_be_a_mark_does_not_wait() {
        let (mut marks, mut out) = (
            Marks(
                b"\x1efence and then a lot of text without any end of line, which is no mark at all".to_vec(),
            ),
            Vec::new(),
        );
        assert_eq!(marks.next(&mut out).unwrap(), None);
        assert!(marks.0.is_empty());
    }
}
