//! A kernel and its modules, by a name: from the cache, or from its package.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::HostError;
use crate::root::apt::{Apt, Setting};
use crate::root::process::Job;
use crate::root::{boot, folder};

/// What the names of kernels' packages begin with.
const PACKAGE: &str = "linux-image-";
/// What kernels are built for, as Debian names it.
const ARCHITECTURE: &str = "amd64";
/// Links from packages' names to the kernels' folders, for names that do not say which kernel it is.
const NAMES: &str = "kernel-names";
const ROLE: &str = "kernel";
/// The name of the project's debug kernel, and where `ci/kernel --debug` leaves it in the cache.
const DEBUG: (&str, &str) = ("debug", "kernel-debug/vmlinuz");

/// A kernel that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelTree {
    /// Its release, such as `6.1.0-18-amd64`.
    pub release: String,
    /// The file to start.
    pub image: PathBuf,
    /// The folder `lib/modules/RELEASE`, with `kernel/` and `modules.builtin` in it.
    pub modules: PathBuf,
}

/// What a name asks for, if it says a version: `VERSION-FLAVOUR`, where a release's version may go on.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    version: String,
    flavour: String,
}

/// The kernel that `name` names: a package (`linux-image-6.12-amd64`), a version, perhaps with a flavour (`6.12`, `6.1-rt`), which is
/// the newest such package, `debug`, or the path of a kernel. What is in the cache is taken, and no other program runs then; `update` looks
/// for a newer one at the package sources, and fetches it.
///
/// # Errors
///
/// There is no such package or file, it cannot be fetched, or there are no modules for it.
pub fn kernel_of(name: &str, update: bool, cache: &Path, job: &Job) -> Result<KernelTree, HostError> {
    if name == DEBUG.0 {
        return debug(cache);
    }
    let versions = name.strip_prefix(PACKAGE).unwrap_or(name);
    let wanted = Wanted::parse(versions);
    if name.contains('/') || (wanted.is_none() && !name.starts_with(PACKAGE)) {
        return of_file(Path::new(name), cache);
    }
    let kept = match &wanted {
        Some(wanted) => newest(cache, wanted),
        None => named(cache, name),
    };
    if let Some(kernel) = kept.filter(|_| !update) {
        return Ok(kernel);
    }
    let package = match &wanted {
        Some(wanted) if !name.starts_with(PACKAGE) => newest_package(name, wanted, update, cache, job)?,
        _ => name.to_string(),
    };
    job.say(&format!("fetching {package}"));
    // The lists are new already where the package was looked for.
    let lists = update && package == name;
    let fetched = boot::fetch_kernel(&package, (None, lists), cache, job);
    let (release, root) = fetched.map_err(of_package)?;
    if wanted.is_none() {
        boot::link(&root, &folder(cache).join(NAMES).join(name))?;
    }
    in_root(&root, &release).ok_or_else(|| {
        let what = format!("{ROLE} {package}: its package has no modules for {release}");
        HostError::input(what, "name another package")
    })
}

/// The debug kernel, which is built on the host and never fetched.
fn debug(cache: &Path) -> Result<KernelTree, HostError> {
    // Its own name and not the link's, which may lead elsewhere later.
    let Ok(image) = fs::canonicalize(cache.join(DEBUG.1)) else {
        let what = format!("{ROLE} {}: it is not built", DEBUG.0);
        return Err(HostError::input(what, "build it by ci/kernel --debug of Fencepost's sources"));
    };
    of_file(&image, cache)
}

/// A kernel's file, with the modules that are beside it, in the cache or in the host's system.
fn of_file(path: &Path, cache: &Path) -> Result<KernelTree, HostError> {
    let role = format!("{ROLE} image");
    if let Err(error) = fs::metadata(path) {
        let fix = "name a file, a package such as linux-image-6.12-amd64, or a version such as 6.12";
        return Err(HostError::file(ROLE, path, &error, fix));
    }
    let release = boot::release(&role, path)?;
    let modules = boot::modules_of(&role, path, &release, cache)?;
    Ok(KernelTree { release, image: path.to_path_buf(), modules })
}

/// The newest package that fits, by its name.
fn newest_package(
    name: &str,
    wanted: &Wanted,
    update: bool,
    cache: &Path,
    job: &Job,
) -> Result<String, HostError> {
    let setting = Setting { architecture: ARCHITECTURE, others: &[], suite: None, sources: None };
    let apt = Apt::new(&folder(cache), &setting, job)?;
    let version = wanted.version.replace('.', r"\.").replace('+', r"\+");
    let all = apt.names(&format!("^{PACKAGE}{version}.*-{}$", wanted.flavour), update)?;
    let releases = all.iter().filter_map(|package| package.strip_prefix(PACKAGE));
    let newest = releases.filter(|release| wanted.fits(release)).max_by_key(|release| parts(release));
    newest.map(|release| format!("{PACKAGE}{release}")).ok_or_else(|| {
        let what =
            format!("{ROLE} {name}: no package source has {PACKAGE}{}...-{}", wanted.version, wanted.flavour);
        HostError::input(what, "name another version, or see to the host's package sources in /etc/apt")
    })
}

/// An error that names the option of another command.
pub(super) fn of_package(error: HostError) -> HostError {
    let told = |line: &str| {
        let rest = line.strip_prefix("--packages ").or_else(|| line.strip_prefix("--kernel-package "));
        rest.map(|rest| format!("{ROLE} {rest}"))
    };
    match error {
        HostError::Input(line) => HostError::Input(told(&line).unwrap_or(line)),
        other => other,
    }
}

impl Wanted {
    /// Of a text such as `6.12`, `6.1-rt`, `6.12-cloud-amd64` or `6.1.0-18-amd64`.
    fn parse(text: &str) -> Option<Wanted> {
        let numeric = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
        let mut parts = text.split('-').peekable();
        let mut version = parts.next().filter(|part| numeric(part) && part.contains('.'))?.to_string();
        while let Some(part) = parts.next_if(|part| numeric(part)) {
            version = format!("{version}-{part}");
        }
        let mut flavour: Vec<&str> = parts.collect();
        if flavour.last() != Some(&ARCHITECTURE) {
            flavour.push(ARCHITECTURE);
        }
        let word = |part: &&str| part.chars().all(|c| c.is_ascii_alphanumeric());
        let plain = version.chars().all(|c| c.is_ascii_alphanumeric() || "+-.~".contains(c));
        (plain && flavour.iter().all(word)).then(|| Wanted { version, flavour: flavour.join("-") })
    }

    /// Whether a release is of this flavour, and its version is this one or goes on behind it.
    fn fits(&self, release: &str) -> bool {
        let Some(of) = Wanted::parse(release) else { return false };
        let rest = of.version.strip_prefix(&*self.version);
        of.flavour == self.flavour
            && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '+']))
    }
}

/// A part of a release, by which releases are compared.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Text(String),
    Number(u64),
}

/// A release in parts, so that 9 is before 10.
fn parts(release: &str) -> Vec<Part> {
    let runs = release.as_bytes().chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
    let text = |run: &[u8]| String::from_utf8_lossy(run).into_owned();
    runs.map(|run| text(run).parse().map_or_else(|_| Part::Text(text(run)), Part::Number)).collect()
}

/// The newest kernel of the cache that fits: of those that were fetched by name, and of those that `ci/kernel` has put there.
fn newest(cache: &Path, wanted: &Wanted) -> Option<KernelTree> {
    let mut kernels = Vec::new();
    for base in [folder(cache), cache.to_path_buf()] {
        for entry in fs::read_dir(base).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let release = name.strip_prefix("kernel-").filter(|release| wanted.fits(release));
            kernels.extend(release.and_then(|release| in_root(&entry.path(), release)));
        }
    }
    kernels.into_iter().max_by_key(|kernel| (parts(&kernel.release), kernel.image.clone()))
}

/// The kernel that was fetched by this name.
fn named(cache: &Path, name: &str) -> Option<KernelTree> {
    let root = fs::canonicalize(folder(cache).join(NAMES).join(name)).ok()?;
    let release = root.file_name()?.to_string_lossy().strip_prefix("kernel-")?.to_string();
    in_root(&root, &release)
}

/// The kernel in an unpacked package, if it is whole.
fn in_root(root: &Path, release: &str) -> Option<KernelTree> {
    let (image, modules) =
        (root.join(format!("boot/vmlinuz-{release}")), root.join("lib/modules").join(release));
    let whole = image.is_file() && modules.join("modules.builtin").is_file();
    whole.then(|| KernelTree { release: release.to_string(), image, modules })
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
