//! Reads the initramfs, from files or pipes, and no more of it than the guest can be given.

use std::io::Read;
use std::path::{Path, PathBuf};

use fencepost_firmware::Error;
use fencepost_firmware::initrd::{room, start};
use fencepost_firmware::kernel::KernelImage;
use fencepost_firmware::layout::LOW_RAM_END;
use fencepost_firmware::unified::append_aligned;

use crate::error::HostError;
use crate::files::open_input;

const FIX: &str = "name an initramfs that can be read, or leave --initrd out";

/// An initramfs that was put together.
pub struct Initrd {
    /// All of it.
    pub image: Vec<u8>,
    /// Where its files begin, in bytes.
    starts: Vec<usize>,
}

impl Initrd {
    /// The files that it was put together from.
    pub fn files(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.starts.iter().skip(1).copied().chain([self.image.len()]);
        self.starts.iter().zip(ends).filter_map(|(start, end)| self.image.get(*start..end))
    }
}

/// Puts the files behind `own`, which is a unified image's, for a guest of `memory` bytes that runs `kernel`: each begins at a multiple
/// of 4, with zeros before it, as the kernel wants several. `None` if there is nothing.
pub fn read(
    own: Vec<u8>,
    paths: &[PathBuf],
    kernel: &KernelImage,
    memory: u64,
) -> Result<Option<Initrd>, HostError> {
    let mut initrd = Initrd { image: own, starts: vec![0] };
    for path in paths {
        append_aligned(&mut initrd.image, &[]);
        initrd.starts.push(initrd.image.len());
        append(&mut initrd.image, path, kernel, memory.min(LOW_RAM_END))?;
    }
    Ok(Some(initrd).filter(|initrd| !initrd.image.is_empty()))
}

fn append(image: &mut Vec<u8>, path: &Path, kernel: &KernelImage, low_end: u64) -> Result<(), HostError> {
    let failed = |error: std::io::Error| HostError::file("--initrd", path, &error, FIX);
    let file = open_input("--initrd", path, FIX)?;
    let before = image.len() as u64;
    let fits = |size: u64| {
        let all = before.saturating_add(size);
        start(kernel, low_end, all).map(drop).map_err(|error| refused(path, before, &error))
    };
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_file() {
        fits(metadata.len())?;
    }
    // What comes out of a pipe has no size before it is read: one byte too much is enough to know.
    let most = room(kernel, low_end).saturating_sub(before);
    file.take(most.saturating_add(1)).read_to_end(image).map_err(failed)?;
    let size = image.len() as u64 - before;
    fits(size)?;
    if size == 0 {
        return Err(HostError::input(format!("--initrd {}: is empty", path.display()), FIX));
    }
    Ok(())
}

fn refused(path: &Path, before: u64, error: &Error) -> HostError {
    let others = if before > 0 { format!(" behind {before} bytes of others") } else { String::new() };
    let what = format!("--initrd {}{others}: {error}", path.display());
    match error {
        Error::InitrdBeyondReach { .. } => {
            HostError::input(what, "make it smaller: pack it, or leave out what the guest does not need")
        }
        _ => HostError::input(what, "give the guest more with --memory"),
    }
}
