//! The address spaces of contexts: a table of contexts, tables of pages, and a cache of translations (docs/gpu.md, *Contexts*).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::{GpuError, PageFault};
use crate::ports::{Access, DmaExt, Iova, Ports};

/// Bytes of a page.
pub const PAGE_BYTES: u64 = 1 << PAGE_BITS;
/// Where a virtual address space ends.
pub const SPACE_BYTES: u64 = 1 << 39;
/// Places of the cache.
const CACHE_PLACES: u64 = 256;

const PAGE_BITS: u32 = 12;
/// Bits of an address that a table of pages resolves.
const TABLE_BITS: u32 = 9;
const TABLE_MASK: u64 = (1 << TABLE_BITS) - 1;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// A translation that was used, and is used again until it is invalidated or another takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Translation {
    /// Whose.
    pub context: u32,
    /// The number of the virtual page.
    pub page: u64,
    /// Where it is.
    pub frame: Iova,
    /// Whether it may be written.
    pub writable: bool,
}

/// What translates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mmu {
    /// `CONTEXT_TABLE`.
    pub table: u64,
    /// `CONTEXT_COUNT`.
    pub contexts: u32,
    /// The cache, by place.
    pub cache: BTreeMap<u64, Translation>,
}

impl Translation {
    fn place(&self) -> u64 {
        place(self.context, self.page)
    }
}

/// The place in the cache where a page's translation is, if it is there.
fn place(context: u32, page: u64) -> u64 {
    page.wrapping_add(u64::from(context).wrapping_mul(16)) % CACHE_PLACES
}

impl Mmu {
    /// Where `address` of `context` is, for an access that stays in its page.
    pub fn translate(
        &mut self,
        context: u32,
        address: u64,
        access: Access,
        ports: &mut Ports<'_>,
    ) -> Result<Iova, GpuError> {
        let page = address >> PAGE_BITS;
        let known = self.cache.get(&place(context, page)).copied();
        let fits = |found: &Translation| {
            found.context == context && found.page == page && (found.writable || access == Access::Read)
        };
        let found = match known.filter(fits) {
            Some(found) => found,
            None => {
                let found = self.walk(context, address, access, ports)?;
                self.cache.insert(found.place(), found);
                found
            }
        };
        Ok(Iova(found.frame.0 | (address % PAGE_BYTES)))
    }

    /// Reads the tables.
    fn walk(
        &self,
        context: u32,
        address: u64,
        access: Access,
        ports: &mut Ports<'_>,
    ) -> Result<Translation, GpuError> {
        let fault = |why| Err(GpuError::Page { why, address });
        if address >= SPACE_BYTES {
            return fault(PageFault::NotPresent);
        }
        let Some(mut table) = self.directory(context, ports)? else { return fault(PageFault::Context) };
        for level in [2u32, 1, 0] {
            let shift = PAGE_BITS.saturating_add(TABLE_BITS.saturating_mul(level));
            let index = address.wrapping_shr(shift) & TABLE_MASK;
            let entry = ports.dma.read_u64(Iova(table.saturating_add(index.saturating_mul(8))))?;
            if entry & PRESENT == 0 {
                return fault(PageFault::NotPresent);
            }
            let large = level == 1 && entry & LARGE != 0;
            let inside = if large { 1u64.wrapping_shl(shift).saturating_sub(PAGE_BYTES) } else { 0 };
            let flags = match (level, large) {
                (0, _) => PRESENT | WRITABLE,
                (_, true) => PRESENT | WRITABLE | LARGE,
                _ => PRESENT,
            };
            if entry & !(ADDRESS | flags) != 0 || entry & inside != 0 {
                return fault(PageFault::Table);
            }
            if level == 0 || large {
                let writable = entry & WRITABLE != 0;
                if access == Access::Write && !writable {
                    return fault(PageFault::ReadOnly);
                }
                let frame = Iova((entry & ADDRESS) | (address & inside));
                return Ok(Translation { context, page: address >> PAGE_BITS, frame, writable });
            }
            table = entry & ADDRESS;
        }
        fault(PageFault::Table)
    }

    /// The first table of a context, if it is one.
    fn directory(&self, context: u32, ports: &mut Ports<'_>) -> Result<Option<u64>, GpuError> {
        if context >= self.contexts {
            return Ok(None);
        }
        let at = self.table.saturating_add(u64::from(context).saturating_mul(8));
        let entry = ports.dma.read_u64(Iova(at))?;
        let right = entry & PRESENT != 0 && entry & !(ADDRESS | PRESENT) == 0;
        Ok(right.then_some(entry & ADDRESS))
    }

    /// Forgets the translations of one context.
    pub fn invalidate(&mut self, context: u32) {
        self.cache.retain(|_, found| found.context != context);
    }

    /// Forgets all translations.
    pub fn invalidate_all(&mut self) {
        self.cache.clear();
    }

    /// Whether it may have come to be what it is.
    pub fn is_possible(&self) -> bool {
        let registers = self.table % PAGE_BYTES == 0 && self.contexts <= super::registers::MAX_CONTEXTS;
        registers
            && self.cache.iter().all(|(&at, found)| {
                at == found.place()
                    && found.context != 0
                    && found.page < SPACE_BYTES / PAGE_BYTES
                    && found.frame.0 & !ADDRESS == 0
            })
    }
}
