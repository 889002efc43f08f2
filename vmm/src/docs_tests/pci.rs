//! docs/pci.md, and what each function's page says of its identity.

use super::page::{Table, number, number_after, page};
use super::{FUNCTIONS, bar0, config, machine, read};

/// A slot's number in `00:01.0`.
fn slot(name: &str) -> u8 {
    name.trim_start_matches("00:").trim_end_matches(".0").parse().expect("a slot")
}

#[test]
fn the_bus_has_the_functions_of_the_page_and_no_others() {
    let (mut machine, page) = (machine(), page("pci.md"));
    let mut found = Vec::new();
    for row in Table::after(&page, "# PCI Express").rows() {
        let slot = slot(&row.cell("device"));
        let ids = row.cell("vendor:device");
        let (vendor, device) = ids.split_once(':').expect("two ids");
        let expected = u64::from_str_radix(&format!("{device}{vendor}"), 16).expect("hexadecimal");
        assert_eq!(read(&mut machine, config(slot, 0), 4), expected, "{ids}");
        if let Ok(class) = u64::from_str_radix(&row.cell("class").replace(' ', ""), 16) {
            assert_eq!(read(&mut machine, config(slot, 8), 4) >> 8, class, "{ids}");
        }
        found.push(slot);
    }
    assert_eq!(found, [0, 1, 2, 3]);
    for slot in (0..32).filter(|slot| !found.contains(slot)) {
        assert_eq!(read(&mut machine, config(slot, 0), 4), 0xffff_ffff, "slot {slot} is empty");
    }
}

/// How many bytes of registers a function's page states.
fn register_bytes(page: &str) -> Option<u32> {
    let kib = page.contains("BAR 0: 4 KiB") || page.contains("BAR 0 holds the registers (4 KiB)");
    let stated = |bytes: &u32| page.contains(&format!("BAR 0 holds {bytes} bytes"));
    if kib { Some(4096) } else { [4096, 8192].into_iter().find(stated) }
}

#[test]
fn each_functions_page_states_its_identity() {
    let mut machine = machine();
    for (slot, name) in FUNCTIONS {
        let page = page(name);
        let stated = |words| number_after(&page, words);
        let ids = stated("device `") << 16 | stated("vendor `");
        assert_eq!(read(&mut machine, config(slot, 0), 4), ids, "{name}");
        let class = stated("class `") << 8 | stated("revision ");
        assert_eq!(read(&mut machine, config(slot, 8), 4), class, "{name}");
        let bytes = register_bytes(&page).expect(name);
        machine.write_mmio(config(slot, 0x10), &[0xff; 4]);
        assert_eq!(
            read(&mut machine, config(slot, 0x10), 4),
            u64::from(!(bytes - 1)),
            "{name}: {bytes} bytes"
        );
        let msix = read(&mut machine, config(slot, 0x52), 2) & 0x7ff;
        let vectors = msix + 1;
        let words = ["table (N vectors)", "table, N vectors", "table with N vectors"];
        let stated = words.iter().any(|words| page.contains(&words.replace('N', &vectors.to_string())));
        assert!(stated, "{name}: {vectors}");
    }
}

/// Registers with the same reset value everywhere; those whose bits a guest may change keep exactly these.
#[test]
fn configuration_space_is_that_of_the_page() {
    let page = page("pci.md");
    let table = Table::after(&page, "## Configuration space of a device (type 0, 7.5.1)");
    for (slot, name) in FUNCTIONS {
        let size = u64::from(!(register_bytes(&self::page(name)).expect(name) - 1));
        // Fresh: the BARs and the command register are as at reset.
        let mut machine = crate::machine::testing::standard();
        let (mut resets, mut masks) = (0, 0);
        for row in table.rows() {
            let offset = number(&row.cell("offset")).expect("an offset");
            let width: usize = row.cell("bytes").parse().expect("a width");
            let (access, what) = (row.cell("access"), row.cell("name"));
            let at = config(slot, offset);
            // The firmware has put the BARs somewhere.
            if let Some(reset) = number(&row.cell("reset")).filter(|_| !what.starts_with("BAR")) {
                assert_eq!(read(&mut machine, at, width), reset, "slot {slot}: {what}");
                resets += 1;
            }
            // Writing ones to a capability puts the function to sleep or resets it.
            if offset >= 0x40 {
                continue;
            }
            if let Some(mask) = access.strip_prefix("RW ").and_then(number) {
                machine.write_mmio(at, &u64::MAX.to_le_bytes()[..width]);
                // The page's mask is that of 4096 bytes of registers, and it names those that have more.
                let mask = if what == "BAR 0" { mask & size } else { mask };
                assert_eq!(read(&mut machine, at, width), mask, "slot {slot}: {what}");
                machine.write_mmio(at, &0u64.to_le_bytes()[..width]);
                masks += 1;
            } else if access == "RO" {
                let before = read(&mut machine, at, width);
                machine.write_mmio(at, &(!before).to_le_bytes()[..width]);
                assert_eq!(read(&mut machine, at, width), before, "slot {slot}: {what} is read-only");
                masks += 1;
            }
        }
        assert!(resets >= 8 && masks >= 7, "{resets} reset values, {masks} kinds of access");
    }
}

#[test]
fn capabilities_are_where_the_page_says() {
    let page = page("pci.md");
    let table = Table::after(&page, "## Configuration space of a device (type 0, 7.5.1)");
    let named = [("PM", 0x01), ("MSI-X", 0x11), ("PCI Express", 0x10)];
    for (slot, _) in FUNCTIONS {
        let mut machine = machine();
        for (name, id) in named {
            let row =
                table.rows().find(|row| row.cell("name") == format!("{name} Capability ID")).expect("a row");
            let offset = number(&row.cell("offset")).expect("an offset");
            assert_eq!(read(&mut machine, config(slot, offset), 1), id, "slot {slot}: {name}");
        }
    }
}

#[test]
fn the_doorbells_are_those_of_the_page() {
    let (mut machine, page) = (machine(), page("pci.md"));
    let mut stated = Vec::new();
    for row in Table::after(&page, "## Doorbells").rows() {
        let name = row.cell("function").to_lowercase();
        let (slot, _) = FUNCTIONS.iter().find(|(_, page)| page.starts_with(&name)).expect("a function");
        let base = bar0(&mut machine, *slot);
        let value = row.cell("value");
        let value = if value == "any" { None } else { number(value.split(';').next().expect("a value")) };
        for offset in row.cell("offset").split(", ") {
            stated.push((Some(base + number(offset).expect("an offset")), value));
        }
    }
    let found: Vec<_> =
        machine.doorbells().iter().map(|placed| (placed.gpa, placed.bell.value.map(u64::from))).collect();
    assert_eq!(found, stated);
}
