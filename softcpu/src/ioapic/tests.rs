use super::*;
use crate::apic::InterruptMessage;

/// Writes both halves of a redirection entry through the indirect window, high half first as Linux does.
fn set_entry(ioapic: &mut IoApic, pin: u32, value: u64) -> Vec<PinMessage> {
    let _ = ioapic.write(0x00, 0x11 + 2 * pin);
    let _ = ioapic.write(0x10, (value >> 32) as u32);
    let _ = ioapic.write(0x00, 0x10 + 2 * pin);
    ioapic.write(0x10, value as u32)
}

fn decoded(message: PinMessage) -> InterruptMessage {
    InterruptMessage::from_msi(message.address, message.data).unwrap()
}

fn low(ioapic: &mut IoApic, pin: u32) -> u32 {
    let _ = ioapic.write(0x00, 0x10 + 2 * pin);
    ioapic.read(0x10)
}

#[test]
fn the_version_register_names_24_pins_and_an_eoi_register() {
    let mut ioapic = IoApic::new(2);
    let _ = ioapic.write(0x00, 1);
    assert_eq!(ioapic.read(0x10), 0x0017_0020);
}

#[test]
fn an_edge_pin_sends_one_message_for_each_rising_edge() {
    let mut ioapic = IoApic::new(0);
    // Fixed, physical, destination 1, vector 0x41.
    assert!(set_entry(&mut ioapic, 4, 0x0100_0000_0000_0041).is_empty());
    let message = decoded(ioapic.set_pin(4, true).unwrap());
    assert_eq!((message.destination, message.vector, message.level), (1, 0x41, false));
    assert_eq!(ioapic.set_pin(4, true), None);
    assert_eq!(ioapic.set_pin(4, false), None);
    assert!(ioapic.set_pin(4, true).is_some());
}

#[test]
fn a_masked_edge_is_lost() {
    let mut ioapic = IoApic::new(0);
    set_entry(&mut ioapic, 4, 0x1_0041);
    assert_eq!(ioapic.set_pin(4, true), None);
    assert!(set_entry(&mut ioapic, 4, 0x41).is_empty());
}

#[test]
fn a_level_pin_sends_again_at_eoi_while_it_is_asserted() {
    let mut ioapic = IoApic::new(0);
    set_entry(&mut ioapic, 9, 0x8051);
    assert!(ioapic.set_pin(9, true).is_some_and(|m| decoded(m).level));
    assert_eq!(low(&mut ioapic, 9), 0xc051, "remote IRR is bit 14");
    assert_eq!(ioapic.set_pin(9, true), None, "remote IRR holds it back");
    assert!(ioapic.end_of_interrupt(0x52).is_empty(), "another vector");
    assert_eq!(ioapic.end_of_interrupt(0x51).len(), 1);
    let _ = ioapic.set_pin(9, false);
    assert!(ioapic.write(0x40, 0x51).is_empty(), "the EOI register, and the pin is idle");
    assert_eq!(low(&mut ioapic, 9), 0x8051);
}

#[test]
fn unmasking_an_asserted_level_pin_sends_its_message() {
    let mut ioapic = IoApic::new(0);
    set_entry(&mut ioapic, 9, 0x1_8051);
    assert_eq!(ioapic.set_pin(9, true), None);
    assert_eq!(set_entry(&mut ioapic, 9, 0x8051).len(), 1);
}

#[test]
fn read_only_bits_of_an_entry_cannot_be_written() {
    let mut ioapic = IoApic::new(0);
    set_entry(&mut ioapic, 0, u64::MAX);
    assert_eq!(low(&mut ioapic, 0), 0x0001_afff);
    let _ = ioapic.write(0x00, 0x11);
    assert_eq!(ioapic.read(0x10), 0xffff_0000);
}

#[test]
fn an_entry_in_remappable_format_sends_its_index() {
    let mut ioapic = IoApic::new(0);
    // Index 0x8123: bits 0 to 14 in 49..64, bit 15 in 11; format in 48; the vector is the pin's number.
    set_entry(&mut ioapic, 4, 0x123 << 49 | 1 << 48 | 1 << 11 | 4);
    let message = ioapic.set_pin(4, true).unwrap();
    // Of the address: index in 5..20 and 2, format in 4, no subhandle (3).
    assert_eq!(message.address, 0xfee0_0000 | 0x123 << 5 | 1 << 4 | 1 << 2);
}

#[test]
fn a_logical_entry_sends_to_a_logical_destination() {
    let mut ioapic = IoApic::new(0);
    // Lowest priority, logical, destination 3.
    set_entry(&mut ioapic, 4, 3 << 56 | 1 << 11 | 1 << 8 | 0x41);
    let message = decoded(ioapic.set_pin(4, true).unwrap());
    assert_eq!((message.destination, message.logical, message.vector), (3, true, 0x41));
    assert_eq!(message.delivery_mode, crate::apic::DeliveryMode::LowestPriority);
}

#[test]
fn saving_and_restoring_changes_nothing_and_sends_nothing() {
    let mut ioapic = IoApic::new(3);
    set_entry(&mut ioapic, 9, 0x8051);
    let _ = ioapic.set_pin(9, true);
    let state = ioapic.save();
    let mut restored = IoApic::restore(&state).unwrap();
    assert_eq!(restored, ioapic);
    assert_eq!(restored.set_pin(9, true), None);
    assert_eq!(restored.save(), state);
    assert_eq!(IoApic::restore(&IoApicState { version: 2, ..state }), None);
}
