//! The six status flags, kept as the ingredients of the last result and worked out when somebody asks.
//!
//! `res` gives ZF, SF and PF; `carry` has the carry out of the top bit in bit 63 and the carry into it in bit 62;
//! `fix` has in bit 4 what `res` must be exclusive-ored with to give AF, in bit 8 the same for SF and in bits 16..24
//! the same for the byte PF is taken of. That way every arithmetic result is three stores, and any combination of
//! flags (POPF may ask for ZF and SF both) can be represented.

use crate::value::Int;

/// Carry.
pub const CF: u64 = 1;
/// Parity of the low byte.
pub const PF: u64 = 1 << 2;
/// Carry out of bit 3.
pub const AF: u64 = 1 << 4;
/// Zero.
pub const ZF: u64 = 1 << 6;
/// Sign.
pub const SF: u64 = 1 << 7;
/// Trap after each instruction.
pub const TF: u64 = 1 << 8;
/// Interrupts are taken.
pub const IF: u64 = 1 << 9;
/// String instructions go downwards.
pub const DF: u64 = 1 << 10;
/// Signed overflow.
pub const OF: u64 = 1 << 11;
/// I/O privilege level.
pub const IOPL: u64 = 3 << 12;
/// Nested task.
pub const NT: u64 = 1 << 14;
/// Resume: no breakpoint at the next instruction.
pub const RF: u64 = 1 << 16;
/// Virtual-8086 mode.
pub const VM: u64 = 1 << 17;
/// Alignment check.
pub const AC: u64 = 1 << 18;
/// CPUID is there.
pub const ID: u64 = 1 << 21;
/// The flags kept here.
pub const STATUS: u64 = CF | PF | AF | ZF | SF | OF;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flags {
    res: u64,
    carry: u64,
    fix: u64,
}

impl Flags {
    /// The flags of a set of RFLAGS bits.
    pub fn from_bits(bits: u64) -> Flags {
        let mut flags = Flags {
            // A result that has no flag set but PF, or zero.
            res: if bits & ZF != 0 { 0 } else { 0x100 },
            carry: 0,
            fix: (bits & AF) | (bits & SF) << 1 | u64::from(bits & PF == 0) << 16,
        };
        flags.set_carry_overflow(bits & CF != 0, bits & OF != 0);
        flags
    }

    /// As RFLAGS bits.
    #[inline]
    pub fn bits(&self) -> u64 {
        u64::from(self.cf())
            | u64::from(self.pf()) << 2
            | ((self.res ^ self.fix) & AF)
            | u64::from(self.zf()) << 6
            | u64::from(self.sf()) << 7
            | u64::from(self.of()) << 11
    }

    /// Carry.
    #[inline(always)]
    pub fn cf(&self) -> bool {
        self.carry >> 63 != 0
    }

    /// Signed overflow.
    #[inline(always)]
    pub fn of(&self) -> bool {
        (self.carry ^ (self.carry << 1)) >> 63 != 0
    }

    /// Zero.
    #[inline(always)]
    pub fn zf(&self) -> bool {
        self.res == 0
    }

    /// Sign.
    #[inline(always)]
    pub fn sf(&self) -> bool {
        (self.res ^ (self.fix << 55)) >> 63 != 0
    }

    /// Parity.
    #[inline(always)]
    pub fn pf(&self) -> bool {
        ((self.res ^ (self.fix >> 16)) as u8).count_ones() & 1 == 0
    }

    /// Sets CF and OF, leaves the rest.
    #[inline(always)]
    pub fn set_carry_overflow(&mut self, cf: bool, of: bool) {
        self.carry = u64::from(cf) << 63 | u64::from(cf ^ of) << 62;
    }

    /// Sets CF, leaves the rest.
    #[inline(always)]
    pub fn set_cf(&mut self, cf: bool) {
        let of = self.of();
        self.set_carry_overflow(cf, of);
    }

    /// Sets ZF, leaves the rest.
    pub fn set_zf(&mut self, zf: bool) {
        *self = Flags::from_bits(self.bits() & !ZF | u64::from(zf) << 6);
    }

    /// ZF, SF and PF of a result; CF, OF and AF clear.
    #[inline(always)]
    pub fn logic<T: Int>(&mut self, result: T) {
        self.res = result.sext() as u64;
        self.carry = 0;
        self.fix = self.res & AF;
    }

    /// ZF, SF and PF of a result, CF and OF as given, AF clear.
    #[inline(always)]
    pub fn result<T: Int>(&mut self, result: T, cf: bool, of: bool) {
        self.logic(result);
        self.set_carry_overflow(cf, of);
    }

    /// Adds with a carry in, and sets all flags.
    #[inline(always)]
    pub fn add<T: Int>(&mut self, a: T, b: T, carry_in: bool) -> T {
        let (a, b) = (a.wide(), b.wide());
        let sum = a.wrapping_add(b).wrapping_add(u64::from(carry_in));
        let result = T::cut(sum);
        self.res = result.sext() as u64;
        self.carry = ((a & b) | ((a | b) & !sum)) << (64 - T::BITS);
        self.fix = (a ^ b) & AF;
        result
    }

    /// Subtracts with a borrow in, and sets all flags.
    #[inline(always)]
    pub fn sub<T: Int>(&mut self, a: T, b: T, borrow_in: bool) -> T {
        let (a, b) = (a.wide(), b.wide());
        let difference = a.wrapping_sub(b).wrapping_sub(u64::from(borrow_in));
        let result = T::cut(difference);
        self.res = result.sext() as u64;
        self.carry = ((!a & b) | ((!a | b) & difference)) << (64 - T::BITS);
        self.fix = (a ^ b) & AF;
        result
    }

    /// Adds 1, CF unchanged.
    #[inline(always)]
    pub fn inc<T: Int>(&mut self, a: T) -> T {
        let cf = self.cf();
        let result = self.add(a, T::cut(1), false);
        let of = self.of();
        self.set_carry_overflow(cf, of);
        result
    }

    /// Subtracts 1, CF unchanged.
    #[inline(always)]
    pub fn dec<T: Int>(&mut self, a: T) -> T {
        let cf = self.cf();
        let result = self.sub(a, T::cut(1), false);
        let of = self.of();
        self.set_carry_overflow(cf, of);
        result
    }

    /// The condition `CC` of Jcc, SETcc and CMOVcc, in the encoding's order (O, NO, B, AE, E, NE, BE, A, S, NS, P, NP,
    /// L, GE, LE, G).
    #[inline(always)]
    pub fn condition<const CC: u8>(&self) -> bool {
        let positive = match CC >> 1 {
            0 => self.of(),
            1 => self.cf(),
            2 => self.zf(),
            3 => self.cf() | self.zf(),
            4 => self.sf(),
            5 => self.pf(),
            6 => self.sf() != self.of(),
            _ => self.zf() | (self.sf() != self.of()),
        };
        positive ^ (CC & 1 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_of_bits_survives() {
        for n in 0..64u64 {
            let bits = (n & 1) | (n & 2) << 1 | (n & 4) << 2 | (n & 8) << 3 | (n & 16) << 3 | (n & 32) << 6;
            assert_eq!(bits & !STATUS, 0);
            assert_eq!(Flags::from_bits(bits).bits(), bits);
        }
    }

    #[test]
    fn bytes_add_and_subtract_like_the_manual_says() {
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                for c in [false, true] {
                    let mut f = Flags::default();
                    let r = f.add(a, b, c);
                    let wide = u16::from(a) + u16::from(b) + u16::from(c);
                    assert_eq!((r, f.cf()), (wide as u8, wide > 255));
                    let signed = i16::from(a as i8) + i16::from(b as i8) + i16::from(c);
                    assert_eq!(f.of(), !(-128..128).contains(&signed));
                    assert_eq!(f.bits() & AF != 0, (a & 15) + (b & 15) + u8::from(c) > 15);
                    let r = f.sub(a, b, c);
                    let wide = i16::from(a) - i16::from(b) - i16::from(c);
                    assert_eq!((r, f.cf()), (wide as u8, wide < 0));
                    let signed = i16::from(a as i8) - i16::from(b as i8) - i16::from(c);
                    assert_eq!(f.of(), !(-128..128).contains(&signed));
                    assert_eq!(f.bits() & AF != 0, (a & 15) < (b & 15) + u8::from(c));
                    assert_eq!(f.pf(), r.count_ones() % 2 == 0);
                }
            }
        }
    }
}
