//! The cache of translations: of pages, and of the tables that hold them (docs/gpu.md, *Contexts*).

use serde::{Deserialize, Serialize};

use super::mmu::{PAGE_BYTES, SPACE_BYTES};
use crate::ports::Iova;

/// Places for pages.
const PAGES: usize = 256;
/// Places for tables, and for large pages.
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

/// `COUNT` places that translations take by their numbers: a newer one takes the place of an older one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places<const COUNT: usize>(Vec<Option<Translation>>);

impl<const COUNT: usize> Default for Places<COUNT> {
    fn default() -> Self {
        Places(vec![None; COUNT])
    }
}

impl<const COUNT: usize> Places<COUNT> {
    fn place(context: u32, page: u64) -> usize {
        const { assert!(COUNT.is_power_of_two() && COUNT >= 16) };
        let number = page.wrapping_add(u64::from(context).wrapping_mul(COUNT as u64 / 16));
        number as usize & COUNT.wrapping_sub(1)
    }

    /// What is kept of a page.
    pub fn get(&self, context: u32, page: u64) -> Option<&Translation> {
        let found = self.0.get(Self::place(context, page))?.as_ref()?;
        (found.context == context && found.page == page).then_some(found)
    }

    /// Keeps a translation.
    pub fn put(&mut self, translation: Translation) {
        let at = Self::place(translation.context, translation.page);
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

    /// Whether there are as many places, and each has what belongs there: pages of a context below `pages`.
    fn is_possible(&self, pages: u64) -> bool {
        self.0.len() == COUNT
            && self.0.iter().enumerate().all(|(at, place)| {
                place.is_none_or(|found| {
                    at == Self::place(found.context, found.page)
                        && found.context != 0
                        && found.page < pages
                        && found.frame.0.checked_rem(PAGE_BYTES) == Some(0)
                        && found.frame.0 >> 52 == 0
                })
            })
    }
}

/// All kinds of places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tlb {
    /// Of pages of 4 KiB.
    pub pages: Places<PAGES>,
    /// Of third tables.
    pub tables: Places<TABLES>,
    /// Of pages of 2 MiB.
    pub large: Places<TABLES>,
}

impl Tlb {
    /// Forgets what is kept of one context.
    pub fn forget(&mut self, context: u32) {
        self.pages.forget(|found| found.context == context);
        self.tables.forget(|found| found.context == context);
        self.large.forget(|found| found.context == context);
    }

    /// Whether it may have come to be what it is.
    pub fn is_possible(&self) -> bool {
        let pages = SPACE_BYTES / PAGE_BYTES;
        let large = |places: &Places<TABLES>| places.is_possible(pages / 512);
        self.pages.is_possible(pages) && large(&self.tables) && large(&self.large)
    }
}
