//! Scenarios of `fencepost test`: one TOML file each that says what machine and kernel, what is done in the guest and on the host, and
//! what is expected (docs/scenarios.md is the schema).

mod duration;
mod expect;
mod kernel;
mod names;
mod read;
mod refuse;
mod step;
#[cfg(test)]
mod tests;
mod variant;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fencepost_softcpu::model::Model;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use toml::Spanned;

use crate::config::{IommuKind, MachineConfig};

pub use duration::Length;
pub use expect::{Allowed, Counted, Dmesg, Ending, Expect, Frames, Ktap};
pub use kernel::{Kernel, KernelName, Load, Modules, Preset};
pub use read::{Found, find, read};
pub use step::{Action, Step};
pub use variant::Variant;

/// A scenario as its file has it. Names of files in it are absolute once it is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Scenario {
    /// What it is called, and how long it may take.
    pub scenario: About,
    /// The machine; the standard one unless told otherwise.
    pub machine: Option<MachineAt>,
    /// The kernel, or several.
    pub kernel: Kernel,
    /// Kernel modules that the guest gets beside the kernel's own.
    pub modules: Modules,
    /// The machine's IOMMU, where a variant has another one.
    #[serde(skip)]
    pub iommu: Option<IommuKind>,
    /// How many CPUs the machine has, where a variant has others.
    #[serde(skip)]
    pub cpus: Option<u32>,
    /// What its CPUs can do, where a variant has others.
    #[serde(skip)]
    pub cpu: Option<Model>,
    /// What is in the guest.
    pub guest: Guest,
    /// What is done, in order.
    #[serde(rename = "step")]
    pub steps: Vec<Spanned<Step>>,
    /// What is expected, beside what each step expects.
    pub expect: Expect,
    /// The same with other modules: each is run beside the scenario itself.
    #[serde(rename = "variant")]
    pub variants: Vec<Variant>,
}

/// `[scenario]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct About {
    /// Its name in reports; that of its file without one.
    pub name: String,
    /// One line for `--list`.
    pub description: String,
    /// The longest that it may take, in the guest's time.
    pub timeout: Length,
    /// The longest that it may take, in the host's time.
    pub wall_timeout: Length,
    /// Why it is not run at all.
    pub skip: Option<String>,
}

impl Default for About {
    fn default() -> Self {
        About {
            name: String::new(),
            description: String::new(),
            timeout: Length::seconds(60),
            wall_timeout: Length::seconds(300),
            skip: None,
        }
    }
}

/// `machine`: a file of a machine, or a table with its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineAt {
    /// The file.
    File(PathBuf),
    /// The machine itself.
    Here(Box<MachineConfig>),
}

impl<'de> Deserialize<'de> for MachineAt {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = MachineAt;

            fn expecting(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
                to.write_str("the name of a machine's file, or a table with a machine's keys")
            }

            fn visit_str<E>(self, name: &str) -> Result<MachineAt, E> {
                Ok(MachineAt::File(name.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MachineAt, A::Error> {
                MachineConfig::deserialize(MapAccessDeserializer::new(map))
                    .map(|it| MachineAt::Here(it.into()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// `[guest]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Guest {
    /// Debian packages in the guest's root, beside those that every root has.
    pub packages: Vec<String>,
    /// Files that are copied: where to in the guest, and from where on the host.
    pub files: BTreeMap<String, PathBuf>,
    /// Folders that are shared, read-only, by their tags: found in the guest as `/mnt/TAG`.
    pub share: BTreeMap<String, PathBuf>,
    /// Environment of every step.
    pub env: BTreeMap<String, String>,
}

impl Scenario {
    /// The folder in which a scenario's file lies.
    pub fn folder_of(path: &Path) -> PathBuf {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new(".")).to_path_buf()
    }
}
