//! Saving and restoring a camera.

use super::*;

/// Runs two frames; `cut` saves, restores and rearms in the middle of the first.
fn run(cut: bool) -> (Vec<u8>, Vec<u16>, CameraState) {
    let mut bench = Bench::new();
    bench.configure(NV12, 32);
    bench.post(0, 0xc00);
    bench.post(1, 0xc00);
    // The frame that is cut has a set of its own, another is latched, and a third one written.
    for brightness in [11, 22, 33] {
        bench.write(0x140, brightness);
        if brightness == 11 {
            bench.write(0x158, 0);
            bench.stream_on();
            bench.world.advance_to(PERIOD_NS + 50, &mut bench.camera);
        } else if brightness == 22 {
            bench.write(0x158, 0);
        }
    }
    if cut {
        let saved = serde_json::to_string(&bench.camera.save()).unwrap();
        for token in 0..2 {
            crate::ports::Clock::cancel(&mut bench.world.clock, token);
        }
        let state: CameraState = serde_json::from_str(&saved).unwrap();
        bench.camera = Camera::restore(parts(), state).unwrap();
        assert_eq!(serde_json::to_string(&bench.camera.save()).unwrap(), saved);
        bench.camera.rearm(&mut bench.world.ports());
    }
    bench.run_to_frame(1);
    (bench.world.memory_mut().to_vec(), bench.world.take_raised(), bench.camera.save())
}

#[test]
fn a_restored_camera_goes_on_in_the_middle_of_a_frame() {
    let (straight, cut) = (run(false), run(true));
    assert!(straight.0 == cut.0, "guest memory differs");
    assert_eq!(straight.1, [0, 0]);
    assert_eq!((straight.1, straight.2), (cut.1, cut.2));
}

#[test]
fn a_state_of_another_size_is_refused() {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    bench.stream_on();
    let mut state = bench.camera.save();
    state.width_px = 64;
    let result = Camera::restore(parts(), state);
    assert_eq!(
        result.err(),
        Some(StateError::Impossible {
            kind: "camera",
            why: "it streams a format that the picture source does not have"
        })
    );
}
