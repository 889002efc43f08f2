//! The GPU: its rings, and its face to the PCI adapter.

use std::any::Any;

use fencepost_trace::{EngineSpec, Role};

use super::config::GpuConfig;
use super::mmu::Mmu;
use super::registers::{self, Global, Reg};
use super::ring::{Context, NEVER_NS, Outcome, Ring};
use crate::changes::{Changes, changed};
use crate::cost::CostModel;
use crate::function::{Counter, Doorbell, Function, Identity, Ids, Inbox, Registers, Words};
use crate::parameters::Parameters;
use crate::ports::Ports;
use crate::registers::Half;
use crate::sg;
use crate::state::{SavedState, pack};

/// The GPU's device id.
pub const DEVICE_ID: u16 = 1;

/// The device core. Timer token `n` is ring `n`'s.
#[derive(Debug)]
pub struct Gpu {
    pub(super) cost: CostModel,
    pub(super) rings: [Ring; registers::RINGS as usize],
    pub(super) mmu: Mmu,
}

impl Gpu {
    /// A GPU after power-on.
    pub fn new(config: GpuConfig) -> Self {
        Gpu { cost: config.cost(), rings: Default::default(), mmu: Mmu::default() }
    }

    fn on_ring(
        &mut self,
        index: usize,
        ports: &mut Ports<'_>,
        act: impl FnOnce(&mut Ring, &mut Context<'_, '_>) -> Outcome,
    ) {
        let Some(ring) = self.rings.get_mut(index) else { return };
        let mut cx = Context { index: index as u32, cost: &self.cost, mmu: &mut self.mmu, ports };
        if act(ring, &mut cx) == Outcome::LookAgain {
            self.look_again(ports);
        }
    }

    /// Lets every waiting ring look at its semaphore. A wait that ends starts the ring's next packet, and no packet ends
    /// when it starts, so once round is enough.
    fn look_again(&mut self, ports: &mut Ports<'_>) {
        for (index, ring) in (0u32..).zip(&mut self.rings) {
            ring.look_again(&mut Context { index, cost: &self.cost, mmu: &mut self.mmu, ports });
        }
    }

    fn global(&self, register: Global) -> u64 {
        match register {
            Global::Id => registers::ID_VALUE.into(),
            Global::Version => registers::VERSION_VALUE.into(),
            Global::Caps => registers::CAPS_VALUE.into(),
            Global::Rings => registers::RINGS.into(),
            Global::RingMaxPackets => registers::RING_MAX_PACKETS.into(),
            Global::SgMaxEntries => sg::SG_MAX_ENTRIES.into(),
            Global::MaxDimension => registers::MAX_DIMENSION_PX.into(),
            Global::Vectors => registers::VECTORS.into(),
            Global::FixedCycles => self.cost.fixed_cycles,
            Global::BytesPerCycle => self.cost.bytes_per_cycle.get().into(),
            Global::PollCycles => registers::POLL_CYCLES.into(),
            Global::ErrorRings => self.error_rings().into(),
            Global::Control | Global::TlbInvalidate => 0,
            Global::CopyRings => registers::COPY_RINGS_VALUE.into(),
            Global::ContextTable => self.mmu.table,
            Global::ContextCount => self.mmu.contexts.into(),
        }
    }

    /// Writes half of a register that is not a ring's.
    fn write_global(&mut self, register: Global, half: Half, value: u32) {
        match register {
            Global::ContextTable => self.mmu.table = half.put(self.mmu.table, value),
            Global::ContextCount => self.mmu.contexts = value,
            Global::TlbInvalidate if value & registers::INVALIDATE_ALL != 0 => self.mmu.invalidate_all(),
            Global::TlbInvalidate => self.mmu.invalidate(value),
            _ => {}
        }
    }

    fn error_rings(&self) -> u32 {
        (0u32..)
            .zip(&self.rings)
            .filter(|(_, ring)| ring.halt.is_some())
            .fold(0, |bits, (index, _)| bits | 1u32.wrapping_shl(index))
    }
}

impl Words for Gpu {
    fn read(&mut self, offset: u32, _ports: &mut Ports<'_>) -> u32 {
        let Some(place) = registers::MAP.at(offset) else { return 0 };
        place.read(match place.register.id {
            Reg::Global(register) => self.global(register),
            Reg::Ring(register) => self.rings.get(place.index).map_or(0, |ring| ring.read(register)),
        })
    }

    fn write(&mut self, offset: u32, value: u32, ports: &mut Ports<'_>) {
        let Some(place) = registers::MAP.at(offset) else { return };
        let Some(value) = place.write(value) else { return };
        match place.register.id {
            Reg::Global(Global::Control) if value & registers::CONTROL_RESET != 0 => self.reset(ports),
            Reg::Global(register) => self.write_global(register, place.half, value),
            Reg::Ring(register) => {
                self.on_ring(place.index, ports, |ring, cx| ring.write(register, place.half, value, cx));
            }
        }
    }
}

impl Function for Gpu {
    fn identity(&self) -> Identity {
        Identity {
            name: "gpu",
            ids: Ids::fencepost(DEVICE_ID),
            class: 0x03_80_00,
            revision: 1,
            engines: &[EngineSpec { name: "gpu", role: Role::Processor }],
            ..Identity::registers_and_msix(registers::REGISTERS_BYTES, registers::VECTORS)
        }
    }

    fn registers(&mut self) -> Registers<'_> {
        Registers::Words(self)
    }

    fn doorbells(&self) -> Vec<Doorbell> {
        registers::MAP
            .offsets(Reg::Ring(registers::Ring::Doorbell))
            .map(|offset| Doorbell { offset, bytes: 4, value: None })
            .collect()
    }

    fn inbox(&mut self) -> Option<&mut dyn Inbox> {
        None
    }

    fn timer(&mut self, token: u32, ports: &mut Ports<'_>) {
        self.on_ring(token as usize, ports, Ring::timer);
    }

    fn reset(&mut self, ports: &mut Ports<'_>) {
        for (index, ring) in (0u32..).zip(&mut self.rings) {
            ring.stop(&mut Context { index, cost: &self.cost, mmu: &mut self.mmu, ports });
            *ring = Ring::default();
        }
        self.mmu = Mmu::default();
    }

    fn save_state(&self) -> SavedState {
        pack(self)
    }

    fn rearm(&self, ports: &mut Ports<'_>) {
        for (index, ring) in (0u32..).zip(&self.rings) {
            if let Some(active) = ring.active.as_ref().filter(|active| active.due_ns != NEVER_NS) {
                ports.clock.call_at(active.due_ns, index);
            }
        }
    }

    fn counters(&self) -> Vec<Counter> {
        let sum = |count: fn(&Ring) -> u64| self.rings.iter().map(count).fold(0, u64::saturating_add);
        vec![
            Counter { name: "packets", value: sum(|ring| ring.packets) },
            Counter { name: "errors", value: sum(|ring| ring.error_count.into()) },
        ]
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

impl Changes for Gpu {
    const KEYS: &'static [&'static str] = &["latency", "bytes-per-cycle"];

    fn change(&mut self, changes: &Parameters, _: &mut Ports<'_>) -> Result<(), String> {
        let CostModel { fixed_cycles, bytes_per_cycle } = self.cost;
        self.cost = changed(&GpuConfig { fixed_cycles, bytes_per_cycle }, changes)?.cost();
        Ok(())
    }
}
