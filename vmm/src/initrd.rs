//! Reads the initramfs, from a file or a pipe, and no more of it than the guest can be given.

use std::io::Read;
use std::path::Path;

use fencepost_firmware::Error;
use fencepost_firmware::initrd::{room, start};
use fencepost_firmware::kernel::KernelImage;
use fencepost_firmware::layout::LOW_RAM_END;

use crate::error::HostError;
use crate::files::open_input;

const FIX: &str = "name an initramfs that can be read, or leave --initrd out";

/// Reads `path` for a guest of `memory` bytes that runs `kernel`.
pub fn read(path: &Path, kernel: &KernelImage, memory: u64) -> Result<Vec<u8>, HostError> {
    let failed = |error: std::io::Error| HostError::file("--initrd", path, &error, FIX);
    let file = open_input("--initrd", path, FIX)?;
    let low_end = memory.min(LOW_RAM_END);
    let fits = |size: u64| start(kernel, low_end, size).map(drop).map_err(|error| refused(path, &error));
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_file() {
        fits(metadata.len())?;
    }
    let mut image = Vec::new();
    // What comes out of a pipe has no size before it is read: one byte too much is enough to know.
    let most = room(kernel, low_end);
    file.take(most.saturating_add(1)).read_to_end(&mut image).map_err(failed)?;
    fits(image.len() as u64)?;
    if image.is_empty() {
        return Err(HostError::input(format!("--initrd {}: is empty", path.display()), FIX));
    }
    Ok(image)
}

fn refused(path: &Path, error: &Error) -> HostError {
    let what = format!("--initrd {}: {error}", path.display());
    match error {
        Error::InitrdBeyondReach { .. } => {
            HostError::input(what, "make it smaller: pack it, or leave out what the guest does not need")
        }
        _ => HostError::input(what, "give the guest more with --memory"),
    }
}
