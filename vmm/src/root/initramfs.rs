//! Makes the initramfs that brings a kernel from its start to a root: the few modules that it takes, busybox, and a script.
//!
//! Whatever costs the guest time is done on the host: modules are unpacked, and their signatures, which the guest would hash to no
//! end, are cut off (docs/boot.md).

use fencepost_firmware::unpack::{Method, unpack};

use super::cpio::Cpio;
use super::modules::Modules;
use crate::config::IommuKind;
use crate::error::HostError;

const INIT: &str = include_str!("init.sh");
const START: &str = include_str!("start.sh");
/// Runs the commands of `fencepost test`.
const AGENT: &str = include_str!("agent.sh");
const NETWORK: &str = include_str!("network.sh");

/// Where the guest finds its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An image on the virtio disk in this PCI slot.
    Disk(u8),
    /// A folder that is shared by virtio-fs, with this tag.
    Shared(String),
}

impl Place {
    /// The modules for it, and for what is mounted over it.
    fn modules(&self) -> &'static [&'static str] {
        match self {
            Place::Disk(_) => &["virtio_pci", "virtio_blk", "erofs", "overlay"],
            Place::Shared(_) => &["virtio_pci", "virtiofs", "overlay"],
        }
    }

    /// The script that mounts it.
    fn script(&self) -> String {
        let (kind, source) = match self {
            // Its name depends on the machine's other disks.
            Place::Disk(slot) => {
                let path = format!("/sys/bus/pci/devices/0000:00:{slot:02x}.0/virtio*/block/*");
                ("erofs", format!("/dev/$(cd {path} && /bin/busybox basename \"$PWD\")"))
            }
            Place::Shared(tag) => ("virtiofs", tag.clone()),
        };
        format!(
            "/bin/busybox mount -t {kind} -o ro \"{source}\" /lower || stuck \"the root cannot be mounted: {kind}\"\n"
        )
    }
}

/// What the guest does in its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// A login shell on the console.
    Shell,
    /// A command for `/bin/sh`.
    Command(String),
    /// What the host says over the channel of the virtio console.
    Agent,
}

impl Task {
    fn script(&self) -> String {
        match self {
            Task::Shell => "if [ -x /bin/bash ]; then exec /bin/bash -l; fi\nexec /bin/sh -l\n".to_string(),
            Task::Command(command) => format!("{command}\n"),
            Task::Agent => AGENT.to_string(),
        }
    }

    /// The modules for it.
    fn modules(&self) -> &'static [&'static str] {
        match self {
            Task::Agent => &["virtio_console", "virtiofs"],
            _ => &[],
        }
    }
}

/// What the guest has beside its task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// It runs commands of the host's, as [`Task::Agent`] does.
    pub agent: bool,
    /// Its network devices get addresses by DHCP.
    pub network: bool,
    /// The IOMMU of its machine. Devices wait for the driver of virtio's, so that it cannot come from one of them.
    pub iommu: IommuKind,
}

impl Beside {
    /// The modules for it, of those that there are.
    fn modules(self, there: &Modules) -> Vec<&'static str> {
        const DRIVER: &str = "virtio_iommu";
        // A kernel that does not have it leaves the devices with physical addresses.
        let wanted = self.iommu == IommuKind::Virtio && there.has(DRIVER);
        let iommu: &[_] = if wanted { &[DRIVER] } else { &[] };
        let agent = if self.agent { Task::Agent.modules() } else { &[] };
        let network: &[_] = if self.network { &["virtio_net"] } else { &[] };
        [iommu, agent, network].concat()
    }
}

/// The initramfs for a kernel with `modules`; `busybox` is a static one.
///
/// # Errors
///
/// A module is missing or damaged.
pub fn build(
    modules: &Modules,
    busybox: &[u8],
    place: &Place,
    (task, beside): (&Task, Beside),
) -> Result<Vec<u8>, HostError> {
    let mut cpio = Cpio::default();
    ["bin", "dev", "lower", "modules", "root", "sys", "written"]
        .iter()
        .for_each(|folder| cpio.folder(folder));
    cpio.file("bin/busybox", 0o755, busybox);
    cpio.file("init", 0o755, INIT.as_bytes());
    cpio.file("mount", 0o644, place.script().as_bytes());
    cpio.file("start", 0o644, START.as_bytes());
    cpio.file("command", 0o644, task.script().as_bytes());
    if beside.agent {
        cpio.file("agent", 0o644, AGENT.as_bytes());
    }
    if beside.network {
        cpio.file("network", 0o755, NETWORK.as_bytes());
    }
    let mut order = String::new();
    for module in modules.closure(&[place.modules(), task.modules(), &beside.modules(modules)].concat())? {
        cpio.file(&format!("modules/{}.ko", module.name), 0o644, without_signature(&module.bytes));
        order.push_str(&format!("{}.ko\n", module.name));
    }
    cpio.file("modules/order", 0o644, order.as_bytes());
    Ok(cpio.finish())
}

/// What ends a signed module; before it come 12 bytes, of which the last four are the signature's length, big endian
/// (Linux, include/linux/module_signature.h).
const SIGNED: &[u8] = b"~Module signature appended~\n";

/// A module as it was before it was signed.
fn without_signature(module: &[u8]) -> &[u8] {
    let unsigned = || {
        let before = module.strip_suffix(SIGNED)?;
        let (rest, length) = before.split_last_chunk::<4>()?;
        let end = rest.len().checked_sub(8)?.checked_sub(u32::from_be_bytes(*length) as usize)?;
        module.get(..end)
    };
    unsigned().unwrap_or(module)
}

/// The most bytes that a module is unpacked to.
const MODULE_MAX: u64 = 256 << 20;

/// Unpacks a module's file by what it begins with.
pub(crate) fn unpacked(bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
    match Method::of(&bytes) {
        Ok(_) => unpack(&bytes, MODULE_MAX).map_err(std::io::Error::other),
        Err(_) => Ok(bytes),
    }
}
