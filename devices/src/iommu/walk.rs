//! Root, context and second-level tables in guest memory (Intel VT-d specification 3.3, chapters 3 and 9, legacy
//! mode). Nothing here caches.

use serde::{Deserialize, Serialize};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::ports::Access;

use super::registers::{GUEST_ADDRESS_BITS, HOST_ADDRESS_BITS};

/// Why a request was refused, with the fault reason code that software reads (table 25).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// The present bit of the root entry is clear.
    RootNotPresent = 0x1,
    /// The present bit of the context entry is clear.
    ContextNotPresent = 0x2,
    /// The context entry asks for something that is not announced.
    ContextInvalid = 0x3,
    /// The address is beyond the width that the tables translate.
    AddressBeyond = 0x4,
    /// No write permission.
    Write = 0x5,
    /// No read permission.
    Read = 0x6,
    /// A second-level entry lies outside memory.
    TableAccess = 0x7,
    /// The root entry lies outside memory.
    RootAccess = 0x8,
    /// The context entry lies outside memory.
    ContextAccess = 0x9,
    /// Reserved bits are set in a root entry.
    RootReserved = 0xa,
    /// Reserved bits are set in a context entry.
    ContextReserved = 0xb,
    /// Reserved bits are set in a second-level entry.
    TableReserved = 0xc,
}

/// A refused request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// The context entry asks that its faults are not recorded (FPD).
    pub silent: bool,
}

/// A context entry that passed every check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Domain id.
    pub domain: u16,
    /// Where the second-level table is; `None` passes addresses through.
    pub table: Option<u64>,
    /// Faults of this requester are not recorded.
    pub silent: bool,
}

/// The leaf a walk ended at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Guest-physical address of the page.
    pub gpa: u64,
    /// log2 of the page's size: 12, 21 or 30.
    pub page_bits: u32,
    /// Every entry on the way grants reading.
    pub read: bool,
    /// Every entry on the way grants writing.
    pub write: bool,
}

const PRESENT: u64 = 1;
const CONTEXT_FAULTS_OFF: u64 = 1 << 1;
const ENTRY_READ: u64 = 1;
const ENTRY_WRITE: u64 = 1 << 1;
const ENTRY_SUPERPAGE: u64 = 1 << 7;
const LEVELS: u32 = 4;
/// The AW field of a context entry for four-level tables.
const ADDRESS_WIDTH_FOUR_LEVELS: u64 = 2;

/// The low `bits` bits.
const fn low_mask(bits: u32) -> u64 {
    (1u64 << bits).saturating_sub(1)
}

/// Address bits of an entry: a 4 KiB frame below the host address width.
const FRAME: u64 = low_mask(HOST_ADDRESS_BITS) & !0xfff;
/// Address bits beyond the host address width, up to bit 51 where ignored bits begin.
const BEYOND_HOST: u64 = low_mask(52) & !low_mask(HOST_ADDRESS_BITS);

/// Whether `iova` is an address that the tables can translate.
pub fn is_within_width(iova: u64) -> bool {
    iova <= low_mask(GUEST_ADDRESS_BITS)
}

fn read_entry(memory: &GuestMemoryMmap, table: u64, offset: u64) -> Option<u64> {
    memory.read_obj(GuestAddress(table.checked_add(offset)?)).ok()
}

/// Looks up the context entry of requester `rid` under the root table at `root` (9.1, 9.3).
pub fn context(memory: &GuestMemoryMmap, root: u64, rid: u16) -> Result<Context, Refusal> {
    let loud = |reason| Refusal { reason, silent: false };
    let (bus, devfn) = (u64::from(rid >> 8), u64::from(rid & 0xff));
    let root_offset = bus.saturating_mul(16);
    let low = read_entry(memory, root, root_offset).ok_or(loud(Reason::RootAccess))?;
    let high = read_entry(memory, root, root_offset.saturating_add(8)).ok_or(loud(Reason::RootAccess))?;
    if low & PRESENT == 0 {
        return Err(loud(Reason::RootNotPresent));
    }
    if low & !(FRAME | PRESENT) != 0 || high != 0 {
        return Err(loud(Reason::RootReserved));
    }
    let (table, offset) = (low & FRAME, devfn.saturating_mul(16));
    let low = read_entry(memory, table, offset).ok_or(loud(Reason::ContextAccess))?;
    let high = read_entry(memory, table, offset.saturating_add(8)).ok_or(loud(Reason::ContextAccess))?;
    let silent = low & CONTEXT_FAULTS_OFF != 0;
    check_context(low, high).map_err(|reason| Refusal { reason, silent })
}

fn check_context(low: u64, high: u64) -> Result<Context, Reason> {
    if low & PRESENT == 0 {
        return Err(Reason::ContextNotPresent);
    }
    // Low: bits 4..12 and beyond the host width. High: bit 7 and bits 24..64 (bits 3..7 are software's).
    if low & !(FRAME | 0xf) != 0 || high & !0x00ff_ff7f != 0 {
        return Err(Reason::ContextReserved);
    }
    let table = match low >> 2 & 3 {
        0 => Some(low & FRAME),
        2 => None,
        // 1 needs device TLBs, which are not announced; 3 is reserved.
        _ => return Err(Reason::ContextInvalid),
    };
    if high & 7 != ADDRESS_WIDTH_FOUR_LEVELS {
        return Err(Reason::ContextInvalid);
    }
    Ok(Context { domain: (high >> 8) as u16, table, silent: low & CONTEXT_FAULTS_OFF != 0 })
}

/// Walks a second-level table for the pages of one request. It remembers the last table of the lowest level, so that pages that follow
/// each other take one read each; a processor's stores come before or after the request.
#[derive(Debug)]
pub struct Walker {
    top: Table,
    last: Option<(u64, Table)>,
}

/// A table on the way, and what the entries above it grant.
#[derive(Clone, Copy, Debug)]
struct Table {
    level: u32,
    at: u64,
    read: bool,
    write: bool,
}

/// The bits of an address that the lowest table resolves, and those of the page.
const LOWEST_BITS: u32 = 21;

impl Walker {
    /// Of the table at `table`.
    pub fn new(table: u64) -> Self {
        Walker { top: Table { level: LEVELS, at: table, read: true, write: true }, last: None }
    }

    /// Walks for an access to `iova` (3.7, 9.8). An entry without the right that the access needs ends the walk; so does one with
    /// neither right, which is not present.
    pub fn translate(&mut self, memory: &GuestMemoryMmap, iova: u64, access: Access) -> Result<Leaf, Reason> {
        let region = iova >> LOWEST_BITS;
        let known = self.last.filter(|(known, _)| *known == region);
        let mut table = known.map_or(self.top, |(_, table)| table);
        loop {
            let page_bits = table.level.saturating_mul(9).saturating_add(3);
            let offset = (iova >> page_bits & 0x1ff).saturating_mul(8);
            let entry = read_entry(memory, table.at, offset).ok_or(Reason::TableAccess)?;
            if entry & (ENTRY_READ | ENTRY_WRITE) != 0 {
                check_entry(entry, table.level, page_bits)?;
            }
            table.read &= entry & ENTRY_READ != 0;
            table.write &= entry & ENTRY_WRITE != 0;
            match access {
                Access::Read if !table.read => return Err(Reason::Read),
                Access::Write if !table.write => return Err(Reason::Write),
                _ => {}
            }
            table.at = entry & FRAME;
            if table.level == 1 || entry & ENTRY_SUPERPAGE != 0 {
                return Ok(Leaf { gpa: table.at, page_bits, read: table.read, write: table.write });
            }
            table.level = table.level.saturating_sub(1);
            if table.level == 1 {
                self.last = Some((region, table));
            }
        }
    }
}

/// Reserved bits of a present entry: beyond the host width; the superpage bit at the top level; in a superpage, the
/// address bits below its size.
fn check_entry(entry: u64, level: u32, page_bits: u32) -> Result<(), Reason> {
    let superpage = level > 1 && entry & ENTRY_SUPERPAGE != 0;
    let unaligned = superpage && entry & FRAME & low_mask(page_bits) != 0;
    let bad = entry & BEYOND_HOST != 0 || (superpage && level == LEVELS) || unaligned;
    if bad { Err(Reason::TableReserved) } else { Ok(()) }
}
