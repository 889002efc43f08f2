//! The device against docs/edu.md. Offsets and bits are restated from there.

mod files;

use super::*;
use crate::function::{AsIssued, Function};
use crate::state::{Stateful, pack, unpack};
use crate::testing::World;

const MIB: u64 = 1 << 20;

struct Bench {
    edu: Edu,
    world: World,
    now_ns: u64,
}

impl Bench {
    fn new() -> Self {
        Bench { edu: Edu::new(EduConfig::default()), world: World::new(MIB as usize), now_ns: 0 }
    }

    fn read(&mut self, offset: u64) -> u32 {
        let mut data = [0; 4];
        AsIssued::read(&mut self.edu, 0, offset, &mut data, &mut self.world.ports());
        u32::from_le_bytes(data)
    }

    fn read64(&mut self, offset: u64) -> u64 {
        let mut data = [0; 8];
        AsIssued::read(&mut self.edu, 0, offset, &mut data, &mut self.world.ports());
        u64::from_le_bytes(data)
    }

    fn write(&mut self, offset: u64, value: u32) {
        AsIssued::write(&mut self.edu, 0, offset, &value.to_le_bytes(), &mut self.world.ports());
    }

    fn write64(&mut self, offset: u64, value: u64) {
        AsIssued::write(&mut self.edu, 0, offset, &value.to_le_bytes(), &mut self.world.ports());
    }

    fn wait(&mut self, ns: u64) {
        self.now_ns += ns;
        self.world.advance_to(self.now_ns, &mut self.edu);
    }

    fn transfer(&mut self, source: u64, destination: u64, count: u64, command: u32) {
        self.write64(0x80, source);
        self.write64(0x88, destination);
        self.write64(0x90, count);
        self.write(0x98, command);
        assert_eq!(self.read(0x98), command, "busy");
        self.wait(500 + 512);
        assert_eq!(self.read(0x98), command & !1, "done");
    }

    fn counter(&self, name: &str) -> u64 {
        self.edu.counters().into_iter().find(|counter| counter.name == name).unwrap().value
    }

    fn fill(&mut self, at: usize, bytes: &[u8]) {
        self.world.memory_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

#[test]
fn the_card_says_who_it_is_and_lives() {
    let mut bench = Bench::new();
    assert_eq!(bench.read(0x00), 0x0100_00ed);
    bench.write(0x04, 0x1234_5678);
    assert_eq!(bench.read(0x04), 0xedcb_a987);
}

#[test]
fn registers_below_0x80_take_four_bytes_alone() {
    let mut bench = Bench::new();
    bench.write64(0x04, 1);
    assert_eq!((bench.read(0x04), bench.read64(0x00), bench.read(0x02)), (0, 0, 0));
    let mut byte = [1];
    AsIssued::read(&mut bench.edu, 0, 0x80, &mut byte, &mut bench.world.ports());
    assert_eq!((byte, bench.counter("bad-accesses")), ([0], 4));
    bench.write64(0x88, 0x1_2345_6789);
    bench.write(0x8c, 7);
    assert_eq!((bench.read64(0x88), bench.read(0x88), bench.read(0x8c)), (0x7_2345_6789, 0x2345_6789, 7));
}

#[test]
fn a_factorial_is_there_when_its_status_bit_is_clear() {
    for (number, expected) in [(0, 1), (1, 1), (5, 120), (12, 479_001_600), (13, 1_932_053_504), (34, 0)] {
        let mut bench = Bench::new();
        bench.write(0x08, number);
        assert_eq!((bench.read(0x20), bench.read(0x08)), (1, number));
        bench.write(0x08, 3);
        bench.wait(500 + 4 * u64::from(number) - 1);
        assert_eq!(bench.read(0x20), 1, "one cycle too early");
        bench.wait(1);
        assert_eq!((bench.read(0x20), bench.read(0x08)), (0, expected), "{number}!");
        assert_eq!(bench.world.take_raised(), [0u16; 0]);
    }
}

#[test]
fn the_largest_number_is_no_endless_loop() {
    let mut bench = Bench::new();
    bench.write(0x08, u32::MAX);
    bench.wait(4 * (1 << 32) + 500);
    assert_eq!((bench.read(0x20), bench.read(0x08)), (0, 0));
}

#[test]
fn reasons_for_the_interrupt_add_up_until_each_is_acknowledged() {
    let mut bench = Bench::new();
    bench.write(0x60, 0x10);
    bench.write(0x60, 0x06);
    assert_eq!((bench.read(0x24), bench.world.msi.line), (0x16, true));
    assert_eq!(bench.world.take_raised(), [0, 0], "a message for each");
    bench.write(0x64, 0x12);
    assert_eq!((bench.read(0x24), bench.world.msi.line), (0x04, true));
    bench.write(0x64, u32::MAX);
    assert_eq!((bench.read(0x24), bench.world.msi.line), (0, false));
    bench.write(0x60, 0);
    assert_eq!((bench.world.msi.line, bench.world.take_raised()), (false, vec![]), "no reason");
}

#[test]
fn a_factorial_interrupts_when_asked() {
    let mut bench = Bench::new();
    bench.write(0x20, 0xff);
    assert_eq!(bench.read(0x20), 0x80);
    bench.write(0x08, 4);
    assert_eq!(bench.read(0x20), 0x81);
    bench.wait(516);
    assert_eq!((bench.read(0x24), bench.read(0x08), bench.world.msi.line), (1, 24, true));
}

#[test]
fn bytes_go_into_the_buffer_and_back() {
    let mut bench = Bench::new();
    let bytes: Vec<u8> = (0..100).map(|n| n ^ 0x5a).collect();
    bench.fill(0x2345, &bytes);
    bench.transfer(0x2345, 0x4_0010, 100, 1);
    assert_eq!((bench.read(0x24), bench.world.msi.line), (0, false), "no interrupt was asked for");
    bench.transfer(0x4_0010, 0x9_0000, 100, 7);
    assert_eq!(bench.world.memory_mut()[0x9_0000..0x9_0064], bytes);
    assert_eq!((bench.read(0x24), bench.counter("transfers"), bench.counter("failures")), (0x100, 2, 0));
}

#[test]
fn address_bits_beyond_28_are_dropped() {
    let mut bench = Bench::new();
    bench.fill(0x3000, &[1, 2, 3, 4]);
    bench.transfer(0xabc_1000_3000, 0x4_0000, 4, 1);
    bench.transfer(0x4_0000, 0xf000_0000_0000_5000, 4, 3);
    assert_eq!(bench.world.memory_mut()[0x5000..0x5004], [1, 2, 3, 4]);
    let wide = EduConfig { dma_bits: 64, ..EduConfig::default() };
    bench.edu = Edu::new(wide);
    bench.transfer(0xabc_1000_3000, 0x4_0000, 4, 1);
    assert_eq!(bench.counter("failures"), 1, "with 64 bits there is no such memory");
}

#[test]
fn a_transfer_over_the_end_of_its_addresses_continues_at_0() {
    let mut bench = Bench::new();
    bench.edu = Edu::new(EduConfig { dma_bits: 16, ..EduConfig::default() });
    bench.fill(0xfffc, &[1, 2, 3, 4, 9, 9, 9, 9]);
    bench.fill(0, &[5, 6, 7, 8]);
    bench.transfer(0xfffc, 0x4_0000, 8, 1);
    bench.transfer(0x4_0000, 0x1_fffe, 8, 3);
    assert_eq!(bench.world.memory_mut()[0xfffe..0x1_0000], [1, 2]);
    assert_eq!(bench.world.memory_mut()[..6], [3, 4, 5, 6, 7, 8]);
}

#[test]
fn what_the_buffer_does_not_hold_or_memory_refuses_is_not_moved() {
    let mut bench = Bench::new();
    bench.world.refuse(0x7000, 0x8000);
    let before = pack(&bench.edu);
    let bad = [
        (0x1000, 0x3_ffff, 4, 1),
        (0x1000, 0x4_0ffd, 4, 1),
        (0x1000, 0x4_0000, u64::MAX, 1),
        (0x4_0001, 0x1000, 4096, 3),
        (u64::MAX, 0x1000, 1, 3),
        (0x6ffe, 0x4_0000, 4, 1),
        (0x4_0000, 0x7ffc, 4, 3),
        (0x4_0000, 0x20_0000, 4, 3),
    ];
    for (failures, (source, destination, count, command)) in (1..).zip(bad) {
        bench.transfer(source, destination, count, command | 4);
        assert_eq!((bench.counter("failures"), bench.read(0x24)), (failures, 0x100));
        bench.write(0x64, 0x100);
    }
    assert_eq!(Edu::restore(EduConfig::default(), bench.edu.save()).unwrap().save().buffer, vec![0; 4096]);
    assert_ne!(pack(&bench.edu), before);
    assert!(bench.world.memory_mut().iter().all(|&byte| byte == 0));
}

#[test]
fn a_running_transfer_is_not_disturbed() {
    let mut bench = Bench::new();
    bench.fill(0x1000, &[7; 8]);
    for (offset, value) in [(0x80, 0x1000), (0x88, 0x4_0000), (0x90, 8)] {
        bench.write64(offset, value);
    }
    bench.write64(0x98, 1);
    for offset in [0x80, 0x88, 0x90, 0x98] {
        bench.write64(offset, 2);
    }
    bench.wait(501);
    assert_eq!((bench.read64(0x80), bench.read64(0x90), bench.read(0x98)), (0x1000, 8, 0));
    assert_eq!(bench.edu.save().buffer[..9], [7, 7, 7, 7, 7, 7, 7, 7, 0]);
}

#[test]
fn a_restored_device_finishes_what_it_began() {
    let mut bench = Bench::new();
    bench.fill(0x1000, &[7; 8]);
    for (offset, value) in [(0x80, 0x1000), (0x88, 0x4_0000), (0x90, 8)] {
        bench.write64(offset, value);
    }
    bench.write(0x98, 5);
    bench.write(0x08, 6);
    let saved = pack(&bench.edu);
    bench.edu.reset(&mut bench.world.ports());
    bench.wait(10_000);
    assert_eq!((bench.read(0x24), bench.read(0x98), bench.read(0x08)), (0, 0, 0), "reset");
    bench.edu = unpack(EduConfig::default(), &saved).unwrap();
    bench.edu.rearm(&mut bench.world.ports());
    bench.wait(1);
    assert_eq!((bench.read(0x24), bench.read(0x98), bench.read(0x08)), (0x100, 4, 720));
}

#[test]
fn states_that_cannot_be_are_refused() {
    let refused = |change: fn(&mut EduState)| {
        let mut state = EduState::default();
        change(&mut state);
        Edu::restore(EduConfig::default(), state).is_err()
    };
    assert!(!refused(|_| {}));
    assert!(refused(|state| state.buffer.truncate(4095)));
    assert!(refused(|state| state.command = 8));
    assert!(refused(|state| state.command = 1));
    assert!(refused(|state| state.transfer_due_ns = Some(5)));
}
