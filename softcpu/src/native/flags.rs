//! The status flags in generated code: where they are, and who needs them.

use std::mem::offset_of;

use iced_x86::{Code, Instruction, MemoryOperand, Mnemonic, OpKind, Register};

use super::emit::{Emitter, field};
use super::registers::{SCRATCH, sized, slot};
use super::select::{Effect, Kind, general_form, has_memory, registers, shift_count};
use crate::cpu::Cpu;
use crate::generated::Context;

/// Where the CPU keeps the flags that generated code has saved: what LAHF gives, and OF below it.
pub(crate) const SAVED: usize = offset_of!(Cpu, generated) + offset_of!(Context, flags);

/// Where a recipe's carry is kept.
const CARRY: usize = offset_of!(Cpu, generated) + offset_of!(Context, carry);

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

/// How flags that were lost are made again: those of an instruction that set all, and what instructions that set some changed then.
/// Each of these makes them from what it left in registers, so it may be done twice.
#[derive(Clone, Copy)]
pub(crate) struct Recipe {
    base: Base,
    changes: [Option<Change>; CHANGES],
}

/// Changes that a recipe has room for.
const CHANGES: usize = 3;

/// All the flags.
#[derive(Clone, Copy)]
enum Base {
    /// Those that were saved.
    Saved,
    /// By the same instruction: it has changed no register.
    Again(Instruction),
    /// They are those of the value in a register, by TEST.
    Value(Register),
    /// ADD or SUB of a register: by the reverse, and again. The instruction.
    Back(Instruction),
    /// Those of the value that a shift left in a register, and the carry that was kept. The instruction.
    Shifted(Instruction),
    /// Those of the value that IMUL left in a register, and the carry that was kept, which is OF too.
    Product(Register),
}

/// Some of the flags.
#[derive(Clone, Copy)]
enum Change {
    /// CF and OF by what ROL or ROR left in a register. The instruction.
    Rotated(Instruction),
    /// All but CF by what INC or DEC left in a register. The instruction.
    Stepped(Instruction),
    /// CF by the same instruction.
    Again(Instruction),
}

/// The flags that an instruction has just set can be made again; none if not.
pub(crate) fn recipe(instr: &Instruction) -> Option<Recipe> {
    let memory = has_memory(instr);
    let first = instr.op0_register();
    let same =
        instr.op1_kind() == OpKind::Register && instr.op1_register().full_register() == first.full_register();
    let mut general = *instr;
    general.set_code(general_form(instr.code()));
    let base = match instr.mnemonic() {
        Mnemonic::Cmp | Mnemonic::Test if !memory => Base::Again(general),
        Mnemonic::And | Mnemonic::Or | Mnemonic::Xor if instr.op0_kind() == OpKind::Register => {
            Base::Value(first)
        }
        Mnemonic::Add | Mnemonic::Sub if !memory && !same => Base::Back(general),
        Mnemonic::Shl | Mnemonic::Sal | Mnemonic::Shr | Mnemonic::Sar => Base::Shifted(*instr),
        Mnemonic::Imul => Base::Product(first),
        _ => return None,
    };
    Some(Recipe { base, changes: [None; CHANGES] })
}

impl Recipe {
    /// The flags that were saved.
    pub const SAVED: Recipe = Recipe { base: Base::Saved, changes: [None; CHANGES] };

    /// The same after an instruction of [`Effect::SomeByResult`]; none if there is no room.
    pub fn and(mut self, instr: &Instruction) -> Option<Recipe> {
        let change = match instr.mnemonic() {
            Mnemonic::Rol | Mnemonic::Ror => Change::Rotated(*instr),
            Mnemonic::Inc | Mnemonic::Dec => Change::Stepped(*instr),
            _ => Change::Again(*instr),
        };
        *self.changes.iter_mut().find(|place| place.is_none())? = Some(change);
        Some(self)
    }

    /// The registers that it needs, as bits.
    pub fn needed(&self) -> u16 {
        let bit =
            |register: Register| if register.is_gpr() { 1 << register.full_register().number() } else { 0 };
        let of = |instr: &Instruction| registers(instr).fold(0, |all, register| all | bit(register));
        let base = match &self.base {
            Base::Saved => 0,
            Base::Value(register) | Base::Product(register) => bit(*register),
            Base::Again(instr) | Base::Back(instr) | Base::Shifted(instr) => of(instr),
        };
        self.changes.iter().flatten().fold(base, |all, change| match change {
            Change::Rotated(instr) | Change::Stepped(instr) | Change::Again(instr) => all | of(instr),
        })
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
        self.load_flags();
    }

    /// Gives the host the flags in AX.
    fn load_flags(&mut self) {
        self.ri(Code::Add_rm8_imm8, Register::AL, 0x7f);
        self.bare(Code::Sahf);
    }

    /// Keeps the host's CF for a recipe.
    pub fn keep_carry(&mut self) {
        self.m(Code::Setb_rm8, field(CARRY));
    }

    /// A guest's register for reading: the host's, or a scratch register that it is read into.
    pub fn readable(&mut self, guest: Register, scratch: Register) -> Register {
        let number = guest.full_register().number();
        let register = self.host(number).unwrap_or_else(|| {
            self.load(scratch, slot(number));
            scratch
        });
        sized(register, guest)
    }

    /// Makes flags again in the host's.
    pub fn follow_recipe(&mut self, recipe: &Recipe) {
        match &recipe.base {
            Base::Saved => self.restore_flags(),
            Base::Value(register) => {
                let register = self.readable(*register, SCRATCH[0]);
                self.test(register);
            }
            Base::Again(instr) => self.on_registers(instr, &SCRATCH),
            Base::Back(instr) => self.back_and_forth(instr),
            Base::Shifted(instr) => {
                self.value_and_carry(instr.op0_register());
                self.overflow_of_shifted(instr);
                self.load_flags();
            }
            Base::Product(register) => {
                self.value_and_carry(*register);
                self.rm(Code::Mov_r8_rm8, Register::AL, field(CARRY));
                self.load_flags();
            }
        }
        for change in recipe.changes.iter().flatten() {
            match change {
                Change::Again(instr) => self.on_registers(instr, &SCRATCH),
                Change::Rotated(instr) => self.rotate_back_and_forth(instr),
                Change::Stepped(instr) => {
                    let register = self.readable(instr.op0_register(), SCRATCH[0]);
                    let before = if instr.mnemonic() == Mnemonic::Inc { -1 } else { 1 };
                    let full = register.full_register();
                    self.rm(Code::Lea_r64_m, SCRATCH[0], MemoryOperand::with_base_displ(full, before));
                    let mut step = *instr;
                    step.set_op0_register(sized(SCRATCH[0], register));
                    self.emit(&step);
                }
            }
        }
    }

    /// TEST of a register with itself.
    pub fn test(&mut self, register: Register) {
        let code = match register.size() {
            1 => Code::Test_rm8_r8,
            2 => Code::Test_rm16_r16,
            4 => Code::Test_rm32_r32,
            _ => Code::Test_rm64_r64,
        };
        self.rr(code, register, register);
    }

    /// AH becomes the flags of a register's value, with the carry that was kept.
    fn value_and_carry(&mut self, register: Register) {
        let register = self.readable(register, SCRATCH[1]);
        self.test(register);
        self.bare(Code::Lahf);
        self.rm(Code::Or_r8_rm8, Register::AH, field(CARRY));
    }

    /// AL becomes OF of a shift, by AH and what it left in its register.
    fn overflow_of_shifted(&mut self, instr: &Instruction) {
        match instr.mnemonic() {
            Mnemonic::Shl | Mnemonic::Sal => self.overflow_of_left(),
            // The bit that was the top one.
            Mnemonic::Shr if shift_count(instr) == 1 => {
                let register = self.readable(instr.op0_register(), SCRATCH[1]);
                let top = 8 * register.size() as i32 - 2;
                self.ri(Code::Bt_rm64_imm8, register.full_register(), top);
                self.r(Code::Setb_rm8, Register::AL);
            }
            _ => self.ri(Code::Mov_r8_imm8, Register::AL, 0),
        }
    }

    /// AL becomes OF of SHL, by CF and SF in AH.
    pub fn overflow_of_left(&mut self) {
        self.rr(Code::Mov_r8_rm8, Register::AL, Register::AH);
        self.ri(Code::Shr_rm8_imm8, Register::AL, 7);
        self.rr(Code::Xor_r8_rm8, Register::AL, Register::AH);
        self.ri(Code::And_rm8_imm8, Register::AL, 1);
    }

    /// ADD or SUB once more.
    fn back_and_forth(&mut self, instr: &Instruction) {
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

    /// The last step of a rotation once more: by one, after which alone OF is defined.
    pub fn rotate_back_and_forth(&mut self, instr: &Instruction) {
        let register = self.readable(instr.op0_register(), SCRATCH[0]);
        self.mov(SCRATCH[0], register.full_register());
        let register = sized(SCRATCH[0], register);
        let (left, right) = match register.size() {
            1 => (Code::Rol_rm8_imm8, Code::Ror_rm8_imm8),
            2 => (Code::Rol_rm16_imm8, Code::Ror_rm16_imm8),
            4 => (Code::Rol_rm32_imm8, Code::Ror_rm32_imm8),
            _ => (Code::Rol_rm64_imm8, Code::Ror_rm64_imm8),
        };
        let (back, forth) = if instr.mnemonic() == Mnemonic::Rol { (right, left) } else { (left, right) };
        self.ri(back, register, 1);
        self.ri(forth, register, 1);
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
        Kind::Multiply | Kind::MultiplyWide | Kind::Exchange | Kind::Scan => Effect::Sets,
        Kind::Branch => Effect::Reads,
        _ => Effect::None,
    }
}
