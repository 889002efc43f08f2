use super::fixture::*;
use crate::function::Function;
use crate::gpu::{Gpu, GpuConfig, GpuState};
use crate::state::{StateError, Stateful};

fn json(state: &GpuState) -> String {
    serde_json::to_string(state).unwrap()
}

/// Ring 0 in the middle of a fill, ring 1 waiting.
fn busy() -> Driver {
    let mut driver = Driver::new();
    let list = driver.pages(&PAGES);
    driver.submit(0, &[fill(list.at(0, 0), 16_384, 1, 0x0101_0101), fence(4)]);
    driver.submit(1, &[wait(2), fence(5)]);
    driver.wait_ns(600);
    driver
}

fn restored(driver: &Driver) -> Gpu {
    let state = serde_json::from_str(&json(&driver.gpu.save())).unwrap();
    Gpu::restore(GpuConfig::default(), state).unwrap()
}

#[test]
fn save_change_restore_save_gives_the_same_bytes() {
    let mut driver = busy();
    let saved = json(&driver.gpu.save());
    let again = restored(&driver);
    driver.wait_ns(5000);
    assert_ne!(json(&driver.gpu.save()), saved);
    assert_eq!(json(&again.save()), saved);
}

#[test]
fn a_restored_gpu_finishes_what_was_begun() {
    let mut driver = busy();
    driver.gpu = restored(&driver);
    driver.world.clock = Default::default();
    driver.gpu.rearm(&mut driver.world.ports());
    driver.world.advance_to(1524, &mut driver.gpu);
    assert_eq!(driver.contents(&PAGES), [1; 16_384]);
    driver.set_word(SEMAPHORE, 2);
    driver.world.advance_to(20_000, &mut driver.gpu);
    assert_eq!((driver.word(fence_word(0)), driver.word(fence_word(1))), (4, 5));
}

#[test]
fn restoring_raises_no_vector() {
    let mut driver = Driver::new();
    driver.run(0, &[packet(99)]);
    driver.world.take_raised();
    driver.gpu = restored(&driver);
    driver.gpu.rearm(&mut driver.world.ports());
    assert!(driver.world.take_raised().is_empty());
}

#[test]
fn states_that_cannot_be_are_refused() {
    let good = busy().gpu.save();
    let refuse = |change: &dyn Fn(&mut GpuState)| {
        let mut state = good.clone();
        change(&mut state);
        Gpu::restore(GpuConfig::default(), state).unwrap_err()
    };
    let impossible = |why| StateError::Impossible { kind: "gpu", why };
    let ring = impossible("a ring is not one that the GPU could have");
    assert_eq!(refuse(&|state| state.rings.truncate(1)), impossible("another number of rings"));
    assert_eq!(refuse(&|state| state.rings[1].size = 3), ring);
    assert_eq!(refuse(&|state| state.rings[0].tail_address = 6), ring);
    assert_eq!(refuse(&|state| state.rings[0].head = 8), ring);
    assert_eq!(refuse(&|state| state.rings[0].enabled = false), ring);
}

#[test]
fn a_window_beyond_its_list_is_refused() {
    let text = json(&busy().gpu.save()).replace("\"row_bytes\":16384", "\"row_bytes\":16388");
    let state = serde_json::from_str(&text).unwrap();
    let result = Gpu::restore(GpuConfig::default(), state);
    assert!(matches!(result, Err(StateError::Impossible { .. })), "{result:?}");
}

#[test]
fn function_reset_cancels_everything() {
    let mut driver = busy();
    driver.gpu.reset(&mut driver.world.ports());
    assert_eq!(driver.gpu.save(), Gpu::new(GpuConfig::default()).save());
    assert_eq!((driver.world.clock.pending(0), driver.world.clock.pending(1)), (None, None));
}
