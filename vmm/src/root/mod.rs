//! A guest's root file system, made of Debian packages without installing anything on the host.
//!
//! The host's apt finds and fetches the packages ([`apt`]), they are unpacked into a tree in memory ([`package`]), and the
//! tree becomes a folder or an image ([`output`], [`erofs`]). [`initramfs`] makes what a kernel needs to get there.

pub mod apt;
pub mod boot;
pub mod cpio;
pub mod erofs;
pub mod initramfs;
pub mod modules;
pub mod output;
pub mod package;
pub mod process;
mod setup;
pub mod spool;
pub mod tree;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use apt::{Apt, Package, Setting};
use output::Output;
use package::Unpacked;
use process::{Job, stopped};
use spool::Spool;
use tree::{ROOT, Tree};

use crate::error::{HostError, plain};

/// How often it is seen whether another one is done with the cache.
const WAIT: Duration = Duration::from_millis(50);
/// What every package may count on without saying so (Debian Policy, 3.8), `/bin` as a link without a script that moves files, and what
/// nobody wants to miss in a shell.
const ESSENTIAL: [&str; 3] = ["?essential", "usr-is-merged", "mount"];

/// What a root is made of.
#[derive(Clone, Debug)]
pub struct Request {
    /// Names as apt has them: NAME, NAME:ARCHITECTURE, NAME=VERSION.
    pub packages: Vec<String>,
    /// What they are built for, as Debian names it.
    pub architecture: String,
    /// The release to prefer among the host's package sources.
    pub suite: Option<String>,
    /// Where packages come from (sources.list(5)), if not from the host's sources.
    pub sources: Option<PathBuf>,
    /// Whether the package lists are fetched although there are some.
    pub update: bool,
}

/// What was made.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// How many packages are in it.
    pub packages: usize,
    /// Bytes of the image, or of the files.
    pub bytes: u64,
}

/// The folder for packages in the project's cache folder `cache`.
pub fn folder(cache: &Path) -> PathBuf {
    cache.join("root")
}

/// Makes a root.
///
/// # Errors
///
/// Whatever is wrong with the request, the network or the disk. Nothing is left of the output then.
pub fn build(request: &Request, output: &Output, cache: &Path, job: &Job) -> Result<Made, HostError> {
    let folder = folder(cache);
    let _lock = lock(&folder, job)?;
    let others = other_architectures(request);
    let (packages, debs) = fetch(request, &others, &folder, job)?;
    let refused = |why: String| HostError::Host(format!("a package does not fit the others: {why}"));
    let failed = |error: std::io::Error| HostError::Host(format!("{}: {}", folder.display(), plain(&error)));
    let (mut tree, mut spool) = (Tree::new(0), Spool::new(&folder).map_err(failed)?);
    let mut unpacked = Unpacked::new(&mut tree, &mut spool);
    let architectures: Vec<&str> =
        std::iter::once(&*request.architecture).chain(others.iter().map(String::as_str)).collect();
    unpacked.begin(&architectures).map_err(refused)?;
    for deb in &debs {
        unpacked.add(deb, job)?;
    }
    unpacked.complete(&request.architecture, &others).map_err(refused)?;
    let newest = unpacked.newest;
    let of_root = tree::Attributes::of_root(0o755, newest);
    tree.folder(b"/", of_root).map_err(refused)?;
    debug_assert_eq!(tree.node(ROOT).attributes, of_root);
    let bytes = output.write(&tree, &spool, job)?;
    Ok(Made { packages: packages.len(), bytes })
}

/// Finds the packages, and fetches what is not in the cache.
fn fetch(
    request: &Request,
    others: &[String],
    folder: &Path,
    job: &Job,
) -> Result<(Vec<Package>, Vec<PathBuf>), HostError> {
    let setting = Setting {
        architecture: &request.architecture,
        others,
        suite: request.suite.as_deref(),
        sources: request.sources.as_deref(),
    };
    let apt = Apt::new(folder, &setting, job)?;
    apt.obtain(&wanted(request), request.update, &|_| true)
}

fn wanted(request: &Request) -> Vec<&str> {
    ESSENTIAL.into_iter().chain(request.packages.iter().map(String::as_str)).collect()
}

/// The architectures that packages are named with, and are not the root's.
fn other_architectures(request: &Request) -> Vec<String> {
    let named = request.packages.iter().filter_map(|name| name.split('=').next()?.split_once(':'));
    let mut others: Vec<String> = named.map(|(_, one)| one.to_string()).collect();
    others.retain(|one| *one != request.architecture && one != "all" && one != "any");
    others.sort_unstable();
    others.dedup();
    others
}

/// Keeps other runs out of the folder until the file is dropped.
pub(crate) fn lock(folder: &Path, job: &Job) -> Result<File, HostError> {
    let path = folder.join("lock");
    let failed = |error: std::io::Error| {
        HostError::input(
            format!("{}: {}", path.display(), plain(&error)),
            "make room there, or set FENCEPOST_CACHE to a folder that can be written",
        )
    };
    fs::create_dir_all(folder).map_err(failed)?;
    let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
    let mut told = false;
    while let Err(error) = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK && error != rustix::io::Errno::INTR {
            return Err(failed(error.into()));
        }
        if !std::mem::replace(&mut told, true) {
            job.say("waiting for another fencepost that works in the cache");
        }
        job.go_on().map_err(|error| stopped(&error))?;
        std::thread::sleep(WAIT);
    }
    Ok(file)
}
