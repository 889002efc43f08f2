//! A function on the machine's bus: configuration, registers, timed calls, DMA and messages.

use std::any::Any;

use fencepost_devices::function::{
    Counter, Doorbell, Function, Identity, Ids, Inbox, Registers, VENDOR_ID, Words,
};
use fencepost_devices::pci::odd_card::OddCard;
use fencepost_devices::pci::requester_id;
use fencepost_devices::ports::{DmaExt, Iova, Ports};
use fencepost_devices::state::{SavedState, unpack};
use fencepost_firmware::layout;
use fencepost_softcpu::bus::{Bus, Flow};
use fencepost_softcpu::code::CodePages;
use fencepost_time::Cycles;
use fencepost_trace::Event;
use vm_memory::{Bytes, GuestAddress};

use super::irq::SoftInterrupts;
use super::log::EventLog;
use super::time::TimeBase;
use super::*;

const SLOT: u8 = 5;
const TARGET: u64 = 0x5000;

/// Writing `n` to register 0 asks for a call in `n` nanoseconds; the call stores the time by DMA and raises vector 0.
struct AlarmClock;

impl Words for AlarmClock {
    fn read(&mut self, offset: u32, _: &mut Ports<'_>) -> u32 {
        0x1000 + offset
    }
    fn write(&mut self, _: u32, value: u32, ports: &mut Ports<'_>) {
        let at = ports.clock.now().ns + u64::from(value);
        ports.clock.call_at(at, 3);
    }
}

impl Function for AlarmClock {
    fn identity(&self) -> Identity {
        Identity {
            name: "alarm clock",
            ids: Ids::fencepost(0x77),
            class: 0x088000,
            revision: 1,
            ..Identity::registers_and_msix(4096, 1)
        }
    }
    fn registers(&mut self) -> Registers<'_> {
        Registers::Words(self)
    }

    fn timer(&mut self, token: u32, ports: &mut Ports<'_>) {
        let now = ports.clock.now().ns;
        ports.dma.write_u64(Iova(TARGET), now << 8 | u64::from(token)).expect("RAM");
        ports.msi.raise(0);
    }
    fn reset(&mut self, _: &mut Ports<'_>) {}
    fn doorbells(&self) -> Vec<Doorbell> {
        Vec::new()
    }

    fn inbox(&mut self) -> Option<&mut dyn Inbox> {
        None
    }
    fn save_state(&self) -> SavedState {
        SavedState { kind: "alarm clock".into(), version: 1, bytes: Vec::new() }
    }
    fn rearm(&self, _: &mut Ports<'_>) {}
    fn counters(&self) -> Vec<Counter> {
        Vec::new()
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

fn machine() -> Machine {
    with_function(Box::new(AlarmClock))
}

fn with_function(function: Box<dyn Function>) -> Machine {
    let mut pci = PciRoot::new();
    pci.add(SLOT, function).expect("free");
    pci.assign_bars(&map::pci_windows()).expect("fits");
    Machine::new(parts(pci, SoftInterrupts::default()))
}

fn parts(pci: PciRoot, interrupts: SoftInterrupts) -> Parts {
    let memory = memory::map(memory::MEMORY_MIN_BYTES).expect("mapped");
    Parts {
        code: Arc::new(CodePages::new(memory::end(&memory))),
        memory,
        time: TimeBase::virtual_from_zero(),
        interrupts: Box::new(interrupts),
        console: Box::new(std::io::sink()),
        control: Arc::default(),
        log: EventLog::new(100),
        pci,
        iommu: Remapping::Off,
    }
}

fn config(register: u64) -> u64 {
    layout::ECAM.start + (u64::from(requester_id(SLOT)) << 12) + register
}

fn read_config(machine: &mut Machine, register: u64) -> u32 {
    let mut word = [0; 4];
    machine.read_mmio(config(register), &mut word);
    u32::from_le_bytes(word)
}

/// Switches on memory decoding, bus mastering and MSI-X with vector 0 set to 0x66; gives both BARs.
fn enable(machine: &mut Machine) -> (u64, u64) {
    const MEMORY_AND_BUS_MASTER: u32 = 6;
    machine.write_mmio(config(4), &MEMORY_AND_BUS_MASTER.to_le_bytes());
    let bars = (u64::from(read_config(machine, 0x10)), u64::from(read_config(machine, 0x18)));
    for (offset, value) in [(0, 0xfee0_0000u32), (4, 0), (8, 0x66), (12, 0)] {
        machine.write_mmio(bars.1 + offset, &value.to_le_bytes());
    }
    let mut capability = u64::from(read_config(machine, 0x34) & 0xff);
    while capability != 0 {
        let header = read_config(machine, capability);
        if header & 0xff == 0x11 {
            machine.write_mmio(config(capability), &(header | 1 << 31).to_le_bytes());
        }
        capability = u64::from(header >> 8 & 0xff);
    }
    bars
}

#[test]
fn configuration_space_is_behind_ecam() {
    let mut machine = machine();
    assert_eq!(read_config(&mut machine, 0), 0x77 << 16 | u32::from(VENDOR_ID));
    let mut absent = [0; 4];
    machine.read_mmio(layout::ECAM.start + (31 << 15), &mut absent);
    assert_eq!(absent, [0xff; 4]);
}

#[test]
fn registers_answer_only_while_decoding_is_on() {
    let mut machine = machine();
    let bar = u64::from(read_config(&mut machine, 0x10));
    let mut word = [0; 4];
    machine.read_mmio(bar + 8, &mut word);
    assert_eq!(word, [0xff; 4]);
    enable(&mut machine);
    machine.read_mmio(bar + 8, &mut word);
    assert_eq!(u32::from_le_bytes(word), 0x1008);
    assert_eq!(machine.unclaimed().mmio, 1);
}

#[test]
fn a_timed_call_comes_when_due_and_its_effects_are_seen() {
    let mut machine = machine();
    let (registers, _) = enable(&mut machine);
    machine.code().set_holds_code(TARGET / 4096, true);
    assert_eq!(machine.cpu_deadline(), Cycles::MAX);
    assert_eq!(
        machine.mmio_write(Cycles(1000), registers, &500u32.to_le_bytes()),
        Flow::Yield,
        "a new, earlier event"
    );
    assert_eq!(machine.cpu_deadline(), Cycles(1500));
    machine.set_cycles(Cycles(1499));
    machine.run_due();
    assert!(machine.take_messages().is_empty(), "not yet");
    machine.set_cycles(Cycles(1500));
    machine.run_due();
    assert_eq!(machine.take_messages().iter().map(|m| m.vector).collect::<Vec<_>>(), [0x66]);
    let stored: u64 = machine.memory().read_obj(GuestAddress(TARGET)).expect("RAM");
    assert_eq!(stored, 1500 << 8 | 3);
    assert_eq!(machine.code().take_written(usize::MAX), [TARGET / 4096], "code there is stale now");
    assert_eq!(machine.next_event_ns(), None);
}

#[test]
fn a_call_for_now_is_made_but_the_cpu_still_gets_on() {
    let mut machine = machine();
    let (registers, _) = enable(&mut machine);
    machine.mmio_write(Cycles(1000), registers, &0u32.to_le_bytes());
    assert_eq!(machine.cpu_deadline(), Cycles(1001));
}

#[test]
fn events_have_the_time_of_the_access_and_the_cpu_that_made_it() {
    let mut machine = machine();
    let (registers, _) = enable(&mut machine);
    machine.runs(3);
    machine.mmio_write(Cycles(4321), registers, &500u32.to_le_bytes());
    let remains = machine.finish();
    let last = remains.log.recorder.records().last().expect("recorded").clone();
    assert_eq!(last.stamp, Stamp { cycles: 4321, ns: 4321 });
    let rid = requester_id(SLOT);
    assert_eq!(last.event, Event::RegisterWrite { cpu: 3, rid, offset: 0, value: 500 });
}

/// The odd card: ports from 0xc000 on, and INTB# of slot 5, which is pin 16 + (5 + 1) mod 8 of the I/O APIC.
const CARD_PORT: u16 = 0xc000;
const CARD_PIN: u32 = 22;

fn machine_with_card() -> Machine {
    let mut machine = with_function(Box::new(OddCard::conventional()));
    machine.write_mmio(config(4), &7u32.to_le_bytes());
    // Vector 0x51, level-triggered.
    for (select, value) in [(0x10 + 2 * CARD_PIN, 1u32 << 15 | 0x51), (0x11 + 2 * CARD_PIN, 0)] {
        machine.write_mmio(layout::IOAPIC, &select.to_le_bytes());
        machine.write_mmio(layout::IOAPIC + 0x10, &value.to_le_bytes());
    }
    machine
}

fn vectors(machine: &mut Machine) -> Vec<u8> {
    machine.take_messages().iter().map(|message| message.vector).collect()
}

#[test]
fn ports_of_a_function_answer_whole_accesses() {
    let mut machine = machine_with_card();
    let mut word = [0; 4];
    machine.port_read(Cycles(1), CARD_PORT + 4, &mut word);
    assert_eq!(word, [4, 5, 6, 7]);
    machine.write_mmio(config(4), &6u32.to_le_bytes());
    machine.port_read(Cycles(2), CARD_PORT + 4, &mut word);
    assert_eq!((word, machine.unclaimed().ports.len()), ([0xff; 4], 4), "ports are off: nobody's bytes");
}

#[test]
fn an_asserted_line_interrupts_until_it_is_released() {
    let mut machine = machine_with_card();
    assert_eq!(machine.port_write(Cycles(1), CARD_PORT, &[1]), Flow::Yield);
    assert_eq!(vectors(&mut machine), [0x51]);
    machine.end_of_interrupt(Cycles(2), 0x51, true);
    assert_eq!(vectors(&mut machine), [0x51], "still asserted");
    machine.port_write(Cycles(3), CARD_PORT, &[0]);
    machine.end_of_interrupt(Cycles(4), 0x51, true);
    assert_eq!(vectors(&mut machine), [0u8; 0]);
    machine.write_mmio(config(4), &0x407u32.to_le_bytes());
    machine.port_write(Cycles(5), CARD_PORT, &[1]);
    assert_eq!(vectors(&mut machine), [0u8; 0], "INTx is disabled");
    machine.write_mmio(config(4), &7u32.to_le_bytes());
    assert_eq!(vectors(&mut machine), [0x51]);
}

#[test]
fn a_line_of_a_restored_machine_is_as_it_was() {
    let mut machine = machine_with_card();
    machine.port_write(Cycles(1), CARD_PORT, &[1]);
    assert_eq!(vectors(&mut machine), [0x51]);
    let state = machine.save().expect("soft");
    let interrupts = SoftInterrupts::restore(&state.ioapic).expect("possible");
    let pci = unpack::<PciRoot>(vec![Box::new(OddCard::conventional())], &state.pci).expect("possible");
    let before = (state.ioapic.clone(), state.pci.clone());
    let mut machine = Machine::restore(parts(pci, interrupts), state).expect("possible");
    assert_eq!(vectors(&mut machine), [0u8; 0], "it was sent before");
    let after = machine.save().expect("soft");
    assert_eq!((after.ioapic, after.pci), before);
    machine.end_of_interrupt(Cycles(2), 0x51, true);
    assert_eq!(vectors(&mut machine), [0x51]);
}
