//! The decoded form of one instruction, and what running it may lead to.
//!
//! # How to add a handler
//!
//! A handler is a plain function `fn(&mut Cpu, &Op) -> Step`. It is handed the operands the lowering resolved once:
//!
//! - `op.dst`, `op.src`: for general registers the *byte offset* into the register file (`Operand` makes them; read with
//!   [`Cpu::reg`], write with [`Cpu::set_reg`]); for other register files whatever its lowering put there.
//! - a memory operand: `op.base`, `op.index`, `op.scale`, `op.seg`, `op.disp`; [`Cpu::ea`] gives the linear address.
//! - `op.imm`: an immediate, sign-extended to 64 bits; or what the lowering likes when there is none.
//!
//! Memory goes through [`Cpu::load`] and [`Cpu::store`] (1, 2, 4, 8 or 16 bytes: any [`Plain`]). Nothing of the guest's
//! state may change before the last thing that can fault has succeeded:
//!
//! ```text
//! fn movups_store(cpu: &mut Cpu, op: &Op) -> Step {
//!     let value = cpu.fpu.xmm[op.src as usize];
//!     cpu.store::<u128>(op, cpu.ea(op), value)      // Step::Next, Step::Stop or Step::Trap: pass it on
//! }
//! fn movups_load(cpu: &mut Cpu, op: &Op) -> Step {
//!     let value = tri!(cpu.load::<u128>(op, cpu.ea(op)));
//!     cpu.fpu.xmm[op.dst as usize] = value;
//!     Step::Next
//! }
//! ```
//!
//! Faults of its own: `return cpu.raise(vector::GP, Some(0));` (gives `Step::Trap`). A handler that writes memory and
//! then something else must return the `Step` of the store when it is not `Next`, after having done everything else.
//!
//! The lowering hook (`crate::simd::lower`, `crate::fp::lower`) is
//! `fn lower(instr: &iced_x86::Instruction, ctx: &LowerCtx) -> Option<Op>`: build with [`LowerCtx::op`](crate::lower::LowerCtx::op) (fills the memory
//! operand, if there is one, and the immediate, if there is one), set `dst`/`src`, return it.

use crate::cpu::Cpu;

/// What the run loop does after a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Retired: go on with the next instruction of the block.
    Next = 0,
    // The next three are what blocks usually end with; the run loop relies on their order.
    /// Retired; RIP is set, by the taken side of a direct branch.
    Taken,
    /// Retired; RIP is set, by the other side of a direct branch.
    Fall,
    /// Retired; RIP is set, anywhere.
    Jump,
    /// Retired; RIP is set, and something changed that the run loop must look at (interrupts, modes, the bus).
    Leave,
    /// Retired; RIP is not set: the next instruction follows, but the block ends here.
    Stop,
    /// Not retired: an exception waits in [`Cpu::fault`].
    Trap,
}

/// The marker of a failed access: the exception itself waits in [`Cpu::fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trap;

/// Runs one instruction.
pub type Handler = fn(&mut Cpu, &Op) -> Step;

/// A decoded instruction: 32 bytes, so that two fill a cache line.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Op {
    /// What runs it.
    pub run: Handler,
    /// Immediate, branch distance, or the handler's own.
    pub imm: u64,
    /// Displacement of the memory operand (from the block's start when the base is [`RIP_BASE`]).
    pub disp: i32,
    /// Bytes from the start of the block to this instruction.
    pub off: u16,
    /// Length in bytes.
    pub len: u8,
    /// Position in its block.
    pub nth: u8,
    /// First register operand.
    pub dst: u8,
    /// Second register operand.
    pub src: u8,
    /// Byte offset of the base register ([`ZERO`] for none).
    pub base: u8,
    /// Byte offset of the index register ([`ZERO`] for none).
    pub index: u8,
    /// Shift of the index.
    pub scale: u8,
    /// Index of the segment base ([`NO_SEG`] for none).
    pub seg: u8,
    /// The handler's own.
    pub aux: u16,
}

const _: () = assert!(size_of::<Op>() == 32);

impl Op {
    /// Bytes from the start of the block to the following instruction.
    #[inline(always)]
    pub fn end(&self) -> u64 {
        u64::from(self.off) + u64::from(self.len)
    }
}

/// Words in the register file: 16 general registers, the pseudo registers below, and then nothing, up to where an access
/// of 16 bytes at the greatest byte offset ends. So no offset leads outside.
pub const FILE: usize = FILE_BYTES / 8;
/// Bytes in the register file.
pub const FILE_BYTES: usize = (u8::MAX as usize + 16).next_multiple_of(8);
/// Byte offset of a register that is always zero.
pub const ZERO: u8 = 16 * 8;
/// Byte offset of the address an extended operand was resolved to (see `lower::extended`).
pub const TEMP: u8 = 17 * 8;
/// Byte offset of the instruction pointer at the running block's first instruction (its linear address in 64-bit code,
/// the only one with memory operands relative to it).
pub const RIP_BASE: u8 = 18 * 8;
/// The segment base that is always zero.
pub const NO_SEG: u8 = 6;

/// Unwraps an access or returns `Step::Trap`.
#[macro_export]
macro_rules! tri {
    ($e:expr) => {
        match $e {
            Ok(value) => value,
            Err($crate::op::Trap) => return $crate::op::Step::Trap,
        }
    };
}

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

/// Exception vectors (Intel SDM vol. 3, table 7-1).
pub mod vector {
    #![allow(missing_docs)]
    pub const DE: u8 = 0;
    pub const DB: u8 = 1;
    pub const NMI: u8 = 2;
    pub const BP: u8 = 3;
    pub const OF: u8 = 4;
    pub const BR: u8 = 5;
    pub const UD: u8 = 6;
    pub const NM: u8 = 7;
    pub const DF: u8 = 8;
    pub const TS: u8 = 10;
    pub const NP: u8 = 11;
    pub const SS: u8 = 12;
    pub const GP: u8 = 13;
    pub const PF: u8 = 14;
    pub const MF: u8 = 16;
    pub const AC: u8 = 17;
    pub const XM: u8 = 19;

    /// The manual's name of a vector below 32.
    pub const fn name(vector: u8) -> &'static str {
        match vector {
            DE => "#DE",
            DB => "#DB",
            NMI => "NMI",
            BP => "#BP",
            OF => "#OF",
            BR => "#BR",
            UD => "#UD",
            NM => "#NM",
            DF => "#DF",
            TS => "#TS",
            NP => "#NP",
            SS => "#SS",
            GP => "#GP",
            PF => "#PF",
            MF => "#MF",
            AC => "#AC",
            XM => "#XM",
            _ => "reserved vectors",
        }
    }
}

/// An exception that waits to be delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// Vector, 0..32.
    pub vector: u8,
    /// Error code, for those that push one.
    pub error: Option<u32>,
    /// A trap: the instruction before RIP brought it about, and has retired.
    pub trap: bool,
}
