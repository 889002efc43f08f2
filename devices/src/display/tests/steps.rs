//! Frames that are made in several calls.

use super::super::making::ENOUGH_NS;
use super::*;

const OVERLAY: u32 = 0x480;
const SCALER: u32 = 0x500;
const WRITEBACK: u32 = 1 << 4;
/// The call of the first head at the end of a fetch.
const CALL_FETCH: u32 = 1;

const SIDE: u32 = 2048;
const MEMORY: usize = 112 << 20;
/// The screen's planes and the buffer of the write-back: their lists, and where their pixels are.
const LISTS: [u32; 4] = [0x1_0000, 0x5_0000, 0x5_1000, 0x6_0000];
const PLACES: [u32; 4] = [1 << 20, 48 << 20, 60 << 20, 64 << 20];
/// Bytes of a segment of the first plane and of the write-back, which are twice as far apart.
const SEGMENT: u32 = 2000;
/// The overlay, which is partly beyond the screen, and the plane that is twice as large on the screen.
const OVER: (i32, i32, i32, i32) = (-100, 300, 1000, 1500);
const SCALED: (u32, u32, u32) = (200, 900, 512);

/// Accesses and bytes that ENOUGH_NS are enough for, and a step more of each.
const MOST_ACCESSES: usize = 5000 + 250 + 1024;
const MOST_BYTES: u64 = 80 << 20;

fn segment(place: u32, n: u32) -> u32 {
    place + n * 2 * SEGMENT
}

/// Byte `n` of the picture of `seed`.
fn byte(seed: u8, n: u32) -> u8 {
    (n as u8).wrapping_mul(7).wrapping_add((n >> 9) as u8).wrapping_add(seed)
}

impl Bench {
    fn put_words(&mut self, at: u32, words: &[u32]) {
        for (n, word) in words.iter().enumerate() {
            let at = at as usize + 4 * n;
            self.world.memory_mut()[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
    }

    /// A list of as many segments as a picture needs.
    fn scatter(&mut self, list: u32, place: u32) -> u32 {
        let entries = (SIDE * SIDE * 4).div_ceil(SEGMENT);
        (0..entries).for_each(|n| self.put_words(list + 16 * n, &[segment(place, n), 0, SEGMENT, 0]));
        entries
    }

    fn paint_large(&mut self, seed: u8) {
        for n in 0..SIDE * SIDE * 4 {
            let at = segment(PLACES[0], n / SEGMENT) + n % SEGMENT;
            self.world.memory_mut()[at as usize] = byte(seed, n);
        }
    }

    fn stage_plane(
        &mut self,
        base: u32,
        list: (u32, u32),
        (width, height): (u32, u32),
        position: (i32, i32),
    ) {
        let position = position.0 as u32 & 0xffff | (position.1 as u32) << 16;
        let fourcc = u32::from_le_bytes(*b"XR24");
        for (offset, value) in [
            (0, 1),
            (4, fourcc),
            (8, list.0),
            (0x10, list.1),
            (0x14, 0),
            (0x18, width * 4),
            (0x1c, width | height << 16),
            (0x24, position),
        ] {
            self.write(base + offset, value);
        }
    }
}

/// A display that is to show three planes and to write the picture back, at the end of its first fetch.
fn large() -> Bench {
    let mut bench = Bench::new("");
    bench.world = World::new(MEMORY);
    bench.write(IRQ_ENABLE, FLIP_DONE | ERROR | WRITEBACK);
    bench.write(0x104, SIDE | SIDE << 16);
    bench.write(0x108, 2100 | 2100 << 16);
    bench.write(0x10c, 2100 * 2100 * 10 / 1000);
    bench.write(CRTC_ENABLE, 1);
    bench.paint_large(1);
    let entries = bench.scatter(LISTS[0], PLACES[0]);
    bench.stage_plane(PLANE_CONTROL, (LISTS[0], entries), (SIDE, SIDE), (0, 0));
    let (x, y, width, height) = OVER;
    bench.put_words(LISTS[1], &[PLACES[1], 0, 8 << 20, 0]);
    (0..width as u32 * height as u32).for_each(|n| bench.put_words(PLACES[1] + 4 * n, &[n * 3]));
    bench.stage_plane(OVERLAY, (LISTS[1], 1), (width as u32, height as u32), (x, y));
    let (x, y, side) = SCALED;
    bench.put_words(LISTS[2], &[PLACES[2], 0, 2 << 20, 0]);
    (0..side * side).for_each(|n| bench.put_words(PLACES[2] + 4 * n, &[n * 5]));
    bench.stage_plane(SCALER, (LISTS[2], 1), (side, side), (x as i32, y as i32));
    let twice = 2 * side;
    bench.write(SCALER + 0x28, twice | twice << 16);
    bench.write(SCALER + 0x38, 1);
    let entries = bench.scatter(LISTS[3], PLACES[3]);
    for (offset, value) in [
        (0xa04, u32::from_le_bytes(*b"AR24")),
        (0xa08, LISTS[3]),
        (0xa10, entries),
        (0xa14, 0),
        (0xa18, SIDE * 4),
    ] {
        bench.write(offset, value);
    }
    bench.write(0xa00, 1);
    bench.write(COMMIT, 1);
    assert_eq!(bench.errors(), 0);
    // The vertical blank is at 100 ms, and the fetch takes some ms.
    bench.at(100_000_000);
    assert_eq!(bench.world.take_raised(), [1], "flip done");
    bench
}

/// What the screen must show, pixel by pixel.
fn shown(seed: u8) -> Vec<u8> {
    let mut picture: Vec<u8> =
        (0..SIDE * SIDE * 4).map(|n| if n % 4 == 3 { 0 } else { byte(seed, n) }).collect();
    let mut put = |x: i32, y: i32, pixel: u32| {
        if (0..SIDE as i32).contains(&x) && (0..SIDE as i32).contains(&y) {
            let at = (y as u32 * SIDE + x as u32) as usize * 4;
            picture[at..at + 4].copy_from_slice(&(pixel & 0xff_ffff).to_le_bytes());
        }
    };
    let (left, top, width, height) = OVER;
    for n in 0..width * height {
        put(left + n % width, top + n / width, n as u32 * 3);
    }
    let (left, top, side) = SCALED;
    for n in 0..4 * side * side {
        let (x, y) = (n % (2 * side), n / (2 * side));
        put((left + x) as i32, (top + y) as i32, (y / 2 * side + x / 2) * 5);
    }
    picture
}

fn written(bench: &mut Bench) -> Vec<u8> {
    let memory = bench.world.memory_mut();
    let at = |n: u32| segment(PLACES[3], n / SEGMENT) + n % SEGMENT;
    (0..SIDE * SIDE * 4).map(|n| memory[at(n) as usize]).collect()
}

fn call(bench: &mut Bench) {
    bench.display.timer(CALL_FETCH, &mut bench.world.ports());
}

fn is_busy(bench: &Bench) -> bool {
    let head = &bench.display.state().heads[0];
    head.fetching.is_some() || head.making.is_some()
}

/// Calls until the frame is there: what each accessed, in runs of memory and bytes.
fn finish(bench: &mut Bench) -> Vec<(usize, u64)> {
    let mut calls = Vec::new();
    while is_busy(bench) {
        bench.world.take_accesses();
        call(bench);
        let accesses = bench.world.take_accesses();
        calls.push((accesses.len(), accesses.iter().map(|(_, len, _)| len).sum()));
    }
    calls
}

fn assert_is_there(bench: &mut Bench, seed: u8) {
    let picture = shown(seed);
    let crc = naive_crc(&picture);
    assert_eq!((bench.read64(CRC_FRAME), bench.read(CRC_VALUE), bench.errors()), (1, crc, 0));
    let seen = bench.seen().pop().unwrap();
    assert!(seen.xrgb == picture, "the host's picture");
    assert_eq!((seen.frame, seen.crc, seen.fresh), (1, crc, true));
    let back: Vec<u8> = picture.chunks(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect();
    assert!(written(bench) == back, "what was written back");
    assert_eq!(bench.world.take_raised(), [4], "write-back");
}

#[test]
fn a_frame_that_takes_the_host_long_is_made_in_several_calls() {
    let mut bench = large();
    let calls = finish(&mut bench);
    assert!(calls.len() > 4, "{calls:?}");
    let most = |&(accesses, bytes): &(usize, u64)| accesses <= MOST_ACCESSES && bytes <= MOST_BYTES;
    assert!(calls.iter().all(most), "{calls:?}");
    assert_is_there(&mut bench, 1);
    // Nothing of it is another the next time, and it is made in as many calls, but for the write-back.
    bench.at(200_000_000);
    let again = finish(&mut bench);
    let reads = |calls: &[(usize, u64)]| calls.iter().map(|call| call.1).sum::<u64>();
    assert!(again.len() > 4 && again.len() < calls.len() && reads(&again) < reads(&calls), "{again:?}");
    assert_eq!((bench.read64(CRC_FRAME), bench.read(CRC_VALUE)), (2, naive_crc(&shown(1))));
}

#[test]
fn a_display_that_is_restored_in_the_middle_of_a_frame_goes_on() {
    let mut straight = large();
    let calls = finish(&mut straight).len();
    assert_is_there(&mut straight, 1);
    let end = straight.display.state();
    let mut bench = large();
    let mut steps = std::collections::BTreeSet::new();
    for n in 0..calls {
        call(&mut bench);
        // A state is as large as the pictures: not at each.
        if n % 8 != 3 {
            continue;
        }
        if let Some(making) = &bench.display.state().heads[0].making {
            steps.insert(format!("{:?}", making.next).split(' ').next().map(str::to_owned));
        }
        let saved = crate::state::pack(&bench.display);
        let sinks = bench.album.sinks();
        let parts = DisplayParts { config: Config::default(), sinks };
        bench.display = crate::state::unpack(parts, &saved).unwrap();
        assert!(crate::state::pack(&bench.display) == saved, "call {n}");
        bench.world.clock = bench.world.clock.without_calls();
        bench.display.rearm(&mut bench.world.ports());
    }
    assert!(!is_busy(&bench) && steps.len() > 2, "as many calls, and cut in {steps:?}");
    assert_is_there(&mut bench, 1);
    assert!(bench.display.state() == end);
}

#[test]
fn a_flip_between_two_calls_shows_the_new_buffer_and_none_of_the_old() {
    let mut bench = large();
    (0..3).for_each(|_| call(&mut bench));
    bench.paint_large(9);
    bench.write(COMMIT, 1 | 1 << 1);
    assert_eq!(bench.errors(), 0, "the flip is refused");
    assert!(is_busy(&bench));
    finish(&mut bench);
    let picture = shown(9);
    assert!(bench.seen().pop().unwrap().xrgb == picture);
    assert_eq!((bench.read64(CRC_FRAME), bench.read(CRC_VALUE)), (1, naive_crc(&picture)));
}

#[test]
fn a_display_that_is_switched_off_between_two_calls_reads_no_more() {
    let mut bench = large();
    (0..3).for_each(|_| call(&mut bench));
    bench.write(CRTC_ENABLE, 0);
    bench.world.take_accesses();
    bench.at(300_000_000);
    assert!(!is_busy(&bench) && bench.world.take_accesses().is_empty() && bench.seen().is_empty());
}

#[test]
fn a_frame_whose_calls_are_not_over_at_the_next_vertical_blank_is_late() {
    let mut bench = large();
    (0..3).for_each(|_| call(&mut bench));
    bench.world.clock = bench.world.clock.without_calls();
    bench.world.ports().clock.call_at(200_000_000, 0);
    bench.at(200_000_000);
    assert_eq!((bench.read(0x150), bench.read64(CRC_FRAME)), (1, 1), "an underrun");
    let black = bench.seen().pop().unwrap();
    assert!(black.xrgb.iter().all(|&byte| byte == 0) && black.xrgb.len() == (SIDE * SIDE * 4) as usize);
    assert_eq!(bench.read(CRC_VALUE), naive_crc(&black.xrgb));
    assert_eq!(bench.read(0xa1c), 1, "no picture was written back");
}

#[test]
fn a_screen_is_made_in_one_call() {
    let mut bench = Bench::new("");
    bench.world = World::new(32 << 20);
    for (offset, value) in
        [(0x104, 1920 | 1080 << 16), (0x108, 2200 | 1125 << 16), (0x10c, 148_500), (CRTC_ENABLE, 1)]
    {
        bench.write(offset, value);
    }
    for n in 0..2025 {
        bench.put_words(0x1000 + 16 * n, &[(1 << 20) + n * 8192, 0, 4096, 0]);
    }
    bench.stage_plane(PLANE_CONTROL, (0x1000, 2025), (1920, 1080), (0, 0));
    bench.write(COMMIT, 1);
    bench.at(16_666_667);
    assert!(is_busy(&bench));
    call(&mut bench);
    assert!(!is_busy(&bench));
    assert_eq!(bench.seen().len(), 1);
}

#[test]
fn states_of_frames_that_cannot_be_so_far_are_refused() {
    let mut bench = large();
    (0..2).for_each(|_| call(&mut bench));
    let good = bench.display.save();
    let refused = |change: &dyn Fn(&mut HeadState)| {
        let mut state = good.clone();
        change(&mut state.heads[0]);
        Display::restore(DisplayParts { config: Config::default(), sinks: unseen() }, state).is_err()
    };
    let making = |change: &'static dyn Fn(&mut Making)| {
        move |state: &mut HeadState| change(state.making.as_mut().unwrap())
    };
    assert!(!refused(&|_| {}));
    assert!(refused(&|state| state.fetching = None));
    assert!(refused(&|state| state.shown = None));
    assert!(refused(&making(&|making| making.so_far.picture.push(0))));
    assert!(refused(&making(&|making| _ = making.so_far.read[0][0].pop())));
    assert!(refused(&making(&|making| making.so_far.read.truncate(3))));
    assert!(refused(&making(&|making| making.next = Step::Fetch { layer: 7, at: 0 })));
    assert!(refused(&making(&|making| making.next = Step::Fetch { layer: 0, at: u64::MAX })));
    assert!(refused(&making(&|making| making.next = Step::Compose { line: SIDE })));
    assert!(refused(&making(&|making| making.next = Step::Sum { at: 0, crc: 0 })));
    assert!(refused(&making(&|making| making.next = Step::Write { list: SgList::default(), line: 0 })));
}

#[test]
fn a_call_does_as_much_as_it_is_said_to() {
    // At 1.2 us an access; 12 bytes a nanosecond.
    assert!(ENOUGH_NS / 1200 < MOST_ACCESSES as u64 && ENOUGH_NS * 12 < MOST_BYTES);
}
