//! Generated code as the CPU keeps it: the memory that it is in, the jumps between its blocks, and what it works with. (It is made by
//! `native`.)

mod buffer;
mod links;

pub(crate) use buffer::CodeBuffer;
pub(crate) use links::{Entry, Generated, JUMPS, KnownJump, Routines, Side, Site};

use crate::step::{Step, Trap};

/// Of [`Context::float`]: an instruction may raise a floating-point exception; the interpreter runs them all.
pub(crate) const FLOAT_UNMASKED: u8 = 0;
/// None may, and the host's MXCSR is Rust's.
pub(crate) const FLOAT_OFF: u8 = 1;
/// None may, and the host's MXCSR is the guest's.
pub(crate) const FLOAT_ON: u8 = 2;

/// What generated code works with, beside registers and the TLB.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Context {
    /// Instructions left until the limit, from the end of the running block on.
    pub left: u64,
    /// The machine's counter when nothing is left.
    pub limit: u64,
    /// Linear page of the running block.
    pub page: u64,
    /// That of the next one, while it is looked up.
    pub next_page: u64,
    /// Its code, meanwhile.
    pub next_code: u64,
    /// An operand, while another is looked up.
    pub operand: u64,
    /// The entries of the data TLB that the current view has.
    pub data: u64,
    /// Those of the code TLB.
    pub code: u64,
    /// The table of [`KnownJump`]s.
    pub jumps: u64,
    /// The MXCSR that Rust code has.
    pub mxcsr: u32,
    /// A carry that a block's flags may have to be made of.
    pub carry: u8,
    /// Whether instructions on XMM registers do what they say: 1, or 0.
    pub simd: u8,
    /// Whether an interrupt may wait that could be taken once they are on: 1, or 0.
    pub waits: u8,
    /// [`FLOAT_UNMASKED`] and so on.
    pub float: u8,
    /// The status flags, as LAHF and SETO have them: in the high byte and the low one.
    pub flags: u16,
    /// The blocks' epoch that it knows.
    pub epoch: u64,
    /// How it ended.
    pub ended: Option<Result<Step, Trap>>,
    /// An interrupt that it took could not be delivered, nor the exceptions of that.
    pub dead: bool,
}
