//! The devices' registers are where the pages say that they are. `devices/src/registers/tests.rs` compares each device's table
//! with its page, row by row.

use fencepost_firmware::layout;

use super::page::{COLUMNS, Table, number, number_after, page};
use super::{FUNCTIONS, bar0, config, machine, read};

/// The register tables of a page.
pub fn tables(name: &str) -> Vec<Table> {
    Table::with_columns(&page(name), &COLUMNS)
}

/// The offset and the reset value of `register` on a page.
fn stated(name: &str, register: &str) -> (u64, u64) {
    let tables = tables(name);
    let mut rows = tables.iter().flat_map(Table::rows);
    let row = rows.find(|row| row.cell("name") == register).expect("a row");
    (number(&row.cell("offset")).expect("an offset"), number(&row.cell("reset")).expect("a value"))
}

#[test]
fn the_registers_of_each_page_are_in_bar_0_of_its_function() {
    let mut machine = machine();
    for (slot, name) in FUNCTIONS {
        let (offset, id) = stated(name, "ID");
        let base = bar0(&mut machine, slot);
        assert_eq!(read(&mut machine, base + offset, 4), id, "{name}");
    }
}

#[test]
fn the_iommus_registers_are_where_its_page_says() {
    let (mut machine, text) = (machine(), page("iommu.md"));
    assert_eq!(number_after(&text, "at guest-physical"), layout::DMAR_UNIT);
    for register in ["VER", "CAP", "ECAP"] {
        let (offset, value) = stated("iommu.md", register);
        let width = if register == "VER" { 4 } else { 8 };
        assert_eq!(read(&mut machine, layout::DMAR_UNIT + offset, width), value, "{register}");
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

#[test]
fn the_host_bridge_has_no_registers() {
    let mut machine = machine();
    for bar in 0..6 {
        assert_eq!(read(&mut machine, config(0, 0x10 + 4 * bar), 4), 0);
    }
}
