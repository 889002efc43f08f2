//! Address spaces: offsets, bits and codes are restated from docs/gpu.md.

use zerocopy::little_endian::{U32, U64};

use super::faults::recovers;
use super::fixture::*;
use crate::function::{Function, Words};
use crate::gpu::packet::{RawOperand, RawPacket};
use crate::gpu::{Gpu, GpuConfig};
use crate::state::Stateful;

const ERROR_CONTEXT: u32 = 0x68;
const TABLE: u32 = 0x040;
const COUNT: u32 = 0x048;
const INVALIDATE: u32 = 0x04c;

const CONTEXTS: u64 = 0x8000;
/// The tables of context n: at this and 0x1000 n, three of them.
const DIRECTORIES: u64 = 0x5_0000;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 2;
const LARGE: u64 = 0x80;

const PACKET: u32 = 2;
const BOUNDS: u32 = 4;
const DMA: u32 = 5;
const NO_CONTEXT: u32 = 10;
const NOT_PRESENT: u32 = 11;
const READ_ONLY: u32 = 12;
const BAD_TABLE: u32 = 13;

/// Somewhere in the middle of an address space, with three indices that differ.
const BASE: u64 = 5 << 30 | 6 << 21 | 7 << 12;

/// A driver with two contexts, 1 and 2, that have no pages yet.
fn driver() -> Driver {
    let mut driver = Driver::new();
    for context in 1..=2 {
        driver.set_word(CONTEXTS + 8 * context, directory(context) | PRESENT);
        driver.set_word(directory(context) + 8 * 5, (directory(context) + 0x1000) | PRESENT);
        driver.set_word(directory(context) + 0x1000 + 8 * 6, (directory(context) + 0x2000) | PRESENT);
    }
    global(&mut driver, TABLE, CONTEXTS as u32);
    global(&mut driver, COUNT, 3);
    driver
}

fn directory(context: u64) -> u64 {
    DIRECTORIES + 0x4000 * context
}

fn global(driver: &mut Driver, offset: u32, value: u32) {
    driver.gpu.write(offset, value, &mut driver.world.ports());
}

/// Sets the entry of page `number` from BASE on.
fn map(driver: &mut Driver, context: u64, number: u64, entry: u64) {
    driver.set_word(directory(context) + 0x2000 + 8 * (7 + number), entry);
}

fn at(address: u64, stride: u32) -> RawOperand {
    RawOperand { table: U64::new(address), stride: U32::new(stride), ..RawOperand::default() }
}

fn of(context: u32, packet: RawPacket) -> RawPacket {
    RawPacket { context: U32::new(context), ..packet }
}

/// What the ring says of its error: code, address and context.
fn error(driver: &mut Driver, ring: u32) -> (u32, u64, u32) {
    (driver.read(ring, ERROR_CODE), driver.read64(ring, ERROR_ADDRESS), driver.read(ring, ERROR_CONTEXT))
}

#[test]
fn a_window_crosses_pages_by_its_contexts_tables() {
    let mut driver = driver();
    for (number, (one, other)) in (0..).zip(PAGES.into_iter().zip(OTHER_PAGES)) {
        map(&mut driver, 1, number, one | PRESENT | WRITABLE);
        map(&mut driver, 2, number, other | PRESENT | WRITABLE);
    }
    let bytes = noise(4 * 4096);
    driver.store(&PAGES, &bytes);
    // The same address, in two spaces: 3 rows of 4999 bytes from an odd place on.
    let list = driver.pages(&OTHER_PAGES);
    driver.run(0, &[of(1, copy(at(BASE + 16, 5001), at(BASE + 1, 5000), 4096, 1))]);
    driver.run(
        1,
        &[of(2, fill(at(BASE, 0), 4096 * 4, 1, 0x0707_0707)), copy(list.at(0, 0), list.at(8, 0), 16, 1)],
    );
    let mut expected = bytes.clone();
    expected.copy_within(1..4097, 16);
    assert_eq!(driver.contents(&PAGES), expected);
    assert_eq!(driver.contents(&OTHER_PAGES), [7; 4 * 4096]);
    assert_eq!((error(&mut driver, 0), error(&mut driver, 1)), ((0, 0, 0), (0, 0, 0)));
}

#[test]
fn a_fault_names_its_address_and_context_and_halts_its_ring_alone() {
    let reserved = 1 << 62;
    let rows: &[(&str, u64, u64, u32, u64)] = &[
        ("nothing", 0, BASE, NOT_PRESENT, BASE),
        ("behind a page", PAGES[0] | PRESENT | WRITABLE, BASE + 4088, NOT_PRESENT, BASE + 4096),
        ("a page to read", PAGES[0] | PRESENT, BASE + 8, READ_ONLY, BASE + 8),
        ("a reserved bit", PAGES[0] | PRESENT | WRITABLE | reserved, BASE, BAD_TABLE, BASE),
        ("a large page at the last level", PAGES[0] | PRESENT | WRITABLE | LARGE, BASE, BAD_TABLE, BASE),
        ("another table", PAGES[0] | PRESENT | WRITABLE, BASE - (1 << 21), NOT_PRESENT, BASE - (1 << 21)),
        ("another directory", PAGES[0] | PRESENT | WRITABLE, BASE - (1 << 30), NOT_PRESENT, BASE - (1 << 30)),
        ("a page without memory", 1 << 40 | PRESENT | WRITABLE, BASE + 16, DMA, 1 << 40 | 16),
        ("beyond the space", 0, 1 << 39, BOUNDS, 0),
        ("across its end", 0, (1 << 39) - 8, BOUNDS, 0),
    ];
    for &(why, entry, address, code, faulted) in rows {
        let mut driver = driver();
        map(&mut driver, 1, 0, entry);
        map(&mut driver, 2, 0, OTHER_PAGES[0] | PRESENT | WRITABLE);
        driver.run(0, &[of(1, fill(at(address, 0), 16, 1, 1)), fence(1)]);
        assert_eq!(error(&mut driver, 0), (code, faulted, 1), "{why}");
        assert_eq!((driver.read(0, ERROR_PACKET), driver.word(fence_word(0))), (0, 0), "{why}");
        assert_eq!(driver.world.take_raised(), [ERRORS], "{why}");
        driver.run(1, &[of(2, fill(at(BASE, 0), 16, 1, 9)), fence(5)]);
        assert_eq!((driver.word(OTHER_PAGES[0]), driver.word(fence_word(1))), (0x9_0000_0009, 5), "{why}");
        recovers(&mut driver, 0);
        assert_eq!(error(&mut driver, 0), (0, 0, 0), "{why}");
    }
}

#[test]
fn a_packet_of_no_context_halts_the_ring() {
    let rows: &[(&str, u32, u64)] = &[
        ("an entry that is not there", 2, 0),
        ("an entry with a reserved bit", 2, directory(2) | PRESENT | 0x10),
        ("a number beyond the table", 3, 0),
        ("the largest number", u32::MAX, 0),
    ];
    for &(why, context, entry) in rows {
        let mut driver = driver();
        driver.set_word(CONTEXTS + 16, entry);
        driver.run(0, &[of(context, fill(at(BASE, 0), 16, 1, 1))]);
        assert_eq!(error(&mut driver, 0), (NO_CONTEXT, BASE, context), "{why}");
    }
}

#[test]
fn a_context_has_no_lists() {
    let mut driver = driver();
    let list = driver.pages(&PAGES);
    driver.run(0, &[of(1, fill(list.at(0, 0), 16, 1, 1))]);
    assert_eq!(error(&mut driver, 0), (PACKET, 0, 1));
}

#[test]
fn semaphores_checksums_and_fences_are_at_addresses_of_their_context() {
    let mut driver = driver();
    map(&mut driver, 1, 0, PAGES[0] | PRESENT | WRITABLE);
    let address = |offset| U64::new(BASE + offset);
    driver.store(&PAGES[..1], b"123456789");
    let sum = RawPacket {
        src: at(BASE, 0),
        width: U32::new(9),
        height: U32::new(1),
        address: address(16),
        ..packet(10)
    };
    driver.run(0, &[of(1, sum), of(1, RawPacket { address: address(24), ..wait(4) }), fence(1)]);
    // The check value of CRC-32.
    assert_eq!((driver.word(PAGES[0] + 16), driver.read64(0, SEQNO)), (0xcbf4_3926, 0));
    driver.run(1, &[of(1, RawPacket { address: address(24), ..signal(4) })]);
    assert_eq!((driver.word(PAGES[0] + 24), driver.read64(0, SEQNO)), (4, 1));
    driver.run(1, &[of(1, RawPacket { address: address(32), ..fence(8) })]);
    assert_eq!(driver.word(PAGES[0] + 32), driver.read64(1, BUSY_CYCLES) - 500);
    driver.run(1, &[of(1, RawPacket { address: address(4096), ..signal(4) })]);
    assert_eq!(error(&mut driver, 1), (NOT_PRESENT, BASE + 4096, 1));
}

#[test]
fn a_large_page_is_two_mebibytes() {
    let mut driver = driver();
    // Memory has one: its first, of which tests have the half.
    driver.set_word(directory(1) + 0x1000 + 8 * 6, PRESENT | WRITABLE | LARGE);
    let start = BASE & !0x1f_ffff;
    driver.run(0, &[of(1, fill(at(start + PAGES[0] + 4088, 0), 16, 1, 3))]);
    assert_eq!((driver.word(PAGES[0] + 4088), driver.word(PAGES[3])), (0x3_0000_0003, 0x3_0000_0003));
    driver.set_word(directory(1) + 0x1000 + 8 * 6, PRESENT | WRITABLE | LARGE | 0x1000);
    // It is kept as a whole: another of its small pages needs no table.
    driver.run(0, &[of(1, fill(at(start + OTHER_PAGES[0], 0), 8, 1, 7))]);
    assert_eq!(driver.word(OTHER_PAGES[0]), 0x7_0000_0007);
    global(&mut driver, INVALIDATE, 1);
    driver.run(0, &[of(1, fill(at(start, 0), 16, 1, 3))]);
    assert_eq!(error(&mut driver, 0), (BAD_TABLE, start, 1));
}

#[test]
fn a_translation_is_used_until_it_is_invalidated() {
    for (register, value) in [(INVALIDATE, 1), (INVALIDATE, 1 << 31)] {
        let mut driver = driver();
        map(&mut driver, 1, 0, PAGES[0] | PRESENT | WRITABLE);
        driver.run(0, &[of(1, fill(at(BASE, 0), 8, 1, 1))]);
        map(&mut driver, 1, 0, OTHER_PAGES[0] | PRESENT | WRITABLE);
        // That of another context is not it.
        global(&mut driver, INVALIDATE, 2);
        driver.run(0, &[of(1, fill(at(BASE, 0), 8, 1, 2))]);
        assert_eq!((driver.word(PAGES[0]) as u32, driver.word(OTHER_PAGES[0])), (2, 0));
        global(&mut driver, register, value);
        driver.run(0, &[of(1, fill(at(BASE, 0), 8, 1, 3))]);
        assert_eq!((driver.word(PAGES[0]) as u32, driver.word(OTHER_PAGES[0]) as u32), (2, 3));
    }
}

#[test]
fn a_line_of_entries_is_read_at_once_and_a_table_is_found_again() {
    let mut driver = driver();
    // Entries 8 and 9 of the third table are in one line, entry 16 is in another.
    let (first, second, later) = (1, 2, 9);
    let page = |number: u64| BASE + 0x1000 * number;
    map(&mut driver, 1, first, PAGES[0] | PRESENT | WRITABLE);
    map(&mut driver, 1, second, PAGES[1] | PRESENT | WRITABLE);
    driver.run(0, &[of(1, fill(at(page(first), 0), 8, 1, 1))]);
    // Both are kept, and so is the place of the table, which nothing leads to any more.
    map(&mut driver, 1, second, OTHER_PAGES[0] | PRESENT | WRITABLE);
    map(&mut driver, 1, later, PAGES[2] | PRESENT | WRITABLE);
    driver.set_word(directory(1) + 0x1000 + 8 * 6, 0);
    let fills =
        [(second, 2), (later, 3)].map(|(number, value)| of(1, fill(at(page(number), 0), 8, 1, value)));
    driver.run(0, &fills);
    let words = [PAGES[1], PAGES[2], OTHER_PAGES[0]].map(|address| driver.word(address) as u32);
    assert_eq!((error(&mut driver, 0).0, words), (0, [2, 3, 0]));
    global(&mut driver, INVALIDATE, 1);
    driver.run(0, &fills);
    assert_eq!(error(&mut driver, 0), (NOT_PRESENT, page(second), 1));
}

#[test]
fn what_was_not_there_or_not_writable_needs_no_invalidation() {
    let mut driver = driver();
    let sum = RawPacket {
        src: at(BASE, 0),
        width: U32::new(4),
        height: U32::new(1),
        address: U64::new(BASE),
        ..packet(10)
    };
    driver.run(0, &[of(1, sum)]);
    assert_eq!(error(&mut driver, 0).0, NOT_PRESENT);
    recovers(&mut driver, 0);
    map(&mut driver, 1, 0, PAGES[0] | PRESENT);
    driver.run(0, &[of(1, sum)]);
    assert_eq!(error(&mut driver, 0).0, READ_ONLY);
    recovers(&mut driver, 0);
    map(&mut driver, 1, 0, PAGES[0] | PRESENT | WRITABLE);
    driver.run(0, &[of(1, sum)]);
    assert_eq!((error(&mut driver, 0).0, driver.word(PAGES[0])), (0, 0x2144_df1c));
}

#[test]
fn a_restored_gpu_has_the_translations_that_the_saved_one_had() {
    let mut driver = driver();
    map(&mut driver, 1, 0, PAGES[0] | PRESENT | WRITABLE);
    driver.run(0, &[of(1, fill(at(BASE, 0), 8, 1, 1))]);
    map(&mut driver, 1, 0, 0);
    let saved = driver.gpu.save();
    driver.gpu = Gpu::restore(GpuConfig::default(), saved.clone()).unwrap();
    driver.run(0, &[of(1, fill(at(BASE, 0), 8, 1, 2))]);
    assert_eq!(driver.word(PAGES[0]), 0x2_0000_0002);
    // A reset forgets them, and the table of contexts.
    driver.gpu.reset(&mut driver.world.ports());
    assert_eq!(driver.gpu.save(), Gpu::new(GpuConfig::default()).save());
    let mut wrong = saved;
    // It was read of a table of another context, whose place is another's.
    let mut places = serde_json::to_value(&wrong.mmu.tlb).unwrap();
    let pages = places["pages"].as_array_mut().unwrap();
    let kept = pages.iter().position(|place| !place.is_null()).unwrap();
    pages[kept]["context"] = 2.into();
    wrong.mmu.tlb = serde_json::from_value(places).unwrap();
    assert!(Gpu::restore(GpuConfig::default(), wrong).is_err());
}
