//! Frames that are written in parts.

use super::super::progress::{ENOUGH_NS, Progress, Wrong};
use super::*;
use crate::ports::Access;

/// The camera's call at which a frame's time is over.
const CALL_END: u32 = 1;
/// Bytes that the frames lie in, each segment [`APART`] of them behind the one before.
const REGION: u64 = 64 << 10;
const MEMORY: usize = 80 << 20;
const LARGE: Size = Size { width_px: 4096, height_px: 1024 };
/// Segments and pixels of a part of several at most: [`ENOUGH_NS`] is enough for half of each.
const MOST_SEGMENTS: usize = 1834;
const MOST_PIXELS: u64 = 1_850_000;

/// Frame `n` is that of [`Ramp`], in any size.
struct Slope;

impl FrameSource for Slope {
    fn sizes(&self) -> SizeLimits {
        SizeLimits { min: SIZE, max: Size { width_px: 4096, height_px: 4096 } }
    }
    fn range(&self) -> Range {
        Range::Full
    }
    fn rate(&self) -> Rate {
        Ramp.rate()
    }
    fn band(&mut self, sequence: u32, size: Size, band: Band) -> Result<Picture, SourceError> {
        Ramp.band(sequence, size, band)
    }
}

fn slope() -> CameraParts {
    CameraParts { source: Box::new(Slope), ..parts() }
}

/// How a frame is programmed.
#[derive(Clone, Copy)]
struct Shot {
    format: u32,
    size: Size,
    stride: u32,
    /// Bytes of each segment, and from one to the next.
    segment: u32,
    apart: u32,
    /// The chroma has a list of its own.
    planes: bool,
}

impl Shot {
    fn new(format: u32, size: Size, segment: u32, apart: u32) -> Self {
        let stride = if format == YUYV { 2 * size.width_px } else { size.width_px };
        Shot { format, size, stride, segment, apart, planes: false }
    }

    fn bytes(&self) -> u32 {
        let luma = self.stride * self.size.height_px;
        if self.format == NV12 { luma + luma / 2 } else { luma }
    }

    /// Where byte `at` of the frame lies in memory.
    fn place(&self, at: u32) -> usize {
        let segment = u64::from(at / self.segment) * u64::from(self.apart);
        (REGION + segment + u64::from(at % self.segment)) as usize
    }

    fn written(&self, bench: &mut Bench) -> Vec<u8> {
        let memory = bench.world.memory_mut();
        (0..self.bytes()).map(|at| memory[self.place(at)]).collect()
    }

    /// A camera that has just read out the frame.
    fn begin(&self) -> Bench {
        let mut bench = Bench { world: World::new(MEMORY), camera: Camera::new(slope()), ..Bench::new() };
        self.start(&mut bench);
        bench
    }

    fn start(&self, bench: &mut Bench) {
        bench.configure(self.format, self.stride);
        bench.write(0x84, self.size.width_px);
        bench.write(0x88, self.size.height_px);
        // The lists are behind the pixels.
        let table = (MEMORY - (2 << 20)) as u32;
        let entries = self.bytes().div_ceil(self.segment);
        for n in 0..entries {
            let at = self.place(n * self.segment) as u32;
            bench.put(u64::from(table + 16 * n), &[at, 0, self.segment, 0]);
        }
        let mut planes = [1, table, 0, entries, self.bytes(), 0, 0, 0, 0];
        if self.planes {
            let luma = self.stride * self.size.height_px;
            let first = luma / self.segment;
            let second = table + 16 * first;
            planes = [2, table, 0, first, luma, second, 0, entries - first, self.bytes() - luma];
        }
        let words = [&[0xc0de, 0, 0][..], &planes, &[0; 4]].concat();
        bench.put(QUEUE, &words);
        bench.write(0xc8, 1);
        bench.stream_on();
        bench.world.advance_to(PERIOD_NS, &mut bench.camera);
        bench.world.take_accesses();
        bench.world.trace.events.clear();
    }
}

/// The call at the frame's end and those that it asks for, until there is a record: what each wrote, in segments and bytes.
fn finish(bench: &mut Bench) -> Vec<(usize, u64)> {
    let mut parts = Vec::new();
    while bench.read(0xc4) & 2 != 0 {
        bench.world.take_accesses();
        bench.camera.timer(CALL_END, &mut bench.world.ports());
        let accesses = bench.world.take_accesses();
        let pixels = accesses.iter().filter(|(at, _, how)| *how == Access::Write && *at >= REGION);
        parts.push((pixels.clone().count(), pixels.map(|(_, len, _)| len).sum()));
    }
    parts
}

/// Byte `at` of line `y` of frame 0 as YUYV.
fn yuyv(at: usize, y: usize) -> u8 {
    match at % 4 {
        1 => (2 * y) as u8,
        3 => (at / 4) as u8,
        _ => (at / 2 + y) as u8,
    }
}

/// Byte `at` of the chroma's line `y` of frame 0 as NV12: the mean of lines 2 y and 2 y + 1, in codes modulo 256.
fn nv12_chroma(at: usize, y: usize) -> u8 {
    let line = |y: usize| if at % 2 == 0 { u32::from((2 * y) as u8) } else { u32::from((at / 2) as u8) };
    (line(2 * y) + line(2 * y + 1)).div_ceil(2) as u8
}

fn expected(shot: &Shot) -> Vec<u8> {
    let (stride, height) = (shot.stride as usize, shot.size.height_px as usize);
    let byte = |i: usize| match (i % stride, i / stride) {
        (at, y) if shot.format == YUYV => yuyv(at, y),
        (at, y) if y < height => (at + y) as u8,
        (at, y) => nv12_chroma(at, y - height),
    };
    (0..shot.bytes() as usize).map(byte).collect()
}

/// The record of the frame: status, bytes and CRC.
fn record(bench: &mut Bench) -> [u32; 3] {
    [12, 20, 40].map(|at| bench.word(RECORDS + at))
}

#[test]
fn a_frame_that_takes_the_host_long_is_written_in_several_calls() {
    let tall = Size { width_px: 1024, height_px: 1024 };
    let shots = [
        Shot::new(YUYV, Size { width_px: 4096, height_px: 4096 }, 1 << 20, 2 << 20),
        Shot::new(YUYV, tall, 72, 144),
        Shot::new(NV12, LARGE, 1000, 2000),
        Shot { planes: true, ..Shot::new(NV12, LARGE, 512, 1024) },
        Shot { stride: 16_384, ..Shot::new(YUYV, Size { width_px: 32, height_px: 2048 }, 4096, 8192) },
    ];
    for shot in shots {
        let mut bench = shot.begin();
        let parts = finish(&mut bench);
        assert!(parts.len() > 1, "{} parts", parts.len());
        for &(segments, bytes) in &parts {
            let pixels = bytes / u64::from(shot.stride) * u64::from(shot.size.width_px);
            assert!(segments > 0 && segments <= MOST_SEGMENTS && pixels <= MOST_PIXELS, "{parts:?}");
        }
        let want = if shot.stride == 16_384 { padded(&shot) } else { expected(&shot) };
        assert!(shot.written(&mut bench) == want, "the bytes");
        assert_eq!(record(&mut bench), [0, shot.bytes(), naive_crc(&want)]);
        assert_eq!(bench.world.take_raised(), [0], "one interrupt");
        let ends = |event: &&Event| matches!(event, Event::FrameEnd { .. });
        assert_eq!(bench.world.trace.events.iter().filter(ends).count(), 1);
    }
}

/// Lines of which the most is padding.
fn padded(shot: &Shot) -> Vec<u8> {
    let byte = |at: usize, y: usize| if at < 2 * shot.size.width_px as usize { yuyv(at, y) } else { 0 };
    let stride = shot.stride as usize;
    (0..shot.bytes() as usize).map(|i| byte(i % stride, i / stride)).collect()
}

#[test]
fn an_ordinary_frame_is_written_in_one_call() {
    let screen = Size { width_px: 1920, height_px: 1080 };
    for format in [YUYV, NV12] {
        let mut bench = Shot::new(format, screen, 4096, 8192).begin();
        assert_eq!(finish(&mut bench).len(), 1);
    }
}

#[test]
fn a_flipped_part_of_a_picture_is_the_same_in_parts() {
    let size = Size { width_px: 4096, height_px: 2048 };
    let shot = Shot::new(YUYV, size, 1 << 20, 1 << 20);
    let mut bench = Bench { world: World::new(MEMORY), camera: Camera::new(slope()), ..Bench::new() };
    // FLIP both ways; 2000 x 1500 pixels from (600, 400) of 3000 x 2200 go to (100, 202).
    bench.write(0x150, 3);
    bench.write(0x158, 0);
    for (offset, value) in (0x180..).step_by(4).zip([3000, 2200, 600, 400, 2000, 1500, 100, 202]) {
        bench.write(offset, value);
    }
    shot.start(&mut bench);
    assert!(finish(&mut bench).len() > 1);
    let written = shot.written(&mut bench);
    for (i, pair) in written.chunks(4).enumerate() {
        let (x, y) = (i % 2048 * 2, i / 2048);
        let inside = (100..2100).contains(&x) && (202..1702).contains(&y);
        // The place in the picture as the source has it.
        let from = |x: usize| (2999 - (x + 600 - 100), 2199 - (y + 400 - 202));
        let want = match inside {
            true => {
                let ((x0, y), (x1, _)) = (from(x), from(x + 1));
                [(x0 + y) as u8, (2 * y) as u8, (x1 + y) as u8, (x1 / 2) as u8]
            }
            false => [0, 128, 0, 128],
        };
        assert_eq!(pair, want, "pixels {x} and {} of line {y}", x + 1);
    }
}

/// The call at the frame's end, and one more.
fn two_parts(bench: &mut Bench) {
    for _ in 0..2 {
        bench.camera.timer(CALL_END, &mut bench.world.ports());
    }
    assert_eq!(bench.read(0xc4), 3, "streaming, busy");
}

#[test]
fn a_camera_that_is_restored_between_two_parts_goes_on() {
    let shot = Shot::new(NV12, LARGE, 1000, 2000);
    let run = |cut: bool| {
        let mut bench = shot.begin();
        two_parts(&mut bench);
        if cut {
            let saved = serde_json::to_string(&bench.camera.save()).unwrap();
            bench.camera = Camera::restore(slope(), serde_json::from_str(&saved).unwrap()).unwrap();
            bench.world.clock = bench.world.clock.without_calls();
            bench.camera.rearm(&mut bench.world.ports());
            assert_eq!(serde_json::to_string(&bench.camera.save()).unwrap(), saved);
        }
        bench.run_to_frame(0);
        (shot.written(&mut bench), record(&mut bench), bench.camera.save())
    };
    let (straight, cut) = (run(false), run(true));
    assert!(straight.0 == expected(&shot) && cut.0 == straight.0, "the bytes");
    assert_eq!((straight.1, straight.2), (cut.1, cut.2));
}

#[test]
fn a_state_with_more_of_a_frame_than_there_is_is_refused() {
    let shot = Shot::new(YUYV, LARGE, 1000, 2000);
    let mut bench = shot.begin();
    two_parts(&mut bench);
    let good = bench.camera.save();
    let wrong = |wrong: Option<Wrong>, at: u32| {
        let mut state = good.clone();
        let frame = state.stream.as_mut().unwrap().in_flight.as_mut().unwrap();
        frame.progress = Progress { wrong, at, crc: 5 };
        Camera::restore(slope(), state).is_err()
    };
    let half = Wrong { short: true, ..Wrong::default() };
    assert!(!wrong(Some(Wrong::default()), shot.bytes() - 1) && wrong(Some(Wrong::default()), shot.bytes()));
    assert!(!wrong(Some(half), shot.bytes() / 2 - 1) && wrong(Some(half), shot.bytes() / 2));
    assert!(wrong(None, 4), "a part without a beginning");
    assert!(wrong(Some(half), 0), "a beginning without a part");
}

#[test]
fn a_stream_that_stops_between_two_parts_writes_no_more() {
    let mut bench = Shot::new(YUYV, LARGE, 1000, 2000).begin();
    two_parts(&mut bench);
    bench.world.take_accesses();
    bench.write(0xc0, 0);
    bench.run_to_frame(3);
    assert_eq!(bench.world.take_accesses(), []);
    assert_eq!((bench.read(0xc4), bench.world.take_raised()), (0, vec![]));
}

#[test]
fn a_dma_fault_in_a_later_part_ends_the_frame_there() {
    let shot = Shot::new(YUYV, LARGE, 1000, 2000);
    let mut bench = shot.begin();
    // The beginning of the last segment but one.
    let before = (shot.bytes() / 1000 - 1) * 1000;
    let bad = shot.place(before) as u64;
    bench.world.refuse(bad, bad + 1);
    assert!(finish(&mut bench).len() > 1);
    let status = [12, 20, 40, 48].map(|at| bench.word(RECORDS + at));
    assert_eq!(status, [6, 0, 0, bad as u32], "BUFFER_FAULT");
    assert_eq!(bench.world.take_raised(), [0, 1]);
    let before = before as usize;
    assert!(shot.written(&mut bench)[..before] == expected(&shot)[..before], "what is before it");
}

#[test]
fn a_source_that_fails_fails_the_frame_once() {
    let shot = Shot::new(YUYV, LARGE, 1000, 2000);
    let mut bench = shot.begin();
    two_parts(&mut bench);
    let mut state = bench.camera.save();
    // Ramp has no frame 7.
    state.stream.as_mut().unwrap().in_flight.as_mut().unwrap().sequence = 7;
    bench.camera = Camera::restore(slope(), state).unwrap();
    assert_eq!(finish(&mut bench), [(0, 0)]);
    assert_eq!(record(&mut bench), [8, 0, 0], "SOURCE");
    assert_eq!(bench.camera.counters().last().unwrap().value, 1);
}

#[test]
fn what_was_asked_to_be_wrong_is_wrong_once_in_a_frame_of_parts() {
    let shot = Shot::new(YUYV, LARGE, 1000, 2000);
    let run = |fault: &str| {
        let mut bench = shot.begin();
        bench.world.give_fault(fault);
        assert!(finish(&mut bench).len() > 1);
        let struck = |event: &&Event| matches!(event, Event::Fault { .. });
        assert_eq!(bench.world.trace.events.iter().filter(struck).count(), 1, "{fault}");
        (record(&mut bench), shot.written(&mut bench))
    };
    let good = expected(&shot);
    let (half, line) = (good.len() / 2, shot.stride as usize);
    let (short, bytes) = run("camera:short");
    assert_eq!(short, [0, half as u32, naive_crc(&good[..half])]);
    assert!(bytes[..half] == good[..half] && bytes[half..].iter().all(|&byte| byte == 0));
    let (overrun, bytes) = run("camera:overrun");
    assert_eq!(overrun, [11, 0, 0]);
    assert!(bytes[..half] == good[..half] && bytes[half..].iter().all(|&byte| byte == 0));
    // 900 lines of 1024 are wrong: 62 to 961.
    let (corrupt, bytes) = run("camera:corrupt,lines=900");
    assert_eq!(corrupt, [12, 0, 0]);
    for (y, (bytes, good)) in bytes.chunks(line).zip(good.chunks(line)).enumerate() {
        let wrong = (62..962).contains(&y);
        assert!(bytes.iter().zip(good).all(|(byte, good)| (byte ^ good == 0xff) == wrong), "line {y}");
    }
}

#[test]
fn an_estimate_does_not_exceed_what_a_part_may_take() {
    // At 1.5 us a segment, and at 1.5 ns a pixel of YUYV.
    assert!(ENOUGH_NS / 2 / 1500 <= MOST_SEGMENTS as u64 && ENOUGH_NS / 3 <= MOST_PIXELS);
}
