//! Payloads made by the host's own tools come back whole; damage, bombs and strangers are told apart.

use fencepost_skip::Tested;

use super::*;
use std::process::{Command, Stdio};

const LIMIT: u64 = 64 << 20;

/// Compresses with the tool of the host; `None` when it is not installed.
fn compressed_by(tool: &str, arguments: &[&str], data: &[u8]) -> Option<Vec<u8>> {
    let mut input = tempfile::tempfile().unwrap();
    io::Write::write_all(&mut input, data).unwrap();
    io::Seek::rewind(&mut input).unwrap();
    let run = Command::new(tool).args(arguments).stdin(input).stderr(Stdio::null()).output();
    match run {
        Ok(output) if output.status.success() => Some(output.stdout),
        _ => None,
    }
}

/// Text that compresses, with branches that the x86 filter would change.
fn sample() -> Vec<u8> {
    let words = (0u32..200_000).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> (n % 23)).to_le_bytes());
    words.enumerate().map(|(i, b)| if i % 29 == 0 { 0xe8 } else { b }).collect()
}

/// What a kernel's build compresses with `tool` comes back whole, and cut off it is an error.
fn round_trip(tool: &str, arguments: &[&str]) -> Tested {
    let data = sample();
    let Some(mut payload) = compressed_by(tool, arguments, &data) else {
        return Tested::skipped(format_args!("{tool} is not installed"));
    };
    assert!(unpack(&payload, LIMIT).unwrap() == data);
    payload.extend_from_slice(&(data.len() as u32).to_le_bytes());
    assert!(unpack(&payload, LIMIT).unwrap() == data, "with the size behind it");
    payload.truncate(payload.len() / 2);
    let cut = unpack(&payload, LIMIT).unwrap_err();
    assert!(matches!(cut, UnpackError::Damaged { .. }), "cut off: {cut}");
    Tested::Ran
}

#[test]
fn gzip_round_trips() -> Tested {
    round_trip("gzip", &["-c", "-9"])
}

#[test]
fn xz_with_the_x86_filter_round_trips() -> Tested {
    round_trip("xz", &["-c", "--check=crc32", "--x86", "--lzma2=dict=1MiB"])
}

#[test]
fn xz_round_trips() -> Tested {
    round_trip("xz", &["-c", "--check=crc64"])
}

#[test]
fn lzma_round_trips() -> Tested {
    round_trip("xz", &["-c", "--format=lzma"])
}

#[test]
fn zstd_round_trips() -> Tested {
    round_trip("zstd", &["-c", "-22", "--ultra"])
}

#[test]
fn lz4_legacy_round_trips() -> Tested {
    round_trip("lz4", &["-c", "-l", "-9"])
}

#[test]
fn bzip2_round_trips() -> Tested {
    round_trip("bzip2", &["-c", "-9"])
}

#[test]
fn lzo_round_trips() -> Tested {
    let worst = round_trip("lzop", &["-c", "-1"]);
    assert_eq!(round_trip("lzop", &["-c", "-9", "--crc32"]), worst);
    worst
}

/// Cut off is an error; with a byte changed it is an error or, where there is a checksum, nothing that counts. Never a panic.
#[test]
fn damage_of_every_format_is_an_error_and_no_panic() -> Tested {
    let data: Vec<u8> = sample().into_iter().take(60_000).collect();
    let tools: [(&str, &[&str]); 8] = [
        ("gzip", &["-c"]),
        ("bzip2", &["-c"]),
        ("xz", &["-c", "--check=crc32"]),
        ("xz", &["-c", "--format=lzma"]),
        ("lzop", &["-c"]),
        ("lzop", &["-c", "-9"]),
        ("lz4", &["-c", "-l"]),
        ("zstd", &["-c"]),
    ];
    for (tool, arguments) in tools {
        let Some(payload) = compressed_by(tool, arguments, &data) else {
            return Tested::skipped(format_args!("{tool} is not installed"));
        };
        // Of the others neither the format nor the kernel has a checksum.
        let checked = ["gzip", "bzip2", "lzop"].contains(&tool) || arguments.contains(&"--check=crc32");
        for at in (0..payload.len()).filter(|at| *at < 120 || at % 1009 == 0) {
            let cut = unpack(&payload[..at], LIMIT);
            assert!(cut.is_err() || tool == "lz4", "{tool} {arguments:?} cut at {at}");
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = payload.clone();
                bad[at] ^= flip;
                match unpack(&bad, 1 << 20) {
                    Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
                    Ok(other) => assert!(other == data || !checked, "{tool} {arguments:?} changed at {at}"),
                }
            }
        }
    }
    Tested::Ran
}

#[test]
fn lz4_legacy_needs_no_tool_to_be_tested() {
    let data = b"scatter gather scatter gather scatter gather fence".repeat(3);
    // A block of literals alone: token 0xf0, the length's rest, then the bytes.
    let mut block = vec![0xf0, (data.len() - 15) as u8];
    block.extend_from_slice(&data);
    let mut payload = vec![0x02, 0x21, 0x4c, 0x18];
    payload.extend_from_slice(&(block.len() as u32).to_le_bytes());
    payload.extend_from_slice(&block);
    assert_eq!(unpack(&payload, LIMIT).unwrap(), data);
    payload.extend_from_slice(&(data.len() as u32).to_le_bytes());
    assert_eq!(unpack(&payload, LIMIT).unwrap(), data);
}

#[test]
fn unknown_payloads_are_named() {
    assert!(matches!(unpack(b"hello there", LIMIT), Err(UnpackError::Unknown(_))));
    assert!(matches!(unpack(b"", LIMIT), Err(UnpackError::Unknown(_))));
}

/// The xz format, 2.1.1 and 3.1: a stream header without checks, and a block header with one LZMA2 filter of this dictionary.
fn xz_with_dictionary(size_code: u8) -> Vec<u8> {
    let with_crc = |bytes: &[u8]| [bytes, &crc32fast::hash(bytes).to_le_bytes()].concat();
    let flags = [0, 0];
    let stream = [b"\xfd7zXZ\0", &flags[..], &crc32fast::hash(&flags).to_le_bytes()].concat();
    [stream, with_crc(&[2, 0, 0x21, 1, size_code, 0, 0, 0]), vec![0; 64]].concat()
}

/// A frame of RLE blocks of 128 KiB, 4 bytes each (RFC 8878, 3.1.1.2).
fn zstd_bomb(window: u8, blocks: usize) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window];
    let header = ((128u32 << 10) << 3 | 1 << 1).to_le_bytes();
    (0..blocks).for_each(|_| frame.extend_from_slice(&[header[0], header[1], header[2], 0]));
    frame
}

#[test]
fn a_window_larger_than_any_kernels_is_refused() {
    // 40 stands for a dictionary of 4 GiB, 32 for 256 MiB; window byte 0x88 for 2^27 bytes, 0x89 for an eighth more.
    for (payload, method) in [
        (xz_with_dictionary(40), "xz"),
        (xz_with_dictionary(32), "xz"),
        (b"\x5d\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0".to_vec(), "lzma"),
        (zstd_bomb(0x89, 1), "zstd"),
        (zstd_bomb(0xff, 1), "zstd"),
        // A single segment of 2^60 bytes, and one of 2^31 behind the number of a dictionary.
        (b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\0\0\x10\0\0\0".to_vec(), "zstd"),
        (b"\x28\xb5\x2f\xfd\xa1\x07\0\0\0\x80\0\0\0".to_vec(), "zstd"),
    ] {
        let refused = unpack(&payload, u64::MAX).unwrap_err();
        assert!(matches!(refused, UnpackError::Window(name) if name == method), "{method}: {refused}");
    }
    let allowed = unpack(&xz_with_dictionary(30), LIMIT).unwrap_err();
    assert!(matches!(allowed, UnpackError::Damaged { .. }), "{allowed}");
    assert_eq!(zstd_window(&zstd_bomb(0x88, 0)), Some(WINDOW_MAX));
}

#[test]
fn a_bomb_ends_at_the_limit() {
    let block = [0x1f; 6];
    let mut lz4 = vec![0x02, 0x21, 0x4c, 0x18];
    // A literal, then 8 MiB of it: a match at distance 1 whose length goes on over bytes of 255.
    let packed = [&[0x1f, 0x41, 1, 0][..], &vec![255; (8 << 20) / 255 - 1], &[0, 0x50], &block[..5]].concat();
    for _ in 0..8 {
        lz4.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        lz4.extend_from_slice(&packed);
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut gzip, &vec![0; 9 << 20]).unwrap();
    for payload in [lz4, gzip.finish().unwrap(), zstd_bomb(0x20, 200)] {
        let refused = unpack(&payload, 8 << 20).unwrap_err();
        assert!(matches!(refused, UnpackError::TooLarge(_)), "{refused}");
    }
}

/// As the kernel's build does it: zstd cannot know the size of what comes from a pipe, and takes its largest window.
#[test]
fn the_largest_window_of_a_kernel_build_is_taken() -> Tested {
    let mut child = match Command::new("zstd")
        .args(["-c", "-22", "--ultra"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    {
        Ok(child) => child,
        Err(_) => return Tested::skipped("zstd is not installed"),
    };
    let data = sample();
    let mut input = child.stdin.take().unwrap();
    let feed = data.clone();
    let feeder = std::thread::spawn(move || io::Write::write_all(&mut input, &feed).unwrap());
    let payload = child.wait_with_output().unwrap().stdout;
    feeder.join().unwrap();
    assert_eq!(zstd_window(&payload), Some(WINDOW_MAX));
    assert!(unpack(&payload, LIMIT).unwrap() == data);
    Tested::Ran
}

/// A stream of xz that the crate's own reader reads without end: found by fuzzing (`fuzz/corpus/initramfs/find-xz-without-end`).
const XZ_WITHOUT_END: &str = "\
    fd377a585a0000016922de360200210116000000742fe5a3e0026300855f00180da1c028f1752eabeed5996f87acfcab3432a74b9ad92792978d0bfe\
    433409bf131987392f106f18596c99fd3b91c8013a1925c3f8f0458d9046d3c4345ad6a4fd7f34865388ef40ac9307b4bc8ac1d65701a067167cee44\
    bca3d67f351099ee0961aeb6ef409f21f5595feaa140896b62468bc58fd281a19410a500000000007efe610100e404f4019d00004386d9013e300d8b\
    020000000001595a";

#[test]
fn a_stream_of_xz_that_stands_still_is_an_error() {
    let digits: Vec<char> = XZ_WITHOUT_END.chars().collect();
    let bytes = digits.chunks(2).map(|two| u8::from_str_radix(&two.iter().collect::<String>(), 16).unwrap());
    let error = unpack(&bytes.collect::<Vec<u8>>(), LIMIT).unwrap_err();
    assert!(matches!(error, UnpackError::Damaged { method: "xz", .. }), "{error}");
}

#[test]
fn a_damaged_stream_of_lzma_comes_to_an_end() -> Tested {
    let data = &sample()[..3000];
    for arguments in [&["--check=none", "-c"], &["--format=lzma", "-c"]] {
        let Some(whole) = compressed_by("xz", arguments, data) else {
            return Tested::skipped("xz is not installed");
        };
        for (at, bit) in (0..whole.len()).flat_map(|at| [(at, 0), (at, 3), (at, 7)]) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            // Whatever it gives, it is over.
            let _ = unpack(&damaged, LIMIT);
        }
    }
    Tested::Ran
}
