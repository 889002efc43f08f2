//! Registers that keep what was written to them.

use super::{Access, Register, check};

/// The bytes of a set of registers, and which of their bits can be written or cleared. Bytes that no register names
/// read as zero and ignore writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterFile {
    bytes: Vec<u8>,
    reset: Vec<u8>,
    writable: Vec<u8>,
    clear: Vec<u8>,
}

impl RegisterFile {
    /// `bytes` bytes with `registers` in them, after reset. A table with a flaw is a bug, and ends the program.
    pub fn new(registers: &[Register], bytes: usize) -> Self {
        check(registers, bytes);
        let zeros = || vec![0; bytes];
        let mut file = RegisterFile { bytes: zeros(), reset: zeros(), writable: zeros(), clear: zeros() };
        for register in registers {
            for offset in (0..register.all()).map(|index| register.place(index)) {
                put(&mut file.reset, offset, register.width, register.reset.unwrap_or(0));
                put(&mut file.clear, offset, register.width, register.clear);
                // What only acts when written is not kept.
                if register.access != Access::WriteOnly {
                    put(&mut file.writable, offset, register.width, register.writable);
                }
            }
        }
        file.reset();
        file
    }

    /// Every register back to its reset value.
    pub fn reset(&mut self) {
        self.bytes.clone_from(&self.reset);
    }

    /// Reads `data.len()` bytes at `offset`, as the guest sees them.
    pub fn read(&self, offset: usize, data: &mut [u8]) {
        let bytes = self.bytes.iter().skip(offset).chain(std::iter::repeat(&0));
        data.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    }

    /// The guest writes `data` at `offset`: bit by bit as the registers allow.
    pub fn write(&mut self, offset: usize, data: &[u8]) {
        let masks = self.writable.iter().zip(&self.clear).skip(offset);
        for ((byte, (writable, clear)), &value) in self.bytes.iter_mut().skip(offset).zip(masks).zip(data) {
            *byte = (*byte & !writable & !(value & clear)) | (value & writable);
        }
    }

    /// The 32 bits at `offset`.
    pub fn word(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.bytes_at(offset))
    }

    /// The 64 bits at `offset`.
    pub fn word64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.bytes_at(offset))
    }

    /// Every access to any function asks for some words: those inside the file, as all are but of a narrow table, cost one load.
    fn bytes_at<const N: usize>(&self, offset: usize) -> [u8; N] {
        let inside = self.bytes.get(offset..).and_then(|from| from.first_chunk());
        inside.copied().unwrap_or_else(|| {
            let mut bytes = [0; N];
            self.read(offset, &mut bytes);
            bytes
        })
    }

    /// The device sets the 32 bits at `offset`, whatever the guest may write.
    pub fn set_word(&mut self, offset: usize, value: u32) {
        put(&mut self.bytes, offset, 4, u64::from(value));
    }

    /// The device sets the 64 bits at `offset`.
    pub fn set_word64(&mut self, offset: usize, value: u64) {
        put(&mut self.bytes, offset, 8, value);
    }

    /// All bytes, for a saved state.
    pub fn save(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// `bytes` bytes with `registers` in them, that hold what [`save`](Self::save) gave; none when its length is another.
    pub fn restore(registers: &[Register], bytes: usize, saved: &[u8]) -> Option<Self> {
        (saved.len() == bytes)
            .then(|| RegisterFile { bytes: saved.to_vec(), ..RegisterFile::new(registers, bytes) })
    }
}

/// Stores the low `width` bytes of `value` at `offset`.
fn put(bytes: &mut [u8], offset: usize, width: usize, value: u64) {
    let places = bytes.iter_mut().skip(offset).take(width);
    places.zip(value.to_le_bytes()).for_each(|(to, from)| *to = from);
}
