//! What every virtio device in the list must do: whatever buffers a driver gives it, it does not panic, keeps to the buffers, and can
//! be saved and restored between any two steps without a difference.

use fencepost_devices::function::Function;
use fencepost_devices::parameters::Parameters;
use fencepost_devices::registry::{Entry, MODELS, NoHost};
use fencepost_devices::testing::Random;
use fencepost_devices::virtio::EVENT_IDX;
use fencepost_devices::virtio::testing::{Driver, Part};

const STEPS: u64 = 3000;
/// Steps from one save to the next.
const SAVED_EVERY: u64 = 25;

fn models() -> impl Iterator<Item = &'static Entry> {
    MODELS.iter().filter(|model| model.kind.starts_with("virtio-"))
}

fn power_on(model: &Entry) -> Box<dyn Function> {
    model.build(&Parameters::new(), &mut NoHost).expect("the defaults are right")
}

/// Two pages for each part, so that no two overlap.
fn parts(dice: &mut Random) -> Vec<Part> {
    let (reads, writes) = (dice.below(4), dice.below(4));
    let at = |part: u64, dice: &mut Random| 0x1_0000 + part * 0x2000 + dice.below(16);
    let length = |dice: &mut Random| match dice.below(4) {
        0 => dice.below(64) as u32,
        1 => 0x1000,
        _ => 4 << dice.below(5),
    };
    let mut parts: Vec<Part> = (0..reads).map(|part| Part::Read(at(part, dice), length(dice))).collect();
    parts.extend((reads..reads + writes).map(|part| Part::Write(at(part, dice), length(dice))));
    parts
}

/// Small words, which are the types, numbers and lengths that devices know.
fn fill(dice: &mut Random, driver: &mut Driver) {
    for page in 0..8 {
        let words: Vec<u8> =
            (0..16).flat_map(|_| (dice.bits() as u32 >> dice.below(32)).to_le_bytes()).collect();
        driver.store(0x1_0000 + page * 0x2000, &words);
    }
}

fn step(dice: &mut Random, driver: &mut Driver, queues: u64) {
    let queue = dice.below(queues) as u16;
    match dice.below(8) {
        0..4 => {
            fill(dice, driver);
            let parts = parts(dice);
            if !parts.is_empty() {
                driver.add(queue, &parts);
                driver.kick(queue);
            }
        }
        4 => driver.wait(dice.below(1_000_000)),
        5 => {
            let data: Vec<u8> = (0..dice.below(64)).map(|_| dice.bits() as u8).collect();
            if let Some(inbox) = driver.function.inbox() {
                let taken = inbox.receive(&data, &mut driver.world.ports());
                assert!(taken <= data.len());
            }
        }
        6 => driver.write(0x2000 + dice.below(64) * 4, 4, dice.bits() & 0xff),
        _ => (0..queues).for_each(|queue| _ = driver.used(queue as u16)),
    }
    if dice.below(300) == 0 || driver.get(fencepost_devices::virtio::registers::Id::Status) & 0x40 != 0 {
        driver.restart();
    }
}

/// In the place of the driver's device, one restored from its state.
fn replace(model: &Entry, driver: &mut Driver, at: u64) {
    let saved = driver.function.save_state();
    let restored = model.restore(&Parameters::new(), &mut NoHost, &saved);
    driver.function = restored.unwrap_or_else(|error| panic!("{}, step {at}: {error}", model.kind));
    assert_eq!(driver.function.save_state(), saved, "{}, step {at}", model.kind);
    driver.world.clock = driver.world.clock.without_calls();
    driver.function.rearm(&mut driver.world.ports());
    assert_eq!(driver.function.save_state(), saved, "{}, step {at}: asking for timers", model.kind);
}

#[test]
fn random_buffers_do_no_harm_and_restoring_makes_no_difference() {
    for model in models() {
        for without in [0, EVENT_IDX] {
            let (mut dice, mut twin_dice) = (Random::new(0xfee1), Random::new(0xfee1));
            let mut driver = Driver::new(power_on(model), without);
            let mut twin = Driver::new(power_on(model), without);
            let queues = driver.function.doorbells().len() as u64;
            for at in 0..STEPS {
                step(&mut dice, &mut driver, queues);
                step(&mut twin_dice, &mut twin, queues);
                if at % SAVED_EVERY == 0 {
                    replace(model, &mut driver, at);
                }
            }
            assert_eq!(driver.function.save_state(), twin.function.save_state(), "{}", model.kind);
            assert_eq!(driver.function.counters(), twin.function.counters(), "{}", model.kind);
            assert_eq!(driver.world.take_raised(), twin.world.take_raised(), "{}", model.kind);
            assert_eq!(driver.world.trace.events, twin.world.trace.events, "{}", model.kind);
            assert!(driver.world.memory_mut() == twin.world.memory_mut(), "{}: memory differs", model.kind);
        }
    }
}

#[test]
fn the_driver_is_told_of_what_it_broke() {
    // VIRTIO_CONSOLE_F_MULTIPORT: with it a console looks at the first queue once the driver has opened its port.
    const MULTIPORT: u64 = 1 << 1;
    for model in models() {
        let mut driver = Driver::new(power_on(model), MULTIPORT);
        let queues = driver.function.doorbells().len() as u64;
        // An index far ahead of what the queue has room for.
        driver.store(Driver::RINGS + 0x4000 + 2, &0x7000u16.to_le_bytes());
        driver.kick(0);
        // A queue of buffers for what the host has is looked at when it has something.
        if let Some(inbox) = driver.function.inbox() {
            inbox.receive(&[0; 64], &mut driver.world.ports());
        }
        driver.wait(1_000_000_000);
        let status = driver.get(fencepost_devices::virtio::registers::Id::Status);
        assert_eq!(status, 0x4f, "{}: DEVICE_NEEDS_RESET (2.1)", model.kind);
        assert!(driver.world.take_raised().contains(&(queues as u16)), "{}", model.kind);
        let counters = driver.function.counters();
        let broken = counters.iter().find(|counter| counter.name == "broken-queues").expect("counted");
        assert_eq!(broken.value, 1, "{}", model.kind);
        driver.restart();
        assert_eq!(driver.get(fencepost_devices::virtio::registers::Id::Status), 0xf, "{}", model.kind);
    }
}
