//! Machines for tests.

use std::sync::Arc;

use fencepost_softcpu::apic::InterruptMessage;
use fencepost_softcpu::code::CodePages;

use super::irq::SoftInterrupts;
use super::log::EventLog;
use super::remap::Remapping;
use super::saved::MachineState;
use super::time::TimeBase;
use super::{Machine, Parts, memory};
use crate::config::MachineConfig;
use crate::devices::HostFiles;

impl Machine {
    /// All interrupt messages that wait for the local APIC.
    pub fn take_messages(&mut self) -> Vec<InterruptMessage> {
        std::iter::from_fn(|| self.take_message()).collect()
    }
}

/// The machine of a command line without options, with the least memory, its console thrown away and the newest 1000
/// events kept.
pub fn standard() -> Machine {
    let memory = memory::map(memory::MEMORY_MIN_BYTES).expect("mapped");
    let pci = crate::devices::plug(&MachineConfig::default(), &mut HostFiles::default(), Vec::new())
        .expect("good options");
    Machine::new(Parts {
        code: Arc::new(CodePages::new(memory::end(&memory))),
        memory,
        time: TimeBase::virtual_from_zero(),
        interrupts: Box::<SoftInterrupts>::default(),
        console: Box::new(std::io::sink()),
        control: Arc::default(),
        log: EventLog::new(1000),
        pci,
        iommu: Remapping::vtd(),
    })
}

/// The machine that goes on from `state`, which is one of [`standard`]'s.
pub fn restored(state: MachineState) -> Machine {
    let memory = memory::map(memory::MEMORY_MIN_BYTES).expect("mapped");
    let pci = crate::devices::restore(&MachineConfig::default(), &mut HostFiles::default(), &state.pci);
    let parts = Parts {
        code: Arc::new(CodePages::new(memory::end(&memory))),
        memory,
        time: TimeBase::resume(&state.time).expect("possible"),
        interrupts: Box::new(SoftInterrupts::restore(&state.ioapic).expect("possible")),
        console: Box::new(std::io::sink()),
        control: Arc::default(),
        log: EventLog::new(1000),
        pci: pci.expect("possible"),
        iommu: Remapping::Off,
    };
    Machine::restore(parts, state).expect("possible")
}
