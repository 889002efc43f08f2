//! The tables against the specification's layout, restated, and against iasl where it is installed.

use std::process::Command;

use fencepost_skip::Tested;

use super::*;

const BASE: u64 = 0xe_0000;
const VTD: Iommu = Iommu::Vtd { interrupts: false };
const VIRTIO: Iommu = Iommu::Virtio { slot: 31 };

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap())
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte))
}

/// Follows RSDP and XSDT as an operating system does; checks every checksum on the way.
fn tables(block: &[u8]) -> Vec<(String, Vec<u8>)> {
    assert_eq!(&block[..8], b"RSD PTR ");
    assert_eq!(sum(&block[..20]), 0);
    assert_eq!(sum(&block[..36]), 0);
    let table_at = |address: u64| {
        let start = (address - BASE) as usize;
        let length = u32_at(block, start + 4) as usize;
        let table = block[start..start + length].to_vec();
        assert_eq!(sum(&table), 0, "checksum of {:?}", &table[..4]);
        (String::from_utf8(table[..4].to_vec()).unwrap(), table)
    };
    let (name, xsdt) = table_at(u64_at(block, 24));
    assert_eq!(name, "XSDT");
    let mut found: Vec<_> = xsdt[36..].chunks(8).map(|entry| table_at(u64_at(entry, 0))).collect();
    let dsdt = found.iter().find(|(name, _)| name == "FACP").map(|(_, fadt)| u64_at(fadt, 140)).unwrap();
    found.push(table_at(dsdt));
    found
}

fn table(block: &[u8], name: &str) -> Vec<u8> {
    tables(block).into_iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no {name}")).1
}

#[test]
fn the_tables_are_found_and_sum_to_zero() {
    let names =
        |iommu| tables(&build(1, iommu, 0, BASE)).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(VTD), ["FACP", "APIC", "MCFG", "DMAR", "DSDT"]);
    assert_eq!(names(Iommu::None), ["FACP", "APIC", "MCFG", "DSDT"]);
    assert_eq!(names(VIRTIO), ["FACP", "APIC", "MCFG", "VIOT", "DSDT"]);
}

#[test]
fn the_fadt_is_hardware_reduced_with_sleep_and_reset_registers() {
    let fadt = table(&build(1, VTD, 0, BASE), "FACP");
    let flags = u32_at(&fadt, 112);
    assert_ne!(flags & 1 << 20, 0, "HW_REDUCED_ACPI");
    assert_ne!(flags & 1 << 10, 0, "RESET_REG_SUP");
    let boot = u16::from_le_bytes([fadt[109], fadt[110]]);
    assert_eq!(boot & 0b11, 0, "no legacy devices, no 8042");
    assert_eq!(boot & 0b10_0100, 0b10_0100, "no VGA, no CMOS clock");
    for (offset, port) in [(116, 0x602), (244, 0x600), (256, 0x601)] {
        assert_eq!(fadt[offset..offset + 4], [1, 8, 0, 1], "an I/O port of one byte at {offset}");
        assert_eq!(u64_at(&fadt, offset + 4), port);
    }
    assert_eq!(fadt[128], 1, "reset value");
}

#[test]
fn the_madt_names_every_cpu_and_the_io_apic() {
    let madt = table(&build(3, VTD, 0, BASE), "APIC");
    assert_eq!(u32_at(&madt, 36), 0xfee0_0000);
    let expected: Vec<u8> = (0..3).flat_map(|id| [0, 8, id, id, 1, 0, 0, 0]).collect();
    assert_eq!(madt[44..68], expected[..]);
    assert_eq!(madt[68..], [1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
}

#[test]
fn the_mcfg_and_the_dmar_point_to_the_layout() {
    let block = build(1, VTD, 0, BASE);
    let mcfg = table(&block, "MCFG");
    assert_eq!(u64_at(&mcfg, 44), 0xe000_0000);
    assert_eq!(mcfg[52..56], [0, 0, 0, 0], "segment 0, buses 0 to 0");
    let dmar = table(&block, "DMAR");
    assert_eq!(dmar.len(), 64);
    assert_eq!(dmar[48..56], [0, 0, 16, 0, 1, 0, 0, 0]);
    assert_eq!(u64_at(&dmar, 56), 0xfed9_0000);
}

/// VT-d specification 3.3, 8.1 and 8.3.1.
#[test]
fn the_dmar_has_the_io_apic_in_the_units_scope_where_interrupts_are_remapped() {
    let dmar = table(&build(1, Iommu::Vtd { interrupts: true }, 0, BASE), "DMAR");
    assert_eq!(dmar.len(), 72);
    assert_eq!(dmar[37] & 1, 1, "INTR_REMAP");
    assert_eq!(u16::from_le_bytes([dmar[50], dmar[51]]), 24, "the DRHD's length");
    // Type I/O APIC, 8 bytes, reserved, its id as the MADT has it, bus f0, device 1f, function 0.
    assert_eq!(dmar[64..72], [3, 8, 0, 0, 0, 0xf0, 0x1f, 0]);
    assert_eq!(table(&build(1, VTD, 0, BASE), "DMAR")[37] & 1, 0);
}

/// ACPI 6.5, tables 5.152 to 5.155.
#[test]
fn the_viot_names_the_iommu_and_whom_it_translates_for() {
    let viot = table(&build(1, VIRTIO, 0, BASE), "VIOT");
    let nodes = usize::from(u16::from_le_bytes([viot[36], viot[37]]));
    assert_eq!(nodes, 2);
    let (mut at, mut unit, mut range) = (usize::from(u16::from_le_bytes([viot[38], viot[39]])), None, None);
    for _ in 0..nodes {
        let node = &viot[at..at + usize::from(u16::from_le_bytes([viot[at + 2], viot[at + 3]]))];
        match node[0] {
            // Segment 0, device 31 on bus 0.
            3 => unit = Some((at, node[4..8].to_vec())),
            1 => range = Some(node.to_vec()),
            other => panic!("a node of type {other}"),
        }
        at += node.len();
    }
    assert_eq!(at, viot.len());
    let (unit_at, unit) = unit.unwrap();
    assert_eq!(unit, [0, 0, 0xf8, 0]);
    let range = range.unwrap();
    // The first endpoint's id, both segments, the first and the last function of bus 0, the node of the unit.
    assert_eq!(range[4..16], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0]);
    assert_eq!(usize::from(u16::from_le_bytes([range[16], range[17]])), unit_at);
}

#[test]
fn the_tables_of_the_largest_machine_fit() {
    let room = layout::ACPI_TABLES.end - layout::ACPI_TABLES.start;
    let most = build(crate::MAX_VCPUS as u8, VTD, layout::MORE_SERIAL_MAX, BASE);
    assert!((most.len() as u64) < room);
}

/// ACPI 6.4: an I/O descriptor (6.4.2.5) and an extended interrupt (6.4.3.6) of each port, as PCs have them.
#[test]
fn the_dsdt_has_every_serial_port() {
    let ports: [(&[u8], u16, u8); 4] =
        [(b"COM1", 0x3f8, 4), (b"COM2", 0x2f8, 3), (b"COM3", 0x3e8, 4), (b"COM4", 0x2e8, 3)];
    for more in 0..ports.len() {
        let dsdt = table(&build(1, VTD, more, BASE), "DSDT");
        let place = |name: &[u8]| dsdt.windows(4).position(|found| found == name);
        for (index, (name, port, interrupt)) in ports.iter().enumerate() {
            assert_eq!(place(name).is_some(), index <= more, "{more} more");
            let Some(at) = place(name) else { continue };
            let device = &dsdt[at..dsdt.len().min(at + 80)];
            let has = |bytes: &[u8]| device.windows(bytes.len()).any(|found| found == bytes);
            let [low, high] = port.to_le_bytes();
            assert!(has(&[0x47, 1, low, high, low, high, 1, 8]), "{port:x}: {device:x?}");
            // Consumer, edge; shared where another port has the same.
            let shared = ports[..=more].iter().filter(|(_, _, other)| other == interrupt).count() > 1;
            let flags = 0b11 | u8::from(shared) << 3;
            assert!(has(&[0x89, 6, 0, flags, 1, *interrupt, 0, 0, 0]), "{port:x}: {device:x?}");
        }
    }
}

#[test]
fn iasl_disassembles_every_table_without_a_complaint() -> Tested {
    if Command::new("iasl").arg("-v").output().is_err() {
        return Tested::skipped("iasl is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let built = [VTD, VIRTIO].map(|iommu| tables(&build(2, iommu, layout::MORE_SERIAL_MAX, BASE)));
    for (name, bytes) in built.concat() {
        let path = folder.path().join(format!("{name}.aml"));
        std::fs::write(&path, bytes).unwrap();
        let run = Command::new("iasl").arg("-d").arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{name}: {said}");
        let text = std::fs::read_to_string(path.with_extension("dsl")).unwrap();
        for complaint in ["Invalid", "invalid", "Warning", "Error", "Incorrect"] {
            assert!(!said.contains(complaint) && !text.contains(complaint), "{name}: {said}\n{text}");
        }
        if name == "DSDT" {
            for expected in [
                "Device (PCI0)",
                "PNP0A08",
                "PNP0501",
                "Device (COM4)",
                "Name (_S5",
                "0xC0000000",
                "0xDFFFFFFF",
                "0x0000004000000000",
                "0x0000007FFFFFFFFF",
                "0xC000",
                "0xEFFF",
                "Name (_PRT",
            ] {
                assert!(text.contains(expected), "no {expected} in\n{text}");
            }
        }
    }
    Tested::Ran
}
