//! What is around the CPU: answers that depend on the question and on how many there were, and a record of what was said.

use fencepost_softcpu::bus::{Bus, Flow, Waiting};
use fencepost_time::{Cycles, TscOffset};

/// The record is a digest, and two counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    digest: u64,
    asked: u64,
}

impl World {
    fn note(&mut self, now: Cycles, what: u64, data: &[u8]) {
        let mut word = [0; 8];
        word[..data.len()].copy_from_slice(data);
        for part in [now.0, what, u64::from_le_bytes(word)] {
            self.digest = (self.digest ^ part).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
    }

    fn answer(&mut self, what: u64, data: &mut [u8]) {
        self.asked = self.asked.wrapping_add(1);
        let word = (what ^ self.asked).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        data.copy_from_slice(&word[..data.len()]);
    }

    /// Some addresses want the machine's attention.
    fn flow(what: u64) -> Flow {
        if what & 0x40 != 0 { Flow::Yield } else { Flow::Continue }
    }
}

impl Bus for World {
    fn mmio_read(&mut self, now: Cycles, gpa: u64, data: &mut [u8]) {
        self.answer(gpa, data);
        self.note(now, gpa, data);
    }
    fn read_interrupts(&mut self, gpa: u64) -> bool {
        gpa & 0x80 != 0
    }
    fn mmio_write(&mut self, now: Cycles, gpa: u64, data: &[u8]) -> Flow {
        self.note(now, gpa, data);
        World::flow(gpa)
    }
    fn port_read(&mut self, now: Cycles, port: u16, data: &mut [u8]) -> Flow {
        self.answer(port.into(), data);
        self.note(now, port.into(), data);
        World::flow(port.into())
    }
    fn port_write(&mut self, now: Cycles, port: u16, data: &[u8]) -> Flow {
        self.note(now, port.into(), data);
        World::flow(port.into())
    }
    fn end_of_interrupt(&mut self, now: Cycles, vector: u8, level: bool) -> Flow {
        self.note(now, vector.into(), &[level.into()]);
        Flow::Continue
    }
    fn runs(&mut self, _: u32) {}
    fn turn(&mut self) -> u64 {
        100
    }
    fn random(&mut self) -> u64 {
        let mut word = [0; 8];
        self.answer(1, &mut word);
        u64::from_le_bytes(word)
    }
    fn waiting(&mut self, _: Cycles) -> Waiting {
        Waiting::Machine
    }
    fn interrupt_delivered(&mut self, now: Cycles, vector: u8) {
        self.note(now, vector.into(), &[]);
    }
    fn counter_set(&mut self, now: Cycles, offset: TscOffset) {
        self.note(now, 2, &format!("{offset:?}").len().to_le_bytes());
    }
}
