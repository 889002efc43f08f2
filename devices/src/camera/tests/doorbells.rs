//! The tail word and its doorbell.

use super::*;
use crate::function::Doorbell;
use crate::state::Stateful;

/// Four frames into buffers that are posted before and after stream-on, over the end of the ring.
fn four_frames(mut bench: Bench) -> (Vec<u8>, Vec<u16>, [u32; 3]) {
    bench.configure(YUYV, 64);
    (0..4).for_each(|index| bench.post(index, 0x400));
    bench.stream_on();
    bench.run_to_frame(2);
    bench.post(0, 0x400);
    bench.post(1, 0x400);
    bench.run_to_frame(6);
    let mut seen = bench.world.memory_mut().to_vec();
    seen[TAIL_WORD as usize..TAIL_WORD as usize + 4].fill(0);
    (seen, bench.world.take_raised(), [0xc8, 0xcc, 0x110].map(|offset| bench.read(offset)))
}

#[test]
fn both_ways_of_posting_do_the_same() {
    let by_register = four_frames(Bench::new());
    assert_eq!((&by_register.1[..], by_register.2), (&[0, 0, 0, 0, 0, 0, 2][..], [6, 6, 1]));
    assert!(four_frames(Bench::with_tail_word()) == by_register);
}

#[test]
fn a_doorbell_without_a_tail_word_does_nothing() {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    bench.write(0xd8, 3);
    assert_eq!((bench.read(0xc8), bench.read(0xd8), bench.read(0x10c)), (0, 0, 0));
}

#[test]
fn a_refused_tail_word_halts_the_stream() {
    let mut bench = Bench::with_tail_word();
    bench.configure(YUYV, 64);
    bench.post(0, 0x400);
    bench.stream_on();
    bench.world.refuse(TAIL_WORD, TAIL_WORD + 4);
    bench.write(0xd8, 0);
    assert_eq!((bench.read(0xc4), bench.read(0x100), bench.read(0x104)), (5, 7, TAIL_WORD as u32));
    bench.write(0xd8, 0);
    bench.run_to_frame(2);
    assert_eq!(bench.world.take_raised(), [1]);
    // With the stream off it is an error, and nothing else.
    bench.write(0xc0, 0);
    bench.write(0xd8, 0);
    assert_eq!((bench.read(0xc4), bench.read(0xc8), bench.read(0x10c)), (0, 0, 2));
}

#[test]
fn a_runaway_tail_word_is_refused_and_the_address_is_locked_while_streaming() {
    let mut bench = Bench::with_tail_word();
    bench.configure(YUYV, 64);
    bench.stream_on();
    bench.put(TAIL_WORD, &[5]);
    bench.write(0xd8, 0);
    assert_eq!((bench.read(0xc8), bench.read(0x100)), (0, 10));
    bench.write(0xb0, 0x5000);
    assert_eq!((bench.read(0xb0), bench.read(0x100)), (TAIL_WORD as u32, 9));
}

#[test]
fn the_doorbell_is_the_pages_register() {
    assert_eq!(Bench::new().camera.doorbells(), [Doorbell { offset: 0xd8, bytes: 4, value: None }]);
}

#[test]
fn a_restored_camera_still_takes_its_tail_from_memory() {
    let mut bench = Bench::with_tail_word();
    bench.configure(YUYV, 64);
    bench.stream_on();
    bench.camera = Camera::restore(parts(), bench.camera.save()).unwrap();
    bench.camera.rearm(&mut bench.world.ports());
    bench.post(0, 0x400);
    bench.run_to_frame(0);
    assert_eq!((bench.read(0xb0), bench.world.take_raised()), (TAIL_WORD as u32, vec![0]));
}
