//! The address spaces of contexts: a table of contexts, and tables of pages (docs/gpu.md, *Contexts*).

use serde::{Deserialize, Serialize};

use super::error::{GpuError, PageFault};
use super::tlb::{Tlb, Translation};
use crate::ports::{Access, DmaExt, Iova, Ports};

/// Bytes of a page.
pub const PAGE_BYTES: u64 = 1 << PAGE_BITS;
/// Where a virtual address space ends.
pub const SPACE_BYTES: u64 = 1 << 39;

const PAGE_BITS: u32 = 12;
/// Bits of an address that a table of pages resolves.
const TABLE_BITS: u32 = 9;
const TABLE_MASK: u64 = (1 << TABLE_BITS) - 1;
/// Entries of a third table that are read at once: fewer bytes than a trace takes for an access to a buffer.
const LINE: u64 = 4;
const ENTRY_BYTES: u64 = 8;

/// Bits of an address inside a large page that are not inside a small one.
const INSIDE: u64 = (PAGE_BYTES << TABLE_BITS).saturating_sub(PAGE_BYTES);

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// What translates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mmu {
    /// `CONTEXT_TABLE`.
    pub table: u64,
    /// `CONTEXT_COUNT`.
    pub contexts: u32,
    /// What is kept of the tables.
    pub tlb: Tlb,
}

/// What an access needs.
#[derive(Clone, Copy)]
struct Wanted {
    context: u32,
    address: u64,
    access: Access,
}

impl Wanted {
    fn fault<T>(self, why: PageFault) -> Result<T, GpuError> {
        Err(GpuError::Page { why, address: self.address })
    }

    /// The number of the virtual page.
    fn page(self) -> u64 {
        self.address >> PAGE_BITS
    }

    /// The number of the 2 MiB that a third table is for.
    fn region(self) -> u64 {
        self.page() >> TABLE_BITS
    }

    /// The translation to a page, if it may be accessed so.
    fn granted(self, frame: u64, writable: bool) -> Result<Translation, GpuError> {
        if self.access == Access::Write && !writable {
            return self.fault(PageFault::ReadOnly);
        }
        let Wanted { context, .. } = self;
        Ok(Translation { context, page: self.page(), frame: Iova(frame), writable })
    }
}

/// An entry that is present and has no bits but `flags` and those of an address.
fn checked(entry: u64, flags: u64, wanted: Wanted) -> Result<u64, GpuError> {
    if entry & PRESENT == 0 {
        return wanted.fault(PageFault::NotPresent);
    }
    if entry & !(ADDRESS | PRESENT | flags) != 0 { wanted.fault(PageFault::Table) } else { Ok(entry) }
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
        let wanted = Wanted { context, address, access };
        let known = self.tlb.pages.get(context, wanted.page());
        let found = match known.filter(|found| found.writable || access == Access::Read) {
            Some(&found) => found,
            None => {
                let found = self.walk(wanted, ports)?;
                self.tlb.pages.put(found);
                found
            }
        };
        Ok(Iova(found.frame.0 | (address % PAGE_BYTES)))
    }

    /// Reads the tables, but for those whose place is known.
    fn walk(&mut self, wanted: Wanted, ports: &mut Ports<'_>) -> Result<Translation, GpuError> {
        if wanted.address >= SPACE_BYTES {
            return wanted.fault(PageFault::NotPresent);
        }
        if let Some(found) = self.tlb.large.get(wanted.context, wanted.region()).copied()
            && (found.writable || wanted.access == Access::Read)
        {
            return wanted.granted(found.frame.0 | (wanted.address & INSIDE), found.writable);
        }
        if let Some(table) = self.tlb.tables.get(wanted.context, wanted.region()) {
            return self.page(table.frame, wanted, ports);
        }
        let Some(directory) = self.directory(wanted.context, ports)? else {
            return wanted.fault(PageFault::Context);
        };
        let entry = checked(entry(directory, wanted.region() >> TABLE_BITS, ports)?, 0, wanted)?;
        let entry = checked(self::entry(entry & ADDRESS, wanted.region(), ports)?, WRITABLE | LARGE, wanted)?;
        let Wanted { context, .. } = wanted;
        if entry & LARGE != 0 {
            if entry & INSIDE != 0 {
                return wanted.fault(PageFault::Table);
            }
            let (frame, writable) = (entry & ADDRESS, entry & WRITABLE != 0);
            let granted = wanted.granted(frame | (wanted.address & INSIDE), writable)?;
            self.tlb.large.put(Translation { context, page: wanted.region(), frame: Iova(frame), writable });
            return Ok(granted);
        }
        let frame = Iova(checked(entry, 0, wanted)? & ADDRESS);
        self.tlb.tables.put(Translation { context, page: wanted.region(), frame, writable: true });
        self.page(frame, wanted, ports)
    }

    /// Reads the line of a third table that has the entry of a page. What else is right in it is kept, too.
    fn page(&mut self, table: Iova, wanted: Wanted, ports: &mut Ports<'_>) -> Result<Translation, GpuError> {
        let first = wanted.page() & !(LINE - 1);
        let mut line = [0; (LINE * ENTRY_BYTES) as usize];
        let at = table.0.saturating_add((first & TABLE_MASK).saturating_mul(ENTRY_BYTES));
        ports.dma.read(Iova(at), &mut line)?;
        let mut found = wanted.fault(PageFault::NotPresent);
        for (page, entry) in (first..).zip(line.chunks_exact(ENTRY_BYTES as usize)) {
            let entry = checked(word(entry), WRITABLE, wanted);
            if page == wanted.page() {
                found = entry.and_then(|entry| wanted.granted(entry & ADDRESS, entry & WRITABLE != 0));
            } else if let Ok(entry) = entry {
                let (frame, writable) = (Iova(entry & ADDRESS), entry & WRITABLE != 0);
                self.tlb.pages.put(Translation { context: wanted.context, page, frame, writable });
            }
        }
        found
    }

    /// The first table of a context, if it is one.
    fn directory(&self, context: u32, ports: &mut Ports<'_>) -> Result<Option<u64>, GpuError> {
        if context >= self.contexts {
            return Ok(None);
        }
        let at = self.table.saturating_add(u64::from(context).saturating_mul(ENTRY_BYTES));
        let entry = ports.dma.read_u64(Iova(at))?;
        let right = entry & PRESENT != 0 && entry & !(ADDRESS | PRESENT) == 0;
        Ok(right.then_some(entry & ADDRESS))
    }

    /// Forgets the translations of one context.
    pub fn invalidate(&mut self, context: u32) {
        self.tlb.forget(context);
    }

    /// Forgets all translations.
    pub fn invalidate_all(&mut self) {
        self.tlb = Tlb::default();
    }

    /// Whether it may have come to be what it is.
    pub fn is_possible(&self) -> bool {
        let registers = self.table % PAGE_BYTES == 0 && self.contexts <= super::registers::MAX_CONTEXTS;
        registers && self.tlb.is_possible()
    }
}

/// An entry of the table at `table`: that of the lowest bits of `number`.
fn entry(table: u64, number: u64, ports: &mut Ports<'_>) -> Result<u64, GpuError> {
    let at = table.saturating_add((number & TABLE_MASK).saturating_mul(ENTRY_BYTES));
    Ok(ports.dma.read_u64(Iova(at))?)
}

fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().copied().map_or(0, u64::from_le_bytes)
}
