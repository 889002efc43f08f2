//! The xz container.

use std::io::{self, Read};

use lzma_rust2::{Action, Status, XzStream};

/// Unpacks one stream. Its decoder is asked piece by piece, so that one which neither takes nor gives a byte is an error: the crate's own
/// reader asks such a decoder without end.
pub(super) struct Xz<'a, 'p> {
    decoder: XzStream,
    packed: &'a mut &'p [u8],
    ended: bool,
}

impl<'a, 'p> Xz<'a, 'p> {
    pub fn new(packed: &'a mut &'p [u8], max_kib: u32) -> Self {
        Xz { decoder: XzStream::new_mem_limit(false, max_kib), packed, ended: false }
    }
}

impl Read for Xz<'_, '_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while !to.is_empty() && !self.ended {
            let done = self.decoder.process(self.packed, to, Action::Finish)?;
            *self.packed = self.packed.get(done.bytes_consumed..).unwrap_or_default();
            self.ended = done.status == Status::StreamEnd;
            if done.bytes_produced > 0 {
                return Ok(done.bytes_produced);
            }
            if done.bytes_consumed == 0 && !self.ended {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the stream has no end"));
            }
        }
        Ok(0)
    }
}
