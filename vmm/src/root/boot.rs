//! What a run needs to boot a root: the modules of the kernel that is started, busybox, and the initramfs made of them.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use fencepost_firmware::kernel::KernelFile;
use fencepost_firmware::packed::Packed;
use sha2::{Digest, Sha256};

use super::apt::{Apt, Package, Setting};
use super::initramfs::{self, Beside, Place, Task};
use super::modules::Modules;
use super::output::Output;
use super::package::Unpacked;
use super::process::Job;
use super::spool::Spool;
use super::tree::{Kind, Tree};
use super::{folder, lock};
use crate::error::{HostError, plain};
use crate::in_use::{by_use, remove_idle};
use crate::machine::log::hex;

/// The static busybox is for the host's architecture, whatever the root is made of: the kernel's.
const ARCHITECTURE: &str = "amd64";
/// The link to the kernel that was fetched last.
const LAST: &str = "kernel";
/// The command line for a root, where nobody chose one: what a stock kernel does at its start and no guest here needs is left out
/// (docs/boot.md says what each part saves).
pub const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 reboot=acpi intel_iommu=on rodata=off cryptomgr.notests \
    initcall_blacklist=jent_mod_init,load_system_certificate_list,bpf_tcp_ca_kfunc_init,bpf_dummy_struct_ops_init,\
    trace_eval_init,mcheck_init_device";
const BUSYBOX: &str = "busybox-static";
/// Initramfs that are kept at most, each of 3 MiB or so: the ones that were used last. Those in use stay.
const MOST_KEPT: usize = 8;

/// The initramfs that boots `kernel` into a root, in a file in the cache folder.
///
/// # Errors
///
/// The kernel has no release or no modules, or the cache cannot be written.
pub fn initramfs(
    kernel: &Path,
    place: &Place,
    (task, beside): (&Task, Beside),
    cache: &Path,
    job: &Job,
) -> Result<PathBuf, HostError> {
    let release = release("--kernel", kernel)?;
    let modules = Modules::open(&modules_of("--kernel", kernel, &release, cache)?)?;
    let busybox = busybox(None, cache, job)?;
    let bytes = initramfs::build(&modules, &busybox, place, (task, beside))?;
    let kept = folder(cache).join("initramfs");
    let path = kept.join(hex(&Sha256::digest(&bytes)));
    if job.uses.add(&path) && fs::read(&path).is_ok_and(|there| there == bytes) {
        return Ok(path);
    }
    keep(&path, &bytes, 0o644)?;
    job.uses.add(&path);
    prune(&kept);
    Ok(path)
}

/// The release of a kernel, such as `6.1.0-18-amd64`. `role` says what the user named it by.
///
/// # Errors
///
/// It cannot be read, or does not say its release.
pub fn release(role: &str, kernel: &Path) -> Result<String, HostError> {
    let fix = "name a bzImage or vmlinux of Linux";
    let failed = |error: std::io::Error| HostError::file(role, kernel, &error, fix);
    let file = File::open(kernel).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        let what = format!("{role} {}: it is read twice", kernel.display());
        return Err(HostError::input(what, "name a file, not a pipe or a folder"));
    }
    let found = match KernelFile::read(kernel.display().to_string(), file, u64::MAX) {
        Ok(KernelFile::Packed(packed)) => release_in(&packed),
        Ok(KernelFile::Unified(unified)) => match *unified.kernel {
            KernelFile::Packed(packed) => release_in(&packed),
            _ => None,
        },
        _ => fs::read(kernel).map_err(failed).map(|bytes| crate::modules::release_of(&bytes))?,
    };
    let found = found.filter(|release| !release.contains('/') && !release.starts_with('.'));
    found.ok_or_else(|| {
        HostError::input(format!("{role} {}: it does not say its release", kernel.display()), fix)
    })
}

/// The release in the header, or in the kernel's banner.
fn release_in(packed: &Packed) -> Option<String> {
    let told = packed.release().map(str::to_string);
    told.or_else(|| packed.unpack().ok().and_then(|vmlinux| crate::modules::release_of(&vmlinux)))
}

/// The folder with the modules of a kernel: beside it, as in its package, in the cache, or of the host.
///
/// # Errors
///
/// There is none.
pub fn modules_of(role: &str, kernel: &Path, release: &str, cache: &Path) -> Result<PathBuf, HostError> {
    let kernel = fs::canonicalize(kernel).unwrap_or_else(|_| kernel.to_path_buf());
    let beside = kernel.parent().and_then(Path::parent).map(Path::to_path_buf);
    let roots = beside.into_iter().chain([
        cache.join(format!("kernel-{release}")),
        folder(cache).join(format!("kernel-{release}")),
        PathBuf::from("/"),
    ]);
    let mut folders = roots.map(|root| root.join("lib/modules").join(release));
    folders.find(|folder| folder.join("modules.builtin").is_file()).ok_or_else(|| {
        HostError::input(
            format!("{role} {}: the modules of {release} are nowhere here", kernel.display()),
            format!("fetch them with `fencepost root --kernel-package linux-image-{release}`"),
        )
    })
}

/// A static busybox, from the cache, or from its package.
///
/// # Errors
///
/// It cannot be fetched.
pub fn busybox(sources: Option<&Path>, cache: &Path, job: &Job) -> Result<Vec<u8>, HostError> {
    let path = folder(cache).join("busybox");
    if let Ok(bytes) = fs::read(&path)
        && bytes.starts_with(b"\x7fELF")
    {
        return Ok(bytes);
    }
    let _lock = lock(&folder(cache), job)?;
    let (tree, spool) = unpacked(BUSYBOX, &|package| package.name == BUSYBOX, (sources, false), cache, job)?;
    let found = tree.find(b"/bin/busybox", true).map(|number| tree.node(number).kind.clone());
    let Some(Kind::File(content)) = found else {
        return Err(HostError::Host(format!("{BUSYBOX}: there is no /bin/busybox in it")));
    };
    let bytes =
        spool.bytes(content).map_err(|error| HostError::Host(format!("{BUSYBOX}: {}", plain(&error))))?;
    keep(&path, &bytes, 0o755)?;
    Ok(bytes)
}

/// A kernel with its modules, of a package such as `linux-image-6.12-amd64`, in a folder of its own in the cache. Gives the kernel,
/// which a run without `--kernel` starts from now on.
///
/// # Errors
///
/// It cannot be fetched, or is no kernel.
pub fn kernel(
    package: &str,
    (sources, update): (Option<&Path>, bool),
    cache: &Path,
    job: &Job,
) -> Result<PathBuf, HostError> {
    let (release, to) = fetch_kernel(package, (sources, update), cache, job)?;
    link(&to, &folder(cache).join(LAST))?;
    Ok(to.join(format!("boot/vmlinuz-{release}")))
}

/// The same, and no more: gives the kernel's release and the folder.
///
/// # Errors
///
/// It cannot be fetched, or is no kernel.
pub fn fetch_kernel(
    package: &str,
    (sources, update): (Option<&Path>, bool),
    cache: &Path,
    job: &Job,
) -> Result<(String, PathBuf), HostError> {
    let _lock = lock(&folder(cache), job)?;
    let is_kernel = |package: &Package| package.name.starts_with("linux-image-");
    let (tree, spool) = unpacked(package, &is_kernel, (sources, update), cache, job)?;
    let boot = tree.paths().into_iter().find_map(|(path, _)| {
        String::from_utf8(path).ok()?.strip_prefix("/boot/vmlinuz-").map(str::to_string)
    });
    let Some(release) = boot else {
        let what = format!("--kernel-package {package}: neither it nor what it needs has a kernel");
        return Err(HostError::input(what, "name one such as linux-image-amd64"));
    };
    let to = folder(cache).join(format!("kernel-{release}"));
    if !to.is_dir() {
        Output::Folder(to.clone()).write(&tree, &spool, job)?;
    }
    Ok((release, to))
}

/// Has the link `at` lead to `to`.
///
/// # Errors
///
/// It cannot be written.
pub fn link(to: &Path, at: &Path) -> Result<(), HostError> {
    let folder = at.parent().unwrap_or(Path::new("."));
    let link = || {
        fs::create_dir_all(folder)?;
        let partial =
            tempfile::Builder::new().prefix(".partial-").make_in(folder, |path| symlink(to, path))?;
        partial.persist(at).map(drop).map_err(|error| error.error)
    };
    link().map_err(|error| HostError::Host(format!("{}: {}", at.display(), plain(&error))))
}

/// The kernel that was fetched last, by [`kernel`] or by `ci/kernel`.
///
/// # Errors
///
/// There is none.
pub fn kept_kernel(cache: &Path) -> Result<PathBuf, HostError> {
    let fetched = fs::read_dir(folder(cache).join(LAST).join("boot")).into_iter().flatten().flatten();
    let mut fetched =
        fetched.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains("/vmlinuz-"));
    let of_scripts = || Some(cache.join("kernel/vmlinuz")).filter(|path| path.is_file());
    fetched.next().or_else(of_scripts).ok_or_else(|| {
        HostError::input(
            "--root: there is no kernel in the cache",
            "name one with --kernel, or fetch one with `fencepost root --kernel-package linux-image-amd64`",
        )
    })
}

/// The files of a package, or of those that it needs, which `take` takes.
///
/// # Errors
///
/// They cannot be fetched, or do not fit each other.
pub fn unpacked(
    name: &str,
    take: &dyn Fn(&Package) -> bool,
    (sources, update): (Option<&Path>, bool),
    cache: &Path,
    job: &Job,
) -> Result<(Tree, Spool), HostError> {
    let setting = Setting { architecture: ARCHITECTURE, others: &[], suite: None, sources };
    let apt = Apt::new(&folder(cache), &setting, job)?;
    let (_, debs) = apt.obtain(&[name], update, take)?;
    let failed = |error: std::io::Error| HostError::Host(format!("{}: {}", cache.display(), plain(&error)));
    let (mut tree, mut spool) = (Tree::new(0), Spool::new(&folder(cache)).map_err(failed)?);
    let mut unpacked = Unpacked::new(&mut tree, &mut spool);
    debs.iter().try_for_each(|deb| unpacked.add(deb, job))?;
    Ok((tree, spool))
}

/// Writes a file of the cache, whole or not at all.
fn keep(path: &Path, bytes: &[u8], mode: u32) -> Result<(), HostError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new()
            .prefix(".partial-")
            .permissions(fs::Permissions::from_mode(mode))
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path).map(drop).map_err(|error| error.error)
    };
    write().map_err(|error| {
        HostError::input(
            format!("{}: {}", path.display(), plain(&error)),
            "make room there, or set FENCEPOST_CACHE to a folder that can be written",
        )
    })
}

/// Removes the files that were used longest ago, but for those in use.
fn prune(folder: &Path) {
    for (_, path) in by_use(folder).into_iter().skip(MOST_KEPT) {
        remove_idle(&path, |path| drop(fs::remove_file(path)));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::in_use::Holds;

    #[test]
    fn of_too_many_initramfs_the_oldest_go_but_for_those_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = |number: usize| folder.path().join(number.to_string());
        for number in 0..MOST_KEPT + 3 {
            fs::write(path(number), "initramfs").unwrap();
            let used = SystemTime::UNIX_EPOCH + Duration::from_secs(number as u64);
            File::open(path(number)).unwrap().set_modified(used).unwrap();
        }
        // Of another suite, which has been running for long.
        let theirs = Holds::default();
        assert!(theirs.add(&path(1)));
        File::open(path(1)).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        prune(folder.path());
        let left: Vec<usize> = (0..MOST_KEPT + 3).filter(|number| path(*number).exists()).collect();
        assert_eq!(left[..2], [1, 3]);
        assert_eq!(left.len(), MOST_KEPT + 1);
        drop(theirs);
        prune(folder.path());
        assert!(!path(1).exists());
    }
}
