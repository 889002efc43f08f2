//! The decimal adjustments, and SALC: 32-bit and 16-bit code alone (Intel SDM vol. 2, AAA to AAS, DAA, DAS).

use iced_x86::{Instruction, Mnemonic};

use crate::cpu::{Cpu, Handler, Op};
use crate::file;
use crate::flags::{AF, Flags};
use crate::lower::LowerCtx;
use crate::step::Step;
use crate::vector;

/// Sets AL and the flags by it, CF and AF as given. OF is undefined.
fn adjusted(cpu: &mut Cpu, al: u8, cf: bool, af: bool) -> Step {
    cpu.set_reg(file::RAX, al);
    cpu.flags.result::<u8>(al, cf, false);
    let others = cpu.flags.bits() & !AF;
    cpu.flags = Flags::from_bits(others | if af { AF } else { 0 });
    Step::Next
}

/// Whether the lower digit is to be adjusted.
fn low_digit(cpu: &Cpu) -> bool {
    cpu.reg::<u8>(file::RAX) & 0xf > 9 || cpu.flags.bits() & AF != 0
}

/// DAA, or DAS when `SUBTRACT`.
fn packed<const SUBTRACT: bool>(cpu: &mut Cpu, _: &Op) -> Step {
    let old = cpu.reg::<u8>(file::RAX);
    let low = low_digit(cpu);
    let high = old > 0x99 || cpu.flags.cf();
    let by = if low { 6 } else { 0 } + if high { 0x60 } else { 0 };
    // A borrow of the lower digit borrows from the whole byte.
    let cf = high || (SUBTRACT && low && old < 6);
    let new = if SUBTRACT { old.wrapping_sub(by) } else { old.wrapping_add(by) };
    adjusted(cpu, new, cf, low)
}

/// AAA, or AAS when `SUBTRACT`: AL's digit, with a carry into AH.
fn unpacked<const SUBTRACT: bool>(cpu: &mut Cpu, _: &Op) -> Step {
    const BY: u16 = 0x106;
    let carry = low_digit(cpu);
    let mut ax = cpu.reg::<u16>(file::RAX);
    if carry {
        ax = if SUBTRACT { ax.wrapping_sub(BY) } else { ax.wrapping_add(BY) };
    }
    cpu.set_reg(file::RAX, ax & 0xff0f);
    adjusted(cpu, ax as u8 & 0xf, carry, carry)
}

/// AAM: AL in two digits of the base in the immediate.
fn divide(cpu: &mut Cpu, op: &Op) -> Step {
    let (al, base) = (cpu.reg::<u8>(file::RAX), op.imm as u8);
    let (Some(high), Some(low)) = (al.checked_div(base), al.checked_rem(base)) else {
        return cpu.raise(vector::DE, None);
    };
    cpu.set_reg(file::RAX, u16::from(high) << 8 | u16::from(low));
    adjusted(cpu, low, false, false)
}

/// AAD: the number of two digits of the base in the immediate.
fn multiply(cpu: &mut Cpu, op: &Op) -> Step {
    let [low, high] = cpu.reg::<u16>(file::RAX).to_le_bytes();
    let al = low.wrapping_add(high.wrapping_mul(op.imm as u8));
    cpu.set_reg(file::RAX, u16::from(al));
    adjusted(cpu, al, false, false)
}

/// SALC: AL full of CF. No flags change.
fn carry_to_al(cpu: &mut Cpu, _: &Op) -> Step {
    let al = if cpu.flags.cf() { 0xff } else { 0u8 };
    cpu.set_reg(file::RAX, al);
    Step::Next
}

/// The operation of one of these, if it is one.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    use Mnemonic as M;
    let run: Handler = match instr.mnemonic() {
        M::Daa => packed::<false>,
        M::Das => packed::<true>,
        M::Aaa => unpacked::<false>,
        M::Aas => unpacked::<true>,
        M::Aam => divide,
        M::Aad => multiply,
        M::Salc => carry_to_al,
        _ => return None,
    };
    Some(ctx.op(instr, run))
}
