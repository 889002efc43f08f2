//! The device against docs/pvpanic.md. Bits are restated from there.

use std::sync::{Arc, Mutex};

use super::*;
use crate::function::{AsIssued, Function};
use crate::state::{Stateful, pack, unpack};
use crate::testing::World;

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<GuestEvent>>>);

impl GuestEvents for Heard {
    fn event(&mut self, event: GuestEvent) {
        self.0.lock().unwrap().push(event);
    }
}

struct Bench {
    device: Pvpanic,
    heard: Heard,
    world: World,
}

impl Bench {
    fn new(events: u8) -> Self {
        let heard = Heard::default();
        let parts = PvpanicParts { config: PvpanicConfig { events }, listener: Box::new(heard.clone()) };
        Bench { device: Pvpanic::new(parts), heard, world: World::new(0x1000) }
    }

    fn read<const BYTES: usize>(&mut self, bar: u8, offset: u64) -> [u8; BYTES] {
        let mut data = [0xa5; BYTES];
        AsIssued::read(&mut self.device, bar, offset, &mut data, &mut self.world.ports());
        data
    }

    fn write(&mut self, bar: u8, offset: u64, data: &[u8]) {
        AsIssued::write(&mut self.device, bar, offset, data, &mut self.world.ports());
    }

    fn heard(&self) -> Vec<GuestEvent> {
        std::mem::take(&mut *self.heard.0.lock().unwrap())
    }
}

#[test]
fn the_register_says_which_events_are_heard() {
    for events in [1, 3, 7] {
        let mut bench = Bench::new(events);
        assert_eq!(bench.read::<1>(0, 0), [events]);
        assert_eq!(bench.read::<4>(0, 0), [events, 0, 0, 0]);
        bench.write(0, 0, &[1]);
        assert_eq!(bench.read::<1>(0, 0), [events], "what was written is not kept");
    }
}

#[test]
fn an_event_is_told_and_of_several_the_gravest() {
    for (value, event) in [
        (1, GuestEvent::Panicked),
        (2, GuestEvent::CrashLoaded),
        (4, GuestEvent::Shutdown),
        (3, GuestEvent::Panicked),
        (6, GuestEvent::CrashLoaded),
        (0xff, GuestEvent::Panicked),
    ] {
        let mut bench = Bench::new(7);
        bench.write(0, 0, &[value]);
        assert_eq!(bench.heard(), [event], "{value:#x}");
        bench.write(0, 0, &[value, 0, 0, 0]);
        assert_eq!(bench.heard(), [event], "{value:#x} in four bytes");
    }
}

#[test]
fn what_is_not_offered_or_no_event_is_ignored_and_counted() {
    let mut bench = Bench::new(1);
    for value in [0, 2, 4, 0xfe] {
        bench.write(0, 0, &[value]);
    }
    assert_eq!(bench.heard(), []);
    assert_eq!(bench.device.save(), PvpanicState { ignored: 4, ..PvpanicState::default() });
}

#[test]
fn nothing_else_is_in_the_bar() {
    let mut bench = Bench::new(7);
    for (bar, offset) in [(0, 1), (0, 4), (0, 15), (1, 0), (5, 0)] {
        bench.write(bar, offset, &[1]);
        assert_eq!(bench.read::<1>(bar, offset), [0], "BAR {bar}, {offset}");
    }
    bench.write(0, 0, &[]);
    assert_eq!((bench.heard(), bench.device.save()), (vec![], PvpanicState::default()));
}

#[test]
fn counts_are_saved_and_reset_clears_them() {
    let mut bench = Bench::new(7);
    [1, 1, 2, 4, 4, 4, 8].into_iter().for_each(|value| bench.write(0, 0, &[value]));
    let state = PvpanicState { panics: 2, crash_loads: 1, shutdowns: 3, ignored: 1 };
    assert_eq!(bench.device.save(), state);
    let parts = PvpanicParts { config: PvpanicConfig::default(), listener: Box::new(Nobody) };
    let mut again = unpack::<Pvpanic>(parts, &pack(&bench.device)).unwrap();
    assert_eq!(again.save(), state);
    again.reset(&mut bench.world.ports());
    assert_eq!(again.save(), PvpanicState::default());
}
