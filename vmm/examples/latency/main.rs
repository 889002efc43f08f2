//! Latencies between a guest and a device on both back ends: `latency PATH_OF_THE_MICRO_GUEST [SAMPLES]`. ci/bench runs it.
//!
//! The guest (guest-tests/micro/latency.c) reads its TSC around each thing. The device stamps with the same counter: the
//! host's with the guest's offset under `kvm`, virtual cycles under `soft`.

mod probe;
mod table;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use fencepost::accel::Chosen;
use fencepost::backend::kvm::assist::Assists;
use fencepost::backend::moves::Plan;
use fencepost::backend::{self, End};
use fencepost::control::{Control, StopReason};
use fencepost::error::HostError;
use fencepost::kernel;
use fencepost::machine::log::EventLog;
use fencepost::machine::map::pci_windows;
use fencepost::machine::remap::Remapping;
use fencepost::machine::time::TimeBase;
use fencepost::machine::{GuestEnd, Machine, Parts, memory};
use fencepost::speed;
use fencepost_devices::pci::PciRoot;
use fencepost_firmware as firmware;
use fencepost_softcpu::code::CodePages;
use fencepost_softcpu::cpuid::CpuidConfig;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use probe::{Hiding, Probe};
use table::{KINDS, Measured};

/// The probe's slot, and where the guest leaves its samples, as latency.c has them.
const PROBE_SLOT: u8 = 1;
const SAMPLES: u64 = 0x100_0000;

const MEMORY_BYTES: u64 = 32 << 20;
const KVM_SAMPLES: u32 = 10_000;
/// Under `soft` every turn is like the other; a few show what there is to see.
const SOFT_SAMPLES: u32 = 1_000;
const TIME_LIMIT: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let (Some(guest), samples) = (arguments.get(1), arguments.get(2)) else {
        eprintln!("latency: name the micro-guest: latency PATH [SAMPLES]");
        return ExitCode::from(2);
    };
    let samples = match samples.map(|text| text.parse()) {
        None => KVM_SAMPLES,
        Some(Ok(count @ 1..=100_000)) => count,
        Some(_) => {
            eprintln!("latency: SAMPLES is a number from 1 to 100000");
            return ExitCode::from(2);
        }
    };
    match both(Path::new(guest), samples) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("latency: {error}");
            ExitCode::FAILURE
        }
    }
}

fn both(guest: &Path, samples: u32) -> Result<(), HostError> {
    let speed = speed::measure();
    let kvm = match &speed {
        Ok(_) => Some(measure(Chosen::Kvm, guest, samples)?),
        Err(_) => None,
    };
    let soft = measure(Chosen::Soft, guest, samples.min(SOFT_SAMPLES))?;
    table::print(&speed, kvm.as_ref(), &soft);
    Ok(())
}

/// Runs the guest once.
fn measure(chosen: Chosen, guest: &Path, samples: u32) -> Result<Measured, HostError> {
    let control = Arc::new(Control::default());
    let memory = memory::map(MEMORY_BYTES)?;
    let mut kernel = kernel::open(guest, MEMORY_BYTES, None, &mut |line| eprintln!("{line}"))?;
    let entry = firmware::load(&memory, &mut kernel.image, None, "", 1, &firmware::Options::default())
        .map_err(|error| HostError::Host(error.to_string()))?;
    let code = Arc::new(CodePages::new(memory::end(&memory)));
    let (mut back_end, time, interrupts) = backend::build(
        (chosen, CpuidConfig::default()),
        &Plan::new(),
        false,
        &memory,
        &code,
        &entry,
        &control,
    )?;
    let machine = Machine::new(Parts {
        memory: memory.clone(),
        code,
        time,
        interrupts: Box::new(Hiding(interrupts)),
        console: Box::new(std::io::stderr()),
        control: Arc::clone(&control),
        log: EventLog::new(0),
        pci: bus(Probe::new(samples, time))?,
        iommu: Remapping::Off,
    });
    let (over, limit) = channel::<()>();
    let watch = Arc::clone(&control);
    std::thread::spawn(move || {
        if limit.recv_timeout(TIME_LIMIT) == Err(RecvTimeoutError::Timeout) {
            watch.stop(StopReason::Timeout);
        }
    });
    let (_, ran) = back_end.run(machine, &control)?;
    drop(over);
    if ran.end != End::Guest(GuestEnd::Exit(0)) {
        return Err(HostError::Host(format!("the guest ended on {} with {:?}", chosen.name(), ran.end)));
    }
    read_samples(&memory, samples, time, ran.assists)
}

fn bus(probe: Probe) -> Result<PciRoot, HostError> {
    let failed = |error| HostError::Host(format!("PCI: {error}"));
    let mut root = PciRoot::new();
    root.add(PROBE_SLOT, Box::new(probe)).map_err(failed)?;
    root.assign_bars(&pci_windows()).map_err(failed)?;
    Ok(root)
}

fn read_samples(
    memory: &GuestMemoryMmap,
    samples: u32,
    time: TimeBase,
    assists: Assists,
) -> Result<Measured, HostError> {
    let mut words = vec![0u8; KINDS.len() * samples as usize * size_of::<i64>()];
    memory
        .read_slice(&mut words, GuestAddress(SAMPLES))
        .map_err(|error| HostError::Host(format!("the samples: {error}")))?;
    // Signed: the two counters of a stamp may differ by the last few cycles.
    let cycles: Vec<i64> =
        words.chunks_exact(8).map(|word| i64::from_le_bytes(word.try_into().expect("8 bytes"))).collect();
    let rows = cycles.chunks_exact(samples as usize).map(|row| {
        let mut row = row.to_vec();
        row.sort_unstable();
        row
    });
    Ok(Measured { rows: rows.collect(), samples, time, assists })
}
