//! The x87 register stack: what one instruction sees of it, with exceptions collected until it is done.

use super::env::{Env, flag};
use super::host;
use super::number::{F80, Format, Num};
use crate::state::FpuState;

/// Status word: stack fault.
pub const SF: u16 = 0x40;
/// Status word: an unmasked exception waits.
pub const ES: u16 = 0x80;
/// Status word: condition code 0.
pub const C0: u16 = 0x100;
/// Status word: condition code 1.
pub const C1: u16 = 0x200;
/// Status word: condition code 2.
pub const C2: u16 = 0x400;
/// Status word: condition code 3.
pub const C3: u16 = 0x4000;
/// Status word: busy, always the same as [`ES`].
pub const BUSY: u16 = 0x8000;
const TOP: u16 = 0x3800;

/// The x87 as one instruction uses it. [`finish`](Unit::finish) makes its exceptions visible.
pub struct Unit<'a> {
    f: &'a mut FpuState,
    /// Control bits, and the exceptions so far.
    pub env: Env,
    stack_fault: bool,
    /// What C1 becomes.
    pub c1: bool,
}

impl<'a> Unit<'a> {
    /// Starts an instruction.
    pub fn new(f: &'a mut FpuState) -> Self {
        let env = Env::from_fcw(f.fcw);
        Unit { f, env, stack_fault: false, c1: false }
    }

    /// Ends the instruction: flags become sticky, C1 is set, and an unmasked exception waits for the next instruction.
    pub fn finish(self) {
        // An unmasked exception found before computing leaves nothing to find after.
        let flags = if self.blocked() { self.env.flags & flag::PRE_COMPUTATION } else { self.env.flags };
        let f = self.f;
        f.fsw &= !C1;
        f.fsw |= u16::from(flags);
        if self.stack_fault {
            f.fsw |= SF;
        }
        if self.c1 {
            f.fsw |= C1;
        }
        summarise(f);
    }

    /// The format that precision control asks for (Intel SDM vol. 1, table 8-2).
    pub fn format(&self) -> Format {
        let precision = match self.f.fcw >> 8 & 3 {
            0 => 24,
            2 => 53,
            _ => 64,
        };
        Format { precision, ..F80 }
    }

    fn physical(&self, i: usize) -> usize {
        ((self.f.fsw >> 11) as usize + i) & 7
    }

    fn set_top(&mut self, top: usize) {
        self.f.fsw = self.f.fsw & !TOP | (top as u16 & 7) << 11;
    }

    /// Whether ST(i) is empty.
    pub fn is_empty(&self, i: usize) -> bool {
        self.f.ftw >> self.physical(i) & 1 == 0
    }

    /// The 80 bits of ST(i).
    pub fn raw(&self, i: usize) -> u128 {
        self.f.r[self.physical(i)] & ((1 << 80) - 1)
    }

    /// ST(i); an empty register is a stack underflow and gives the default NaN.
    pub fn st(&mut self, i: usize) -> Num {
        if self.is_empty(i) {
            self.underflow();
            return Num::default_nan();
        }
        Num::from_f80(self.raw(i))
    }

    /// Whether any of the registers is empty, which is then raised as a stack underflow.
    pub fn any_empty(&mut self, registers: &[usize]) -> bool {
        let empty = registers.iter().any(|&i| self.is_empty(i));
        if empty {
            self.underflow();
        }
        empty
    }

    fn underflow(&mut self) {
        self.env.raise(flag::INVALID);
        self.stack_fault = true;
        self.c1 = false;
    }

    /// Whether pushing would overflow the stack, which is then raised.
    pub fn overflows(&mut self) -> bool {
        let full = !self.is_empty(7);
        if full {
            self.env.raise(flag::INVALID);
            self.stack_fault = true;
            self.c1 = true;
        }
        full
    }

    /// Whether an unmasked exception forbids any result (those found before computing).
    pub fn blocked(&self) -> bool {
        self.env.unmasked_raised() & flag::PRE_COMPUTATION != 0
    }

    /// Whether an unmasked exception forbids storing to memory; then nothing was rounded either.
    pub fn store_blocked(&mut self) -> bool {
        let blocked = self.env.unmasked_raised() & !flag::PRECISION != 0;
        if blocked {
            self.env.flags &= !flag::PRECISION;
            self.c1 = false;
        }
        blocked
    }

    /// Writes 80 bits into ST(i), which is then in use.
    pub fn set_raw(&mut self, i: usize, bits: u128) {
        let n = self.physical(i);
        self.f.r[n] = bits;
        self.f.ftw |= 1 << n;
    }

    /// Writes a result into ST(i), unless an unmasked exception forbids it. Says whether it did.
    pub fn set(&mut self, i: usize, value: Num) -> bool {
        if self.blocked() {
            return false;
        }
        self.c1 |= self.env.rounded_up;
        self.set_raw(i, value.to_f80());
        true
    }

    /// Whether the host may compute with these registers: it does as the control word says, and none is empty.
    #[inline]
    pub fn is_hosted(&self, registers: &[usize]) -> bool {
        host::serves(self.f.fcw) && registers.iter().all(|&i| !self.is_empty(i))
    }

    /// Has the host compute on the registers, of which it is told the numbers of ST(i) and ST(j). What it gives is the status word,
    /// from which exceptions and C1 are taken.
    #[inline]
    pub fn by_host(
        &mut self,
        i: usize,
        j: usize,
        compute: impl FnOnce(&mut host::Registers, usize, usize) -> u16,
    ) {
        host::begin(self.f.fsw);
        let (i, j) = (self.physical(i), self.physical(j));
        let status = compute(&mut self.f.r, i, j);
        self.env.raise(status as u8 & flag::ALL);
        self.c1 = status & C1 != 0;
    }

    /// Pushes a value (the default NaN on overflow), unless an unmasked exception forbids it.
    pub fn push_raw(&mut self, bits: u128) {
        let bits = if self.overflows() { Num::default_nan().to_f80() } else { bits };
        if !self.blocked() {
            self.push_unchecked(bits);
        }
    }

    /// Pushes the default NaN after a stack underflow, unless that is not masked.
    pub fn push_indefinite(&mut self) {
        if !self.blocked() {
            self.push_unchecked(Num::default_nan().to_f80());
        }
    }

    /// Pushes onto a stack that is known to have room.
    pub fn push_unchecked(&mut self, bits: u128) {
        self.set_top(self.physical(7));
        self.set_raw(0, bits);
    }

    /// Empties ST(0) and moves the stack top.
    pub fn pop(&mut self) {
        self.free(0);
        self.set_top(self.physical(1));
    }

    /// Empties ST(i).
    pub fn free(&mut self, i: usize) {
        self.f.ftw &= !(1 << self.physical(i));
    }

    /// Moves the stack top by `by` registers.
    pub fn rotate(&mut self, by: usize) {
        self.set_top(self.physical(by));
    }

    /// Clears C2: nothing is left to be done again.
    pub fn clear_c2(&mut self) {
        self.f.fsw &= !C2;
    }

    /// Sets C2: the operand must be reduced first.
    pub fn set_c2(&mut self) {
        self.f.fsw |= C2;
    }

    /// Sets C3, C2 and C0 to those of `bits`.
    pub fn set_conditions(&mut self, bits: u16) {
        self.f.fsw = self.f.fsw & !(C0 | C2 | C3) | bits & (C0 | C2 | C3);
    }
}

/// Sets ES and B by whether an unmasked exception is flagged.
pub fn summarise(f: &mut FpuState) {
    if f.fsw & !f.fcw & u16::from(flag::ALL) != 0 {
        f.fsw |= ES | BUSY;
    } else {
        f.fsw &= !(ES | BUSY);
    }
}

/// FNINIT (Intel SDM vol. 1, 8.1.3 to 8.1.8); MXCSR and the registers' contents stay.
pub fn init(f: &mut FpuState) {
    f.fcw = 0x37f;
    f.fsw = 0;
    f.ftw = 0;
    f.fop = 0;
    f.fip = 0;
    f.fdp = 0;
}
