//! Pictures and programs, by examples worked out by hand from docs/gpu.md. The guest's tests have the random ones.

use zerocopy::little_endian::{U32, U64};

use super::fixture::*;
use crate::gpu::packet::{RawOperand, RawPacket};

const PACKET: u32 = 2;
const BOUNDS: u32 = 4;
const LIMIT: u32 = 9;

/// What `packet` makes of `from`, in a destination full of `under`, on ring 0; and the ring's error.
fn made(packet: impl Fn(RawOperand, RawOperand) -> RawPacket, from: &[u8], under: u8) -> (Vec<u8>, u32) {
    let mut driver = Driver::new();
    driver.store(&PAGES, from);
    driver.store(&OTHER_PAGES, &vec![under; 16_384]);
    let (src, dst) = (driver.pages(&PAGES), driver.pages(&OTHER_PAGES));
    driver.run(0, &[packet(dst.at(0, 64), src.at(0, 64))]);
    (driver.contents(&OTHER_PAGES), driver.read(0, ERROR_CODE))
}

fn sized(
    opcode: u32,
    flags: u32,
    (width, height): (u32, u32),
    operands: (RawOperand, RawOperand),
) -> RawPacket {
    let (dst, src) = operands;
    let (width, height) = (U32::new(width), U32::new(height));
    RawPacket { flags: U32::new(flags), dst, src, width, height, ..packet(opcode) }
}

fn scale(flags: u32, to: (u32, u32), from: (u32, u32), operands: (RawOperand, RawOperand)) -> RawPacket {
    let (src_width, src_height) = (U32::new(from.0), U32::new(from.1));
    RawPacket { src_width, src_height, ..sized(7, flags, to, operands) }
}

/// The first bytes of the pixels of a row of `width`.
fn row(out: &[u8], y: usize, width: usize) -> Vec<u8> {
    out[64 * y..].chunks(4).take(width).map(|pixel| pixel[0]).collect()
}

/// A picture whose pixels are grey.
fn grey(rows: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0; 64 * rows.len()];
    for (line, row) in bytes.chunks_mut(64).zip(rows) {
        line.chunks_mut(4).zip(*row).for_each(|(pixel, &value)| pixel.fill(value));
    }
    bytes
}

#[test]
fn the_nearest_pixel_is_that_of_the_middle() {
    let from = grey(&[&[10, 20, 30]]);
    let (out, error) = made(|dst, src| scale(0, (7, 1), (3, 1), (dst, src)), &from, 0);
    assert_eq!((row(&out, 0, 8), error), (vec![10, 10, 20, 20, 20, 30, 30, 0], 0));
    let (out, _) = made(|dst, src| scale(0, (1, 1), (3, 1), (dst, src)), &from, 0);
    assert_eq!(row(&out, 0, 2), [20, 0]);
}

#[test]
fn between_four_pixels_the_weights_are_the_distances() {
    // Places -64, 64, 192 and 320 of 256: the first and the last are those of the edges.
    let (out, error) = made(|dst, src| scale(1, (4, 1), (2, 1), (dst, src)), &grey(&[&[0, 200]]), 0);
    assert_eq!((row(&out, 0, 4), error), (vec![0, 50, 150, 200], 0));
    let square = grey(&[&[0, 100], &[100, 200]]);
    let (out, _) = made(|dst, src| scale(1, (1, 1), (2, 2), (dst, src)), &square, 0);
    assert_eq!(row(&out, 0, 1), [100]);
}

#[test]
fn a_blend_is_by_pixel_and_plane() {
    let from = [100, 50, 20, 128];
    let blend = |flags, plane: u64| {
        let packet = |dst, src| RawPacket { value: U64::new(plane), ..sized(8, flags, (1, 1), (dst, src)) };
        made(packet, &from, 200).0[..4].to_vec()
    };
    assert_eq!(blend(0, 255), [100, 50, 20, 255]);
    assert_eq!(blend(0, 0), [200; 4]);
    assert_eq!(blend(1, 255), [200, 150, 120, 228]);
    // (100 · 128 + 200 · 127) / 255 and so on.
    assert_eq!(blend(2, 255), [150, 125, 110, 228]);
    // A cover of 64: (100 · 64 + 200 · 191) / 255.
    assert_eq!(blend(2, 128), [175, 162, 155, 214]);
}

#[test]
fn a_turn_is_clockwise_and_behind_the_flips() {
    let from = grey(&[&[1, 2, 3], &[4, 5, 6]]);
    let turned = |flags, width| {
        let (out, error) = made(|dst, src| sized(9, flags, (3, 2), (dst, src)), &from, 0);
        assert_eq!(error, 0);
        (0..6 / width).map(|y| row(&out, y, width)).collect::<Vec<_>>()
    };
    assert_eq!(turned(0, 3), [[1, 2, 3], [4, 5, 6]]);
    assert_eq!(turned(1, 2), [[4, 1], [5, 2], [6, 3]]);
    assert_eq!(turned(2, 3), [[6, 5, 4], [3, 2, 1]]);
    assert_eq!(turned(3, 2), [[3, 6], [2, 5], [1, 4]]);
    assert_eq!(turned(4, 3), [[3, 2, 1], [6, 5, 4]]);
    assert_eq!(turned(8, 3), [[4, 5, 6], [1, 2, 3]]);
    assert_eq!(turned(4 | 1, 2), [[6, 3], [5, 2], [4, 1]]);
}

#[test]
fn a_checksum_is_of_the_rows_alone() {
    let mut driver = Driver::new();
    driver.store(&PAGES, b"12345xx6789");
    let list = driver.list(&[(PAGES[0], 5), (PAGES[0] + 5, 6)]);
    let (width, height, address) = (U32::new(2), U32::new(1), U64::new(SEMAPHORE));
    let whole = RawPacket { src: list.at(7, 0), width, height, address, ..packet(10) };
    driver.run(1, &[whole]);
    assert_eq!(driver.word(SEMAPHORE), u64::from(crate::crc::crc32(b"67")));
    let (width, height) = (U32::new(3), U32::new(2));
    driver.run(1, &[RawPacket { src: list.at(1, 6), width, height, ..whole }]);
    assert_eq!(driver.word(SEMAPHORE), u64::from(crate::crc::crc32(b"234678")));
}

/// Runs a program at each place of a 2 × 2 grid over four words, whose sum with one it is to store.
fn compute(code: &[[u8; 8]], change: impl Fn(&mut RawPacket)) -> (Vec<u8>, u32) {
    let mut driver = Driver::new();
    driver.store(&PAGES, &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]);
    driver.store(&PAGES[1..], &code.concat());
    let (src, dst) = (driver.pages(&PAGES), driver.pages(&OTHER_PAGES));
    let mut job = sized(11, 0, (2, 2), (dst.at(0, 16), src.at(0, 16)));
    job.src2 = src.at(4096, 0);
    job.src_width = U32::new(code.len() as u32);
    job.value = U64::new(1 << 32 | 8);
    change(&mut job);
    driver.run(0, &[job]);
    driver.wait_ns(100_000_000);
    (driver.contents(&OTHER_PAGES)[..20].to_vec(), driver.read(0, ERROR_CODE))
}

/// r5 = 8y + 4x: the byte of the place.
const PLACE: [[u8; 8]; 5] = [
    [1, 4, 0, 0, 4, 0, 0, 0],
    [4, 5, 0, 4, 0, 0, 0, 0],
    [4, 6, 1, 2, 0, 0, 0, 0],
    [2, 5, 5, 6, 0, 0, 0, 0],
    [10, 7, 5, 0, 0, 0, 0, 0],
];

#[test]
fn a_program_runs_at_each_place() {
    let code = [PLACE.as_slice(), &[[2, 7, 7, 3, 0, 0, 0, 0], [11, 7, 5, 0, 0, 0, 0, 0]]].concat();
    let (out, error) = compute(&code, |_| {});
    assert_eq!(error, 0);
    assert_eq!(out, [2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_program_that_does_not_end_or_reaches_out_fails_and_writes_nothing() {
    let store = [11, 3, 0, 0, 0, 0, 0, 0];
    let endless = [store, [12, 0, 15, 3, 0, 0, 0, 0]];
    assert_eq!(compute(&endless, |_| {}), (vec![0; 20], LIMIT));
    let beyond = [store, [11, 3, 0, 0, 16, 0, 0, 0]];
    assert_eq!(compute(&beyond, |_| {}), (vec![0; 20], BOUNDS));
    assert_eq!(compute(&[store, [10, 7, 0, 0, 2, 0, 0, 0]], |_| {}), (vec![0; 20], BOUNDS));
    // Nothing to read.
    let nothing = |job: &mut RawPacket| job.src = RawOperand::default();
    assert_eq!(compute(&PLACE, nothing), (vec![0; 20], BOUNDS));
}

#[test]
fn what_is_no_program_is_refused() {
    for wrong in [[13, 0, 0, 0, 0, 0, 0, 0], [2, 16, 0, 0, 0, 0, 0, 0], [12, 0, 0, 0, 1, 0, 0, 0]] {
        assert_eq!(compute(&[wrong], |_| {}).1, PACKET, "{wrong:?}");
    }
    let refused = |change: &dyn Fn(&mut RawPacket)| assert_eq!(compute(&PLACE, change).1, PACKET);
    refused(&|job| job.src_width = U32::new(0));
    refused(&|job| job.src_width = U32::new(257));
    refused(&|job| job.dst.stride = U32::new(6));
    refused(&|job| job.src.stride = U32::new(0));
    refused(&|job| job.src_height = U32::new(1));
    refused(&|job| (job.width, job.height) = (U32::new(4096), U32::new(4096)));
}
