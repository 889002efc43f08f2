//! What modules are built with: a kernel's headers and build scripts, from its packages, which are unpacked and not installed.

use std::fs;
use std::path::{Path, PathBuf};

use super::tree::{KernelTree, of_package};
use crate::error::{HostError, plain};
use crate::root::apt::Package;
use crate::root::boot::unpacked;
use crate::root::output::Output;
use crate::root::process::Job;
use crate::root::spool::Spool;
use crate::root::tree::{Kind, Tree};
use crate::root::{folder, lock};

/// Where packages put headers, and what stands there in a makefile that finds the other packages beside its own folder.
const SOURCES: &str = "/usr/src/";
const BESIDE: &str = "$(dir $(lastword $(MAKEFILE_LIST)))../";
/// What the names of the packages that are needed begin with.
const PACKAGES: [&str; 2] = ["linux-headers-", "linux-kbuild-"];

/// The folder that modules for `kernel` are built with: `make -C FOLDER M=DIR modules`. It is the one that the kernel's own build left
/// beside its modules, or is in the cache, or is fetched.
///
/// # Errors
///
/// The packages cannot be fetched, or the cache cannot be written.
pub fn headers(kernel: &KernelTree, cache: &Path, job: &Job) -> Result<PathBuf, HostError> {
    if let Some(found) = kept(kernel, cache) {
        return Ok(found);
    }
    let _lock = lock(&folder(cache), job)?;
    // Another one may have fetched them meanwhile.
    if let Some(found) = kept(kernel, cache) {
        return Ok(found);
    }
    let package = format!("{}{}", PACKAGES[0], kernel.release);
    job.say(&format!("fetching {package}"));
    let taken = |package: &Package| PACKAGES.iter().any(|start| package.name.starts_with(start));
    let fetched = unpacked(&package, &taken, (None, false), cache, job);
    let (mut tree, mut spool) = fetched.map_err(of_package)?;
    let to = folder(cache).join(format!("headers-{}", kernel.release));
    let failed = |why: String| HostError::Host(format!("{}: {why}", to.display()));
    relocate(&mut tree, &mut spool, &kernel.release).map_err(failed)?;
    if to.exists() {
        fs::remove_dir_all(&to).map_err(|error| failed(plain(&error)))?;
    }
    Output::Folder(to.clone()).write(&tree, &spool, job)?;
    whole(in_root(&to, &kernel.release)).ok_or_else(|| {
        HostError::input(
            format!("{package}: it has no headers that modules can be built with"),
            "name another kernel, or modules that are built",
        )
    })
}

/// Headers that are here.
fn kept(kernel: &KernelTree, cache: &Path) -> Option<PathBuf> {
    let roots = [cache.join("kernel-"), folder(cache).join("headers-")];
    let in_cache = roots.into_iter().map(|mut root| {
        root.as_mut_os_string().push(&kernel.release);
        in_root(&root, &kernel.release)
    });
    let own = kernel.modules.join("build");
    std::iter::once(own).chain(in_cache).find_map(whole)
}

fn in_root(root: &Path, release: &str) -> PathBuf {
    root.join(SOURCES.trim_start_matches('/')).join(format!("{}{release}", PACKAGES[0]))
}

/// The folder without links in its name, if it has what a build needs first.
fn whole(folder: PathBuf) -> Option<PathBuf> {
    let all = ["Makefile", "scripts/Makefile.build", "include/generated/autoconf.h"];
    let folder = fs::canonicalize(folder).ok()?;
    all.iter().all(|name| folder.join(name).is_file()).then_some(folder)
}

/// Has the headers find the other package where it is unpacked, not where it would be installed. Links are relative already.
fn relocate(tree: &mut Tree, spool: &mut Spool, release: &str) -> Result<(), String> {
    let path = format!("{SOURCES}{}{release}/Makefile", PACKAGES[0]);
    let number = tree.find(path.as_bytes(), true).ok_or(format!("no package has {path}"))?;
    let node = tree.node(number).clone();
    let Kind::File(content) = node.kind else { return Err(format!("{path} is no file")) };
    let text = spool.bytes(content).map_err(|error| plain(&error))?;
    let text = String::from_utf8_lossy(&text).replace(SOURCES, BESIDE);
    let content = spool.keep_bytes(text.as_bytes()).map_err(|error| plain(&error))?;
    tree.file(path.as_bytes(), Kind::File(content), node.attributes)
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
