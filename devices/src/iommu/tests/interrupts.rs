//! Interrupt remapping. Formats, bits and fault reasons are restated from the specification (5.1, 7, 9.10, 10.4).

use super::*;
use crate::state::{Stateful, pack, unpack};

const IRTA: u64 = 0xb8;
const INTERRUPTS: u64 = 0x20_0000;
const RECORD: u64 = 0x220;
const FUNCTION: MsiSource = MsiSource::Vector { rid: RID, vector: 0 };
/// IRE, QIE; the table pointer was set before.
const ON: u32 = 1 << 25 | 1 << 26;
const CFI: u32 = 1 << 23;
/// P, vector 0x51, destination 1 (xAPIC mode).
const ENTRY: u64 = 1 | 0x51 << 16 | 1 << 40;
/// SVT 1: the whole source id.
const EXACT: u64 = 1 << 18;

/// A unit that remaps interrupts by a table of 256 entries, all of them empty; its fault event is an MSI.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.unit = Iommu::remapping_interrupts();
    bench.write32(0x3c, 0x4021);
    bench.write32(0x40, 0xfee0_0000);
    bench.write32(0x38, 0);
    bench.write64(0x90, QUEUE);
    bench.write64(IRTA, INTERRUPTS | 7);
    bench.write32(0x18, 1 << 24);
    assert_eq!(bench.read32(0x1c) >> 24 & 1, 1, "IRTPS");
    bench.write32(0x18, ON);
    assert_eq!(bench.read32(0x1c) & ON, ON);
    bench
}

fn entry(bench: &mut Bench, index: u64, low: u64, high: u64) {
    bench.platform.write_u64(INTERRUPTS + 16 * index, low);
    bench.platform.write_u64(INTERRUPTS + 16 * index + 8, high);
}

/// The address of a request in remappable format: handle in bits 5 to 19 and 2, format in 4.
fn request(handle: u64) -> u64 {
    0xfee0_0000 | (handle & 0x7fff) << 5 | 1 << 4 | (handle >> 15) << 2
}

/// The reason, requester and index of fault record 0, which was not in use before.
fn recorded(bench: &Bench) -> Option<(u64, u16, u64)> {
    let (low, high) = (bench.read64(RECORD), bench.read64(RECORD + 8));
    (high >> 63 != 0).then_some((high >> 32 & 0xff, high as u16, low >> 48))
}

#[test]
fn remapping_is_announced_only_where_it_is_asked_for() {
    let ecap = bench().read64(0x10);
    assert_eq!((ecap >> 3 & 1, ecap >> 4 & 1, ecap >> 20 & 0xf), (1, 0, 15), "IR, no EIM, MHMV");
    let mut without = Bench::running();
    assert_eq!(without.read64(0x10) >> 3 & 1, 0);
    without.write32(0x18, 1 << 24 | ON | CFI);
    assert_eq!(without.read32(0x1c) & (1 << 24 | 1 << 25 | CFI), 0);
    without.queue(4, 0);
    assert_eq!((without.read32(0x34) >> 4 & 1, without.read64(0xb0)), (1, 3), "IQE: no such descriptor");
}

#[test]
fn an_entry_says_what_the_cpu_gets() {
    let mut bench = bench();
    entry(&mut bench, 5, ENTRY, EXACT | u64::from(RID));
    // Fixed, edge, physical.
    let sent = bench.interrupt(FUNCTION, request(5), 0).unwrap();
    assert_eq!((sent.address, sent.data & 0x87ff), (0xfee0_1000, 0x51));
    // Lowest priority, level, logical, with the redirection hint.
    entry(&mut bench, 6, ENTRY | 1 << 5 | 1 << 4 | 1 << 3 | 1 << 2, 0);
    let sent = bench.interrupt(FUNCTION, request(6), 0).unwrap();
    assert_eq!((sent.address, sent.data), (0xfee0_1000 | 1 << 3 | 1 << 2, 0xc151));
    assert_eq!((recorded(&bench), bench.take_messages().len()), (None, 0));
}

#[test]
fn the_index_is_the_handle_and_if_it_counts_the_subhandle() {
    let mut bench = bench();
    bench.write64(IRTA, INTERRUPTS | 15);
    bench.write32(0x18, 1 << 24 | ON);
    for (index, vector) in [(0x20, 0x41), (0x23, 0x42), (0x8001, 0x43)] {
        entry(&mut bench, index, ENTRY & !(0xff << 16) | vector << 16, 0);
    }
    let mut vector = |address, data| bench.interrupt(FUNCTION, address, data).map(|sent| sent.data & 0xff);
    assert_eq!(vector(request(0x20), 3), Some(0x41), "SHV is clear");
    assert_eq!(vector(request(0x20) | 1 << 3, 3), Some(0x42));
    assert_eq!(vector(request(0x8001), 0), Some(0x43));
    assert_eq!(vector(request(0x8000) | 1 << 3, 1), Some(0x43));
}

#[test]
fn every_defect_has_the_manuals_reason() {
    let good = EXACT | u64::from(RID);
    // What is in entry 5, how it is asked for, the reason, and the index that is recorded.
    let each = [
        (ENTRY, good, request(5), 0x1_0000, (0x20, 0)),
        (ENTRY, good, request(256), 0, (0x21, 256)),
        (ENTRY & !1, good, request(5), 0, (0x22, 5)),
        (ENTRY | 1 << 12, good, request(5), 0, (0x24, 5)),
        (ENTRY | 1 << 15, good, request(5), 0, (0x24, 5)),
        (ENTRY | 1 << 24, good, request(5), 0, (0x24, 5)),
        (ENTRY | 1 << 32, good, request(5), 0, (0x24, 5)),
        (ENTRY | 1 << 48, good, request(5), 0, (0x24, 5)),
        (ENTRY | 3 << 5, good, request(5), 0, (0x24, 5)),
        (ENTRY, good | 1 << 20, request(5), 0, (0x24, 5)),
        (ENTRY, good | 3 << 18, request(5), 0, (0x24, 5)),
        (ENTRY, good, 0xfee0_1000, 0x51, (0x25, 0)),
        (ENTRY, EXACT | 0x10, request(5), 0, (0x26, 5)),
    ];
    for (low, high, address, data, (reason, index)) in each {
        let mut bench = bench();
        entry(&mut bench, 5, low, high);
        assert_eq!(bench.interrupt(FUNCTION, address, data), None);
        assert_eq!(recorded(&bench), Some((reason, RID, index)), "{low:#x} {high:#x} {address:#x}");
        let event = bench.take_messages();
        assert_eq!(event.len(), 1, "the fault event");
        assert_eq!(bench.interrupt(event[0].source, event[0].address, event[0].data), Some(event[0]));
    }
    let mut outside = bench();
    outside.write64(IRTA, 0x7fff_0000_0007);
    outside.write32(0x18, 1 << 24 | ON);
    assert_eq!(outside.interrupt(FUNCTION, request(5), 0), None);
    assert_eq!(recorded(&outside), Some((0x23, RID, 5)));
}

#[test]
fn the_source_is_verified_as_svt_and_sq_say() {
    // SVT, SQ, SID, who asks, whether that is right.
    let each = [
        (0, 0, 0x0000, 0x1234, true),
        (1, 0, 0x0008, 0x0008, true),
        (1, 0, 0x0008, 0x000c, false),
        (1, 1, 0x0008, 0x000c, true),
        (1, 1, 0x0008, 0x000a, false),
        (1, 2, 0x0008, 0x000e, true),
        (1, 2, 0x0008, 0x0009, false),
        (1, 3, 0x0008, 0x000f, true),
        (1, 3, 0x0008, 0x0010, false),
        // A range of buses: first in bits 8 to 15, last in 0 to 7.
        (2, 0, 0x0204, 0x0200, true),
        (2, 0, 0x0204, 0x04ff, true),
        (2, 0, 0x0204, 0x0500, false),
        (2, 0, 0x0204, 0x01ff, false),
    ];
    for (svt, sq, sid, rid, right) in each {
        let mut bench = bench();
        entry(&mut bench, 5, ENTRY, svt << 18 | sq << 16 | sid);
        let sent = bench.interrupt(MsiSource::Vector { rid, vector: 0 }, request(5), 0);
        assert_eq!(sent.is_some(), right, "SVT {svt}, SQ {sq}, SID {sid:#x}, requester {rid:#x}");
    }
}

#[test]
fn compatibility_format_passes_where_it_is_allowed_and_the_cpu_is_never_remapped() {
    let mut bench = bench();
    let pin = MsiSource::Pin { rid: 0xf0f8 };
    assert_eq!(bench.interrupt(pin, 0xfee0_0000, 0x31), None);
    assert_eq!(recorded(&bench), Some((0x25, 0xf0f8, 0)));
    assert!(bench.interrupt(MsiSource::Processor, 0xfee0_0000, 0x31).is_some());
    bench.write32(0x18, ON | CFI);
    assert_eq!(bench.read32(0x1c) & CFI, CFI);
    assert_eq!(bench.interrupt(pin, 0xfee0_0000, 0x31).unwrap().data, 0x31);
    // With remapping off even a request in remappable format is what it was without it.
    bench.write32(0x18, 1 << 26);
    assert_eq!(bench.interrupt(pin, request(5), 0x31).unwrap().address, request(5));
}

#[test]
fn an_entry_can_ask_for_silence() {
    let mut bench = bench();
    entry(&mut bench, 5, 1 << 1, 0);
    assert_eq!(bench.interrupt(FUNCTION, request(5), 0), None);
    assert_eq!((recorded(&bench), bench.take_messages().len()), (None, 0));
    assert_eq!((bench.counter("interrupts"), bench.counter("interrupt-faults")), (0, 1));
}

/// The vector that entry 5 sends, after it was changed in memory alone.
fn stale(bench: &mut Bench) -> u32 {
    entry(bench, 5, ENTRY, 0);
    bench.interrupt(FUNCTION, request(5), 0).unwrap();
    entry(bench, 5, ENTRY & !(0xff << 16) | 0x61 << 16, 0);
    bench.interrupt(FUNCTION, request(5), 0).unwrap().data & 0xff
}

#[test]
fn an_entry_is_cached_until_it_is_invalidated() {
    // Type 4; G (4) by index, IM in 27 to 31, IIDX in 32 to 47.
    let each = [
        (4, 0x61),
        (4 | 1 << 4 | 5 << 32, 0x61),
        (4 | 1 << 4 | 6 << 32, 0x51),
        (4 | 1 << 4 | 1 << 27 | 4 << 32, 0x61),
        (4 | 1 << 4 | 1 << 27 | 6 << 32, 0x51),
        (4 | 1 << 4 | 16 << 27, 0x61),
    ];
    for (descriptor, vector) in each {
        let mut bench = bench();
        assert_eq!(stale(&mut bench), 0x51);
        bench.queue(descriptor, 0);
        assert_eq!(bench.read32(0x34), 0, "{descriptor:#x}");
        let sent = bench.interrupt(FUNCTION, request(5), 0).unwrap();
        assert_eq!(sent.data & 0xff, vector, "{descriptor:#x}");
    }
    let mut bench = bench();
    bench.queue(4 | 1 << 5, 0);
    assert_eq!((bench.read32(0x34) >> 4 & 1, bench.read64(0xb0)), (1, 4), "reserved bits");
}

#[test]
fn what_is_not_present_or_faulted_is_not_cached() {
    let mut bench = bench();
    assert_eq!(bench.interrupt(FUNCTION, request(5), 0), None);
    entry(&mut bench, 5, ENTRY | 1 << 12, 0);
    assert_eq!(bench.interrupt(FUNCTION, request(5), 0), None);
    entry(&mut bench, 5, ENTRY, 0);
    assert!(bench.interrupt(FUNCTION, request(5), 0).is_some());
}

#[test]
fn the_cache_is_bounded_and_forgets() {
    let mut bench = bench();
    assert_eq!(stale(&mut bench), 0x51);
    // Each of the other entries of the table comes by.
    for index in (0..256).filter(|index| *index != 5) {
        entry(&mut bench, index, ENTRY, 0);
        bench.interrupt(FUNCTION, request(index), 0).unwrap();
    }
    assert_eq!(bench.interrupt(FUNCTION, request(5), 0).unwrap().data & 0xff, 0x61);
}

#[test]
fn saving_and_restoring_keeps_the_table_and_what_is_stale() {
    let mut bench = bench();
    assert_eq!(stale(&mut bench), 0x51);
    // Not taken over yet.
    bench.write64(IRTA, 0x30_0000);
    let restored: Iommu = unpack((), &pack(&bench.unit)).unwrap();
    assert_eq!(restored, bench.unit);
    bench.unit = restored;
    assert_eq!(bench.interrupt(FUNCTION, request(5), 0).unwrap().data & 0xff, 0x51);
    let mut impossible = bench.unit.save();
    impossible.registers[0x10] ^= 1 << 4;
    assert!(Iommu::restore((), impossible).is_err(), "EIM, which no unit announces");
}
