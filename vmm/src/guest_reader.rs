//! Reads some of guest memory as a file.

use std::io::{self, BufRead, BufReader, Read};

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Bytes that are copied at once.
const PART_BYTES: usize = 16 << 10;

/// So much of guest memory, from front to back.
#[derive(Debug)]
pub struct GuestReader<'m> {
    memory: &'m GuestMemoryMmap,
    /// What of it has not been copied yet.
    next: u64,
    left: u64,
    buffer: Vec<u8>,
    read: usize,
}

impl<'m> GuestReader<'m> {
    /// The `bytes` bytes at `address`.
    pub fn new(memory: &'m GuestMemoryMmap, address: u64, bytes: u64) -> Self {
        GuestReader { memory, next: address, left: bytes, buffer: Vec::new(), read: 0 }
    }

    /// All that has not been read.
    pub fn rest(&self) -> io::Result<Vec<u8>> {
        let mut rest = self.buffer[self.read..].to_vec();
        let copied = rest.len();
        rest.resize(copied.saturating_add(self.left as usize), 0);
        self.memory.read_slice(&mut rest[copied..], GuestAddress(self.next)).map_err(io::Error::other)?;
        Ok(rest)
    }
}

/// A reader that can leave out what nobody wants to see.
pub trait Skip: BufRead {
    /// Leaves out so many bytes; false if there are fewer.
    fn skip(&mut self, bytes: u64) -> bool;
}

fn read_over(from: &mut dyn BufRead, bytes: u64) -> bool {
    let mut left = bytes;
    while left > 0 {
        let there = from.fill_buf().map_or(0, <[u8]>::len);
        let some = there.min(usize::try_from(left).unwrap_or(usize::MAX));
        if some == 0 {
            return false;
        }
        from.consume(some);
        left -= some as u64;
    }
    true
}

impl Skip for &[u8] {
    fn skip(&mut self, bytes: u64) -> bool {
        read_over(self, bytes)
    }
}

impl<R: Read> Skip for BufReader<R> {
    fn skip(&mut self, bytes: u64) -> bool {
        read_over(self, bytes)
    }
}

impl Skip for GuestReader<'_> {
    fn skip(&mut self, bytes: u64) -> bool {
        let copied = ((self.buffer.len() - self.read) as u64).min(bytes);
        self.consume(copied as usize);
        let beyond = (bytes - copied).min(self.left);
        (self.next, self.left) = (self.next + beyond, self.left - beyond);
        copied + beyond == bytes
    }
}

impl BufRead for GuestReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read == self.buffer.len() {
            let bytes = self.left.min(PART_BYTES as u64);
            self.buffer.resize(bytes as usize, 0);
            self.read = 0;
            self.memory.read_slice(&mut self.buffer, GuestAddress(self.next)).map_err(io::Error::other)?;
            (self.next, self.left) = (self.next + bytes, self.left - bytes);
        }
        Ok(&self.buffer[self.read..])
    }

    fn consume(&mut self, amount: usize) {
        self.read += amount;
    }
}

impl Read for GuestReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::memory;

    #[test]
    fn what_is_read_and_the_rest_are_all_of_it() {
        let bytes: Vec<u8> = (0..50_000u32).map(|n| (n * 7 / 3) as u8).collect();
        let memory = memory::map(memory::MEMORY_MIN_BYTES).expect("memory");
        memory.write_slice(&bytes, GuestAddress(0x1234)).expect("memory");
        for taken in [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 49_999, 50_000] {
            let mut reader = GuestReader::new(&memory, 0x1234, bytes.len() as u64);
            let mut first = vec![0; taken];
            reader.read_exact(&mut first).expect("there");
            assert!([first, reader.rest().expect("memory")].concat() == bytes, "{taken}");
        }
        for (skipped, whole) in [(0, true), (16_383, true), (20_000, true), (49_990, true), (49_991, false)] {
            let mut reader = GuestReader::new(&memory, 0x1234, 50_000);
            reader.read_exact(&mut [0; 10]).expect("there");
            assert_eq!(reader.skip(skipped), whole, "{skipped}");
            let rest = bytes.get(10 + skipped as usize..).unwrap_or_default();
            assert!(reader.rest().expect("memory") == rest, "{skipped}");
        }
        let mut all = Vec::new();
        GuestReader::new(&memory, 0x1234, 50_000).read_to_end(&mut all).expect("memory");
        assert!(all == bytes);
    }
}
