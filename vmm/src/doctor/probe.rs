//! Looks at the host. Nothing is judged here, and nothing is changed.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{env, fs};

use kvm_ioctls::{Cap, Kvm};

use super::facts::{Capability, Device, Facts, Kernel, Speed};
use crate::cache;
use crate::error::plain;
use crate::speed;

const NODE: &str = "/dev/kvm";

/// Each capability that matters here; the flag says whether `--accel kvm` cannot do without.
const CAPABILITIES: [(Cap, &str, bool); 11] = [
    (Cap::UserMemory, "user memory", true),
    (Cap::Irqchip, "irqchip", true),
    (Cap::SignalMsi, "MSI signal", true),
    (Cap::SetTssAddr, "TSS address", true),
    (Cap::ExtCpuid, "CPUID model", true),
    (Cap::MpState, "CPU state", true),
    (Cap::TscDeadlineTimer, "TSC deadline", false),
    (Cap::GetTscKhz, "TSC frequency", true),
    (Cap::TscControl, "TSC scaling", false),
    (Cap::Irqfd, "irqfd", false),
    (Cap::Ioeventfd, "ioeventfd", false),
];

/// What `ci/kernel` leaves in each kernel's folder, the last is there when kbuild's package is.
const PARTS: [&str; 5] = ["version", "vmlinuz", "modules/modules.dep", "headers/Makefile", "headers/scripts"];

/// Probes everything.
pub fn facts() -> Facts {
    let cache = cache::folder().unwrap_or_default();
    let kernels =
        vec![kernel(&cache, "kernel", "ci/kernel"), kernel(&cache, "kernel-stable", "ci/kernel --stable")];
    let missing_tools = ["gcc-12", "make"].into_iter().filter(|name| !on_path(name)).collect();
    Facts { kvm: device(), kvm_module: kvm_module(), cache, kernels, missing_tools }
}

/// Probes only `/dev/kvm`.
pub fn kvm_facts() -> Facts {
    let (kernels, missing_tools) = (Vec::new(), Vec::new());
    Facts { kvm: device(), kvm_module: kvm_module(), cache: PathBuf::new(), kernels, missing_tools }
}

fn device() -> Device {
    let meta = match fs::metadata(NODE) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Device::Absent,
        Err(error) => return Device::Broken { why: plain(&error) },
    };
    if let Err(error) = fs::File::options().read(true).write(true).open(NODE) {
        return match error.kind() {
            ErrorKind::PermissionDenied => {
                let may = meta.gid() != 0 && meta.mode() & 0o060 == 0o060;
                Device::Refused { group: may.then(|| group_name(meta.gid())) }
            }
            _ => Device::Broken { why: plain(&error) },
        };
    }
    let kvm = match Kvm::new() {
        Ok(kvm) => kvm,
        Err(error) => return Device::Broken { why: plain(&error.into()) },
    };
    let capabilities = CAPABILITIES
        .map(|(cap, name, needed)| Capability { name, there: kvm.check_extension(cap), needed })
        .into();
    Device::Opens { kernel_mode: speed::measure().map_or_else(Speed::Failed, Speed::Mips), capabilities }
}

/// The group's name, or its number when it has none.
fn group_name(gid: u32) -> String {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let of = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_string();
        (fields.nth(1)?.parse() == Ok(gid)).then_some(name)
    };
    groups.lines().find_map(of).unwrap_or_else(|| gid.to_string())
}

fn kvm_module() -> Option<&'static str> {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut words = text.lines().find(|line| line.starts_with("flags"))?.split_whitespace();
    words.find_map(|word| match word {
        "vmx" => Some("kvm_intel"),
        "svm" => Some("kvm_amd"),
        _ => None,
    })
}

fn kernel(cache: &Path, name: &'static str, fetch: &'static str) -> Kernel {
    // A user without a home has no cache.
    let there = !cache.as_os_str().is_empty();
    let folder = there.then(|| fs::canonicalize(cache.join(name)).ok()).flatten();
    let read = |folder: &PathBuf| fs::read_to_string(folder.join("version")).unwrap_or_default();
    let version = folder.as_ref().map(read).unwrap_or_default().trim().to_string();
    let lacks = |folder: &PathBuf| PARTS.into_iter().filter(|part| !folder.join(part).exists()).collect();
    let lacks = folder.as_ref().map(lacks).unwrap_or_default();
    Kernel { name, fetch, folder, version, lacks }
}

fn on_path(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let runs = |file: PathBuf| {
        fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&path).any(|folder| runs(folder.join(name)))
}
