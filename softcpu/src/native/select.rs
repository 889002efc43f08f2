//! Which guest instructions are translated, and what each means for the status flags.

use iced_x86::{Code, FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::registers::is_high;

/// How an instruction is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The interpreter's handler runs it. Whether that may read or set status flags.
    Handler { flags: bool },
    /// It does nothing.
    Nothing,
    /// The host's same instruction, on the host's registers and the host's memory.
    Same(Effect),
    /// The host's same instruction on XMM registers; with the guest's MXCSR, if it is `float`.
    Vector { effect: Effect, float: bool },
    /// IMUL with two or three operands.
    Multiply,
    /// MUL or IMUL with one operand.
    MultiplyWide,
    /// DIV or IDIV.
    Divide,
    /// CMPXCHG of memory.
    Exchange,
    /// BSF or BSR.
    Scan,
    /// LEAVE.
    Leave,
    /// An indirect call.
    CallTo,
    /// LEA.
    Address,
    /// CWDE, CDQE, CDQ, CQO: it is about RAX, which is elsewhere in the host.
    Sign,
    /// CLI.
    Cli,
    /// STI.
    Sti,
    /// SWAPGS.
    SwapGs,
    /// It is about AH, CH, DH or BH.
    High(Effect),
    /// PUSH of 64 bits.
    Push,
    /// POP of a register.
    Pop,
    /// A direct jump.
    Jump,
    /// A conditional jump.
    Branch,
    /// A direct call.
    Call,
    /// A near return.
    Return,
    /// An indirect jump.
    JumpTo,
}

/// What an instruction does with the status flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// It reads some.
    Reads,
    /// It sets all, as both manual and interpreter have it.
    Sets,
    /// It reads some, and sets all.
    ReadsSets,
    /// It sets some, and keeps the others.
    Some,
    /// The same; what it has left in registers tells what it has set.
    SomeByResult,
    /// It sets all but AF, which the interpreter clears.
    SetsButAuxiliary,
    /// The same if CL is not zero; else it keeps all.
    MaySetButAuxiliary,
}

impl Kind {
    /// Whether an instruction needs flags that were set before it, beside what a fault needs.
    pub fn reads(self) -> bool {
        matches!(self, Kind::Branch | Kind::Same(Effect::Reads | Effect::ReadsSets))
    }

    /// Whether it sets all flags.
    pub fn sets(self) -> bool {
        use Effect::*;
        matches!(
            self,
            Kind::Multiply
                | Kind::MultiplyWide
                | Kind::Exchange
                | Kind::Scan
                | Kind::Same(Sets | ReadsSets | SetsButAuxiliary)
                | Kind::High(Sets)
                | Kind::Vector { effect: Sets, .. }
        )
    }

    /// Whether it is the end of its block, and goes on elsewhere by itself.
    pub fn ends(self) -> bool {
        matches!(self, Kind::Jump | Kind::Branch | Kind::Call | Kind::CallTo | Kind::Return | Kind::JumpTo)
    }

    /// Whether a handler may run it even though it names no memory.
    pub fn may_be_handled(self) -> bool {
        use Kind::*;
        matches!(
            self,
            Handler { .. }
                | Vector { .. }
                | Divide
                | Cli
                | Sti
                | SwapGs
                | Push
                | Pop
                | Leave
                | Call
                | CallTo
                | Return
                | JumpTo
        )
    }

    /// Whether it sets some and keeps others.
    pub fn changes(self) -> bool {
        matches!(self, Kind::Same(Effect::Some | Effect::MaySetButAuxiliary))
    }
}

/// The kind of an instruction of 64-bit code.
pub(crate) fn kind(instr: &Instruction) -> Kind {
    let handler = Kind::Handler { flags: touches_flags(instr) };
    if registers(instr).any(is_high) {
        return super::high::kind(instr).unwrap_or(handler);
    }
    if !plain_operands(instr) {
        return handler;
    }
    use Mnemonic as M;
    match instr.mnemonic() {
        // PAUSE.
        M::Nop if instr.has_rep_prefix() => handler,
        M::Nop | M::Reservednop => Kind::Nothing,
        M::Bswap | M::Lea if operand_bytes(instr) == 2 => handler,
        M::Mov | M::Movzx | M::Movsx | M::Movsxd | M::Bswap | M::Xchg | M::Not => {
            if all_general(instr) {
                Kind::Same(Effect::None)
            } else {
                handler
            }
        }
        M::Add | M::Sub | M::Cmp | M::And | M::Or | M::Xor | M::Test | M::Neg | M::Xadd => {
            Kind::Same(Effect::Sets)
        }
        M::Adc | M::Sbb => Kind::Same(Effect::ReadsSets),
        M::Inc | M::Dec if instr.op0_kind() == OpKind::Register => Kind::Same(Effect::SomeByResult),
        M::Inc | M::Dec => Kind::Same(Effect::Some),
        M::Bt if instr.op0_kind() == OpKind::Register => Kind::Same(Effect::SomeByResult),
        M::Bt | M::Bts | M::Btr | M::Btc if instr.op0_kind() == OpKind::Register => Kind::Same(Effect::Some),
        M::Bt | M::Bts | M::Btr | M::Btc if instr.op1_kind() != OpKind::Register => Kind::Same(Effect::Some),
        M::Shl | M::Sal | M::Shr | M::Sar => shift(instr, Effect::SetsButAuxiliary),
        M::Rol | M::Ror => shift(instr, Effect::Some),
        M::Imul if instr.op_count() > 1 => Kind::Multiply,
        M::Mul | M::Imul if operand_bytes(instr) >= 4 => Kind::MultiplyWide,
        M::Div | M::Idiv if operand_bytes(instr) >= 4 => Kind::Divide,
        M::Cmpxchg if instr.op0_kind() == OpKind::Memory => Kind::Exchange,
        // TZCNT and LZCNT are not there: they run as these.
        M::Bsf | M::Bsr | M::Tzcnt | M::Lzcnt if operand_bytes(instr) >= 4 => Kind::Scan,
        M::Cli => Kind::Cli,
        M::Sti => Kind::Sti,
        M::Swapgs => Kind::SwapGs,
        M::Leave if instr.code() == Code::Leaveq => Kind::Leave,
        M::Call if instr.code() == Code::Call_rm64 => Kind::CallTo,
        M::Lea => Kind::Address,
        M::Cwde | M::Cdqe | M::Cdq | M::Cqo => Kind::Sign,
        M::Push | M::Pop | M::Ret => stack(instr).unwrap_or(handler),
        M::Call if instr.op0_kind() == OpKind::NearBranch64 => Kind::Call,
        M::Jmp if instr.op0_kind() == OpKind::NearBranch64 => Kind::Jump,
        M::Jmp if matches!(instr.code(), Code::Jmp_rm64) => Kind::JumpTo,
        _ if instr.is_jcc_short_or_near() && instr.op0_kind() == OpKind::NearBranch64 => Kind::Branch,
        _ if is_conditional(instr) => Kind::Same(Effect::Reads),
        _ => super::vectors::kind(instr).unwrap_or(handler),
    }
}

/// SETcc and CMOVcc.
fn is_conditional(instr: &Instruction) -> bool {
    instr.condition_code() != iced_x86::ConditionCode::None
        && instr.flow_control() == FlowControl::Next
        && all_general(instr)
}

/// A shift or rotation, by what it does if its count is not zero.
fn shift(instr: &Instruction, effect: Effect) -> Kind {
    let by_register = instr.op1_kind() == OpKind::Register;
    // The count must be known after it.
    let counts_itself = by_register && instr.op0_register().full_register() == Register::RCX;
    // OF after a rotation by more than one is undefined, and here not made anew.
    let rotates = effect == Effect::Some && (by_register || instr.op0_kind() == OpKind::Memory);
    if counts_itself || rotates {
        return Kind::Handler { flags: true };
    }
    Kind::Same(match (instr.op1_kind(), effect) {
        (OpKind::Register, Effect::SetsButAuxiliary) => Effect::MaySetButAuxiliary,
        _ if shift_count(instr) == 0 => Effect::None,
        (_, Effect::Some) if instr.op0_kind() == OpKind::Register => Effect::SomeByResult,
        (_, effect) => effect,
    })
}

/// The bits of a shift's or rotation's count that matter.
pub(crate) fn count_mask(instr: &Instruction) -> i32 {
    if operand_bytes(instr) == 8 { 63 } else { 31 }
}

/// The count of a shift or rotation by an immediate.
pub(crate) fn shift_count(instr: &Instruction) -> i32 {
    i32::from(instr.immediate8()) & count_mask(instr)
}

/// Bytes of the first operand.
pub(crate) fn operand_bytes(instr: &Instruction) -> usize {
    match instr.op0_kind() {
        OpKind::Register => instr.op0_register().size(),
        _ => instr.memory_size().size(),
    }
}

fn stack(instr: &Instruction) -> Option<Kind> {
    match instr.code() {
        Code::Push_r64 | Code::Push_rm64 | Code::Pushq_imm8 | Code::Pushq_imm32 => Some(Kind::Push),
        Code::Pop_r64 | Code::Pop_rm64 if instr.op0_kind() == OpKind::Register => Some(Kind::Pop),
        Code::Retnq | Code::Retnq_imm16 => Some(Kind::Return),
        _ => None,
    }
}

/// Whether it has a memory operand.
pub(crate) fn has_memory(instr: &Instruction) -> bool {
    (0..instr.op_count()).any(|n| instr.op_kind(n) == OpKind::Memory)
}

/// The registers among its operands.
pub(crate) fn registers(instr: &Instruction) -> impl Iterator<Item = Register> {
    let registers = (0..instr.op_count()).filter(|&n| instr.op_kind(n) == OpKind::Register);
    registers.map(|n| instr.op_register(n))
}

fn all_general(instr: &Instruction) -> bool {
    registers(instr).all(Register::is_gpr)
}

/// Whether all operands are such as the host's instruction can have in place of the guest's.
fn plain_operands(instr: &Instruction) -> bool {
    (0..instr.op_count()).all(|n| match instr.op_kind(n) {
        OpKind::Memory => plain_memory(instr),
        OpKind::FarBranch16 | OpKind::FarBranch32 => false,
        _ => true,
    })
}

/// Whether the address is of 64 bits, with a displacement of 32.
fn plain_memory(instr: &Instruction) -> bool {
    let (base, index) = (instr.memory_base(), instr.memory_index());
    let wide = |register: Register| register == Register::None || register.is_gpr64();
    let bare = base == Register::None && index == Register::None;
    let narrow = bare && instr.memory_displ_size() != 8;
    let displacement = instr.memory_displacement64() as i64;
    let fits = displacement == i64::from(displacement as i32);
    !narrow && fits && !has_long_offset(instr.code()) && (base == Register::RIP || wide(base)) && wide(index)
}

/// A MOV of the accumulator whose address is in the instruction as a whole.
fn has_long_offset(code: Code) -> bool {
    use Code::*;
    matches!(
        code,
        Mov_AL_moffs8
            | Mov_AX_moffs16
            | Mov_EAX_moffs32
            | Mov_RAX_moffs64
            | Mov_moffs8_AL
            | Mov_moffs16_AX
            | Mov_moffs32_EAX
            | Mov_moffs64_RAX
    )
}

/// Whether a handler may read or set status flags.
fn touches_flags(instr: &Instruction) -> bool {
    use iced_x86::RflagsBits as B;
    let status = B::OF | B::SF | B::ZF | B::AF | B::CF | B::PF;
    // iced finds that a rotation by a multiple of the width changes none; the interpreter does change OF.
    let rotates = matches!(instr.mnemonic(), Mnemonic::Rcl | Mnemonic::Rcr);
    let touched = instr.rflags_read() | instr.rflags_modified();
    touched & status != 0 || rotates || instr.flow_control() != FlowControl::Next
}

/// The form of an instruction that names its accumulator.
pub(crate) fn general_form(code: Code) -> Code {
    macro_rules! forms {
        ($($al:ident $ax:ident $eax:ident $rax:ident => $b:ident $w:ident $d:ident $q:ident;)*) => {
            match code {
                $(Code::$al => Code::$b, Code::$ax => Code::$w, Code::$eax => Code::$d, Code::$rax => Code::$q,)*
                Code::Xchg_r16_AX => Code::Xchg_rm16_r16,
                Code::Xchg_r32_EAX => Code::Xchg_rm32_r32,
                Code::Xchg_r64_RAX => Code::Xchg_rm64_r64,
                other => other,
            }
        };
    }
    forms! {
        Add_AL_imm8 Add_AX_imm16 Add_EAX_imm32 Add_RAX_imm32 => Add_rm8_imm8 Add_rm16_imm16 Add_rm32_imm32 Add_rm64_imm32;
        Or_AL_imm8 Or_AX_imm16 Or_EAX_imm32 Or_RAX_imm32 => Or_rm8_imm8 Or_rm16_imm16 Or_rm32_imm32 Or_rm64_imm32;
        Adc_AL_imm8 Adc_AX_imm16 Adc_EAX_imm32 Adc_RAX_imm32 => Adc_rm8_imm8 Adc_rm16_imm16 Adc_rm32_imm32 Adc_rm64_imm32;
        Sbb_AL_imm8 Sbb_AX_imm16 Sbb_EAX_imm32 Sbb_RAX_imm32 => Sbb_rm8_imm8 Sbb_rm16_imm16 Sbb_rm32_imm32 Sbb_rm64_imm32;
        And_AL_imm8 And_AX_imm16 And_EAX_imm32 And_RAX_imm32 => And_rm8_imm8 And_rm16_imm16 And_rm32_imm32 And_rm64_imm32;
        Sub_AL_imm8 Sub_AX_imm16 Sub_EAX_imm32 Sub_RAX_imm32 => Sub_rm8_imm8 Sub_rm16_imm16 Sub_rm32_imm32 Sub_rm64_imm32;
        Xor_AL_imm8 Xor_AX_imm16 Xor_EAX_imm32 Xor_RAX_imm32 => Xor_rm8_imm8 Xor_rm16_imm16 Xor_rm32_imm32 Xor_rm64_imm32;
        Cmp_AL_imm8 Cmp_AX_imm16 Cmp_EAX_imm32 Cmp_RAX_imm32 => Cmp_rm8_imm8 Cmp_rm16_imm16 Cmp_rm32_imm32 Cmp_rm64_imm32;
        Test_AL_imm8 Test_AX_imm16 Test_EAX_imm32 Test_RAX_imm32 => Test_rm8_imm8 Test_rm16_imm16 Test_rm32_imm32 Test_rm64_imm32;
    }
}
