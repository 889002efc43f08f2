//! The software TLB: direct-mapped, a set for each [view](super::view). A page that is not RAM has an entry too, which saves the walk: each
//! access to it takes the slow path.

use super::view::{USER, VIEWS};

/// Entries of each set; a power of two.
pub const ENTRIES: usize = 1024;
/// Non-global fills after which the non-global translations are dropped anyway.
pub(super) const MOST_LOCAL: usize = 4 * ENTRIES;
/// The bits of an address above the page offset.
pub const PAGE_MASK: u64 = !0xfff;
/// Of a place: there is none.
const NOTHING: u64 = 1;

/// A page that data accesses may use: one of RAM without further checks. An access hits if it lies in the tag's page as a whole.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct DataEntry {
    /// Tag of reads: the linear page if it may be read.
    pub read: u64,
    /// Tag of writes: the linear page if it may be written without a word to anybody
    /// ([`CodePages`](crate::code::CodePages)).
    pub write: u64,
    /// Host address of the page.
    pub page: u64,
    /// Physical page, and in its low bits [`WRITABLE`], [`WATCHED`] and [`DEVICE`], or [`NOTHING`].
    place: u64,
}

/// Of a translation: it lets writes through (allowed, dirty bit set). Whoever writes may have to say so first, but need
/// not walk the tables again. So what the TLB holds does not depend on which code is kept decoded.
const WRITABLE: u64 = 2;
/// Of a page that may be read: each access takes the slow path. The tag of reads is its linear page with
/// [`FLIPPED`] exclusive-ored, which no address of the slot matches.
const WATCHED: u64 = 4;
/// Of a page that is not RAM: the same.
const DEVICE: u64 = 8;
/// A bit of an address that decides its slot.
const FLIPPED: u64 = (ENTRIES as u64 / 2) << 12;

/// A page that code may be fetched from.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CodeEntry {
    /// Linear page.
    pub tag: u64,
    /// Physical page, or [`NOTHING`].
    pub gpa: u64,
}

/// A tag for the slot of an address that no access there matches: a page of a slot that is neither this one nor the next,
/// into which an access that begins in this one may reach.
fn no_match(addr: u64) -> u64 {
    match (addr >> 12) as usize & (ENTRIES - 1) {
        0 | LAST_SLOT => 2 << 12,
        _ => 0,
    }
}

const LAST_SLOT: usize = ENTRIES - 1;

impl CodeEntry {
    /// The empty entry of an address's slot.
    fn empty(addr: u64) -> CodeEntry {
        CodeEntry { tag: no_match(addr), gpa: NOTHING }
    }

    /// Whether it is of no page.
    pub fn is_empty(&self) -> bool {
        self.gpa == NOTHING
    }
}

impl DataEntry {
    /// Of a linear page whose 4096 bytes are at `host`, in memory that stays mapped for as long as the CPU lives: accesses
    /// go there without a further check; writes if it is `writable` and `open`.
    pub(super) fn new(linear: u64, gpa: u64, host: *mut u8, writable: bool, open: bool) -> DataEntry {
        let page = host.expose_provenance() as u64;
        let write = if writable && open { linear } else { no_match(linear) };
        DataEntry { read: linear, write, page, place: gpa | if writable { WRITABLE } else { 0 } }
    }

    /// Of a linear page that is not RAM.
    pub(super) fn device(linear: u64, gpa: u64, writable: bool) -> DataEntry {
        let place = gpa | DEVICE | if writable { WRITABLE } else { 0 };
        DataEntry { read: linear ^ FLIPPED, write: no_match(linear), page: 0, place }
    }

    /// The empty entry of an address's slot.
    fn empty(addr: u64) -> DataEntry {
        let tag = no_match(addr);
        DataEntry { read: tag, write: tag, page: 0, place: NOTHING }
    }

    /// Whether it is of no page.
    pub fn is_empty(&self) -> bool {
        self.place == NOTHING
    }

    /// The linear page, whether accesses find it or not.
    pub fn linear(&self) -> u64 {
        if self.place & (WATCHED | DEVICE) != 0 { self.read ^ FLIPPED } else { self.read }
    }

    /// Whether it may be written without a word.
    pub fn is_open(&self) -> bool {
        !self.is_empty() && self.write == self.linear()
    }

    /// Sends writes through the slow path.
    fn close(&mut self) {
        if !self.is_empty() {
            self.write = no_match(self.linear());
        }
    }

    /// Sends all accesses through the slow path, or reads no more and writes until they are opened again.
    fn watch(&mut self, watched: bool) {
        if self.place & DEVICE == 0 && watched != (self.place & WATCHED != 0) {
            self.close();
            self.place ^= WATCHED;
            self.read ^= FLIPPED;
        }
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
        std::ptr::with_exposed_provenance_mut(self.page.wrapping_add(addr & !PAGE_MASK) as usize)
    }
}

/// Address whose slot in its view a slot is.
fn page_of(slot: usize) -> u64 {
    ((slot & (ENTRIES - 1)) as u64) << 12
}

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
            data: (0..VIEWS * ENTRIES).map(|slot| DataEntry::empty(page_of(slot))).collect(),
            code: (0..2 * ENTRIES).map(|slot| CodeEntry::empty(page_of(slot))).collect(),
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

    /// The addresses of a view's entries of data and of code.
    pub fn addresses(&self, view: usize) -> (u64, u64) {
        let data = &raw const self.data[slot(view, 0)];
        let code = &raw const self.code[code_slot(view, 0)];
        (data.expose_provenance() as u64, code.expose_provenance() as u64)
    }

    /// Remembers a page that may be read, and written if `fill` says so: at once if it is `open`. `host_page` is where it
    /// is ([`DataEntry::new`]). Whether others were dropped for it.
    pub fn fill_data(&mut self, view: usize, fill: Fill, host_page: *mut u8, open: bool) -> bool {
        let dropped = self.note(view, fill);
        self.data[slot(view, fill.page)] =
            DataEntry::new(fill.page, fill.gpa, host_page, fill.writable, open);
        dropped
    }

    /// Remembers a page that is not RAM. Whether others were dropped for it.
    pub fn fill_device(&mut self, view: usize, fill: Fill) -> bool {
        let dropped = self.note(view, fill);
        self.data[slot(view, fill.page)] = DataEntry::device(fill.page, fill.gpa, fill.writable);
        dropped
    }

    /// Has every access to a page whose translation is held take the slow path if `watched` says so. Other pages' writes begin
    /// there once more.
    pub(crate) fn mark_watched(&mut self, watched: impl Fn(u64) -> bool) {
        for entry in self.data.iter_mut().filter(|entry| !entry.is_empty()) {
            entry.watch(watched(entry.linear()));
        }
    }

    /// The same for one page.
    pub(crate) fn watch_page(&mut self, view: usize, page: u64) {
        let entry = &mut self.data[slot(view, page)];
        if entry.read == page {
            entry.watch(true);
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
        (0..self.data.len()).for_each(|slot| self.data[slot] = DataEntry::empty(page_of(slot)));
        (0..self.code.len()).for_each(|slot| self.code[slot] = CodeEntry::empty(page_of(slot)));
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
            let same = |page: u64| page >> 30 == addr >> 30;
            let data = self.data.iter_mut().filter(|e| !e.is_empty() && same(e.linear()));
            data.for_each(|e| *e = DataEntry::empty(e.linear()));
            let code = self.code.iter_mut().filter(|e| !e.is_empty() && same(e.tag));
            code.for_each(|e| *e = CodeEntry::empty(e.tag));
        }
        for view in 0..VIEWS {
            self.data[slot(view, addr)] = DataEntry::empty(addr);
            self.code[code_slot(view, addr)] = CodeEntry::empty(addr);
        }
    }

    /// Sends later writes to a physical page through the slow path: code was decoded from it.
    pub fn protect(&mut self, gpa_page: u64) {
        self.data.iter_mut().filter(|e| e.gpa() == gpa_page).for_each(DataEntry::close);
    }

    /// The same for the pages (by number) that may not be written without a word now.
    pub fn protect_unless(&mut self, may_be_written: impl Fn(u64) -> bool) {
        for entry in self.data.iter_mut().filter(|entry| entry.is_open()) {
            if !may_be_written(entry.gpa() >> 12) {
                entry.close();
            }
        }
    }

    /// A slot that was refilled by a global translation since is dropped with the others: that is allowed.
    fn drop_local(&mut self) {
        for slot in self.local.iter().map(|&slot| slot as usize) {
            self.data[slot] = DataEntry::empty(page_of(slot));
            if let Some(entry) = self.code.get_mut(slot) {
                *entry = CodeEntry::empty(page_of(slot));
            }
        }
        self.local.clear();
    }
}

fn region_bit(addr: u64) -> u64 {
    1 << ((addr >> 30) & 63)
}
