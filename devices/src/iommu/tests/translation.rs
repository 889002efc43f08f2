use std::collections::BTreeMap;

use super::*;
use crate::testing::Random;

/// The oracle: a list of mappings, looked up byte by byte, that knows nothing of tables.
#[derive(Default)]
struct Model {
    /// First address to (length, physical address, may read, may write).
    mappings: BTreeMap<u64, (u64, u64, bool, bool)>,
}

impl Model {
    fn byte(&self, iova: u64, access: Access) -> Option<u64> {
        let (&first, &(len, gpa, read, write)) = self.mappings.range(..=iova).next_back()?;
        let allowed = if access == Access::Read { read } else { write };
        (iova - first < len && allowed).then(|| gpa + (iova - first))
    }

    fn is_free(&self, iova: u64, len: u64) -> bool {
        let before = self.mappings.range(..iova + len).next_back();
        before.is_none_or(|(&first, &(bytes, ..))| first + bytes <= iova)
    }
}

#[test]
fn random_tables_translate_as_a_naive_model_says() {
    let mut random = Random::new(0x9e37_79b9_7f4a_7c15);
    let mut bench = Bench::running();
    let mut model = Model::default();
    let regions = [0, 0x4000_0000, 0x7f_ffff_c000_0000, 0xffff_c000_0000];
    for _ in 0..600 {
        let level = [1, 1, 1, 1, 2, 3][random.below(6) as usize];
        let size = 4096u64 << (9 * (level - 1));
        // Crowded, so that ranges cross from page to page.
        let span = [64 << 12, 4 << 21, 1 << 30][level as usize - 1];
        let region = regions[random.below(4) as usize] & 0xffff_ffff_ffff;
        let iova = region + (u64::from(level == 2) << 24) + random.below(span / size) * size;
        let gpa = (random.below(1 << 17) * size) & 0x7fff_ffff_ffff;
        if !model.is_free(iova, size) {
            continue;
        }
        let (read, write) = [(true, true), (true, false), (false, true)][random.below(3) as usize];
        let superpage = if level > 1 { 1 << 7 } else { 0 };
        bench.map(iova, level, gpa | superpage | u64::from(read) | u64::from(write) << 1);
        model.mappings.insert(iova, (size, gpa, read, write));
    }
    let starts: Vec<u64> = model.mappings.keys().copied().collect();
    let (mut granted, mut refused) = (0, 0);
    for _ in 0..3000 {
        let iova = starts[random.below(starts.len() as u64) as usize] + random.below(0x6000);
        let len = 1 + random.below(0x2000);
        let access = if random.below(2) == 0 { Access::Read } else { Access::Write };
        check(&mut bench, &model, iova, len, access, &mut granted, &mut refused);
    }
    assert!(granted > 500 && refused > 500, "both outcomes were tried: {granted}, {refused}");
}

fn check(bench: &mut Bench, model: &Model, iova: u64, len: u64, access: Access, ok: &mut u32, no: &mut u32) {
    let bad = (iova..iova + len).find(|&byte| model.byte(byte, access).is_none());
    match bench.translate(RID, iova, len, access) {
        Ok(ranges) => {
            let flat: Vec<u64> = ranges.iter().flat_map(|&(gpa, len)| gpa..gpa + len).collect();
            let expected: Vec<u64> = (iova..iova + len).map_while(|byte| model.byte(byte, access)).collect();
            assert_eq!(flat, expected, "{iova:#x}+{len:#x}");
            *ok += 1;
        }
        Err(fault) => {
            assert_eq!(Some(fault), bad.map(|byte| DmaFault::Refused { iova: Iova(byte), access }));
            *no += 1;
        }
    }
}

#[test]
fn with_translation_off_addresses_are_physical() {
    let mut bench = Bench::new();
    assert_eq!(bench.translate(RID, 0x1234, 0x5000, Access::Write), Ok(vec![(0x1234, 0x5000)]));
}

#[test]
fn pages_that_touch_in_memory_become_one_range() {
    let mut bench = Bench::running();
    for (iova, gpa) in [(0x5000, 0xa000), (0x6000, 0xb000), (0x7000, 0xd000)] {
        bench.map(iova, 1, gpa | READ_WRITE);
    }
    let ranges = bench.translate(RID, 0x5800, 0x2000, Access::Write);
    assert_eq!(ranges, Ok(vec![(0xa800, 0x1800), (0xd000, 0x800)]));
}

#[test]
fn a_pass_through_context_leaves_addresses_alone() {
    let mut bench = Bench::running();
    bench.context(0x10, 2 << 2 | 1, 6 << 8 | 2);
    assert_eq!(bench.translate(0x10, 0x1234, 8, Access::Write), Ok(vec![(0x1234, 8)]));
    assert!(bench.translate(0x10, 1 << 48, 8, Access::Write).is_err());
}

#[test]
fn requesters_of_two_domains_see_their_own_pages() {
    let mut bench = Bench::running();
    bench.map(0x5000, 1, 0xa000 | READ_WRITE);
    bench.context(0x10, 0x4000 | 1, 6 << 8 | 2);
    assert_eq!(bench.probe(0x5000), Ok(0xa000));
    assert!(bench.translate(0x10, 0x5000, 1, Access::Read).is_err());
}

#[test]
fn the_interrupt_range_is_not_memory() {
    let mut bench = Bench::running();
    bench.map(0xfee0_0000, 1, 0xa000 | READ_WRITE);
    let fault = bench.translate(RID, 0xfedf_fff8, 16, Access::Write);
    assert_eq!(fault, Err(DmaFault::NoMemory { iova: Iova(0xfee0_0000) }));
}

#[test]
fn walks_are_counted_by_the_size_of_the_leaf() {
    let mut bench = Bench::running();
    bench.map(0x5000, 1, 0xa000 | READ_WRITE);
    bench.map(0x4000_0000, 2, 1 << 7 | READ_WRITE);
    bench.map(0x80_0000_0000, 3, 1 << 7 | READ_WRITE);
    // The second access to each is in the IOTLB; the last one has no leaf.
    for iova in [0x5000, 0x5fff, 0x4000_0000, 0x401f_ffff, 0x80_0000_0000, 0x80_3fff_ffff] {
        bench.probe(iova).unwrap();
    }
    bench.probe(0x4020_0000).unwrap_err();
    let walks = ["walks-4k", "walks-2m", "walks-1g"].map(|name| bench.counter(name));
    assert_eq!(walks, [1, 1, 1]);
}

#[test]
fn misses_and_hits_are_traced() {
    let mut bench = Bench::running();
    bench.map(0x5000, 1, 0xa000 | READ_WRITE);
    bench.platform.trace.events.clear();
    bench.probe(0x5004).unwrap();
    bench.probe(0x5008).unwrap();
    let miss = Event::IotlbMiss { rid: RID, iova: 0x5004 };
    assert_eq!(bench.platform.trace.events, [miss, Event::IotlbHit { rid: RID, iova: 0x5008 }]);
}
