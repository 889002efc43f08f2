//! The camera through its registers and guest memory, as a driver sees it. Addresses, offsets and codes are those of
//! `docs/camera.md`, restated here.

mod controls;
mod doorbells;
mod formats;
mod parts;
mod pictures;
mod random;
mod requested;
mod state;
mod sync;

use std::collections::BTreeSet;

use fencepost_trace::Event;

use super::*;
use crate::cost::CostModel;
use crate::function::{Function, Words};
use crate::state::{StateError, Stateful};
use crate::testing::{Random, World};

const QUEUE: u64 = 0x1000;
const RECORDS: u64 = 0x2000;
const TABLES: u64 = 0x3000;
const TAIL_WORD: u64 = 0x4000;
const PIXELS: u64 = 0x1_0000;
const SIZE: Size = Size { width_px: 32, height_px: 16 };
const YUYV: u32 = 0x5659_5559;
const NV12: u32 = 0x3231_564e;
/// 1/30 s, rounded down.
const PERIOD_NS: u64 = 33_333_333;

/// A source of [`SIZE`] whose frame `n` is 4:2:2 with luma `n + x + y`, Cb `2 y`, Cr `x`; frame 7 cannot be delivered.
struct Ramp;

impl FrameSource for Ramp {
    fn sizes(&self) -> SizeLimits {
        SizeLimits { min: SIZE, max: SIZE }
    }
    fn range(&self) -> Range {
        Range::Full
    }
    fn rate(&self) -> Rate {
        Rate { num: 30, den: 1 }
    }
    fn band(&mut self, sequence: u32, size: Size, band: Band) -> Result<Picture, SourceError> {
        if sequence == 7 {
            return Err(SourceError("no frame 7".into()));
        }
        let mut picture = Picture::new(band.size_in(size).unwrap(), Sampling::Yuv422).unwrap();
        let width = size.width_px as usize;
        for (line, y) in (band.top_px..band.end_px()).enumerate() {
            for x in 0..width {
                picture.luma[line * width + x] = (sequence as usize + x + y as usize) as u8;
            }
            for x in 0..width / 2 {
                picture.cb[line * width / 2 + x] = (2 * y) as u8;
                picture.cr[line * width / 2 + x] = x as u8;
            }
        }
        Ok(picture)
    }
}

struct Bench {
    world: World,
    camera: Camera,
    posted: u32,
    /// Post by the tail word and its doorbell.
    tail_word: bool,
}

fn parts() -> CameraParts {
    CameraParts {
        cost: CostModel { fixed_cycles: 100, bytes_per_cycle: 4.try_into().unwrap() },
        source: Box::new(Ramp),
    }
}

impl Bench {
    fn new() -> Self {
        let camera = Camera::new(parts());
        Bench { world: World::new(0x4_0000), camera, posted: 0, tail_word: false }
    }

    fn with_tail_word() -> Self {
        let mut bench = Bench::new();
        bench.write(0xb0, TAIL_WORD as u32);
        bench.tail_word = true;
        bench
    }

    fn read(&mut self, offset: u32) -> u32 {
        self.camera.read(offset, &mut self.world.ports())
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.camera.write(offset, value, &mut self.world.ports());
    }

    fn put(&mut self, at: u64, words: &[u32]) {
        for (i, word) in words.iter().enumerate() {
            let at = at as usize + 4 * i;
            self.world.memory_mut()[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
    }

    fn word(&mut self, at: u64) -> u32 {
        let at = at as usize;
        u32::from_le_bytes(self.world.memory_mut()[at..at + 4].try_into().unwrap())
    }

    fn configure(&mut self, format: u32, stride: u32) {
        for (offset, value) in [(0x80, format), (0x84, 32), (0x88, 16), (0x8c, stride)] {
            self.write(offset, value);
        }
        for (offset, value) in [(0x98, QUEUE as u32), (0xa0, RECORDS as u32), (0xa8, 4)] {
            self.write(offset, value);
        }
    }

    /// Posts buffer `index`: two segments, the second 0x800 before the first, in a 0x2000 area of its own.
    fn post(&mut self, index: u32, len: u32) {
        let table = TABLES as u32 + index * 0x100;
        let pixels = PIXELS as u32 + index * 0x2000;
        self.put(u64::from(table), &[pixels + 0x800, 0, 0x400, 0, pixels, 0, 0x800, 0]);
        let slot = QUEUE + u64::from(self.posted % 4) * 64;
        self.put(slot, &[0xc0de, index, index, 1, table, 0, 2, len, 0, 0, 0, 0, 0, 0, 0, 0]);
        self.posted += 1;
        if self.tail_word {
            self.put(TAIL_WORD, &[self.posted]);
            self.write(0xd8, 0xdead_beef);
        } else {
            self.write(0xc8, self.posted);
        }
    }

    fn stream_on(&mut self) {
        self.write(0xc0, 1);
    }

    fn run_to_frame(&mut self, sequence: u64) {
        // Half a period after its read-out began: the cost is far shorter.
        self.world.advance_to((sequence + 1) * 1_000_000_000 / 30 + PERIOD_NS / 2, &mut self.camera);
    }

    fn buffer(&mut self, index: u32, len: usize) -> Vec<u8> {
        let at = PIXELS as usize + index as usize * 0x2000;
        let mut bytes = self.world.memory_mut()[at + 0x800..at + 0xc00].to_vec();
        bytes.extend_from_slice(&self.world.memory_mut()[at..at + 0x800]);
        bytes.truncate(len);
        bytes
    }
}

/// CRC-32 by its definition, a bit at a time (IEEE 802.3, 3.2.9).
fn naive_crc(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[test]
fn the_identity_and_limits_are_the_pages() {
    let mut bench = Bench::new();
    let values: Vec<u32> = (0..17).map(|i| bench.read(i * 4)).collect();
    let expected =
        [0x4d41_4346, 0x1_0004, 0x7f, 1, 32, 32, 16, 16, 2, 4, 16384, 240, 30, 1, 256, 100, 4].to_vec();
    assert_eq!(values, expected);
    assert_eq!(bench.read(0x8c), 64);
}

#[test]
fn a_yuyv_frame_lands_in_the_scattered_buffer() {
    let mut bench = Bench::new();
    bench.configure(YUYV, 72);
    bench.post(0, 0xc00);
    bench.stream_on();
    bench.run_to_frame(0);
    let mut expected = Vec::new();
    for y in 0..16u8 {
        for x in 0..16u8 {
            expected.extend_from_slice(&[2 * x + y, 2 * y, 2 * x + y + 1, x]);
        }
        expected.extend_from_slice(&[0; 8]);
    }
    assert_eq!(bench.buffer(0, 72 * 16), expected);
    assert_eq!(bench.world.take_raised(), [0]);
    let record: Vec<u32> = (0..16).map(|i| bench.word(RECORDS + i * 4)).collect();
    let start = PERIOD_NS as u32;
    let end = start + 100 + 72 * 16 / 4;
    let crc = naive_crc(&expected);
    assert_eq!(record, [0xc0de, 0, 0, 0, 0, 72 * 16, start, 0, end, 0, crc, 0, 0, 0, 0, 1]);
    let engine = fencepost_trace::EngineId::new(crate::testing::FAKE_RID, 0);
    let ended = Event::FrameEnd { engine, sequence: 0, buffer: 0, bytes: 72 * 16, crc };
    assert!(bench.world.trace.events.contains(&ended));
}

#[test]
fn nv12_takes_the_mean_of_two_chroma_lines() {
    let mut bench = Bench::new();
    bench.configure(NV12, 32);
    bench.post(0, 0xc00);
    bench.stream_on();
    bench.run_to_frame(0);
    let bytes = bench.buffer(0, 32 * 24);
    assert_eq!(bytes[32 * 5 + 3], 8);
    // Chroma line 3 is the mean of lines 6 and 7: Cb (12 + 14 + 1) / 2 = 13.
    assert_eq!(bytes[32 * (16 + 3)..32 * (16 + 3) + 4], [13, 0, 13, 1]);
}

#[test]
fn nv12_in_two_planes_has_its_chroma_apart() {
    let mut bench = Bench::new();
    bench.configure(NV12, 32);
    bench.put(TABLES, &[0x1_0000, 0, 512, 0, 0x1_2000, 0, 256, 0]);
    let (table, chroma_table) = (TABLES as u32, TABLES as u32 + 16);
    bench.put(QUEUE, &[1, 0, 0, 2, table, 0, 1, 512, chroma_table, 0, 1, 256, 0, 0, 0, 0]);
    bench.write(0xc8, 1);
    bench.stream_on();
    bench.run_to_frame(0);
    assert_eq!(bench.word(RECORDS + 12), 0);
    assert_eq!(bench.world.memory_mut()[0x1_2000 + 32 * 3..][..4], [13, 0, 13, 1]);
    assert_eq!(bench.world.memory_mut()[0x1_0000 + 33], 2);
}

#[test]
fn a_descriptor_or_list_that_changes_after_the_read_out_began_is_not_read_again() {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    bench.post(0, 0x400);
    bench.stream_on();
    bench.world.advance_to(PERIOD_NS + 50, &mut bench.camera);
    assert_eq!(bench.read(0xc4) & 2, 2, "the frame is being written");
    bench.put(TABLES, &[0x3_0000, 0, 0x400, 0, 0x3_0000, 0, 0x800, 0]);
    bench.put(QUEUE, &[0; 16]);
    bench.run_to_frame(0);
    assert_eq!([bench.word(RECORDS), bench.word(RECORDS + 12)], [0xc0de, 0]);
    assert!(bench.buffer(0, 0x400).iter().any(|&byte| byte != 0));
    assert_eq!(bench.word(0x3_0000), 0);
}

#[test]
fn a_frame_without_a_buffer_is_dropped_and_numbered() {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    bench.stream_on();
    bench.run_to_frame(1);
    assert_eq!(bench.world.take_raised(), [2, 2]);
    assert_eq!(bench.read(0x110), 2);
    bench.post(1, 0x400);
    bench.run_to_frame(2);
    assert_eq!((bench.word(RECORDS + 16), bench.word(RECORDS + 44)), (2, 2));
    assert_eq!(
        bench.world.trace.events[1],
        Event::FrameDropped {
            engine: fencepost_trace::EngineId::new(crate::testing::FAKE_RID, 0),
            sequence: 1
        }
    );
}

#[test]
fn a_frame_that_takes_longer_than_a_period_drops_the_next() {
    let mut bench = Bench::new();
    bench.camera.cost.fixed_cycles = 40_000_000;
    bench.configure(YUYV, 64);
    bench.post(0, 0x400);
    bench.post(1, 0x400);
    bench.stream_on();
    bench.run_to_frame(1);
    assert_eq!(bench.world.take_raised(), [2, 0]);
    assert_eq!(bench.read(0xcc), 1);
}

#[test]
fn varied_frames_take_up_to_a_quarter_longer_and_begin_on_time() {
    let cycles = 100 + 64 * 16 / 4;
    let mut lengths = BTreeSet::new();
    for seed in 1..=100 {
        let mut bench = Bench::new();
        bench.world.clock.varied = Some(Random::new(seed));
        bench.configure(YUYV, 64);
        (0..2).for_each(|index| bench.post(index, 0x400));
        bench.stream_on();
        bench.run_to_frame(1);
        assert_eq!(bench.world.take_raised(), [0, 0], "seed {seed}");
        for (record, start) in [(RECORDS, PERIOD_NS as u32), (RECORDS + 64, 2 * PERIOD_NS as u32)] {
            assert_eq!(bench.word(record + 24), start, "seed {seed}");
            lengths.insert(bench.word(record + 32) - start);
        }
    }
    assert!(lengths.len() > 50, "{lengths:?}");
    assert!(lengths.iter().all(|length| (cycles..=cycles + cycles / 4).contains(length)), "{lengths:?}");
}

#[test]
fn frame_times_do_not_drift() {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    bench.write(0x90, 30_000);
    bench.write(0x94, 1001);
    bench.stream_on();
    bench.world.advance_to(1_001_000_000_000 / 1000, &mut bench.camera);
    // 30000 frames take 1001 s exactly: 30 frames take 1.001 s.
    assert_eq!(bench.read(0xd4), 30);
    assert_eq!(bench.world.clock.pending(0), Some(31 * 1001 * 1_000_000_000 / 30_000));
}

#[test]
fn a_dma_fault_on_pixels_is_an_error_completion_and_the_camera_lives_on() {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    bench.post(0, 0x400);
    bench.post(1, 0x400);
    bench.world.refuse(PIXELS + 0x900, PIXELS + 0x901);
    bench.stream_on();
    bench.run_to_frame(0);
    assert_eq!(bench.world.take_raised(), [0, 1]);
    assert_eq!((bench.word(RECORDS + 12), bench.word(RECORDS + 48)), (6, 0x1_0900));
    assert_eq!((bench.read(0x100), bench.read(0x104), bench.read(0x10c)), (6, 0x1_0900, 1));
    bench.write(0x100, 0);
    assert_eq!((bench.read(0x100), bench.read(0x104)), (0, 0));
    bench.run_to_frame(1);
    assert_eq!(bench.word(RECORDS + 64 + 12), 0);
    assert_eq!(bench.read(0x114), 1);
}

/// Posts one descriptor of `words`, captures, and returns its status.
fn status_of(words: [u32; 16], refuse: Option<(u64, u64)>) -> u32 {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    bench.put(TABLES, &[PIXELS as u32, 0, 0x400, 0, 0, 0, 0, 0]);
    bench.put(QUEUE, &words);
    bench.write(0xc8, 1);
    if let Some((start, end)) = refuse {
        bench.world.refuse(start, end);
    }
    bench.stream_on();
    bench.run_to_frame(0);
    assert_eq!(bench.word(RECORDS + 60), 1);
    bench.word(RECORDS + 12)
}

#[test]
fn bad_descriptors_get_the_documented_status() {
    let good = [1, 0, 0, 1, TABLES as u32, 0, 1, 0x400, 0, 0, 0, 0, 0, 0, 0, 0];
    let with = |at: usize, value: u32| {
        let mut words = good;
        words[at] = value;
        status_of(words, None)
    };
    assert_eq!(status_of(good, None), 0);
    assert_eq!([with(3, 0), with(3, 3), with(15, 1), with(8, 1)], [2; 4]);
    // Two planes are for NV12 only.
    assert_eq!(with(3, 2), 2);
    assert_eq!([with(6, 0), with(6, 32_769), with(6, 2)], [3; 3]);
    assert_eq!([with(7, 0x3ff), with(7, 0x401)], [4; 2]);
    assert_eq!(status_of(good, Some((TABLES, TABLES + 1))), 5);
}

#[test]
fn a_ring_fault_halts_until_the_stream_restarts() {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    bench.post(0, 0x400);
    bench.world.refuse(RECORDS, RECORDS + 64);
    bench.stream_on();
    bench.run_to_frame(3);
    assert_eq!(bench.world.take_raised(), [1]);
    assert_eq!((bench.read(0xc4), bench.read(0x100), bench.read(0x104)), (5, 7, RECORDS as u32));
    bench.write(0xc0, 0);
    assert_eq!((bench.read(0xc4), bench.read(0xc8), bench.read(0xcc)), (0, 0, 0));
    // The queue is still good: the second ring lies elsewhere.
    bench.write(0xa0, 0x3_0000);
    bench.write(0xc8, 1);
    bench.stream_on();
    bench.run_to_frame(6);
    assert_eq!(bench.word(0x3_0000 + 60), 1);
}

#[test]
fn an_unfetchable_descriptor_halts() {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    bench.post(0, 0x400);
    bench.world.refuse(QUEUE, QUEUE + 64);
    bench.stream_on();
    bench.run_to_frame(1);
    assert_eq!((bench.read(0xc4), bench.read(0x100), bench.read(0xcc)), (5, 7, 0));
}

#[test]
fn values_out_of_limits_keep_the_stream_off() {
    let cases = [
        (0x80, 0),
        (0x84, 34),
        (0x88, 0),
        (0x8c, 60),
        (0x8c, 66),
        (0x8c, 16388),
        (0x90, 0),
        (0x90, 241),
        (0x94, 31),
        (0x94, 0),
        (0x98, 0x1020),
        (0xa8, 3),
        (0xa8, 512),
        (0xa8, 1),
        (0xb0, 0x4002),
    ];
    for (offset, value) in cases {
        let mut bench = Bench::new();
        bench.configure(YUYV, 64);
        bench.write(offset, value);
        bench.stream_on();
        assert_eq!((bench.read(0xc0), bench.read(0x100)), (0, 1), "register {offset:#x} = {value}");
        assert_eq!(bench.world.take_raised(), [1]);
    }
}

#[test]
fn locked_registers_and_a_runaway_tail_are_refused_while_streaming() {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    bench.stream_on();
    bench.write(0x84, 30);
    assert_eq!((bench.read(0x84), bench.read(0x100)), (32, 9));
    bench.write(0xc8, 5);
    assert_eq!((bench.read(0xc8), bench.read(0x100)), (0, 10));
    bench.write(0xc8, 4);
    assert_eq!(bench.read(0xc8), 4);
}

#[test]
fn stream_off_abandons_the_frame_being_written() {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    bench.post(0, 0x400);
    bench.stream_on();
    bench.world.advance_to(PERIOD_NS, &mut bench.camera);
    assert_eq!(bench.read(0xc4), 3);
    bench.write(0xc0, 0);
    bench.run_to_frame(5);
    assert_eq!((bench.read(0xc4), bench.word(RECORDS + 60)), (0, 0));
    assert_eq!((bench.world.take_raised().len(), bench.world.clock.pending(0)), (0, None));
}

#[test]
fn a_source_that_fails_is_an_error_completion_with_a_reason_for_the_host() {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    bench.stream_on();
    bench.run_to_frame(6);
    bench.post(0, 0x400);
    bench.run_to_frame(7);
    assert_eq!(bench.word(RECORDS + 12), 8);
    let counted = bench.camera.counters().into_iter().find(|counter| counter.name == "source-errors");
    assert_eq!(counted.map(|counter| counter.value), Some(1));
}

#[test]
fn reset_returns_to_power_on() {
    let mut bench = Bench::new();
    let fresh = bench.camera.save();
    bench.configure(NV12, 32);
    bench.post(0, 0xc00);
    bench.stream_on();
    bench.run_to_frame(2);
    bench.camera.reset(&mut bench.world.ports());
    assert_eq!(bench.camera.save(), fresh);
    assert_eq!((bench.world.clock.pending(0), bench.world.clock.pending(1)), (None, None));
}
