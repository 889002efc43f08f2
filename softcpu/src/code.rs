//! Which physical pages hold decoded code and which were written, shared with everyone who writes guest memory.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

/// Bytes in a page.
pub const PAGE_BYTES: u64 = 4096;

/// Of a page's flags: cached code was decoded from it.
const HOLDS_CODE: u8 = 1;
/// It is in the list of reports, where it is once at most: a halted CPU drains none, whatever devices write.
const REPORTED: u8 = 2;
/// It is in the list of changed pages, once as well.
const CHANGED: u8 = 4;
/// Its next write is to be counted.
const OBSERVED: u8 = 8;

/// Flags for each physical page: "cached code was decoded from here". Writers that are not the CPU (DMA, the
/// firmware, a debugger) report what they wrote; the CPU drains the reports before it runs another block.
///
/// After [`track`](Self::track) it also lists every page that anybody writes, the CPU included. And a device that reads the
/// same pages again and again can learn whether they are as they were ([`observe`](Self::observe)).
#[derive(Debug)]
pub struct CodePages {
    flags: Vec<AtomicU8>,
    dirty: AtomicBool,
    written: Mutex<Vec<u64>>,
    tracking: AtomicBool,
    changed: Mutex<Vec<u64>>,
    /// Whether writes to observed pages are counted.
    counting: AtomicBool,
    /// How often a page was put under guard that a CPU may still write without a word.
    guards: AtomicU64,
    /// For each page, how often it was written first after it was observed.
    versions: OnceLock<Box<[AtomicU32]>>,
}

impl CodePages {
    /// Flags for the physical pages below `end_gpa` (exclusive).
    pub fn new(end_gpa: u64) -> Self {
        let pages = end_gpa.div_ceil(PAGE_BYTES) as usize;
        CodePages {
            flags: (0..pages).map(|_| AtomicU8::new(0)).collect(),
            dirty: AtomicBool::new(false),
            written: Mutex::new(Vec::new()),
            tracking: AtomicBool::new(false),
            changed: Mutex::new(Vec::new()),
            counting: AtomicBool::new(false),
            guards: AtomicU64::new(0),
            versions: OnceLock::new(),
        }
    }

    /// From now on lists the pages that are written. A CPU on this memory must be given its translations after this
    /// ([`Cpu::set_translations`](crate::Cpu::set_translations)): those that it has may write without a word.
    pub fn track(&self) {
        self.tracking.store(true, Ordering::Relaxed);
    }

    /// The pages that were written since [`track`](Self::track) or the last call, each once, in no order. A CPU on this
    /// memory must be given its translations again, as there.
    pub fn take_changed(&self) -> Vec<u64> {
        let mut changed = self.changed.lock().unwrap_or_else(|e| e.into_inner());
        for page in changed.iter() {
            self.change(*page, |flags| flags & !CHANGED);
        }
        std::mem::take(&mut *changed)
    }

    /// Says that from now on nobody writes this memory but a [`Cpu`](crate::Cpu) on it and those who report it, so that pages can
    /// be [observed](Self::observe).
    pub fn count_writes(&self) {
        self.counting.store(true, Ordering::Relaxed);
    }

    /// A number that a page (a page number) keeps until somebody writes to it: who gets the same one twice knows that it is
    /// as it was. `None` where that cannot be told, as under a processor that writes without a word.
    pub fn observe(&self, page: u64) -> Option<u32> {
        if !self.counting.load(Ordering::Relaxed) {
            return None;
        }
        let versions = self.versions.get_or_init(|| self.flags.iter().map(|_| AtomicU32::new(0)).collect());
        let version = versions.get(usize::try_from(page).ok()?)?;
        if self.flags(page) & OBSERVED == 0 {
            self.change(page, |flags| flags | OBSERVED);
            self.add_guard();
            self.call_for_attention();
        }
        Some(version.load(Ordering::Relaxed))
    }

    /// A number that grows when a page is put under guard: it holds code now, or is observed. A CPU that knows an older one must
    /// have its next writes checked again.
    pub(crate) fn guards(&self) -> u64 {
        self.guards.load(Ordering::Acquire)
    }

    fn add_guard(&self) {
        self.guards.fetch_add(1, Ordering::Release);
    }

    /// Notes that a page (a page number) is written, if somebody wants to know.
    pub(crate) fn note_change(&self, page: u64) {
        let flags = self.flags(page);
        if flags & OBSERVED != 0 {
            self.change(page, |flags| flags & !OBSERVED);
            let version = self.versions.get().and_then(|versions| versions.get(page as usize));
            version.inspect(|version| _ = version.fetch_add(1, Ordering::Relaxed));
        }
        if self.tracking.load(Ordering::Relaxed) && flags & CHANGED == 0 {
            let mut changed = self.changed.lock().unwrap_or_else(|e| e.into_inner());
            if (page as usize) < self.flags.len() && self.change(page, |flags| flags | CHANGED) & CHANGED == 0
            {
                changed.push(page);
            }
        }
    }

    /// Whether the CPU may write to a page (a page number) without a word to anybody.
    pub(crate) fn may_be_written(&self, page: u64) -> bool {
        let flags = self.flags(page);
        flags & (HOLDS_CODE | OBSERVED) == 0
            && (flags & CHANGED != 0 || !self.tracking.load(Ordering::Relaxed))
    }

    fn flags(&self, page: u64) -> u8 {
        let flags = usize::try_from(page).ok().and_then(|page| self.flags.get(page));
        flags.map_or(0, |flags| flags.load(Ordering::Relaxed))
    }

    /// Says that `gpa .. gpa + len` was written by someone other than the CPU.
    pub fn written(&self, gpa: u64, len: u64) {
        if len == 0 {
            return;
        }
        let last = gpa.saturating_add(len - 1) / PAGE_BYTES;
        // A range beyond all memory has no pages to look at one by one.
        for page in gpa / PAGE_BYTES..=last.min(self.flags.len() as u64) {
            self.note_change(page);
            if self.holds_code(page) {
                let mut written = self.written.lock().unwrap_or_else(|e| e.into_inner());
                // Under the list's lock, so that list and flags agree.
                if self.change(page, |flags| flags | REPORTED) & REPORTED == 0 {
                    written.push(page);
                }
                drop(written);
                self.dirty.store(true, Ordering::Release);
            }
        }
    }

    /// Whether cached code was decoded from this page (a page number, not an address).
    pub fn holds_code(&self, page: u64) -> bool {
        self.flags(page) & HOLDS_CODE != 0
    }

    /// Marks or clears a page.
    pub fn set_holds_code(&self, page: u64, holds: bool) {
        let before = self.change(page, |flags| if holds { flags | HOLDS_CODE } else { flags & !HOLDS_CODE });
        if holds && before & HOLDS_CODE == 0 {
            self.add_guard();
        }
    }

    /// Changes a page's flags. Gives those before.
    fn change(&self, page: u64, change: impl Fn(u8) -> u8) -> u8 {
        let flags = usize::try_from(page).ok().and_then(|page| self.flags.get(page));
        let update = |flags: &AtomicU8| {
            let updated =
                flags.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| Some(change(before)));
            updated.unwrap_or_else(|before| before)
        };
        flags.map_or(0, update)
    }

    /// Makes the CPU return to its run loop after the block it runs, as a report does.
    pub(crate) fn call_for_attention(&self) {
        self.dirty.store(true, Ordering::Release);
    }

    /// Whether the CPU must call [`take_written`](Self::take_written).
    pub fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }

    /// Pages reported since the last call, each once, oldest first: `most` of them, and more are to be taken as long as it is
    /// [dirty](Self::is_dirty).
    pub fn take_written(&self, most: usize) -> Vec<u64> {
        let mut written = self.written.lock().unwrap_or_else(|e| e.into_inner());
        let most = most.min(written.len());
        let taken: Vec<u64> = written.drain(..most).collect();
        for page in &taken {
            self.change(*page, |flags| flags & !REPORTED);
        }
        self.dirty.store(!written.is_empty(), Ordering::Release);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_reported_once_however_often_it_is_written() {
        let code = CodePages::new(16 * PAGE_BYTES);
        (2..6).for_each(|page| code.set_holds_code(page, true));
        for _ in 0..10_000 {
            code.written(0, 16 * PAGE_BYTES);
        }
        assert!(code.is_dirty());
        assert_eq!(code.take_written(usize::MAX), [2, 3, 4, 5]);
        assert!(!code.is_dirty() && code.take_written(usize::MAX).is_empty());
        // It is again, also when it was let go and taken again meanwhile.
        code.written(3 * PAGE_BYTES, 1);
        code.set_holds_code(3, false);
        code.set_holds_code(3, true);
        code.written(3 * PAGE_BYTES, 1);
        assert_eq!(code.take_written(usize::MAX), [3]);
        code.written(3 * PAGE_BYTES, 1);
        assert_eq!(code.take_written(usize::MAX), [3]);
        code.written(u64::MAX, u64::MAX);
        assert!(code.take_written(usize::MAX).is_empty());
    }

    #[test]
    fn an_observed_page_keeps_its_number_until_it_is_written() {
        let code = CodePages::new(8 * PAGE_BYTES);
        assert_eq!(code.observe(3), None, "nobody says what a CPU writes");
        code.count_writes();
        let [three, four] = [3, 4].map(|page| code.observe(page).unwrap());
        assert!(code.guards() == 2 && code.is_dirty());
        assert!(!code.may_be_written(3) && code.may_be_written(5));
        code.written(3 * PAGE_BYTES + 9, 1);
        assert!(code.may_be_written(3));
        let later = code.observe(3).unwrap();
        assert_ne!(later, three);
        assert_eq!((code.observe(3), code.observe(4)), (Some(later), Some(four)));
        code.note_change(4);
        code.note_change(4);
        assert_ne!(code.observe(4), Some(four));
        assert_eq!((code.observe(8), code.observe(u64::MAX)), (None, None));
    }

    #[test]
    fn changed_pages_are_listed_once_and_only_when_asked_for() {
        let code = CodePages::new(8 * PAGE_BYTES);
        code.written(0, 8 * PAGE_BYTES);
        assert!(code.take_changed().is_empty() && code.may_be_written(3));
        code.track();
        assert!(!code.may_be_written(3), "its first write must be seen");
        code.written(3 * PAGE_BYTES + 5, PAGE_BYTES);
        code.note_change(4);
        code.note_change(8);
        assert!(code.may_be_written(3) && !code.may_be_written(5));
        code.set_holds_code(3, true);
        assert!(!code.may_be_written(3));
        assert_eq!(code.take_changed(), [3, 4]);
        assert!(!code.may_be_written(4) && code.take_changed().is_empty());
        code.written(u64::MAX - 1, 1);
        code.written(4 * PAGE_BYTES, 1);
        assert_eq!(code.take_changed(), [4]);
    }
}
