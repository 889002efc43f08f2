//! The register file: where each register lies in it, as an offset in bytes.
//!
//! An operation names its registers by these offsets, so that one read serves AL, AX, EAX and RAX, and AH is one byte on.

use crate::state::reg;

/// Words in the register file: 16 general registers, the pseudo registers below, and then nothing, up to where an access
/// of 16 bytes at the greatest byte offset ends. So no offset leads outside.
pub const FILE: usize = FILE_BYTES / 8;
/// Bytes in the register file.
pub const FILE_BYTES: usize = (u8::MAX as usize + 16).next_multiple_of(8);

/// The offset of a general register, by its index in [`CpuState::gpr`](crate::state::CpuState::gpr).
pub const fn offset(register: usize) -> u8 {
    (register * 8) as u8
}

/// The word of the register file that an offset of a whole register leads to.
pub const fn word(offset: u8) -> usize {
    offset as usize / 8
}

/// RAX, and its lower parts EAX, AX and AL.
pub const RAX: u8 = offset(reg::RAX);
/// AH.
pub const AH: u8 = RAX + 1;
/// RCX, ECX, CX and CL.
pub const RCX: u8 = offset(reg::RCX);
/// RDX, EDX and DX.
pub const RDX: u8 = offset(reg::RDX);
/// RBX and EBX.
pub const RBX: u8 = offset(reg::RBX);
/// RSP.
pub const RSP: u8 = offset(reg::RSP);
/// RBP, EBP and BP.
pub const RBP: u8 = offset(reg::RBP);
/// A register that is always zero.
pub const ZERO: u8 = offset(16);
/// The address that an extended operand was resolved to (see `lower::extended`).
pub const TEMP: u8 = offset(17);
/// The instruction pointer at the running block's first instruction (its linear address in 64-bit code, which alone has
/// memory operands relative to it).
pub const RIP_BASE: u8 = offset(18);
