//! What is known of a host once it was probed.

use std::path::PathBuf;

use serde::Serialize;

/// Everything that the report is made of.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    /// `/dev/kvm`, and what is behind it.
    pub kvm: Device,
    /// The kernel module that would make `/dev/kvm`; none when the processor does not offer virtualization.
    pub kvm_module: Option<&'static str>,
    /// The folder that `ci/kernel` fills.
    pub cache: PathBuf,
    /// The kernels that `ci/kernel` can put there.
    pub kernels: Vec<Kernel>,
    /// The programs that build a guest module and are not on the PATH.
    pub missing_tools: Vec<&'static str>,
}

/// `/dev/kvm`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "device", rename_all = "kebab-case")]
pub enum Device {
    /// There is no such file.
    Absent,
    /// It is there, but not for this user.
    Refused {
        /// The group, other than root, whose members may open it.
        group: Option<String>,
    },
    /// It is there and does not open for another reason.
    Broken {
        /// What the kernel said.
        why: String,
    },
    /// It opens.
    Opens {
        /// How fast it runs kernel code.
        kernel_mode: Speed,
        /// What it says about itself.
        capabilities: Vec<Capability>,
    },
}

/// How fast KVM runs kernel code.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Speed {
    /// Million instructions a second, measured.
    Mips(f64),
    /// The measurement ended with this error: KVM runs nothing.
    Failed(String),
}

/// One answer of KVM_CHECK_EXTENSION.
#[derive(Clone, Debug, Serialize)]
pub struct Capability {
    /// What it is, in a word or two.
    pub name: &'static str,
    /// Whether this KVM has it.
    pub there: bool,
    /// Whether `--accel kvm` cannot do without.
    pub needed: bool,
}

/// A kernel's place in the cache.
#[derive(Clone, Debug, Serialize)]
pub struct Kernel {
    /// The link's name in the cache.
    pub name: &'static str,
    /// The command that fetches it.
    pub fetch: &'static str,
    /// The folder that the link leads to, if it leads to one.
    pub folder: Option<PathBuf>,
    /// The release, from its file `version`.
    pub version: String,
    /// The parts that should be in the folder and are not.
    pub lacks: Vec<&'static str>,
}

impl Kernel {
    /// Whether modules can be built for it and it can be booted.
    pub fn whole(&self) -> bool {
        self.folder.is_some() && self.lacks.is_empty()
    }
}
