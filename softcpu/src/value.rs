//! The values that instructions compute with: integers of every operand size.

/// A value that memory can hold in any bit pattern.
///
/// # Safety
/// Every bit pattern of the type's size must be a valid value, the type must have no padding, and `SIZE` must be what it
/// is here.
pub unsafe trait Plain: Copy + 'static {
    /// Bytes.
    const SIZE: usize = size_of::<Self>();
    /// All zero.
    const NIL: Self;
}

macro_rules! plain {
    ($($t:ty),*) => {$(
        // SAFETY: an integer has no padding and no invalid bit pattern.
        unsafe impl Plain for $t { const NIL: Self = 0; }
    )*};
}
plain!(u8, u16, u32, u64, u128);

/// An operand size of the integer instructions.
pub trait Int: Plain {
    /// Bits.
    const BITS: u32;
    /// The value in the low bits of a `u64`.
    fn wide(self) -> u64;
    /// The value sign-extended.
    fn sext(self) -> i64;
    /// The low bits of `value`.
    fn cut(value: u64) -> Self;
}

macro_rules! int {
    ($($t:ty, $s:ty);*) => {$(
        impl Int for $t {
            const BITS: u32 = <$t>::BITS;
            #[inline(always)]
            fn wide(self) -> u64 { self as u64 }
            #[inline(always)]
            fn sext(self) -> i64 { self as $s as i64 }
            #[inline(always)]
            fn cut(value: u64) -> Self { value as $t }
        }
    )*};
}
int!(u8, i8; u16, i16; u32, i32; u64, i64);
