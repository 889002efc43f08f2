//! Four-level page walks (Intel SDM vol. 3, chapter 5).

use crate::control::{Cr0, Cr4, Efer};
use crate::cpu::Cpu;
use crate::cpuid::PHYSICAL_BITS;
use crate::mem::view::{SUPERVISOR, USER};

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const FOR_USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
const NX: u64 = 1 << 63;
const ADDRESS: u64 = ((1 << PHYSICAL_BITS) - 1) & !0xfff;
const RESERVED: u64 = ((1 << 52) - 1) & !((1 << PHYSICAL_BITS) - 1);

/// Bits of a page fault's error code (vol. 3, figure 5-12).
pub mod code {
    pub const PRESENT: u32 = 1;
    pub const WRITE: u32 = 2;
    pub const USER: u32 = 4;
    pub const RESERVED: u32 = 8;
    pub const FETCH: u32 = 16;
}

/// What an access wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Read data.
    Read,
    /// Write data.
    Write,
    /// Fetch an instruction.
    Fetch,
}

/// A translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Physical address of the byte asked for.
    pub gpa: u64,
    /// Writes may skip the walk: allowed, and the dirty bit is set.
    pub writable: bool,
    /// A global page.
    pub global: bool,
    /// Larger than 4 KiB.
    pub large: bool,
}

/// One entry on the way down: where it lies and what it held.
type Visited = (u64, u64);

impl Cpu {
    /// Translates a linear address for an access with the rights of a view, and sets accessed and dirty bits. The error is a
    /// page fault's error code.
    pub(crate) fn walk(&mut self, addr: u64, want: Want, view: usize) -> Result<Mapping, u32> {
        // A guest can have every instruction walk the tables, twice.
        self.listen();
        if !self.sys.has_cr0(Cr0::PG) {
            return Ok(Mapping { gpa: addr, writable: true, global: false, large: false });
        }
        let (nxe, user) = (self.sys.has_efer(Efer::NXE), view == USER);
        let mut code = 0;
        if want == Want::Write {
            code |= code::WRITE;
        }
        if user {
            code |= code::USER;
        }
        if want == Want::Fetch && (nxe || self.sys.has_cr4(Cr4::SMEP)) {
            code |= code::FETCH;
        }
        let mut path: [Visited; 4] = [(0, 0); 4];
        let mut rights = WRITABLE | FOR_USER;
        let mut no_execute = 0;
        let mut table = self.sys.cr3 & ADDRESS;
        for (step, shift) in [39u32, 30, 21, 12].into_iter().enumerate() {
            let at = table | ((addr >> shift) & 0x1ff) << 3;
            // Tables outside RAM read as ones, which sets reserved bits.
            let entry: u64 = self.ram.read(at).unwrap_or(!0);
            if entry & PRESENT == 0 {
                return Err(code);
            }
            path[step] = (at, entry);
            rights &= entry;
            no_execute |= entry & NX;
            let leaf = shift == 12 || entry & LARGE != 0;
            if entry & reserved(shift, leaf, nxe) != 0 {
                return Err(code | code::PRESENT | code::RESERVED);
            }
            if leaf {
                let protected = self.sys.has_cr0(Cr0::WP);
                let may_write = rights & WRITABLE != 0 || (!user && !protected);
                let refused = (user && rights & FOR_USER == 0)
                    || (!user && rights & FOR_USER != 0 && self.keeps_out(view, want))
                    || (want == Want::Write && !may_write)
                    || (want == Want::Fetch && no_execute != 0);
                if refused {
                    return Err(code | code::PRESENT);
                }
                self.mark(&path[..=step], want == Want::Write);
                let offset = (1u64 << shift) - 1;
                return Ok(Mapping {
                    gpa: (entry & ADDRESS & !offset) | (addr & offset),
                    writable: may_write && (want == Want::Write || entry & DIRTY != 0),
                    global: entry & GLOBAL != 0 && self.sys.has_cr4(Cr4::PGE),
                    large: shift != 12,
                });
            }
            table = entry & ADDRESS;
        }
        // Not reached: the last level is always a leaf.
        Err(code | code::PRESENT | code::RESERVED)
    }

    /// Whether the supervisor may not have a page of the user's (Intel SDM vol. 3, 5.6.1).
    fn keeps_out(&self, view: usize, want: Want) -> bool {
        match want {
            Want::Fetch => self.sys.has_cr4(Cr4::SMEP),
            Want::Read | Want::Write => view == SUPERVISOR && self.sys.has_cr4(Cr4::SMAP),
        }
    }

    /// Sets the accessed bits along the path, and the dirty bit of its last entry.
    fn mark(&mut self, path: &[Visited], dirty: bool) {
        let last = path.len() - 1;
        for (n, &(at, entry)) in path.iter().enumerate() {
            let set = if n == last && dirty { ACCESSED | DIRTY } else { ACCESSED };
            if entry & set != set && self.ram.write(at, entry | set) {
                self.code.written(at, 8);
            }
        }
    }
}

/// The bits that must be zero in an entry of the level that maps `1 << shift` bytes.
fn reserved(shift: u32, leaf: bool, nxe: bool) -> u64 {
    let nx = if nxe { 0 } else { NX };
    // Bit 12 of a large page is its PAT bit.
    let low = match (shift, leaf) {
        (39, true) => LARGE,
        (30 | 21, true) => ((1 << shift) - 1) & !0x1fff,
        _ => 0,
    };
    RESERVED | nx | low
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
