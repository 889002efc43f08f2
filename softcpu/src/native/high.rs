//! Instructions on AH, CH, DH and BH: the whole register is brought to RAX, in whose AH the host's instruction finds them.

use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};

use super::block::{Flags, NOWHERE, Translator};
use super::emit::field;
use super::flags::Need;
use super::registers::{SCRATCH, is_high, sized_bytes, slot};
use super::select::{Effect, Kind};

/// The kind of an instruction that names such a register, if it is one that can be had: with an immediate, or a move from there. (A
/// register of the host's that needs a REX prefix cannot stand beside AH.)
pub(super) fn kind(instr: &Instruction) -> Option<Kind> {
    if instr.op_count() != 2 || instr.op0_kind() != OpKind::Register {
        return None;
    }
    use Mnemonic as M;
    let (to, from) = (instr.op0_register(), instr.op1_register());
    let effect = match (instr.mnemonic(), instr.op1_kind()) {
        (M::Mov, OpKind::Immediate8) => Effect::None,
        (M::Add | M::Sub | M::Cmp | M::And | M::Or | M::Xor | M::Test, OpKind::Immediate8) => Effect::Sets,
        (M::Mov, OpKind::Register) if is_high(from) && !is_high(to) => Effect::None,
        (M::Movzx | M::Movsx, OpKind::Register) if to.is_gpr32() => Effect::None,
        _ => return None,
    };
    Some(Kind::High(effect))
}

impl Translator<'_> {
    pub(super) fn high(&mut self, instr: &Instruction, effect: Effect, after: Need) {
        let whole = SCRATCH[0];
        let high = if is_high(instr.op0_register()) { instr.op0_register() } else { instr.op1_register() };
        let value = self.e.readable(high.full_register(), whole);
        self.e.mov(whole, value);
        if high == instr.op0_register() {
            self.change_high(instr);
        } else {
            self.move_from_high(instr);
        }
        if effect == Effect::Sets {
            self.flags = if after.any() { Flags { host: true, saved: false, recipe: None } } else { NOWHERE };
        }
    }

    /// The same instruction on the copy's AH, and the copy back.
    fn change_high(&mut self, instr: &Instruction) {
        let number = instr.op0_register().full_register().number();
        let mut same = *instr;
        same.set_op0_register(Register::AH);
        self.e.emit(&same);
        if !matches!(instr.mnemonic(), Mnemonic::Cmp | Mnemonic::Test) {
            self.e.set_guest(number, SCRATCH[0]);
        }
    }

    fn move_from_high(&mut self, instr: &Instruction) {
        let number = instr.op0_register().full_register().number();
        let code = match instr.mnemonic() {
            Mnemonic::Movsx => Code::Movsx_r32_rm8,
            _ => Code::Movzx_r32_rm8,
        };
        self.e.rr(code, Register::EAX, Register::AH);
        if instr.mnemonic() != Mnemonic::Mov {
            self.e.set_guest(number, SCRATCH[0]);
            return;
        }
        match self.e.host(number) {
            Some(host) => self.e.rr(Code::Mov_rm8_r8, sized_bytes(host, 1), Register::AL),
            None => self.e.mr(Code::Mov_rm8_r8, field(slot(number)), Register::AL),
        }
    }
}
