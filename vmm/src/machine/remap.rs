//! The IOMMU's place in the machine: there or not, and its register page on the memory bus.

use fencepost_devices::faults::FaultSpec;
use fencepost_devices::function::Counter;
use fencepost_devices::iommu::{Iommu, Surroundings};
use fencepost_devices::pci::{DmaRequest, GpaRange, MsiWrite, Outbox, Translation, Untranslated};
use fencepost_devices::ports::{DmaFault, Gpa};
use vm_memory::GuestMemoryMmap;

use super::Machine;
use super::events::Call;
use super::ports::CallTrace;

/// What stands between devices and memory.
pub enum Remapping {
    /// Nothing: every address is physical.
    Off,
    /// A VT-d unit.
    On(Box<Iommu>),
}

impl Remapping {
    /// A unit after power-on, or none.
    pub fn new(on: bool) -> Self {
        if on { Remapping::On(Box::default()) } else { Remapping::Off }
    }

    /// What the unit has counted; none without one.
    pub fn counters(&self) -> Option<Vec<Counter>> {
        match self {
            Remapping::Off => None,
            Remapping::On(unit) => Some(unit.counters()),
        }
    }

    /// What the unit was told to have, how many occasions that has seen, and how often it took place.
    pub fn faults(&self) -> Vec<(FaultSpec, u64, u64)> {
        match self {
            Remapping::Off => Vec::new(),
            Remapping::On(unit) => {
                unit.requested.all().map(|(spec, seen, struck)| (spec.clone(), seen, struck)).collect()
            }
        }
    }

    /// What the unit's events would send now; none where masked.
    pub fn open_events(&self) -> [Option<MsiWrite>; 2] {
        match self {
            Remapping::Off => [None; 2],
            Remapping::On(unit) => unit.open_events(),
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
            Remapping::On(unit) => unit.translate(request, memory, ranges, out),
        }
    }
}

impl Machine {
    /// Reads the unit's registers; false when there is none.
    pub(super) fn read_remapping(&mut self, offset: u64, data: &mut [u8]) -> bool {
        match &self.iommu {
            Remapping::Off => false,
            Remapping::On(unit) => {
                unit.read(offset, data);
                true
            }
        }
    }

    /// Writes the unit's registers; false when there is none.
    pub(super) fn write_remapping(&mut self, offset: u64, data: &[u8]) -> bool {
        self.on_remapping(|unit, around| unit.write(offset, data, around))
    }

    /// The unit's queue goes on after it has waited.
    pub(super) fn remapping_goes_on(&mut self) {
        self.on_remapping(Iommu::go_on);
    }

    /// Calls the unit with its surroundings, then sends the messages that it raised; false when there is none.
    fn on_remapping(&mut self, act: impl FnOnce(&mut Iommu, &mut Surroundings<'_>)) -> bool {
        let now = self.time.now();
        let Remapping::On(unit) = &mut self.iommu else { return false };
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
