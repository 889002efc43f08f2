//! Saving and restoring a unit.

use super::*;
use crate::state::{StateError, Stateful, pack, unpack};

#[test]
fn saving_and_restoring_keeps_registers_faults_and_stale_translations() {
    let mut bench = Bench::running();
    bench.map(0x5000, 1, 0x4000 | READ_WRITE);
    bench.probe(0x5000).unwrap();
    bench.probe(0x6000).unwrap_err();
    bench.map(0x5000, 1, 0);
    let state = bench.unit.save();
    let restored: Iommu = unpack((), &pack(&bench.unit)).unwrap();
    assert_eq!(restored, bench.unit);
    assert_eq!(restored.save(), state);
    bench.unit = restored;
    assert_eq!(bench.probe(0x5000), Ok(0x4000), "still stale");
    let short = IommuState { registers: vec![0; 8], ..state.clone() };
    for bad in [IommuState { next_record: 8, ..state }, short] {
        assert!(matches!(Iommu::restore((), bad), Err(StateError::Impossible { kind: "iommu", .. })));
    }
}
