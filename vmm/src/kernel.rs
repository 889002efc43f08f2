//! Opens the kernel, keeping unpacked bzImages in the cache folder: unpacking takes longer than starting.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use fencepost_firmware::kernel::{ImageKind, KernelError, KernelImage};
use sha2::{Digest, Sha256};

use crate::error::{HostError, plain};
use crate::machine::log::hex;

const MEND: &str = "name a vmlinux or a bzImage with --kernel";

/// The project's cache folder: `FENCEPOST_CACHE`, or `.cache/fencepost` in the home folder.
pub fn cache_folder() -> Option<PathBuf> {
    match std::env::var_os("FENCEPOST_CACHE") {
        Some(folder) if !folder.is_empty() => Some(folder.into()),
        _ => std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/fencepost")),
    }
}

/// Opens `path`: a vmlinux as it is, a bzImage through the cache in `folder` if there is one.
pub fn open(path: &Path, folder: Option<&Path>) -> Result<KernelImage, HostError> {
    let cannot_read = |error: std::io::Error| HostError::file("--kernel", path, &error, MEND);
    if path.is_dir() {
        return Err(HostError::input(format!("--kernel {}: is a folder", path.display()), MEND));
    }
    let mut file = std::fs::File::open(path).map_err(cannot_read)?;
    let mut head = Vec::new();
    (&mut file).take(4096).read_to_end(&mut head).map_err(cannot_read)?;
    let opened = match (ImageKind::of(&head), folder) {
        (Some(ImageKind::BzImage), Some(folder)) => {
            let bytes = std::fs::read(path).map_err(cannot_read)?;
            open_cached(path, &bytes, folder)
        }
        _ => KernelImage::open(path),
    };
    opened.map_err(|error| input_error(&error))
}

/// A kernel's error as bad input of the user's.
pub fn input_error(error: &KernelError) -> HostError {
    match error {
        KernelError::TooLittleMemory { .. } => HostError::input(error, "give the guest more with --memory"),
        _ => HostError::input(error, MEND),
    }
}

fn open_cached(path: &Path, bytes: &[u8], folder: &Path) -> Result<KernelImage, KernelError> {
    let kept = folder.join("kernels").join(hex(&Sha256::digest(bytes)));
    if kept.exists() {
        return KernelImage::open_unpacked(path, &kept);
    }
    let vmlinux = KernelImage::vmlinux_of(&path.display().to_string(), bytes)?;
    match keep(&kept, &vmlinux) {
        Ok(()) => KernelImage::open_unpacked(path, &kept),
        // A cache that cannot be written costs time, not the run.
        Err(error) => {
            eprintln!(
                "fencepost: the unpacked kernel cannot be kept in {}: {}",
                kept.display(),
                plain(&error)
            );
            KernelImage::from_bytes(path.display().to_string(), bytes)
        }
    }
}

/// Writes a file whole or not at all, so that a second process never sees half of it.
fn keep(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    let mut file = std::fs::File::create(&partial)?;
    file.write_all(bytes)?;
    drop(file);
    std::fs::rename(&partial, path)
}
