//! `[kernel]` and `[modules]`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{SeqAccess, Visitor};

/// `[kernel]`: at most one of `package`, `path` and `matrix`; without any it is [`KernelName::DEFAULT`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Kernel {
    /// A Debian package, or a version such as `6.12`.
    pub package: Option<String>,
    /// A kernel of the host's, with its modules in `../lib/modules` beside it.
    pub path: Option<PathBuf>,
    /// Several packages or versions: the scenario is run on each.
    pub matrix: Vec<String>,
    /// Words for the kernel's command line, behind the preset's.
    pub append: String,
    /// What the command line begins with.
    pub command_line: Preset,
}

/// What a kernel's command line begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Without what costs a stock kernel time at its start and no driver needs (docs/boot.md).
    #[default]
    Fast,
    /// As Debian boots, with the console on the serial port.
    Stock,
}

/// One kernel of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KernelName {
    /// A package or a version.
    Package(String),
    /// A file.
    Path(PathBuf),
}

impl KernelName {
    /// The kernel where none is named.
    pub const DEFAULT: &str = "6.12";
}

impl Kernel {
    /// Adds words to the command line.
    pub fn add_words(&mut self, words: &str) {
        self.append = [self.append.as_str(), words].join(" ").trim().to_string();
    }

    /// The kernels that the scenario is run on, at least one.
    ///
    /// # Errors
    ///
    /// More than one way to name them, as part of a line.
    pub fn names(&self) -> Result<Vec<KernelName>, String> {
        let package = self.package.iter().cloned().map(KernelName::Package);
        let path = self.path.iter().cloned().map(KernelName::Path);
        let matrix = self.matrix.iter().cloned().map(KernelName::Package);
        let ways = [self.package.is_some(), self.path.is_some(), !self.matrix.is_empty()];
        if ways.iter().filter(|way| **way).count() > 1 {
            return Err("the kernel is named twice; write one of package, path and matrix".to_string());
        }
        let mut names: Vec<KernelName> = package.chain(path).chain(matrix).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        if names.len() < count {
            return Err("the matrix has a kernel twice; leave one out".to_string());
        }
        if names.is_empty() {
            names.push(KernelName::Package(KernelName::DEFAULT.to_string()));
        }
        Ok(names)
    }
}

/// `[modules]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Modules {
    /// A folder with a Kbuild file or a Makefile, built against the kernel's headers.
    pub build: Option<PathBuf>,
    /// Variables for `make`, each `NAME=VALUE`.
    pub make: Vec<String>,
    /// Modules that are built already.
    pub files: Vec<PathBuf>,
    /// Parameters by the module's name, as `modprobe` takes them.
    pub parameters: BTreeMap<String, String>,
    /// Which of them are loaded before the first step, in the order in which they need each other.
    pub load: Load,
}

/// `load`: `true`, `false`, or names of modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Load {
    /// All of them.
    All,
    /// These, by their names as the kernel has them, with `_` for `-`.
    These(BTreeSet<String>),
}

impl<'de> Deserialize<'de> for Load {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Load;

            fn expecting(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
                to.write_str("true, false, or an array of modules' names")
            }

            fn visit_bool<E>(self, all: bool) -> Result<Load, E> {
                Ok(if all { Load::All } else { Load::These(BTreeSet::new()) })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Load, A::Error> {
                let mut these = BTreeSet::new();
                while let Some(name) = names.next_element::<String>()? {
                    these.insert(name.replace('-', "_"));
                }
                Ok(Load::These(these))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Default for Modules {
    fn default() -> Self {
        let (make, files, parameters) = Default::default();
        Modules { build: None, make, files, parameters, load: Load::All }
    }
}
