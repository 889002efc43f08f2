//! docs/machine.md: ports, addresses, the date; and the trace port of docs/trace-agent.md.

use std::collections::BTreeSet;

use fencepost_firmware::layout;

use super::page::{Table, number, number_after, page};
use crate::machine::map;
use crate::machine::testing::standard;

/// The numbers of `A`, `A, B` or `A to B`, ends included.
fn range(text: &str) -> Vec<std::ops::RangeInclusive<u64>> {
    let one = |text: &str| number(text).unwrap_or_else(|| panic!("no number: {text}"));
    match text.split_once(" to ") {
        Some((first, last)) => vec![one(first)..=one(last)],
        None => text.split(", ").map(|text| one(text)..=one(text)).collect(),
    }
}

#[test]
fn the_ports_that_answer_are_those_of_the_page() {
    let page = page("machine.md");
    let table = Table::after(&page, "## Ports");
    let stated: BTreeSet<u64> =
        table.rows().flat_map(|row| range(&row.cell("port"))).flat_map(|ports| ports.into_iter()).collect();
    let answering = (0..=u16::MAX).filter(|port| map::port(*port).is_some()).map(u64::from);
    // A 32-bit register's other three bytes are nobody's.
    let found: BTreeSet<u64> = answering.filter(|port| !(0xcf9..0xcfc).contains(port)).collect();
    assert_eq!(found, stated);
    assert!(page.contains("Other ports read as all ones and ignore writes"));
    let mut machine = standard();
    for port in [0x60, 0x71 + 1, 0x600 + 3, 0xcf9, 0xffff] {
        let mut byte = [0];
        machine.read_port(port, &mut byte);
        assert_eq!(byte, [0xff], "{port:#x}");
    }
}

#[test]
fn the_addresses_are_those_of_the_page() {
    let page = page("machine.md");
    let mut answering = 0;
    for row in Table::after(&page, "## Physical addresses").rows() {
        let (address, what) = (row.cell("address"), row.cell("what"));
        if address.ends_with(" and up") {
            assert_eq!(number(address.trim_end_matches(" and up")), Some(layout::HIGH_RAM));
            continue;
        }
        let range = range(&address).pop().expect("a range");
        if what.starts_with("RAM") {
            assert_eq!(range.end() + 1, layout::LOW_RAM_END);
            continue;
        }
        let target = map::mmio(*range.start()).map(|(target, offset)| (target, offset == 0));
        assert!(target.is_some_and(|(_, first)| first), "{what}");
        if range.start() != range.end() {
            assert_eq!(map::mmio(*range.end()).map(|(target, _)| target), target.map(|(target, _)| target));
            assert_ne!(
                map::mmio(*range.end() + 1).map(|(target, _)| target),
                target.map(|(target, _)| target)
            );
        }
        answering += 1;
    }
    assert_eq!(answering, 6);
}

/// As Linux reads it (mc146818_get_time): BCD, whatever register B says.
#[test]
fn the_date_is_that_of_the_page() {
    let mut machine = standard();
    let mut register = |index: u8| {
        let mut byte = [0];
        machine.write_port(0x70, &[index]);
        machine.read_port(0x71, &mut byte);
        assert!(byte[0] & 0xf < 10 && byte[0] >> 4 < 10, "{index}: {:#x} is not BCD", byte[0]);
        u32::from(byte[0] >> 4) * 10 + u32::from(byte[0] & 0xf)
    };
    let [second, minute, hour, day, month, year] = [0, 2, 4, 7, 8, 9].map(&mut register);
    let date = format!("20{year:02}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    assert!(page("machine.md").contains(&format!("stands still at {date}:")), "{date}");
    assert!(page("boot.md").contains(&format!("stands still at {}:", &date[..10])));
}

#[test]
fn the_trace_port_asks_as_its_page_says() {
    let text = page("trace-agent.md");
    let ports = range("0x610 to 0x613").pop().expect("a range");
    assert!(text.contains("Four byte ports, 0x610 to 0x613"));
    assert_eq!(*ports.start(), u64::from(layout::TRACE_PORT.start));
    let mut machine = standard();
    machine.trace_guest();
    let mut word = [0; 4];
    machine.read_port(layout::TRACE_PORT.start, &mut word);
    assert_eq!(u64::from(u32::from_le_bytes(word)), number_after(&text, "\"FPT1\" ("));
}
