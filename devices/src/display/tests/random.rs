//! A driver that writes anything: nothing it does may end the machine, and a snapshot may be taken at any time.

use super::*;
use crate::testing::Random;

/// Values that pass the checks often enough to get far, mixed with those at the edges.
const VALUES: [u32; 14] = [
    0,
    1,
    2,
    7,
    64 | 48 << 16,
    100 | 100 << 16,
    1000,
    256,
    0x1000,
    0x3432_5258,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff0,
    u32::MAX,
];

/// One random step: a register write, a read or a pause.
fn step(dice: &mut Random, world: &mut World, display: &mut Display) {
    let offset =
        (dice.pick(&[0, 0x100, 0x400, 0x480, 0x500, 0x580, 0x800, 0xa00]) + (dice.bits() % 0x60) as u32) & !3;
    let head = dice.pick(&[0, 0, 0x1000]);
    match dice.bits() % 8 {
        0 => drop(display.read(head + offset, &mut world.ports())),
        1 => {
            let now_ns = world.ports().clock.now().ns;
            world.advance_to(now_ns + dice.bits() % 40_000_000, display);
        }
        2 => commit_something(head, dice, world, display),
        _ => display.write(head + offset, dice.pick(&VALUES), &mut world.ports()),
    }
}

/// Registers that are nearly right, so that scan-out is reached.
fn commit_something(head: u32, dice: &mut Random, world: &mut World, display: &mut Display) {
    let writes = [
        (0x100, dice.pick(&[1, 1, 1, 1, 1, 1, 1, 0])),
        (0x104, 64 | 48 << 16),
        (0x108, 100 | 100 << 16),
        (0x10c, dice.pick(&[1000, 1000, 1000, 0])),
        (0x100, 1),
        (0x404, dice.pick(&[0x3432_5258, 0x3432_5258, 0x3432_5241])),
        (0x408, 0x1000),
        (0x40c, dice.pick(&[0, 0, 0, u32::MAX])),
        (0x410, dice.pick(&[1, 2, 32_768])),
        (0x414, dice.pick(&[0, 4, 0xffff_fffc])),
        (0x418, dice.pick(&[256, 260, 0xffff_fffc])),
        (0x41c, 64 | 48 << 16),
        (0x420, dice.pick(&[0, 0, 0, 1 | 1 << 16])),
        (0x428, 0),
        (0x42c, dice.pick(&[0xff00, 0xff00, 0x8002, 3])),
        (0x400, 1),
        // An overlay as it was, at a place of its own.
        (0x480, dice.pick(&[0, 0, 0, 1])),
        (0x484, dice.pick(&[0x3432_5258, 0x3231_564e, 0x5659_5559])),
        (0x488, 0x1000),
        (0x490, 2),
        (0x498, 64),
        (0x49c, 8 | 8 << 16),
        (0x4a4, dice.bits() as u32),
        (0x4a8, 0),
        (0x4ac, 0xff00),
        (0x4d0, 64),
        (0x170, dice.pick(&[0, 1])),
        (0x174, dice.pick(&[0, 99, 100, 300])),
        (0xa00, dice.pick(&[0, 1])),
        (0xa04, dice.pick(&[0x3432_5258, 0x3432_5241, 0x3231_564e])),
        (0xa08, 0x1000),
        (0xa0c, dice.pick(&[0, 0, 0, u32::MAX])),
        (0xa10, dice.pick(&[1, 2, 2, 2])),
        (0xa14, dice.pick(&[0, 4, 0xffff_fffc])),
        (0xa18, dice.pick(&[256, 260, 0xffff_fffc])),
        (0x500, 0),
        (0x580, 0),
        (0x110, 1),
    ];
    for (offset, value) in writes {
        display.write(head + offset, value, &mut world.ports());
    }
}

#[test]
fn a_driver_that_writes_anything_meets_every_error_and_breaks_nothing() {
    let mut dice = Random::new(0x5eed);
    let mut world = World::new(0x20000);
    for (at, iova, len) in [(0x1000, 0x4000u64, 0x2000u32), (0x1010, 0x8000, 0x4000)] {
        world.memory_mut()[at..at + 8].copy_from_slice(&iova.to_le_bytes());
        world.memory_mut()[at + 8..at + 12].copy_from_slice(&len.to_le_bytes());
    }
    let config = super::config::config("latency=100,bytes-per-cycle=1");
    let parts = || DisplayParts { config: config.clone(), sinks: unseen() };
    let mut display = Display::new(parts()).unwrap();
    let (mut errors, mut flips, mut written) = (0, 0, 0);
    for _ in 0..20_000 {
        step(&mut dice, &mut world, &mut display);
        errors |= display.state().heads[0].errors.bits();
        flips = flips.max(display.state().heads[0].latched);
        written = written.max(display.state().heads[0].written.pictures);
        let saved = display.state();
        display = Display::restore(parts(), saved.clone()).unwrap();
        display.rearm(&mut world.ports());
        assert_eq!(display.state(), saved);
        world.trace.events.clear();
        world.take_raised();
    }
    // MODE, COMMIT_BUSY, COMMIT_INVALID, TABLE, WRITEBACK; the walk does reach the screen, and memory.
    assert_eq!(errors & 0x4f, 0x4f);
    assert!(written > 0, "only {written} pictures written");
    assert!(flips > 100, "only {flips} flips");
}

/// A display whose guest also writes to the pixels, and the lists, that are shown.
struct Run {
    dice: Random,
    world: World,
    display: Display,
    album: Album,
}

impl Run {
    fn new() -> Self {
        let mut world = World::new(0x20000);
        for (at, iova, len) in [(0x1000, 0x4000u64, 0x2000u32), (0x1010, 0x8000, 0x4000)] {
            world.memory_mut()[at..at + 8].copy_from_slice(&iova.to_le_bytes());
            world.memory_mut()[at + 8..at + 12].copy_from_slice(&len.to_le_bytes());
        }
        let album = Album::default();
        let display = Display::new(Run::parts(&album)).unwrap();
        Run { dice: Random::new(0xfeed), world, display, album }
    }

    fn parts(album: &Album) -> DisplayParts {
        DisplayParts { config: super::config::config("latency=100,bytes-per-cycle=1"), sinks: album.sinks() }
    }

    fn step(&mut self) {
        if self.dice.bits() % 3 == 0 {
            let at = 0x4000 + (self.dice.bits() % 0x8000) as usize;
            self.world.memory_mut()[at] ^= 1 + (self.dice.bits() % 255) as u8;
        }
        match self.dice.bits() % 4 {
            0 => step(&mut self.dice, &mut self.world, &mut self.display),
            _ => {
                let now_ns = self.world.ports().clock.now().ns;
                self.world.advance_to(now_ns + self.dice.bits() % 15_000_000, &mut self.display);
            }
        }
    }

    /// Loses what it has kept of frames.
    fn lose(&mut self) {
        self.display = Display::restore(Run::parts(&self.album), self.display.state()).unwrap();
        self.display.rearm(&mut self.world.ports());
    }
}

#[test]
fn what_is_kept_of_frames_changes_nothing_that_anybody_sees() {
    let (mut keeping, mut losing) = (Run::new(), Run::new());
    for _ in 0..20_000 {
        keeping.step();
        losing.step();
        losing.lose();
        assert_eq!(keeping.display.state(), losing.display.state());
        let events = [&mut keeping, &mut losing].map(|run| std::mem::take(&mut run.world.trace.events));
        assert_eq!(events[0], events[1]);
        assert_eq!(keeping.world.take_accesses(), losing.world.take_accesses());
        let pictures = [&keeping, &losing].map(|run| std::mem::take(&mut *run.album.0.lock().unwrap()));
        assert!(pictures[0] == pictures[1]);
    }
    let shown = keeping.display.state().heads[0].crc.frame;
    assert!(shown > 1000, "only {shown} frames");
}
