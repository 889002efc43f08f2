//! Instructions on a guest's register that is in memory, with that place as their memory operand.

use iced_x86::{Code, Instruction, Mnemonic, OpCodeOperandKind, OpKind, Register};

use super::emit::{CPU, Emitter};
use super::registers::{sized, slot};

/// The host's instruction for a guest's on general registers without memory, if one of these is in memory and can stay there.
pub(super) fn in_place(e: &Emitter, instr: &Instruction, same: &Instruction) -> Option<Instruction> {
    let register =
        |n: u32| (n < instr.op_count() && instr.op_kind(n) == OpKind::Register).then(|| instr.op_register(n));
    let first = register(0).filter(|first| first.is_gpr())?;
    let second = register(1);
    if second.is_some_and(|second| !second.is_gpr()) || instr.op_count() > 3 {
        return None;
    }
    let held = |register: Register| e.host(register.full_register().number());
    let mut made = *same;
    match (held(first), second.map(held)) {
        (Some(first_host), Some(None)) => {
            made.set_code(source_in_memory(same.code())?);
            made.set_op0_register(sized(first_host, first));
            to_place(&mut made, 1, second?);
        }
        (None, None | Some(Some(_))) => {
            made.set_code(destination_in_memory(instr, same.code(), first)?);
            to_place(&mut made, 0, first);
            if let Some(second) = second {
                made.set_op1_register(sized(held(second)?, second));
            }
        }
        _ => return None,
    }
    Some(made)
}

/// Lets an operand be the place of a guest's register.
fn to_place(instr: &mut Instruction, n: u32, register: Register) {
    instr.set_op_kind(n, OpKind::Memory);
    instr.set_memory_base(CPU);
    instr.set_memory_displacement64(slot(register.full_register().number()) as u64);
    instr.set_memory_displ_size(8);
}

fn takes_memory(code: Code, n: u32) -> bool {
    use OpCodeOperandKind::*;
    matches!(code.op_code().op_kind(n), r8_or_mem | r16_or_mem | r32_or_mem | r64_or_mem)
}

/// A form that reads its second operand from memory.
fn source_in_memory(code: Code) -> Option<Code> {
    if takes_memory(code, 1) { Some(code) } else { reversed(code) }
}

/// A form that has its first operand in memory. Of fewer than 64 bits only for those that do not write it: what is above must be cleared.
fn destination_in_memory(instr: &Instruction, code: Code, first: Register) -> Option<Code> {
    use Mnemonic::*;
    let usual = match instr.mnemonic() {
        Cmp | Test => true,
        Add | Or | Adc | Sbb | And | Sub | Xor | Inc | Dec | Neg | Not | Shl | Sal | Shr | Sar | Rol
        | Ror => first.size() == 8,
        Mov => first.size() == 8 && instr.op1_kind() == OpKind::Register,
        _ => false,
    };
    let by_cl =
        instr.op1_kind() == OpKind::Register && instr.op1_register() == Register::CL && first.size() != 1;
    if !usual || by_cl {
        return None;
    }
    if takes_memory(code, 0) { Some(code) } else { reversed(code) }
}

/// The form of the same operation whose other operand may be in memory.
fn reversed(code: Code) -> Option<Code> {
    macro_rules! pairs {
        ($($to_rm:ident $to_r:ident)*) => {
            match code {
                $(Code::$to_rm => Some(Code::$to_r), Code::$to_r => Some(Code::$to_rm),)*
                _ => None,
            }
        };
    }
    pairs! {
        Add_rm8_r8 Add_r8_rm8 Add_rm16_r16 Add_r16_rm16 Add_rm32_r32 Add_r32_rm32 Add_rm64_r64 Add_r64_rm64
        Or_rm8_r8 Or_r8_rm8 Or_rm16_r16 Or_r16_rm16 Or_rm32_r32 Or_r32_rm32 Or_rm64_r64 Or_r64_rm64
        Adc_rm8_r8 Adc_r8_rm8 Adc_rm16_r16 Adc_r16_rm16 Adc_rm32_r32 Adc_r32_rm32 Adc_rm64_r64 Adc_r64_rm64
        Sbb_rm8_r8 Sbb_r8_rm8 Sbb_rm16_r16 Sbb_r16_rm16 Sbb_rm32_r32 Sbb_r32_rm32 Sbb_rm64_r64 Sbb_r64_rm64
        And_rm8_r8 And_r8_rm8 And_rm16_r16 And_r16_rm16 And_rm32_r32 And_r32_rm32 And_rm64_r64 And_r64_rm64
        Sub_rm8_r8 Sub_r8_rm8 Sub_rm16_r16 Sub_r16_rm16 Sub_rm32_r32 Sub_r32_rm32 Sub_rm64_r64 Sub_r64_rm64
        Xor_rm8_r8 Xor_r8_rm8 Xor_rm16_r16 Xor_r16_rm16 Xor_rm32_r32 Xor_r32_rm32 Xor_rm64_r64 Xor_r64_rm64
        Cmp_rm8_r8 Cmp_r8_rm8 Cmp_rm16_r16 Cmp_r16_rm16 Cmp_rm32_r32 Cmp_r32_rm32 Cmp_rm64_r64 Cmp_r64_rm64
        Mov_rm8_r8 Mov_r8_rm8 Mov_rm16_r16 Mov_r16_rm16 Mov_rm32_r32 Mov_r32_rm32 Mov_rm64_r64 Mov_r64_rm64
    }
}
