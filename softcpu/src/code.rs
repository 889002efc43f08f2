//! Which physical pages hold decoded code, shared with everyone who writes guest memory.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Bytes in a page.
pub const PAGE_BYTES: u64 = 4096;

/// One flag per physical page: "cached code was decoded from here". Writers that are not the CPU (DMA, the
/// firmware, a debugger) report what they wrote; the CPU drains the reports before it runs another block.
#[derive(Debug)]
pub struct CodePages {
    flags: Vec<AtomicU8>,
    dirty: AtomicBool,
    written: Mutex<Vec<u64>>,
}

impl CodePages {
    /// Flags for the physical pages below `end_gpa` (exclusive).
    pub fn new(end_gpa: u64) -> Self {
        let pages = end_gpa.div_ceil(PAGE_BYTES) as usize;
        CodePages {
            flags: (0..pages).map(|_| AtomicU8::new(0)).collect(),
            dirty: AtomicBool::new(false),
            written: Mutex::new(Vec::new()),
        }
    }

    /// Says that `gpa .. gpa + len` was written by someone other than the CPU.
    pub fn written(&self, gpa: u64, len: u64) {
        if len == 0 {
            return;
        }
        let last = gpa.saturating_add(len - 1) / PAGE_BYTES;
        for page in gpa / PAGE_BYTES..=last {
            if self.holds_code(page) {
                self.written.lock().unwrap_or_else(|e| e.into_inner()).push(page);
                self.dirty.store(true, Ordering::Release);
            }
        }
    }

    /// Whether cached code was decoded from this page (a page number, not an address).
    pub fn holds_code(&self, page: u64) -> bool {
        self.flags.get(page as usize).is_some_and(|f| f.load(Ordering::Relaxed) != 0)
    }

    /// Marks or clears a page.
    pub fn set_holds_code(&self, page: u64, holds: bool) {
        if let Some(flag) = self.flags.get(page as usize) {
            flag.store(u8::from(holds), Ordering::Relaxed);
        }
    }

    /// Makes the CPU return to its run loop after the block it runs, as a report does.
    pub(crate) fn call_for_attention(&self) {
        self.dirty.store(true, Ordering::Release);
    }

    /// Whether the CPU shall call [`take_written`](Self::take_written).
    pub fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }

    /// The pages reported since the last call, oldest first.
    pub fn take_written(&self) -> Vec<u64> {
        self.dirty.store(false, Ordering::Release);
        std::mem::take(&mut *self.written.lock().unwrap_or_else(|e| e.into_inner()))
    }
}
