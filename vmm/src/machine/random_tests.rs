//! A guest that does anything at all to the whole machine: it must neither panic nor stop time.

use fencepost_devices::testing::Random;
use fencepost_firmware::layout;
use fencepost_softcpu::bus::Bus;
use vm_memory::{Bytes, GuestAddress};

use super::testing::standard;
use super::*;

/// Small numbers, RAM addresses, single bits and anything: what registers take seriously.
fn value(random: &mut Random) -> u64 {
    match random.below(5) {
        0 => random.below(16),
        1 => random.below(memory::MEMORY_MIN_BYTES) & !0xff,
        2 => 1 << random.below(64),
        3 => u64::MAX,
        _ => random.bits(),
    }
}

/// An address where registers are, most often those of a function.
fn gpa(random: &mut Random) -> u64 {
    const FUNCTIONS: u64 = 6 * 0x1000;
    match random.below(8) {
        0 => layout::ECAM.start + random.below(4 << 15),
        1 => layout::IOAPIC + random.below(0x50),
        2 => layout::DMAR_UNIT + random.below(0x300),
        3 => layout::PCI_WINDOW.start + random.below(1 << 29),
        _ => layout::PCI_WINDOW.start + random.below(FUNCTIONS),
    }
}

/// Every function awake, at its place, decoding and mastering the bus: else nothing much happens.
fn enable(machine: &mut Machine) {
    for (slot, bar) in [(layout::GPU_SLOT, 0u32), (layout::CAMERA_SLOT, 2), (layout::DISPLAY_SLOT, 4)] {
        let function = layout::ECAM.start + (u64::from(slot) << 15);
        let base = layout::PCI_WINDOW.start as u32 + bar * 0x1000;
        for (register, value) in [(0x10, base), (0x18, base + 0x1000), (4, 6)] {
            machine.write_mmio(function + register, &value.to_le_bytes());
        }
    }
}

fn access(machine: &mut Machine, random: &mut Random, now: Cycles) {
    let size = 1 << random.below(4);
    let value = value(random).to_le_bytes();
    let gpa = gpa(random) & !(size - 1);
    let port = if random.below(2) == 0 { random.bits() as u16 } else { 0xcf8 + random.below(8) as u16 };
    let mut data = value;
    match random.below(16) {
        0..8 => drop(machine.mmio_write(now, gpa, &value[..size as usize])),
        8..13 => machine.mmio_read(now, gpa, &mut data[..size as usize]),
        13 => drop(machine.port_write(now, port, &value[..size.min(4) as usize])),
        14 => drop(machine.port_read(now, port, &mut data[..size.min(4) as usize])),
        _ => {
            let at = GuestAddress(random.below(memory::MEMORY_MIN_BYTES - 8));
            machine.memory().write_slice(&value, at).expect("RAM");
        }
    }
}

#[test]
fn no_sequence_of_accesses_panics_or_stops_time() {
    for seed in 1..=8 {
        let mut random = Random::new(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(seed));
        let mut machine = standard();
        let mut now = Cycles(0);
        for step in 0..20_000 {
            if step % 20 == 0 {
                enable(&mut machine);
            }
            now += 1 + random.below(100_000);
            access(&mut machine, &mut random, now);
            machine.run_due();
            machine.take_messages();
            assert!(machine.cpu_deadline() > machine.moment().cycles, "seed {seed}, step {step}");
        }
        let count = machine.finish().log.count;
        assert!(count > 2000, "seed {seed} reached the devices {count} times");
    }
}
