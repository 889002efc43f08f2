//! Who answers at which port and at which physical address: two tables, checked to be sorted and without overlap.

use std::ops::Range;

use fencepost_devices::pci::{CONFIG_PORTS, Windows};
use fencepost_firmware::layout;

use crate::machine::clock::CLOCK_PORTS;
use crate::machine::serial::SERIAL_PORTS;

/// What answers at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortTarget {
    /// Ends the VM with a status.
    Exit,
    /// Tells the host how far the guest has come.
    Mark,
    /// A 16550: 0 is the console.
    Serial(u8),
    /// The keyboard controller's reset command, which kernels fall back to.
    KeyboardController,
    /// The date.
    Clock,
    /// ACPI sleep control.
    SleepControl,
    /// ACPI sleep status.
    SleepStatus,
    /// ACPI reset.
    Reset,
    /// The guest's trace.
    Trace,
    /// Address and data of configuration space.
    PciConfig,
    /// BARs of the functions.
    PciPorts,
}

/// What answers at a guest-physical address outside RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MmioTarget {
    /// BARs of the functions.
    PciWindow,
    /// Configuration space.
    Ecam,
    /// The I/O APIC.
    IoApic,
    /// The VT-d unit's registers.
    Dmar,
    /// Messages that the CPU writes to the interrupt window itself.
    Messages,
}

/// Command port of the keyboard controller.
const KEYBOARD_COMMAND_PORT: u16 = 0x64;
const PAGE: u64 = 0x1000;

const fn more_serial(index: usize) -> Range<u16> {
    let first = layout::MORE_SERIAL[index].0;
    first..first + SERIAL_PORTS
}

/// Ports, end exclusive, in ascending order.
const PORTS: [(Range<u16>, PortTarget); 14] = [
    (KEYBOARD_COMMAND_PORT..KEYBOARD_COMMAND_PORT + 1, PortTarget::KeyboardController),
    (CLOCK_PORTS, PortTarget::Clock),
    (layout::EXIT_PORT..layout::EXIT_PORT + 1, PortTarget::Exit),
    (layout::MARK_PORT..layout::MARK_PORT + 1, PortTarget::Mark),
    (more_serial(2), PortTarget::Serial(3)),
    (more_serial(0), PortTarget::Serial(1)),
    (more_serial(1), PortTarget::Serial(2)),
    (layout::SERIAL_PORT..layout::SERIAL_PORT + SERIAL_PORTS, PortTarget::Serial(0)),
    (layout::SLEEP_CONTROL_PORT..layout::SLEEP_CONTROL_PORT + 1, PortTarget::SleepControl),
    (layout::SLEEP_STATUS_PORT..layout::SLEEP_STATUS_PORT + 1, PortTarget::SleepStatus),
    (layout::RESET_PORT..layout::RESET_PORT + 1, PortTarget::Reset),
    (layout::TRACE_PORT, PortTarget::Trace),
    (CONFIG_PORTS, PortTarget::PciConfig),
    (layout::PCI_PORTS, PortTarget::PciPorts),
];

/// Guest-physical addresses, end exclusive, in ascending order.
const MMIO: [(Range<u64>, MmioTarget); 6] = [
    (layout::PCI_WINDOW, MmioTarget::PciWindow),
    (layout::ECAM, MmioTarget::Ecam),
    (layout::IOAPIC..layout::IOAPIC + PAGE, MmioTarget::IoApic),
    (layout::DMAR_UNIT..layout::DMAR_UNIT + PAGE, MmioTarget::Dmar),
    // The CPU keeps its own APIC page; the rest of the megabyte is where MSIs are written.
    (layout::MESSAGES, MmioTarget::Messages),
    (layout::PCI_HIGH_WINDOW, MmioTarget::PciWindow),
];

/// Where firmware puts the functions' BARs.
pub fn pci_windows() -> Windows {
    Windows {
        memory: layout::PCI_WINDOW,
        high_memory: layout::PCI_HIGH_WINDOW,
        ports: layout::PCI_PORTS.start.into()..layout::PCI_PORTS.end.into(),
    }
}

/// The target of `port` and the offset into its range.
pub fn port(port: u16) -> Option<(PortTarget, u16)> {
    PORTS.iter().find(|(range, _)| range.contains(&port)).map(|(range, target)| (*target, port - range.start))
}

/// The target of `gpa` and the offset into its range.
pub fn mmio(gpa: u64) -> Option<(MmioTarget, u64)> {
    MMIO.iter().find(|(range, _)| range.contains(&gpa)).map(|(range, target)| (*target, gpa - range.start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::memory::MEMORY_MAX_BYTES;

    #[test]
    fn the_tables_are_sorted_and_do_not_overlap() {
        for pair in PORTS.windows(2) {
            assert!(pair[0].0.end <= pair[1].0.start, "{pair:?}");
        }
        for pair in MMIO.windows(2) {
            assert!(pair[0].0.end <= pair[1].0.start, "{pair:?}");
        }
    }

    #[test]
    fn no_register_is_where_ram_can_be() {
        for (range, target) in &MMIO {
            let between = range.start >= layout::LOW_RAM_END && range.end <= layout::HIGH_RAM;
            let above = range.start >= layout::HIGH_RAM + MEMORY_MAX_BYTES;
            assert!(between || above, "{target:?}");
        }
    }

    #[test]
    fn edges_of_ranges() {
        assert_eq!(port(0x3f7), None);
        assert_eq!(port(0x3f8), Some((PortTarget::Serial(0), 0)));
        assert_eq!(port(0x3ff), Some((PortTarget::Serial(0), 7)));
        assert_eq!(port(0x400), None);
        assert_eq!(mmio(0xbfff_ffff), None);
        assert_eq!(mmio(0xc000_0000), Some((MmioTarget::PciWindow, 0)));
        assert_eq!(mmio(0xe00f_ffff), Some((MmioTarget::Ecam, 0xf_ffff)));
        assert_eq!(mmio(0xe010_0000), None);
        assert_eq!(mmio(0xfec0_0010), Some((MmioTarget::IoApic, 0x10)));
    }
}
