//! The DSDT: the PCI root, the serial port and the S5 state.

use acpi_tables::aml::{
    AddressSpace, AddressSpaceCacheable, Device, EISAName, IO, Interrupt, Memory32Fixed, Name, Package,
    PackageBuilder, Path, ResourceTemplate, Scope,
};
use acpi_tables::sdt::Sdt;

use super::{OEM, OEM_REVISION, OEM_TABLE, Table, bytes_of};
use crate::layout;

/// Present, enabled, shown, working (`_STA`).
const STATUS_WORKING: u8 = 0xf;

/// With so many serial ports beside the console.
pub(super) fn build(more_serial: usize) -> Table {
    let mut sdt = Sdt::new(*b"DSDT", 36, 6, OEM, OEM_TABLE, OEM_REVISION);
    sdt.append_slice(&sleep_state());
    sdt.append_slice(&system_bus(more_serial));
    Table(sdt)
}

/// `\_S5`: what the sleep control register takes to power off.
fn sleep_state() -> Vec<u8> {
    let package = Package::new(vec![&layout::S5_SLP_TYP, &0u8, &0u8, &0u8]);
    bytes_of(&Name::new(Path::new("_S5_"), &package))
}

fn system_bus(more_serial: usize) -> Vec<u8> {
    let console = (layout::SERIAL_PORT, layout::SERIAL_GSI);
    let ports: Vec<(u16, u32)> =
        [console].into_iter().chain(layout::MORE_SERIAL).take(more_serial.saturating_add(1)).collect();
    let shared = |gsi: u32| ports.iter().filter(|(_, other)| *other == gsi).count() > 1;
    let serial =
        (0u8..).zip(&ports).flat_map(|(index, &(port, gsi))| serial_port(index, port, gsi, shared(gsi)));
    let devices = [pci_root(), reserved_resources(), serial.collect()].concat();
    Scope::raw(Path::new("\\_SB_"), devices)
}

/// The PCIe root: bus 0, the windows for BARs, and where interrupt pins lead.
fn pci_root() -> Vec<u8> {
    let high = AddressSpace::new_memory(
        AddressSpaceCacheable::NotCacheable,
        true,
        layout::PCI_HIGH_WINDOW.start,
        layout::PCI_HIGH_WINDOW.end - 1,
        None,
    );
    let ports = AddressSpace::new_io(layout::PCI_PORTS.start, layout::PCI_PORTS.end - 1, None);
    let window = AddressSpace::new_memory(
        AddressSpaceCacheable::NotCacheable,
        true,
        layout::PCI_WINDOW.start as u32,
        (layout::PCI_WINDOW.end - 1) as u32,
        None,
    );
    let buses = AddressSpace::new_bus_number(0u16, 0u16);
    bytes_of(&Device::new(
        Path::new("PCI0"),
        vec![
            &Name::new(Path::new("_HID"), &EISAName::new("PNP0A08")),
            &Name::new(Path::new("_CID"), &EISAName::new("PNP0A03")),
            &Name::new(Path::new("_UID"), &0u8),
            &Name::new(Path::new("_SEG"), &0u8),
            &Name::new(Path::new("_BBN"), &0u8),
            &Name::new(Path::new("_CRS"), &ResourceTemplate::new(vec![&buses, &ports, &window, &high])),
            &Name::new(Path::new("_PRT"), &interrupt_routes()),
        ],
    ))
}

/// `_PRT` (6.2.13): the global system interrupt of each pin in each slot.
fn interrupt_routes() -> PackageBuilder {
    /// Any function of the slot.
    const EVERY_FUNCTION: u32 = 0xffff;
    let mut routes = PackageBuilder::new();
    for (slot, pin) in (1..32u8).flat_map(|slot| (0..4u8).map(move |pin| (slot, pin))) {
        let address = u32::from(slot) << 16 | EVERY_FUNCTION;
        routes.add_element(&Package::new(vec![&address, &pin, &0u8, &layout::pci_gsi(slot, pin)]));
    }
    routes
}

/// The ECAM as a motherboard resource, where Linux looks for its confirmation.
fn reserved_resources() -> Vec<u8> {
    let ecam =
        Memory32Fixed::new(true, layout::ECAM.start as u32, (layout::ECAM.end - layout::ECAM.start) as u32);
    bytes_of(&Device::new(
        Path::new("MBRD"),
        vec![
            &Name::new(Path::new("_HID"), &EISAName::new("PNP0C02")),
            &Name::new(Path::new("_UID"), &0u8),
            &Name::new(Path::new("_CRS"), &ResourceTemplate::new(vec![&ecam])),
        ],
    ))
}

/// A 16550: edge-triggered, active high.
fn serial_port(index: u8, port: u16, gsi: u32, shared: bool) -> Vec<u8> {
    const NAMES: [&str; 1 + layout::MORE_SERIAL_MAX] = ["COM1", "COM2", "COM3", "COM4"];
    let ports = IO::new(port, port, 1, 8);
    let interrupt = Interrupt::new(true, true, false, shared, gsi);
    bytes_of(&Device::new(
        Path::new(NAMES[usize::from(index)]),
        vec![
            &Name::new(Path::new("_HID"), &EISAName::new("PNP0501")),
            &Name::new(Path::new("_UID"), &index),
            &Name::new(Path::new("_STA"), &STATUS_WORKING),
            &Name::new(Path::new("_CRS"), &ResourceTemplate::new(vec![&ports, &interrupt])),
        ],
    ))
}
