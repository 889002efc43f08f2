//! The first vCPU's state at the kernel's 64-bit entry, and the tables it points to
//! (Linux, Documentation/arch/x86/boot.rst, "64-bit boot protocol").

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::{Error, layout};

/// A segment register with its hidden part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntrySegment {
    /// The visible selector.
    pub selector: u16,
    /// Base address.
    pub base: u64,
    /// Last valid offset in bytes.
    pub limit: u32,
    /// Bits 8..24 of the descriptor's second word, shifted down by 8: type 0..4, S 4, DPL 5..7, P 7, AVL 12, L 13,
    /// D/B 14, G 15.
    pub attributes: u16,
}

/// Register values at the first instruction; those not named are zero, interrupts are off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The kernel's 64-bit entry.
    pub rip: u64,
    /// The zero page.
    pub rsi: u64,
    /// A small stack (the kernel has its own; a bare-metal program may use it).
    pub rsp: u64,
    /// Only the reserved bit 1 is set.
    pub rflags: u64,
    /// Protected mode and paging on.
    pub cr0: u64,
    /// The identity-mapping page tables.
    pub cr3: u64,
    /// PAE on.
    pub cr4: u64,
    /// Long mode enabled and active.
    pub efer: u64,
    /// Flat 64-bit code, selector 0x10 (`__BOOT_CS`).
    pub cs: EntrySegment,
    /// DS, ES, SS, FS and GS: flat data, selector 0x18 (`__BOOT_DS`).
    pub data: EntrySegment,
    /// A busy 64-bit TSS: hardware-assisted back ends insist on one.
    pub tr: EntrySegment,
    /// GDT base.
    pub gdt_base: u64,
    /// GDT limit: its last valid byte offset.
    pub gdt_limit: u16,
    /// IDT base; the limit is 0, so that any exception is fatal.
    pub idt_base: u64,
    /// IDT limit.
    pub idt_limit: u16,
}

/// PE, ET, NE, PG.
const CR0: u64 = 0x8000_0031;
const CR4_PAE: u64 = 1 << 5;
/// LME and LMA.
const EFER: u64 = 0x500;

const CODE: EntrySegment = EntrySegment { selector: 0x10, base: 0, limit: u32::MAX, attributes: 0xa09b };
const DATA: EntrySegment = EntrySegment { selector: 0x18, base: 0, limit: u32::MAX, attributes: 0xc093 };
const TSS: EntrySegment = EntrySegment { selector: 0x20, base: 0, limit: 0x67, attributes: 0x008b };

/// Entries of the GDT: null, null, code, data, and a TSS of two entries.
const GDT_ENTRIES: usize = 6;

impl Entry {
    /// The entry state for a kernel that starts at `rip`.
    pub(crate) fn at(rip: u64) -> Entry {
        Entry {
            rip,
            rsi: layout::ZERO_PAGE,
            rsp: layout::BOOT_STACK_TOP,
            rflags: 2,
            cr0: CR0,
            cr3: layout::BOOT_PAGE_TABLES,
            cr4: CR4_PAE,
            efer: EFER,
            cs: CODE,
            data: DATA,
            tr: TSS,
            gdt_base: layout::BOOT_GDT,
            gdt_limit: (GDT_ENTRIES * 8 - 1) as u16,
            idt_base: 0,
            idt_limit: 0,
        }
    }
}

/// A segment as its 8-byte descriptor (Intel SDM vol. 3, 3.4.5).
fn descriptor(segment: &EntrySegment) -> u64 {
    let granular = segment.attributes & 0x8000 != 0;
    let limit = u64::from(if granular { segment.limit >> 12 } else { segment.limit });
    let attributes = u64::from(segment.attributes & 0xf0ff);
    (limit & 0xffff)
        | (segment.base & 0xff_ffff) << 16
        | attributes << 40
        | (limit >> 16 & 0xf) << 48
        | (segment.base >> 24 & 0xff) << 56
}

/// Writes the GDT and the page tables that [`Entry`] points to.
pub(crate) fn write_tables(memory: &GuestMemoryMmap<()>) -> Result<(), Error> {
    let gdt: [u64; GDT_ENTRIES] = [0, 0, descriptor(&CODE), descriptor(&DATA), descriptor(&TSS), 0];
    for (index, entry) in gdt.iter().enumerate() {
        memory.write_obj(entry.to_le(), GuestAddress(layout::BOOT_GDT + 8 * index as u64))?;
    }
    write_page_tables(memory)
}

/// Maps the first 4 GiB onto themselves in 2 MiB pages, which every x86-64 CPU has.
fn write_page_tables(memory: &GuestMemoryMmap<()>) -> Result<(), Error> {
    const PAGE: u64 = 0x1000;
    const PRESENT_WRITABLE: u64 = 3;
    const LARGE: u64 = 1 << 7;
    let top = layout::BOOT_PAGE_TABLES;
    let pointers = top + PAGE;
    memory.write_obj(pointers | PRESENT_WRITABLE, GuestAddress(top))?;
    for gib in 0..4 {
        let directory = pointers + PAGE * (gib + 1);
        memory.write_obj(directory | PRESENT_WRITABLE, GuestAddress(pointers + 8 * gib))?;
        for large_page in 0..512 {
            let address = gib << 30 | large_page << 21;
            let entry = address | PRESENT_WRITABLE | LARGE;
            memory.write_obj(entry, GuestAddress(directory + 8 * large_page))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_the_well_known_flat_ones() {
        assert_eq!(descriptor(&CODE), 0x00af_9b00_0000_ffff);
        assert_eq!(descriptor(&DATA), 0x00cf_9300_0000_ffff);
        assert_eq!(descriptor(&TSS), 0x0000_8b00_0000_0067);
    }
}
