//! A driver that does anything: whatever it writes, the camera goes on, keeps to its queue, and can be saved.

use super::*;

/// A value that some register takes, or is just beyond what it takes, or anything.
fn value(random: &mut Random) -> u32 {
    let likely =
        [0, 1, 2, 3, 4, 16, 30, 32, 64, 128, 255, 256, 257, 0x1000, 0x2000, 0x5659_5559, 0x3231_564e];
    match random.below(4) {
        0 => random.bits() as u32,
        _ => likely[random.below(likely.len() as u64) as usize],
    }
}

const MEMORY: u64 = 0x8000;

const GOOD_DESCRIPTOR: [u32; 16] = [1, 0, 0, 1, 0x3000, 0, 1, 0x400, 0, 0, 0, 0, 0, 0, 0, 0];
const GOOD_LIST: [u32; 16] =
    [0x4000, 0, 0x400, 0, 0x5000, 0, 0x400, 0, 0x6000, 0, 0x800, 0, 0x7000, 0, 0x800, 0];

fn put(world: &mut World, at: u64, words: [u32; 16]) {
    for (i, word) in words.iter().enumerate() {
        let at = at as usize + 4 * i;
        world.memory_mut()[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
}

/// One descriptor or SG list that is nearly right.
fn scribble(random: &mut Random, world: &mut World) {
    let mut words = if random.below(2) == 0 { GOOD_DESCRIPTOR } else { GOOD_LIST };
    if random.below(4) == 0 {
        words[random.below(16) as usize] = value(random);
    }
    put(world, random.below(MEMORY / 64) * 64, words);
}

/// Turns the stream on with good values, so that runs get beyond the refusals.
fn stream(camera: &mut Camera, world: &mut World) {
    (0..16).for_each(|slot| put(world, 0x1000 + slot * 64, GOOD_DESCRIPTOR));
    put(world, 0x3000, GOOD_LIST);
    for (offset, value) in [(0xc0, 0), (0x80, 0x5659_5559), (0x84, 32), (0x88, 16), (0x8c, 64)] {
        camera.write(offset, value, &mut world.ports());
    }
    for (offset, value) in [(0x90, 240), (0x94, 1), (0x98, 0x1000), (0x9c, 0), (0xa0, 0x2000), (0xa4, 0)] {
        camera.write(offset, value, &mut world.ports());
    }
    for (offset, value) in [(0xa8, 16), (0xc8, 9), (0xc0, 1)] {
        camera.write(offset, value, &mut world.ports());
    }
}

fn run(seed: u64) -> (u32, u32) {
    let max = Size { width_px: 64, height_px: 32 };
    let parts =
        || CameraParts { cost: CameraConfig::default().cost(), source: Box::new(TestPattern::new(max)) };
    let mut camera = Camera::new(parts());
    let (mut random, mut world) = (Random::new(seed * 0x9e37_79b9 + 1), World::new(MEMORY as usize));
    let mut now_ns = 0;
    for step in 0..600 {
        match random.below(8) {
            0 if random.below(4) == 0 => stream(&mut camera, &mut world),
            0 | 1 => scribble(&mut random, &mut world),
            2 => {
                now_ns += random.below(20_000_000);
                world.advance_to(now_ns, &mut camera);
            }
            3 if step % 50 == 3 => {
                let state = camera.save();
                camera = Camera::restore(parts(), state).unwrap();
                camera.rearm(&mut world.ports());
            }
            4 => {
                camera.read(random.below(0x1a0) as u32 & !3, &mut world.ports());
            }
            _ => {
                let offset = (0x80 + random.below(0x120)) as u32 & !3;
                camera.write(offset, value(&mut random), &mut world.ports());
            }
        }
        let (tail, head) = (camera.read(0xc8, &mut world.ports()), camera.read(0xcc, &mut world.ports()));
        let streaming = camera.read(0xc4, &mut world.ports()) & 1 == 1;
        assert!(!streaming || tail.wrapping_sub(head) <= 256, "seed {seed}: the queue overflowed");
    }
    assert!(world.take_raised().iter().all(|&vector| vector < 3));
    (camera.save().frame_count, camera.save().error_count)
}

#[test]
fn a_random_driver_breaks_nothing_and_gets_frames_and_errors() {
    let (frames, errors) =
        (0..300).map(run).fold((0, 0), |sum, (frames, errors)| (sum.0 + frames, sum.1 + errors));
    assert!(frames > 100, "only {frames} frames");
    assert!(errors > 1000, "only {errors} errors");
}
