//! Frames in both directions. Numbers are restated from 5.1.

use std::sync::{Arc, Mutex};

use crate::registry::Model;
use crate::state::{StateError, Stateful};
use crate::virtio::testing::{Driver, Part};

use super::core::NetParts;
use super::{NetConfig, Unplugged, VirtioNet, Wire};

#[derive(Clone, Default)]
struct Sent(Arc<Mutex<Vec<Vec<u8>>>>);

impl Wire for Sent {
    fn send(&mut self, frame: &[u8]) {
        self.0.lock().unwrap().push(frame.to_vec());
    }
}

fn bench() -> (Driver, Sent) {
    let sent = Sent::default();
    let parts =
        NetParts { config: NetConfig { station: 7, ..NetConfig::default() }, wire: Box::new(sent.clone()) };
    (Driver::new(Box::new(VirtioNet::power_on(parts).unwrap()), 0), sent)
}

fn deliver(driver: &mut Driver, frame: &[u8]) -> usize {
    let Driver { function, world, .. } = driver;
    function.inbox().unwrap().receive(frame, &mut world.ports())
}

fn counter(driver: &Driver, name: &str) -> u64 {
    driver.function.counters().iter().find(|counter| counter.name == name).unwrap().value
}

fn frame(length: usize) -> Vec<u8> {
    (0..length).map(|at| at as u8).collect()
}

#[test]
fn it_has_an_address_and_a_link() {
    let (mut driver, _) = bench();
    assert_eq!(driver.config(0, 8), 0x0001_0700_009c_fe02);
}

#[test]
fn frames_are_sent_without_their_header_in_order() {
    let (mut driver, sent) = bench();
    driver.store(0x1000, &[0; 12]);
    for length in [14usize, 60, 1518] {
        driver.store(0x2000, &frame(length));
        let parts = [Part::Read(0x1000, 12), Part::Read(0x2000, length as u32)];
        assert_eq!(driver.request(1, &parts), Some(0));
    }
    assert_eq!(*sent.0.lock().unwrap(), [frame(14), frame(60), frame(1518)]);
}

#[test]
fn frames_in_very_many_pieces_are_sent_by_several_looks() {
    let (mut driver, sent) = bench();
    let whole = [&[0; 12][..], &frame(988)].concat();
    driver.store(0x1000, &whole);
    for n in 0..1000u64 {
        let next = if n < 999 { 1u16 } else { 0 };
        let words = [&(0x1000 + n).to_le_bytes()[..], &1u32.to_le_bytes(), &next.to_le_bytes()].concat();
        driver.store(0x4000 + 16 * n, &[&words[..], &(n as u16 + 1).to_le_bytes()].concat());
    }
    (0..12).for_each(|_| _ = driver.add(1, &[Part::Table(0x4000, 16_000)]));
    driver.kick(1);
    let Driver { function, world, .. } = &mut driver;
    // A call takes 4096 pieces, and the frame to its end.
    function.timer(0, &mut world.ports());
    assert_eq!(sent.0.lock().unwrap().len(), 5);
    driver.wait(1_000_000);
    assert_eq!(*sent.0.lock().unwrap(), vec![frame(988); 12]);
    assert_eq!(driver.used(1).len(), 12);
}

#[test]
fn frames_too_short_or_too_long_are_refused_on_both_sides() {
    let (mut driver, sent) = bench();
    for length in [0u32, 13, 1519, 100_000] {
        assert_eq!(driver.request(1, &[Part::Read(0x1000, 12 + length)]), Some(0), "{length}");
    }
    assert_eq!(driver.request(1, &[Part::Read(0x1000, 5)]), Some(0), "no header");
    for length in [13, 1519] {
        assert_eq!(deliver(&mut driver, &frame(length)), length, "it is not offered again");
    }
    assert_eq!((sent.0.lock().unwrap().len(), counter(&driver, "refused")), (0, 7));
}

#[test]
fn a_frame_that_arrives_has_a_header_with_one_buffer() {
    let (mut driver, _) = bench();
    driver.add(0, &[Part::Write(0x1000, 12), Part::Write(0x2000, 1518)]);
    driver.kick(0);
    deliver(&mut driver, &frame(60));
    driver.wait(1_000_000);
    assert_eq!(driver.used(0).iter().map(|used| used.1).collect::<Vec<_>>(), [72]);
    assert_eq!(driver.load(0x1000, 12), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(driver.load(0x2000, 60), frame(60));
}

#[test]
fn without_buffers_64_frames_wait_and_then_the_host_does() {
    let (mut driver, _) = bench();
    for _ in 0..64 {
        assert_eq!(deliver(&mut driver, &frame(60)), 60);
    }
    assert_eq!(deliver(&mut driver, &frame(60)), 0);
    driver.add(0, &[Part::Write(0x1000, 1600)]);
    driver.kick(0);
    driver.wait(1_000_000);
    assert_eq!((driver.used(0).len(), deliver(&mut driver, &frame(60))), (1, 60));
}

#[test]
fn a_buffer_that_is_too_small_costs_the_frame() {
    let (mut driver, _) = bench();
    driver.add(0, &[Part::Write(0x1000, 71)]);
    driver.kick(0);
    deliver(&mut driver, &frame(60));
    driver.wait(1_000_000);
    assert_eq!(driver.used(0).iter().map(|used| used.1).collect::<Vec<_>>(), [0]);
    assert_eq!((counter(&driver, "refused"), driver.load(0x1000, 71)), (1, vec![0; 71]));
}

#[test]
fn a_state_with_frames_that_cannot_wait_is_refused() {
    let parts = || NetParts { config: NetConfig::default(), wire: Box::new(Unplugged) };
    for waiting in [vec![frame(60); 65], vec![frame(13)]] {
        let mut state = VirtioNet::power_on(parts()).unwrap().save();
        state.device.waiting = waiting.into();
        let restored = VirtioNet::restore(parts(), state).err();
        assert!(matches!(restored, Some(StateError::Impossible { kind: "virtio-net", .. })));
    }
}
