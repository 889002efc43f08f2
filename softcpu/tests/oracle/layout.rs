//! Where everything lies, natively and in the guest alike.

/// Bytes in a page.
pub const PAGE: u64 = 4096;
/// The code under test: two pages, filled with INT3.
pub const CODE: u64 = 0x1000_0000;
/// Where the instruction under test starts.
pub const START: u64 = CODE + 0x800;
/// Bytes of code pages.
pub const CODE_BYTES: usize = 2 * PAGE as usize;
/// The data instructions work on; the pages before and behind are not mapped.
pub const DATA: u64 = 0x2000_0000;
/// Bytes of data.
pub const DATA_BYTES: usize = 2 * PAGE as usize;

/// Everything an instruction of user mode can see or change, memory apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Machine {
    /// By the encoding's order.
    pub gpr: [u64; 16],
    /// Instruction pointer.
    pub rip: u64,
    /// Flags.
    pub rflags: u64,
    /// FXSAVE64's image.
    pub fx: [u8; 512],
}

/// How an instruction ended.
#[derive(Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The exception's vector, if there was one.
    pub exception: Option<u8>,
    /// What it left.
    pub after: Machine,
}

/// The status flags.
pub const STATUS_FLAGS: u64 = 0x8d5;
/// The direction flag.
pub const DIRECTION: u64 = 0x400;
