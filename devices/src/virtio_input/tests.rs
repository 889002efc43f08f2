//! What the driver reads of the devices, and events in both directions. Numbers are restated from the standard and Linux's headers.

use crate::parameters::Parameters;
use crate::registry::{Model, NoHost, find};
use crate::state::{StateError, Stateful};
use crate::virtio::testing::{Driver, Part};
use crate::virtio_keyboard::VirtioKeyboard;
use crate::virtio_tablet::VirtioTablet;

use super::InputConfig;

fn keyboard() -> Driver {
    Driver::new(Box::new(VirtioKeyboard::power_on(InputConfig::default()).unwrap()), 0)
}

fn tablet() -> Driver {
    Driver::new(
        Box::new(VirtioTablet::power_on(InputConfig { serial: 77, ..InputConfig::default() }).unwrap()),
        0,
    )
}

/// What `select` and `subsel` show: `size` bytes of the union at 8.
fn ask(driver: &mut Driver, select: u64, subsel: u64) -> Vec<u8> {
    driver.write(0x2000, 1, select);
    driver.write(0x2001, 1, subsel);
    let size = driver.config(2, 1);
    assert_eq!(driver.config(8 + size, 1), 0, "what is behind reads as zero");
    (0..size).map(|at| driver.config(8 + at, 1) as u8).collect()
}

/// Whether bit `bit` is set.
fn has(bitmap: &[u8], bit: usize) -> bool {
    bitmap.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
}

fn event(kind: u16, code: u16, value: u32) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &code.to_le_bytes(), &value.to_le_bytes()].concat()
}

fn give(driver: &mut Driver, data: &[u8]) -> usize {
    driver.function.inbox().unwrap().receive(data, &mut driver.world.ports())
}

fn counter(driver: &Driver, name: &str) -> u64 {
    driver.function.counters().iter().find(|counter| counter.name == name).unwrap().value
}

/// Buffers of 8 bytes from 0x1000 on.
fn buffers(driver: &mut Driver, count: u64) {
    (0..count).for_each(|at| _ = driver.add(0, &[Part::Write(0x1000 + 8 * at, 8)]));
    driver.kick(0);
}

#[test]
fn a_keyboard_says_which_keys_it_has() {
    let mut driver = keyboard();
    assert_eq!(ask(&mut driver, 1, 0), b"Fencepost keyboard");
    assert_eq!(ask(&mut driver, 2, 0), b"1");
    // BUS_VIRTUAL, vendor, product, version.
    assert_eq!(ask(&mut driver, 3, 0), [6, 0, 0x9c, 0xfe, 1, 0, 1, 0]);
    let keys = ask(&mut driver, 0x11, 1);
    // KEY_ESC, KEY_A, KEY_LEFTMETA, KEY_F24, KEY_MICMUTE; KEY_RESERVED, 84, BTN_LEFT.
    assert!([1, 30, 125, 194, 248].iter().all(|&key| has(&keys, key)));
    assert!([0, 84, 249, 0x110].iter().all(|&key| !has(&keys, key)));
    assert_eq!(ask(&mut driver, 0x11, 0x11), [7], "three LEDs");
    assert_eq!(ask(&mut driver, 0x11, 0x14), [3], "keys repeat");
    for (select, subsel) in [(0, 0), (0x10, 0), (0x11, 0), (0x11, 2), (0x11, 3), (0x12, 0), (1, 1), (9, 9)] {
        assert!(ask(&mut driver, select, subsel).is_empty(), "{select} {subsel}");
    }
}

#[test]
fn a_tablet_says_how_large_it_is() {
    let mut driver = tablet();
    assert_eq!(ask(&mut driver, 1, 0), b"Fencepost tablet");
    assert_eq!(ask(&mut driver, 2, 0), b"77");
    assert_eq!(ask(&mut driver, 0x10, 0), [1], "INPUT_PROP_POINTER");
    let buttons = ask(&mut driver, 0x11, 1);
    let expected: Vec<usize> = (0x110..=0x114).collect();
    assert_eq!((0..1024).filter(|&bit| has(&buttons, bit)).collect::<Vec<_>>(), expected);
    assert_eq!(ask(&mut driver, 0x11, 2), [0, 1], "REL_WHEEL");
    assert_eq!(ask(&mut driver, 0x11, 3), [3], "ABS_X, ABS_Y");
    for axis in 0..2 {
        let info = ask(&mut driver, 0x12, axis);
        assert_eq!(info.len(), 20);
        assert_eq!(
            (&info[..4], &info[4..8], &info[8..]),
            (&[0; 4][..], &[0xff, 0x7f, 0, 0][..], &[0; 12][..])
        );
    }
    assert!(ask(&mut driver, 0x12, 2).is_empty());
}

#[test]
fn events_arrive_in_order_and_wait_for_buffers() {
    let mut driver = keyboard();
    let press = [event(1, 30, 1), event(0, 0, 0), event(1, 30, 0), event(0, 0, 0)].concat();
    assert_eq!(give(&mut driver, &press), 0, "no buffer");
    buffers(&mut driver, 3);
    assert_eq!(give(&mut driver, &press), 24, "one waits");
    assert_eq!(driver.used(0), [(0, 8), (1, 8), (2, 8)]);
    assert_eq!(driver.load(0x1000, 24), press[..24]);
    assert_eq!(driver.world.take_raised(), [0], "one interrupt for all");
    buffers(&mut driver, 1);
    assert_eq!(give(&mut driver, &press[24..]), 8);
    assert_eq!(driver.load(0x1000, 8), press[24..]);
    assert_eq!((counter(&driver, "events"), counter(&driver, "malformed")), (4, 0));
}

#[test]
fn what_is_no_whole_event_is_dropped_behind_those_that_are() {
    let mut driver = keyboard();
    buffers(&mut driver, 2);
    assert_eq!(give(&mut driver, &[event(1, 30, 1), vec![1, 2, 3]].concat()), 11);
    assert_eq!(give(&mut driver, &[9; 7]), 7);
    assert_eq!((counter(&driver, "events"), counter(&driver, "malformed")), (1, 2));
    assert_eq!(driver.used(0).len(), 1);
}

#[test]
fn without_a_driver_events_are_lost() {
    let mut driver = keyboard();
    driver.function.reset(&mut driver.world.ports());
    assert_eq!(give(&mut driver, &event(1, 30, 1)), 8);
    driver.restart();
    buffers(&mut driver, 1);
    assert!(driver.used(0).is_empty());
    assert_eq!((counter(&driver, "dropped"), counter(&driver, "events")), (1, 0));
}

#[test]
fn a_buffer_that_is_too_short_for_an_event_gets_a_part_and_is_counted() {
    let mut driver = keyboard();
    driver.add(0, &[Part::Write(0x1000, 3)]);
    driver.add(0, &[Part::Read(0x1000, 8)]);
    driver.kick(0);
    assert_eq!(give(&mut driver, &[event(1, 30, 1), event(0, 0, 0)].concat()), 16);
    assert_eq!(driver.used(0), [(0, 3), (1, 0)]);
    assert_eq!(driver.load(0x1000, 8), [1, 0, 30, 0, 0, 0, 0, 0]);
    assert_eq!((counter(&driver, "events"), counter(&driver, "malformed")), (0, 2));
}

#[test]
fn memory_that_is_refused_breaks_the_queue() {
    for queue in [0, 1] {
        let mut driver = keyboard();
        driver.world.refuse(0x1000, 0x2000);
        driver.add(queue, &[if queue == 0 { Part::Write(0x1000, 8) } else { Part::Read(0x1000, 8) }]);
        driver.kick(queue);
        give(&mut driver, &event(1, 30, 1));
        driver.wait(1_000_000);
        assert_eq!(driver.get(crate::virtio::registers::Id::Status), 0x4f, "queue {queue}");
    }
}

#[test]
fn the_leds_are_those_that_the_driver_lit_last() {
    let mut driver = keyboard();
    let say = |driver: &mut Driver, data: &[u8]| {
        driver.store(0x1000, data);
        assert_eq!(driver.request(1, &[Part::Read(0x1000, data.len() as u32)]), Some(0));
        counter(driver, "leds")
    };
    assert_eq!(say(&mut driver, &event(0x11, 0, 1)), 1);
    assert_eq!(say(&mut driver, &event(0x11, 2, 1)), 5);
    assert_eq!(say(&mut driver, &event(0x11, 0, 0)), 4);
    // No LED has such a number, and a sound and an event that is cut light none.
    for other in
        [event(0x11, 64, 1), event(0x11, 0xffff, 1), event(0x12, 1, 1), event(0x11, 1, 1)[..7].to_vec()]
    {
        assert_eq!(say(&mut driver, &other), 4);
    }
    assert_eq!((counter(&driver, "statuses"), counter(&driver, "malformed")), (7, 1));
    driver.restart();
    assert_eq!(counter(&driver, "leds"), 0);
}

#[test]
fn a_reset_forgets_the_status_that_is_looked_at() {
    let mut driver = keyboard();
    driver.store(0x1000, &event(0x11, 0, 1));
    driver.add(1, &[Part::Read(0x1000, 8)]);
    driver.kick(1);
    driver.restart();
    driver.wait(1_000_000);
    assert_eq!((counter(&driver, "leds"), counter(&driver, "statuses")), (0, 0));
}

#[test]
fn states_with_other_queues_are_refused() {
    let mut state = VirtioKeyboard::power_on(InputConfig::default()).unwrap().save();
    state.common.queues.pop();
    let restored = VirtioKeyboard::restore(InputConfig::default(), state);
    assert!(matches!(restored, Err(StateError::Impossible { kind: "virtio-keyboard", .. })));
}

#[test]
fn they_are_in_the_list() {
    for kind in ["virtio-keyboard", "virtio-tablet"] {
        let built = find(kind).unwrap().build(&Parameters::new(), &mut NoHost).unwrap();
        // Virtual I/O Device 1.2, 4.1.2 and 5: 0x1040 and the type, 18.
        assert_eq!((built.identity().ids.vendor, built.identity().ids.device), (0x1af4, 0x1052));
    }
}
