//! What every model must do, in its default configuration: be described fully, be saved and restored between any two accesses without
//! a difference, and refuse a state that is not its own. For the tests of whoever writes one: [`check`] does all of it.
//!
//! ```
//! use fencepost_devices::edu::Edu;
//! use fencepost_devices::registry::Entry;
//! use fencepost_devices::testing::conformance::{Start, check};
//!
//! // A write of 5 to the register at 8 starts the engine: a factorial.
//! check(&Entry::of::<Edu>(), &Start::Registers { memory: &[], registers: &[(0x08, 5)] });
//! ```

// A model that is not as it must be ends the test.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

use crate::function::{Bar, Function, Registers};
use crate::parameters::{self, Parameters, Takes, Value};
use crate::registry::{BuildError, Entry, MODELS, NoHost};
use crate::state::{SavedState, StateError};
use crate::testing::{Random, World};
use crate::virtio::testing::{Driver, Part};

/// What starts a model's engine after power-on.
pub enum Start {
    /// Words of memory at their addresses, then 4-byte writes to registers of BAR 0 at their offsets.
    Registers {
        /// Address and word.
        memory: &'static [(usize, u32)],
        /// Offset and word.
        registers: &'static [(u32, u32)],
    },
    /// Bytes of memory, then a buffer in a queue of a virtio device.
    Virtio {
        /// Address and bytes.
        memory: &'static [(u64, &'static [u8])],
        /// The queue.
        queue: u16,
        /// The buffer.
        parts: &'static [Part],
    },
    /// It has none, and waits for nothing.
    NoEngine,
}

/// All of it.
///
/// # Panics
///
/// What the model does not do, as all functions here.
pub fn check(model: &Entry, start: &Start) {
    has_a_name_and_a_slot(model);
    declares_its_keys(model);
    goes_on_when_it_is_restored(model);
    refuses_a_state_that_is_not_its_own(model);
    asks_again_for_its_calls(model, start);
}

/// Its kind is its function's name, and its slot is one.
pub fn has_a_name_and_a_slot(model: &Entry) {
    assert_eq!(power_on(model).identity().name, model.kind);
    assert!(model.slot.is_none_or(|slot| (1..32).contains(&slot)), "{}", model.kind);
}

/// Every key that it declares is one of its configuration and takes what is declared, and there is no other.
pub fn declares_its_keys(model: &Entry) {
    for parameter in model.parameters {
        for value in ends(parameter.takes) {
            let parameters = Parameters::from([(parameter.key.to_string(), value.clone())]);
            assert_eq!(parameters::check(&parameters, model.parameters), Ok(()), "{}", model.kind);
            let Err(error) = model.build(&parameters, &mut NoHost).map(|_| ()) else { continue };
            let why = error.to_string();
            let serdes = ["unknown field", "invalid type", "invalid value", "expected"];
            let declared_otherwise = serdes.iter().any(|word| why.contains(word));
            assert!(!declared_otherwise, "{} {}={value}: {why}", model.kind, parameter.key);
        }
        if let Some(default) = model.default_of(parameter.key) {
            let text = format!("{}={default}", parameter.key);
            let parsed = parameters::parse(&text, model.parameters);
            assert!(parsed.is_ok(), "{}: {parsed:?}", model.kind);
        }
    }
    for key in model.keys() {
        assert!(model.parameters.iter().any(|it| it.key == key), "{}: {key}", model.kind);
    }
}

/// One that is saved and restored between two accesses, again and again, does what one does that is not.
pub fn goes_on_when_it_is_restored(model: &Entry) {
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

/// A state that is cut, longer, of another version, damaged or of another model is refused, or gives a device in just that state.
pub fn refuses_a_state_that_is_not_its_own(model: &Entry) {
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
        let foreign = restore(model, &power_on(other).save_state());
        assert!(matches!(foreign, Err(StateError::Kind { expected, .. }) if expected == name), "{name}");
    }
}

/// One that is restored while its engine is at work asks for the call at the end of that, and ends it as one that was not.
pub fn asks_again_for_its_calls(model: &Entry, start: &Start) {
    let (mut world, mut function) = started(model, start);
    let saved = function.save_state();
    let mut restored = restore(model, &saved).unwrap_or_else(|error| panic!("{error}"));
    let mut next = successor(&mut world, 0, &mut *restored);
    restored.rearm(&mut next.ports());
    world.take_raised();
    for (world, function) in [(&mut world, &mut function), (&mut next, &mut restored)] {
        world.advance_to(1_000_000_000, &mut **function);
    }
    let idle = matches!(start, Start::NoEngine);
    assert_eq!(function.save_state() == saved, idle, "{}: what was started", model.kind);
    assert_eq!(restored.save_state(), function.save_state(), "{}", model.kind);
    assert_eq!(next.take_raised(), world.take_raised(), "{}", model.kind);
    assert!(next.memory_mut() == world.memory_mut(), "{}: memory differs", model.kind);
}

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

/// The world and the device when its engine has started.
fn started(model: &Entry, start: &Start) -> (World, Box<dyn Function>) {
    match start {
        Start::Registers { memory, registers } => {
            let (mut world, mut function) = (World::new(MEMORY_BYTES), power_on(model));
            for &(at, word) in *memory {
                world.memory_mut()[at..][..4].copy_from_slice(&word.to_le_bytes());
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
        Start::Virtio { memory, queue, parts } => {
            let mut driver = Driver::new(power_on(model), 0);
            memory.iter().for_each(|(at, bytes)| driver.store(*at, bytes));
            driver.add(*queue, parts);
            driver.kick(*queue);
            (driver.world, driver.function)
        }
        Start::NoEngine => (World::new(MEMORY_BYTES), power_on(model)),
    }
}
