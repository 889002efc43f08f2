//! What every registered model must do, in its default configuration: be described fully, be saved and restored between any
//! two accesses without a difference, and refuse a state that is not its own.

use fencepost_devices::function::{Bar, Function, Registers};
use fencepost_devices::parameters::{Parameters, Takes, Value, check};
use fencepost_devices::registry::{BuildError, Entry, MODELS, NoHost, find};
use fencepost_devices::state::{SavedState, StateError};
use fencepost_devices::testing::{Random, World};
use fencepost_devices::virtio::testing::{Driver, Part};

const MEMORY_BYTES: usize = 1 << 20;
/// Accesses of a walk.
const STEPS: u64 = 4000;
/// Accesses from one save to the next.
const SAVED_EVERY: u64 = 50;
const STEP_NS: u64 = 20_000;

fn power_on(model: &Entry) -> Box<dyn Function> {
    model.build(&Parameters::new(), &mut NoHost).expect("the defaults are right")
}

fn restore(model: &Entry, saved: &SavedState) -> Result<Box<dyn Function>, StateError> {
    match model.restore(&Parameters::new(), &mut NoHost, saved) {
        Ok(function) => Ok(function),
        Err(BuildError::State(error)) => Err(error),
        Err(BuildError::Parameters(why)) => panic!("{}: {why}", model.kind),
    }
}

/// What a driver that has gone mad writes: addresses, small numbers, single bits, anything.
fn value(dice: &mut Random) -> u32 {
    match dice.below(5) {
        0 => 1,
        1 => dice.below(16) as u32,
        2 => (dice.below(MEMORY_BYTES as u64 / 4096) << 12) as u32,
        3 => 1 << dice.below(32),
        _ => dice.bits() as u32,
    }
}

/// Where an access goes.
struct Target {
    bar: u8,
    bytes: u64,
    offset: u64,
}

/// A register: often a doorbell, else any that is near the start of a BAR.
fn target(dice: &mut Random, function: &dyn Function) -> Target {
    let bars: Vec<_> =
        (0u8..).zip(function.identity().bars).filter_map(|(bar, it)| Some((bar, size(it)?))).collect();
    let bells = function.doorbells();
    match dice.below(4) {
        0 if !bells.is_empty() => {
            let bell = bells[dice.below(bells.len() as u64) as usize];
            Target { bar: 0, bytes: size(function.identity().bars[0]).unwrap(), offset: bell.offset.into() }
        }
        _ => {
            let (bar, bytes) = dice.pick(&bars);
            Target { bar, bytes, offset: dice.below(bytes.min(0x1000) / 4) * 4 }
        }
    }
}

fn size(bar: Bar) -> Option<u64> {
    match bar {
        Bar::None => None,
        Bar::Memory32 { bytes, .. } | Bar::Port { bytes } => Some(bytes.into()),
        Bar::Memory64 { bytes, .. } => Some(bytes),
    }
}

fn read(dice: &mut Random, at: &Target, world: &mut World, function: &mut dyn Function) {
    match function.registers() {
        Registers::Words(words) => _ = words.read(at.offset as u32, &mut world.ports()),
        Registers::AsIssued(registers) => {
            let room = (at.bytes - at.offset).min(1 << dice.below(4)) as usize;
            registers.read(at.bar, at.offset, &mut [0; 8][..room], &mut world.ports());
        }
    }
}

fn write(dice: &mut Random, at: &Target, world: &mut World, function: &mut dyn Function) {
    let value = value(dice);
    match function.registers() {
        Registers::Words(words) => words.write(at.offset as u32, value, &mut world.ports()),
        Registers::AsIssued(registers) => {
            let room = (at.bytes - at.offset).min(1 << dice.below(4)) as usize;
            let data = u64::from(value).to_le_bytes();
            registers.write(at.bar, at.offset, &data[..room], &mut world.ports());
        }
    }
}

fn step(dice: &mut Random, world: &mut World, function: &mut dyn Function, now_ns: u64) {
    let at = target(dice, function);
    match dice.below(8) {
        0 => read(dice, &at, world, function),
        1 => world.advance_to(now_ns, function),
        2 if dice.below(50) == 0 => function.reset(&mut world.ports()),
        _ => write(dice, &at, world, function),
    }
}

/// A world with the same memory at the same time, in which nobody waits for a call.
fn successor(world: &mut World, now_ns: u64, function: &mut dyn Function) -> World {
    let mut next = World::new(world.memory_mut().len());
    next.memory_mut().copy_from_slice(world.memory_mut());
    next.advance_to(now_ns, function);
    next
}

fn world(dice: &mut Random) -> World {
    let mut world = World::new(MEMORY_BYTES);
    // Small numbers, so that what the device reads there is sometimes a sound ring, table or count.
    for word in world.memory_mut().chunks_exact_mut(8) {
        word[..2].copy_from_slice(&(dice.bits() as u16).to_le_bytes());
    }
    world
}

#[test]
fn a_device_that_is_saved_and_restored_goes_on_as_one_that_is_not() {
    for model in MODELS {
        let name = model.kind;
        let (mut dice, mut twin_dice) = (Random::new(0x5eed), Random::new(0x5eed));
        let (mut world, mut twin_world) = (world(&mut Random::new(7)), world(&mut Random::new(7)));
        let (mut function, mut twin) = (power_on(model), power_on(model));
        let first = function.save_state();
        assert_eq!(first.kind, name);
        let (mut changed, mut raised, mut events) = (0, Vec::new(), Vec::new());
        for at in 0..STEPS {
            let now_ns = at * STEP_NS;
            step(&mut dice, &mut world, &mut *function, now_ns);
            step(&mut twin_dice, &mut twin_world, &mut *twin, now_ns);
            if at % SAVED_EVERY != 0 {
                continue;
            }
            // Both, so that both have made the same calls.
            world.advance_to(now_ns, &mut *function);
            twin_world.advance_to(now_ns, &mut *twin);
            let saved = function.save_state();
            changed += u32::from(saved != first);
            function = restore(model, &saved).unwrap_or_else(|error| panic!("{name}, step {at}: {error}"));
            assert_eq!(function.save_state(), saved, "{name}, step {at}");
            raised.extend(world.take_raised());
            events.append(&mut world.trace.events);
            world = successor(&mut world, now_ns, &mut *function);
            function.rearm(&mut world.ports());
            assert_eq!(function.save_state(), saved, "{name}, step {at}: asking for its timers changed it");
        }
        assert!(changed > 10, "{name} hardly ever changed: this test tells nothing");
        raised.extend(world.take_raised());
        events.append(&mut world.trace.events);
        assert_eq!(function.save_state(), twin.save_state(), "{name}");
        assert_eq!(function.counters(), twin.counters(), "{name}");
        assert_eq!(raised, twin_world.take_raised(), "{name}");
        assert_eq!(events, twin_world.trace.events, "{name}");
        assert!(world.memory_mut() == twin_world.memory_mut(), "{name}: memory differs");
    }
}

#[test]
fn a_damaged_or_foreign_state_is_refused() {
    for model in MODELS {
        let name = model.kind;
        let saved = power_on(model).save_state();
        for len in 0..saved.bytes.len() {
            let cut = SavedState { bytes: saved.bytes[..len].to_vec(), ..saved.clone() };
            assert_eq!(restore(model, &cut).err(), Some(StateError::Damaged(name)), "{len} bytes");
        }
        let longer = SavedState { bytes: [&saved.bytes[..], &[0]].concat(), ..saved.clone() };
        assert_eq!(restore(model, &longer).err(), Some(StateError::Damaged(name)));
        let newer = SavedState { version: saved.version + 1, ..saved.clone() };
        assert!(matches!(restore(model, &newer), Err(StateError::Version { kind, .. }) if kind == name));
        let mut dice = Random::new(0xf11b);
        for _ in 0..2000 {
            let mut other = saved.clone();
            let at = dice.below(other.bytes.len() as u64) as usize;
            other.bytes[at] ^= 1 << dice.below(8);
            // Refused, or a device in just that state.
            if let Ok(function) = restore(model, &other) {
                assert!(restore(model, &function.save_state()).is_ok(), "{name}");
            }
        }
        for other in MODELS.iter().filter(|other| other.kind != name) {
            let state = power_on(other).save_state();
            assert!(
                matches!(restore(model, &state), Err(StateError::Kind { expected, .. }) if expected == name)
            );
        }
    }
}

/// The ends of what a key takes.
fn ends(takes: Takes) -> Vec<Value> {
    match takes {
        Takes::Whole { min, max } | Takes::Even { min, max } => vec![min.into(), max.into()],
        Takes::Word(words) => words.iter().map(|&word| word.into()).collect(),
        Takes::Text { max_bytes } => vec!["a".into(), "a".repeat(max_bytes).as_str().into()],
        Takes::Time { .. } => vec!["1ns".into(), "2s".into()],
        Takes::Fraction => vec!["0.000001".into(), "1".into()],
        Takes::File | Takes::WrittenFile { .. } => vec!["a.file".into()],
    }
}

#[test]
fn every_declared_key_is_one_of_the_configuration_and_takes_what_is_declared() {
    for model in MODELS {
        for parameter in model.parameters {
            for value in ends(parameter.takes) {
                let parameters = Parameters::from([(parameter.key.to_string(), value.clone())]);
                assert_eq!(check(&parameters, model.parameters), Ok(()), "{}", model.kind);
                let Err(error) = model.build(&parameters, &mut NoHost).map(|_| ()) else { continue };
                let why = error.to_string();
                let serdes = ["unknown field", "invalid type", "invalid value", "expected"];
                let declared_otherwise = serdes.iter().any(|word| why.contains(word));
                assert!(!declared_otherwise, "{} {}={value}: {why}", model.kind, parameter.key);
            }
            if let Some(default) = model.default_of(parameter.key) {
                let text = format!("{}={default}", parameter.key);
                let parsed = fencepost_devices::parameters::parse(&text, model.parameters);
                assert!(parsed.is_ok(), "{}: {parsed:?}", model.kind);
            }
        }
    }
}

#[test]
fn every_field_of_the_configuration_is_declared() {
    for model in MODELS {
        for key in model.keys() {
            assert!(model.parameters.iter().any(|it| it.key == key), "{}: {key}", model.kind);
        }
    }
}

#[test]
fn kinds_and_slots_are_unique_and_words_are_in_order() {
    for (at, model) in MODELS.iter().enumerate() {
        assert_eq!(find(model.kind).map(|found| found.kind), Ok(model.kind));
        assert_eq!(power_on(model).identity().name, model.kind);
        assert!(model.slot.is_none_or(|slot| (1..32).contains(&slot)), "{}", model.kind);
        for other in &MODELS[..at] {
            assert!(model.kind != other.kind && (model.slot.is_none() || model.slot != other.slot));
        }
    }
    let error = find("gup").err();
    assert_eq!(
        error.as_deref().and_then(|why| why.split_once("; ")).map(|(_, hint)| hint),
        Some("did you mean gpu?")
    );
}

/// What starts each model's engine.
enum Start {
    /// Words of memory, then registers of BAR 0 with 4 bytes each.
    Registers { kind: &'static str, memory: &'static [(usize, u32)], registers: &'static [(u32, u32)] },
    /// Bytes of memory, then a buffer in a queue.
    Virtio { kind: &'static str, memory: &'static [(u64, &'static [u8])], queue: u16, parts: &'static [Part] },
    /// It has none, and waits for nothing.
    NoEngine { kind: &'static str },
}

impl Start {
    fn kind(&self) -> &'static str {
        match self {
            Start::Registers { kind, .. } | Start::Virtio { kind, .. } | Start::NoEngine { kind } => kind,
        }
    }
}

const STARTS: &[Start] = &[
    Start::Registers {
        kind: "gpu",
        // A fence packet; its ring, fence word, enable bit and tail.
        memory: &[(0x1000, 6), (0x1008, 7)],
        registers: &[(0x100, 0x1000), (0x108, 2), (0x120, 0x2000), (0x114, 1), (0x110, 1)],
    },
    Start::Registers {
        kind: "camera",
        // Queue, completions, ring entries, stream on: frames are dropped, for there is no buffer.
        memory: &[],
        registers: &[(0x98, 0x1000), (0xa0, 0x2000), (0xa8, 4), (0x0c0, 1)],
    },
    Start::Registers {
        kind: "display",
        // Interrupts, a mode of 640x480 and its clock, on.
        memory: &[],
        registers: &[
            (0x14, 7),
            (0x104, 640 | 480 << 16),
            (0x108, 800 | 493 << 16),
            (0x10c, 23_660),
            (0x100, 1),
        ],
    },
    // The factorial of 5.
    Start::Registers { kind: "edu", memory: &[], registers: &[(0x08, 5)] },
    Start::NoEngine { kind: "pvpanic" },
    Start::Virtio {
        kind: "virtio-console",
        memory: &[(0x1000, b"hello")],
        queue: 1,
        parts: &[Part::Read(0x1000, 5)],
    },
    Start::Virtio { kind: "virtio-net", memory: &[], queue: 1, parts: &[Part::Read(0x1000, 72)] },
    Start::Virtio { kind: "virtio-rng", memory: &[], queue: 0, parts: &[Part::Write(0x1000, 64)] },
    // GET_DISPLAY_INFO.
    Start::Virtio {
        kind: "virtio-gpu",
        memory: &[(0x1000, &[0, 1])],
        queue: 0,
        parts: &[Part::Read(0x1000, 24), Part::Write(0x2000, 408)],
    },
    // Caps lock is lit.
    Start::Virtio { kind: "virtio-keyboard", memory: CAPS_LOCK, queue: 1, parts: &[Part::Read(0x1000, 8)] },
    Start::Virtio { kind: "virtio-tablet", memory: CAPS_LOCK, queue: 1, parts: &[Part::Read(0x1000, 8)] },
    // A request, of whatever kind.
    Start::Virtio {
        kind: "virtio-fs",
        memory: &[(0x1000, &[40, 0, 0, 0, 1])],
        queue: 1,
        parts: &[Part::Read(0x1000, 40), Part::Write(0x2000, 144)],
    },
    // A write of 256 sectors to sector 8: it takes two parts.
    Start::Virtio {
        kind: "virtio-blk",
        memory: &[(0x1000, &[1, 0, 0, 0, 0, 0, 0, 0, 8])],
        queue: 0,
        parts: &[Part::Read(0x1000, 16), Part::Read(0x2000, 0x2_0000), Part::Write(0x1100, 1)],
    },
];

/// An event of an input device: EV_LED, LED_CAPSL, on.
const CAPS_LOCK: &[(u64, &[u8])] = &[(0x1000, &[0x11, 0, 1, 0, 1, 0, 0, 0])];

/// The world and the device when its engine has started.
fn started(model: &Entry) -> (World, Box<dyn Function>) {
    let start = STARTS.iter().find(|start| start.kind() == model.kind);
    match start.unwrap_or_else(|| panic!("what starts a {}? Add it to STARTS", model.kind)) {
        Start::Registers { memory, registers, .. } => {
            let (mut world, mut function) = (World::new(MEMORY_BYTES), power_on(model));
            for (at, word) in *memory {
                world.memory_mut()[*at..][..4].copy_from_slice(&word.to_le_bytes());
            }
            for &(offset, value) in *registers {
                match function.registers() {
                    Registers::Words(words) => words.write(offset, value, &mut world.ports()),
                    Registers::AsIssued(registers) => {
                        registers.write(0, offset.into(), &value.to_le_bytes(), &mut world.ports());
                    }
                }
            }
            (world, function)
        }
        Start::Virtio { memory, queue, parts, .. } => {
            let mut driver = Driver::new(power_on(model), 0);
            memory.iter().for_each(|(at, bytes)| driver.store(*at, bytes));
            driver.add(*queue, parts);
            driver.kick(*queue);
            (driver.world, driver.function)
        }
        Start::NoEngine { .. } => (World::new(MEMORY_BYTES), power_on(model)),
    }
}

#[test]
fn a_restored_device_asks_again_for_the_calls_that_it_waits_for() {
    for model in MODELS {
        let (mut world, mut function) = started(model);
        let saved = function.save_state();
        let mut restored = restore(model, &saved).unwrap_or_else(|error| panic!("{error}"));
        let mut next = successor(&mut world, 0, &mut *restored);
        restored.rearm(&mut next.ports());
        world.take_raised();
        for (world, function) in [(&mut world, &mut function), (&mut next, &mut restored)] {
            world.advance_to(1_000_000_000, &mut **function);
        }
        let idle = STARTS.iter().any(|it| matches!(it, Start::NoEngine { kind } if *kind == model.kind));
        assert_eq!(function.save_state() == saved, idle, "{}: what was started", model.kind);
        assert_eq!(restored.save_state(), function.save_state(), "{}", model.kind);
        assert_eq!(next.take_raised(), world.take_raised(), "{}", model.kind);
        assert!(next.memory_mut() == world.memory_mut(), "{}: memory differs", model.kind);
    }
}
