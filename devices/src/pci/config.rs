//! Configuration space as a table of registers (PCI Express Base Specification 5.0, chapter 7).

use crate::function::{Identity, Interrupts, MsixTable, VENDOR_ID};
use crate::registers::{Register, clear_by_ones, read_only, read_write};

use super::HOST_BRIDGE_DEVICE_ID;
use super::bars::{Bars, Space};
use super::msi::{self, MSI, MSI_ID};
use super::msix::MAX_VECTORS;
use super::root::PciError;

/// Offset of the command register.
pub const COMMAND: usize = 0x04;
/// Command: I/O space enable.
pub const COMMAND_PORTS: u32 = 1;
/// Command: memory space enable.
pub const COMMAND_MEMORY: u32 = 1 << 1;
/// Command: bus master enable.
pub const COMMAND_BUS_MASTER: u32 = 1 << 2;
/// Command: the function may not assert its line.
pub const COMMAND_INTERRUPT_DISABLE: u32 = 1 << 10;
/// Offset of the status register.
pub const STATUS: usize = 0x06;
/// Status: an interrupt by the line is pending.
pub const STATUS_INTERRUPT: u32 = 1 << 3;
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
/// The id of vendor-specific capabilities.
const VENDOR_SPECIFIC: u64 = 0x09;
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

/// The BARs of an identity that a function can have.
pub fn check(identity: &Identity) -> Result<Bars, PciError> {
    let bars = Bars::new(identity.bars).map_err(|(bar, why)| PciError::Bar { bar, why })?;
    let Interrupts { msix, msi, pin } = identity.interrupts;
    let refuse = |bad: bool, why| if bad { Err(PciError::Interrupts(why)) } else { Ok(()) };
    if let Some(table) = msix {
        refuse(!(1..=MAX_VECTORS).contains(&table.vectors), "an MSI-X table has 1 to 2048 vectors")?;
        refuse(!fits(&table, &bars), "its MSI-X table or pending bits do not fit in their BAR")?;
    }
    let end = vendor_places(identity).last().map_or(0, |(at, bytes)| at.saturating_add(bytes.len()));
    refuse(end >= HEADER_BYTES, "its vendor-specific capabilities do not fit behind the others")?;
    refuse(msi != 0 && !(msi.is_power_of_two() && msi <= 32), "MSI has 1, 2, 4, 8, 16 or 32 messages")?;
    let line_only = pin.is_some() && msix.is_none() && msi == 0;
    refuse(identity.express && line_only, "an Express function with a line has MSI or MSI-X too")?;
    if identity.express && bars.any_in(Space::Ports) {
        return Err(PciError::ExpressPorts);
    }
    Ok(bars)
}

/// Whether both parts are aligned, apart, and inside memory BARs.
fn fits(table: &MsixTable, bars: &Bars) -> bool {
    let parts = [
        (table.table_bar, table.table_offset, table.table_bytes()),
        (table.pending_bar, table.pending_offset, table.pending_bytes()),
    ];
    let inside = |&(bar, offset, bytes): &(u8, u32, u32)| {
        let end = u64::from(offset).saturating_add(bytes.into());
        offset % 8 == 0 && bars.memory_bytes(bar).is_some_and(|size| end <= size)
    };
    let [(table_bar, table_start, table_bytes), (pending_bar, pending_start, pending_bytes)] = parts;
    let apart = table_bar != pending_bar
        || table_start.saturating_add(table_bytes) <= pending_start
        || pending_start.saturating_add(pending_bytes) <= table_start;
    apart && parts.iter().all(inside)
}

/// The registers of a device function: type 0 header and capabilities.
pub fn endpoint(identity: &Identity, bars: &Bars) -> Vec<Register> {
    let mut registers = header(identity, bars);
    registers.extend(bars.registers());
    registers.extend(capabilities(identity));
    registers
}

fn header(identity: &Identity, bars: &Bars) -> Vec<Register> {
    let ids = identity.ids;
    let class = u64::from(identity.class << 8 | u32::from(identity.revision));
    let ports = if bars.any_in(Space::Ports) { COMMAND_PORTS } else { 0 };
    vec![
        read_only("Vendor ID", 0x00, 2, ids.vendor.into()),
        read_only("Device ID", 0x02, 2, ids.device.into()),
        // Memory space, bus master, parity error response, SERR#, interrupt disable.
        read_write("Command", COMMAND, 2, 0, u64::from(0x0546 | ports)),
        // Capabilities list; error bits are cleared by writing ones.
        clear_by_ones("Status", STATUS, 2, 0x0010, 0xf900),
        read_only("Revision ID and Class Code", 0x08, 4, class),
        read_write("Cache Line Size", 0x0c, 1, 0, 0xff),
        read_only("Header Type", 0x0e, 1, 0),
        read_only("Subsystem Vendor ID", 0x2c, 2, ids.subsystem_vendor.into()),
        read_only("Subsystem ID", 0x2e, 2, ids.subsystem.into()),
        read_only("Capabilities Pointer", 0x34, 1, PM as u64),
        read_write("Interrupt Line", 0x3c, 1, 0, 0xff),
        read_only("Interrupt Pin", 0x3d, 1, identity.interrupts.pin.map_or(0, |pin| pin as u64)),
    ]
}

/// The capabilities that the function has, each with its id, in the order of the list.
fn capabilities(identity: &Identity) -> Vec<Register> {
    let interrupts = &identity.interrupts;
    let mut found = vec![("PM Capability ID", PM, 0x01, power_management())];
    if let Some(table) = &interrupts.msix {
        found.push(("MSI-X Capability ID", MSIX, 0x11, msix(table)));
    }
    if identity.express {
        found.push(("PCI Express Capability ID", PCIE, 0x10, express()));
    }
    if interrupts.msi != 0 {
        let mut registers = msi::registers(interrupts.msi);
        registers.push(msi::pending_register());
        found.push(("MSI Capability ID", MSI, MSI_ID, registers));
    }
    for (at, bytes) in vendor_places(identity) {
        found.push(("Vendor Capability ID", at, VENDOR_SPECIFIC, vendor_specific(at, bytes)));
    }
    let next: Vec<u64> = found.iter().skip(1).map(|(_, at, ..)| *at as u64).chain([0]).collect();
    let mut registers = Vec::new();
    for ((name, at, id, rest), next) in found.into_iter().zip(next) {
        registers.push(read_only(name, at, 2, next << 8 | id));
        registers.extend(rest);
    }
    registers
}

/// Where each vendor-specific capability is, behind MSI if there is that: at multiples of 4.
fn vendor_places(identity: &Identity) -> impl Iterator<Item = (usize, &'static [u8])> {
    let first = if identity.interrupts.msi == 0 { MSI } else { msi::END };
    let place = |at: &mut usize, &bytes: &&'static [u8]| {
        let here = *at;
        *at = here.saturating_add(bytes.len()).saturating_add(2).next_multiple_of(4);
        Some((here, bytes))
    };
    identity.vendor_capabilities.iter().scan(first, place)
}

/// What is behind the capability's id and link.
fn vendor_specific(at: usize, bytes: &'static [u8]) -> Vec<Register> {
    let place = at.saturating_add(2);
    (place..).zip(bytes).map(|(at, &byte)| read_only("Vendor-specific", at, 1, byte.into())).collect()
}

fn power_management() -> Vec<Register> {
    vec![
        // Version 3; no PME, no D1, no D2.
        read_only("PM Capabilities", PM + 2, 2, 0x0003),
        // Power state; No_Soft_Reset.
        read_write("PM Control/Status", PM_CONTROL, 2, 0x0008, 0x0003),
    ]
}

fn msix(table: &MsixTable) -> Vec<Register> {
    let last = u64::from(table.vectors.saturating_sub(1));
    let place = |offset: u32, bar: u8| u64::from(offset) | u64::from(bar);
    let writable = u64::from(MSIX_ENABLE | MSIX_FUNCTION_MASK);
    vec![
        read_write("MSI-X Message Control", MSIX_CONTROL, 2, last, writable),
        read_only("MSI-X Table Offset/BIR", MSIX + 4, 4, place(table.table_offset, table.table_bar)),
        read_only("MSI-X PBA Offset/BIR", MSIX + 8, 4, place(table.pending_offset, table.pending_bar)),
    ]
}

/// An endpoint integrated in the root complex: there is no link.
fn express() -> Vec<Register> {
    vec![
        // Version 2, type 9: root complex integrated endpoint.
        read_only("PCI Express Capabilities", PCIE + 2, 2, 0x0092),
        // 128-byte payloads, role-based error reporting, function-level reset.
        read_only("Device Capabilities", PCIE + 4, 4, 0x1000_8000),
        // Relaxed ordering and no-snoop enabled, 512-byte read requests after reset.
        read_write("Device Control", PCIE_DEVICE_CONTROL, 2, 0x2810, 0x78ff),
        clear_by_ones("Device Status", PCIE + 0xa, 2, 0, 0x000f),
        read_only("Device Capabilities 2", PCIE + 0x24, 4, 0),
        read_only("Device Control 2", PCIE + 0x28, 2, 0),
    ]
}

/// Bytes that registers can be in; beyond them is extended configuration space, which holds no capability and reads
/// as zero.
pub const HEADER_BYTES: usize = 256;
