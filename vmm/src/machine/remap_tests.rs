//! Interrupts on their way through the IOMMU's table: pins, messages, and what is refused.

use std::sync::Arc;

use fencepost_devices::pci::PciRoot;
use fencepost_firmware::layout;
use fencepost_softcpu::code::CodePages;
use vm_memory::{Bytes, GuestAddress};

use super::irq::SoftInterrupts;
use super::log::EventLog;
use super::remap::Remapping;
use super::time::TimeBase;
use super::{Machine, Parts, memory};

const TABLE: u64 = 0x10_0000;
/// The CPU's vector of entry 3, and that of the fault event.
const VECTOR: u8 = 0x51;
const FAULT_VECTOR: u8 = 0x55;
/// Index 3 in remappable format (bit 48), in a redirection entry's bits 49 to 63.
const INDEX_3: u64 = 3 << 49 | 1 << 48;

fn unit_write(machine: &mut Machine, offset: u64, value: u32) {
    machine.write_mmio(layout::DMAR_UNIT + offset, &value.to_le_bytes());
}

/// A machine whose unit remaps interrupts; entry 3, of the I/O APIC alone, has these low bits beside P and the vector.
fn machine(entry: u64) -> Machine {
    let memory = memory::map(memory::MEMORY_MIN_BYTES).expect("mapped");
    let mut machine = Machine::new(Parts {
        code: Arc::new(CodePages::new(memory::end(&memory))),
        memory,
        time: TimeBase::virtual_from_zero(),
        interrupts: Box::<SoftInterrupts>::default(),
        console: Box::new(std::io::sink()),
        control: Arc::default(),
        log: EventLog::new(100),
        pci: PciRoot::new(),
        iommu: Remapping::vtd_with_interrupts(),
    });
    let low = 1 | u64::from(VECTOR) << 16 | entry;
    // SVT 1: requester f0:1f.0 exactly.
    for (at, word) in [(TABLE + 48, low), (TABLE + 56, 1 << 18 | 0xf0f8)] {
        machine.memory().write_obj(word, GuestAddress(at)).expect("memory");
    }
    // The fault event, IRTA with 256 entries, SIRTP, IRE.
    for (offset, value) in [(0x3c, FAULT_VECTOR.into()), (0x40, 0xfee0_0000), (0x38, 0)] {
        unit_write(&mut machine, offset, value);
    }
    for (offset, value) in [(0xb8, TABLE as u32 | 7), (0x18, 1 << 24), (0x18, 1 << 25)] {
        unit_write(&mut machine, offset, value);
    }
    machine
}

fn set_entry(machine: &mut Machine, pin: u32, value: u64) {
    for (index, half) in [(0x11 + 2 * pin, (value >> 32) as u32), (0x10 + 2 * pin, value as u32)] {
        machine.write_mmio(layout::IOAPIC, &index.to_le_bytes());
        machine.write_mmio(layout::IOAPIC + 0x10, &half.to_le_bytes());
    }
}

/// Vector and trigger mode of what comes to the CPU.
fn taken(machine: &mut Machine) -> Vec<(u8, bool)> {
    machine.take_messages().iter().map(|message| (message.vector, message.level)).collect()
}

#[test]
fn a_pin_sends_what_its_entry_of_the_table_says() {
    let mut machine = machine(0);
    set_entry(&mut machine, 4, INDEX_3 | 4);
    machine.interrupts.pulse(4);
    assert_eq!(taken(&mut machine), [(VECTOR, false)]);
}

#[test]
fn a_level_ends_by_the_io_apics_own_register() {
    const LEVEL: u64 = 1 << 15;
    // TM in the table's entry.
    let mut machine = machine(1 << 4);
    set_entry(&mut machine, 17, INDEX_3 | LEVEL | 17);
    machine.interrupts.set_line(17, true);
    assert_eq!(taken(&mut machine), [(VECTOR, true)]);
    machine.interrupts.end_of_interrupt(VECTOR);
    assert_eq!(taken(&mut machine), [], "the pin has another vector than the CPU");
    machine.write_mmio(layout::IOAPIC + 0x40, &17u32.to_le_bytes());
    assert_eq!(taken(&mut machine), [(VECTOR, true)], "it is still asserted");
}

#[test]
fn what_is_refused_comes_as_the_units_fault_event() {
    let mut machine = machine(0);
    // In compatibility format.
    set_entry(&mut machine, 4, 0x31);
    machine.interrupts.pulse(4);
    assert_eq!(taken(&mut machine), [(FAULT_VECTOR, false)]);
    let mut reason = [0; 8];
    machine.read_mmio(layout::DMAR_UNIT + 0x228, &mut reason);
    let record = u64::from_le_bytes(reason);
    assert_eq!((record >> 63, record >> 32 & 0xff, record as u16), (1, 0x25, 0xf0f8));
}
