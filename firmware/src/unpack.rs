//! Unpacks the compressed kernel inside a bzImage on the host, so that the guest never does.
//!
//! A payload is one compressed stream that may be followed by the kernel build's own four bytes (the unpacked
//! size); a reader therefore stops at the end of the first stream.

use std::io::{self, Read};

/// What the dictionary or window of a payload may take, in bytes: no kernel is built with more, `zstd -22` on a pipe uses this.
const WINDOW_MAX: u64 = 128 << 20;
/// The same including what an LZMA decoder needs in addition to its dictionary, in KiB.
const LZMA_MAX_KIB: u32 = (WINDOW_MAX >> 10) as u32 + 1024;
/// Bytes unpacked in one step.
const CHUNK: usize = 256 << 10;
/// Block size of the LZ4 legacy frame format.
const LZ4_LEGACY_BLOCK: usize = 8 << 20;

/// Why a payload could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The first bytes name a method that is not supported.
    #[error("its payload is compressed with {0}, which is not supported")]
    Unsupported(&'static str),
    /// The first bytes are none of a known compression.
    #[error("its payload starts with {0:02x?}, which is no known compression")]
    Unknown(Vec<u8>),
    /// The stream is damaged or cut off.
    #[error("its {method} payload is damaged ({reason})")]
    Damaged {
        /// The compression's name.
        method: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// The dictionary or window would take more memory than any kernel's.
    #[error("its {0} payload wants a window of more than {max} MiB", max = WINDOW_MAX >> 20)]
    Window(&'static str),
    /// The unpacked size passes the limit.
    #[error("its {0} payload unpacks to more than it may")]
    TooLarge(&'static str),
}

/// How a payload is compressed, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// RFC 1952.
    Gzip,
    /// The xz container, with the x86 branch filter as kernels use it.
    Xz,
    /// RFC 8878.
    Zstd,
    /// The LZ4 legacy frame (`lz4 -l`).
    Lz4Legacy,
    /// The `.lzma` ("LZMA alone") container.
    Lzma,
}

impl Method {
    /// Recognises a payload.
    ///
    /// # Errors
    /// [`UnpackError::Unsupported`] for bzip2 and LZO, [`UnpackError::Unknown`] for anything else.
    pub fn of(payload: &[u8]) -> Result<Method, UnpackError> {
        match payload {
            [0x1f, 0x8b, ..] => Ok(Method::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Ok(Method::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Method::Zstd),
            [0x02, 0x21, 0x4c, 0x18, ..] => Ok(Method::Lz4Legacy),
            [0x5d, 0, 0, ..] => Ok(Method::Lzma),
            [b'B', b'Z', b'h', ..] => Err(UnpackError::Unsupported("bzip2")),
            [0x89, b'L', b'Z', b'O', ..] => Err(UnpackError::Unsupported("LZO")),
            other => Err(UnpackError::Unknown(other.iter().take(6).copied().collect())),
        }
    }

    /// The compression's usual name.
    pub fn name(self) -> &'static str {
        match self {
            Method::Gzip => "gzip",
            Method::Xz => "xz",
            Method::Zstd => "zstd",
            Method::Lz4Legacy => "lz4",
            Method::Lzma => "lzma",
        }
    }
}

/// Unpacks a payload to at most `limit` bytes. The decoder needs a window of at most 128 MiB on top.
///
/// # Errors
/// [`UnpackError`], when the payload is of no supported compression, damaged, or too large.
pub fn unpack(payload: &[u8], limit: u64) -> Result<Vec<u8>, UnpackError> {
    let method = Method::of(payload)?;
    let name = method.name();
    match method {
        Method::Gzip => read_capped(name, flate2::read::GzDecoder::new(payload), limit),
        Method::Xz => {
            let decoder = lzma_rust2::XzReader::new_mem_limit(payload, false, LZMA_MAX_KIB);
            read_capped(name, decoder, limit)
        }
        Method::Zstd => {
            if zstd_window(payload).is_some_and(|window| window > WINDOW_MAX) {
                return Err(UnpackError::Window(name));
            }
            let decoder = ruzstd::decoding::StreamingDecoder::new(payload).map_err(|e| damaged(name, &e))?;
            read_capped(name, decoder, limit)
        }
        Method::Lzma => {
            let decoder = lzma_rust2::LzmaReader::new_mem_limit(payload, LZMA_MAX_KIB, None);
            read_capped(name, decoder.map_err(|e| decoding_failed(name, e))?, limit)
        }
        Method::Lz4Legacy => unpack_lz4_legacy(payload, limit),
    }
}

fn damaged(method: &'static str, reason: &dyn std::fmt::Display) -> UnpackError {
    UnpackError::Damaged { method, reason: reason.to_string() }
}

/// The decoders of LZMA say "out of memory" for a dictionary beyond the limit.
fn decoding_failed(method: &'static str, error: io::Error) -> UnpackError {
    match error.kind() {
        io::ErrorKind::OutOfMemory => UnpackError::Window(method),
        _ => damaged(method, &error),
    }
}

/// The window that a zstd frame wants its decoder to hold, in bytes (RFC 8878, 3.1.1.1): its content's size when it has a single
/// segment. The decoder takes any, and keeps all its output until the window is full.
fn zstd_window(frame: &[u8]) -> Option<u64> {
    const SINGLE_SEGMENT: u8 = 1 << 5;
    let descriptor = *frame.get(4)?;
    if descriptor & SINGLE_SEGMENT == 0 {
        let window = u64::from(*frame.get(5)?);
        let base = 1u64 << (10 + (window >> 3));
        return Some(base + base / 8 * (window & 7));
    }
    let dictionary_id = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let field = |bytes: usize| {
        let raw = frame.get(5 + dictionary_id..5 + dictionary_id + bytes)?;
        Some(raw.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    match descriptor >> 6 {
        0 => field(1),
        1 => field(2).map(|size| size + 256),
        2 => field(4),
        _ => field(8),
    }
}

/// Reads all in small parts: a decoder never holds more of its output than its window and one part.
fn read_capped(name: &'static str, mut reader: impl Read, limit: u64) -> Result<Vec<u8>, UnpackError> {
    let (mut unpacked, mut part) = (Vec::new(), vec![0; CHUNK]);
    loop {
        let bytes = match reader.read(&mut part) {
            Ok(0) => return Ok(unpacked),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(decoding_failed(name, error)),
        };
        append(name, &mut unpacked, &part[..bytes], limit)?;
    }
}

fn append(name: &'static str, to: &mut Vec<u8>, bytes: &[u8], limit: u64) -> Result<(), UnpackError> {
    if (to.len() as u64).saturating_add(bytes.len() as u64) > limit {
        return Err(UnpackError::TooLarge(name));
    }
    to.try_reserve(bytes.len()).map_err(|_| damaged(name, &"the host has no memory for it"))?;
    to.extend_from_slice(bytes);
    Ok(())
}

/// Blocks of a 32-bit length and that many bytes; the last one may be followed by the unpacked size alone.
fn unpack_lz4_legacy(payload: &[u8], limit: u64) -> Result<Vec<u8>, UnpackError> {
    const NAME: &str = "lz4";
    let mut rest = payload.get(4..).unwrap_or_default();
    let mut unpacked = Vec::new();
    let mut block = vec![0; LZ4_LEGACY_BLOCK];
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        if after.is_empty() {
            break;
        }
        let length = u32::from_le_bytes(*length) as usize;
        let packed = after.get(..length).ok_or_else(|| damaged(NAME, &"it ends inside a block"))?;
        let written = lz4_flex::block::decompress_into(packed, &mut block).map_err(|e| damaged(NAME, &e))?;
        append(NAME, &mut unpacked, &block[..written], limit)?;
        rest = &after[length..];
    }
    if unpacked.is_empty() { Err(damaged(NAME, &"it holds no block")) } else { Ok(unpacked) }
}

#[cfg(test)]
mod tests {
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
        assert!(matches!(unpack(b"BZh9", LIMIT), Err(UnpackError::Unsupported("bzip2"))));
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
        let packed =
            [&[0x1f, 0x41, 1, 0][..], &vec![255; (8 << 20) / 255 - 1], &[0, 0x50], &block[..5]].concat();
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
}
