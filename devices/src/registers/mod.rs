//! Registers as one table, for every device: BAR 0 of the functions, the IOMMU's page, configuration space.
//!
//! A table is a list of [`Register`] rows, compared with the table of the device's page in `docs/` by a test. A device whose
//! registers stand for fields of its state gives each row an id and makes a [`Map`] of them, which its reads and writes go
//! through. One whose registers are bits that keep what was written makes a [`RegisterFile`].

mod file;
mod map;
#[cfg(test)]
mod tests;

pub use file::RegisterFile;
pub use map::{Half, Map, Place};

/// What the guest may do with a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Writes are ignored.
    ReadOnly,
    /// Writes take effect at any time.
    ReadWrite,
    /// Writes take effect at any time; reads as zero.
    WriteOnly,
    /// Writes take effect at any time, and what is read is something else than what was written.
    Acting,
    /// Writing ones clears bits.
    ClearByOnes,
    /// Writes take effect in the states that the page names, and are refused or ignored in others.
    Locked,
}

/// One row: a register, or several of one kind at equal distances, and that in one or several sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register<Id = ()> {
    /// By what the device's code knows it.
    pub id: Id,
    /// What the page or the specification calls it.
    pub name: &'static str,
    /// Byte offset, of the first of several.
    pub offset: usize,
    /// Width in bytes: 1, 2, 4 or 8.
    pub width: usize,
    /// How many there are in a set.
    pub count: usize,
    /// Bytes from one to the next, if there are several.
    pub stride: usize,
    /// How many sets of registers it is in.
    pub sets: usize,
    /// Bytes from one set to the next, if there are several.
    pub set_stride: usize,
    /// What the guest may do with it.
    pub access: Access,
    /// Value after reset; none where configuration, time or the picture source decides.
    pub reset: Option<u64>,
    /// Bits that the guest can write, or that act when written.
    pub writable: u64,
    /// Bits that the guest clears by writing ones.
    pub clear: u64,
}

const fn register(name: &'static str, offset: usize, width: usize, access: Access, reset: u64) -> Register {
    let (writable, clear, reset) = (0, 0, Some(reset));
    let (count, stride, sets, set_stride) = (1, 0, 1, 0);
    Register { id: (), name, offset, width, count, stride, sets, set_stride, access, reset, writable, clear }
}

/// A register that the guest can only read.
pub const fn read_only(name: &'static str, offset: usize, width: usize, reset: u64) -> Register {
    register(name, offset, width, Access::ReadOnly, reset)
}

/// A register with bits that the guest can write.
pub const fn read_write(
    name: &'static str,
    offset: usize,
    width: usize,
    reset: u64,
    writable: u64,
) -> Register {
    Register { writable, ..register(name, offset, width, Access::ReadWrite, reset) }
}

/// A register whose bits act when written, and that reads as the device says.
pub const fn acting(name: &'static str, offset: usize, width: usize, reset: u64, writable: u64) -> Register {
    Register { writable, ..register(name, offset, width, Access::Acting, reset) }
}

/// A register whose bits act when written, and that reads as zero.
pub const fn write_only(name: &'static str, offset: usize, width: usize, writable: u64) -> Register {
    Register { writable, ..register(name, offset, width, Access::WriteOnly, 0) }
}

/// A register with bits that the guest clears by writing ones.
pub const fn clear_by_ones(
    name: &'static str,
    offset: usize,
    width: usize,
    reset: u64,
    clear: u64,
) -> Register {
    Register { clear, ..register(name, offset, width, Access::ClearByOnes, reset) }
}

/// A register that the guest can write whole, in some states of the device.
pub const fn locked(name: &'static str, offset: usize, width: usize, reset: u64) -> Register {
    Register { writable: all(width), ..register(name, offset, width, Access::Locked, reset) }
}

/// All bits of a register of `width` bytes.
pub const fn all(width: usize) -> u64 {
    match width {
        1 => 0xff,
        2 => 0xffff,
        4 => 0xffff_ffff,
        _ => u64::MAX,
    }
}

impl Register {
    /// The same register, known as `id`.
    pub const fn id<Id: Copy>(self, id: Id) -> Register<Id> {
        self.known_as(id)
    }

    /// The same register, `count` times, `stride` bytes apart.
    pub const fn each(self, count: usize, stride: usize) -> Self {
        Register { count, stride, ..self }
    }

    /// The same register in each of `sets` sets, `set_stride` bytes apart.
    pub const fn in_sets(self, sets: usize, set_stride: usize) -> Self {
        Register { sets, set_stride, ..self }
    }

    /// The same register, with a value after reset that is not the model's to say.
    pub const fn configured(self) -> Self {
        Register { reset: None, ..self }
    }
}

impl<Id: Copy> Register<Id> {
    /// The same register without its id.
    pub const fn anonymous(&self) -> Register {
        self.known_as(())
    }

    const fn known_as<Other: Copy>(&self, id: Other) -> Register<Other> {
        let &Register { name, offset, width, count, stride, sets, set_stride, .. } = self;
        let &Register { access, reset, writable, clear, .. } = self;
        Register { id, name, offset, width, count, stride, sets, set_stride, access, reset, writable, clear }
    }

    /// How many registers the row is, in all sets.
    pub const fn all(&self) -> usize {
        self.count.saturating_mul(self.sets)
    }

    /// Where register `index` of all in this row starts: those of the first set, then those of the next.
    pub const fn place(&self, index: usize) -> usize {
        let (set, in_set) = match (index.checked_div(self.count), index.checked_rem(self.count)) {
            (Some(set), Some(in_set)) => (set, in_set),
            _ => (0, 0),
        };
        let set_start = self.offset.saturating_add(self.set_stride.saturating_mul(set));
        set_start.saturating_add(self.stride.saturating_mul(in_set))
    }

    /// Bytes from the first register of a set to the end of its last.
    const fn span(&self) -> usize {
        self.stride.saturating_mul(self.count.saturating_sub(1)).saturating_add(self.width)
    }

    /// Where the last register of the row ends.
    const fn end(&self) -> usize {
        self.place(self.all().saturating_sub(1)).saturating_add(self.width)
    }

    /// What is wrong with the row by itself, in `bytes` bytes of registers.
    const fn flaw(&self, bytes: usize) -> Option<&'static str> {
        let known = self.writable | self.clear;
        let unaligned = match self.width {
            1 => 0,
            2 => 1,
            _ => 3,
        };
        if self.name.is_empty() {
            return Some("a register has no name");
        }
        if !matches!(self.width, 1 | 2 | 4 | 8) {
            return Some("a register is 1, 2, 4 or 8 bytes wide");
        }
        if (self.offset | self.stride | self.set_stride) & unaligned != 0 {
            return Some("a register is not aligned");
        }
        let none = self.count == 0 || self.sets == 0;
        let overlaps = self.count > 1 && self.stride < self.width;
        if none || overlaps || (self.sets > 1 && self.set_stride < self.span()) {
            return Some("registers of one row overlap");
        }
        if self.end() > bytes {
            return Some("a register lies outside the BAR");
        }
        if known & !all(self.width) != 0 || self.writable & self.clear != 0 {
            return Some("bits beyond the register, or both written and cleared");
        }
        let fits = match self.access {
            Access::ReadOnly => known == 0,
            Access::WriteOnly => self.clear == 0 && self.writable != 0 && matches!(self.reset, Some(0)),
            Access::ClearByOnes => self.clear != 0,
            Access::ReadWrite | Access::Locked | Access::Acting => self.writable != 0,
        };
        if fits { None } else { Some("access and bits do not fit together") }
    }

    /// Whether any register of this row shares a byte with one of `other`.
    const fn overlaps(&self, other: &Register<Id>) -> bool {
        if self.end() <= other.offset || other.end() <= self.offset {
            return false;
        }
        let mut mine = 0;
        while mine < self.all() {
            let mut its = 0;
            while its < other.all() {
                let (a, b) = (self.place(mine), other.place(its));
                if a < b.saturating_add(other.width) && b < a.saturating_add(self.width) {
                    return true;
                }
                its = its.saturating_add(1);
            }
            mine = mine.saturating_add(1);
        }
        false
    }
}

/// What is wrong with a table of `bytes` bytes of registers, if anything is.
pub const fn flaw<Id: Copy>(registers: &[Register<Id>], bytes: usize) -> Option<&'static str> {
    let mut first = 0;
    while first < registers.len() {
        let flaw = registers[first].flaw(bytes);
        if flaw.is_some() {
            return flaw;
        }
        let mut second = first.saturating_add(1);
        while second < registers.len() {
            if registers[first].overlaps(&registers[second]) {
                return Some("two registers overlap");
            }
            second = second.saturating_add(1);
        }
        first = first.saturating_add(1);
    }
    None
}

/// Ends the compilation, or the program, if the table has a flaw.
pub const fn check<Id: Copy>(registers: &[Register<Id>], bytes: usize) {
    if let Some(flaw) = flaw(registers, bytes) {
        panic!("{}", flaw);
    }
}
