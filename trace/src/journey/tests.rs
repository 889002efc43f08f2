//! Journeys of made-up machines, whose truth is known.

use super::synthetic::Machine;
use super::*;

/// A deterministic source of delays.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn gaps(&mut self) -> [u64; 24] {
        std::array::from_fn(|_| 1 + self.below(900))
    }
}

/// `frames` frames, one after the other, over 4 capture buffers and 3 screens.
fn machine(seed: u64, frames: u32, guest: bool, direct: bool) -> Machine {
    let mut random = Random(seed);
    let mut machine = Machine::new(guest);
    machine.direct = direct;
    for index in 0..4 {
        machine.queue(u64::from(index), index);
    }
    let mut now = 1000;
    for frame in 0..frames {
        machine.tick(now - 3);
        now = machine.journey(now, frame % 4, u64::from(frame % 3), &random.gaps()) + random.below(3000) + 10;
        machine.tick(now - 2);
    }
    machine
}

/// Every stage of every frame is where the machine put it, and no other stage is there.
fn agrees(machine: &Machine, journeys: &Journeys) {
    let mut found = std::collections::BTreeMap::new();
    for frame in &journeys.frames {
        for step in &frame.steps {
            assert_eq!(step.at.stamp.ns, step.at.stamp.cycles * synthetic::NS);
            found.insert((frame.number, step.stage), step.at.stamp.cycles);
        }
    }
    let mut truth = machine.truth.clone();
    truth.retain(|(_, stage), _| machine.guest || stage.side() == Side::Host);
    if !machine.guest {
        truth.retain(|(_, stage), _| *stage != Stage::GpuDoorbell || !machine.direct);
    }
    for (key, cycles) in &truth {
        assert_eq!(found.get(key), Some(cycles), "{key:?}");
    }
    assert_eq!(found.len(), truth.len());
}

#[test]
fn every_stage_of_every_journey_is_found() {
    for seed in 0..20 {
        for (guest, direct) in [(true, false), (false, false), (true, true), (false, true)] {
            let machine = machine(seed, 40, guest, direct);
            let journeys = Journeys::build(&machine.trace());
            assert_eq!(journeys.frames.len(), 40);
            agrees(&machine, &journeys);
            for frame in &journeys.frames {
                assert_eq!(frame.outcome, Outcome::Complete, "seed {seed} frame {}", frame.number);
            }
            assert_eq!(journeys.violations, []);
        }
    }
}
