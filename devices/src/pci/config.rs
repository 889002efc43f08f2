//! Configuration space as a table of registers (PCI Express Base Specification 5.0, chapter 7).

use crate::function::{Identity, VENDOR_ID};
use crate::registers::{Register, read_only, read_write};

use super::HOST_BRIDGE_DEVICE_ID;
use super::msix;

/// Offset of the command register.
pub const COMMAND: usize = 0x04;
/// Command: memory space enable.
pub const COMMAND_MEMORY: u32 = 1 << 1;
/// Command: bus master enable.
pub const COMMAND_BUS_MASTER: u32 = 1 << 2;
/// Offset of BAR 0, the registers.
pub const BAR0: usize = 0x10;
/// Offset of BAR 2, the MSI-X table and pending bits.
pub const BAR2: usize = 0x18;
/// Offset of the power management capability.
pub const PM: usize = 0x40;
/// Offset of its control and status register.
pub const PM_CONTROL: usize = PM + 4;
/// Offset of the MSI-X capability.
pub const MSIX: usize = 0x50;
/// Offset of its message control register.
pub const MSIX_CONTROL: usize = MSIX + 2;
/// MSI-X message control: all vectors masked.
pub const MSIX_FUNCTION_MASK: u32 = 1 << 14;
/// MSI-X message control: enabled.
pub const MSIX_ENABLE: u32 = 1 << 15;
/// Offset of the PCI Express capability.
pub const PCIE: usize = 0x60;
/// Offset of its device control register.
pub const PCIE_DEVICE_CONTROL: usize = PCIE + 8;
/// Device control: initiate function-level reset; reads as zero.
pub const PCIE_INITIATE_FLR: u32 = 1 << 15;

/// The registers of the host bridge at 00:00.0: a type 0 header and nothing to program.
pub fn host_bridge() -> Vec<Register> {
    vec![
        read_only("Vendor ID", 0x00, 2, VENDOR_ID as u64),
        read_only("Device ID", 0x02, 2, HOST_BRIDGE_DEVICE_ID as u64),
        read_write("Command", COMMAND, 2, 0, 0x0146),
        read_only("Status", 0x06, 2, 0),
        // Class 06 00 00: host bridge.
        read_only("Revision ID and Class Code", 0x08, 4, 0x0600_0000),
        read_write("Cache Line Size", 0x0c, 1, 0, 0xff),
        read_only("Header Type", 0x0e, 1, 0),
        read_only("Subsystem Vendor ID", 0x2c, 2, VENDOR_ID as u64),
        read_only("Subsystem ID", 0x2e, 2, HOST_BRIDGE_DEVICE_ID as u64),
    ]
}

/// The registers of a device function: type 0 header, power management, MSI-X, and PCI Express as a root-complex
/// integrated endpoint (so there is no link).
pub fn endpoint(identity: &Identity) -> Vec<Register> {
    let mut registers = header(identity);
    registers.extend(capabilities(identity.vectors));
    registers
}

fn header(identity: &Identity) -> Vec<Register> {
    let device_id = u64::from(identity.device_id);
    let class = u64::from(identity.class << 8 | u32::from(identity.revision));
    let registers_mask = u64::from(!identity.registers_bytes.saturating_sub(1));
    let table_mask = u64::from(!msix::bar_bytes(identity.vectors).saturating_sub(1));
    vec![
        read_only("Vendor ID", 0x00, 2, VENDOR_ID as u64),
        read_only("Device ID", 0x02, 2, device_id),
        // Memory space, bus master, parity error response, SERR#, interrupt disable.
        read_write("Command", COMMAND, 2, 0, 0x0546),
        // Capabilities list; error bits are cleared by writing ones.
        Register { name: "Status", offset: 0x06, width: 2, reset: 0x0010, writable: 0, clear: 0xf900 },
        read_only("Revision ID and Class Code", 0x08, 4, class),
        read_write("Cache Line Size", 0x0c, 1, 0, 0xff),
        read_only("Header Type", 0x0e, 1, 0),
        // 32-bit memory, not prefetchable; the bits below the size read as zero, which is how software sizes it.
        read_write("BAR 0", BAR0, 4, 0, registers_mask),
        read_write("BAR 2", BAR2, 4, 0, table_mask),
        read_only("Subsystem Vendor ID", 0x2c, 2, VENDOR_ID as u64),
        read_only("Subsystem ID", 0x2e, 2, device_id),
        read_only("Capabilities Pointer", 0x34, 1, PM as u64),
        read_write("Interrupt Line", 0x3c, 1, 0, 0xff),
        // No INTx.
        read_only("Interrupt Pin", 0x3d, 1, 0),
    ]
}

fn capabilities(vectors: u16) -> Vec<Register> {
    let table_size = u64::from(vectors.saturating_sub(1));
    vec![
        // Capability id 1, next capability.
        read_only("PM Capability ID", PM, 2, (MSIX as u64) << 8 | 0x01),
        // Version 3; no PME, no D1, no D2.
        read_only("PM Capabilities", PM + 2, 2, 0x0003),
        // Power state; No_Soft_Reset.
        read_write("PM Control/Status", PM_CONTROL, 2, 0x0008, 0x0003),
        read_only("MSI-X Capability ID", MSIX, 2, (PCIE as u64) << 8 | 0x11),
        read_write(
            "MSI-X Message Control",
            MSIX_CONTROL,
            2,
            table_size,
            (MSIX_ENABLE | MSIX_FUNCTION_MASK) as u64,
        ),
        // Both in BAR 2.
        read_only("MSI-X Table Offset/BIR", MSIX + 4, 4, 2),
        read_only("MSI-X PBA Offset/BIR", MSIX + 8, 4, u64::from(msix::pending_offset(vectors) | 2)),
        read_only("PCI Express Capability ID", PCIE, 2, 0x10),
        // Version 2, type 9: root complex integrated endpoint.
        read_only("PCI Express Capabilities", PCIE + 2, 2, 0x0092),
        // 128-byte payloads, role-based error reporting, function-level reset.
        read_only("Device Capabilities", PCIE + 4, 4, 0x1000_8000),
        // Relaxed ordering and no-snoop enabled, 512-byte read requests after reset.
        read_write("Device Control", PCIE_DEVICE_CONTROL, 2, 0x2810, 0x78ff),
        Register {
            name: "Device Status",
            offset: PCIE + 0xa,
            width: 2,
            reset: 0,
            writable: 0,
            clear: 0x000f,
        },
        read_only("Device Capabilities 2", PCIE + 0x24, 4, 0),
        read_only("Device Control 2", PCIE + 0x28, 2, 0),
    ]
}

/// Bytes that registers can be in; beyond them is extended configuration space, which holds no capability and reads
/// as zero.
pub const HEADER_BYTES: usize = 256;
