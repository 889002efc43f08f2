//! The index of a kernel's modules in the cache: read from all modules once, and made anew for each set of extra ones.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

use super::depmod::{Builtin, Catalogue};
use super::facts::Facts;
use super::order::numbers;
use super::tree::KernelTree;
use crate::error::{HostError, plain};
use crate::in_use::{by_use, remove_idle};
use crate::machine::log::hex;
use crate::root::lock;
use crate::root::process::{Job, STOPPED, stopped};

/// The folder for indexes in the project's cache folder.
const FOLDER: &str = "module-index";
/// What is read from all modules of a kernel. Another layout has another name.
const CATALOGUE: &str = "catalogue-1";
/// Where extra modules are, which come before those of the kernel.
const UPDATES: &str = "updates";
/// What a kernel's build says of its modules, and the index does not.
const OF_BUILD: [&str; 3] = ["modules.builtin", "modules.builtin.modinfo", "modules.order"];
/// Indexes that are kept at most, each of some 8 MiB: the ones that were used last. Those in use stay.
const MOST_KEPT: usize = 16;

/// The index of a kernel's modules: a folder with `modules.dep` and all else that depmod(8) writes, and what the kernel's build wrote
/// beside it. The modules are not in it.
///
/// # Errors
///
/// A module cannot be read, the cache cannot be written, or a signal came.
pub fn index(kernel: &KernelTree, cache: &Path, job: &Job) -> Result<PathBuf, HostError> {
    Ok(catalogued(kernel, cache, job)?.0)
}

/// The same with extra modules, which are in its folder `updates`. One of them takes the place of the kernel's module of its name. A
/// folder `lib/modules/RELEASE` of these files, and a link `kernel` to the kernel's own, is what `modprobe` needs.
///
/// # Errors
///
/// As [`index`], and two extra modules have one name.
pub fn index_with(
    kernel: &KernelTree,
    extra: &[PathBuf],
    cache: &Path,
    job: &Job,
) -> Result<PathBuf, HostError> {
    let (base, mut catalogue) = catalogued(kernel, cache, job)?;
    if extra.is_empty() {
        return Ok(base);
    }
    numbers(extra)?;
    let mut key = Sha256::new();
    key.update(base.as_os_str().as_encoded_bytes());
    let (mut modules, mut files) = (Vec::new(), Vec::new());
    for path in extra {
        let facts = Facts::read(path)?;
        let bytes = fs::read(path)
            .map_err(|error| HostError::file("module", path, &error, "name a file that can be read"))?;
        let to = format!("{UPDATES}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        key.update(format!("\0{to}\0{}", hex(&Sha256::digest(&bytes))));
        modules.push((to.clone(), facts));
        files.push((to, bytes));
    }
    let folder = place(kernel, cache, key);
    if job.uses.add(&folder) {
        return Ok(folder);
    }
    let _lock = lock(&cache.join(FOLDER), job)?;
    if job.uses.add(&folder) {
        return Ok(folder);
    }
    modules.sort_by(|(a, _), (b, _)| a.cmp(b));
    catalogue.add(modules);
    write(&folder, kernel, &catalogue, &files)?;
    job.uses.add(&folder);
    Ok(folder)
}

/// The kernel's own index, and what it was made from.
fn catalogued(kernel: &KernelTree, cache: &Path, job: &Job) -> Result<(PathBuf, Catalogue), HostError> {
    let paths = modules(&kernel.modules)?;
    let folder = place(kernel, cache, fingerprint(kernel, &paths)?);
    if let Some(catalogue) = kept(&folder, job) {
        return Ok((folder, catalogue));
    }
    let _lock = lock(&cache.join(FOLDER), job)?;
    // Another one may have made it meanwhile.
    if let Some(catalogue) = kept(&folder, job) {
        return Ok((folder, catalogue));
    }
    job.say(&format!("reading the {} modules of {}", paths.len(), kernel.release));
    let facts = read_all(&kernel.modules, &paths, job.signal)?;
    let order = fs::read_to_string(kernel.modules.join("modules.order")).unwrap_or_default();
    let catalogue = Catalogue::new(facts, &order);
    let bytes = postcard::to_stdvec(&catalogue).map_err(|error| HostError::Host(error.to_string()))?;
    write(&folder, kernel, &catalogue, &[(CATALOGUE.to_string(), bytes)])?;
    job.uses.add(&folder);
    Ok((folder, catalogue))
}

/// A catalogue that is there and whole.
fn kept(folder: &Path, job: &Job) -> Option<Catalogue> {
    let bytes = job.uses.add(folder).then(|| fs::read(folder.join(CATALOGUE)).ok())??;
    postcard::from_bytes(&bytes).ok()
}

fn place(kernel: &KernelTree, cache: &Path, key: Sha256) -> PathBuf {
    cache.join(FOLDER).join(format!("{}-{}", kernel.release, &hex(&key.finalize())[..16]))
}

/// The paths of a kernel's modules in its folder, sorted.
fn modules(folder: &Path) -> Result<Vec<String>, HostError> {
    let mut paths = Vec::new();
    let found = crate::root::modules::files(folder).map_err(|error| unreadable(folder, &error))?;
    for path in found {
        let inside = path.strip_prefix(folder).unwrap_or(&path);
        paths.push(inside.to_string_lossy().into_owned());
    }
    paths.sort_unstable();
    Ok(paths)
}

/// What differs if any module is another one.
fn fingerprint(kernel: &KernelTree, paths: &[String]) -> Result<Sha256, HostError> {
    let mut key = Sha256::new();
    key.update(CATALOGUE);
    let of_build = OF_BUILD.iter().map(|name| name.to_string());
    for name in of_build.chain(paths.iter().cloned()) {
        let path = kernel.modules.join(&name);
        match fs::metadata(&path) {
            Ok(of) => key.update(format!("\0{name}\0{} {} {}", of.len(), of.mtime(), of.mtime_nsec())),
            // A kernel of one's own may have no such file.
            Err(error) if error.kind() == io::ErrorKind::NotFound && OF_BUILD.contains(&&*name) => {}
            Err(error) => return Err(unreadable(&path, &error)),
        }
    }
    Ok(key)
}

fn unreadable(path: &Path, error: &io::Error) -> HostError {
    HostError::file("modules", path, error, "fetch the kernel's package again")
}

/// Reads all modules, on all processors: most of the time goes into unpacking.
fn read_all(folder: &Path, paths: &[String], signal: &AtomicI32) -> Result<Vec<(String, Facts)>, HostError> {
    let next = AtomicUsize::new(0);
    let some = || -> Result<Vec<(String, Facts)>, HostError> {
        let mut read = Vec::new();
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            if signal.load(Ordering::Relaxed) != 0 {
                return Err(stopped(&io::Error::new(io::ErrorKind::Interrupted, STOPPED)));
            }
            read.push((path.clone(), Facts::read(&folder.join(path))?));
        }
        Ok(read)
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(some)).collect();
        all.into_iter()
            .map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut all = Vec::new();
    for part in parts {
        all.extend(part?);
    }
    Ok(all)
}

/// Writes an index with some more files, whole or not at all. The lock is held.
fn write(
    folder: &Path,
    kernel: &KernelTree,
    catalogue: &Catalogue,
    more: &[(String, Vec<u8>)],
) -> Result<(), HostError> {
    let text = |name: &str| fs::read(kernel.modules.join(name)).unwrap_or_default();
    let (list, information) = (text("modules.builtin"), text("modules.builtin.modinfo"));
    let builtin = Builtin { list: &String::from_utf8_lossy(&list), information: &information };
    let files =
        catalogue.write(builtin).map_err(|why| HostError::Host(format!("{}: {why}", folder.display())))?;
    let written = || {
        let parent = folder.parent().unwrap_or(Path::new("."));
        prune(parent, MOST_KEPT);
        let partial = tempfile::Builder::new().prefix(".partial-").tempdir_in(parent)?;
        for (name, bytes) in &files {
            put(&partial.path().join(name), bytes)?;
        }
        for (name, bytes) in more {
            put(&partial.path().join(name), bytes)?;
        }
        for name in OF_BUILD {
            put(&partial.path().join(name), &text(name))?;
        }
        fs::set_permissions(partial.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        // Only what is damaged is there.
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::rename(partial.path(), folder)?;
        let _ = partial.keep();
        Ok(())
    };
    written().map_err(|error: io::Error| {
        HostError::input(
            format!("{}: {}", folder.display(), plain(&error)),
            "make room there, or set FENCEPOST_CACHE to a folder that can be written",
        )
    })
}

/// Writes a file to the disk: the folder gets its name behind it, and a crash of the host must not leave holes.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

/// Removes the folders in `folder` that were used longest ago, beyond `most`, but for those in use.
pub(super) fn prune(folder: &Path, most: usize) {
    let folders = by_use(folder).into_iter().filter(|(_, path)| path.is_dir());
    for (_, path) in folders.skip(most) {
        remove_idle(&path, |path| drop(fs::remove_dir_all(path)));
    }
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
