//! Faults that were asked for.

use super::*;

fn with(spec: &str) -> Bench {
    let mut bench = Bench::running();
    bench.map(0x5000, 1, 0xa003);
    bench.unit.requested.give(&spec.parse().unwrap(), 0, 0).unwrap();
    bench
}

#[test]
fn a_good_translation_is_refused_and_recorded_once() {
    let mut bench = with("iommu:translation,after=2");
    assert!(bench.probe(0x5000).is_ok());
    assert!(bench.probe(0x5000).is_err());
    assert!(bench.probe(0x5000).is_ok());
    assert_eq!((bench.faults(), bench.take_messages().len()), (1, 1), "recorded, with its event");
}

#[test]
fn a_fault_is_one_devices_if_it_says_so() {
    let mut bench = with("iommu:translation,slot=2");
    assert!(bench.probe(0x5000).is_ok(), "the device in slot 1");
}

#[test]
fn an_invalidation_that_is_lost_leaves_the_translation() {
    let mut bench = with("iommu:stale");
    bench.probe(0x5000).unwrap();
    bench.map(0x5000, 1, 0);
    bench.queue(2 | 1 << 4, 0);
    assert_eq!(bench.probe(0x5000), Ok(0xa000));
    bench.queue(2 | 1 << 4, 0);
    assert!(bench.probe(0x5000).is_err());
}

#[test]
fn a_slow_wait_holds_the_queue_for_its_time_and_ends_once() {
    let mut bench = with("iommu:slow-invalidation,for=5us");
    bench.queue(5 | 1 << 5 | 7 << 32, STATUS);
    assert_eq!((bench.platform.read_u64(STATUS), bench.unit.goes_on_ns()), (0, Some(5000)));
    for (now_ns, status) in [(4999, 0), (5000, 7), (9000, 7)] {
        go_on(&mut bench, now_ns);
        assert_eq!(bench.platform.read_u64(STATUS) as u32, status, "{now_ns}");
    }
    assert_eq!(bench.unit.goes_on_ns(), None);
}

#[test]
fn a_slow_wait_that_is_taken_away_is_waited_for_no_longer() {
    // The queue is switched off; its tail is put back to its head.
    for (register, value) in [(0x18, 1u32 << 31), (0x88, 0)] {
        let mut bench = with("iommu:slow-invalidation,for=5us");
        bench.queue(5 | 1 << 5 | 7 << 32, STATUS);
        assert_eq!(bench.unit.goes_on_ns(), Some(5000));
        bench.write32(register, value);
        go_on(&mut bench, 6000);
        assert_eq!(bench.unit.goes_on_ns(), None, "the clock would call for ever");
        assert_eq!(bench.platform.read_u64(STATUS), 0);
    }
}
