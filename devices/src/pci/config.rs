//! Configuration space as a table of registers (PCI Express Base Specification 5.0, chapter 7).

use crate::function::{Identity, VENDOR_ID};

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

/// One register of configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// What the specification calls it.
    pub name: &'static str,
    /// Byte offset.
    pub offset: usize,
    /// Width in bytes: 1, 2 or 4.
    pub width: usize,
    /// Value after reset.
    pub reset: u32,
    /// Bits that the guest can write.
    pub writable: u32,
    /// Bits that the guest clears by writing ones.
    pub clear: u32,
}

const fn read_only(name: &'static str, offset: usize, width: usize, reset: u32) -> Register {
    Register { name, offset, width, reset, writable: 0, clear: 0 }
}

const fn read_write(name: &'static str, offset: usize, width: usize, reset: u32, writable: u32) -> Register {
    Register { name, offset, width, reset, writable, clear: 0 }
}

/// The registers of the host bridge at 00:00.0: a type 0 header and nothing to program.
pub fn host_bridge() -> Vec<Register> {
    vec![
        read_only("Vendor ID", 0x00, 2, VENDOR_ID as u32),
        read_only("Device ID", 0x02, 2, HOST_BRIDGE_DEVICE_ID as u32),
        read_write("Command", COMMAND, 2, 0, 0x0146),
        read_only("Status", 0x06, 2, 0),
        // Class 06 00 00: host bridge.
        read_only("Revision ID and Class Code", 0x08, 4, 0x0600_0000),
        read_write("Cache Line Size", 0x0c, 1, 0, 0xff),
        read_only("Header Type", 0x0e, 1, 0),
        read_only("Subsystem Vendor ID", 0x2c, 2, VENDOR_ID as u32),
        read_only("Subsystem ID", 0x2e, 2, HOST_BRIDGE_DEVICE_ID as u32),
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
    let device_id = u32::from(identity.device_id);
    let class = identity.class << 8 | u32::from(identity.revision);
    let registers_mask = !identity.registers_bytes.saturating_sub(1);
    let table_mask = !msix::bar_bytes(identity.vectors).saturating_sub(1);
    vec![
        read_only("Vendor ID", 0x00, 2, VENDOR_ID as u32),
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
        read_only("Subsystem Vendor ID", 0x2c, 2, VENDOR_ID as u32),
        read_only("Subsystem ID", 0x2e, 2, device_id),
        read_only("Capabilities Pointer", 0x34, 1, PM as u32),
        read_write("Interrupt Line", 0x3c, 1, 0, 0xff),
        // No INTx.
        read_only("Interrupt Pin", 0x3d, 1, 0),
    ]
}

fn capabilities(vectors: u16) -> Vec<Register> {
    let table_size = u32::from(vectors.saturating_sub(1));
    vec![
        // Capability id 1, next capability.
        read_only("PM Capability ID", PM, 2, (MSIX as u32) << 8 | 0x01),
        // Version 3; no PME, no D1, no D2.
        read_only("PM Capabilities", PM + 2, 2, 0x0003),
        // Power state; No_Soft_Reset.
        read_write("PM Control/Status", PM_CONTROL, 2, 0x0008, 0x0003),
        read_only("MSI-X Capability ID", MSIX, 2, (PCIE as u32) << 8 | 0x11),
        read_write("MSI-X Message Control", MSIX_CONTROL, 2, table_size, MSIX_ENABLE | MSIX_FUNCTION_MASK),
        // Both in BAR 2.
        read_only("MSI-X Table Offset/BIR", MSIX + 4, 4, 2),
        read_only("MSI-X PBA Offset/BIR", MSIX + 8, 4, msix::pending_offset(vectors) | 2),
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

/// One function's configuration space: bytes, and which of their bits can be written or cleared. Bytes that no
/// register names read as zero and ignore writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSpace {
    registers: Vec<Register>,
    bytes: [u8; HEADER_BYTES],
    writable: [u8; HEADER_BYTES],
    clear: [u8; HEADER_BYTES],
}

/// Beyond these is extended configuration space, which holds no capability and reads as zero.
const HEADER_BYTES: usize = 256;

impl ConfigSpace {
    /// Configuration space after reset.
    pub fn new(registers: Vec<Register>) -> Self {
        let mut space = ConfigSpace {
            registers: Vec::new(),
            bytes: [0; HEADER_BYTES],
            writable: [0; HEADER_BYTES],
            clear: [0; HEADER_BYTES],
        };
        for register in &registers {
            put(&mut space.writable, register, register.writable);
            put(&mut space.clear, register, register.clear);
        }
        space.registers = registers;
        space.reset();
        space
    }

    /// Every register back to its reset value.
    pub fn reset(&mut self) {
        for register in &self.registers {
            put(&mut self.bytes, register, register.reset);
        }
    }

    /// Reads `data.len()` bytes at `offset`.
    pub fn read(&self, offset: usize, data: &mut [u8]) {
        let bytes = self.bytes.iter().skip(offset).chain(std::iter::repeat(&0));
        data.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    }

    /// Writes `data` at `offset`, bit by bit as the registers allow.
    pub fn write(&mut self, offset: usize, data: &[u8]) {
        let masks = self.writable.iter().zip(&self.clear).skip(offset);
        for ((byte, (writable, clear)), &value) in self.bytes.iter_mut().skip(offset).zip(masks).zip(data) {
            *byte = (*byte & !writable & !(value & clear)) | (value & writable);
        }
    }

    /// The 32 bits at `offset`.
    pub fn word(&self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        self.read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// The bytes that the guest can change, for a saved state.
    pub fn save(&self) -> Vec<u8> {
        self.bytes.to_vec()
    }

    /// Takes the writable bits from a saved state; the rest stays what the registers say. False when the length is
    /// another.
    pub fn restore(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() == HEADER_BYTES {
            self.write(0, bytes);
        }
        bytes.len() == HEADER_BYTES
    }
}

/// Stores the low `width` bytes of `value` at the register's place.
fn put(bytes: &mut [u8; HEADER_BYTES], register: &Register, value: u32) {
    let places = bytes.iter_mut().skip(register.offset).take(register.width);
    places.zip(value.to_le_bytes()).for_each(|(to, from)| *to = from);
}
