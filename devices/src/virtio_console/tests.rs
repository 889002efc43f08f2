//! The device against a driver written after the standard. Numbers are restated from 5.3.

use std::sync::{Arc, Mutex};

use crate::registry::Model;
use crate::state::{StateError, Stateful};
use crate::virtio::testing::{Driver, Part};

use super::core::ConsoleParts;
use super::message::Message;
use super::{ByteSink, ConsoleConfig, NoReader, Port, VirtioConsole};

/// What arrived at the host.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl ByteSink for Heard {
    fn write(&mut self, bytes: &[u8]) {
        self.0.lock().unwrap().extend(bytes);
    }
}

impl Heard {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Bench {
    driver: Driver,
    terminal: Heard,
    channel: Heard,
}

const CONTROL_IN: u16 = 2;
const CONTROL_OUT: u16 = 3;
const SOON: u64 = 1_000_000;

impl Bench {
    fn new() -> Self {
        Bench::without(0)
    }

    /// One whose driver does not take these features.
    fn without(features: u64) -> Self {
        let (terminal, channel) = (Heard::default(), Heard::default());
        let parts = ConsoleParts {
            config: ConsoleConfig::default(),
            terminal: Box::new(terminal.clone()),
            channel: Box::new(channel.clone()),
        };
        let driver = Driver::new(Box::new(VirtioConsole::power_on(parts).unwrap()), features);
        Bench { driver, terminal, channel }
    }

    /// One whose driver has added both ports, and opened them.
    fn ready() -> Self {
        let mut bench = Bench::new();
        for (port, event, value) in [(0, 0, 1), (0, 3, 1), (1, 3, 1), (0, 6, 1), (1, 6, 1)] {
            bench.say(port, event, value);
        }
        assert!(bench.hear().len() >= 6);
        bench
    }

    fn say(&mut self, port: u32, event: u16, value: u16) {
        let message = [&port.to_le_bytes()[..], &event.to_le_bytes(), &value.to_le_bytes()].concat();
        self.driver.store(0x1000, &message);
        assert_eq!(self.driver.request(CONTROL_OUT, &[Part::Read(0x1000, 8)]), Some(0));
    }

    /// All control messages that wait: port, event, value, rest.
    fn hear(&mut self) -> Vec<(u32, u16, u16, Vec<u8>)> {
        let mut heard = Vec::new();
        while let Some(bytes) = self.take(CONTROL_IN) {
            let at = |from: usize| u16::from_le_bytes([bytes[from], bytes[from + 1]]);
            heard.push((u32::from(at(0)), at(4), at(6), bytes[8..].to_vec()));
        }
        heard
    }

    /// What one buffer of `queue` gets, if it gets anything. The next call's is the same buffer, if it did not.
    fn take(&mut self, queue: u16) -> Option<Vec<u8>> {
        let place = 0x2000 + 0x200 * u64::from(queue);
        self.driver.add(queue, &[Part::Write(place, 64)]);
        self.driver.kick(queue);
        self.driver.wait(SOON);
        let (_, bytes) = self.driver.used(queue).pop()?;
        Some(self.driver.load(place, bytes as usize))
    }

    fn send(&mut self, queue: u16, bytes: &[u8]) {
        self.driver.store(0x8000, bytes);
        assert_eq!(self.driver.request(queue, &[Part::Read(0x8000, bytes.len() as u32)]), Some(0));
    }

    fn deliver(&mut self, message: &Message<'_>) -> usize {
        let Driver { function, world, .. } = &mut self.driver;
        function.inbox().unwrap().receive(&message.bytes(), &mut world.ports())
    }

    fn counter(&self, name: &str) -> u64 {
        self.driver.function.counters().iter().find(|counter| counter.name == name).unwrap().value
    }
}

#[test]
fn the_ports_are_added_named_and_opened_in_the_standards_order() {
    let mut bench = Bench::new();
    bench.say(0, 0, 1);
    assert_eq!(bench.hear(), [(0, 1, 1, vec![]), (1, 1, 1, vec![])]);
    let mut bench = Bench::new();
    bench.say(0, 3, 1);
    bench.say(1, 3, 1);
    let size = [80, 0, 25, 0].to_vec();
    let name = b"fencepost.channel".to_vec();
    let expected =
        [(0, 4, 1, vec![]), (0, 5, 0, size), (0, 6, 1, vec![]), (1, 7, 1, name), (1, 6, 0, vec![])];
    assert_eq!(bench.hear(), expected);
}

#[test]
fn each_ports_output_goes_to_its_reader() {
    let mut bench = Bench::ready();
    bench.send(1, b"to the terminal");
    bench.send(5, b"to the channel");
    assert_eq!(bench.terminal.take(), b"to the terminal");
    assert_eq!(bench.channel.take(), b"to the channel");
    assert_eq!(bench.counter("sent"), 29);
}

#[test]
fn input_waits_for_a_buffer_and_for_a_program_that_listens() {
    let mut bench = Bench::ready();
    bench.say(1, 6, 0);
    assert_eq!(bench.deliver(&Message::Data(Port::Channel, b"early")), 6);
    assert_eq!(bench.deliver(&Message::Data(Port::Terminal, b"ls")), 3);
    assert_eq!(bench.take(0), Some(b"ls".to_vec()));
    assert_eq!(bench.take(4), None, "nobody has the channel open");
    bench.say(1, 6, 1);
    bench.driver.wait(SOON);
    assert_eq!(bench.driver.used(4).len(), 1);
    assert_eq!(bench.driver.load(0x2800, 5), b"early");
}

/// Linux throws away what comes for a terminal that it has not opened yet.
#[test]
fn the_terminals_input_waits_for_its_opening() {
    let mut bench = Bench::new();
    bench.say(0, 0, 1);
    bench.say(0, 3, 1);
    bench.hear();
    assert_eq!(bench.deliver(&Message::Data(Port::Terminal, b"ls")), 3);
    assert_eq!(bench.take(0), None);
    bench.say(0, 6, 1);
    bench.driver.wait(SOON);
    assert_eq!(bench.driver.used(0).len(), 1);
    assert_eq!(bench.driver.load(0x2000, 2), b"ls");
    // A driver without several ports never says so.
    bench = Bench::without(1 << 1);
    assert_eq!(bench.deliver(&Message::Data(Port::Terminal, b"ls")), 3);
    assert_eq!(bench.take(0), Some(b"ls".to_vec()));
}

#[test]
fn a_reader_that_does_not_read_stops_the_host_at_64_kib() {
    let mut bench = Bench::ready();
    let part = [b'x'; 4096];
    for _ in 0..16 {
        assert_eq!(bench.deliver(&Message::Data(Port::Terminal, &part)), 4097);
    }
    assert_eq!(bench.deliver(&Message::Data(Port::Terminal, b"y")), 0, "offered again later");
    assert_eq!(bench.take(0).map(|got| got.len()), Some(64));
    assert_eq!(bench.deliver(&Message::Data(Port::Terminal, b"y")), 2);
}

#[test]
fn a_new_size_is_told_once_and_is_in_the_configuration() {
    let mut bench = Bench::ready();
    bench.driver.world.take_raised();
    bench.deliver(&Message::Size(132, 43));
    bench.deliver(&Message::Size(132, 43));
    assert_eq!(bench.hear(), [(0, 5, 0, vec![132, 0, 43, 0])]);
    assert_eq!(
        (bench.driver.config(0, 2), bench.driver.config(2, 2), bench.driver.config(4, 4)),
        (132, 43, 2)
    );
    assert_eq!(bench.driver.world.take_raised().iter().filter(|&&vector| vector == 6).count(), 1);
}

#[test]
fn who_is_at_the_channels_other_end_is_told() {
    let mut bench = Bench::ready();
    for (on, told) in [(true, vec![(1, 6, 1, vec![])]), (true, vec![]), (false, vec![(1, 6, 0, vec![])])] {
        bench.deliver(&Message::Connected(on));
        assert_eq!(bench.hear(), told);
    }
}

#[test]
fn messages_that_are_none_are_counted() {
    let mut bench = Bench::ready();
    for (port, event, value) in [(0, 0, 0), (2, 3, 1), (0, 9, 1), (u32::MAX, 6, 1)] {
        bench.say(port, event, value);
    }
    let Driver { function, world, .. } = &mut bench.driver;
    for bytes in [&[9, 1][..], &[2, 1], &[3]] {
        assert_eq!(function.inbox().unwrap().receive(bytes, &mut world.ports()), bytes.len());
    }
    assert_eq!(bench.counter("malformed"), 7);
}

#[test]
fn a_driver_that_takes_no_control_messages_loses_the_later_ones() {
    let mut bench = Bench::new();
    for _ in 0..40 {
        bench.say(0, 0, 1);
    }
    assert_eq!((bench.counter("dropped"), bench.hear().len()), (80 - 64, 64));
}

#[test]
fn a_buffer_of_more_than_64_kib_is_cut_and_counted() {
    let mut bench = Bench::ready();
    assert_eq!(bench.driver.request(1, &[Part::Read(0, 0x9000), Part::Read(0, 0x9000)]), Some(0));
    assert_eq!((bench.terminal.take().len(), bench.counter("malformed")), (65536, 1));
}

#[test]
fn a_state_that_holds_more_than_it_may_is_refused() {
    let parts = || ConsoleParts {
        config: ConsoleConfig::default(),
        terminal: Box::new(NoReader),
        channel: Box::new(NoReader),
    };
    let mut state = VirtioConsole::power_on(parts()).unwrap().save();
    state.device.ports[1].input = vec![0; 65537].into();
    let restored = VirtioConsole::restore(parts(), state).err();
    assert!(matches!(restored, Some(StateError::Impossible { kind: "virtio-console", .. })));
}
