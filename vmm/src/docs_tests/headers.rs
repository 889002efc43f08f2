//! The headers that guest drivers and micro-guests take registers and PCI ids from, compared with the pages: no constant
//! of theirs is another than the page's, which the other tests here compare with the machine.

use std::collections::BTreeMap;

use super::FUNCTIONS;
use super::page::{Row, Table, number, page};
use super::registers::tables;

/// The header of a function's page, what its names begin with, and how many registers it has at least.
const HEADERS: [(&str, &str, &str, usize); 3] = [
    ("gpu.md", "fencepost_gpu_regs.h", "FPGPU_", 20),
    ("camera.md", "fencepost_camera_regs.h", "FPCAM_", 30),
    ("display.md", "fencepost_display_regs.h", "FPDISP_", 25),
];

fn header(name: &str) -> String {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-tests/drivers/include");
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The numbers that a header gives names to by `#define NAME`, with one space: other names are fields.
fn constants(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| line.strip_prefix("#define "))
        .filter(|rest| !rest.starts_with(' '))
        .filter_map(|rest| {
            let mut words = rest.split_whitespace();
            let name = words.next()?;
            Some((name.to_owned(), number(words.next()?)?))
        })
        .collect()
}

/// The registers of a page: name and offset, within its ring where the GPU has one for each.
fn registers(name: &str) -> BTreeMap<String, u64> {
    let place = |row: &Row<'_>| {
        let offset = row.cell("offset");
        match offset.split_once(" + ") {
            Some((first, "0x100n, n < 3")) => number(first).map(|first| first % 0x100),
            Some((first, _)) => number(first),
            None => number(&offset),
        }
    };
    let tables = tables(name);
    let rows = tables.iter().flat_map(Table::rows);
    rows.map(|row| (row.cell("name"), place(&row).expect("an offset"))).collect()
}

#[test]
fn every_register_of_a_driver_is_on_the_page() {
    for ((page, file, prefix, at_least), (_, name)) in HEADERS.into_iter().zip(FUNCTIONS) {
        assert_eq!(page, name);
        let on_page = registers(page);
        let constants = constants(&header(file));
        assert!(constants.len() >= at_least, "{file}: {}", constants.len());
        for (name, value) in constants {
            let register = name.strip_prefix(prefix).unwrap_or_else(|| panic!("{file}: {name}"));
            assert_eq!(Some(&value), on_page.get(register), "{file}: {name}");
        }
    }
}

#[test]
fn the_drivers_pci_ids_and_places_are_those_of_the_page() {
    let text = header("fencepost_pci.h");
    let constants = constants(&text);
    let table = Table::after(&page("pci.md"), "# PCI Express");
    for (name, function) in [("GPU", "GPU"), ("CAMERA", "camera"), ("DISPLAY", "display")] {
        let row = table.rows().find(|row| row.cell("what") == function).expect("the function has a row");
        let slot = constants[&format!("FENCEPOST_PCI_SLOT_{name}")];
        let device = constants[&format!("FENCEPOST_PCI_DEVICE_{name}")];
        assert_eq!(
            row.cell("vendor:device"),
            format!("{:04x}:{device:04x}", constants["FENCEPOST_PCI_VENDOR"])
        );
        assert_eq!(row.cell("device"), format!("00:{slot:02x}.0"));
        let in_sysfs = text.lines().find(|line| line.contains(&format!("FENCEPOST_PCI_NAME_{name}")));
        assert_eq!(in_sysfs.and_then(|line| line.split('"').nth(1)), Some(&*format!("0000:00:{slot:02x}.0")));
    }
}
