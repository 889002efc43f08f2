//! What the command says: the one way to standard error and standard output for its own words.
//!
//! Nothing here panics, whatever became of the descriptors. While a machine runs, what is said on standard error goes
//! through an outlet, so that nobody waits for a reader that takes nothing.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard};

use fencepost_trace::plain_text;

use crate::control::{Control, StopReason};
use crate::error::{HostError, plain};
use crate::outlet::bytes::{Bytes, BytesWriter, write_some};
use crate::outlet::{Delivery, Full};

/// The way to standard error while there is an outlet.
static ERRORS: Mutex<Option<BytesWriter>> = Mutex::new(None);

fn errors() -> MutexGuard<'static, Option<BytesWriter>> {
    ERRORS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Says a line on standard error. Whatever it quotes of a guest or a file has no power over a terminal.
pub fn line(text: impl Display) {
    raw(format!("{}\n", plain_text(&text.to_string())).as_bytes(), Full::Wait);
}

/// Says a line on standard error if that takes no waiting.
pub fn in_passing(text: impl Display) {
    raw(format!("{}\n", plain_text(&text.to_string())).as_bytes(), Full::Drop);
}

/// Writes bytes to standard error as they are.
pub fn raw(bytes: &[u8], full: Full) {
    let writer = errors().clone();
    match writer {
        Some(mut writer) => {
            writer.full(full);
            // It never fails.
            let _ = writer.write_all(bytes);
        }
        // There is nobody left to be told.
        None => drop(write_all(io::stderr(), bytes)),
    }
}

/// Writes bytes to a descriptor.
fn write_all(to: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        bytes = &bytes[write_some(&to, bytes)?..];
    }
    Ok(())
}

/// Writes a text that was asked for to standard output, and gives the exit status.
///
/// # Errors
///
/// Why standard output does not take it.
pub fn list(text: &str) -> Result<i32, HostError> {
    let written = write_all(io::stdout(), text.as_bytes());
    written.map(|()| 0).map_err(|error| HostError::Host(format!("standard output: {}", plain(&error))))
}

/// Standard output by an outlet.
pub fn output(control: &Arc<Control>) -> io::Result<Bytes> {
    Bytes::start("standard output", io::stdout().as_fd().try_clone_to_owned()?, control)
}

/// Runs `work`, a command that runs a machine, and reports its error; messages meanwhile go through an outlet. Returns the exit status.
pub fn beside(
    control: &Arc<Control>,
    work: impl FnOnce() -> Result<i32, HostError>,
) -> Result<i32, HostError> {
    let aside = Aside::begin(control)
        .map_err(|error| HostError::Host(format!("no thread for standard error: {}", plain(&error))))?;
    let status = work().unwrap_or_else(|error| {
        line(format_args!("fencepost: {error}"));
        error.status()
    });
    let unheard = aside.finish().given_up;
    Ok(control.stop_reason().filter(|_| unheard).map_or(status, StopReason::status))
}

/// Standard error by an outlet, for as long as it lives.
struct Aside(Option<Bytes>);

impl Aside {
    /// Sends all further messages through an outlet.
    fn begin(control: &Arc<Control>) -> io::Result<Self> {
        let bytes = Bytes::start("standard error", io::stderr().as_fd().try_clone_to_owned()?, control)?;
        *errors() = Some(bytes.writer(Full::Wait));
        Ok(Aside(Some(bytes)))
    }

    /// Waits until all messages are written, or there is a reason to stop and nobody listens.
    fn finish(mut self) -> Delivery {
        self.end().unwrap_or_default()
    }

    fn end(&mut self) -> Option<Delivery> {
        *errors() = None;
        self.0.take().map(Bytes::finish)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.end();
    }
}
