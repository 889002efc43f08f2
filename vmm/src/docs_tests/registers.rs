//! The register tables of the functions' pages and of the IOMMU's.

use std::collections::{BTreeMap, BTreeSet};

use fencepost_firmware::layout;

use super::page::{Row, Table, number, number_after, page};
use super::{FUNCTIONS, bar0, config, machine, read};
use crate::machine::Machine;

/// A register as its page has it.
pub struct Register {
    pub name: String,
    pub offset: u64,
    bytes: usize,
    read_only: bool,
    reset: String,
}

impl Register {
    /// Of a row of one of the three pages, whose columns differ a little. None for a range of bytes.
    fn of(row: &Row<'_>, base: u64) -> Option<Self> {
        let offsets = row.cell("offset");
        let mut words = offsets.split(", ").map(|word| number(word.trim_start_matches('+')));
        let offset = words.next()??;
        let wide = words.next().is_some() || row.cell("name").contains("*64*") || bits(row) == Some(64);
        let name = row.cell("name").replace("*64*", "").trim().to_owned();
        let (bytes, read_only) = (if wide { 8 } else { 4 }, row.cell("access") == "RO");
        Some(Register { name, offset: base + offset, bytes, read_only, reset: row.cell("reset") })
    }
}

fn bits(row: &Row<'_>) -> Option<u64> {
    row.has("bits").then(|| number(&row.cell("bits"))).flatten()
}

/// The registers of a page, those of the GPU's two rings with each ring's name and offset.
pub fn registers(name: &str) -> Vec<Register> {
    let text = page(name);
    let of = |heading: &str, base| -> Vec<Register> {
        Table::after(&text, heading).rows().filter_map(|row| Register::of(&row, base)).collect()
    };
    match name {
        "gpu.md" => {
            let ring = "### Ring *n*, at 0x100 × (*n* + 1)";
            [of("### Global", 0), of(ring, 0x100), of(ring, 0x200)].into_iter().flatten().collect()
        }
        "camera.md" => of("## Registers", 0),
        _ => of("## Register map", 0),
    }
}

/// What a reset value of the page comes to: a number, another register, or a multiple of one. None where it is not of the
/// device but of its configuration.
fn reset(stated: &str, values: &BTreeMap<String, u64>) -> Option<u64> {
    match stated.split_once(" x ") {
        Some((factor, name)) => Some(number(factor)? * values.get(name)?),
        None => number(stated).or_else(|| values.get(stated).copied()),
    }
}

/// Offsets that the page gives another meaning than a row's: bytes of a block.
fn block(name: &str) -> std::ops::Range<u64> {
    if name == "display.md" { 0x900..0x980 } else { 0..0 }
}

fn is_clock(register: &Register) -> bool {
    register.name.starts_with("NOW_")
}

#[test]
fn every_register_has_the_reset_value_of_its_page() {
    for (slot, name) in FUNCTIONS {
        let mut machine = machine();
        let base = bar0(&mut machine, slot);
        let (mut values, mut checked) = (BTreeMap::new(), 0);
        let all = registers(name);
        for register in &all {
            let value = read(&mut machine, base + register.offset, register.bytes);
            values.insert(register.name.clone(), value);
            if let Some(expected) = reset(&register.reset, &values) {
                assert_eq!(value, expected, "{name}: {}", register.name);
                checked += 1;
            }
        }
        // Those left out are of the command line's: sources, modes, cost models, clocks.
        assert!(all.len() - checked <= 9 && checked >= 25, "{name}: {checked} of {}", all.len());
    }
}

#[test]
fn read_only_registers_ignore_writes_and_what_is_not_listed_reads_as_zero() {
    for (slot, name) in FUNCTIONS {
        let mut machine = machine();
        let base = bar0(&mut machine, slot);
        let all = registers(name);
        for register in all.iter().filter(|register| register.read_only && !is_clock(register)) {
            let before = read(&mut machine, base + register.offset, register.bytes);
            for at in (register.offset..).step_by(4).take(register.bytes / 4) {
                machine.write_mmio(base + at, &[0xff; 4]);
            }
            let after = read(&mut machine, base + register.offset, register.bytes);
            assert_eq!(after, before, "{name}: {}", register.name);
        }
        let listed: BTreeSet<u64> =
            all.iter().flat_map(|register| (register.offset..).step_by(4).take(register.bytes / 4)).collect();
        for offset in (0..4096).step_by(4).filter(|at| !listed.contains(at) && !block(name).contains(at)) {
            machine.write_mmio(base + offset, &[0xff; 4]);
            assert_eq!(read(&mut machine, base + offset, 4), 0, "{name}: {offset:#x} is not on the page");
        }
    }
}

#[test]
fn the_cost_models_and_the_monitor_are_those_of_the_pages() {
    let mut machine = machine();
    let camera = bar0(&mut machine, layout::CAMERA_SLOT);
    let text = page("camera.md");
    assert_eq!(read(&mut machine, camera + 0x3c, 4), number_after(&text, "Defaults:"));
    assert_eq!(read(&mut machine, camera + 0x40, 4), number_after(&text, "cycles and"));
    let display = bar0(&mut machine, layout::DISPLAY_SLOT);
    let text = page("display.md");
    let edid: Vec<u8> = (0x900..0x980).map(|at| read(&mut machine, display + at, 1) as u8).collect();
    assert_eq!(edid.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0, "the block sums up to zero");
    // VESA E-EDID 1.4, 3.10.2: the first detailed timing.
    let timing = &edid[54..72];
    let wide = |low: u8, high: u8| u64::from(low) | u64::from(high) << 8;
    let width = wide(timing[2], timing[4] >> 4);
    let height = wide(timing[5], timing[7] >> 4);
    let (blank_x, blank_y) = (wide(timing[3], timing[4] & 0xf), wide(timing[6], timing[7] & 0xf));
    assert_eq!(width, number_after(&text, "height=,hz=`, default"));
    assert_eq!(height, number_after(&text, "default 1024 x"));
    assert_eq!(blank_x, number_after(&text, "one detailed timing with"));
    assert!(blank_y >= number_after(&text, "at\nleast"));
    assert_eq!(u64::from(timing[8]), number_after(&text, "horizontal blank (front"));
    assert_eq!(u64::from(timing[9]), number_after(&text, "(front 48, sync"));
    // The pixel clock, in 10 kHz: the rate of the page to a thousandth.
    let rate = number_after(&text, "x 768 at");
    let clock = wide(timing[0], timing[1]) * 10_000;
    let millihertz = clock * 1000 / ((width + blank_x) * (height + blank_y));
    assert!(millihertz.abs_diff(rate * 1000) <= rate, "{millihertz}");
}

/// The words that follow "`CAP` (0x08) reads": four groups of four digits.
fn announced(text: &str, register: &str) -> u64 {
    let at = text.find(&format!("{register} reads `")).expect("it is announced");
    let digits = text[at..].split('`').nth(1).expect("digits").replace(' ', "");
    u64::from_str_radix(&digits, 16).expect("hexadecimal")
}

fn check_iommu_row(machine: &mut Machine, text: &str, row: &Row<'_>) -> usize {
    let (name, access) = (row.cell("register"), row.cell("access"));
    let offsets = row.cell("offset");
    let Some(bytes) = number(&row.cell("width")).map(|width| width as usize) else { return 0 };
    let places: Vec<u64> = match offsets.split_once(" + 16n") {
        Some((first, _)) => (0..8).map(|n| number(first).expect("an offset") + 16 * n).collect(),
        None => offsets.split(", ").map(|at| number(at).expect("an offset")).collect(),
    };
    let expected = match row.cell("reset").as_str() {
        "above" => Some(announced(text, &format!("{name} ({offsets})"))),
        other => number(other),
    };
    for offset in places {
        let at = layout::DMAR_UNIT + offset;
        for half in (0..bytes as u64).step_by(8) {
            let value = read(machine, at + half, bytes.min(8));
            assert!(expected.is_none_or(|expected| value == expected), "{name} at {offset:#x}: {value:#x}");
        }
        if access == "ro" {
            let before = read(machine, at, bytes);
            machine.write_mmio(at, &(!before).to_le_bytes()[..bytes]);
            assert_eq!(read(machine, at, bytes), before, "{name} is read-only");
        }
    }
    usize::from(expected.is_some())
}

#[test]
fn the_iommus_registers_are_those_of_its_page() {
    let (mut machine, text) = (machine(), page("iommu.md"));
    assert_eq!(number_after(&text, "at guest-physical"), layout::DMAR_UNIT);
    let table = Table::after(&text, "## Registers");
    let checked: usize = table.rows().map(|row| check_iommu_row(&mut machine, &text, &row)).sum();
    assert!(checked >= 17, "{checked}");
}

#[test]
fn the_host_bridge_has_no_registers() {
    let mut machine = machine();
    for bar in 0..6 {
        assert_eq!(read(&mut machine, config(0, 0x10 + 4 * bar), 4), 0);
    }
}
