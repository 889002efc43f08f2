//! Each command, right and wrong.

use crate::virtio::registers::Id;
use crate::virtio::testing::Part;

use super::*;

#[test]
fn the_display_info_has_the_monitors_side_by_side() {
    let mut bench = Bench::new(2);
    assert_eq!(bench.driver.config(8, 4), 2, "num_scanouts");
    let info = bench.send_to(0, 0x100, &[], &[]);
    assert_eq!((info.len(), word(&info, 0)), (24 + 16 * 24, 0x1101));
    let words = |mode: usize| (0..6).map(|at| word(&info, 24 + 24 * mode + 4 * at)).collect::<Vec<_>>();
    assert_eq!(words(0), [0, 0, 1024, 768, 1, 0]);
    assert_eq!(words(1), [1024, 0, 1024, 768, 1, 0]);
    assert!(info[24 + 48..].iter().all(|byte| *byte == 0));
}

#[test]
fn the_edid_is_of_the_monitors_size() {
    let mut bench = Bench::new(1);
    let edid = bench.send_to(0, 0x10a, &[0, 0], &[]);
    assert_eq!((edid.len(), word(&edid, 0), word(&edid, 24)), (24 + 8 + 1024, 0x1104, 128));
    let block = &edid[32..160];
    assert_eq!(block[..8], [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]);
    assert_eq!(block.iter().map(|byte| u32::from(*byte)).sum::<u32>() % 256, 0);
    assert_eq!((block[56], block[58] >> 4, block[59], block[61] >> 4), (0, 4, 0, 3), "1024 x 768");
    assert_eq!(bench.send(0x10a, &[1, 0]), SCANOUT_ID);
}

#[test]
fn a_fence_comes_back_when_its_command_is_done() {
    let mut bench = Bench::new(1);
    let mut request = vec![0; 24];
    request[0..2].copy_from_slice(&[0x00, 0x01]);
    request[4] = 3;
    request[8..16].copy_from_slice(&0x1234_5678_9abc_u64.to_le_bytes());
    request[16..21].copy_from_slice(&[7, 0, 0, 0, 5]);
    let response = bench.raw(0, &request, &[]);
    assert_eq!(response[4..24], [&[3, 0, 0, 0][..], &request[8..24]].concat());
    // Without one nothing does.
    request[4] = 0;
    assert_eq!(bench.raw(0, &request, &[])[4..24], [0; 20]);
    let engine = bench.driver.world.ports().engine(0);
    let fence = fencepost_trace::Event::FenceWrite { engine, queue: 0, seqno: 0x1234_5678_9abc };
    assert_eq!(bench.driver.world.trace.events.iter().filter(|it| **it == fence).count(), 1);
}

/// Every format with a colour that has four different bytes.
#[test]
fn formats_have_their_colours_where_the_standard_says() {
    // Red 1, green 2, blue 3, alpha or nothing 9.
    let formats = [
        (1, [3, 2, 1, 9]),
        (2, [3, 2, 1, 9]),
        (3, [9, 1, 2, 3]),
        (4, [9, 1, 2, 3]),
        (67, [1, 2, 3, 9]),
        (68, [9, 3, 2, 1]),
        (121, [9, 3, 2, 1]),
        (134, [1, 2, 3, 9]),
    ];
    let mut bench = Bench::new(1);
    for (format, pixel) in formats {
        bench.driver.store(PICTURE, &pixel);
        assert_eq!(bench.send(0x101, &[7, format, 1, 1]), OK);
        assert_eq!(bench.attach(7, &[(PICTURE, 4)]), OK);
        assert_eq!(bench.send(0x105, &[0, 0, 1, 1, 0, 0, 7, 0]), OK);
        assert_eq!(bench.send(0x103, &[0, 0, 1, 1, 0, 7]), OK);
        assert_eq!(bench.send(0x104, &[0, 0, 1, 1, 7, 0]), OK);
        let shot = bench.shot();
        assert_eq!((shot.size, &shot.pixels[..]), ((1, 1), &[3, 2, 1, 0][..]), "format {format}");
        // The same as guest memory.
        assert_eq!(bench.blob(8, 4, &[(PICTURE, 4)]), OK);
        assert_eq!(bench.send(0x10d, &[0, 0, 1, 1, 0, 8, 1, 1, format, 0, 4, 0, 0, 0, 0, 0, 0, 0]), OK);
        assert_eq!(bench.send(0x104, &[0, 0, 1, 1, 8, 0]), OK);
        assert_eq!(bench.shot().pixels, [3, 2, 1, 0], "format {format}");
        assert_eq!((bench.send(0x102, &[8, 0]), bench.send(0x102, &[7, 0])), (OK, OK));
        bench.shots();
    }
}

#[test]
fn wrong_commands_get_the_standards_errors() {
    let mut bench = Bench::new(2);
    assert_eq!(bench.send(0x101, &[1, 1, 16, 8]), OK);
    assert_eq!(bench.attach(1, &[(PICTURE, 16 * 8 * 4)]), OK);
    assert_eq!(bench.blob(2, 0x1000, &[(PICTURE, 0x1000)]), OK);
    let before = bench.driver.function.save_state();
    let cases: &[(u32, &[u32], u32)] = &[
        (0, &[], UNSPEC),
        (0x108, &[0, 0], UNSPEC),
        (0x200, &[0; 32], UNSPEC),
        (0x300, &[0; 8], UNSPEC),
        (0x1100, &[], UNSPEC),
        (0x101, &[0, 1, 16, 8], RESOURCE_ID),
        (0x101, &[1, 1, 16, 8], RESOURCE_ID),
        (0x101, &[3, 0, 16, 8], PARAMETER),
        (0x101, &[3, 5, 16, 8], PARAMETER),
        (0x101, &[3, 1, 0, 8], PARAMETER),
        (0x101, &[3, 1, 16, 0], PARAMETER),
        (0x101, &[3, 1, 4097, 4096], OUT_OF_MEMORY),
        (0x101, &[3, 1, u32::MAX, u32::MAX], OUT_OF_MEMORY),
        (0x102, &[3, 0], RESOURCE_ID),
        (0x103, &[0, 0, 16, 8, 2, 1], SCANOUT_ID),
        (0x103, &[0, 0, 16, 8, u32::MAX, 1], SCANOUT_ID),
        (0x103, &[0, 0, 16, 8, 0, 3], RESOURCE_ID),
        (0x103, &[0, 0, 17, 8, 0, 1], PARAMETER),
        (0x103, &[0, 1, 16, 8, 0, 1], PARAMETER),
        (0x103, &[u32::MAX, 0, 2, 8, 0, 1], PARAMETER),
        (0x103, &[0, 0, 0, 0, 0, 1], PARAMETER),
        (0x103, &[0, 0, 16, 8, 0, 2], PARAMETER),
        (0x104, &[0, 0, 16, 8, 3, 0], RESOURCE_ID),
        (0x104, &[0, 0, 16, 9, 1, 0], PARAMETER),
        (0x104, &[16, 0, u32::MAX, 8, 1, 0], PARAMETER),
        (0x105, &[0, 0, 16, 8, 0, 0, 3, 0], RESOURCE_ID),
        (0x105, &[0, 0, 17, 8, 0, 0, 1, 0], PARAMETER),
        (0x105, &[0, 0, 16, 8, 4, 0, 1, 0], PARAMETER),
        (0x105, &[0, 0, 16, 8, u32::MAX, u32::MAX, 1, 0], PARAMETER),
        (0x106, &[3, 0], RESOURCE_ID),
        (0x106, &[1, 0], UNSPEC),
        (0x106, &[2, 0], UNSPEC),
        (0x107, &[3, 0], RESOURCE_ID),
        (0x107, &[2, 0], UNSPEC),
        (0x10c, &[2, 1, 0, 0, 0, 0, 4096, 0], RESOURCE_ID),
        (0x10c, &[3, 1, 0, 0, 0, 0, 0, 0], PARAMETER),
        (0x10c, &[3, 1, 0, 0, 0, 0, 1, 0], PARAMETER),
        (0x10c, &[3, 2, 0, 0, 0, 0, 4096, 0], PARAMETER),
        (0x10c, &[3, 1, 0, 1, 0, 0, 4096, 0], PARAMETER),
        (0x10c, &[3, 1, 0, u32::MAX, 0, 0, 4096, 0], OUT_OF_MEMORY),
        (0x10d, &[0, 0, 8, 8, 0, 1, 8, 8, 1, 0, 32, 0, 0, 0, 0, 0, 0, 0], PARAMETER),
        (0x10d, &[0, 0, 8, 8, 0, 3, 8, 8, 1, 0, 32, 0, 0, 0, 0, 0, 0, 0], RESOURCE_ID),
        (0x10d, &[0, 0, 8, 8, 2, 2, 8, 8, 1, 0, 32, 0, 0, 0, 0, 0, 0, 0], SCANOUT_ID),
        (0x10d, &[0, 0, 8, 8, 0, 2, 8, 8, 9, 0, 32, 0, 0, 0, 0, 0, 0, 0], PARAMETER),
        (0x10d, &[0, 0, 9, 8, 0, 2, 8, 8, 1, 0, 32, 0, 0, 0, 0, 0, 0, 0], PARAMETER),
        (0x10d, &[0, 0, 8, 8, 0, 2, 8, 8, 1, 0, 31, 0, 0, 0, 0, 0, 0, 0], PARAMETER),
        (0x10d, &[0, 0, 8, 8, 0, 2, 8, 8, 1, 0, 600, 0, 0, 0, 0, 0, 0, 0], PARAMETER),
        (0x10d, &[0, 0, 8, 8, 0, 2, 8, 8, 1, 0, 32, 0, 0, 0, 3900, 0, 0, 0], PARAMETER),
        (0x10d, &[0, 0, 8, 8, 0, 2, 8, 8, 1, 0, u32::MAX, 0, 0, 0, u32::MAX, 0, 0, 0], PARAMETER),
    ];
    for (at, (kind, words, expected)) in cases.iter().enumerate() {
        assert_eq!(bench.send(*kind, words), *expected, "case {at}: {kind:#x} {words:?}");
    }
    assert_eq!(bench.counter("refused"), cases.len() as u64);
    assert_eq!(bench.cursor(0x100, &[]), UNSPEC, "no command of that queue");
    assert_eq!(bench.cursor(0x301, &[2, 0, 0, 0, 0, 0, 0, 0]), SCANOUT_ID);
    assert_eq!(bench.cursor(0x300, &[0, 0, 0, 0, 9, 0, 0, 0]), RESOURCE_ID);
    assert_eq!(bench.cursor(0x300, &[0, 0, 0, 0, 1, 0, 0, 0]), PARAMETER, "not 64 x 64");
    assert_eq!(bench.cursor(0x300, &[0, 0, 0, 0, 2, 0, 0, 0]), PARAMETER, "less memory than 64 x 64");
    // But for the figures nothing has changed.
    assert_eq!(bench.driver.function.save_state().bytes.len(), before.bytes.len());
    assert!(bench.shots().is_empty());
    assert_eq!(bench.counter("resources"), 2);
}

#[test]
fn commands_that_are_cut_are_refused() {
    let lengths = [
        (0x101, 40),
        (0x102, 32),
        (0x103, 48),
        (0x104, 48),
        (0x105, 56),
        (0x106, 32),
        (0x107, 32),
        (0x10a, 32),
        (0x10c, 56),
        (0x10d, 96),
    ];
    let mut bench = Bench::new(1);
    for (kind, length) in lengths {
        let mut request = vec![1; length - 1];
        request[..4].copy_from_slice(&u32::to_le_bytes(kind));
        assert_eq!(word(&bench.raw(0, &request, &[]), 0), PARAMETER, "{kind:#x}");
    }
    assert_eq!(word(&bench.raw(0, &[0, 1, 0], &[]), 0), UNSPEC, "not even a type");
    assert_eq!(bench.counter("resources"), 0);
}

#[test]
fn commands_in_memory_that_is_refused_break_the_queue() {
    for (place, queue) in [(REQUEST, 0), (RESPONSE, 0), (REQUEST, 1), (RESPONSE, 1)] {
        let mut bench = Bench::new(1);
        bench.driver.world.refuse(place, place + 0x100);
        bench.driver.store(REQUEST, &[0, 1]);
        let parts = [Part::Read(REQUEST, 24), Part::Write(RESPONSE, 408)];
        assert_eq!(bench.driver.request(queue, &parts), None);
        assert_eq!(bench.driver.get(Id::Status), 0x4f);
    }
}

#[test]
fn a_command_without_room_for_an_answer_is_done_all_the_same() {
    let mut bench = Bench::new(1);
    let words: Vec<u8> =
        [0x101u32, 0, 0, 0, 0, 0, 5, 1, 4, 4].iter().flat_map(|it| it.to_le_bytes()).collect();
    bench.driver.store(REQUEST, &words);
    assert_eq!(bench.driver.request(0, &[Part::Read(REQUEST, 40)]), Some(0));
    assert_eq!(bench.counter("resources"), 1);
}

#[test]
fn backing_that_is_refused_is_an_error_of_the_command() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.send(0x101, &[1, 1, 16, 8]), OK);
    assert_eq!(bench.attach(1, &[(PICTURE, 256), (0xffff_ffff_ffff_f000, 256)]), OK);
    assert_eq!(bench.send(0x105, &[0, 0, 16, 4, 0, 0, 1, 0]), OK, "the first half");
    assert_eq!(bench.send(0x105, &[0, 0, 16, 8, 0, 0, 1, 0]), UNSPEC);
    assert_eq!(bench.blob(2, 4096, &[(0xffff_ffff_ffff_f000, 4096)]), OK);
    assert_eq!(bench.send(0x10d, &[0, 0, 8, 8, 0, 2, 8, 8, 1, 0, 32, 0, 0, 0, 0, 0, 0, 0]), OK);
    assert_eq!(bench.send(0x104, &[0, 0, 8, 8, 2, 0]), UNSPEC);
    assert!(bench.shots().is_empty());
    assert_eq!(bench.driver.get(Id::Status), 0xf, "the device goes on");
}

#[test]
fn memory_is_capped() {
    let mut bench = Bench::new(1);
    // 64 MiB each.
    for id in 1..=4 {
        assert_eq!(bench.send(0x101, &[id, 1, 4096, 4096]), OK);
    }
    assert_eq!(bench.counter("picture-bytes"), 256 << 20);
    assert_eq!(bench.send(0x101, &[5, 1, 1, 1]), OUT_OF_MEMORY);
    assert_eq!(bench.send(0x103, &[0, 0, 64, 64, 0, 1]), OUT_OF_MEMORY, "what is shown counts too");
    assert_eq!(bench.send(0x102, &[1, 0]), OK);
    assert_eq!(bench.send(0x103, &[0, 0, 64, 64, 0, 2]), OK);
    assert_eq!(bench.send(0x101, &[5, 1, 4096, 4096]), OUT_OF_MEMORY);
    (2..=4).for_each(|id| assert_eq!(bench.send(0x102, &[id, 0]), OK));
    (1..=4096).for_each(|id| assert_eq!(bench.send(0x101, &[id, 1, 1, 1]), OK));
    assert_eq!(bench.send(0x101, &[5000, 1, 1, 1]), OUT_OF_MEMORY);
    assert_eq!(bench.send(0x106, &[1, 16_385]), OUT_OF_MEMORY);
}
