//! The ACPI tables: hardware-reduced, with no legacy device for the kernel to probe (ACPI specification 6.5).

mod dsdt;

use acpi_tables::fadt::{FADTBuilder, Flags, PmProfile};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::madt::{EnabledStatus, IoApic, LocalInterruptController, MADT, ProcessorLocalApic};
use acpi_tables::mcfg::MCFG;
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::viot::{PciDevice, PciRange, VIOT, VirtIoPciIommu};
use acpi_tables::xsdt::XSDT;
use acpi_tables::{Aml, AmlSink};

use crate::{Iommu, layout};

const OEM: [u8; 6] = *b"FENCEP";
const OEM_TABLE: [u8; 8] = *b"FENCPOST";
const OEM_REVISION: u32 = 1;

/// FADT IA-PC boot flags (table 5.11): no VGA, no CMOS clock, no ASPM to control. Legacy devices and the 8042
/// stay clear, so that nothing probes for them.
const BOOT_ARCHITECTURE: u16 = 1 << 2 | 1 << 4 | 1 << 5;
/// DRHD flag: every PCI function that no other unit names.
const INCLUDE_PCI_ALL: u8 = 1;
/// DMAR flag: the machine supports interrupt remapping.
const INTR_REMAP: u8 = 1;
/// The I/O APIC's id.
const IOAPIC_ID: u8 = 0;
/// Host address width less one: 48 bits.
const HOST_ADDRESS_WIDTH: u8 = 47;

/// The tables as one block for the guest-physical address `base`; the RSDP is at its start.
pub fn build(vcpus: u8, iommu: Iommu, more_serial: usize, base: u64) -> Vec<u8> {
    let mut block = Block { base, bytes: vec![0; Rsdp::len()] };
    let dsdt = block.place(&bytes_of(&dsdt::build(more_serial)));
    let mut tables = vec![bytes_of(&fadt(dsdt)), bytes_of(&madt(vcpus)), bytes_of(&mcfg())];
    match iommu {
        Iommu::None => {}
        Iommu::Vtd { interrupts } => tables.push(bytes_of(&dmar(interrupts))),
        Iommu::Virtio { slot } => tables.push(bytes_of(&viot(slot))),
    }
    let mut xsdt = XSDT::new(OEM, OEM_TABLE, OEM_REVISION);
    for table in &tables {
        xsdt.add_entry(block.place(table));
    }
    let xsdt = block.place(&bytes_of(&xsdt));
    let rsdp = bytes_of(&Rsdp::new(OEM, xsdt));
    block.bytes[..rsdp.len()].copy_from_slice(&rsdp);
    block.bytes
}

struct Block {
    base: u64,
    bytes: Vec<u8>,
}

impl Block {
    /// Appends a table on a 16-byte boundary and gives its address.
    fn place(&mut self, table: &[u8]) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(16), 0);
        let address = self.base + self.bytes.len() as u64;
        self.bytes.extend_from_slice(table);
        address
    }
}

fn bytes_of(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

fn byte_port(port: u16) -> GAS {
    GAS::new(AddressSpace::SystemIo, 8, 0, AccessSize::ByteAccess, u64::from(port))
}

fn fadt(dsdt: u64) -> acpi_tables::fadt::FADT {
    let mut fadt = FADTBuilder::new(OEM, OEM_TABLE, OEM_REVISION)
        .dsdt_64(dsdt)
        .preferred_pm_profile(PmProfile::EnterpriseServer);
    // The button flags say "none as a fixed register".
    let flags = [
        Flags::HwReducedAcpi,
        Flags::ResetRegSup,
        Flags::Headless,
        Flags::Wbinvd,
        Flags::PwrButton,
        Flags::SlpButton,
    ];
    for flag in flags {
        fadt = fadt.flag(flag);
    }
    fadt.iapc_boot_arch = BOOT_ARCHITECTURE.into();
    fadt.reset_reg = byte_port(layout::RESET_PORT);
    fadt.reset_value = 1;
    fadt.sleep_control_reg = byte_port(layout::SLEEP_CONTROL_PORT);
    fadt.sleep_status_reg = byte_port(layout::SLEEP_STATUS_PORT);
    fadt.finalize()
}

fn madt(vcpus: u8) -> MADT {
    let address = LocalInterruptController::Address(layout::LAPIC as u32);
    let mut madt = MADT::new(OEM, OEM_TABLE, OEM_REVISION, address);
    for id in 0..vcpus {
        madt.add_structure(ProcessorLocalApic::new(id, id, EnabledStatus::Enabled));
    }
    madt.add_structure(IoApic::new(IOAPIC_ID, layout::IOAPIC as u32, 0));
    madt
}

fn mcfg() -> MCFG {
    let mut mcfg = MCFG::new(OEM, OEM_TABLE, OEM_REVISION);
    mcfg.add_ecam(layout::ECAM.start, 0, 0, 0);
    mcfg
}

/// The remapping units (Intel VT-d specification, section 8): one DRHD for the whole segment, and where it remaps
/// `interrupts` for the I/O APIC.
fn dmar(interrupts: bool) -> Table {
    let mut sdt = Sdt::new(*b"DMAR", 36, 1, OEM, OEM_TABLE, OEM_REVISION);
    let scope = if interrupts { ioapic_scope() } else { Vec::new() };
    let mut body = vec![HOST_ADDRESS_WIDTH, u8::from(interrupts) * INTR_REMAP];
    body.extend_from_slice(&[0; 10]);
    body.extend_from_slice(&0u16.to_le_bytes());
    body.extend_from_slice(&(16 + scope.len() as u16).to_le_bytes());
    // Flags, register set size (0: 4 KiB), segment.
    body.extend_from_slice(&[INCLUDE_PCI_ALL, 0, 0, 0]);
    body.extend_from_slice(&layout::DMAR_UNIT.to_le_bytes());
    body.extend_from_slice(&scope);
    sdt.append_slice(&body);
    Table(sdt)
}

/// The device scope entry of the I/O APIC (8.3.1): by its id in the MADT and by its requester id.
fn ioapic_scope() -> Vec<u8> {
    const TYPE_IOAPIC: u8 = 3;
    let [function, bus] = layout::IOAPIC_REQUESTER.to_le_bytes();
    vec![TYPE_IOAPIC, 8, 0, 0, IOAPIC_ID, bus, function >> 3, function & 7]
}

/// The virtio IOMMU in `slot` (ACPI 6.5, 5.2.33): every function on bus 0 is its endpoint, by its requester id.
fn viot(slot: u8) -> VIOT {
    let mut viot = VIOT::new(OEM, OEM_TABLE, OEM_REVISION);
    let unit = viot.add_virtio_pci_iommu(VirtIoPciIommu::new(PciDevice::new(0, 0, slot, 0)));
    viot.add_pci_range(PciRange::new(PciDevice::new(0, 0, 0, 0), PciDevice::new(0, 0, 31, 7), &unit));
    viot
}

/// An [`Sdt`], which has no [`Aml`] of its own.
struct Table(Sdt);

impl Aml for Table {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        sink.vec(self.0.as_slice());
    }
}

#[cfg(test)]
mod tests;
