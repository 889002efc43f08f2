//! The status flags in generated code: where they are, and who needs them.

use std::mem::offset_of;

use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};

use super::emit::{Emitter, field};
use super::registers::{SCRATCH, host, sized, slot};
use super::select::{Effect, Kind, general_form};
use crate::cpu::Cpu;
use crate::generated::Context;

/// Where the CPU keeps the flags that generated code has saved: what LAHF gives, and OF below it.
pub(crate) const SAVED: usize = offset_of!(Cpu, generated) + offset_of!(Context, flags);

/// Who needs the flags that are valid between two instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// An instruction reads them.
    pub read: bool,
    /// They would be seen if an instruction faulted, or if the block ended.
    pub seen: bool,
}

impl Need {
    /// Whether anybody needs them.
    pub fn any(self) -> bool {
        self.read || self.seen
    }
}

/// For each instruction of a block: who needs the flags that are valid after it, and those before the first.
pub(crate) fn needs(kinds: &[(Kind, bool)]) -> (Vec<Need>, Need) {
    let mut after = vec![Need::default(); kinds.len()];
    let mut need = Need { read: false, seen: true };
    for (n, (kind, leaves)) in kinds.iter().enumerate().rev() {
        after[n] = need;
        if kind.sets() {
            need = Need::default();
        }
        if kind.changes() && need.any() {
            need.read = true;
        }
        need.read |= kind.reads();
        need.seen |= *leaves;
    }
    (after, need)
}

/// How flags that were lost are made again.
#[derive(Clone, Copy)]
pub(crate) enum Recipe {
    /// By the same instruction: it has changed no register.
    Again(Instruction),
    /// They are those of the value in a register, by TEST.
    Value(Register),
    /// ADD or SUB of a register: by the reverse, and again. The instruction.
    Back(Instruction),
}

/// The flags that an instruction has just set can be made again; none if not.
pub(crate) fn recipe(instr: &Instruction) -> Option<Recipe> {
    let memory = (0..instr.op_count()).any(|n| instr.op_kind(n) == OpKind::Memory);
    let first = instr.op0_register();
    let same =
        instr.op1_kind() == OpKind::Register && instr.op1_register().full_register() == first.full_register();
    let mut general = *instr;
    general.set_code(general_form(instr.code()));
    match instr.mnemonic() {
        Mnemonic::Cmp | Mnemonic::Test if !memory => Some(Recipe::Again(general)),
        Mnemonic::And | Mnemonic::Or | Mnemonic::Xor if instr.op0_kind() == OpKind::Register => {
            Some(Recipe::Value(first))
        }
        Mnemonic::Add | Mnemonic::Sub if !memory && !same => Some(Recipe::Back(general)),
        _ => None,
    }
}

/// The registers that a recipe needs, as bits.
pub(crate) fn needed(recipe: &Recipe) -> u16 {
    let bit = |register: Register| if register.is_gpr() { 1 << register.full_register().number() } else { 0 };
    match recipe {
        Recipe::Value(register) => bit(*register),
        Recipe::Again(instr) | Recipe::Back(instr) => (0..instr.op_count())
            .filter(|&n| instr.op_kind(n) == OpKind::Register)
            .map(|n| bit(instr.op_register(n)))
            .fold(0, |all, bit| all | bit),
    }
}

impl Emitter {
    /// Saves the host's flags, which stay.
    pub fn save_flags(&mut self) {
        self.bare(Code::Lahf);
        self.r(Code::Seto_rm8, Register::AL);
        self.mr(Code::Mov_rm16_r16, field(SAVED), Register::AX);
    }

    /// Gives the host the flags that were saved.
    pub fn restore_flags(&mut self) {
        self.rm(Code::Movzx_r32_rm16, Register::EAX, field(SAVED));
        self.ri(Code::Add_rm8_imm8, Register::AL, 0x7f);
        self.bare(Code::Sahf);
    }

    /// A guest's register for reading: the host's, or a scratch register that it is read into.
    pub fn readable(&mut self, guest: Register, scratch: Register) -> Register {
        let number = guest.full_register().number();
        let register = host(number).unwrap_or_else(|| {
            self.load(scratch, slot(number));
            scratch
        });
        sized(register, guest)
    }

    /// Makes flags again in the host's.
    pub fn follow_recipe(&mut self, recipe: &Recipe) {
        match recipe {
            Recipe::Value(register) => {
                let register = self.readable(*register, SCRATCH[0]);
                let code = match register.size() {
                    1 => Code::Test_rm8_r8,
                    2 => Code::Test_rm16_r16,
                    4 => Code::Test_rm32_r32,
                    _ => Code::Test_rm64_r64,
                };
                self.rr(code, register, register);
            }
            Recipe::Again(instr) => self.on_registers(instr, &SCRATCH),
            Recipe::Back(instr) => {
                let first = self.readable(instr.op0_register(), SCRATCH[0]);
                self.mov(SCRATCH[0], first.full_register());
                let mut forth = *instr;
                forth.set_op0_register(sized(SCRATCH[0], first));
                if instr.op1_kind() == OpKind::Register {
                    let second = self.readable(instr.op1_register(), SCRATCH[1]);
                    forth.set_op1_register(second);
                }
                let mut back = forth;
                back.set_code(opposite(instr));
                self.emit(&back);
                self.emit(&forth);
            }
        }
    }

    /// An instruction on registers that writes none which is in memory.
    fn on_registers(&mut self, instr: &Instruction, scratch: &[Register; 2]) {
        let mut same = *instr;
        for n in (0..instr.op_count()).filter(|&n| instr.op_kind(n) == OpKind::Register) {
            let register = self.readable(instr.op_register(n), scratch[n as usize & 1]);
            same.set_op_register(n, register);
        }
        self.emit(&same);
    }
}

/// SUB for ADD, and ADD for SUB, of the same form.
fn opposite(instr: &Instruction) -> Code {
    use Code::*;
    match instr.code() {
        Add_rm8_r8 => Sub_rm8_r8,
        Add_rm16_r16 => Sub_rm16_r16,
        Add_rm32_r32 => Sub_rm32_r32,
        Add_rm64_r64 => Sub_rm64_r64,
        Add_r8_rm8 => Sub_r8_rm8,
        Add_r16_rm16 => Sub_r16_rm16,
        Add_r32_rm32 => Sub_r32_rm32,
        Add_r64_rm64 => Sub_r64_rm64,
        Add_rm8_imm8 => Sub_rm8_imm8,
        Add_rm16_imm16 => Sub_rm16_imm16,
        Add_rm32_imm32 => Sub_rm32_imm32,
        Add_rm64_imm32 => Sub_rm64_imm32,
        Add_rm16_imm8 => Sub_rm16_imm8,
        Add_rm32_imm8 => Sub_rm32_imm8,
        Add_rm64_imm8 => Sub_rm64_imm8,
        Sub_rm8_r8 => Add_rm8_r8,
        Sub_rm16_r16 => Add_rm16_r16,
        Sub_rm32_r32 => Add_rm32_r32,
        Sub_rm64_r64 => Add_rm64_r64,
        Sub_r8_rm8 => Add_r8_rm8,
        Sub_r16_rm16 => Add_r16_rm16,
        Sub_r32_rm32 => Add_r32_rm32,
        Sub_r64_rm64 => Add_r64_rm64,
        Sub_rm8_imm8 => Add_rm8_imm8,
        Sub_rm16_imm16 => Add_rm16_imm16,
        Sub_rm32_imm32 => Add_rm32_imm32,
        Sub_rm64_imm32 => Add_rm64_imm32,
        Sub_rm16_imm8 => Add_rm16_imm8,
        Sub_rm32_imm8 => Add_rm32_imm8,
        Sub_rm64_imm8 => Add_rm64_imm8,
        other => other,
    }
}

/// What becomes of the flags that were valid before an instruction of a kind.
pub(crate) fn effect(kind: Kind) -> Effect {
    match kind {
        Kind::Same(effect) | Kind::Vector { effect, .. } => effect,
        Kind::Multiply => Effect::Sets,
        Kind::Branch => Effect::Reads,
        _ => Effect::None,
    }
}
