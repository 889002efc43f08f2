//! The translation caches. They hold what they were filled with until it is invalidated or replaced: a guest that
//! forgets an invalidation keeps using the old translation, as on hardware. Bounded, with a fixed replacement order.
//!
//! As CAP.CM = 0 promises, nothing that faulted is ever cached.

use serde::{Deserialize, Serialize};

use crate::ports::Access;

use super::walk::{Context, Leaf};

const CONTEXTS: usize = 64;
const WAYS: usize = 4;
/// Page sizes, as log2, and the number of sets for each: pictures of 16 MiB in small pages fit in.
const SIZES: [(u32, usize); 3] = [(12, 1024), (21, 16), (30, 4)];

/// A cached context entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextEntry {
    rid: u16,
    context: Context,
}

/// Direct-mapped by the requester id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextCache {
    entries: Vec<Option<ContextEntry>>,
}

impl Default for ContextCache {
    fn default() -> Self {
        ContextCache { entries: vec![None; CONTEXTS] }
    }
}

impl ContextCache {
    /// The cached context of `rid`.
    pub fn get(&self, rid: u16) -> Option<Context> {
        let entry = self.entries.get(usize::from(rid >> 3) % CONTEXTS).copied().flatten();
        entry.filter(|entry| entry.rid == rid).map(|entry| entry.context)
    }

    /// Caches the context of `rid`.
    pub fn put(&mut self, rid: u16, context: Context) {
        if let Some(place) = self.entries.get_mut(usize::from(rid >> 3) % CONTEXTS) {
            *place = Some(ContextEntry { rid, context });
        }
    }

    /// Drops every entry that `matches` says, by requester id and domain.
    pub fn invalidate(&mut self, matches: impl Fn(u16, u16) -> bool) {
        for place in &mut self.entries {
            if place.is_some_and(|entry| matches(entry.rid, entry.context.domain)) {
                *place = None;
            }
        }
    }

    /// Whether a saved cache has this implementation's shape.
    pub fn is_well_formed(&self) -> bool {
        self.entries.len() == CONTEXTS
    }
}

/// A cached translation of one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    domain: u16,
    /// The I/O virtual page number, in pages of the size that the table is for.
    page: u64,
    gpa: u64,
    read: bool,
    write: bool,
}

/// The set-associative table of one page size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Table {
    page_bits: u32,
    /// `WAYS` entries for each set.
    entries: Vec<Option<Entry>>,
    /// The way of each set to replace next.
    next: Vec<u8>,
    /// How many entries are in use, to skip an empty table.
    used: usize,
}

impl Table {
    fn new(page_bits: u32, sets: usize) -> Self {
        let entries = vec![None; sets.saturating_mul(WAYS)];
        Table { page_bits, entries, next: vec![0; sets], used: 0 }
    }

    fn set(&self, domain: u16, page: u64) -> usize {
        // The number of sets is a power of two.
        (page ^ u64::from(domain)) as usize & self.next.len().saturating_sub(1)
    }

    fn find(&self, domain: u16, iova: u64) -> Option<&Entry> {
        if self.used == 0 {
            return None;
        }
        let page = iova >> self.page_bits;
        let first = self.set(domain, page).saturating_mul(WAYS);
        let ways = self.entries.get(first..first.saturating_add(WAYS))?;
        ways.iter().flatten().find(|entry| entry.domain == domain && entry.page == page)
    }

    /// Keeps an entry; whether another gave way to it.
    fn insert(&mut self, entry: Entry) -> bool {
        let set = self.set(entry.domain, entry.page);
        let first = set.saturating_mul(WAYS);
        let Some(ways) = self.entries.get_mut(first..first.saturating_add(WAYS)) else { return false };
        let same =
            |way: &Option<Entry>| way.is_some_and(|old| old.domain == entry.domain && old.page == entry.page);
        let free = ways.iter().position(same).or_else(|| ways.iter().position(Option::is_none));
        let way = free.unwrap_or_else(|| {
            self.next.get_mut(set).map_or(0, |next| {
                let way = *next;
                *next = next.wrapping_add(1) & (WAYS as u8).wrapping_sub(1);
                usize::from(way)
            })
        });
        if let Some(place) = ways.get_mut(way) {
            self.used = self.used.saturating_add(usize::from(place.is_none()));
            *place = Some(entry);
        }
        free.is_none()
    }

    fn invalidate(&mut self, matches: impl Fn(&Entry) -> bool) {
        self.invalidate_among(0, self.entries.len(), matches);
    }

    fn invalidate_among(&mut self, first: usize, count: usize, matches: impl Fn(&Entry) -> bool) {
        for place in self.entries.iter_mut().skip(first).take(count) {
            if place.is_some_and(|entry| matches(&entry)) {
                *place = None;
                self.used = self.used.saturating_sub(1);
            }
        }
    }

    /// Drops pages of a domain, by their numbers: a few from their sets, many wherever they are.
    fn invalidate_pages(&mut self, domain: u16, first: u64, last: u64) {
        if self.used == 0 {
            return;
        }
        let is_one = |entry: &Entry| entry.domain == domain && (first..=last).contains(&entry.page);
        if last.saturating_sub(first) >= self.next.len() as u64 {
            return self.invalidate(is_one);
        }
        for page in first..=last {
            self.invalidate_among(self.set(domain, page).saturating_mul(WAYS), WAYS, is_one);
        }
    }
}

/// A translation that the IOTLB holds: enough to finish an access up to the end of its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The translated address.
    pub gpa: u64,
    /// Bytes from there to the end of the page.
    pub bytes: u64,
}

/// The IOTLB: one set-associative table for each page size, tagged by domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Iotlb {
    tables: Vec<Table>,
    /// Translations that gave way to others.
    evictions: u64,
}

impl Default for Iotlb {
    fn default() -> Self {
        let tables = SIZES.iter().map(|&(page_bits, sets)| Table::new(page_bits, sets)).collect();
        Iotlb { tables, evictions: 0 }
    }
}

impl Iotlb {
    /// Looks `iova` up. A cached translation without the needed right is not a hit: the tables are walked again,
    /// so that a right that was added works at once. One that was taken away works on until it is invalidated.
    pub fn get(&self, domain: u16, iova: u64, access: Access) -> Option<Hit> {
        self.tables.iter().find_map(|table| {
            let entry = table.find(domain, iova)?;
            let granted = match access {
                Access::Read => entry.read,
                Access::Write => entry.write,
            };
            granted.then(|| hit(entry.gpa, table.page_bits, iova))
        })
    }

    /// Caches the leaf that a walk for `iova` ended at.
    pub fn put(&mut self, domain: u16, iova: u64, leaf: &Leaf) -> Hit {
        if let Some(table) = self.tables.iter_mut().find(|table| table.page_bits == leaf.page_bits) {
            let Leaf { gpa, read, write, .. } = *leaf;
            let evicted = table.insert(Entry { domain, page: iova >> leaf.page_bits, gpa, read, write });
            self.evictions = self.evictions.saturating_add(evicted.into());
        }
        hit(leaf.gpa, leaf.page_bits, iova)
    }

    /// How many translations gave way to others.
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Drops everything.
    pub fn invalidate_all(&mut self) {
        self.tables.iter_mut().for_each(|table| table.invalidate(|_| true));
    }

    /// Drops the translations of one domain.
    pub fn invalidate_domain(&mut self, domain: u16) {
        self.tables.iter_mut().for_each(|table| table.invalidate(|entry| entry.domain == domain));
    }

    /// Drops the translations of one domain that touch `first..=last` (I/O virtual addresses).
    pub fn invalidate_pages(&mut self, domain: u16, first: u64, last: u64) {
        for table in &mut self.tables {
            table.invalidate_pages(domain, first >> table.page_bits, last >> table.page_bits);
        }
    }

    /// Whether a saved IOTLB has this implementation's shape.
    pub fn is_well_formed(&self) -> bool {
        let shape = |table: &Table| {
            let used = table.entries.iter().flatten().count();
            (table.page_bits, table.next.len(), table.entries.len(), table.used == used)
        };
        let wanted = SIZES.iter().map(|&(bits, sets)| (bits, sets, sets.saturating_mul(WAYS), true));
        self.tables.iter().map(shape).eq(wanted)
    }
}

fn hit(gpa: u64, page_bits: u32, iova: u64) -> Hit {
    let bytes = 1u64 << page_bits;
    let offset = iova & bytes.saturating_sub(1);
    Hit { gpa: gpa | offset, bytes: bytes.saturating_sub(offset) }
}
