//! The device under the stopwatch, and an interrupt controller that sends one of its vectors the other way.

use fencepost::error::HostError;
use fencepost::machine::irq::InterruptController;
use fencepost::machine::time::TimeBase;
use fencepost_devices::function::{Counter, Doorbell, Function, Identity, Ids, Inbox, Registers, Words};
use fencepost_devices::pci::{MsiSource, MsiWrite};
use fencepost_devices::ports::{Clock, DmaExt, Iova, Ports};
use fencepost_devices::state::SavedState;
use fencepost_softcpu::ioapic::IoApicState;

/// Registers of BAR 0, as guest-tests/micro/latency.c has them.
mod register {
    pub const COUNT: u32 = 0x00;
    pub const STAMP_ADDR: u32 = 0x08;
    pub const RING: u32 = 0x10;
    pub const BELL: u32 = 0x14;
    pub const LATER: u32 = 0x18;
}

/// Vector 0 goes by whatever way the back end prepares for it.
const VECTORS: u16 = 2;
/// Vector 1 is hidden from the back end's preparations.
const HIDDEN_VECTOR: u16 = 1;
/// From the guest's request for an interrupt to the interrupt: enough for a slow KVM's guest to come to its HLT.
const LATER_NS: u64 = 50_000;

/// Stamps doorbells, and raises vectors when asked.
pub struct Probe {
    count: u32,
    stamp_addr: u64,
    /// A clock to read at the very moment; without it the call's own time is taken, which is exact under `soft`.
    now: Option<TimeBase>,
}

impl Probe {
    /// A probe that has the guest take `count` samples of each kind.
    pub fn new(count: u32, time: TimeBase) -> Self {
        let now = matches!(time, TimeBase::Host { .. }).then_some(time);
        Probe { count, stamp_addr: 0, now }
    }

    fn cycles(&self, clock: &dyn Clock) -> u64 {
        self.now.map_or_else(|| clock.now().cycles, |time| time.now().cycles)
    }

    /// Leaves the present moment where the guest looks for it.
    fn stamp(&self, ports: &mut Ports<'_>) {
        let cycles = self.cycles(ports.clock);
        // A guest that gave a bad address waits for ever, and the time limit tells.
        let _ = ports.dma.write_u64(Iova(self.stamp_addr), cycles);
    }
}

impl Words for Probe {
    fn read(&mut self, offset: u32, _ports: &mut Ports<'_>) -> u32 {
        if offset == register::COUNT { self.count } else { 0 }
    }

    fn write(&mut self, offset: u32, value: u32, ports: &mut Ports<'_>) {
        match offset {
            register::STAMP_ADDR => self.stamp_addr = value.into(),
            register::RING | register::BELL => self.stamp(ports),
            register::LATER => {
                let at_ns = ports.clock.now().ns + LATER_NS;
                ports.clock.call_at(at_ns, value);
            }
            _ => {}
        }
    }
}

impl Function for Probe {
    fn identity(&self) -> Identity {
        Identity {
            name: "probe",
            ids: Ids::fencepost(0xfff0),
            class: 0xff_0000,
            revision: 0,
            ..Identity::registers_and_msix(4096, VECTORS)
        }
    }

    fn registers(&mut self) -> Registers<'_> {
        Registers::Words(self)
    }

    fn doorbells(&self) -> Vec<Doorbell> {
        vec![Doorbell { offset: register::BELL, bytes: 4, value: None }]
    }

    fn inbox(&mut self) -> Option<&mut dyn Inbox> {
        None
    }

    fn timer(&mut self, token: u32, ports: &mut Ports<'_>) {
        self.stamp(ports);
        ports.msi.raise(token as u16);
    }

    fn reset(&mut self, _ports: &mut Ports<'_>) {}

    fn save_state(&self) -> SavedState {
        SavedState { kind: "probe".into(), version: 1, bytes: Vec::new() }
    }

    fn rearm(&self, _ports: &mut Ports<'_>) {}

    fn counters(&self) -> Vec<Counter> {
        Vec::new()
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}

fn is_hidden(message: &MsiWrite) -> bool {
    matches!(message.source, MsiSource::Vector { vector: HIDDEN_VECTOR, .. })
}

/// A back end's delivery that never hears of [`HIDDEN_VECTOR`]'s route: it has to be sent as a message each time.
pub struct Hiding(pub Box<dyn InterruptController>);

impl InterruptController for Hiding {
    fn msi(&mut self, message: MsiWrite) {
        self.0.msi(message);
    }

    fn follow(&mut self, open: &dyn Fn() -> Vec<MsiWrite>) {
        self.0.follow(&|| open().into_iter().filter(|message| !is_hidden(message)).collect());
    }

    fn pulse(&mut self, gsi: u32) {
        self.0.pulse(gsi);
    }

    fn set_line(&mut self, gsi: u32, asserted: bool) {
        self.0.set_line(gsi, asserted);
    }

    fn read(&mut self, offset: u64) -> u32 {
        self.0.read(offset)
    }

    fn write(&mut self, offset: u64, value: u32) {
        self.0.write(offset, value);
    }

    fn end_of_interrupt(&mut self, vector: u8) {
        self.0.end_of_interrupt(vector);
    }

    fn waiting(&self) -> bool {
        self.0.waiting()
    }

    fn take(&mut self) -> Option<MsiWrite> {
        self.0.take()
    }

    fn save(&mut self) -> Result<IoApicState, HostError> {
        self.0.save()
    }
}
