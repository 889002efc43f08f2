//! Pictures that go into the guest's memory. Offsets and bits are restated from docs/display.md.

use super::*;

const WRITEBACK_CONTROL: u32 = 0xa00;
const WRITEBACK_STATUS: u32 = 0xa1c;
const WRITEBACK_DONE: u32 = 0xa20;
const WRITEBACK_FAILURES: u32 = 0xa28;
/// Bit of `IRQ_STATUS`, which has a vector of its number.
const WRITEBACK: u32 = 1 << 4;
/// Bit of `ERROR_STATUS`.
const WRITEBACK_ERROR: u32 = 1 << 6;

const TO_TABLE: usize = 0x1800;
/// Three segments, the first of which ends in the middle of a pixel.
const TO_PARTS: [(u64, u32); 3] = [(0x5000, 50), (0x7000, 64), (0x6000, 0x100)];
const TO_OFFSET: u32 = 8;
const TO_PITCH: u32 = 44;
/// What the memory held before.
const BEFORE: u8 = 0x5a;

fn on() -> Bench {
    let mut bench = Bench::on("");
    bench.write(IRQ_ENABLE, FLIP_DONE | ERROR | WRITEBACK);
    let mut at = TO_TABLE;
    for (iova, len) in TO_PARTS {
        let memory = bench.world.memory_mut();
        memory[at..at + 8].copy_from_slice(&iova.to_le_bytes());
        memory[at + 8..at + 12].copy_from_slice(&len.to_le_bytes());
        memory[iova as usize..iova as usize + len as usize].fill(BEFORE);
        at += 16;
    }
    bench
}

fn stage_writeback(bench: &mut Bench, format: &[u8; 4]) {
    bench.write(0xa04, u32::from_le_bytes(*format));
    bench.write(0xa08, TO_TABLE as u32);
    bench.write(0xa0c, 0);
    bench.write(0xa10, TO_PARTS.len() as u32);
    bench.write(0xa14, TO_OFFSET);
    bench.write(0xa18, TO_PITCH);
    bench.write(WRITEBACK_CONTROL, 1);
}

/// The buffer's bytes, segment by segment.
fn buffer(bench: &mut Bench) -> Vec<u8> {
    let memory = bench.world.memory_mut();
    TO_PARTS.iter().flat_map(|&(iova, len)| memory[iova as usize..][..len as usize].to_vec()).collect()
}

/// What it must hold: `bytes` gives those of a pixel from its blue, green and red.
fn expected(picture: &[u8], bytes: impl Fn(u8, u8, u8) -> [u8; 4]) -> Vec<u8> {
    let len: u32 = TO_PARTS.iter().map(|&(_, len)| len).sum();
    let mut buffer = vec![BEFORE; len as usize];
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let (from, to) = (((y * WIDTH + x) * 4) as usize, (TO_OFFSET + y * TO_PITCH + x * 4) as usize);
            buffer[to..to + 4].copy_from_slice(&bytes(picture[from], picture[from + 1], picture[from + 2]));
        }
    }
    buffer
}

#[test]
fn the_picture_goes_into_the_buffer_in_each_format_and_nothing_else_changes() {
    type Bytes = fn(u8, u8, u8) -> [u8; 4];
    let formats: [(&[u8; 4], Bytes); 3] = [
        (b"XR24", |b, g, r| [b, g, r, 0]),
        (b"AR24", |b, g, r| [b, g, r, 0xff]),
        (b"XB24", |b, g, r| [r, g, b, 0]),
    ];
    for (format, bytes) in formats {
        let mut bench = on();
        stage_writeback(&mut bench, format);
        let picture = bench.flip(1);
        bench.at(FRAME_NS);
        assert!(buffer(&mut bench).iter().all(|&byte| byte == BEFORE), "written before it was fetched");
        bench.at(FRAME_NS * 2 - 1);
        assert_eq!(buffer(&mut bench), expected(&picture, bytes), "{format:?}");
        assert_eq!(bench.world.take_raised(), [1, 4]);
        assert_eq!((bench.read64(WRITEBACK_DONE), bench.read(WRITEBACK_STATUS), bench.errors()), (1, 0, 0));
    }
}

#[test]
fn what_is_written_went_through_the_colours() {
    let mut bench = on();
    bench.write(0x160, 2);
    for n in 0..256 {
        bench.write(0xc00 + 4 * n, (255 - n) | 0x4000 | (n / 2) << 16);
    }
    stage_writeback(&mut bench, b"XR24");
    let picture = bench.flip(1);
    bench.at(FRAME_NS * 2 - 1);
    assert_eq!(buffer(&mut bench), expected(&picture, |b, _, r| [255 - b, 0x40, r / 2, 0]));
}

#[test]
fn one_commit_writes_once() {
    let mut bench = on();
    stage_writeback(&mut bench, b"XR24");
    bench.flip(1);
    assert_eq!(bench.read(WRITEBACK_CONTROL), 0);
    bench.at(FRAME_NS * 2 - 1);
    bench.paint(2);
    let first = buffer(&mut bench);
    bench.at(FRAME_NS * 3 - 1);
    bench.flip(3);
    bench.at(FRAME_NS * 5 - 1);
    assert_eq!((buffer(&mut bench), bench.read64(WRITEBACK_DONE)), (first, 1));
}

#[test]
fn a_refused_address_fails_with_a_bit_a_count_and_the_address() {
    let mut bench = on();
    stage_writeback(&mut bench, b"XR24");
    let picture = bench.flip(1);
    bench.world.refuse(0x7010, 0x7011);
    bench.at(FRAME_NS * 2 - 1);
    assert_eq!((bench.errors(), bench.read64(0x158)), (WRITEBACK_ERROR, 0x7010));
    assert_eq!((bench.read64(WRITEBACK_DONE), bench.read(WRITEBACK_STATUS)), (1, 1));
    assert_eq!((bench.read(WRITEBACK_FAILURES), bench.read(0x150)), (1, 0));
    assert_eq!(bench.world.take_raised(), [1, 2, 4]);
    // The screen has the picture all the same.
    bench.read(CRC_FRAME);
    assert_eq!(bench.read(CRC_VALUE), naive_crc(&picture));
}

#[test]
fn a_list_that_is_refused_or_too_short_fails() {
    for short in [false, true] {
        let mut bench = on();
        stage_writeback(&mut bench, b"XR24");
        if short {
            bench.write(0xa10, 2);
        } else {
            bench.world.refuse(TO_TABLE as u64, TO_TABLE as u64 + 1);
        }
        bench.flip(1);
        bench.at(FRAME_NS * 2 - 1);
        assert_eq!((bench.errors(), bench.read(WRITEBACK_STATUS)), (WRITEBACK_ERROR, 1), "{short}");
        assert!(buffer(&mut bench).iter().all(|&byte| byte == BEFORE));
    }
}

#[test]
fn without_a_picture_nothing_is_written() {
    let mut bench = on();
    stage_writeback(&mut bench, b"XR24");
    bench.flip(1);
    bench.world.refuse(0x3010, 0x3014);
    bench.at(FRAME_NS * 2 - 1);
    // FETCH alone: the memory that is written was not at fault.
    assert_eq!(
        (bench.errors(), bench.read(WRITEBACK_STATUS), bench.read(WRITEBACK_FAILURES)),
        (1 << 4, 1, 1)
    );
    assert!(buffer(&mut bench).iter().all(|&byte| byte == BEFORE));
    assert_eq!(bench.world.take_raised(), [1, 2, 4]);
}

#[test]
fn what_a_write_back_cannot_be_is_refused() {
    let wrong: [(u32, u32); 6] = [
        (0xa04, u32::from_le_bytes(*b"NV12")),
        (0xa08, TO_TABLE as u32 + 8),
        (0xa10, 0),
        (0xa10, 32_769),
        (0xa14, 2),
        (0xa18, WIDTH * 4 - 4),
    ];
    for (offset, value) in wrong {
        let mut bench = on();
        stage_writeback(&mut bench, b"XR24");
        bench.write(offset, value);
        bench.flip(1);
        assert_eq!((bench.errors(), bench.read(COMMIT)), (1 << 2, 0), "{offset:#x}");
        // Off, it does not matter.
        bench.write(WRITEBACK_CONTROL, 0);
        bench.write(COMMIT, 1);
        assert_eq!(bench.read(COMMIT), 1, "{offset:#x}");
    }
}

#[test]
fn it_takes_the_time_of_what_is_read_and_written() {
    // 152 bytes are read and 128 written; one cycle is one nanosecond here.
    for (spare, errors) in [(0, 1 << 5), (1, 0)] {
        let config = format!("latency={},bytes-per-cycle=1", FRAME_NS - 152 - 128 - spare);
        let mut bench = Bench::on(&config);
        for (at, byte) in on().world.memory_mut().iter().enumerate() {
            bench.world.memory_mut()[at] = *byte;
        }
        stage_writeback(&mut bench, b"XR24");
        bench.flip(1);
        bench.at(FRAME_NS * 2);
        assert_eq!((bench.errors(), bench.read(WRITEBACK_FAILURES)), (errors, u32::from(errors != 0)));
    }
}

#[test]
fn a_commit_that_takes_the_place_of_another_takes_its_write_back_over() {
    let mut bench = on();
    stage_writeback(&mut bench, b"XR24");
    bench.flip(1);
    let picture = bench.paint(2);
    bench.write(COMMIT, 5);
    // Two at once are refused, and so is one that would not wait for its frame.
    stage_writeback(&mut bench, b"XR24");
    bench.write(COMMIT, 5);
    assert_eq!(bench.errors(), 1 << 1);
    bench.at(FRAME_NS * 2 - 1);
    assert_eq!(bench.read64(WRITEBACK_DONE), 2);
    assert_eq!(buffer(&mut bench), expected(&picture, |b, g, r| [b, g, r, 0]));
    bench.write(ERROR_STATUS, u32::MAX);
    bench.write(COMMIT, 3);
    assert_eq!(bench.errors(), 1 << 2);
}

#[test]
fn switching_off_drops_it() {
    let mut bench = on();
    stage_writeback(&mut bench, b"XR24");
    bench.flip(1);
    bench.at(FRAME_NS);
    bench.write(CRTC_ENABLE, 0);
    bench.world.take_raised();
    bench.at(FRAME_NS * 4);
    assert_eq!((bench.read64(WRITEBACK_DONE), bench.world.take_raised()), (0, vec![]));
    assert!(buffer(&mut bench).iter().all(|&byte| byte == BEFORE));
}

#[test]
fn it_ends_after_a_restore_as_it_would_have() {
    let mut bench = on();
    stage_writeback(&mut bench, b"AR24");
    let picture = bench.flip(1);
    bench.at(FRAME_NS);
    let saved = serde_json::to_string(&bench.display.state()).unwrap();
    let parts = DisplayParts { config: Config::default(), sinks: unseen() };
    bench.display = Display::restore(parts, serde_json::from_str(&saved).unwrap()).unwrap();
    bench.display.rearm(&mut bench.world.ports());
    bench.at(FRAME_NS * 2 - 1);
    assert_eq!(buffer(&mut bench), expected(&picture, |b, g, r| [b, g, r, 0xff]));
}
