//! A device's registers by offset: what a 32-bit word of BAR 0 is.

use super::{Access, Register, check};

/// The registers of a device whose accesses come as aligned 32-bit words.
#[derive(Debug)]
pub struct Map<Id: 'static> {
    registers: &'static [Register<Id>],
}

/// The half of a register that a 32-bit word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Bits 31:0.
    Low,
    /// Bits 63:32.
    High,
}

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<Id: 'static> {
    /// The row.
    pub register: &'static Register<Id>,
    /// Which register of the row.
    pub index: usize,
    /// Which half of it.
    pub half: Half,
}

impl<Id: Copy + PartialEq> Map<Id> {
    /// A map of `bytes` bytes. Made in a constant, it ends the compilation if the table has a flaw.
    pub const fn new(registers: &'static [Register<Id>], bytes: usize) -> Self {
        check(registers, bytes);
        let mut at = 0;
        while at < registers.len() {
            assert!(registers[at].width >= 4, "registers that are accessed in words are words");
            assert!(registers[at].sets == 1, "a map is of one set");
            at = at.saturating_add(1);
        }
        Map { registers }
    }

    /// The rows, without their ids.
    pub fn rows(&self) -> Vec<Register> {
        self.registers.iter().map(Register::anonymous).collect()
    }

    /// What is at `offset`, a multiple of 4; none where no register is.
    pub fn at(&self, offset: u32) -> Option<Place<Id>> {
        self.registers.iter().find_map(|register| {
            let behind = (offset as usize).checked_sub(register.offset)?;
            let index = behind.checked_div(register.stride).unwrap_or(0);
            let half = match behind.checked_sub(register.stride.saturating_mul(index))? {
                0 => Half::Low,
                4 if register.width == 8 => Half::High,
                _ => return None,
            };
            (index < register.count).then_some(Place { register, index, half })
        })
    }

    /// Where the registers known as `id` are.
    pub fn offsets(&self, id: Id) -> impl Iterator<Item = u32> {
        let rows = self.registers.iter().filter(move |register| register.id == id);
        rows.flat_map(|row| (0..row.count).map(|index| row.place(index) as u32))
    }
}

impl<Id: Copy> Place<Id> {
    /// The word that the guest reads when the register holds `value`.
    pub fn read(&self, value: u64) -> u32 {
        match self.register.access {
            Access::WriteOnly => 0,
            _ => self.half.of(value),
        }
    }

    /// The bits of the word `value` that the guest's write means; none if the register ignores writes.
    pub fn write(&self, value: u32) -> Option<u32> {
        let bits = self.half.of(self.register.writable | self.register.clear);
        (self.register.access != Access::ReadOnly).then_some(value & bits)
    }
}

impl Half {
    /// This half of `value`.
    pub fn of(self, value: u64) -> u32 {
        match self {
            Half::Low => value as u32,
            Half::High => (value >> 32) as u32,
        }
    }

    /// `value` with this half replaced.
    pub fn put(self, value: u64, half: u32) -> u64 {
        match self {
            Half::Low => (value & !0xffff_ffff) | u64::from(half),
            Half::High => (value & 0xffff_ffff) | (u64::from(half) << 32),
        }
    }
}
