//! Saving and restoring a display.

use super::*;

#[test]
fn a_restored_display_goes_on_as_the_saved_one_would() {
    let mut bench = Bench::on("");
    let picture = bench.flip(1);
    bench.at(FRAME_NS);
    bench.world.take_raised();
    let saved = serde_json::to_string(&bench.display.state()).unwrap();
    let state = serde_json::from_str(&saved).unwrap();
    let sinks = bench.album.sinks();
    bench.display = Display::restore(DisplayParts { config: Config::default(), sinks }, state).unwrap();
    bench.display.rearm(&mut bench.world.ports());
    assert_eq!(serde_json::to_string(&bench.display.state()).unwrap(), saved);
    assert!(bench.world.take_raised().is_empty());
    bench.at(FRAME_NS * 2 - 1);
    assert_eq!(bench.read64(CRC_FRAME), 1);
    assert_eq!(bench.read(CRC_VALUE), naive_crc(&picture));
}

#[test]
fn states_that_cannot_be_are_refused() {
    let mut bench = Bench::on("");
    bench.flip(1);
    bench.at(FRAME_NS);
    let good = bench.display.save();
    let refused = |change: &dyn Fn(&mut HeadState)| {
        let mut state = good.clone();
        change(&mut state.heads[0]);
        let parts = DisplayParts { config: Config::default(), sinks: unseen() };
        matches!(Display::restore(parts, state), Err(StateError::Impossible { kind: "display", .. }))
    };
    assert!(!refused(&|_| {}));
    assert!(refused(&|state| state.raster.as_mut().unwrap().mode.active.width_px = 0xffff));
    assert!(refused(&|state| state.raster = None));
    let regs =
        WritebackRegs { on: true, format: 0x3432_5258, entries: 1, pitch_bytes: 32, ..Default::default() };
    assert!(!refused(&|state| state.writing = Some(Writing { regs, commit: 1 })));
    let narrow = WritebackRegs { pitch_bytes: 28, ..regs };
    assert!(refused(&|state| state.writing = Some(Writing { regs: narrow, commit: 1 })));
    assert!(refused(&|state| state.shown.as_mut().unwrap().planes[0].pitch_bytes = 3));
    assert!(refused(&|state| state.shown.as_mut().unwrap().lists[0].pixels = Some(SgList::default())));
}
