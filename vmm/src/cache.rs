//! The cache of unpacked kernels. It saves time and is never needed: what is damaged is made anew, what cannot be written is left.
//!
//! An entry has the SHA-256 of what it was unpacked from as its name, and is written whole or not at all. After a crash of the host an
//! entry may have holes: its seal tells, so nothing has to be forced to the disk.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fencepost_firmware::kept;
use fencepost_firmware::kernel::KernelImage;
use fencepost_firmware::packed::Packed;
use sha2::{Digest, Sha256};

use crate::machine::log::hex;

/// Kernels that are kept at most, and their bytes: the ones that were used last.
const MOST_KERNELS: usize = 8;
const MOST_BYTES: u64 = 512 << 20;
/// A file that is being written has this name, the process's number and something random.
const PARTIAL: &str = "partial-";
/// No process takes so long to write a kernel: its number has been given to another one.
const PARTIAL_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// The project's cache folder, the one that the scripts in `ci` use: `FENCEPOST_CACHE`, or `fencepost` in the user's folder of
/// caches. There is none for a user without a home.
pub fn folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("FENCEPOST_CACHE").or_else(|| {
        let caches = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
        Some(caches.join("fencepost"))
    })
}

/// An entry is there and must not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// The unpacked kernels in a folder.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The kernels in the project's cache folder `folder`; nothing is made yet.
    pub fn new(folder: &Path) -> Cache {
        Cache { folder: folder.join("kernels") }
    }

    /// The folder, for messages.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn entry(&self, packed: &Packed) -> io::Result<PathBuf> {
        let mut digest = Sha256::new();
        packed.each(|part| digest.update(part))?;
        Ok(self.folder.join(hex(&digest.finalize())))
    }

    /// What was kept of `packed`, if anything; a kernel that is used is as good as new.
    pub fn get(&self, packed: &Packed) -> Result<Option<KernelImage>, Damaged> {
        // Why the packed kernel cannot be read shows again when it is unpacked.
        let Ok(entry) = self.entry(packed) else { return Ok(None) };
        // Whatever else has this name must not make us wait.
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(entry);
        // Why it cannot be opened shows again when it is to be written.
        let Ok(file) = opened else { return Ok(None) };
        // Only the order of removal depends on it.
        let _ = file.set_modified(SystemTime::now());
        let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let image = if regular { kept::open(packed, file) } else { None };
        image.map(Some).ok_or(Damaged)
    }

    /// Keeps `vmlinux`, which `packed` was unpacked to when it was loaded, and removes what is too much.
    pub fn put(&self, packed: &Packed, vmlinux: &[u8]) -> io::Result<()> {
        let Some(seal) = kept::seal(vmlinux).filter(|_| vmlinux.len() as u64 <= MOST_BYTES) else {
            return Ok(());
        };
        fs::create_dir_all(&self.folder)?;
        self.sweep(vmlinux.len() as u64);
        let mut partial = tempfile::Builder::new()
            .prefix(&format!("{PARTIAL}{}-", std::process::id()))
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(&self.folder)?;
        partial.write_all(vmlinux)?;
        partial.write_all(&seal)?;
        partial.persist(self.entry(packed)?).map(drop).map_err(|error| error.error)
    }

    /// Removes what dead processes left, and the kernels used longest ago, so that there is room for `coming` bytes more.
    fn sweep(&self, coming: u64) {
        let mut kernels = Vec::new();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(metadata) = entry.metadata().ok().filter(fs::Metadata::is_file) else { continue };
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if writer(&name).is_some_and(|process| is_over(process, used)) {
                // Somebody else may have been quicker.
                let _ = fs::remove_file(entry.path());
            } else if is_kernel(&name) {
                kernels.push((used, entry.path(), metadata.len()));
            }
        }
        kernels.sort_unstable_by(|a, b| b.cmp(a));
        let (mut count, mut bytes) = (1, coming);
        for (_, path, length) in kernels {
            (count, bytes) = (count + 1, bytes.saturating_add(length));
            if count > MOST_KERNELS || bytes > MOST_BYTES {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Whether a name is a SHA-256.
fn is_kernel(name: &OsStr) -> bool {
    name.len() == 64 && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit)
}

/// The process that writes a file of this name: `partial-PID-RANDOM`, or `SHA256.partial-PID` of older versions.
fn writer(name: &OsStr) -> Option<libc::pid_t> {
    let (_, number) = name.to_str()?.split_once(PARTIAL)?;
    number.split('-').next()?.parse().ok().filter(|number| *number > 0)
}

/// Whether a live process writes this file, which was written last at `written`.
pub fn is_being_written(name: &OsStr, written: SystemTime) -> bool {
    writer(name).is_some_and(|process| !is_over(process, written))
}

fn is_over(process: libc::pid_t, last_written: SystemTime) -> bool {
    // SAFETY: signal 0 is sent to nobody; only whether there is such a process is asked.
    let gone = unsafe { libc::kill(process, 0) } != 0
        && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH);
    gone || last_written.elapsed().is_ok_and(|age| age > PARTIAL_AGE_MAX)
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
