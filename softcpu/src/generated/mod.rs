//! Generated code as the CPU keeps it: the memory that it is in, the jumps between its blocks, and what it works with. (It is made by
//! `native`.)

mod buffer;
mod links;

pub(crate) use buffer::CodeBuffer;
pub(crate) use links::{Entry, Generated, JUMPS, KnownJump, Routines, Site};

use crate::step::{Step, Trap};

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
    /// The entries of the data TLB that the current view has.
    pub data: u64,
    /// Those of the code TLB.
    pub code: u64,
    /// The table of [`KnownJump`]s.
    pub jumps: u64,
    /// The status flags, as LAHF and SETO have them: in the high byte and the low one.
    pub flags: u16,
    /// The blocks' epoch that it knows.
    pub epoch: u64,
    /// How it ended.
    pub ended: Option<Result<Step, Trap>>,
}
