//! A device that always has more to do at one moment of the guest's does not keep the host from ending the run.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fencepost_devices::function::{Counter, Doorbell, Function, Identity, Ids, Inbox, Registers, Words};
use fencepost_devices::pci::{PciRoot, requester_id};
use fencepost_devices::ports::Ports;
use fencepost_devices::state::SavedState;
use fencepost_firmware::layout;

use super::tests::{Step, machine, run_on};
use super::*;
use crate::machine::map;

const SLOT: u8 = 5;
const COMMAND: u64 = 4;
const BAR_0: u64 = 0x10;
const MEMORY: u32 = 2;
const AT_NS: u64 = 10_000;

/// A write asks for `calls` calls at [`AT_NS`]; each asks for itself again, and the seventh of all has the machine stopped.
struct Endless {
    control: Arc<Control>,
    calls: u32,
    made: Arc<AtomicU32>,
}

impl Words for Endless {
    fn read(&mut self, _: u32, _: &mut Ports<'_>) -> u32 {
        0
    }
    fn write(&mut self, _: u32, _: u32, ports: &mut Ports<'_>) {
        (0..self.calls).for_each(|token| ports.clock.call_at(AT_NS, token));
    }
}

impl Function for Endless {
    fn identity(&self) -> Identity {
        let ids = Ids::fencepost(0x78);
        Identity { name: "endless", ids, class: 0x088000, ..Identity::registers_and_msix(4096, 1) }
    }
    fn registers(&mut self) -> Registers<'_> {
        Registers::Words(self)
    }
    fn timer(&mut self, token: u32, ports: &mut Ports<'_>) {
        ports.clock.call_at(ports.clock.now().ns, token);
        if self.made.fetch_add(1, Ordering::Relaxed) == 6 {
            self.control.stop(StopReason::Timeout);
        }
    }
    fn reset(&mut self, _: &mut Ports<'_>) {}
    fn doorbells(&self) -> Vec<Doorbell> {
        Vec::new()
    }
    fn inbox(&mut self) -> Option<&mut dyn Inbox> {
        None
    }
    fn save_state(&self) -> SavedState {
        SavedState { kind: "endless".into(), version: 1, bytes: Vec::new() }
    }
    fn rearm(&self, _: &mut Ports<'_>) {}
    fn counters(&self) -> Vec<Counter> {
        Vec::new()
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

#[test]
fn a_reason_to_stop_waits_for_one_call_of_a_device() {
    for calls in [1, 4] {
        let (control, made) = (Arc::<Control>::default(), Arc::<AtomicU32>::default());
        let device = Endless { control: Arc::clone(&control), calls, made: Arc::clone(&made) };
        let mut pci = PciRoot::new();
        pci.add(SLOT, Box::new(device)).expect("free");
        pci.assign_bars(&map::pci_windows()).expect("fits");
        let config = layout::ECAM.start + (u64::from(requester_id(SLOT)) << 12);
        let (mut machine, mut bar) = (machine(pci, &control), [0; 4]);
        machine.read_mmio(config + BAR_0, &mut bar);
        let registers = u64::from(u32::from_le_bytes(bar));
        let steps =
            vec![Step::Mmio(config + COMMAND, MEMORY), Step::Mmio(registers, 1), Step::Work(1_000_000)];
        let (ran, _) = run_on(machine, steps, &control);
        assert_eq!(ran.end, End::Host(StopReason::Timeout));
        // The calls of one time are a round: the seventh is in the middle of one of four.
        assert_eq!(made.load(Ordering::Relaxed), 7, "rounds of {calls}");
        // An instruction between two rounds, and one by which a CPU that does not look itself is late.
        assert!(ran.cpus.current().cycles.0 <= AT_NS + 7, "{}", ran.cpus.current().cycles.0);
    }
}
