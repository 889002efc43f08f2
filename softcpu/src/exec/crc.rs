//! CRC32: the Castagnoli polynomial (SSE4.2).

use iced_x86::{Code, Instruction, OpKind};

use crate::by_size;
use crate::cpu::{Cpu, Op};
use crate::lower::LowerCtx;
use crate::step::Step;
use crate::tri;
use crate::value::Int;

/// The remainder of every byte by the polynomial 11EDC6F41H, both reflected.
static REMAINDERS: [u32; 256] = remainders();

const fn remainders() -> [u32; 256] {
    const POLYNOMIAL: u32 = 0x11ed_c6f41u64 as u32;
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut rest, mut bit) = (byte as u32, 0);
        while bit < 8 {
            rest = rest >> 1 ^ if rest & 1 != 0 { POLYNOMIAL.reverse_bits() } else { 0 };
            bit += 1;
        }
        table[byte] = rest;
        byte += 1;
    }
    table
}

#[inline(always)]
fn accumulate<T: Int>(cpu: &mut Cpu, op: &Op, value: T) -> Step {
    let mut crc = cpu.reg::<u32>(op.reg1);
    for byte in &value.wide().to_le_bytes()[..T::SIZE] {
        crc = crc >> 8 ^ REMAINDERS[usize::from(crc as u8 ^ byte)];
    }
    cpu.set_reg::<u64>(op.reg1, crc.into());
    Step::Next
}

fn crc_r<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let value = cpu.reg::<T>(op.reg2);
    accumulate(cpu, op, value)
}

fn crc_m<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let value = tri!(cpu.load::<T>(op, cpu.ea(op)));
    accumulate(cpu, op, value)
}

/// The operation of a CRC32.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    let bytes = match instr.code() {
        Code::Crc32_r32_rm8 | Code::Crc32_r64_rm8 => 1,
        Code::Crc32_r32_rm16 => 2,
        Code::Crc32_r32_rm32 => 4,
        Code::Crc32_r64_rm64 => 8,
        _ => return None,
    };
    let register = instr.op1_kind() == OpKind::Register;
    Some(ctx.op(instr, if register { by_size!(bytes, crc_r) } else { by_size!(bytes, crc_m) }))
}

#[cfg(test)]
mod tests {
    use super::REMAINDERS;

    /// The check value of CRC-32C (RFC 3720 uses the same polynomial).
    #[test]
    fn the_digits_give_the_check_value() {
        let crc =
            b"123456789".iter().fold(!0u32, |crc, byte| crc >> 8 ^ REMAINDERS[usize::from(crc as u8 ^ byte)]);
        assert_eq!(!crc, 0xe306_9283);
    }
}
