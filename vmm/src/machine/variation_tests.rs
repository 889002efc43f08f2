//! The machine under a seed: messages are late, never lost, never early; engines take their time; the screen's clock
//! stands firm.

use std::any::Any;

use fencepost_devices::function::{Counter, Doorbell, Function, Identity, Ids, Inbox, Registers, Words};
use fencepost_devices::pci::requester_id;
use fencepost_devices::ports::Ports;
use fencepost_devices::state::SavedState;
use fencepost_devices::testing::Random;
use fencepost_firmware::layout;
use fencepost_softcpu::code::CodePages;
use fencepost_time::Cycles;
use fencepost_trace::Event;
use vm_memory::{Bytes, GuestAddress};

use super::irq::SoftInterrupts;
use super::log::EventLog;
use super::time::TimeBase;
use super::variation::DELAY_MAX_NS;
use super::*;
use crate::config::MachineConfig;
use crate::devices::HostFiles;

const BELLS_SLOT: u8 = 5;
const VECTORS: u16 = 4;
/// The interrupt vector of MSI-X vector 0; the others follow.
const FIRST: u8 = 0x60;

/// When, in nanoseconds, and which interrupt vector.
type Arrival = (u64, u8);
/// When, in nanoseconds, and what.
type Stamped = (u64, Event);

/// Writing `n` to a register raises vector `n`.
struct Bells;

impl Words for Bells {
    fn read(&mut self, _: u32, _: &mut Ports<'_>) -> u32 {
        0
    }
    fn write(&mut self, _: u32, value: u32, ports: &mut Ports<'_>) {
        ports.msi.raise(value as u16);
    }
}

impl Function for Bells {
    fn identity(&self) -> Identity {
        Identity {
            name: "bells",
            ids: Ids::fencepost(0x78),
            class: 0x088000,
            revision: 1,
            ..Identity::registers_and_msix(4096, VECTORS)
        }
    }
    fn registers(&mut self) -> Registers<'_> {
        Registers::Words(self)
    }

    fn timer(&mut self, _: u32, _: &mut Ports<'_>) {}
    fn reset(&mut self, _: &mut Ports<'_>) {}
    fn doorbells(&self) -> Vec<Doorbell> {
        Vec::new()
    }

    fn inbox(&mut self) -> Option<&mut dyn Inbox> {
        None
    }
    fn save_state(&self) -> SavedState {
        SavedState { kind: "bells".into(), version: 1, bytes: Vec::new() }
    }
    fn rearm(&self, _: &mut Ports<'_>) {}
    fn counters(&self) -> Vec<Counter> {
        Vec::new()
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

fn machine(pci: PciRoot, seed: Option<u64>) -> Machine {
    let memory = memory::map(memory::MEMORY_MIN_BYTES).expect("mapped");
    let mut machine = Machine::new(Parts {
        code: Arc::new(CodePages::new(memory::end(&memory))),
        memory,
        time: TimeBase::virtual_from_zero(),
        interrupts: Box::<SoftInterrupts>::default(),
        console: Box::new(std::io::sink()),
        control: Arc::default(),
        log: EventLog::new(1 << 16),
        pci,
        iommu: Remapping::Off,
    });
    if let Some(seed) = seed {
        machine.vary(seed);
    }
    machine
}

fn write(machine: &mut Machine, gpa: u64, value: u32) {
    machine.write_mmio(gpa, &value.to_le_bytes());
}

fn read(machine: &mut Machine, gpa: u64) -> u32 {
    let mut word = [0; 4];
    machine.read_mmio(gpa, &mut word);
    u32::from_le_bytes(word)
}

/// Switches on decoding, bus mastering and MSI-X, with vector `n` set to `first + n`; gives BAR 0.
fn enable(machine: &mut Machine, slot: u8, vectors: u16, first: u8) -> u64 {
    const MEMORY_AND_BUS_MASTER: u32 = 6;
    const MSIX: u32 = 0x11;
    let config = layout::ECAM.start + (u64::from(requester_id(slot)) << 12);
    write(machine, config + 4, MEMORY_AND_BUS_MASTER);
    let table = u64::from(read(machine, config + 0x18));
    for vector in 0..vectors {
        let data = u32::from(first) + u32::from(vector);
        for (offset, value) in [(0, 0xfee0_0000), (4, 0), (8, data), (12, 0)] {
            write(machine, table + 16 * u64::from(vector) + offset, value);
        }
    }
    let mut capability = read(machine, config + 0x34) & 0xff;
    while capability != 0 {
        let header = read(machine, config + u64::from(capability));
        if header & 0xff == MSIX {
            write(machine, config + u64::from(capability), header | 1 << 31);
        }
        capability = header >> 8 & 0xff;
    }
    u64::from(read(machine, config + 0x10))
}

/// Lets time pass to `until`, stopping at each event; gives when each message arrived, and its vector.
fn run_to(machine: &mut Machine, until: u64) -> Vec<Arrival> {
    let mut arrived = Vec::new();
    loop {
        machine.run_due();
        let now = machine.now().cycles;
        arrived.extend(machine.take_messages().iter().map(|message| (now, message.vector)));
        match machine.next_event_ns() {
            Some(next) if next <= until => machine.set_cycles(Cycles(next)),
            _ => break,
        }
    }
    machine.set_cycles(Cycles(until));
    arrived
}

fn bells(seed: Option<u64>) -> (Machine, u64) {
    let mut pci = PciRoot::new();
    pci.add(BELLS_SLOT, Box::new(Bells)).expect("free");
    pci.assign_bars(&map::pci_windows()).expect("fits");
    let mut machine = machine(pci, seed);
    let bar = enable(&mut machine, BELLS_SLOT, VECTORS, FIRST);
    (machine, bar)
}

/// Raises vectors at random, often closer together than a message's time on its way. Gives what was raised and what
/// arrived, each in order.
fn ring(seed: Option<u64>, tune: u64) -> (Vec<Arrival>, Vec<Arrival>) {
    let (mut machine, bar) = bells(seed);
    let mut random = Random::new(tune + 1);
    let (mut raised, mut arrived, mut now) = (Vec::new(), Vec::new(), 0);
    for _ in 0..60 {
        now += random.below(900);
        arrived.extend(run_to(&mut machine, now));
        let vector = random.below(VECTORS.into()) as u8;
        raised.push((now, FIRST + vector));
        write(&mut machine, bar, vector.into());
    }
    arrived.extend(run_to(&mut machine, now + DELAY_MAX_NS));
    (raised, arrived)
}

fn times_of(events: &[Arrival], vector: u8) -> Vec<u64> {
    events.iter().filter(|event| event.1 == vector).map(|event| event.0).collect()
}

#[test]
fn no_message_is_lost_early_or_too_late() {
    for seed in 0..300 {
        let (raised, arrived) = ring(Some(seed), seed);
        assert_eq!(raised.len(), arrived.len(), "seed {seed}");
        for vector in FIRST..FIRST + VECTORS as u8 {
            let (raised, arrived) = (times_of(&raised, vector), times_of(&arrived, vector));
            assert_eq!(raised.len(), arrived.len(), "seed {seed}, vector {vector}");
            // Messages of one vector are all alike: the n-th to arrive answers for the n-th raised.
            let late = raised.iter().zip(&arrived).map(|(raised, arrived)| arrived.checked_sub(*raised));
            assert!(late.clone().all(|late| late.is_some_and(|ns| ns <= DELAY_MAX_NS)), "seed {seed}");
        }
    }
}

#[test]
fn the_order_of_vectors_may_change_but_only_with_a_seed() {
    let vectors = |events: &[Arrival]| events.iter().map(|event| event.1).collect::<Vec<_>>();
    let changed = |seed: Option<u64>| {
        let (raised, arrived) = ring(seed, 5);
        vectors(&raised) != vectors(&arrived)
    };
    assert!((0..20).any(|seed| changed(Some(seed))));
    let (raised, arrived) = ring(None, 5);
    assert_eq!(raised, arrived);
}

#[test]
fn the_same_seed_gives_the_same_arrivals_and_another_others() {
    assert_eq!(ring(Some(11), 1).1, ring(Some(11), 1).1);
    assert_ne!(ring(Some(11), 1).1, ring(Some(12), 1).1);
}

#[test]
fn more_messages_than_are_kept_on_their_way_arrive_all_the_same() {
    let (mut machine, bar) = bells(Some(4));
    for _ in 0..1000 {
        write(&mut machine, bar, 1);
    }
    let (at_once, later) = (machine.take_messages().len(), run_to(&mut machine, DELAY_MAX_NS).len());
    assert_eq!((at_once, later), (744, 256));
}

#[test]
fn a_read_of_a_function_brings_its_messages_in_and_a_read_of_memory_does_not() {
    let late = (0..50).find(|&seed| {
        let (mut machine, bar) = bells(Some(seed));
        write(&mut machine, bar, 2);
        machine.run_due();
        !machine.needs_attention()
    });
    let (mut machine, bar) = bells(late);
    write(&mut machine, bar, 2);
    read(&mut machine, layout::IOAPIC);
    assert!(!machine.needs_attention());
    read(&mut machine, bar);
    let vectors: Vec<u8> = machine.take_messages().iter().map(|message| message.vector).collect();
    assert_eq!((vectors, run_to(&mut machine, DELAY_MAX_NS)), (vec![FIRST + 2], vec![]));
}

const PACKETS: u64 = 0x10_0000;
const FENCES: u64 = 0x11_0000;
const CAPTURE_QUEUE: u64 = 0x12_0000;
const RECORDS: u64 = 0x12_1000;
const LIST: u64 = 0x12_2000;
const PIXELS: u64 = 0x20_0000;
const PACKETS_EACH: u32 = 20;
/// A packet that moves nothing, by the default cost model.
const PACKET_CYCLES: u64 = 500;

fn store(machine: &Machine, at: u64, words: &[u32]) {
    for (place, word) in (at..).step_by(4).zip(words) {
        machine.memory().write_obj(*word, GuestAddress(place)).expect("RAM");
    }
}

/// Both rings of the GPU with the same fences, the camera with buffers for eight frames, the screen at 60 Hz.
fn start_engines(machine: &mut Machine) {
    let gpu = enable(machine, layout::GPU_SLOT, 3, 0x60);
    let camera = enable(machine, layout::CAMERA_SLOT, 3, 0x70);
    let display = enable(machine, layout::DISPLAY_SLOT, 3, 0x80);
    // Mode 640x480 of 800x525 at 25.2 MHz; interrupts; on.
    for (offset, value) in
        [(0x104, 640 | 480 << 16), (0x108, 800 | 525 << 16), (0x10c, 25_200), (0x14, 7), (0x100, 1)]
    {
        write(machine, display + offset, value);
    }
    store(machine, LIST, &[PIXELS as u32, 0, 0x400, 0]);
    for slot in 0..8 {
        let descriptor = [slot, 0, slot, 1, LIST as u32, 0, 1, 0x400];
        store(machine, CAPTURE_QUEUE + 64 * u64::from(slot), &descriptor);
    }
    for (offset, value) in [(0x84, 32), (0x88, 16), (0x8c, 64), (0x98, CAPTURE_QUEUE as u32)] {
        write(machine, camera + offset, value);
    }
    for (offset, value) in [(0xa0, RECORDS as u32), (0xa8, 8), (0xc8, 8), (0xc0, 1)] {
        write(machine, camera + offset, value);
    }
    for ring in 0..2u64 {
        let (registers, packets) = (gpu + 0x100 * (ring + 1), PACKETS + 0x1000 * ring);
        for n in 0..PACKETS_EACH {
            const FENCE: u32 = 6;
            store(machine, packets + 128 * u64::from(n), &[FENCE, 0, n + 1]);
        }
        let fence = (FENCES + 8 * ring) as u32;
        for (offset, value) in [(0, packets as u32), (8, 32), (0x20, fence), (0x14, 1), (0x10, PACKETS_EACH)]
        {
            write(machine, registers + offset, value);
        }
    }
}

/// What the engines did in less than a fifth of a second, and the interrupts that came of it.
fn engines(seed: Option<u64>) -> (Vec<Stamped>, Vec<Arrival>) {
    let pci = crate::devices::plug(&MachineConfig::default(), &mut HostFiles::default(), Vec::new())
        .expect("good options");
    let mut machine = machine(pci, seed);
    start_engines(&mut machine);
    let arrived = run_to(&mut machine, 199_000_000);
    let log = machine.finish().log;
    let events = log.recorder.records().map(|record| (record.stamp.ns, record.event.clone()));
    (events.collect(), arrived)
}

fn times(events: &[Stamped], of: fn(&Event) -> bool) -> Vec<u64> {
    events.iter().filter(|(_, event)| of(event)).map(|(ns, _)| *ns).collect()
}

/// Which ring each fence is of, in the order in which they were written.
fn fence_order(events: &[Stamped]) -> Vec<u32> {
    let queue = |event: &Event| match event {
        Event::FenceWrite { queue, .. } => Some(*queue),
        _ => None,
    };
    events.iter().filter_map(|(_, event)| queue(event)).collect()
}

#[test]
fn a_seed_moves_completions_within_their_bounds_and_no_clock() {
    let (plain, _) = engines(None);
    let vblank = |event: &Event| matches!(event, Event::Vblank { .. });
    let starts = |event: &Event| matches!(event, Event::FrameStart { .. });
    assert_eq!((times(&plain, vblank).len(), times(&plain, starts).len()), (11, 5));
    let total = PACKET_CYCLES * u64::from(PACKETS_EACH);
    let mut lasts = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let (events, arrived) = engines(Some(seed));
        assert_eq!(times(&events, vblank), times(&plain, vblank), "seed {seed}");
        assert_eq!(times(&events, starts), times(&plain, starts), "seed {seed}");
        let fences = times(&events, |event| matches!(event, Event::FenceWrite { .. }));
        let last = *fences.last().expect("fences were written");
        assert_eq!(fences.len(), 2 * PACKETS_EACH as usize, "seed {seed}");
        assert!((total..=total + total / 4).contains(&last), "seed {seed}: {last}");
        let ends = times(&events, |event| matches!(event, Event::FrameEnd { .. }));
        let took =
            times(&events, starts).iter().zip(&ends).map(|(start, end)| end - start).collect::<Vec<_>>();
        // 64 bytes a line, 16 lines, 4 bytes a cycle, and 2000 cycles.
        assert!(took.iter().all(|ns| (2256..=2256 + 564).contains(ns)), "seed {seed}: {took:?}");
        let raised = times(&events, |event| matches!(event, Event::MsiRaised { .. }));
        assert_eq!(arrived.len(), raised.len(), "seed {seed}");
        lasts.insert(last);
    }
    assert!(lasts.len() > 15, "seeds make a difference: {lasts:?}");
}

#[test]
fn rings_that_end_together_take_turns_only_without_a_seed() {
    let (plain, _) = engines(None);
    let in_turn: Vec<u32> = (0..PACKETS_EACH).flat_map(|_| [0, 1]).collect();
    assert_eq!(fence_order(&plain), in_turn);
    let otherwise = (0..10).filter(|&seed| fence_order(&engines(Some(seed)).0) != in_turn).count();
    assert!(otherwise > 5, "{otherwise} of 10");
}
