//! Tests count the memory that their thread takes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that the thread has, and the most that it had.
    static BYTES: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: isize) {
    // A thread that ends counts no more.
    let _ = BYTES.try_with(|cell| {
        let (now, most) = cell.get();
        let now = now.wrapping_add(bytes);
        cell.set((now, most.max(now)));
    });
}

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as of the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count((layout.size() as isize).wrapping_neg());
        // SAFETY: as of the caller.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count((size as isize).wrapping_sub(layout.size() as isize));
        // SAFETY: as of the caller.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// What `work` gives, and the most memory that it took at a time, in bytes.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = BYTES.with(|cell| {
        let (now, _) = cell.get();
        cell.set((now, now));
        now
    });
    let result = work();
    let (_, most) = BYTES.with(Cell::get);
    (result, most.wrapping_sub(before).max(0) as usize)
}
