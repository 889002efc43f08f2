//! The IOMMU's place in the machine: there or not, and its register page on the memory bus.

use fencepost_devices::faults::FaultSpec;
use fencepost_devices::function::Counter;
use fencepost_devices::iommu::{Iommu, Surroundings};
use fencepost_devices::pci::{DmaRequest, GpaRange, MsiWrite, Outbox, Translation, Untranslated};
use fencepost_devices::ports::{DmaFault, Gpa};
use fencepost_devices::virtio_iommu::Unit;
use vm_memory::GuestMemoryMmap;

use super::Machine;
use super::events::Call;
use super::ports::CallTrace;

/// What stands between devices and memory.
pub enum Remapping {
    /// Nothing: every address is physical.
    Off,
    /// A VT-d unit.
    Vtd(Box<Iommu>),
    /// The unit of the virtio IOMMU, which is one of the functions.
    Virtio(Unit),
}

impl Remapping {
    /// A VT-d unit after power-on.
    pub fn vtd() -> Self {
        Remapping::Vtd(Box::default())
    }

    /// The same, but it can remap interrupts, too.
    pub fn vtd_with_interrupts() -> Self {
        Remapping::Vtd(Box::new(Iommu::remapping_interrupts()))
    }

    /// What the unit has counted; none where there is none, or a function counts for it.
    pub fn counters(&self) -> Option<Vec<Counter>> {
        match self {
            Remapping::Off | Remapping::Virtio(_) => None,
            Remapping::Vtd(unit) => Some(unit.counters()),
        }
    }

    /// What the unit was told to have, how many occasions that has seen, and how often it took place.
    pub fn faults(&self) -> Vec<(FaultSpec, u64, u64)> {
        match self {
            Remapping::Off => Vec::new(),
            Remapping::Virtio(unit) => unit.faults(),
            Remapping::Vtd(unit) => {
                unit.requested.all().map(|(spec, seen, struck)| (spec.clone(), seen, struck)).collect()
            }
        }
    }

    /// What the unit's events would send now; none where masked.
    pub fn open_events(&self) -> [Option<MsiWrite>; 2] {
        match self {
            Remapping::Off | Remapping::Virtio(_) => [None; 2],
            Remapping::Vtd(unit) => unit.open_events(),
        }
    }
}

impl Translation for Remapping {
    fn translate(
        &mut self,
        request: &DmaRequest,
        memory: &GuestMemoryMmap,
        ranges: &mut Vec<GpaRange>,
        out: &mut Outbox<'_>,
    ) -> Result<(), DmaFault> {
        match self {
            Remapping::Off => Untranslated.translate(request, memory, ranges, out),
            Remapping::Vtd(unit) => unit.translate(request, memory, ranges, out),
            Remapping::Virtio(unit) => unit.translate(request, memory, ranges, out),
        }
    }
}

impl Machine {
    /// Reads the unit's registers; false when there is none.
    pub(super) fn read_remapping(&mut self, offset: u64, data: &mut [u8]) -> bool {
        match &self.iommu {
            Remapping::Off | Remapping::Virtio(_) => false,
            Remapping::Vtd(unit) => {
                unit.read(offset, data);
                true
            }
        }
    }

    /// Writes the unit's registers; false when there is none.
    pub(super) fn write_remapping(&mut self, offset: u64, data: &[u8]) -> bool {
        self.on_remapping(|unit, around| unit.write(offset, data, around))
    }

    /// What becomes of a message on its way to the CPU; `None` if the unit refuses it.
    pub(super) fn remap_interrupt(&mut self, message: MsiWrite) -> Option<MsiWrite> {
        let now = self.time.now();
        let Remapping::Vtd(unit) = &mut self.iommu else { return Some(message) };
        let mut trace = CallTrace { now, log: &mut self.log };
        let mut out = Outbox { trace: &mut trace, messages: &mut self.messages, now_ns: now.ns };
        unit.remap_interrupt(message, &self.memory, &mut out)
    }

    /// The unit's queue goes on after it has waited.
    pub(super) fn remapping_goes_on(&mut self) {
        self.on_remapping(Iommu::go_on);
    }

    /// Has the virtio IOMMU tell its driver of what it has refused.
    pub(super) fn remapping_reports(&mut self) {
        let Remapping::Virtio(unit) = &self.iommu else { return };
        if let Some((rid, token, at_ns)) = unit.take_call() {
            self.queue.schedule(at_ns, 0, Call { rid, token });
        }
    }

    /// Calls the unit with its surroundings, then sends the messages that it raised; false when there is none.
    fn on_remapping(&mut self, act: impl FnOnce(&mut Iommu, &mut Surroundings<'_>)) -> bool {
        let now = self.time.now();
        let Remapping::Vtd(unit) = &mut self.iommu else { return false };
        let code = &self.code;
        let mut trace = CallTrace { now, log: &mut self.log };
        let mut around = Surroundings {
            memory: &self.memory,
            written: &|gpa: Gpa, len| code.written(gpa.0, len),
            out: Outbox { trace: &mut trace, messages: &mut self.messages, now_ns: now.ns },
        };
        let open_before = unit.open_events();
        act(unit, &mut around);
        match unit.goes_on_ns() {
            Some(at_ns) => self.queue.schedule(at_ns, 0, Call::IOMMU),
            None => self.queue.cancel(Call::IOMMU),
        }
        if unit.open_events() != open_before {
            self.follow_routes();
        }
        self.send_messages();
        true
    }
}
