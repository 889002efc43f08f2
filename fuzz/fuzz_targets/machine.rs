//! The whole machine without its CPU: a guest that writes anything to any port and address. Its state, restored, is the same state.
#![no_main]

use std::sync::Arc;

use fencepost::config::{DeviceConfig, MachineConfig};
use fencepost::devices::{self, HostFiles};
use fencepost::machine::irq::SoftInterrupts;
use fencepost::machine::log::EventLog;
use fencepost::machine::remap::Remapping;
use fencepost::machine::saved::MachineState;
use fencepost::machine::time::TimeBase;
use fencepost::machine::{Machine, Parts, memory};
use fencepost_fuzz::bytes::Bytes;
use fencepost_softcpu::bus::Bus;
use fencepost_softcpu::code::CodePages;
use fencepost_time::Cycles;
use libfuzzer_sys::fuzz_target;
use vm_memory::{Bytes as _, GuestAddress};

/// Registers and configuration space: where an access is most often something.
const PLACES: [u64; 8] =
    [0xc000_0000, 0xc001_0000, 0xc002_0000, 0xe000_0000, 0xe000_8000, 0xfec0_0000, 0xfed9_0000, 0xfee0_0000];
/// The functions that the guest finds, in slots 1 to 3 and from 4 on.
const MORE: [&str; 6] = ["edu", "virtio-console", "virtio-rng", "virtio-blk", "virtio-gpu", "pvpanic"];
/// Most calls that are made between two acts.
const ROUNDS_MAX: u32 = 20_000;

fn config() -> MachineConfig {
    let mut config = MachineConfig::default();
    config.devices.extend((4..).zip(MORE).map(|(slot, kind)| DeviceConfig::new(kind, slot)));
    config
}

fn parts(state: Option<&MachineState>) -> Parts {
    let memory = memory::map(memory::MEMORY_MIN_BYTES).expect("mapped");
    let host = &mut HostFiles::default();
    let (pci, time, interrupts) = match state {
        None => (
            devices::plug(&config(), host, Vec::new()),
            Some(TimeBase::virtual_from_zero()),
            Some(SoftInterrupts::default()),
        ),
        Some(state) => (
            devices::restore(&config(), host, &state.pci),
            TimeBase::resume(&state.time),
            SoftInterrupts::restore(&state.ioapic),
        ),
    };
    Parts {
        code: Arc::new(CodePages::new(memory::end(&memory))),
        memory,
        time: time.expect("its own time is possible"),
        interrupts: Box::new(interrupts.expect("its own I/O APIC is possible")),
        console: Box::new(std::io::sink()),
        control: Arc::default(),
        log: EventLog::new(100),
        pci: pci.expect("good options, or its own state"),
        iommu: if state.is_none() { Remapping::vtd() } else { Remapping::Off },
    }
}

fuzz_target!(|data: &[u8]| {
    let mut from = Bytes::new(data);
    let mut machine = Machine::new(parts(None));
    machine.trace_guest();
    let mut now = Cycles(0);
    while !from.is_empty() {
        act(&mut machine, &mut from, &mut now);
        while machine.take_message().is_some() {}
        machine.set_cycles(now);
        machine.run_due();
        assert!(machine.cpu_deadline() > machine.moment().cycles, "time stands still");
    }
    while machine.take_message().is_some() {}
    let state = machine.save().expect("it can be saved at any time");
    let mut again = Machine::restore(parts(Some(&state)), state.clone()).expect("its own state is possible");
    let encoded = |state: &MachineState| postcard::to_stdvec(state).expect("memory takes it");
    assert!(
        encoded(&again.save().expect("as before")) == encoded(&state),
        "restored, it is in another state"
    );
});

fn act(machine: &mut Machine, from: &mut Bytes<'_>, now: &mut Cycles) {
    let tag = from.u8();
    let width = 1usize << (tag >> 4 & 3);
    *now += 1;
    match tag & 15 {
        0..=3 => {
            let at = place(from);
            let value = from.number(width).to_le_bytes();
            let _ = machine.mmio_write(*now, at, &value[..width]);
        }
        4 | 5 => {
            let at = place(from);
            machine.mmio_read(*now, at, &mut [0; 8][..width]);
        }
        6..=8 => {
            let (port, width) = (from.u16(), width.min(4));
            let value = from.number(width).to_le_bytes();
            let _ = machine.port_write(*now, port, &value[..width]);
        }
        9 => {
            let port = from.u16();
            let _ = machine.port_read(*now, port, &mut [0; 4][..width.min(4)]);
        }
        10..=12 => {
            let (at, len) = (u64::from(from.u16()) * 16, from.u8());
            machine.memory().write_slice(from.take(len.into()), GuestAddress(at)).expect("inside");
        }
        13 => _ = machine.end_of_interrupt(*now, from.u8(), tag & 0x80 != 0),
        _ => pass(machine, now, u64::from(from.u8()) << (tag >> 4)),
    }
}

fn place(from: &mut Bytes<'_>) -> u64 {
    let (place, offset) = (from.u8(), from.u16());
    PLACES[usize::from(place & 7)] + (u64::from(place >> 3) << 12) + u64::from(offset & 0xfff)
}

/// Lets time pass, from event to event.
fn pass(machine: &mut Machine, now: &mut Cycles, cycles: u64) {
    let until = *now + cycles;
    for _ in 0..ROUNDS_MAX {
        *now = machine.cpu_deadline().min(until);
        machine.set_cycles(*now);
        machine.run_due();
        if *now >= until {
            break;
        }
    }
    *now = until;
}
