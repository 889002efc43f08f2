use super::*;

const RECORDS: u64 = 0x220;

/// The fields of record `index`: in use, read, reason, requester, page.
fn record(bench: &Bench, index: u64) -> (bool, bool, u64, u16, u64) {
    let (low, high) = (bench.read64(RECORDS + 16 * index), bench.read64(RECORDS + 16 * index + 8));
    (high >> 63 != 0, high >> 62 & 1 != 0, high >> 32 & 0xff, high as u16, low)
}

fn reason(bench: &mut Bench, rid: u16, iova: u64, access: Access) -> u64 {
    assert!(bench.translate(rid, iova, 1, access).is_err());
    record(bench, 0).2
}

#[test]
fn a_refused_write_is_recorded_and_raises_the_fault_event() {
    let mut bench = Bench::running();
    bench.probe(0xdead_b123).unwrap_err();
    assert_eq!(record(&bench, 0), (true, true, 6, RID, 0xdead_b000));
    assert_eq!(bench.read32(0x34), 2, "PPF, record 0");
    assert_eq!(
        bench.take_messages(),
        [MsiWrite { source: MsiSource::FaultEvent, address: 0xfee0_0000, data: 0x4021 }]
    );
    let event = Event::IommuFault { rid: RID, iova: 0xdead_b123, write: false, reason: 6 };
    assert!(bench.platform.trace.events.contains(&event));
}

#[test]
fn every_defect_has_the_manuals_reason() {
    // What is wrong, who asks, where, how, and the reason.
    type Case = (fn(&mut Bench), u16, u64, Access, u64);
    let each: [Case; 11] = [
        (|b| b.platform.write_u64(ROOT, 0), RID, 0, Access::Read, 0x1),
        (|_| (), 0x10, 0, Access::Read, 0x2),
        (|b| b.context(RID, TABLE | 1, 5 << 8 | 1), RID, 0, Access::Read, 0x3),
        (|b| b.context(RID, TABLE | 1 << 2 | 1, 5 << 8 | 2), RID, 0, Access::Read, 0x3),
        (|_| (), RID, 1 << 48, Access::Read, 0x4),
        (|b| b.map(0, 1, 0xa000 | 1), RID, 0, Access::Write, 0x5),
        (|b| b.map(0, 1, 0xa000 | 2), RID, 0, Access::Read, 0x6),
        (|b| b.context(RID, 0x7fff_0000_0001, 5 << 8 | 2), RID, 0, Access::Read, 0x7),
        (|b| b.platform.write_u64(ROOT, 0x7fff_0000_0001), RID, 0, Access::Read, 0x9),
        (|b| b.platform.write_u64(ROOT + 8, 1), RID, 0, Access::Read, 0xa),
        (|b| b.context(RID, TABLE | 1 << 4 | 1, 5 << 8 | 2), RID, 0, Access::Read, 0xb),
    ];
    for (spoil, rid, iova, access, expected) in each {
        let mut bench = Bench::running();
        spoil(&mut bench);
        assert_eq!(reason(&mut bench, rid, iova, access), expected);
    }
}

#[test]
fn a_root_table_outside_memory_and_reserved_bits_in_pages_have_their_reasons() {
    let mut bench = Bench::running();
    bench.write64(0x20, 0x7fff_0000_0000);
    bench.write32(0x18, 1 << 31 | 1 << 30 | 1 << 26);
    assert_eq!(reason(&mut bench, RID, 0, Access::Read), 0x8);
    for entry in [1 << 50 | READ_WRITE, 0x1000 | 1 << 7 | READ_WRITE] {
        let mut bench = Bench::running();
        bench.map(0, 2, entry);
        assert_eq!(reason(&mut bench, RID, 0, Access::Read), 0xc, "{entry:#x}");
    }
    let mut bench = Bench::running();
    bench.map(0, 4, 1 << 7 | READ_WRITE);
    assert_eq!(reason(&mut bench, RID, 0, Access::Read), 0xc, "no 512 GiB pages");
}

#[test]
fn a_context_can_ask_for_silence() {
    let mut bench = Bench::running();
    bench.context(RID, TABLE | 0b11, 5 << 8 | 2);
    bench.probe(0x5000).unwrap_err();
    assert_eq!((bench.read32(0x34), bench.take_messages().len()), (0, 0));
    assert_eq!(bench.faults(), 1);
}

#[test]
fn a_second_fault_is_recorded_without_a_second_event() {
    let mut bench = Bench::running();
    bench.probe(0x5000).unwrap_err();
    bench.probe(0x6000).unwrap_err();
    assert_eq!(record(&bench, 1).4, 0x6000);
    assert_eq!(bench.take_messages().len(), 1);
}

#[test]
fn the_ninth_fault_overflows_and_is_lost() {
    let mut bench = Bench::running();
    for page in 0..10 {
        bench.probe(page << 12).unwrap_err();
    }
    assert_eq!(bench.read32(0x34), 0b11, "PPF and PFO, record 0 first");
    assert_eq!((record(&bench, 0).4, record(&bench, 7).4), (0, 0x7000));
    assert_eq!(bench.faults(), 10);
}

#[test]
fn serving_the_records_as_the_driver_does_makes_room_again() {
    let mut bench = Bench::running();
    for page in 0..9 {
        bench.probe(page << 12).unwrap_err();
    }
    for index in 0..8 {
        assert_eq!(bench.read32(0x34) & 2, 2, "PPF while record {index} is in use");
        bench.write32(RECORDS + 16 * index + 12, 1 << 31);
    }
    bench.write32(0x34, 0x83);
    assert_eq!(bench.read32(0x34) & 0xff, 0);
    bench.take_messages();
    bench.probe(0x5_0000).unwrap_err();
    assert_eq!(record(&bench, bench.read32(0x34) as u64 >> 8 & 0xff).4, 0x5_0000);
    assert_eq!(bench.take_messages().len(), 1);
}

#[test]
fn a_masked_fault_event_is_pending_until_unmasked() {
    let mut bench = Bench::running();
    bench.write32(0x38, 1 << 31);
    bench.probe(0x5000).unwrap_err();
    assert_eq!((bench.read32(0x38), bench.take_messages().len()), (0xc000_0000, 0));
    bench.write32(0x38, 0);
    assert_eq!((bench.read32(0x38), bench.take_messages().len()), (0, 1));
}

#[test]
fn a_pending_event_is_withdrawn_when_its_faults_were_served() {
    let mut bench = Bench::running();
    bench.write32(0x38, 1 << 31);
    bench.probe(0x5000).unwrap_err();
    bench.write32(RECORDS + 12, 1 << 31);
    bench.write32(0x38, 0);
    assert_eq!(bench.take_messages(), []);
}
