//! The software TLB: direct-mapped, a set for each [view](super::view).

use super::view::{USER, VIEWS};

/// Entries of each set; a power of two.
pub const ENTRIES: usize = 1024;
/// Non-global fills after which the non-global translations are dropped anyway.
pub(super) const MOST_LOCAL: usize = 4 * ENTRIES;
/// The bits of an address above the page offset.
pub const PAGE_MASK: u64 = !0xfff;
/// A tag that matches no address.
pub const NOTHING: u64 = 1;

/// A page of RAM that data accesses may use without further checks.
#[derive(Clone, Copy)]
pub struct DataEntry {
    /// Linear page that may be read; with [`WATCHED`], it is one whose accesses somebody wants to hear of.
    pub read: u64,
    /// Linear page that may be written without a word to anybody ([`CodePages`](crate::code::CodePages)).
    pub write: u64,
    /// Host address minus linear address.
    addend: u64,
    /// Physical page, and in its low bits [`WRITABLE`] or [`NOTHING`].
    place: u64,
}

/// Of a translation: it lets writes through (allowed, dirty bit set). Whoever writes may have to say so first, but need
/// not walk the tables again. So what the TLB holds does not depend on which code is kept decoded.
const WRITABLE: u64 = 2;
/// Of a page that may be read: each access takes the slow path, since the tag matches no address.
const WATCHED: u64 = 2;

/// A page that code may be fetched from.
#[derive(Clone, Copy)]
pub struct CodeEntry {
    /// Linear page.
    pub tag: u64,
    /// Physical page.
    pub gpa: u64,
}

impl DataEntry {
    /// Of a linear page whose 4096 bytes are at `host`, in memory that stays mapped for as long as the CPU lives: accesses
    /// go there without a further check; writes if it is `writable` and `open`.
    pub(super) fn new(linear: u64, gpa: u64, host: *mut u8, writable: bool, open: bool) -> DataEntry {
        let addend = (host.expose_provenance() as u64).wrapping_sub(linear);
        let write = if writable && open { linear } else { NOTHING };
        DataEntry { read: linear, write, addend, place: gpa | if writable { WRITABLE } else { 0 } }
    }

    /// The linear page, watched or not.
    pub fn linear(&self) -> u64 {
        self.read & !WATCHED
    }

    /// The physical page.
    pub fn gpa(&self) -> u64 {
        self.place & PAGE_MASK
    }

    /// Whether the translation lets writes through.
    pub fn writable(&self) -> bool {
        self.place & WRITABLE != 0
    }

    /// Where a linear address of the entry's page is in the host.
    #[inline(always)]
    pub fn host(&self, addr: u64) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(addr.wrapping_add(self.addend) as usize)
    }
}

const NO_DATA: DataEntry = DataEntry { read: NOTHING, write: NOTHING, addend: 0, place: NOTHING };
const NO_CODE: CodeEntry = CodeEntry { tag: NOTHING, gpa: NOTHING };

/// The translations, one view after another. Only the supervisor and the user fetch code.
pub struct Tlb {
    pub(super) data: Box<[DataEntry]>,
    pub(super) code: Box<[CodeEntry]>,
    /// Slots (of either array) that hold a non-global translation: what a load of CR3 drops.
    pub(super) local: Vec<u16>,
    /// Which 1 GiB stretches (hashed) have had a translation from a large page.
    pub(super) large: u64,
    /// Slow-path fills since reset.
    pub fills: u64,
    /// Flushes since reset.
    pub flushes: u64,
}

/// The slot of an address in a view.
#[inline(always)]
pub(super) fn slot(view: usize, addr: u64) -> usize {
    ((view & (VIEWS - 1)) * ENTRIES) | ((addr >> 12) as usize & (ENTRIES - 1))
}

/// The slot of an address that code is fetched from: RFLAGS.AC does not matter for that.
#[inline(always)]
fn code_slot(view: usize, addr: u64) -> usize {
    slot(view & USER, addr)
}

/// What a fill says of a page.
#[derive(Clone, Copy)]
pub struct Fill {
    /// Linear page.
    pub page: u64,
    /// Physical page.
    pub gpa: u64,
    /// Survives a load of CR3.
    pub global: bool,
    /// Comes from a page larger than 4 KiB.
    pub large: bool,
    /// Lets writes through.
    pub writable: bool,
}

impl Default for Tlb {
    fn default() -> Self {
        Self::new()
    }
}

impl Tlb {
    /// An empty TLB.
    pub fn new() -> Tlb {
        Tlb {
            data: vec![NO_DATA; VIEWS * ENTRIES].into_boxed_slice(),
            code: vec![NO_CODE; 2 * ENTRIES].into_boxed_slice(),
            local: Vec::with_capacity(MOST_LOCAL),
            large: 0,
            fills: 0,
            flushes: 0,
        }
    }

    /// The data entry where an address's is, if it has one.
    #[inline(always)]
    pub(super) fn entry(&self, view: usize, addr: u64) -> &DataEntry {
        // SAFETY: `slot` gives numbers below `VIEWS * ENTRIES`, which is the length that `new` gives the array and nobody
        // changes.
        unsafe { self.data.get_unchecked(slot(view, addr)) }
    }

    /// The physical page of a linear address that code may be fetched from.
    #[inline(always)]
    pub fn code(&self, view: usize, addr: u64) -> Option<u64> {
        let entry = &self.code[code_slot(view, addr)];
        (entry.tag == addr & PAGE_MASK).then_some(entry.gpa)
    }

    /// Remembers a page that may be read, and written if `fill` says so: at once if it is `open`. `host_page` is where it
    /// is ([`DataEntry::new`]). Whether others were dropped for it.
    pub fn fill_data(&mut self, view: usize, fill: Fill, host_page: *mut u8, open: bool) -> bool {
        let dropped = self.note(view, fill);
        self.data[slot(view, fill.page)] =
            DataEntry::new(fill.page, fill.gpa, host_page, fill.writable, open);
        dropped
    }

    /// Has every access to a page whose translation is held take the slow path if `watched` says so. Other pages' writes begin
    /// there once more.
    pub(crate) fn mark_watched(&mut self, watched: impl Fn(u64) -> bool) {
        for entry in self.data.iter_mut().filter(|entry| entry.read != NOTHING) {
            let page = entry.linear();
            let before = entry.read;
            entry.read = if watched(page) { page | WATCHED } else { page };
            if entry.read != before {
                entry.write = NOTHING;
            }
        }
    }

    /// The same for one page.
    pub(crate) fn watch_page(&mut self, view: usize, page: u64) {
        let entry = &mut self.data[slot(view, page)];
        if entry.read == page {
            (entry.read, entry.write) = (page | WATCHED, NOTHING);
        }
    }

    /// Remembers a page that code may be fetched from. Whether others were dropped for it.
    pub fn fill_code(&mut self, view: usize, fill: Fill) -> bool {
        let dropped = self.note(view & USER, fill);
        self.code[code_slot(view, fill.page)] = CodeEntry { tag: fill.page, gpa: fill.gpa };
        dropped
    }

    /// From now on a page whose translation lets writes through may be written without a word.
    pub(super) fn open(&mut self, view: usize, page: u64) {
        let entry = &mut self.data[slot(view, page)];
        if entry.read == page && entry.writable() {
            entry.write = page;
        }
    }

    fn note(&mut self, view: usize, fill: Fill) -> bool {
        self.fills += 1;
        if fill.large {
            self.large |= region_bit(fill.page);
        }
        let full = !fill.global && self.local.len() == MOST_LOCAL;
        if full {
            self.drop_local();
        }
        if !fill.global {
            self.local.push(slot(view, fill.page) as u16);
        }
        full
    }

    /// Forgets every translation.
    pub fn flush_all(&mut self) {
        self.flushes += 1;
        self.large = 0;
        self.data.fill(NO_DATA);
        self.code.fill(NO_CODE);
        self.local.clear();
    }

    /// Forgets every translation that is not global.
    pub fn flush_local(&mut self) {
        self.flushes += 1;
        self.drop_local();
    }

    /// Forgets the translation of one address, and of the whole large page it may lie in.
    pub fn flush_page(&mut self, addr: u64) {
        if self.large & region_bit(addr) != 0 {
            let same = |page: u64| page != NOTHING && page >> 30 == addr >> 30;
            self.data.iter_mut().filter(|e| same(e.read)).for_each(|e| *e = NO_DATA);
            self.code.iter_mut().filter(|e| same(e.tag)).for_each(|e| *e = NO_CODE);
        }
        for view in 0..VIEWS {
            self.data[slot(view, addr)] = NO_DATA;
            self.code[code_slot(view, addr)] = NO_CODE;
        }
    }

    /// Sends later writes to a physical page through the slow path: code was decoded from it.
    pub fn protect(&mut self, gpa_page: u64) {
        self.data.iter_mut().filter(|e| e.gpa() == gpa_page).for_each(|e| e.write = NOTHING);
    }

    /// The same for the pages (by number) that may not be written without a word now.
    pub fn protect_unless(&mut self, may_be_written: impl Fn(u64) -> bool) {
        for entry in self.data.iter_mut().filter(|entry| entry.write != NOTHING) {
            if !may_be_written(entry.gpa() >> 12) {
                entry.write = NOTHING;
            }
        }
    }

    /// A slot that was refilled by a global translation since is dropped with the others: that is allowed.
    fn drop_local(&mut self) {
        for &slot in &self.local {
            self.data[slot as usize] = NO_DATA;
            if let Some(entry) = self.code.get_mut(slot as usize) {
                *entry = NO_CODE;
            }
        }
        self.local.clear();
    }
}

fn region_bit(addr: u64) -> u64 {
    1 << ((addr >> 30) & 63)
}
