//! A random guest: whatever it writes, the unit neither panics nor breaks its own rules.

use super::*;
use crate::state::Stateful;
use crate::testing::Random;

/// A value with few or many bits set, or a plausible table address.
fn value(random: &mut Random) -> u64 {
    match random.bits() % 4 {
        0 => random.bits(),
        1 => random.bits() & random.bits() & random.bits(),
        2 => ((random.bits() % 16) << 12) | (random.bits() & 0xff),
        _ => 1 << (random.bits() % 64),
    }
}

const OFFSETS: [u64; 24] = [
    0x00, 0x08, 0x18, 0x18, 0x1c, 0x20, 0x28, 0x2c, 0x34, 0x38, 0x3c, 0x40, 0x80, 0x88, 0x88, 0x90, 0x9c,
    0xa0, 0xa8, 0x200, 0x208, 0x20c, 0x228, 0x22c,
];

fn one_write(bench: &mut Bench, random: &mut Random) {
    let offset = match random.bits() % 8 {
        0 => random.bits() % 5000,
        pick => OFFSETS[((pick + random.bits()) % 24) as usize],
    };
    let value = value(random);
    if random.bits() & 1 == 0 { bench.write64(offset, value) } else { bench.write32(offset, value as u32) }
}

fn one_access(bench: &mut Bench, random: &mut Random) {
    let (rid, iova, len) = (random.bits() as u16 & 0x1f, value(random), 1 + random.bits() % 0x3000);
    let access = if random.bits() & 1 == 0 { Access::Read } else { Access::Write };
    let before = bench.faults();
    match bench.translate(rid, iova, len, access) {
        Ok(ranges) => assert_eq!(ranges.iter().map(|range| range.1).sum::<u64>(), len),
        Err(DmaFault::Refused { iova: at, .. }) => {
            assert!((iova..iova.saturating_add(len)).contains(&at.0));
            assert_eq!(bench.faults(), before + 1);
        }
        Err(_) => {}
    }
}

fn check_rules(bench: &Bench) {
    assert_eq!((bench.read64(0x08), bench.read64(0x10)), (0x00d2_078c_222f_0406, 0x20c3));
    let any = (0..8).any(|n| bench.read64(0x228 + 16 * n) >> 63 != 0);
    assert_eq!(bench.read32(0x34) >> 1 & 1 != 0, any, "PPF is the OR of the records");
    let pending = bench.read32(0x38) >> 30 & 1 != 0;
    assert!(!pending || bench.read32(0x38) >> 31 != 0, "pending only while masked");
    assert_eq!(bench.read64(0x28) >> 63, 0, "commands are done");
    assert_eq!(bench.read64(0x208) >> 63, 0, "commands are done");
}

#[test]
fn a_random_guest_breaks_no_rule() {
    let mut random = Random::new(0x1234_5678_9abc_def1);
    for _ in 0..20 {
        let mut bench = Bench::running();
        for gpa in (0..0x1_0000).step_by(8) {
            let value = value(&mut random);
            bench.platform.write_u64(gpa, value);
        }
        for _ in 0..500 {
            one_write(&mut bench, &mut random);
            one_access(&mut bench, &mut random);
            check_rules(&bench);
            bench.take_messages();
        }
        let state = bench.unit.save();
        assert_eq!(Iommu::restore((), state.clone()).map(|unit| unit.save()), Ok(state));
    }
}
