//! The decoded form of one instruction.
//!
//! `C` is the CPU that the instruction runs on. There is one such type, [`Cpu`](crate::cpu::Cpu); that this module does
//! not name it keeps everything below the CPU free of it.
//!
//! # How to add a handler
//!
//! A handler is a plain function `fn(&mut Cpu, &Op) -> Step`. It gets operands that were resolved once, when the
//! instruction was decoded:
//!
//! - `op.reg1` and `op.reg2`: the first and the second *register* operand in the manual's order of operands, whatever
//!   the instruction does with them and wherever its memory operand stands. `add [mem], cl` has CL in `reg1`. A
//!   general register is given as its offset in the register file (read it with [`Cpu::reg`](crate::cpu::Cpu::reg),
//!   write it with [`Cpu::set_reg`](crate::cpu::Cpu::set_reg)), any other register by its number.
//! - a memory operand: `op.base`, `op.index`, `op.scale`, `op.seg`, `op.disp`; [`Cpu::ea`](crate::cpu::Cpu::ea) gives
//!   the linear address.
//! - `op.imm`: the immediate, sign-extended to 64 bits; or what the lowering likes when there is none.
//!
//! Memory goes through [`Cpu::load`](crate::cpu::Cpu::load) and [`Cpu::store`](crate::cpu::Cpu::store) (1, 2, 4, 8 or
//! 16 bytes: any [`Plain`](crate::value::Plain)). Nothing of the guest's state may change before the last thing that
//! can fault has succeeded:
//!
//! ```text
//! fn movups_store(cpu: &mut Cpu, op: &Op) -> Step {
//!     let value = cpu.fpu.xmm[op.reg1 as usize];
//!     cpu.store::<u128>(op, cpu.ea(op), value)      // Step::Next, Step::Stop or Step::Trap: pass it on
//! }
//! fn movups_load(cpu: &mut Cpu, op: &Op) -> Step {
//!     let value = tri!(cpu.load::<u128>(op, cpu.ea(op)));
//!     cpu.fpu.xmm[op.reg1 as usize] = value;
//!     Step::Next
//! }
//! ```
//!
//! To raise a fault: `return cpu.raise(vector::GP, Some(0));` (gives `Step::Trap`). A handler that writes memory and
//! then something else must do everything else and then return the `Step` of the store, if that is not `Next`.
//!
//! `crate::decode` calls one `fn lower(&iced_x86::Instruction, &LowerCtx) -> Option<Op>` by the instruction's mnemonic.
//! It makes the operation with [`LowerCtx::op`](crate::lower::LowerCtx::op), which fills in all of the above.

use crate::pinned::Pinned;
use crate::step::Step;

/// Runs one instruction.
pub type Handler<C> = fn(&mut C, &Op<C>) -> Step;

/// A decoded instruction: 32 bytes, so that two fill a cache line.
#[repr(C)]
pub struct Op<C> {
    /// What runs it.
    pub run: Handler<C>,
    /// Immediate, branch distance, or the handler's own.
    pub imm: u64,
    /// Displacement of the memory operand (from the block's start when the base is
    /// [`RIP_BASE`](crate::file::RIP_BASE)).
    pub disp: i32,
    /// Bytes from the start of the block to this instruction.
    pub off: u16,
    /// Length in bytes.
    pub len: u8,
    /// Position in its block.
    pub nth: u8,
    /// First register operand: offset of a general register in the register file, or number of another register.
    pub reg1: u8,
    /// Second register operand, in the same way.
    pub reg2: u8,
    /// Offset of the base register ([`ZERO`](crate::file::ZERO) for none).
    pub base: u8,
    /// Offset of the index register ([`ZERO`](crate::file::ZERO) for none).
    pub index: u8,
    /// Shift of the index.
    pub scale: u8,
    /// Index of the segment base ([`NO_SEG`] for none).
    pub seg: u8,
    /// The handler's own.
    pub aux: u16,
}

// By hand: a derived one would ask that `C` can be copied too.
impl<C> Clone for Op<C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<C> Copy for Op<C> {}

const _: () = assert!(size_of::<Op<()>>() == 32);

impl<C> Op<C> {
    /// Bytes from the start of the block to the following instruction.
    #[inline(always)]
    pub fn end(&self) -> u64 {
        u64::from(self.off) + u64::from(self.len)
    }
}

/// The segment base that is always zero.
pub const NO_SEG: u8 = 6;

/// An instruction whose memory operand needs more than an [`Op`] has room for: its address is computed into
/// [`TEMP`](crate::file::TEMP) first. `lower::extended` makes and runs these.
pub struct Extended<C> {
    /// Added to base and index.
    pub disp: u64,
    /// What of the sum counts: 16, 32 or 64 bits.
    pub mask: u64,
    /// The operand itself.
    pub address: Op<C>,
    /// Bytes that are popped before.
    pub popped: u64,
    /// Bytes that the instruction accesses there, and whether it writes them.
    pub access: (u16, bool),
    /// The instruction, its memory operand being `[TEMP]`.
    pub inner: Op<C>,
}

/// The extended operands of a block: operations point into them.
pub type Pool<C> = Vec<Pinned<Extended<C>>>;
