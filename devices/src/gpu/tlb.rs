//! The cache of translations: of pages, and of the tables that hold them (docs/gpu.md, *Contexts*).

use serde::{Deserialize, Serialize};

use super::mmu::{PAGE_BYTES, SPACE_BYTES};
use crate::ports::Iova;

/// Places for pages.
const PAGES: usize = 256;
/// Places for tables.
const TABLES: usize = 16;

/// Where something of a context is, which is used again until it is invalidated or another takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Translation {
    /// Whose.
    pub context: u32,
    /// The number of the virtual page, or of the 2 MiB that a table is for.
    pub page: u64,
    /// Where it is.
    pub frame: Iova,
    /// Whether it may be written.
    pub writable: bool,
}

/// Places that translations take by their numbers: a newer one takes the place of an older one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places(Vec<Option<Translation>>);

impl Places {
    fn new(count: usize) -> Self {
        Places(vec![None; count])
    }

    fn place(&self, context: u32, page: u64) -> usize {
        let count = self.0.len() as u64;
        let number = page.wrapping_add(u64::from(context).wrapping_mul(count / 16));
        number.checked_rem(count).unwrap_or(0) as usize
    }

    /// What is kept of a page.
    pub fn get(&self, context: u32, page: u64) -> Option<&Translation> {
        let found = self.0.get(self.place(context, page))?.as_ref()?;
        (found.context == context && found.page == page).then_some(found)
    }

    /// Keeps a translation.
    pub fn put(&mut self, translation: Translation) {
        let at = self.place(translation.context, translation.page);
        if let Some(place) = self.0.get_mut(at) {
            *place = Some(translation);
        }
    }

    fn forget(&mut self, gone: impl Fn(&Translation) -> bool) {
        for place in &mut self.0 {
            if place.as_ref().is_some_and(&gone) {
                *place = None;
            }
        }
    }

    /// Whether there are `count` places, and each has what belongs there: pages of a context below `pages`.
    fn is_possible(&self, count: usize, pages: u64) -> bool {
        self.0.len() == count
            && self.0.iter().enumerate().all(|(at, place)| {
                place.is_none_or(|found| {
                    at == self.place(found.context, found.page)
                        && found.context != 0
                        && found.page < pages
                        && found.frame.0.checked_rem(PAGE_BYTES) == Some(0)
                        && found.frame.0 >> 52 == 0
                })
            })
    }
}

/// Both kinds of places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tlb {
    /// Of pages of 4 KiB.
    pub pages: Places,
    /// Of third tables.
    pub tables: Places,
}

impl Default for Tlb {
    fn default() -> Self {
        Tlb { pages: Places::new(PAGES), tables: Places::new(TABLES) }
    }
}

impl Tlb {
    /// Forgets what is kept of one context.
    pub fn forget(&mut self, context: u32) {
        self.pages.forget(|found| found.context == context);
        self.tables.forget(|found| found.context == context);
    }

    /// Whether it may have come to be what it is.
    pub fn is_possible(&self) -> bool {
        let pages = SPACE_BYTES / PAGE_BYTES;
        self.pages.is_possible(PAGES, pages) && self.tables.is_possible(TABLES, pages / 512)
    }
}
