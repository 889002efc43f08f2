//! The control bits a floating-point operation obeys and the flags it raises.

/// Exception flags, in the order MXCSR and the x87 status word share (Intel SDM vol. 1, 10.2.3 and 8.1.3).
pub mod flag {
    /// No result exists.
    pub const INVALID: u8 = 1;
    /// An operand is denormal.
    pub const DENORMAL: u8 = 2;
    /// A finite number is divided by zero.
    pub const ZERO_DIVIDE: u8 = 4;
    /// The result is too large.
    pub const OVERFLOW: u8 = 8;
    /// The result is tiny.
    pub const UNDERFLOW: u8 = 16;
    /// The result was rounded.
    pub const PRECISION: u8 = 32;
    /// Those found from the operands, before anything is computed.
    pub const PRE_COMPUTATION: u8 = INVALID | DENORMAL | ZERO_DIVIDE;
    /// All six.
    pub const ALL: u8 = 0x3f;
}

/// Rounding control (Intel SDM vol. 1, 4.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To nearest, ties to even.
    Nearest,
    /// Toward minus infinity.
    Down,
    /// Toward plus infinity.
    Up,
    /// Toward zero.
    Zero,
}

impl Rounding {
    /// From the two-bit field of MXCSR or the x87 control word.
    pub fn from_bits(bits: u32) -> Self {
        match bits & 3 {
            0 => Rounding::Nearest,
            1 => Rounding::Down,
            2 => Rounding::Up,
            _ => Rounding::Zero,
        }
    }
}

/// Which of the two instruction sets computes: they choose between two NaNs, and treat unmasked overflow, differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// SSE: the first operand's NaN wins; an unmasked exception leaves no result.
    Sse,
    /// x87: the larger significand wins; unmasked overflow and underflow deliver a result with a biased exponent.
    X87,
}

/// Control bits in, exception flags out.
#[derive(Clone, Debug)]
pub struct Env {
    /// How inexact results are rounded.
    pub rounding: Rounding,
    /// Set bits are masked exceptions ([`flag`]).
    pub masks: u8,
    /// Exceptions raised so far.
    pub flags: u8,
    /// Those of them that were raised by a stage that is done: no exception of a later one hides them.
    pub settled: u8,
    /// Denormal operands count as zeros.
    pub daz: bool,
    /// Tiny results become zeros.
    pub ftz: bool,
    /// The last rounding made the magnitude larger (x87 C1).
    pub rounded_up: bool,
    /// The precision flag is set already and masked: raising it again changes nothing.
    pub precision_is_sticky: bool,
    /// Whose rules apply.
    pub unit: Unit,
}

impl Env {
    /// The environment MXCSR sets (Intel SDM vol. 1, figure 10-3).
    #[inline]
    pub fn from_mxcsr(mxcsr: u32) -> Self {
        Env {
            rounding: Rounding::from_bits(mxcsr >> 13),
            masks: (mxcsr >> 7) as u8 & flag::ALL,
            flags: 0,
            settled: 0,
            daz: mxcsr & 0x40 != 0,
            ftz: mxcsr & 0x8000 != 0,
            rounded_up: false,
            precision_is_sticky: mxcsr & 0x1020 == 0x1020,
            unit: Unit::Sse,
        }
    }

    /// The environment the x87 control word sets (Intel SDM vol. 1, figure 8-6).
    pub fn from_fcw(fcw: u16) -> Self {
        Env {
            rounding: Rounding::from_bits(u32::from(fcw) >> 10),
            masks: fcw as u8 & flag::ALL,
            flags: 0,
            settled: 0,
            daz: false,
            ftz: false,
            rounded_up: false,
            precision_is_sticky: false,
            unit: Unit::X87,
        }
    }

    /// Raises exceptions.
    #[inline]
    pub fn raise(&mut self, flags: u8) {
        self.flags |= flags;
    }

    /// Whether all these exceptions are masked.
    #[inline]
    pub fn masked(&self, flags: u8) -> bool {
        self.masks & flags == flags
    }

    /// The raised exceptions that are not masked.
    #[inline]
    pub fn unmasked_raised(&self) -> u8 {
        self.flags & !self.masks
    }
}
