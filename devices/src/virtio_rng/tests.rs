//! Requests and what comes back.

use crate::parameters::Parameters;
use crate::registry::{Model, NoHost, find};
use crate::state::{StateError, pack, unpack};
use crate::virtio::testing::{Driver, Part};

use super::{Entropy, RngConfig, RngParts, VirtioRng};

/// Parts without a host's numbers.
fn parts(seed: Option<u64>) -> RngParts {
    RngParts { config: RngConfig { seed, ..RngConfig::default() }, entropy: None }
}

fn driver(seed: u64) -> Driver {
    Driver::new(Box::new(VirtioRng::power_on(parts(Some(seed))).unwrap()), 0)
}

/// A host whose numbers are all the same.
struct Sevens;

impl Entropy for Sevens {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn numbers(driver: &mut Driver, bytes: u32) -> Vec<u8> {
    assert_eq!(driver.request(0, &[Part::Write(0x1000, bytes)]), Some(bytes));
    driver.load(0x1000, bytes as usize)
}

#[test]
fn the_same_seed_gives_the_same_numbers_and_another_gives_others() {
    let (mut one, mut same, mut other) = (driver(1), driver(1), driver(2));
    let first = numbers(&mut one, 64);
    assert_eq!(first, numbers(&mut same, 64));
    assert_ne!(first, numbers(&mut other, 64));
    assert_ne!(first, numbers(&mut one, 64), "they go on");
    assert_eq!(one.world.take_raised(), [0, 0]);
}

#[test]
fn the_hosts_numbers_are_given_where_there_are_some() {
    let of_host = || RngParts { entropy: Some(Box::new(Sevens)), ..parts(None) };
    let mut driver = Driver::new(Box::new(VirtioRng::power_on(of_host()).unwrap()), 0);
    assert_eq!(numbers(&mut driver, 64), [7; 64]);
    // Restored without a host's, it is at the generator's start.
    let saved = driver.function.save_state();
    let state = |parts| pack(&unpack::<VirtioRng>(parts, &saved).unwrap());
    assert_eq!((state(of_host()), state(parts(None))), (saved.clone(), saved.clone()));
}

#[test]
fn a_request_gets_at_most_a_page() {
    let mut driver = driver(1);
    let parts = [Part::Write(0x1000, 100), Part::Write(0x3000, 0x8000)];
    assert_eq!(driver.request(0, &parts), Some(4096));
    assert_ne!(driver.load(0x1000, 100), [0; 100]);
    assert_ne!(driver.load(0x3000 + 3990, 6), [0; 6]);
    assert_eq!(driver.load(0x3000 + 3996, 64), [0; 64]);
}

#[test]
fn a_request_without_room_gets_nothing() {
    assert_eq!(driver(1).request(0, &[Part::Read(0x1000, 64)]), Some(0));
}

#[test]
fn a_reset_forgets_the_request() {
    let mut driver = driver(1);
    driver.add(0, &[Part::Write(0x1000, 64)]);
    driver.kick(0);
    driver.restart();
    driver.wait(1_000_000);
    assert_eq!(driver.load(0x1000, 64), [0; 64]);
    assert_eq!(numbers(&mut driver, 8).len(), 8);
}

#[test]
fn memory_that_is_refused_breaks_the_queue() {
    let mut driver = driver(1);
    driver.world.refuse(0x1000, 0x2000);
    assert_eq!(driver.request(0, &[Part::Write(0x1000, 64)]), None);
    assert_eq!(driver.get(crate::virtio::registers::Id::Status), 0x4f);
}

#[test]
fn states_with_other_queues_are_refused() {
    let mut state = crate::state::Stateful::save(&VirtioRng::power_on(parts(None)).unwrap());
    state.common.queues.clear();
    let restored = <VirtioRng as crate::state::Stateful>::restore(parts(None), state);
    assert!(matches!(restored, Err(StateError::Impossible { kind: "virtio-rng", .. })));
}

#[test]
fn it_is_in_the_list() {
    let built = find("virtio-rng").unwrap().build(&Parameters::new(), &mut NoHost).unwrap();
    let again: VirtioRng = unpack(parts(None), &built.save_state()).unwrap();
    assert_eq!(pack(&again), built.save_state());
    // Virtual I/O Device 1.2, 4.1.2: 0x1040 and the type.
    assert_eq!((built.identity().ids.vendor, built.identity().ids.device), (0x1af4, 0x1044));
}
