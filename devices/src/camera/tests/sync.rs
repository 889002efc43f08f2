//! Buffers that wait for semaphores, and signal them.

use super::*;

const BLOCK: u64 = 0x5000;
const WORDS: u64 = 0x6000;
const STATUS: u32 = 0xc4;
const SYNC_TIMEOUT: u32 = 0xdc;
const SYNC_TIMEOUT_COUNT: u32 = 0x118;
const WAITING: u32 = 8;
const RECORD_STATUS: u64 = RECORDS + 12;
const RECORD_SEQUENCE: u64 = RECORDS + 16;

/// The word `n` of those that tests wait for and have signalled, and a value.
#[derive(Clone, Copy)]
struct Word(u32, u64);

impl Word {
    fn at(self) -> u64 {
        WORDS + 8 * u64::from(self.0)
    }
}

impl Bench {
    /// Posts buffer `index` with three waits and a signal.
    fn post_with(&mut self, index: u32, semaphores: [Option<Word>; 4]) {
        let block = BLOCK + 64 * u64::from(index);
        for (at, semaphore) in (block..).step_by(16).zip(semaphores) {
            let (address, value) = semaphore.map_or((0, 0), |word| (word.at() as u32, word.1));
            self.put(at, &[address, 0, value as u32, (value >> 32) as u32]);
        }
        let slot = QUEUE + u64::from(self.posted % 4) * 64;
        self.post(index, 0x400);
        self.put(slot + 48, &[block as u32, 0]);
    }

    fn set(&mut self, word: Word) {
        self.put(word.at(), &[word.1 as u32, (word.1 >> 32) as u32]);
    }

    fn value(&mut self, word: Word) -> u64 {
        u64::from(self.word(word.at())) | u64::from(self.word(word.at() + 4)) << 32
    }
}

/// A bench that streams; nothing is due before a period is over.
fn streaming() -> Bench {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    bench.stream_on();
    bench
}

#[test]
fn a_buffer_waits_at_each_read_out_until_its_word_is_reached() {
    let mut bench = streaming();
    bench.post_with(0, [Some(Word(0, 1 << 32)), None, None, None]);
    bench.set(Word(0, u64::from(u32::MAX)));
    bench.run_to_frame(1);
    assert_eq!((bench.read(STATUS) & WAITING, bench.read(0xcc), bench.read(0xd0)), (WAITING, 0, 0));
    assert_eq!((bench.read(0xd4), bench.read(0x110)), (2, 2), "two frames are numbered and dropped");
    assert!(bench.world.take_raised().is_empty(), "no CPU is woken for them");
    assert!(bench.buffer(0, 0x400).iter().all(|&byte| byte == 0));
    bench.set(Word(0, (1 << 32) + 5));
    bench.run_to_frame(2);
    assert_eq!(
        (bench.read(STATUS) & WAITING, bench.word(RECORD_STATUS), bench.word(RECORD_SEQUENCE)),
        (0, 0, 2)
    );
    assert!(bench.buffer(0, 0x400).iter().any(|&byte| byte != 0));
    assert_eq!(bench.world.take_raised(), [0]);
}

#[test]
fn all_three_waits_must_be_reached() {
    for last in 0..3 {
        let mut bench = streaming();
        bench.post_with(0, [Some(Word(0, 3)), Some(Word(1, 3)), Some(Word(2, 3)), None]);
        (0..3).filter(|&word| word != last).for_each(|word| bench.set(Word(word, 9)));
        bench.run_to_frame(0);
        assert_eq!(bench.read(STATUS) & WAITING, WAITING, "word {last} is missing");
        bench.set(Word(last, 3));
        bench.run_to_frame(1);
        assert_eq!((bench.read(0xd0), bench.word(RECORD_STATUS)), (1, 0));
    }
}

#[test]
fn the_signal_is_written_with_the_frame() {
    let mut bench = streaming();
    bench.post_with(0, [None, None, None, Some(Word(3, 0x1_0000_0007))]);
    bench.world.advance_to(PERIOD_NS + 50, &mut bench.camera);
    assert_eq!(bench.value(Word(3, 0)), 0);
    bench.run_to_frame(0);
    assert_eq!((bench.value(Word(3, 0)), bench.word(RECORD_STATUS)), (0x1_0000_0007, 0));
}

#[test]
fn a_frame_that_fails_signals_nothing() {
    let mut bench = streaming();
    bench.world.refuse(PIXELS + 0x900, PIXELS + 0x901);
    bench.post_with(0, [None, None, None, Some(Word(3, 7))]);
    bench.run_to_frame(0);
    assert_eq!((bench.word(RECORD_STATUS), bench.value(Word(3, 0))), (6, 0));
}

#[test]
fn a_wait_that_takes_too_long_is_an_error_and_the_next_buffer_goes_on() {
    let mut bench = streaming();
    // It begins at the first read-out, and is over at the third.
    bench.write(SYNC_TIMEOUT, 2 * 33_333);
    bench.post_with(0, [Some(Word(0, 1)), None, None, Some(Word(3, 7))]);
    bench.post_with(1, [None; 4]);
    bench.run_to_frame(1);
    assert_eq!((bench.read(0xd0), bench.read(SYNC_TIMEOUT_COUNT)), (0, 0));
    bench.run_to_frame(2);
    assert_eq!((bench.word(RECORD_STATUS), bench.word(RECORD_SEQUENCE), bench.read(0x100)), (14, 2, 14));
    assert_eq!((bench.read(SYNC_TIMEOUT_COUNT), bench.read(STATUS) & WAITING), (1, 0));
    assert_eq!(bench.world.take_raised(), [0, 1]);
    bench.run_to_frame(3);
    assert_eq!((bench.word(RECORD_STATUS + 64), bench.word(RECORD_SEQUENCE + 64)), (0, 3));
    assert_eq!(bench.value(Word(3, 0)), 0);
}

#[test]
fn a_timeout_of_zero_waits_for_ever() {
    let mut bench = streaming();
    bench.write(SYNC_TIMEOUT, 0);
    bench.post_with(0, [Some(Word(0, 1)), None, None, None]);
    bench.run_to_frame(90);
    assert_eq!((bench.read(0xd0), bench.read(STATUS) & WAITING), (0, WAITING));
}

#[test]
fn memory_that_is_refused_is_an_error_with_its_address() {
    for (refused, status) in [(BLOCK, 13), (WORDS, 13), (WORDS + 24, 13)] {
        let mut bench = streaming();
        bench.world.refuse(refused, refused + 1);
        bench.post_with(0, [Some(Word(0, 0)), None, None, Some(Word(3, 1))]);
        bench.run_to_frame(0);
        assert_eq!((bench.word(RECORD_STATUS), u64::from(bench.read(0x104))), (status, refused));
    }
}

#[test]
fn addresses_that_are_not_aligned_are_refused() {
    for at in [BLOCK, BLOCK + 48, QUEUE + 48] {
        let mut bench = streaming();
        bench.post_with(0, [Some(Word(0, 0)), None, None, Some(Word(3, 1))]);
        let misaligned = bench.word(at) + 4;
        bench.put(at, &[misaligned]);
        bench.run_to_frame(0);
        assert_eq!(bench.word(RECORD_STATUS), 2);
    }
}

#[test]
fn a_stream_that_stops_forgets_the_wait() {
    let mut bench = streaming();
    bench.post_with(0, [Some(Word(0, 1)), None, None, None]);
    bench.run_to_frame(0);
    bench.write(0xc0, 0);
    assert_eq!(bench.read(STATUS), 0);
}

#[test]
fn a_restored_camera_waits_as_long_as_the_saved_one() {
    let mut bench = streaming();
    bench.write(SYNC_TIMEOUT, 2 * 33_333);
    bench.post_with(0, [Some(Word(0, 1)), None, None, None]);
    bench.run_to_frame(1);
    let saved = serde_json::to_string(&bench.camera.save()).unwrap();
    bench.camera = Camera::restore(parts(), serde_json::from_str(&saved).unwrap()).unwrap();
    assert_eq!(serde_json::to_string(&bench.camera.save()).unwrap(), saved);
    bench.camera.rearm(&mut bench.world.ports());
    assert_eq!(bench.read(STATUS) & WAITING, WAITING);
    bench.run_to_frame(2);
    assert_eq!(bench.word(RECORD_STATUS), 14);
}
