//! Opening what is to be written: a FIFO that nobody reads yet must not hold whoever opens it.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use crate::control::Control;

/// Between two looks for a reader.
const LOOK_AROUND: Duration = Duration::from_millis(10);

/// Opens a file for writing, or makes it; what is in it stays. A FIFO's reader is waited for, until there is a reason to stop: then the
/// error is [`io::ErrorKind::TimedOut`].
pub fn for_writing(path: &Path, control: &Control) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false).custom_flags(OFlags::NONBLOCK.bits() as i32);
    loop {
        match options.open(path) {
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) && is_fifo(path) => {
                if control.stop_reason().is_some() {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "nobody has opened this FIFO to read it",
                    ));
                }
                std::thread::sleep(LOOK_AROUND);
            }
            Err(error) => return Err(error),
            Ok(file) => {
                fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
                return Ok(file);
            }
        }
    }
}

fn is_fifo(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}
