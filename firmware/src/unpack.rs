//! Unpacks the compressed kernel inside a bzImage on the host, so that the guest never does.
//!
//! A payload is one compressed stream that may be followed by the kernel build's own four bytes (the unpacked
//! size); a reader therefore stops at the end of the first stream.

use std::io::{self, Read};

/// An unpacked kernel larger than this is refused (a stock one is about 60 MiB).
const MAX_UNPACKED: u64 = 1 << 30;
/// What an LZMA dictionary may take, in KiB.
const MAX_LZMA_KIB: u32 = 256 << 10;
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
    /// The unpacked size passes the cap.
    #[error("its {0} payload unpacks to more than 1 GiB")]
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

/// Unpacks a payload.
///
/// # Errors
/// [`UnpackError`], when the payload is of no supported compression, damaged, or larger than 1 GiB unpacked.
pub fn unpack(payload: &[u8]) -> Result<Vec<u8>, UnpackError> {
    let method = Method::of(payload)?;
    let damaged = |error: &dyn std::fmt::Display| UnpackError::Damaged {
        method: method.name(),
        reason: error.to_string(),
    };
    match method {
        Method::Gzip => read_capped(method, flate2::read::GzDecoder::new(payload)),
        Method::Xz => read_capped(method, lzma_rust2::XzReader::new(payload, false)),
        Method::Zstd => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(payload).map_err(|e| damaged(&e))?;
            read_capped(method, decoder)
        }
        Method::Lzma => {
            let decoder = lzma_rust2::LzmaReader::new_mem_limit(payload, MAX_LZMA_KIB, None)
                .map_err(|e| damaged(&e))?;
            read_capped(method, decoder)
        }
        Method::Lz4Legacy => unpack_lz4_legacy(payload),
    }
}

fn read_capped(method: Method, reader: impl Read) -> Result<Vec<u8>, UnpackError> {
    let mut unpacked = Vec::new();
    let result = reader.take(MAX_UNPACKED + 1).read_to_end(&mut unpacked);
    result.map_err(|e: io::Error| UnpackError::Damaged { method: method.name(), reason: e.to_string() })?;
    if unpacked.len() as u64 > MAX_UNPACKED {
        Err(UnpackError::TooLarge(method.name()))
    } else {
        Ok(unpacked)
    }
}

/// Blocks of a 32-bit length and that many bytes; the last one may be followed by the unpacked size alone.
fn unpack_lz4_legacy(payload: &[u8]) -> Result<Vec<u8>, UnpackError> {
    const NAME: &str = "lz4";
    let damaged = |reason: &str| UnpackError::Damaged { method: NAME, reason: reason.to_owned() };
    let mut rest = payload.get(4..).unwrap_or_default();
    let mut unpacked = Vec::new();
    let mut block = vec![0; LZ4_LEGACY_BLOCK];
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        if after.is_empty() {
            break;
        }
        let length = u32::from_le_bytes(*length) as usize;
        let packed = after.get(..length).ok_or_else(|| damaged("it ends inside a block"))?;
        let written =
            lz4_flex::block::decompress_into(packed, &mut block).map_err(|e| damaged(&e.to_string()))?;
        unpacked.extend_from_slice(&block[..written]);
        if unpacked.len() as u64 > MAX_UNPACKED {
            return Err(UnpackError::TooLarge(NAME));
        }
        rest = &after[length..];
    }
    if unpacked.is_empty() { Err(damaged("it holds no block")) } else { Ok(unpacked) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

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

    #[test]
    fn every_method_of_a_kernel_build_round_trips() {
        let data = sample();
        let cases: [(&str, &[&str]); 6] = [
            ("gzip", &["-c", "-9"]),
            ("xz", &["-c", "--check=crc32", "--x86", "--lzma2=dict=1MiB"]),
            ("xz", &["-c", "--check=crc64"]),
            ("xz", &["-c", "--format=lzma"]),
            ("zstd", &["-c", "-22", "--ultra"]),
            ("lz4", &["-c", "-l", "-9"]),
        ];
        let mut missing = Vec::new();
        for (tool, arguments) in cases {
            let Some(mut payload) = compressed_by(tool, arguments, &data) else {
                missing.push(tool);
                continue;
            };
            assert!(unpack(&payload).unwrap() == data, "{tool} {arguments:?}");
            payload.extend_from_slice(&(data.len() as u32).to_le_bytes());
            assert!(unpack(&payload).unwrap() == data, "{tool} {arguments:?} with the size behind it");
            payload.truncate(payload.len() / 2);
            let cut = unpack(&payload).unwrap_err();
            assert!(matches!(cut, UnpackError::Damaged { .. }), "{tool} {arguments:?} cut off: {cut}");
        }
        if !missing.is_empty() {
            println!("skipped: payloads of {missing:?}, which are not installed");
        }
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
        assert_eq!(unpack(&payload).unwrap(), data);
        payload.extend_from_slice(&(data.len() as u32).to_le_bytes());
        assert_eq!(unpack(&payload).unwrap(), data);
    }

    #[test]
    fn unknown_payloads_are_named() {
        assert!(matches!(unpack(b"BZh9"), Err(UnpackError::Unsupported("bzip2"))));
        assert!(matches!(unpack(b"hello there"), Err(UnpackError::Unknown(_))));
        assert!(matches!(unpack(b""), Err(UnpackError::Unknown(_))));
    }
}
