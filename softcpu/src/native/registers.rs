//! Where the guest's registers are while generated code runs: most in the host's, the others where they always are.

use std::mem::offset_of;

use iced_x86::Register;

use crate::cpu::Cpu;

/// What generated code computes with. Both are free between two guest instructions.
pub(crate) const SCRATCH: [Register; 2] = [Register::RAX, Register::R14];
/// The translations of data that the current view has.
pub(crate) const TLB: Register = Register::R15;

/// The host's register of the guest's RAX.
pub(crate) const ACCUMULATOR: Register = Register::R12;
/// The host's register of the guest's RSP.
pub(crate) const STACK: Register = Register::R13;
/// The host's register of the guest's RBP.
pub(crate) const FRAME: Register = Register::R10;

/// The host's register for each of the guest's. Those with a fixed meaning in some instruction (CL, RDX) have themselves; RAX is what
/// LAHF needs, and RSP is the host's stack.
const HOST: [Option<Register>; 16] = [
    Some(ACCUMULATOR),
    Some(Register::RCX),
    Some(Register::RDX),
    Some(Register::RBX),
    Some(STACK),
    Some(FRAME),
    Some(Register::RSI),
    Some(Register::RDI),
    Some(Register::R8),
    Some(Register::R9),
    None,
    None,
    Some(Register::R11),
    None,
    None,
    None,
];

/// The host's register of a guest's, by number, where a block does not say otherwise ([`homes`](super::homes)); none if it is in memory.
pub(crate) fn usual(number: usize) -> Option<Register> {
    HOST.get(number).copied().flatten()
}

/// The offset in the CPU of a guest's register.
pub(crate) fn slot(number: usize) -> usize {
    offset_of!(Cpu, gpr) + 8 * number
}

/// The guest's registers that are usually in the host's.
pub(crate) fn held() -> impl Iterator<Item = (usize, Register)> {
    HOST.iter().enumerate().filter_map(|(number, host)| Some((number, (*host)?)))
}

/// The part of a host's register that is as wide as `like`, which is a general register and none of AH to BH.
pub(crate) fn sized(host: Register, like: Register) -> Register {
    sized_bytes(host, like.size())
}

/// The low `bytes` bytes of a host's register.
pub(crate) fn sized_bytes(host: Register, bytes: usize) -> Register {
    let number = host.number() as u32;
    match bytes {
        1 if number < 4 => Register::AL + number,
        1 => Register::SPL + (number - 4),
        2 => Register::AX + number,
        4 => Register::EAX + number,
        _ => Register::RAX + number,
    }
}

/// Whether it is one of AH, CH, DH and BH.
pub(crate) fn is_high(register: Register) -> bool {
    matches!(register, Register::AH | Register::CH | Register::DH | Register::BH)
}
