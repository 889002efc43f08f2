//! The end of a process whose host gives it no more memory: one line and status 1, and the terminal as it was.
//!
//! Rust's own end is an abort, which leaves a raw terminal and a status that says nothing.

use std::alloc::{GlobalAlloc, Layout, System};

use crate::terminal;

/// Whoever asks for as much may be told that there is none, and says what it was for: the reading of an initramfs, say. Nobody can do without less.
const LARGE: usize = 32 << 20;

/// The system's allocator, for `#[global_allocator]` of a program.
pub struct Allocator;

// SAFETY: memory is the system allocator's, with the caller's layouts; what is given back is what was taken.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller's.
        given(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller's.
        given(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller's.
        given(unsafe { System.realloc(memory, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn given(memory: *mut u8, size: usize) -> *mut u8 {
    if memory.is_null() && size < LARGE {
        exhausted()
    }
    memory
}

#[cold]
fn exhausted() -> ! {
    const LINE: &[u8] = b"fencepost: the host gives this process no more memory, and it ends here, with \
        the files that it was writing: raise its limit (ulimit -v), or give the guest less --memory\n";
    terminal::restore_at_once();
    // SAFETY: the line is a constant of this length. Nothing is run at this exit that might ask for memory.
    unsafe {
        libc::write(libc::STDERR_FILENO, LINE.as_ptr().cast(), LINE.len());
        libc::_exit(1)
    }
}
