//! The machine's fixed addresses, in one place for the firmware, the machine and the tests.

/// RAM from 0 up to here at most; the rest continues at [`HIGH_RAM`].
pub const LOW_RAM_END: u64 = 0xc000_0000;
/// The 32-bit window for PCI BARs, end exclusive.
pub const PCI_WINDOW: std::ops::Range<u64> = 0xc000_0000..0xe000_0000;
/// The window for 64-bit PCI BARs that find no room below 4 GiB: above all RAM, within 39 address bits. End exclusive.
pub const PCI_HIGH_WINDOW: std::ops::Range<u64> = 0x40_0000_0000..0x80_0000_0000;
/// The ports for PCI BARs, end exclusive.
pub const PCI_PORTS: std::ops::Range<u16> = 0xc000..0xf000;
/// ECAM of segment 0, bus 0 only: 1 MiB, end exclusive.
pub const ECAM: std::ops::Range<u64> = 0xe000_0000..0xe010_0000;
/// I/O APIC registers.
pub const IOAPIC: u64 = 0xfec0_0000;
/// What is written here is an interrupt message.
pub const MESSAGES: std::ops::Range<u64> = LAPIC..LAPIC + 0x10_0000;
/// Requester id of the I/O APIC: as on many chipsets a number that no PCI function has, f0:1f.0.
pub const IOAPIC_REQUESTER: u16 = 0xf0f8;
/// VT-d remapping unit registers: one 4 KiB page.
pub const DMAR_UNIT: u64 = 0xfed9_0000;
/// Local APIC page.
pub const LAPIC: u64 = 0xfee0_0000;
/// RAM beyond 4 GiB.
pub const HIGH_RAM: u64 = 0x1_0000_0000;

/// First port of the 16550 serial console.
pub const SERIAL_PORT: u16 = 0x3f8;
/// Its global system interrupt.
pub const SERIAL_GSI: u32 = 4;
/// Most serial ports beside the console.
pub const MORE_SERIAL_MAX: usize = 3;
/// Those: first port and global system interrupt of each, as PCs have them.
pub const MORE_SERIAL: [(u16, u32); MORE_SERIAL_MAX] = [(0x2f8, 3), (0x3e8, 4), (0x2e8, 3)];
/// First of the I/O APIC's pins that PCI functions' interrupt pins lead to.
pub const PCI_FIRST_GSI: u32 = 16;
/// Number of those pins.
pub const PCI_GSIS: u32 = 8;

/// The global system interrupt of interrupt pin `pin` (0: INTA#) in slot `slot` of bus 0.
pub const fn pci_gsi(slot: u8, pin: u8) -> u32 {
    PCI_FIRST_GSI + (slot as u32 + pin as u32) % PCI_GSIS
}

/// Exit port: a write of 1, 2 or 4 bytes ends the VM with the low byte as exit status.
pub const EXIT_PORT: u16 = 0xf4;
/// Mark port: a byte written here tells the VMM that the guest has reached the mark of this number.
pub const MARK_PORT: u16 = 0xf8;
/// ACPI sleep control register (hardware-reduced), one byte: SLP_EN (bit 5) with SLP_TYP 5 powers off.
pub const SLEEP_CONTROL_PORT: u16 = 0x600;
/// ACPI sleep status register, one byte.
pub const SLEEP_STATUS_PORT: u16 = 0x601;
/// ACPI reset register: a write of 1 resets (ends the VM).
pub const RESET_PORT: u16 = 0x602;
/// Trace port, four bytes: what is written to any of them is the guest's trace (`docs/trace-agent.md`).
pub const TRACE_PORT: std::ops::Range<u16> = 0x610..0x614;
/// What the trace port reads while the guest's trace is wanted, as little-endian u32: "FPT1". Otherwise zero.
pub const TRACE_WANTED: u32 = 0x3154_5046;
/// The SLP_TYP value of `_S5`.
pub const S5_SLP_TYP: u8 = 5;

/// PCI device number of the GPU, on bus 0; it is function 0 there, as are the others.
pub const GPU_SLOT: u8 = 1;
/// PCI device number of the camera.
pub const CAMERA_SLOT: u8 = 2;
/// PCI device number of the display.
pub const DISPLAY_SLOT: u8 = 3;

// Where the firmware puts what the guest finds at reset, all below 1 MiB.

/// Global descriptor table.
pub const BOOT_GDT: u64 = 0x500;
/// `boot_params`, the "zero page": one 4 KiB page.
pub const ZERO_PAGE: u64 = 0x7000;
/// The boot stack grows down from here (its room is 0x1000..0x7000).
pub const BOOT_STACK_TOP: u64 = 0x7000;
/// Identity-mapped page tables of the first 4 GiB: six 4 KiB pages.
pub const BOOT_PAGE_TABLES: u64 = 0x9000;
/// The kernel's command line, end exclusive.
pub const COMMAND_LINE: std::ops::Range<u64> = 0x2_0000..0x2_1000;
/// The list of `setup_data`, end exclusive.
pub const SETUP_DATA: std::ops::Range<u64> = 0x2_1000..0x2_2000;
/// Where low RAM ends below the legacy video and ROM hole.
pub const LEGACY_HOLE: u64 = 0xa_0000;
/// Where a kernel jumps to that restarts by the BIOS, behind the ACPI tables.
pub const RESTART_VECTOR: u64 = 0xf_fff0;
/// ACPI tables, end exclusive; the RSDP is at the start.
pub const ACPI_TABLES: std::ops::Range<u64> = 0xe_0000..0x10_0000;
/// The first byte above the legacy hole.
pub const ONE_MIB: u64 = 0x10_0000;
