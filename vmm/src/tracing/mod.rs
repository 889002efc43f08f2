//! `--trace`: what is recorded, and the file it is streamed to while the machine runs.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use fencepost_devices::function::{Counter, Identity};
use fencepost_devices::pci::PciRoot;
use fencepost_trace::Accel;
use fencepost_trace::file::{CounterNames, EngineName, FunctionName, Header};

use crate::accel::Chosen;
use crate::config::{IommuKind, MachineConfig};
use crate::control::Control;
use crate::devices;
use crate::error::HostError;
use crate::launch::Launch;
use crate::machine::remap::Remapping;
use crate::machine::time::TimeBase;
use crate::outlet::{Full, open};
use crate::stream::Stream;

/// Opens the file of `--trace`, if there is one. What was in it stays until [`begin`]: the command may be refused yet.
pub fn create(launch: &Launch, control: &Control) -> Result<Option<File>, HostError> {
    let open = |path| open::for_writing(path, control).map_err(|error| refused(path, &error));
    launch.machine.tracing.file.as_deref().map(open).transpose()
}

/// Begins the trace in the file that [`create`] gave.
pub fn begin(
    launch: &Launch,
    (config, pci): (&MachineConfig, &PciRoot),
    file: File,
    accel: Chosen,
    time: &TimeBase,
    control: &Arc<Control>,
) -> Result<Stream, HostError> {
    let path = launch.machine.tracing.file.as_deref().unwrap_or(Path::new(""));
    let header = header(launch, config, pci, accel, time);
    if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        file.set_len(0).map_err(|error| refused(path, &error))?;
    }
    let full = if accel == Chosen::Soft { launch.slow_output } else { Full::Drop };
    Stream::begin(file, header, full, control).map_err(|error| refused(path, &error))
}

fn refused(path: &Path, error: &std::io::Error) -> HostError {
    HostError::output("--trace", path, error, "name a file that can be written")
}

fn header(launch: &Launch, config: &MachineConfig, pci: &PciRoot, accel: Chosen, time: &TimeBase) -> Header {
    let function = |(rid, identity): (u16, Identity)| FunctionName {
        rid,
        name: identity.name.to_string(),
        engines: identity.engines.iter().map(EngineName::from).collect(),
    };
    let functions: Vec<FunctionName> = pci.functions().map(function).collect();
    let mut header = Header {
        accel: match accel {
            Chosen::Soft => Accel::Soft,
            Chosen::Kvm => Accel::Kvm,
        },
        tsc_hz: time.hz(),
        categories: config.tracing.categories.list(),
        functions,
        counters: Vec::new(),
        costs: devices::costs(config),
        seed: config.seed,
        limit: Some(config.tracing.limit.0),
        snapshot: launch.restore.as_ref().map(|_| time.now().cycles),
        paced: (accel == Chosen::Soft).then_some(launch.realtime),
    };
    let names = |of: String, counters: Vec<Counter>| CounterNames {
        of,
        names: counters.into_iter().map(|counter| counter.name.to_string()).collect(),
    };
    let functions = pci.functions().zip(pci.counters());
    let functions = functions.map(|((rid, _), (_, counters))| names(header.function_label(rid), counters));
    let iommu = matches!(config.iommu, IommuKind::Vtd | IommuKind::Intremap)
        .then(|| Remapping::vtd().counters())
        .flatten();
    header.counters = functions.chain(iommu.map(|counters| names("iommu".to_string(), counters))).collect();
    header
}
