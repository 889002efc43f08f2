//! Memory for generated code. It is mapped twice: once to be written, once to be executed, and nowhere both.

use std::ffi::c_void;
use std::io;
use std::ptr::{NonNull, null_mut};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes of generated code that are kept at most: few where all is checked, so that tests see them run out.
const BYTES: usize = if cfg!(debug_assertions) { 1 << 20 } else { 64 << 20 };

/// One of the two mappings.
struct Mapping(NonNull<u8>);

// SAFETY: it is a place in memory that no thread owns.
unsafe impl Send for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `map` made this mapping with this length, and whoever knew an address in it is gone with the buffer.
        let _ = unsafe { munmap(self.0.as_ptr().cast::<c_void>(), BYTES) };
    }
}

/// Generated code, one piece after another. There is no way to take out one: [`truncate`](Self::truncate) takes out all from a place on.
pub(crate) struct CodeBuffer {
    writable: Mapping,
    executable: Mapping,
    used: usize,
}

impl CodeBuffer {
    /// An empty one. An error: the host does not map memory in this way.
    pub fn new() -> io::Result<CodeBuffer> {
        let file = memfd_create("fencepost-code", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, BYTES as u64)?;
        let map = |protection| -> io::Result<Mapping> {
            // SAFETY: a new mapping, at a place that the kernel chooses.
            let at = unsafe { mmap(null_mut(), BYTES, protection, MapFlags::SHARED, &file, 0) }?;
            NonNull::new(at.cast::<u8>()).map(Mapping).ok_or_else(|| io::Error::other("mapped at zero"))
        };
        Ok(CodeBuffer {
            writable: map(ProtFlags::READ | ProtFlags::WRITE)?,
            executable: map(ProtFlags::READ | ProtFlags::EXEC)?,
            used: 0,
        })
    }

    /// Where the next piece will be executed.
    pub fn next(&self) -> u64 {
        self.executable.0.as_ptr().expose_provenance() as u64 + self.used as u64
    }

    /// Bytes used.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Adds a piece of code that was made for [`next`](Self::next). False, with nothing added, if there is no room.
    pub fn push(&mut self, code: &[u8]) -> bool {
        if code.len() > BYTES - self.used {
            return false;
        }
        // SAFETY: the bytes lie in the mapping, as was just checked, and are not the ones that are copied.
        unsafe {
            self.writable.0.add(self.used).copy_from_nonoverlapping(NonNull::from(code).cast(), code.len())
        };
        self.used += code.len().next_multiple_of(16).min(BYTES - self.used);
        true
    }

    /// Lets the four bytes at `at`, the end of a jump, lead to `target`. Both are addresses in code that was pushed.
    pub fn redirect(&mut self, at: u64, target: u64) {
        let start = self.executable.0.as_ptr().expose_provenance() as u64;
        let offset = at.wrapping_sub(start) as usize;
        assert!(offset <= self.used.saturating_sub(4) && target.wrapping_sub(start) < self.used as u64);
        let distance = target.wrapping_sub(at + 4) as u32;
        // SAFETY: the four bytes lie in the mapping, as was just checked. The processor that executes them is this thread's.
        unsafe { self.writable.0.add(offset).cast::<u32>().write_unaligned(distance) };
    }

    /// Takes out everything behind the first `kept` bytes. Nothing of that may be executed any more.
    pub fn truncate(&mut self, kept: usize) {
        self.used = self.used.min(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pointer to what `next` gave the address of.
    fn code(at: u64) -> *const () {
        std::ptr::with_exposed_provenance(at as usize)
    }

    #[test]
    fn what_is_written_is_executed() {
        let mut buffer = CodeBuffer::new().unwrap();
        let at = buffer.next();
        // mov eax, 42; ret
        assert!(buffer.push(&[0xb8, 42, 0, 0, 0, 0xc3]));
        // SAFETY: a function of that type is at this address.
        let function: extern "sysv64" fn() -> u32 = unsafe { std::mem::transmute(code(at)) };
        assert_eq!(function(), 42);
        assert_eq!(buffer.next(), at + 16);
    }

    #[test]
    fn a_jump_is_redirected() {
        let mut buffer = CodeBuffer::new().unwrap();
        let at = buffer.next();
        // jmp to the next instruction; then one function after another.
        assert!(buffer.push(&[0xe9, 0, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0xc3, 0xb8, 2, 0, 0, 0, 0xc3]));
        // SAFETY: as above.
        let function: extern "sysv64" fn() -> u32 = unsafe { std::mem::transmute(code(at)) };
        assert_eq!(function(), 1);
        buffer.redirect(at + 1, at + 11);
        assert_eq!(function(), 2);
        buffer.redirect(at + 1, at + 5);
        assert_eq!(function(), 1);
    }

    #[test]
    fn there_is_an_end_to_it() {
        let mut buffer = CodeBuffer::new().unwrap();
        let kept = buffer.used();
        let piece = vec![0xcc; BYTES / 16];
        assert_eq!((0..100).filter(|_| buffer.push(&piece)).count(), 16);
        assert!(!buffer.push(&[0xcc]));
        buffer.truncate(kept);
        assert!(buffer.push(&piece));
    }
}
