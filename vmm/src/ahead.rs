//! An initramfs that is read into guest memory while the kernel is still being opened.
//!
//! Where it goes is known before the kernel is, but for a kernel that wants it elsewhere: then it is read once more, into new memory.
//! So it is where anything else is unusual: a pipe, a file that grows, one that does not fit. Whoever reads it then says why.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use fencepost_firmware::initrd::usual_start;
use fencepost_firmware::layout::{LOW_RAM_END, ONE_MIB};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// What is to be read.
#[derive(Debug)]
pub struct Ahead {
    files: Vec<File>,
    placed: Placed,
}

/// An initramfs in guest memory.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Its guest-physical address.
    pub start: u64,
    /// Its length in bytes.
    pub size: u64,
    /// Guest-physical addresses of its files and their lengths in bytes.
    pub files: Vec<(u64, u64)>,
}

impl Ahead {
    /// The files of `paths`, one behind the other at multiples of 4, for a guest of `memory` bytes. `None` if they are to be read later.
    pub fn of(paths: &[PathBuf], memory: u64) -> Option<Self> {
        let (mut files, mut offsets, mut size) = (Vec::new(), Vec::new(), 0u64);
        for path in paths {
            // A pipe would be opened twice.
            if !path.metadata().ok()?.is_file() {
                return None;
            }
            let file = File::open(path).ok()?;
            let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
            let offset = size.checked_next_multiple_of(4)?;
            size = offset.checked_add(metadata.len())?;
            offsets.push((offset, metadata.len()));
            files.push(file);
        }
        let start =
            usual_start(memory.min(LOW_RAM_END), size).filter(|start| size > 0 && *start >= ONE_MIB)?;
        let places = offsets.iter().map(|(offset, length)| (start + offset, *length)).collect();
        Some(Ahead { files, placed: Placed { start, size, files: places } })
    }

    /// Where all will be.
    pub fn placed(&self) -> Placed {
        self.placed.clone()
    }

    /// Reads all into new memory. False if the files are not what they were.
    pub fn read(mut self, memory: &GuestMemoryMmap) -> bool {
        let places = std::mem::take(&mut self.placed.files);
        self.files.iter_mut().zip(places).all(|(file, place)| read(file, place, memory))
    }
}

/// Reads a file of as many bytes as `length` to `address`.
fn read(file: &mut File, (address, length): (u64, u64), memory: &GuestMemoryMmap) -> bool {
    let mut done = 0;
    while done < length {
        match memory.read_volatile_from(GuestAddress(address + done), file, (length - done) as usize) {
            Ok(0) | Err(_) => return false,
            Ok(bytes) => done += bytes as u64,
        }
    }
    length > 0 && matches!(file.read(&mut [0]), Ok(0))
}

#[cfg(test)]
#[path = "ahead_tests.rs"]
mod tests;
