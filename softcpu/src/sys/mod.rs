//! What an operating system needs: segments, interrupts, control registers, MSRs, ports.

pub(crate) mod extensions;
pub(crate) mod interrupts;
mod misc;
mod msr;
mod ports;
mod real;
mod registers;
pub(crate) mod segments;
mod transfer;

use iced_x86::{Code, Instruction, Mnemonic, OpKind};

use crate::cpu::{Cpu, Handler, Op};
use crate::lower::{LowerCtx, Shape, shape};
use crate::step::Step;
use crate::value::Int;
use crate::vector;

/// MOV to and from segment, control and debug registers.
pub(crate) fn moves(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    if instr.mnemonic() != Mnemonic::Mov {
        return None;
    }
    let (to, from) = (instr.op0_register(), instr.op1_register());
    let run: Handler = match shape(instr).kind {
        Shape::RegReg if from.is_cr() => registers::read_cr,
        Shape::RegReg if to.is_cr() => registers::write_cr,
        Shape::RegReg if from.is_dr() => registers::read_dr,
        Shape::RegReg if to.is_dr() => registers::write_dr,
        Shape::RegReg if to.is_segment_register() => misc::mov_to_segment::<false>,
        Shape::RegMem if to.is_segment_register() => misc::mov_to_segment::<true>,
        Shape::RegReg if from.is_segment_register() => match to.size() {
            2 => misc::mov_from_segment::<u16>,
            4 => misc::mov_from_segment::<u32>,
            _ => misc::mov_from_segment::<u64>,
        },
        Shape::MemReg if from.is_segment_register() => misc::store_segment,
        _ => return None,
    };
    Some(ctx.op(instr, run))
}

/// Descriptor tables and the machine status word.
pub(crate) fn tables(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    use Mnemonic as M;
    let shape = shape(instr);
    let memory = shape.kind == Shape::Mem;
    let run: Handler = match instr.mnemonic() {
        M::Lgdt if instr.code() == Code::Lgdt_m1632_16 => registers::load_table::<false, 24>,
        M::Lidt if instr.code() == Code::Lidt_m1632_16 => registers::load_table::<true, 24>,
        M::Lgdt => registers::load_table::<false, 32>,
        M::Lidt => registers::load_table::<true, 32>,
        M::Sgdt => registers::store_table::<false>,
        M::Sidt => registers::store_table::<true>,
        M::Ltr if memory => registers::ltr::<true>,
        M::Ltr => registers::ltr::<false>,
        M::Lldt if memory => registers::lldt::<true>,
        M::Lldt => registers::lldt::<false>,
        M::Sldt if memory => registers::store_selector_m::<false>,
        M::Str if memory => registers::store_selector_m::<true>,
        M::Sldt => crate::by_size!(shape.bytes, store_sldt),
        M::Str => crate::by_size!(shape.bytes, store_str),
        M::Lmsw if memory => registers::lmsw::<true>,
        M::Lmsw => registers::lmsw::<false>,
        M::Smsw if memory => registers::smsw_m,
        M::Smsw => crate::by_size!(shape.bytes, smsw),
        M::Invlpg => registers::invlpg,
        _ => return None,
    };
    Some(ctx.op(instr, run))
}

fn store_sldt<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    registers::store_selector_r::<false, T>(cpu, op)
}

fn store_str<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    registers::store_selector_r::<true, T>(cpu, op)
}

fn smsw<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    registers::smsw_r::<T>(cpu, op)
}

/// Far transfers.
pub(crate) fn transfers(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    use Code as C;
    let run: Handler = match instr.code() {
        C::Iretw => transfer::iret::<u16>,
        C::Iretd => transfer::iret::<u32>,
        C::Iretq => transfer::iret::<u64>,
        C::Retfw | C::Retfw_imm16 => transfer::far_ret::<u16>,
        C::Retfd | C::Retfd_imm16 => transfer::far_ret::<u32>,
        C::Retfq | C::Retfq_imm16 => transfer::far_ret::<u64>,
        C::Jmp_m1616 => transfer::far_jmp::<u16>,
        C::Jmp_m1632 => transfer::far_jmp::<u32>,
        C::Jmp_m1664 => transfer::far_jmp::<u64>,
        C::Call_m1616 => transfer::far_call::<u16>,
        C::Call_m1632 => transfer::far_call::<u32>,
        C::Call_m1664 => transfer::far_call::<u64>,
        C::Jmp_ptr1616 | C::Jmp_ptr1632 => transfer::far_jmp_direct,
        C::Call_ptr1616 => transfer::far_call_direct::<u16>,
        C::Call_ptr1632 => transfer::far_call_direct::<u32>,
        C::Int_imm8 | C::Int3 => transfer::int,
        C::Int1 => transfer::int1,
        C::Into => transfer::into,
        C::Bound_r16_m1616 => transfer::bound::<u16>,
        C::Bound_r32_m3232 => transfer::bound::<u32>,
        C::Syscall => transfer::syscall,
        C::Sysretd => transfer::sysret::<u32>,
        C::Sysretq => transfer::sysret::<u64>,
        C::Sysenter => transfer::sysenter,
        C::Sysexitd => transfer::sysexit::<u32>,
        C::Sysexitq => transfer::sysexit::<u64>,
        _ => return None,
    };
    let mut op = ctx.op(instr, run);
    match instr.code() {
        C::Int3 => op.imm = u64::from(vector::BP),
        C::Into => op.imm = u64::from(vector::OF),
        C::Int1 => op.imm = u64::from(vector::DB),
        C::Jmp_m1616 | C::Jmp_m1632 | C::Jmp_m1664 => ctx.in_parts(&mut op),
        C::Call_m1616 | C::Call_m1632 | C::Call_m1664 => ctx.in_parts(&mut op),
        C::Bound_r16_m1616 | C::Bound_r32_m3232 => ctx.in_parts(&mut op),
        _ => {}
    }
    if matches!(instr.op0_kind(), OpKind::FarBranch16 | OpKind::FarBranch32) {
        let narrow = instr.op0_kind() == OpKind::FarBranch16;
        op.imm = u64::from(if narrow { instr.far_branch16().into() } else { instr.far_branch32() });
        op.aux = instr.far_branch_selector();
    }
    Some(op)
}

/// Far pointers into a register and a segment register.
pub(crate) fn far_pointers(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    use crate::state::seg;
    let which = match instr.mnemonic() {
        Mnemonic::Les => seg::ES,
        Mnemonic::Lds => seg::DS,
        Mnemonic::Lss => seg::SS,
        Mnemonic::Lfs => seg::FS,
        Mnemonic::Lgs => seg::GS,
        _ => return None,
    };
    let run: Handler = match instr.op0_register().size() {
        2 => misc::load_far::<u16>,
        4 => misc::load_far::<u32>,
        _ => misc::load_far::<u64>,
    };
    let mut op = ctx.op(instr, run);
    op.aux = which as u16;
    ctx.in_parts(&mut op);
    Some(op)
}

/// Everything else.
pub(crate) fn rest(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    use Code as C;
    let run: Handler = match instr.code() {
        C::Cpuid => msr::cpuid,
        C::Rdmsr => msr::rdmsr,
        C::Wrmsr => msr::wrmsr,
        C::Rdtsc => msr::rdtsc::<false>,
        C::Rdtscp => msr::rdtsc::<true>,
        C::Swapgs => msr::swapgs,
        C::Clts => registers::clts,
        C::Hlt => misc::hlt,
        C::Cli => misc::cli,
        C::Sti => misc::sti,
        C::Ud0_r16_rm16 | C::Ud0_r32_rm32 | C::Ud0_r64_rm64 => misc::ud,
        C::Ud1_r16_rm16 | C::Ud1_r32_rm32 | C::Ud1_r64_rm64 => misc::ud,
        C::Ud2 => misc::ud,
        C::Wbinvd | C::Invd => misc::privileged_nop,
        C::Clflush_m8 => misc::clflush,
        C::In_AL_imm8 => ports::input::<false, u8>,
        C::In_AX_imm8 => ports::input::<false, u16>,
        C::In_EAX_imm8 => ports::input::<false, u32>,
        C::In_AL_DX => ports::input::<true, u8>,
        C::In_AX_DX => ports::input::<true, u16>,
        C::In_EAX_DX => ports::input::<true, u32>,
        C::Out_imm8_AL => ports::output::<false, u8>,
        C::Out_imm8_AX => ports::output::<false, u16>,
        C::Out_imm8_EAX => ports::output::<false, u32>,
        C::Out_DX_AL => ports::output::<true, u8>,
        C::Out_DX_AX => ports::output::<true, u16>,
        C::Out_DX_EAX => ports::output::<true, u32>,
        C::Arpl_rm16_r16 | C::Arpl_r32m16_r32 => match shape(instr).kind {
            Shape::MemReg => misc::arpl_m,
            _ => misc::arpl_r,
        },
        C::Verr_rm16 | C::Verr_r32m16 | C::Verr_r64m16 => misc::verify(instr, false),
        C::Verw_rm16 | C::Verw_r32m16 | C::Verw_r64m16 => misc::verify(instr, true),
        C::Lsl_r16_rm16 | C::Lsl_r32_r32m16 | C::Lsl_r64_r64m16 => misc::limit_or_access(instr, true)?,
        C::Lar_r16_rm16 | C::Lar_r32_r32m16 | C::Lar_r64_r64m16 => misc::limit_or_access(instr, false)?,
        _ => return None,
    };
    Some(ctx.op(instr, run))
}
