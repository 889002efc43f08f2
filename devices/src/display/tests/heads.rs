//! Two heads at once: each has its own time, pictures and interrupts.

use super::*;
use crate::changes::Change;

/// Where the second head's registers are.
const SECOND: u32 = 0x1000;
/// Its picture: 4 x 2 pixels in 50 x 50 at 500 kHz, 5 ms a frame.
const SECOND_FRAME_NS: u64 = 5_000_000;
const SECOND_TABLE: u64 = 0x8000;
const SECOND_PIXELS: u64 = 0x9000;

impl Bench {
    /// Both heads scan out, from the same moment on.
    fn both_on() -> Self {
        let mut bench = Bench::on("monitor2=connected");
        bench.write(SECOND + IRQ_ENABLE, FLIP_DONE | ERROR);
        bench.write(SECOND + 0x104, 4 | 2 << 16);
        bench.write(SECOND + 0x108, 50 | 50 << 16);
        bench.write(SECOND + 0x10c, 500);
        bench.write(SECOND + CRTC_ENABLE, 1);
        bench
    }

    /// Flips the second head to a picture of one colour; returns what it must show.
    fn flip_second(&mut self, colour: [u8; 4]) -> Vec<u8> {
        let memory = self.world.memory_mut();
        let (table, pixels) = (SECOND_TABLE as usize, SECOND_PIXELS as usize);
        memory[table..table + 8].copy_from_slice(&SECOND_PIXELS.to_le_bytes());
        memory[table + 8..table + 12].copy_from_slice(&32u32.to_le_bytes());
        memory[pixels..pixels + 32].copy_from_slice(&colour.repeat(8));
        let registers = [
            (PLANE_CONTROL, 1),
            (0x404, u32::from_le_bytes(*b"XR24")),
            (0x408, SECOND_TABLE as u32),
            (0x410, 1),
            (0x418, 16),
            (0x41c, 4 | 2 << 16),
            (COMMIT, 1),
        ];
        registers.into_iter().for_each(|(offset, value)| self.write(SECOND + offset, value));
        let [b, g, r, _] = colour;
        [b, g, r, 0].repeat(8)
    }

    fn screen(&self, scanout: u32) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.scanout == scanout).collect()
    }
}

#[test]
fn each_head_shows_its_own_picture_at_its_own_rate() {
    let mut bench = Bench::both_on();
    let first = bench.flip(1);
    let second = bench.flip_second([1, 2, 3, 4]);
    bench.at(FRAME_NS * 3);
    let counts = [0, SECOND].map(|head| (bench.read64(head + VBLANK_COUNT), bench.read64(head + VBLANK_NS)));
    assert_eq!(counts, [(3, FRAME_NS * 3), (6, SECOND_FRAME_NS * 6)]);
    let screens = [0, 1].map(|scanout| bench.screen(scanout));
    assert_eq!(screens.each_ref().map(Vec::len), [2, 5]);
    assert!(screens[0].iter().all(|seen| seen.xrgb == first && seen.size == (WIDTH, HEIGHT)));
    assert!(screens[1].iter().all(|seen| seen.xrgb == second && seen.size == (4, 2)));
    assert_eq!(bench.read64(SECOND + CRC_FRAME), 5);
    assert_eq!(bench.read(SECOND + CRC_VALUE), naive_crc(&second));
    assert_eq!(bench.read64(CRC_FRAME), 2);
    assert_eq!(bench.read(CRC_VALUE), naive_crc(&first));
    let engines: Vec<u8> = bench.world.trace.events.iter().filter_map(flipped_by).collect();
    assert_eq!(engines, [1, 0]);
}

fn flipped_by(event: &Event) -> Option<u8> {
    match event {
        Event::Flip { engine, .. } => Some(engine.index),
        _ => None,
    }
}

#[test]
fn the_second_heads_vectors_are_behind_the_first_ones() {
    let mut bench = Bench::both_on();
    bench.flip_second([0; 4]);
    bench.at(SECOND_FRAME_NS);
    assert_eq!((bench.world.take_raised(), bench.read(SECOND + IRQ_STATUS)), (vec![6], FLIP_DONE));
    bench.write(SECOND + COMMIT, 1);
    bench.write(SECOND + COMMIT, 1);
    assert_eq!((bench.world.take_raised(), bench.read(SECOND + ERROR_STATUS)), (vec![7], 1 << 1));
    assert_eq!((bench.read(IRQ_STATUS), bench.read(ERROR_STATUS), bench.read(0x154)), (0, 0, 0));
}

#[test]
fn one_head_goes_off_and_the_other_one_on() {
    let mut bench = Bench::both_on();
    let first = bench.flip(1);
    bench.flip_second([9; 4]);
    bench.at(FRAME_NS);
    bench.write(SECOND + CRTC_ENABLE, 0);
    bench.at(FRAME_NS * 3);
    assert_eq!((bench.read64(SECOND + VBLANK_COUNT), bench.screen(1).len()), (2, 1));
    assert_eq!((bench.read64(VBLANK_COUNT), bench.screen(0).last().unwrap().xrgb.clone()), (3, first));
}

#[test]
fn a_second_monitor_is_told_of_by_its_own_head() {
    let mut bench = Bench::new("");
    assert_eq!((bench.read(SECOND + 0x800), bench.read(SECOND + 0x900)), (0, 0));
    bench.write(IRQ_ENABLE, 8);
    bench.write(SECOND + IRQ_ENABLE, 8);
    let mut set = |text: &str| {
        let change: Change = text.parse().unwrap();
        change.make(&mut bench.display, &mut bench.world.ports()).unwrap();
        bench.world.take_raised()
    };
    assert_eq!(set("display:monitor2=connected,width2=640,height2=480"), [8]);
    assert_eq!(set("display:width=320,height=240"), [3]);
    assert_eq!(set("display:width2=800"), [8]);
    let word = bench.read(SECOND + 0x938);
    // Byte 56 of an EDID is the low one of the preferred width.
    assert_eq!((bench.read(SECOND + 0x800), word & 0xff), (1, 800 & 0xff));
}

#[test]
fn a_display_restored_with_both_heads_on_goes_on_with_both() {
    let mut bench = Bench::both_on();
    let first = bench.flip(1);
    bench.at(SECOND_FRAME_NS - 1);
    let second = bench.flip_second([5, 6, 7, 8]);
    let saved = bench.display.save();
    let sinks = bench.album.sinks();
    bench.display =
        Display::restore(DisplayParts { config: Config::default(), sinks }, saved.clone()).unwrap();
    bench.display.rearm(&mut bench.world.ports());
    assert_eq!(bench.display.save(), saved);
    bench.at(FRAME_NS * 2 - 1);
    assert_eq!([0, SECOND].map(|head| bench.read64(head + 0x120)), [1, 1]);
    assert!(bench.screen(0).iter().all(|seen| seen.xrgb == first));
    assert!(bench.screen(1).iter().all(|seen| seen.xrgb == second));
    assert_eq!((bench.screen(0).len(), bench.screen(1).len()), (1, 3));
    let mut wrong = saved;
    wrong.heads[1].raster = None;
    let parts = DisplayParts { config: Config::default(), sinks: unseen() };
    assert!(matches!(Display::restore(parts, wrong), Err(StateError::Impossible { kind: "display", .. })));
}
