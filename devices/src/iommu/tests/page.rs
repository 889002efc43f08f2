//! The register table of docs/iommu.md and the one in the code say the same.

use super::super::registers::{FAULT_RECORD_COUNT, fault_record_offset, table};

const PAGE: &str = include_str!("../../../../docs/iommu.md");

fn number(text: &str) -> u64 {
    let parsed = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16));
    parsed.unwrap_or_else(|_| panic!("{text} is no number"))
}

/// A name of a list like "FEDATA (16 bits), FEADDR" or "FSTS: PFO (0), ...".
fn name(text: &str) -> String {
    text.split([':', ' ']).next().unwrap().to_string()
}

/// What the page says that `register` announces: "CAP (0x08) reads `00d2 ...`".
fn announced(register: &str) -> u64 {
    let (_, after) = PAGE.split_once(&format!("{register} (0x")).unwrap();
    let digits = after.split('`').nth(1).unwrap().replace(' ', "");
    u64::from_str_radix(&digits, 16).unwrap()
}

/// Name, offset, width, reset value, by offset.
type Row = (String, u64, u64, u64);

fn documented() -> Vec<Row> {
    let mut rows = Vec::new();
    for line in PAGE.lines().filter(|line| line.starts_with("| 0x") && !line.starts_with("| 0x220")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let offsets: Vec<&str> = cells[1].split(", ").collect();
        let names: Vec<String> = match offsets.len() {
            1 => vec![name(cells[5])],
            _ => cells[5].split(", ").map(name).collect(),
        };
        assert_eq!(offsets.len(), names.len(), "{line}");
        for (offset, name) in offsets.iter().zip(names) {
            let reset = match cells[4] {
                "above" => announced(&name),
                "" => 0,
                value => number(value),
            };
            rows.push((name, number(offset), number(cells[2]), reset));
        }
    }
    rows.sort_by_key(|row| row.1);
    rows
}

#[test]
fn the_page_and_the_table_say_the_same() {
    let mut coded: Vec<Row> = table()
        .iter()
        .filter(|register| !register.name.starts_with("FRCD"))
        .map(|register| {
            (register.name.to_string(), register.offset as u64, register.width as u64, register.reset)
        })
        .collect();
    coded.sort_by_key(|row| row.1);
    assert_eq!(documented(), coded);
}

#[test]
fn the_fault_records_are_where_the_page_says() {
    let said = format!("| {:#x} + 16n | 16 |", fault_record_offset(0));
    assert!(PAGE.contains(&said) && PAGE.contains(&format!("(0..{FAULT_RECORD_COUNT})")));
    let records = table().iter().filter(|register| register.name.starts_with("FRCD")).count();
    assert_eq!(records, 2 * FAULT_RECORD_COUNT);
}

/// Which bits may be written, where the page gives them in its access column.
#[test]
fn the_access_column_has_the_writable_bits() {
    let find = |offset: u64| table().into_iter().find(|register| register.offset as u64 == offset).unwrap();
    for line in PAGE.lines().filter(|line| line.starts_with("| 0x") && !line.starts_with("| 0x220")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let register = find(number(cells[1].split(", ").next().unwrap()));
        let bits = cells[3].rsplit(' ').next().unwrap();
        match cells[3] {
            "ro" | "wo" => assert_eq!((register.writable, register.clear), (0, 0), "{line}"),
            "rw" => assert!(register.writable != 0 && register.clear == 0, "{line}"),
            "rw bit 31" => assert_eq!((register.writable, register.clear), (1 << 31, 0), "{line}"),
            access if access.contains("rw1c") => {
                assert_eq!((register.writable, register.clear), (0, number(bits)), "{line}");
            }
            _ => assert_eq!((register.writable, register.clear), (number(bits), 0), "{line}"),
        }
    }
}
