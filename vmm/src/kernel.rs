//! Opens the kernel, keeping what was unpacked in the cache: unpacking takes longer than starting.

use std::path::Path;

use fencepost_firmware::kernel::{KernelError, KernelFile, KernelImage};
use fencepost_firmware::packed::Packed;

use crate::cache::{Cache, Damaged};
use crate::error::{HostError, plain};
use crate::files::open_input;

const FIX: &str = "name a vmlinux, a bzImage or a unified kernel image with --kernel";

/// A kernel that was opened.
pub struct Kernel {
    /// What is loaded.
    pub image: KernelImage,
    /// What it was unpacked from.
    packed: Option<Packed>,
    /// The initramfs of a unified image; empty without.
    pub initrd: Vec<u8>,
    /// The command line of a unified image.
    pub command_line: Option<String>,
}

/// Opens `path` for a guest of `memory` bytes: a vmlinux as it is, what must be unpacked through the cache if there is one.
pub fn open(
    path: &Path,
    memory: u64,
    cache: Option<&Cache>,
    say: &mut dyn FnMut(&str),
) -> Result<Kernel, HostError> {
    let file = open_input("--kernel", path, FIX)?;
    let read = KernelFile::read(path.display().to_string(), file, memory);
    let (file, initrd, command_line) = match read.map_err(|error| input_error(&error))? {
        KernelFile::Unified(unified) => (*unified.kernel, unified.initrd, unified.command_line),
        plain => (plain, Vec::new(), None),
    };
    let (image, packed) = match file {
        KernelFile::Vmlinux(image) => (image, None),
        KernelFile::Packed(mut packed) => (through_cache(&mut packed, cache, say)?, Some(packed)),
        KernelFile::Unified(_) => {
            return Err(HostError::input("--kernel is a unified image in another one", FIX));
        }
    };
    Ok(Kernel { image, packed, initrd, command_line })
}

fn through_cache(
    packed: &mut Packed,
    cache: Option<&Cache>,
    say: &mut dyn FnMut(&str),
) -> Result<KernelImage, HostError> {
    let kept = cache.map_or(Ok(None), |cache| cache.get(packed));
    if let (Err(Damaged), Some(cache)) = (&kept, cache) {
        say(&damaged(cache));
    }
    match kept {
        Ok(Some(image)) => Ok(image),
        _ => unpack(packed, cache, say),
    }
}

impl Kernel {
    /// Unpacks it again, after what the cache had was found damaged when it was loaded.
    pub fn unpack_again(
        &mut self,
        cache: Option<&Cache>,
        say: &mut dyn FnMut(&str),
    ) -> Result<(), HostError> {
        if let Some(packed) = &mut self.packed {
            cache.iter().for_each(|cache| say(&damaged(cache)));
            self.image = unpack(packed, cache, say)?;
        }
        Ok(())
    }

    /// The kernel's release, such as `6.1.0-18-amd64`, where it says.
    pub fn release(&self) -> Option<&str> {
        self.packed.as_ref().and_then(Packed::release)
    }
}

/// Only what is a kernel is kept.
fn unpack(
    packed: &mut Packed,
    cache: Option<&Cache>,
    say: &mut dyn FnMut(&str),
) -> Result<KernelImage, HostError> {
    // What is kept must be of the bytes that give it its name, even if the file changes meanwhile.
    packed.load().map_err(|error| input_error(&error))?;
    let vmlinux = packed.unpack().map_err(|error| input_error(&error))?;
    if let Some(cache) = cache
        && let Err(error) = cache.put(packed, &vmlinux)
    {
        say(&format!(
            "the unpacked kernel cannot be kept in {}: {}; every start takes longer: make room there, or set \
             FENCEPOST_CACHE to a folder that can be written",
            cache.folder().display(),
            plain(&error)
        ));
    }
    packed.image(vmlinux).map_err(|error| input_error(&error))
}

fn damaged(cache: &Cache) -> String {
    format!("the unpacked kernel kept in {} is damaged; it is made anew", cache.folder().display())
}

/// A kernel's error as bad input of the user's.
pub fn input_error(error: &KernelError) -> HostError {
    match error {
        KernelError::TooLittleMemory { .. } => HostError::input(error, "give the guest more with --memory"),
        _ => HostError::input(error, FIX),
    }
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
pub(crate) mod tests;
