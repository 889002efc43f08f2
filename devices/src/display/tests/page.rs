//! The register map of docs/display.md and the model say the same.

use crate::display::registers::*;
use crate::display::{Config, Display, DisplayParts, NoPictures};
use crate::function::Words;
use crate::testing::World;

const PAGE: &str = include_str!("../../../../docs/display.md");

/// A row of the page's register map.
struct Row {
    offset: u32,
    name: &'static str,
    wide: bool,
    access: &'static str,
    reset: Option<u32>,
}

fn number(text: &str) -> u32 {
    let parsed = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u32::from_str_radix(hex, 16));
    parsed.unwrap_or_else(|_| panic!("{text} is no number"))
}

fn rows() -> Vec<Row> {
    let is_row = |line: &&str| line.starts_with("| `0x");
    let row = |line: &'static str| {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let offset = number(cells[1].split('`').next().unwrap());
        let name = cells[2].split('`').next().unwrap();
        let reset = (!cells[4].is_empty()).then(|| number(cells[4]));
        Row { offset, name, wide: cells[2].ends_with("*64*"), access: cells[3], reset }
    };
    PAGE.lines().filter(is_row).map(row).collect()
}

fn fresh() -> (Display, World) {
    (
        Display::new(DisplayParts { config: Config::default(), sink: Box::new(NoPictures) }).unwrap(),
        World::new(0x1000),
    )
}

macro_rules! offsets {
    ($($name:ident)*) => { [$((stringify!($name), $name)),*] };
}

#[test]
fn every_register_is_at_the_offset_of_the_page() {
    let model = offsets!(
        ID MAX_SIZE IRQ_STATUS IRQ_ENABLE ERROR_STATUS NOW_NS NOW_CYCLES CRTC_ENABLE MODE_ACTIVE MODE_TOTAL
        MODE_CLOCK COMMIT COMMIT_ACCEPTED COMMIT_LATCHED VBLANK_COUNT VBLANK_CYCLES VBLANK_NS CRC_FRAME
        CRC_VALUE UNDERRUNS REFUSED FAULT_IOVA PLANE_CONTROL PLANE_FORMAT PLANE_TABLE PLANE_ENTRIES
        PLANE_OFFSET PLANE_PITCH PLANE_SIZE CONNECTOR EDID
    );
    let page: Vec<(&str, u32)> = rows().iter().map(|row| (row.name, row.offset)).collect();
    assert_eq!(page, model);
    assert!(PAGE.contains(&format!("| `{EDID:#x}`-`{:#x}` | `EDID` |", EDID_END - 1)));
}

#[test]
fn reset_values_are_those_of_the_page() {
    let (mut display, mut world) = fresh();
    for row in rows() {
        if let Some(reset) = row.reset {
            assert_eq!(display.read(row.offset, &mut world.ports()), reset, "{}", row.name);
        }
    }
}

#[test]
fn registers_that_are_not_on_the_page_read_as_zero() {
    let mut listed: Vec<u32> = (EDID..EDID_END).step_by(4).collect();
    for row in rows() {
        listed.push(row.offset);
        listed.extend(row.wide.then_some(row.offset + 4));
    }
    let (mut display, mut world) = fresh();
    for offset in (0..BAR0_BYTES).step_by(4).filter(|offset| !listed.contains(offset)) {
        display.write(offset, u32::MAX, &mut world.ports());
        assert_eq!(display.read(offset, &mut world.ports()), 0, "{offset:#x}");
    }
}

#[test]
fn access_is_as_the_page_says() {
    for row in rows().iter().filter(|row| !matches!(row.name, "NOW_NS" | "NOW_CYCLES")) {
        let (mut display, mut world) = fresh();
        let before = display.read(row.offset, &mut world.ports());
        display.write(row.offset, u32::MAX, &mut world.ports());
        let after = display.read(row.offset, &mut world.ports());
        match (row.access, row.name) {
            // A fresh device refuses both, and has nothing to clear.
            ("RW", "CRTC_ENABLE" | "COMMIT") | ("RO" | "W1C", _) => assert_eq!(after, before, "{}", row.name),
            ("RW", _) => assert_ne!(after, before, "{}", row.name),
            (other, name) => panic!("unknown access {other} of {name}"),
        }
    }
}
