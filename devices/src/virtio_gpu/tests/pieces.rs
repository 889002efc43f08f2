//! Large transfers and flushes: what they move comes piece by piece.

use crate::state::Stateful;
use crate::virtio::testing::Part;

use super::*;

/// 1024 x 192 pixels: three pieces of 64 rows.
const WIDTH: u32 = 1024;
const HEIGHT: u32 = 192;
const BYTES: u32 = WIDTH * HEIGHT * 4;
/// Nanoseconds of such a command, at 4 bytes a cycle: its pieces are moved at a third, two thirds and the end of it.
const ALL: u64 = 1000 + 3 * 65_536;
/// When two of its pieces have been moved.
const TWO: u64 = ALL * 5 / 6;

/// A scan-out that is to show resource 1, whose guest memory is all ones.
fn bench() -> Bench {
    let mut bench = Bench::new(2);
    bench.driver.store(PICTURE, &vec![1; BYTES as usize]);
    assert_eq!(bench.send(0x101, &[1, 1, WIDTH, HEIGHT]), OK);
    assert_eq!(bench.attach(1, &[(PICTURE, BYTES)]), OK);
    assert_eq!(bench.send(0x103, &[0, 0, WIDTH, HEIGHT, 0, 1]), OK);
    bench
}

/// Sends a command without waiting for its end.
fn begin(bench: &mut Bench, queue: u16, kind: u32, words: &[u32]) {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.resize(24, 0);
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    let at = REQUEST + 0x800 * u64::from(queue);
    bench.driver.store(at, &bytes);
    let answer = Part::Write(RESPONSE + 0x800 * u64::from(queue), 24);
    bench.driver.add(queue, &[Part::Read(at, bytes.len() as u32), answer]);
    bench.driver.kick(queue);
}

const TRANSFER: [u32; 8] = [0, 0, WIDTH, HEIGHT, 0, 0, 1, 0];
const FLUSH: [u32; 6] = [0, 0, WIDTH, HEIGHT, 1, 0];

/// The first row of a picture that begins with `byte`.
fn first_of(pixels: &[u8], byte: u8) -> Option<usize> {
    pixels.chunks(WIDTH as usize * 4).position(|row| row[0] == byte)
}

#[test]
fn a_transfer_takes_its_time_piece_by_piece() {
    let mut bench = bench();
    begin(&mut bench, 0, 0x105, &TRANSFER);
    bench.driver.wait(TWO);
    bench.driver.store(PICTURE, &vec![2; BYTES as usize]);
    bench.driver.wait(ALL - TWO - 1);
    assert_eq!(bench.driver.used(0), []);
    bench.driver.wait(1);
    assert_eq!(bench.driver.used(0).len(), 1);
    assert_eq!(bench.send(0x104, &FLUSH), OK);
    let pixels = bench.shot().pixels;
    assert_eq!((first_of(&pixels, 1), first_of(&pixels, 2)), (Some(0), Some(128)));
}

#[test]
fn a_cursor_waits_for_a_picture_that_is_half_fetched() {
    let mut bench = bench();
    assert_eq!(bench.send(0x105, &TRANSFER), OK);
    assert_eq!(bench.send(0x104, &FLUSH), OK);
    bench.driver.store(PICTURE, &[9; 64 * 64 * 4]);
    assert_eq!(bench.blob(3, 0x4000, &[(PICTURE, 0x4000)]), OK);
    bench.shots();
    begin(&mut bench, 0, 0x104, &FLUSH);
    bench.driver.wait(TWO);
    begin(&mut bench, 1, 0x300, &[0, 0, 0, 0, 3, 0, 0, 0]);
    bench.driver.wait(6000);
    assert_eq!((bench.driver.used(1).len(), bench.driver.used(0).len()), (1, 0));
    assert!(bench.shots().is_empty());
    bench.driver.wait(ALL - TWO);
    let shot = bench.shot();
    assert_eq!((shot.flip, shot.fresh, &shot.pixels[..4]), (2, true, &[10, 10, 10, 0][..]));
}

/// A flush that is in the middle is the same after a restore, and forgotten by a reset.
#[test]
fn a_flush_in_the_middle_is_saved() {
    let mut bench = bench();
    assert_eq!(bench.send(0x105, &TRANSFER), OK);
    begin(&mut bench, 0, 0x104, &FLUSH);
    bench.driver.wait(TWO);
    let gpu = bench.driver.function.as_any().downcast_mut::<VirtioGpu>().unwrap();
    let state = gpu.save();
    let job = state.device.jobs[0].clone().expect("it is in the middle");
    let done = job.moves[0].done;
    assert!(done > 0 && done < u64::from(WIDTH * HEIGHT), "{done}");
    let restore = |state| {
        let config = VirtioGpuConfig { outputs: 2, ..VirtioGpuConfig::default() };
        VirtioGpu::restore(GpuParts { config, sink: Box::new(Shots::default()) }, state)
    };
    assert_eq!(restore(state.clone()).unwrap().save(), state);
    let mut wrong = state;
    wrong.device.jobs[0].as_mut().unwrap().moves[0].rect.height = u32::MAX;
    assert!(restore(wrong).is_err());
    bench.driver.restart();
    bench.driver.wait(1_000_000_000);
    assert_eq!(bench.shot().pixels, vec![0; BYTES as usize], "what was on is off");
}
