//! Unpacks what kernels and initramfs images are packed with on the host: a kernel's payload, so that the guest never does.
//!
//! A payload is one compressed stream that may be followed by the kernel build's own four bytes (the unpacked
//! size); a reader therefore stops at the end of the first stream.

mod blocks;
mod lzo1x;
mod xz;

use std::io::{self, Read};

use blocks::{Lz4Legacy, Lzop, Stream};
use xz::Xz;

/// What the dictionary or window of a payload may take, in bytes: no kernel is built with more, `zstd -22` on a pipe uses this.
const WINDOW_MAX: u64 = 128 << 20;
/// The same including what an LZMA decoder needs in addition to its dictionary, in KiB.
const LZMA_MAX_KIB: u32 = (WINDOW_MAX >> 10) as u32 + 1024;
/// Bytes unpacked in one step.
const CHUNK: usize = 256 << 10;

/// Why a payload could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The first bytes are none of a known compression.
    #[error("its payload starts with {0:02x?}, which is no known compression")]
    Unknown(Vec<u8>),
    /// The stream is damaged or cut off.
    #[error("its {method} data is damaged ({reason})")]
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
    /// The bzip2 format.
    Bzip2,
    /// A file of lzop.
    Lzo,
}

impl Method {
    /// Recognises a payload.
    ///
    /// # Errors
    /// [`UnpackError::Unknown`], with the first bytes.
    pub fn of(payload: &[u8]) -> Result<Method, UnpackError> {
        match payload {
            [0x1f, 0x8b, ..] => Ok(Method::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Ok(Method::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Method::Zstd),
            [0x02, 0x21, 0x4c, 0x18, ..] => Ok(Method::Lz4Legacy),
            [0x5d, 0, 0, ..] => Ok(Method::Lzma),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Ok(Method::Bzip2),
            [0x89, b'L', b'Z', b'O', 0, ..] => Ok(Method::Lzo),
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
            Method::Bzip2 => "bzip2",
            Method::Lzo => "LZO",
        }
    }
}

/// Unpacks a payload to at most `limit` bytes. The decoder needs a window or block of at most 128 MiB on top.
///
/// # Errors
/// [`UnpackError`], when the payload is of no supported compression, damaged, or too large.
pub fn unpack(mut payload: &[u8], limit: u64) -> Result<Vec<u8>, UnpackError> {
    let method = Method::of(payload)?;
    read_capped(method.name(), decoder(method, &mut payload)?, limit)
}

/// Reads what is packed at the beginning of `packed`, which is left behind the stream when all of it was read. It takes a window or
/// block of at most 128 MiB.
///
/// # Errors
/// [`UnpackError`], when the stream's header is damaged or wants a larger window.
pub fn decoder<'a>(method: Method, packed: &'a mut &[u8]) -> Result<Box<dyn Read + 'a>, UnpackError> {
    let name = method.name();
    Ok(match method {
        Method::Gzip => Box::new(flate2::bufread::GzDecoder::new(packed)),
        Method::Xz => Box::new(Xz::new(packed, LZMA_MAX_KIB)),
        Method::Zstd => {
            if zstd_window(packed).is_some_and(|window| window > WINDOW_MAX) {
                return Err(UnpackError::Window(name));
            }
            let decoder = ruzstd::decoding::StreamingDecoder::new(packed);
            Box::new(decoder.map_err(|error| damaged(name, &error))?)
        }
        Method::Lzma => {
            let decoder = lzma_rust2::LzmaReader::new_mem_limit(packed, LZMA_MAX_KIB, None);
            Box::new(decoder.map_err(|error| decoding_failed(name, error))?)
        }
        Method::Lz4Legacy => Box::new(Stream::new(Lz4Legacy::new(packed))),
        Method::Lzo => Box::new(Stream::new(Lzop::new(packed).map_err(|reason| damaged(name, &reason))?)),
        Method::Bzip2 => Box::new(bzip2_rs::DecoderReader::new(packed)),
    })
}

fn damaged(method: &'static str, reason: &dyn std::fmt::Display) -> UnpackError {
    UnpackError::Damaged { method, reason: reason.to_string() }
}

/// What an error of [`decoder`]'s reader means.
pub(crate) fn failed(method: Method, error: io::Error) -> UnpackError {
    decoding_failed(method.name(), error)
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

#[cfg(test)]
mod tests;
