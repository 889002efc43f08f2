//! The guest's flags from one instruction to the next.

use iced_x86::{Code, ConditionCode, Instruction, Mnemonic, OpAccess, OpKind, Register};

use super::block::{Flags, IN_MEMORY, NOWHERE, Translator};
use super::emit::field;
use super::flags::{Need, Recipe, SAVED, recipe};
use super::registers::SCRATCH;
use super::select::{Effect, Kind, count_mask, shift_count};

impl Translator<'_> {
    /// Saves the flags if an instruction overwrites what they can be made again from.
    pub(super) fn before_writes(&mut self, instr: &Instruction, kind: Kind, after: Need) {
        let Some(recipe) = self.flags.recipe else { return };
        if self.flags.saved || kind.sets() || !after.any() {
            return;
        }
        if self.written(instr) & recipe.needed() != 0 {
            self.save();
        }
    }

    /// The general registers that an instruction writes, as bits.
    fn written(&mut self, instr: &Instruction) -> u16 {
        let used = self.info.info(instr).used_registers();
        let writes = |access| !matches!(access, OpAccess::None | OpAccess::Read | OpAccess::CondRead);
        used.iter()
            .filter(|used| writes(used.access()) && used.register().is_gpr())
            .fold(0, |all, used| all | 1 << used.register().full_register().number())
    }

    /// Saves the flags, wherever they are.
    pub(super) fn save(&mut self) {
        if self.flags.saved {
            return;
        }
        if !self.flags.host
            && let Some(recipe) = self.flags.recipe
        {
            self.e.follow_recipe(&recipe);
            self.flags.host = true;
        }
        if self.flags.host {
            self.e.save_flags();
            self.flags.saved = true;
        }
    }

    /// Before the host's flags are overwritten.
    pub(super) fn give_up_host(&mut self, need: Need) {
        if need.read || need.seen && self.flags.recipe.is_none() {
            self.save();
        }
        self.flags.host = false;
    }

    /// Before an instruction that sets some flags by its result, for which the others need only be made again: how they are.
    pub(super) fn follow_change(&mut self, instr: &Instruction) {
        if !self.flags.saved && self.flags.recipe.is_none() {
            self.save();
        }
        let before = if self.flags.saved { Some(Recipe::SAVED) } else { self.flags.recipe };
        let after = before.and_then(|recipe| recipe.and(instr)).or_else(|| {
            self.save();
            Recipe::SAVED.and(instr)
        });
        self.flags = Flags { host: false, saved: false, recipe: after };
    }

    /// Brings the flags to the host's.
    pub(super) fn want_host(&mut self) {
        if self.flags.host {
            return;
        }
        match self.flags.recipe {
            Some(recipe) if !self.flags.saved => self.e.follow_recipe(&recipe),
            _ => self.e.restore_flags(),
        }
        self.flags.host = true;
    }

    /// The flags after an instruction.
    pub(super) fn flags_set(&mut self, instr: &Instruction, effect: Effect, after: Need) {
        self.flags = match effect {
            Effect::None | Effect::Reads => return,
            _ if !after.any() => NOWHERE,
            Effect::Sets | Effect::ReadsSets => Flags { host: true, saved: false, recipe: recipe(instr) },
            Effect::Some => Flags { host: true, saved: false, recipe: None },
            Effect::SomeByResult if after.read => {
                if matches!(instr.mnemonic(), Mnemonic::Rol | Mnemonic::Ror) {
                    self.e.rotate_back_and_forth(instr);
                }
                Flags { host: true, saved: false, recipe: None }
            }
            Effect::SomeByResult => Flags { host: false, saved: false, recipe: self.flags.recipe },
            Effect::SetsButAuxiliary if !after.read && instr.op0_kind() == OpKind::Register => {
                self.e.keep_carry();
                Flags { host: false, saved: false, recipe: recipe(instr) }
            }
            Effect::SetsButAuxiliary | Effect::MaySetButAuxiliary => {
                self.save_shifted(instr);
                IN_MEMORY
            }
        };
    }

    /// Saves the flags of a shift as the interpreter has them: what the manual leaves undefined differs from one processor to
    /// another, AF always and OF if the count is not one.
    fn save_shifted(&mut self, instr: &Instruction) {
        let mask = count_mask(instr);
        let count = (instr.op1_kind() != OpKind::Register).then(|| shift_count(instr));
        self.e.bare(Code::Lahf);
        self.e.r(Code::Seto_rm8, Register::AL);
        if count != Some(1) {
            self.overflow_of_shift(instr.mnemonic(), count.is_none(), mask);
        }
        self.e.ri(Code::And_rm8_imm8, Register::AH, 0xef);
        // Without a count nothing changes.
        let kept = count.is_none().then(|| {
            self.e.ri(Code::Test_rm8_imm8, Register::CL, mask);
            self.e.jump_if(ConditionCode::e)
        });
        self.e.mr(Code::Mov_rm16_r16, field(SAVED), Register::AX);
        kept.into_iter().for_each(|jump| self.e.bind(jump));
    }

    /// AL becomes OF of the last shift by one, from CF and SF in AH.
    fn overflow_of_shift(&mut self, mnemonic: Mnemonic, by_cl: bool, mask: i32) {
        match mnemonic {
            Mnemonic::Shl | Mnemonic::Sal => self.e.overflow_of_left(),
            Mnemonic::Shr if by_cl => {
                self.e.rr(Code::Mov_r32_rm32, Register::R14D, Register::ECX);
                self.e.ri(Code::And_rm32_imm8, Register::R14D, mask);
                self.e.ri(Code::Cmp_rm32_imm8, Register::R14D, 1);
                self.e.r(Code::Sete_rm8, Register::R14L);
                self.e.rr(Code::And_r8_rm8, Register::AL, Register::R14L);
            }
            _ => self.e.ri(Code::Mov_r8_imm8, Register::AL, 0),
        }
    }

    /// Saves the flags of a product: CF and OF say whether it was cut, and the others follow the guest's register that has it.
    pub(super) fn save_product_flags(&mut self, product: Register) {
        self.e.r(Code::Seto_rm8, Register::AL);
        self.e.rr(Code::Movzx_r32_rm8, Register::R14D, Register::AL);
        let result = self.e.readable(product, SCRATCH[0]);
        self.e.test(result);
        self.e.bare(Code::Lahf);
        self.e.rr(Code::Mov_r8_rm8, Register::AL, Register::R14L);
        self.e.rr(Code::Or_r8_rm8, Register::AH, Register::AL);
        self.e.mr(Code::Mov_rm16_r16, field(SAVED), Register::AX);
    }
}
