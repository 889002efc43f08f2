//! Which module lowers an instruction: the one place that asks.

use iced_x86::{ConditionCode, CpuidFeature, FlowControl, Instruction, Mnemonic};

use crate::cpu::Op;
use crate::exec::{alu, bits, control, crc, decimal, moves, muldiv, shift, stack, string};
use crate::lower::LowerCtx;
use crate::{fp, simd, sys};

/// Makes the operation of an instruction of one family; none of a form that does not exist here.
type Lower = fn(&Instruction, &LowerCtx) -> Option<Op>;

/// The operation of one instruction.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Op {
    let family = family(instr).filter(|_| ctx.model.has(instr));
    let op = family.and_then(|lower| lower(instr, ctx)).unwrap_or_else(|| ctx.unknown(instr));
    ctx.finish(instr, op)
}

#[rustfmt::skip]
fn family(instr: &Instruction) -> Option<Lower> {
    use Mnemonic::*;
    Some(match instr.mnemonic() {
        Mov if moves::is_general(instr) => moves::lower,
        Mov => sys::moves,
        Movbe | Lea | Movzx | Movsx | Movsxd | Xchg | Bswap | Xlatb => moves::lower,
        Cbw | Cwde | Cdqe | Cwd | Cdq | Cqo => moves::lower,
        Add | Adc | Sub | Sbb | Cmp | And | Or | Xor | Test | Inc | Dec | Neg | Not => alu::lower,
        Xadd | Cmpxchg | Cmpxchg8b | Cmpxchg16b => alu::lower,
        Jmp | Call if control::is_far(instr) => sys::transfers,
        Jmp | Call | Ret | Nop | Reservednop => control::lower,
        Loop | Loope | Loopne | Jcxz | Jecxz | Jrcxz => control::lower,
        Push | Pop | Pusha | Pushad | Popa | Popad | Enter | Leave => stack::lower,
        Pushf | Pushfd | Pushfq | Popf | Popfd | Popfq => stack::lower,
        Shl | Sal | Shr | Sar | Rol | Ror | Rcl | Rcr | Shld | Shrd => shift::lower,
        Bt | Bts | Btr | Btc | Bsf | Bsr | Tzcnt | Lzcnt | Popcnt => bits::lower,
        Clc | Stc | Cmc | Cld | Std | Lahf | Sahf => bits::lower,
        Crc32 => crc::lower,
        Mul | Imul | Div | Idiv => muldiv::lower,
        Daa | Das | Aaa | Aas | Aam | Aad | Salc => decimal::lower,
        Wait => fp::lower,
        // MOVSD and CMPSD are names of SSE2 instructions too.
        Movsd | Cmpsd if !instr.is_string_instruction() => simd::lower,
        Movsb | Movsw | Movsd | Movsq | Cmpsb | Cmpsw | Cmpsd | Cmpsq => string::lower,
        Stosb | Stosw | Stosd | Stosq | Lodsb | Lodsw | Lodsd | Lodsq => string::lower,
        Scasb | Scasw | Scasd | Scasq | Insb | Insw | Insd | Outsb | Outsw | Outsd => string::lower,
        Lgdt | Lidt | Sgdt | Sidt | Ltr | Lldt | Sldt | Str | Lmsw | Smsw | Invlpg => sys::tables,
        Iret | Iretd | Iretq | Retf | Int | Int1 | Int3 | Into | Bound => sys::transfers,
        Syscall | Sysret | Sysretq | Sysenter | Sysexit | Sysexitq => sys::transfers,
        Lds | Les | Lfs | Lgs | Lss => sys::far_pointers,
        Cpuid | Rdmsr | Wrmsr | Rdtsc | Rdtscp | Swapgs | Clts | Hlt | Cli | Sti => sys::rest,
        Ud0 | Ud1 | Ud2 | Wbinvd | Invd | Clflush | In | Out => sys::rest,
        Rdfsbase | Rdgsbase | Wrfsbase | Wrgsbase | Rdpid | Rdrand | Rdseed | Invpcid | Stac | Clac => sys::extensions::lower,
        Arpl | Verr | Verw | Lsl | Lar => sys::rest,
        _ => return by_class(instr),
    })
}

/// The same for the families that have too many mnemonics to list.
fn by_class(instr: &Instruction) -> Option<Lower> {
    if instr.condition_code() != ConditionCode::None {
        let branch = instr.flow_control() == FlowControl::ConditionalBranch;
        return Some(if branch { control::lower } else { moves::lower });
    }
    instr.cpuid_features().iter().find_map(|feature| {
        use CpuidFeature::*;
        match feature {
            FPU | FPU287 | FPU287XL_ONLY | FPU387 | FPU387SL_ONLY | FXSR => Some(fp::lower as Lower),
            MMX | SSE | SSE2 | SSE3 | SSSE3 | SSE4_1 | SSE4_2 | AES | PCLMULQDQ => Some(simd::lower),
            _ => None,
        }
    })
}
