use super::*;
use crate::state::Stateful;

const IOTLB_ALL: u64 = 2 | 1 << 4;
const IOTLB_DOMAIN_5: u64 = 2 | 2 << 4 | 5 << 16;
const IOTLB_PAGES_5: u64 = 2 | 3 << 4 | 5 << 16;

/// Three cached pages whose tables have since been emptied: 4 KiB at 0x5000 and 0x6000, 2 MiB at 0x40_0000.
fn stale() -> Bench {
    let mut bench = Bench::running();
    for (iova, level, entry) in [(0x5000, 1, 0xa003), (0x6000, 1, 0xc003), (0x40_0000, 2, 0x20_0083)] {
        bench.map(iova, level, entry);
        bench.probe(iova).unwrap();
        bench.map(iova, level, 0);
    }
    bench
}

/// Which of the three still translate.
fn held(bench: &mut Bench) -> [bool; 3] {
    [0x5000, 0x6000, 0x40_1000].map(|iova| bench.probe(iova).is_ok())
}

#[test]
fn a_stale_translation_lives_until_it_is_invalidated() {
    let mut bench = stale();
    assert_eq!(held(&mut bench), [true; 3]);
    bench.queue(IOTLB_ALL, 0);
    assert_eq!(held(&mut bench), [false; 3]);
}

#[test]
fn a_domain_invalidation_leaves_other_domains() {
    let mut bench = stale();
    bench.queue(2 | 2 << 4 | 6 << 16, 0);
    assert_eq!(held(&mut bench), [true; 3]);
    bench.queue(IOTLB_DOMAIN_5, 0);
    assert_eq!(held(&mut bench), [false; 3]);
}

#[test]
fn a_page_invalidation_covers_two_to_the_mask_pages() {
    let mut bench = stale();
    bench.queue(IOTLB_PAGES_5, 0x5000);
    assert_eq!(held(&mut bench), [false, true, true]);
    let mut bench = stale();
    bench.queue(IOTLB_PAGES_5, 0x4000 | 2);
    assert_eq!(held(&mut bench), [false, false, true]);
    let mut bench = stale();
    bench.queue(IOTLB_PAGES_5, 0x40_7000);
    assert_eq!(held(&mut bench), [true, true, false], "any page of a superpage drops it");
}

#[test]
fn a_right_that_was_added_works_without_an_invalidation() {
    let mut bench = Bench::running();
    bench.map(0x5000, 1, 0xa001);
    bench.probe(0x5000).unwrap();
    bench.map(0x5000, 1, 0xa003);
    assert!(bench.translate(RID, 0x5000, 4, Access::Write).is_ok());
}

#[test]
fn a_page_that_was_not_present_is_never_cached() {
    let mut bench = Bench::running();
    bench.probe(0x5000).unwrap_err();
    bench.map(0x5000, 1, 0xa003);
    assert_eq!(bench.probe(0x5000), Ok(0xa000));
}

#[test]
fn cached_contexts_live_until_invalidated_by_device_domain_or_all() {
    let by_device = 1 | 3 << 4 | u64::from(RID) << 32;
    let by_other_device = 1 | 3 << 4 | 0x10 << 32;
    let by_function_mask = 1 | 3 << 4 | (u64::from(RID) | 7) << 32 | 3 << 48;
    let cases = [
        (by_device, false),
        (by_other_device, true),
        (by_function_mask, false),
        (1 | 2 << 4 | 5 << 16, false),
        (1 | 2 << 4 | 6 << 16, true),
        (1 | 1 << 4, false),
    ];
    for (descriptor, survives) in cases {
        let mut bench = Bench::running();
        bench.map(0x5000, 1, 0xa003);
        bench.probe(0x5000).unwrap();
        bench.context(RID, 0, 0);
        assert_eq!(bench.probe(0x5000), Ok(0xa000), "stale before");
        bench.queue(descriptor, 0);
        assert_eq!(bench.probe(0x5000).is_ok(), survives, "{descriptor:#x}");
    }
}

#[test]
fn the_iotlb_is_bounded_and_forgets() {
    let mut bench = Bench::running();
    for page in 0..8192 {
        bench.map(page << 12, 1, 0xa003);
        bench.probe(page << 12).unwrap();
        bench.map(page << 12, 1, 0);
    }
    let held = (0..8192).filter(|page| bench.probe(page << 12).is_ok()).count();
    assert_eq!(held, 4096);
}

#[test]
fn a_wait_descriptor_writes_its_status() {
    let mut bench = Bench::running();
    bench.queue(5 | 1 << 5 | 1 << 6 | 0x1234_5678 << 32, STATUS);
    assert_eq!(bench.platform.read_u64(STATUS), 0x1234_5678);
    assert_eq!(*bench.platform.written.borrow(), [(STATUS, 4)]);
    assert_eq!(bench.read64(0x80), bench.read64(0x88), "the queue is empty");
}

#[test]
fn a_wait_descriptors_status_outside_memory_goes_nowhere() {
    let mut bench = Bench::running();
    bench.queue(5 | 1 << 5 | 0x1234_5678 << 32, 1 << 40);
    assert!(bench.platform.written.borrow().is_empty());
    assert_eq!(bench.read64(0x80), bench.read64(0x88), "the queue goes on");
    assert_eq!(bench.read32(0x34), 0, "and there is no error");
}

#[test]
fn a_wait_descriptor_interrupts_once_until_served() {
    let mut bench = Bench::running();
    bench.write32(0xa4, 0x4022);
    bench.write32(0xa8, 0xfee0_1000);
    bench.write32(0xa0, 0);
    bench.queue(5 | 1 << 4, 0);
    bench.queue(5 | 1 << 4, 0);
    assert_eq!(
        bench.take_messages(),
        [MsiWrite { source: MsiSource::CompletionEvent, address: 0xfee0_1000, data: 0x4022 }]
    );
    assert_eq!(bench.read32(0x9c), 1);
    bench.write32(0x9c, 1);
    assert_eq!(bench.read32(0x9c), 0);
    bench.queue(5 | 1 << 4, 0);
    assert_eq!(bench.take_messages().len(), 1);
}

#[test]
fn the_queue_wraps() {
    let mut bench = Bench::running();
    for value in 0..600 {
        bench.queue(5 | 1 << 5 | value << 32, STATUS);
    }
    assert_eq!(bench.platform.read_u64(STATUS), 599);
    assert_eq!(bench.read64(0x80), 600 * 16 % 4096);
}

#[test]
fn a_bad_descriptor_stops_the_queue_until_it_is_fixed() {
    // Device TLB, interrupt entry cache, an unknown type, reserved bits, a too large address mask.
    for (low, high) in [(3, 0), (4, 0), (9, 0), (IOTLB_ALL | 1 << 40, 0), (IOTLB_PAGES_5, 19)] {
        let mut bench = stale();
        bench.queue(low, high);
        bench.queue(IOTLB_ALL, 0);
        assert_eq!(bench.read32(0x34) & 0x10, 0x10, "IQE for {low:#x}");
        assert_ne!(bench.read64(0xb0), 0, "its cause");
        assert_eq!(bench.take_messages().len(), 1, "the fault event");
        assert_eq!(bench.read64(0x80), 0, "the head stays at the descriptor");
        assert_eq!(held(&mut bench), [true; 3], "nothing behind it ran");
        bench.platform.write_u64(QUEUE, 5);
        bench.platform.write_u64(QUEUE + 8, 0);
        bench.write32(0x34, 0x10);
        assert_eq!((bench.read32(0x34) & 0x10, bench.read64(0x80)), (0, 32));
        assert_eq!(held(&mut bench), [false; 3]);
    }
}

#[test]
fn a_tail_beyond_the_queue_and_a_queue_outside_memory_are_errors() {
    let mut bench = Bench::running();
    bench.write32(0x88, 4096);
    assert_eq!((bench.read32(0x34) & 0x10, bench.read64(0xb0)), (0x10, 1));
    let mut bench = Bench::running();
    bench.write64(0x90, 0x7fff_0000_0000);
    bench.write32(0x88, 16);
    assert_eq!((bench.read32(0x34) & 0x10, bench.read64(0xb0)), (0x10, 2));
}

#[test]
fn disabling_the_queue_resets_its_head() {
    let mut bench = Bench::running();
    bench.queue(IOTLB_ALL, 0);
    assert_eq!(bench.read64(0x80), 16);
    bench.write32(0x18, 1 << 31);
    assert_eq!((bench.read64(0x80), bench.read32(0x1c)), (0, 1 << 31 | 1 << 30));
}

#[test]
fn the_registers_invalidate_too_and_say_what_they_did() {
    let mut bench = stale();
    bench.write64(0x200, 0x5000);
    bench.write64(0x208, 1 << 63 | 3 << 60 | 5 << 32);
    assert_eq!(bench.read64(0x208) >> 57, 3 << 3 | 3, "IVT clear, IIRG and IAIG page-selective");
    assert_eq!(held(&mut bench), [false, true, true]);
    bench.write64(0x208, 1 << 63 | 1 << 60);
    assert_eq!(held(&mut bench), [false; 3]);
    bench.write64(0x28, 1 << 63 | 1 << 61);
    assert_eq!(bench.read64(0x28), 1 << 61 | 1 << 59, "ICC clear, CAIG global");
}

#[test]
fn a_new_root_table_counts_from_the_command_on() {
    let mut bench = Bench::running();
    bench.map(0x5000, 1, 0xa003);
    bench.write64(0x20, 0x7000);
    assert_eq!(bench.probe(0x5000), Ok(0xa000), "the register alone changes nothing");
    bench.write32(0x18, 1 << 31 | 1 << 30 | 1 << 26);
    assert_eq!(bench.probe(0x5000), Ok(0xa000), "the cached context is stale");
    bench.queue(1 | 1 << 4, 0);
    bench.probe(0x5000).unwrap_err();
}

#[test]
fn invalidations_are_traced() {
    let mut bench = Bench::running();
    bench.platform.trace.events.clear();
    bench.queue(IOTLB_ALL, 0);
    bench.queue(IOTLB_PAGES_5, 0x4000 | 2);
    let all = Event::IotlbInvalidate { domain: None, iova: 0, len: u64::MAX };
    let pages = Event::IotlbInvalidate { domain: Some(5), iova: 0x4000, len: 0x4000 };
    assert_eq!(bench.platform.trace.events, [all, pages]);
}

const LONGEST: u64 = 0x20_0000;
const DESCRIPTORS: u64 = (4096 << 7) / 16;
/// docs/iommu.md: so many descriptors at once, and the others later.
const BATCH: u64 = 256;
const BATCH_NS: u64 = 25_600;

/// The longest queue, not yet rung for: by turns a page of a domain, and a wait that interrupts and writes its number as the status.
fn longest_queue() -> Bench {
    let mut bench = Bench::running();
    bench.write32(0x18, 1 << 31);
    bench.write64(0x90, LONGEST | 7);
    bench.write32(0x18, 1 << 31 | 1 << 26);
    bench.write32(0xa4, 0x31);
    bench.write32(0xa8, 0xfee0_0000);
    bench.write32(0xa0, 0);
    for at in 0..DESCRIPTORS {
        let (low, high) = match at % 2 {
            0 => (3 << 4 | 5 << 16 | 2, at << 12),
            _ => (at << 32 | 1 << 5 | 1 << 4 | 5, STATUS),
        };
        bench.platform.write_u64(LONGEST + at * 16, low);
        bench.platform.write_u64(LONGEST + at * 16 + 8, high);
    }
    bench.take_messages();
    bench.platform.trace.events.clear();
    bench
}

/// Whoever writes the tail waits for a batch at most, and the rest comes in its order, a batch at a time.
#[test]
fn the_longest_queue_is_bounded_work_and_one_message() {
    let mut bench = longest_queue();
    bench.write64(0x88, (DESCRIPTORS - 1) * 16);
    let mut done = BATCH;
    while let Some(at_ns) = bench.unit.goes_on_ns() {
        assert_eq!((at_ns, bench.read64(0x80)), (done / BATCH * BATCH_NS, done * 16));
        assert_eq!(bench.platform.read_u64(STATUS) as u32, done as u32 - 1, "waits end in their order");
        // Neither the tail nor time that is not over yet brings more.
        bench.write64(0x88, (DESCRIPTORS - 1) * 16);
        go_on(&mut bench, at_ns - 1);
        assert_eq!(bench.read64(0x80), done * 16);
        go_on(&mut bench, at_ns);
        done = (done + BATCH).min(DESCRIPTORS - 1);
    }
    assert_eq!(bench.read64(0x80), bench.read64(0x88), "all of it is done");
    assert_eq!(bench.read32(0x34) & 1 << 4, 0, "nothing stopped it");
    assert_eq!(bench.take_messages().len(), 1, "the second waits until the first was seen");
    assert_eq!(bench.platform.trace.events.len() as u64, DESCRIPTORS / 2);
    assert_eq!(bench.counter("pauses"), (DESCRIPTORS - 1) / BATCH);
    assert_eq!(bench.counter("invalidations"), DESCRIPTORS / 2);
}

#[test]
fn a_queue_that_pauses_is_gone_when_it_is_switched_off() {
    let mut bench = longest_queue();
    bench.write64(0x88, (DESCRIPTORS - 1) * 16);
    bench.write32(0x18, 1 << 31);
    assert_eq!((bench.unit.goes_on_ns(), bench.read64(0x80)), (None, 0));
    go_on(&mut bench, 10 * BATCH_NS);
    assert_eq!(bench.platform.read_u64(STATUS) as u32, BATCH as u32 - 1);
}

#[test]
fn a_restored_unit_goes_on_with_its_queue() {
    let mut bench = longest_queue();
    bench.write64(0x88, 600 * 16);
    bench.unit = Iommu::restore((), bench.unit.save()).unwrap();
    assert_eq!(bench.unit.goes_on_ns(), Some(BATCH_NS));
    for turns in 1..=2 {
        go_on(&mut bench, turns * BATCH_NS);
    }
    assert_eq!((bench.unit.goes_on_ns(), bench.platform.read_u64(STATUS) as u32), (None, 599));
}
