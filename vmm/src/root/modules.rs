//! A kernel's modules in a folder `lib/modules/RELEASE` of the host: which there are, and in which order they are loaded.
//!
//! What a module needs is read from itself (its section `.modinfo`, include/linux/module.h), so that no depmod has to run: a kernel's
//! package has the modules, and no lists of what they need.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use memchr::memmem;

use super::initramfs::unpacked;
use crate::error::{HostError, plain};

/// Folders within folders: a kernel's source tree is not that deep.
const MOST_DEPTH: usize = 12;

/// A module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name as the kernel has it, with "_" for "-".
    pub name: String,
    /// The file's content, unpacked.
    pub bytes: Vec<u8>,
}

/// The modules of one kernel.
#[derive(Debug)]
pub struct Modules {
    folder: PathBuf,
    files: BTreeMap<String, PathBuf>,
    /// What is in the kernel itself.
    builtin: BTreeSet<String>,
}

impl Modules {
    /// The modules in `folder`.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn open(folder: &Path) -> Result<Modules, HostError> {
        let fix = "name a kernel whose modules are whole";
        let builtin = folder.join("modules.builtin");
        let lines = fs::read_to_string(&builtin)
            .map_err(|error| HostError::file("modules", &builtin, &error, fix))?;
        let found = files(folder).map_err(|error| HostError::file("modules", folder, &error, fix))?;
        let files = found.into_iter().map(|path| (name_of(&path.to_string_lossy()), path)).collect();
        Ok(Modules { folder: folder.to_path_buf(), files, builtin: lines.lines().map(name_of).collect() })
    }

    /// `wanted` and all that they need, in the order in which they can be loaded; without what is in the kernel itself.
    ///
    /// # Errors
    ///
    /// There is no such module, or one cannot be read.
    pub fn closure(&self, wanted: &[&str]) -> Result<Vec<Module>, HostError> {
        let closure = Closure {
            modules: self,
            seen: RefCell::default(),
            open: RefCell::default(),
            later: RefCell::default(),
            placed: RefCell::default(),
        };
        for name in wanted {
            if !closure.place(name)? {
                return Err(HostError::input(
                    format!("{}: there is no module {name}", self.folder.display()),
                    "boot a kernel that has it: Debian's do",
                ));
            }
        }
        Ok(closure.placed.into_inner())
    }

    /// Whether there is a module of this name, in a file or in the kernel itself.
    pub fn has(&self, name: &str) -> bool {
        self.files.contains_key(name) || self.builtin.contains(name)
    }

    fn read(&self, name: &str, path: &Path) -> Result<Module, HostError> {
        let bytes = fs::read(path).and_then(unpacked);
        let bytes = bytes.map_err(|error| {
            HostError::input(
                format!("module {}: {}", path.display(), plain(&error)),
                "fetch the kernel's package again",
            )
        })?;
        Ok(Module { name: name.to_string(), bytes })
    }
}

/// Modules in the order in which they are loaded, as far as it is known.
struct Closure<'a> {
    modules: &'a Modules,
    seen: RefCell<BTreeSet<String>>,
    /// Those that wait for what they need.
    open: RefCell<BTreeSet<String>>,
    /// Those that others wish for, but that need these.
    later: RefCell<Vec<String>>,
    placed: RefCell<Vec<Module>>,
}

impl Closure<'_> {
    /// Places a module behind what it needs. False if there is none, neither in a file nor in the kernel.
    fn place(&self, name: &str) -> Result<bool, HostError> {
        if self.modules.builtin.contains(name) {
            return Ok(true);
        }
        let Some(path) = self.modules.files.get(name) else {
            return self.generic(name).map_or(Ok(false), |generic| self.place(&generic));
        };
        if !self.seen.borrow_mut().insert(name.to_string()) {
            return Ok(true);
        }
        let module = self.modules.read(name, path)?;
        self.open.borrow_mut().insert(name.to_string());
        for other in needs(&module.bytes) {
            self.place(&other)?;
        }
        for other in wishes(&module.bytes) {
            // It may be missing.
            if self.leads_back(&other, &mut BTreeSet::new())? {
                self.later.borrow_mut().push(other);
            } else {
                self.place(&other)?;
            }
        }
        self.open.borrow_mut().remove(name);
        self.placed.borrow_mut().push(module);
        self.place_later()?;
        Ok(true)
    }

    /// Places those that had to wait, and need nothing any more that waits itself.
    fn place_later(&self) -> Result<(), HostError> {
        for name in self.later.take() {
            if self.leads_back(&name, &mut BTreeSet::new())? {
                self.later.borrow_mut().push(name);
            } else {
                self.place(&name)?;
            }
        }
        Ok(())
    }

    /// Ciphers and checksums are asked for by what they compute; the generic one runs on every CPU.
    fn generic(&self, name: &str) -> Option<String> {
        let generic = format!("{}_generic", name.trim_start_matches("crypto_"));
        let there = self.modules.files.contains_key(&generic) || self.modules.builtin.contains(&generic);
        (there && !name.ends_with("_generic")).then_some(generic)
    }

    /// Whether a module needs one that waits for what it needs itself.
    fn leads_back(&self, name: &str, seen: &mut BTreeSet<String>) -> Result<bool, HostError> {
        if self.open.borrow().contains(name) {
            return Ok(true);
        }
        let Some(path) = self.modules.files.get(name) else { return Ok(false) };
        if !seen.insert(name.to_string()) {
            return Ok(false);
        }
        for other in needs(&self.modules.read(name, path)?.bytes) {
            if self.leads_back(&other, seen)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What a module says of itself under a key.
fn texts<'a>(module: &'a [u8], key: &str) -> impl Iterator<Item = String> + use<'a> {
    let key = format!("\0{key}=").into_bytes();
    let found: Vec<usize> = memmem::find_iter(module, &key).map(|at| at + key.len()).collect();
    let text = |at: usize| module[at..].split(|byte| *byte == 0).next();
    found.into_iter().filter_map(text).map(|text| String::from_utf8_lossy(text).into_owned())
}

/// The names of the modules without which this one cannot be loaded.
fn needs(module: &[u8]) -> Vec<String> {
    let lists: Vec<String> = texts(module, "depends").collect();
    lists.iter().flat_map(|text| text.split(',').filter(|name| !name.is_empty()).map(name_of)).collect()
}

/// The names of those that are to be loaded before it all the same.
fn wishes(module: &[u8]) -> Vec<String> {
    let lists: Vec<String> = texts(module, "softdep").collect();
    let before = |text: &String| {
        let words = text.split_whitespace().skip_while(|word| *word != "pre:").skip(1);
        words.take_while(|word| *word != "post:").map(name_of).collect::<Vec<_>>()
    };
    lists.iter().flat_map(before).collect()
}

/// The files of a kernel's modules in its folder, in no order.
///
/// # Errors
///
/// A folder cannot be read.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(&folder.join("kernel"), MOST_DEPTH, &mut files)?;
    Ok(files)
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() && depth > 0 {
            collect(&entry.path(), depth - 1, files)?;
        } else if kind.is_file() && name.contains(".ko") {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// The name of the module in a file, or as others name it.
pub fn name_of(path: &str) -> String {
    let file = path.trim().rsplit('/').next().unwrap_or_default();
    file.split(".ko").next().unwrap_or_default().replace('-', "_")
}

#[cfg(test)]
#[path = "modules_tests.rs"]
mod tests;
