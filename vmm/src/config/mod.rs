//! What a machine is made of, as plain data: the command line, a machine's file and a snapshot all describe it so.
//!
//! `docs/machine-file.md` is the schema. What belongs to one run on one host (time limits, where pictures and snapshots go)
//! is no part of it: see [`Launch`](crate::launch::Launch).

mod categories;
mod date;
mod devices;
mod file;
mod file_list;
#[cfg(test)]
mod file_tests;
mod iommu;
mod serial;
mod size;

use std::path::PathBuf;

use fencepost_devices::faults::FaultSpec;
use fencepost_firmware::layout::MORE_SERIAL_MAX;
use fencepost_softcpu::cpuid::CpuidConfig;
use fencepost_softcpu::model::Model;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use categories::Categories;
pub use date::Date;
pub use devices::{DeviceConfig, Plug, SLOTS, bad_slot};
pub use file::{files_from, parse, print, read};
pub(crate) use file::{in_our_words, line_of};
pub use iommu::IommuKind;
pub use serial::SerialEnd;
pub use size::{MEMORY_DEFAULT, MEMORY_MAX_BYTES, MEMORY_MIN_BYTES, Size, TRACE_LIMIT_DEFAULT};

/// Most virtual CPUs.
pub const CPUS_MAX: u32 = fencepost_softcpu::cpus::CPUS_MAX as u32;

/// The kernel command line when none is given: console on the serial port, and a panic ends the machine.
pub const COMMAND_LINE_DEFAULT: &str = "console=ttyS0 panic=-1 reboot=acpi";

/// A machine, from its memory to the kernel in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct MachineConfig {
    /// Guest RAM.
    #[serde(deserialize_with = "memory")]
    pub memory: Size,
    /// Virtual CPUs, 1 to [`CPUS_MAX`].
    #[serde(deserialize_with = "cpus")]
    pub cpus: u32,
    /// What the CPUs can do.
    pub cpu: Model,
    /// What runs the guest's CPU.
    pub accel: Accel,
    /// The IOMMU, if there is one.
    pub iommu: IommuKind,
    /// The seed by which the machine varies what hardware may vary, if it does.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "write_seed",
        deserialize_with = "read_seed"
    )]
    pub seed: Option<u64>,
    /// The date at power-on, from which the date clock runs; without it the clock stands still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<Date>,
    /// The serial ports beside the console, ttyS1 and up, at most 3, and where they lead on the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub serial: Vec<SerialEnd>,
    /// The faults that it has, in the order in which they are given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultSpec>,
    /// What is in its memory at the start.
    pub kernel: KernelConfig,
    /// What is recorded of it.
    pub tracing: TracingConfig,
    /// The devices on the PCI bus, in any order; those that every machine has unless told otherwise.
    pub devices: Vec<DeviceConfig>,
}

/// Which back end runs the guest's CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accel {
    /// Measure how fast KVM runs kernel code, and pick.
    #[default]
    Auto,
    /// The host's KVM.
    Kvm,
    /// The project's own software CPU: deterministic, needs no device node.
    Soft,
}

/// What is in the guest's memory at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct KernelConfig {
    /// Kernel: a vmlinux (ELF), packed or not, a bzImage or a unified kernel image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Initial RAM file systems, which the kernel unpacks in this order.
    #[serde(skip_serializing_if = "Vec::is_empty", with = "file_list")]
    pub initramfs: Vec<PathBuf>,
    /// Kernel command line. Without one it is that of a unified kernel image, else [`COMMAND_LINE_DEFAULT`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_line: Option<String>,
}

/// What is recorded, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct TracingConfig {
    /// The trace's file; nothing is recorded without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Which events are recorded.
    pub categories: Categories,
    /// The bytes that the file may take.
    #[serde(deserialize_with = "trace_limit")]
    pub limit: Size,
}

impl Default for MachineConfig {
    fn default() -> Self {
        MachineConfig {
            memory: MEMORY_DEFAULT,
            cpus: 1,
            cpu: Model::default(),
            accel: Accel::Auto,
            iommu: IommuKind::Vtd,
            seed: None,
            date: None,
            serial: Vec::new(),
            faults: Vec::new(),
            kernel: KernelConfig::default(),
            tracing: TracingConfig::default(),
            devices: devices::standard(),
        }
    }
}

impl Default for TracingConfig {
    fn default() -> Self {
        TracingConfig { file: None, categories: Categories::default(), limit: TRACE_LIMIT_DEFAULT }
    }
}

impl MachineConfig {
    /// All defaults, for a kernel.
    pub fn boot(kernel: impl Into<PathBuf>) -> Self {
        let kernel = KernelConfig { path: Some(kernel.into()), ..KernelConfig::default() };
        MachineConfig { kernel, ..MachineConfig::default() }
    }

    /// What its CPUs answer to CPUID, but for the frequency.
    pub fn cpuid(&self) -> CpuidConfig {
        CpuidConfig { cpus: self.cpus, model: self.cpu, ..CpuidConfig::default() }
    }

    /// What a snapshot of the machine holds of its description: memory has the kernel, and a run its own trace.
    pub fn without_host_files(&self) -> Self {
        let kernel = KernelConfig { path: None, initramfs: Vec::new(), ..self.kernel.clone() };
        let serial = vec![SerialEnd::Null; self.serial.len()];
        MachineConfig { kernel, tracing: TracingConfig::default(), serial, ..self.clone() }
    }

    /// The machine of a snapshot, run on the back end and with the tracing of this one. Its shared folders are those that this one
    /// shares by the same tags; its faults are those of both.
    #[must_use]
    pub fn run_as(&self, mut saved: MachineConfig) -> MachineConfig {
        let tag = |device: &DeviceConfig| device.parameters.get("tag").cloned();
        for device in saved.devices.iter_mut().filter(|device| device.kind == "virtio-fs") {
            let mut ours =
                self.devices.iter().filter(|own| own.kind == "virtio-fs" && tag(own) == tag(device));
            if let Some(dir) = ours.next().and_then(|own| own.parameters.get("dir")) {
                device.parameters.insert("dir".to_string(), dir.clone());
            }
        }
        let mut serial = saved.serial.clone();
        serial.iter_mut().zip(&self.serial).for_each(|(end, now)| *end = now.clone());
        let faults = saved.faults.iter().chain(&self.faults).cloned().collect();
        MachineConfig { accel: self.accel, tracing: self.tracing.clone(), serial, faults, ..saved }
    }

    /// Checks what serde has not: that every device is one that there is, with parameters that it takes, in a slot of its own.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, as part of a line.
    pub fn check(&self) -> Result<(), String> {
        self.memory.of_memory().map_err(|why| format!("memory {}: {why}", self.memory))?;
        self.tracing.limit.of_trace().map_err(|why| format!("limit {}: {why}", self.tracing.limit))?;
        check_cpus(self.cpus)?;
        if self.serial.len() > MORE_SERIAL_MAX {
            return Err(format!(
                "{} serial ports: there are 3 beside the console, ttyS1 to ttyS3",
                self.serial.len()
            ));
        }
        self.wrong_device().map_or(Ok(()), |wrong| Err(wrong.why))
    }
}

pub(crate) fn check_cpus(cpus: u32) -> Result<(), String> {
    let why = || format!("cpus = {cpus}: write a whole number from 1 to {CPUS_MAX}");
    (1..=CPUS_MAX).contains(&cpus).then_some(()).ok_or_else(why)
}

fn memory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
    Size::deserialize(deserializer)?.of_memory().map_err(D::Error::custom)
}

fn trace_limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
    Size::deserialize(deserializer)?.of_trace().map_err(D::Error::custom)
}

fn cpus<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let cpus = u32::deserialize(deserializer)?;
    check_cpus(cpus).map_err(D::Error::custom)?;
    Ok(cpus)
}

/// A number of TOML has 63 bits; a larger seed is written as text.
fn write_seed<S: Serializer>(seed: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    match seed.map(i64::try_from) {
        None => serializer.serialize_none(),
        Some(Ok(small)) => serializer.serialize_i64(small),
        Some(Err(_)) => serializer.collect_str(&seed.unwrap_or_default()),
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "write a whole number from 0 to 18446744073709551615, as text if 2^63 or more")]
enum Seed {
    Number(u64),
    Text(String),
}

fn read_seed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match Option::<Seed>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Seed::Number(number)) => Ok(Some(number)),
        Some(Seed::Text(text)) => {
            let wrong =
                |_| D::Error::custom(format!("'{text}': write a whole number from 0 to {}", u64::MAX));
            text.parse().map(Some).map_err(wrong)
        }
    }
}
