//! The display through its registers, as a driver sees it. Offsets and bits are restated from docs/display.md.

mod color;
mod heads;
mod monitor;
mod planes;
mod random;
mod requested;
mod state;
mod steps;
mod vrr;
mod writeback;

use std::sync::{Arc, Mutex};

use fencepost_trace::Event;

use super::*;
use crate::function::{Doorbell, Function, Words};
use crate::ports::Access;
use crate::sg::SgList;
use crate::state::{StateError, Stateful};
use crate::testing::World;

const IRQ_STATUS: u32 = 0x10;
const IRQ_ENABLE: u32 = 0x14;
const ERROR_STATUS: u32 = 0x18;
const CRTC_ENABLE: u32 = 0x100;
const COMMIT: u32 = 0x110;
const VBLANK_COUNT: u32 = 0x128;
const VBLANK_NS: u32 = 0x138;
const CRC_FRAME: u32 = 0x140;
const CRC_VALUE: u32 = 0x148;
const ENABLE_NS: u32 = 0x168;
const PLANE_CONTROL: u32 = 0x400;

const VBLANK: u32 = 1;
const FLIP_DONE: u32 = 2;
const ERROR: u32 = 4;

/// 8 x 4 pixels in 100 x 100, 1 MHz: 10 ms a frame.
const FRAME_NS: u64 = 10_000_000;
const WIDTH: u32 = 8;
const HEIGHT: u32 = 4;
const PITCH: u32 = 40;
const TABLE: u64 = 0x1000;
/// Two segments that meet in the middle of a line.
const PARTS: [(u64, u32); 2] = [(0x3000, 52), (0x2ffc - 0x800, 0x400)];

/// A picture as the sink saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    scanout: u32,
    frame: u64,
    flip: u64,
    fresh: bool,
    crc: u32,
    size: (u32, u32),
    xrgb: Vec<u8>,
}

#[derive(Clone, Default)]
struct Album(Arc<Mutex<Vec<Seen>>>);

impl PictureSink for Album {
    fn picture(&mut self, picture: &Scanned<'_>) {
        let &Scanned { scanout, frame, flip, fresh, crc, width_px, height_px, xrgb, .. } = picture;
        let size = (width_px, height_px);
        let seen = Seen { scanout, frame, flip, fresh, crc, size, xrgb: xrgb.to_vec() };
        self.0.lock().unwrap().push(seen);
    }
}

impl Album {
    /// An album for the pictures of all heads.
    fn sinks(&self) -> [Box<dyn PictureSink>; HEADS] {
        [(); HEADS].map(|()| Box::new(self.clone()) as Box<dyn PictureSink>)
    }
}

/// Nobody looks.
fn unseen() -> [Box<dyn PictureSink>; HEADS] {
    [(); HEADS].map(|()| Box::new(NoPictures) as Box<dyn PictureSink>)
}

struct Bench {
    world: World,
    display: Display,
    album: Album,
}

impl Bench {
    fn new(config: &str) -> Self {
        let album = Album::default();
        let display =
            Display::new(DisplayParts { config: super::config::config(config), sinks: album.sinks() })
                .unwrap();
        Bench { world: World::new(0x10000), display, album }
    }

    /// Scanning out, with all interrupts but vblank.
    fn on(config: &str) -> Self {
        let mut bench = Bench::new(config);
        bench.write(IRQ_ENABLE, FLIP_DONE | ERROR);
        bench.enable();
        bench
    }

    fn enable(&mut self) {
        self.write(0x104, WIDTH | HEIGHT << 16);
        self.write(0x108, 100 | 100 << 16);
        self.write(0x10c, 1000);
        self.write(CRTC_ENABLE, 1);
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.display.write(offset, value, &mut self.world.ports());
    }

    fn read(&mut self, offset: u32) -> u32 {
        self.display.read(offset, &mut self.world.ports())
    }

    fn read64(&mut self, offset: u32) -> u64 {
        u64::from(self.read(offset)) | u64::from(self.read(offset + 4)) << 32
    }

    fn at(&mut self, ns: u64) {
        self.world.advance_to(ns, &mut self.display);
    }

    /// Writes the list and a picture whose byte `n` is a function of `n`; returns what the screen must show.
    fn paint(&mut self, seed: u8) -> Vec<u8> {
        let mut at = TABLE as usize;
        for (iova, len) in PARTS {
            let memory = self.world.memory_mut();
            memory[at..at + 8].copy_from_slice(&iova.to_le_bytes());
            memory[at + 8..at + 12].copy_from_slice(&len.to_le_bytes());
            at += 16;
        }
        let byte = |n: u32| (n as u8).wrapping_mul(7).wrapping_add(seed);
        let mut offset = 0;
        for (iova, len) in PARTS {
            for n in 0..len {
                self.world.memory_mut()[iova as usize + n as usize] = byte(offset + n);
            }
            offset += len;
        }
        let mut picture = Vec::new();
        for y in 0..HEIGHT {
            for x in 0..WIDTH {
                let start = 4 + y * PITCH + x * 4;
                picture.extend([byte(start), byte(start + 1), byte(start + 2), 0]);
            }
        }
        picture
    }

    fn stage(&mut self) {
        self.write(PLANE_CONTROL, 1);
        self.write(0x404, u32::from_le_bytes(*b"XR24"));
        self.write(0x408, TABLE as u32);
        self.write(0x40c, 0);
        self.write(0x410, 2);
        self.write(0x414, 4);
        self.write(0x418, PITCH);
        self.write(0x41c, WIDTH | HEIGHT << 16);
    }

    fn flip(&mut self, seed: u8) -> Vec<u8> {
        let picture = self.paint(seed);
        self.stage();
        self.write(COMMIT, 1);
        picture
    }

    fn seen(&self) -> Vec<Seen> {
        self.album.0.lock().unwrap().clone()
    }

    fn errors(&mut self) -> u32 {
        self.read(ERROR_STATUS)
    }
}

/// Bit by bit, from the polynomial: independent of the crate under the device.
fn naive_crc(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[test]
fn the_device_says_what_it_is() {
    let mut bench = Bench::new("");
    assert_eq!(bench.read(0).to_le_bytes(), *b"FPD1");
}

#[test]
fn a_commit_is_latched_at_the_next_vertical_blank_and_not_before() {
    let mut bench = Bench::on("");
    bench.flip(1);
    bench.at(FRAME_NS - 1);
    assert_eq!((bench.read(COMMIT), bench.world.take_raised()), (1, vec![]));
    bench.at(FRAME_NS);
    assert_eq!((bench.read(COMMIT), bench.world.take_raised()), (0, vec![1]));
    assert_eq!((bench.read64(0x118), bench.read64(0x120), bench.read64(VBLANK_COUNT)), (1, 1, 1));
}

#[test]
fn the_host_sees_the_picture_with_padding_and_gaps_dropped() {
    let mut bench = Bench::on("");
    let picture = bench.flip(1);
    bench.at(FRAME_NS * 3);
    let crc = naive_crc(&picture);
    let seen = Seen { scanout: 0, frame: 1, flip: 1, fresh: true, crc, size: (WIDTH, HEIGHT), xrgb: picture };
    assert_eq!(bench.seen(), [seen.clone(), Seen { frame: 2, fresh: false, ..seen }]);
}

#[test]
fn the_crc_is_that_of_the_picture_and_names_its_frame() {
    let mut bench = Bench::on("");
    let picture = bench.flip(1);
    bench.at(FRAME_NS * 2 - 1);
    assert_eq!(bench.read64(CRC_FRAME), 1);
    assert_eq!(bench.read(CRC_VALUE), naive_crc(&picture));
}

#[test]
fn every_frame_is_fetched_anew() {
    let mut bench = Bench::on("");
    bench.flip(1);
    bench.at(FRAME_NS * 2 - 1);
    let repainted = bench.paint(2);
    bench.at(FRAME_NS * 3 - 1);
    assert_eq!(bench.read64(CRC_FRAME), 2);
    assert_eq!(bench.read(CRC_VALUE), naive_crc(&repainted));
    let second = bench.seen().pop().unwrap();
    assert_eq!((second.fresh, second.crc, second.xrgb), (false, naive_crc(&repainted), repainted));
}

#[test]
fn the_screen_is_black_before_the_first_commit() {
    let mut bench = Bench::on("");
    bench.at(FRAME_NS * 2 - 1);
    assert_eq!(bench.read64(CRC_FRAME), 1);
    assert_eq!(bench.read(CRC_VALUE), naive_crc(&[0; (WIDTH * HEIGHT * 4) as usize]));
}

#[test]
fn staging_after_the_commit_does_not_change_it() {
    let mut bench = Bench::on("");
    let picture = bench.flip(1);
    bench.write(0x418, 4096);
    bench.at(FRAME_NS * 2 - 1);
    bench.read(CRC_FRAME);
    assert_eq!(bench.read(CRC_VALUE), naive_crc(&picture));
}

#[test]
fn a_second_commit_before_the_vertical_blank_is_refused() {
    let mut bench = Bench::on("");
    bench.flip(1);
    bench.write(COMMIT, 1);
    assert_eq!((bench.errors(), bench.read(0x154), bench.world.take_raised()), (1 << 1, 1, vec![2]));
}

#[test]
fn a_commit_while_off_is_refused() {
    let mut bench = Bench::new("");
    bench.flip(1);
    assert_eq!((bench.errors(), bench.read(COMMIT)), (1 << 1, 0));
}

#[test]
fn a_pitch_shorter_than_a_line_is_refused() {
    let mut bench = Bench::on("");
    bench.stage();
    bench.write(0x418, WIDTH * 4 - 4);
    bench.write(COMMIT, 1);
    assert_eq!((bench.errors(), bench.read(COMMIT)), (1 << 2, 0));
}

#[test]
fn a_plane_of_no_size_or_beyond_the_limits_is_refused() {
    for size in [0, WIDTH, HEIGHT << 16, WIDTH | 4097 << 16] {
        let mut bench = Bench::on("");
        bench.stage();
        bench.write(0x41c, size);
        bench.write(COMMIT, 1);
        assert_eq!(bench.errors(), 1 << 2, "{size:#x}");
    }
}

#[test]
fn a_bad_mode_leaves_the_display_off() {
    let mut bench = Bench::new("");
    bench.write(0x104, 4097 | HEIGHT << 16);
    bench.write(0x108, 5000 | 100 << 16);
    bench.write(0x10c, 1000);
    bench.write(CRTC_ENABLE, 1);
    assert_eq!((bench.errors(), bench.read(CRTC_ENABLE)), (1, 0));
}

#[test]
fn refused_pixels_give_a_black_frame_and_the_next_one_recovers() {
    let mut bench = Bench::on("");
    let picture = bench.flip(1);
    bench.world.refuse(0x3010, 0x3014);
    bench.at(FRAME_NS * 2 - 1);
    assert_eq!((bench.errors(), bench.read(0x150), bench.read64(0x158)), (1 << 4, 1, 0x3010));
    assert_eq!(bench.world.take_raised(), [1, 2]);
    assert!(bench.seen()[0].xrgb.iter().all(|&byte| byte == 0));
    assert!(bench.world.trace.events.contains(&Event::Underrun {
        engine: fencepost_trace::EngineId::new(crate::testing::FAKE_RID, 0),
        frame: 1
    }));
    bench.world = fixed(bench.world);
    bench.at(FRAME_NS * 3 - 1);
    assert_eq!(bench.seen()[1].xrgb, picture);
}

/// The same world at the same time, with nothing refused.
fn fixed(mut old: World) -> World {
    let mut world = World::new(0x10000);
    world.memory_mut().copy_from_slice(old.memory_mut());
    world.clock = old.clock;
    world
}

#[test]
fn a_refused_list_is_an_error_and_is_read_again() {
    let mut bench = Bench::on("");
    let picture = bench.flip(1);
    bench.world.refuse(TABLE, TABLE + 1);
    bench.at(FRAME_NS);
    assert_eq!((bench.errors(), bench.read64(0x158)), (1 << 3, TABLE));
    bench.world = fixed(bench.world);
    bench.at(FRAME_NS * 3 - 1);
    assert_eq!(bench.seen()[1].xrgb, picture);
}

#[test]
fn a_list_that_changes_after_the_latch_is_not_read_again() {
    let mut bench = Bench::on("");
    let picture = bench.flip(1);
    bench.at(FRAME_NS);
    bench.world.memory_mut()[TABLE as usize..TABLE as usize + 32].fill(0xff);
    bench.at(FRAME_NS * 3 - 1);
    assert_eq!((bench.errors(), bench.read64(CRC_FRAME)), (0, 2));
    assert_eq!(bench.read(CRC_VALUE), naive_crc(&picture));
}

#[test]
fn a_list_shorter_than_the_picture_is_an_error() {
    let mut bench = Bench::on("");
    bench.paint(1);
    bench.stage();
    bench.write(0x410, 1);
    bench.write(COMMIT, 1);
    bench.at(FRAME_NS);
    assert_eq!((bench.errors(), bench.read(0x150)), (1 << 3, 1));
}

#[test]
fn a_fetch_longer_than_a_frame_is_late() {
    // The span is 4 * 32 + 3 * 8 = 152 bytes; one cycle is one nanosecond here.
    let mut bench = Bench::on(&format!("latency={},bytes-per-cycle=1", FRAME_NS - 152));
    bench.flip(1);
    bench.at(FRAME_NS * 2);
    assert_eq!((bench.errors(), bench.read(0x150)), (1 << 5, 1));
}

#[test]
fn a_fetch_that_just_fits_is_not_late() {
    let mut bench = Bench::on(&format!("latency={},bytes-per-cycle=1", FRAME_NS - 153));
    bench.flip(1);
    bench.at(FRAME_NS * 3 - 1);
    assert_eq!((bench.errors(), bench.read64(CRC_FRAME)), (0, 2));
}

#[test]
fn vertical_blanks_are_counted_exactly_whether_or_not_anyone_listens() {
    let mut bench = Bench::on("scanout=on-flip");
    bench.at(FRAME_NS * 7 + 3);
    assert_eq!((bench.read64(VBLANK_COUNT), bench.read64(VBLANK_NS)), (7, FRAME_NS * 7));
}

#[test]
fn the_moment_of_enabling_is_kept_until_it_is_switched_off() {
    let mut bench = Bench::new("");
    bench.at(77);
    bench.enable();
    bench.at(FRAME_NS * 2 + 5);
    assert_eq!((bench.read64(ENABLE_NS), bench.read64(VBLANK_NS)), (77, FRAME_NS + 77));
    bench.write(CRTC_ENABLE, 0);
    assert_eq!(bench.read64(ENABLE_NS), 0);
}

#[test]
fn an_idle_display_with_self_refresh_asks_for_no_call() {
    let mut bench = Bench::on("scanout=on-flip");
    bench.flip(1);
    bench.at(FRAME_NS * 3);
    assert_eq!((bench.world.clock.pending(0), bench.world.clock.pending(1)), (None, None));
    bench.write(IRQ_ENABLE, VBLANK);
    assert_eq!(bench.world.clock.pending(0), Some(FRAME_NS * 4));
}

#[test]
fn vblank_interrupts_come_only_while_enabled() {
    let mut bench = Bench::on("");
    bench.at(FRAME_NS);
    assert_eq!((bench.read(IRQ_STATUS), bench.world.take_raised()), (0, vec![]));
    bench.write(IRQ_ENABLE, VBLANK);
    bench.at(FRAME_NS * 3);
    assert_eq!((bench.read(IRQ_STATUS), bench.world.take_raised()), (VBLANK, vec![0, 0]));
}

#[test]
fn enabling_an_interrupt_that_waits_raises_it() {
    let mut bench = Bench::new("");
    bench.write(COMMIT, 1);
    assert!(bench.world.take_raised().is_empty());
    bench.write(IRQ_ENABLE, ERROR);
    assert_eq!(bench.world.take_raised(), [2]);
}

#[test]
fn disabling_stops_at_once_and_keeps_the_count() {
    let mut bench = Bench::on("");
    bench.flip(1);
    bench.at(FRAME_NS * 2 + 5);
    bench.flip(2);
    bench.write(CRTC_ENABLE, 0);
    bench.world.take_raised();
    bench.world.trace.events.clear();
    bench.at(FRAME_NS * 9);
    assert_eq!((bench.read64(VBLANK_COUNT), bench.read64(VBLANK_NS)), (2, FRAME_NS * 2));
    assert_eq!((bench.world.trace.events.len(), bench.world.take_raised()), (0, vec![]));
}

#[test]
fn reading_a_low_word_latches_its_high_word() {
    let mut bench = Bench::new("");
    bench.at(0x1_ffff_ffff);
    let low = bench.read(0x20);
    bench.at(0x2_0000_0000);
    assert_eq!((low, bench.read(0x24)), (0xffff_ffff, 1));
    assert_eq!(bench.read(0x24), 2);
}

#[test]
fn reset_returns_to_power_on_and_withdraws_the_calls() {
    let mut bench = Bench::on("");
    bench.flip(1);
    bench.at(FRAME_NS);
    bench.display.reset(&mut bench.world.ports());
    assert_eq!(bench.display.state(), DisplayState::default());
    assert_eq!((bench.world.clock.pending(0), bench.world.clock.pending(1)), (None, None));
}

#[test]
fn pixels_are_read_segment_by_segment() {
    let mut bench = Bench::on("");
    bench.flip(1);
    bench.at(FRAME_NS * 2 - 1);
    let accesses = bench.world.take_accesses();
    // 152 bytes from byte 4: 48 in the first segment, 104 in the second.
    let pixels = [(0x3004, 48, Access::Read), (0x27fc, 104, Access::Read)];
    assert!(accesses.ends_with(&pixels), "{accesses:x?}");
}

#[test]
fn the_doorbell_of_each_head_is_a_commit_of_one() {
    let bench = Bench::new("");
    let bell = |offset| Doorbell { offset, bytes: 4, value: Some(1) };
    assert_eq!(bench.display.doorbells(), [bell(COMMIT), bell(0x1000 + COMMIT)]);
}
