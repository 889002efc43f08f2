//! Instructions with operands that they do not name: RAX, RDX, the stack.

use iced_x86::{Code, ConditionCode, Instruction, MemoryOperand, Mnemonic, OpKind, Register};

use super::block::{Flags, IN_MEMORY, NOWHERE, Translator};
use super::emit::field;
use super::flags::{Need, SAVED, recipe};
use super::memory::{at, code_found, context};
use super::registers::{ACCUMULATOR, FRAME, SCRATCH, STACK, TLB, sized_bytes};
use super::select::{Effect, operand_bytes};

impl Translator<'_> {
    pub(super) fn sign(&mut self, instr: &Instruction) {
        let [eax, ax] = [4, 2].map(|bytes| sized_bytes(ACCUMULATOR, bytes));
        match instr.code() {
            Code::Cwde => self.e.rr(Code::Movsx_r32_rm16, eax, ax),
            Code::Cdqe => self.e.rr(Code::Movsxd_r64_rm32, ACCUMULATOR, eax),
            Code::Cdq => {
                self.e.mov(SCRATCH[0], ACCUMULATOR);
                self.e.bare(Code::Cdq);
            }
            _ => {
                self.e.mov(SCRATCH[0], ACCUMULATOR);
                self.e.bare(Code::Cqo);
            }
        }
    }

    pub(super) fn multiply(&mut self, nth: usize, instr: &Instruction, before: Need, after: Need) {
        let slow = self.same(nth, instr, Effect::None, before, Need::default());
        self.flags = match after {
            Need { read: false, seen: false } => NOWHERE,
            // (Its handler keeps no carry.)
            Need { read: false, .. } if slow.is_none() => {
                self.e.keep_carry();
                Flags { host: false, saved: false, recipe: recipe(instr) }
            }
            _ => {
                self.save_product_flags(instr.op0_register());
                IN_MEMORY
            }
        };
        self.slow_back(slow);
    }

    /// Brings the only operand, or the second one, to the second scratch register. Its way through the handler, if there may be one.
    fn operand(&mut self, nth: usize, instr: &Instruction, n: u32, before: Need) -> Option<usize> {
        let [first, second] = SCRATCH;
        self.give_up_host(before);
        if instr.op_kind(n) == OpKind::Register {
            let value = self.e.readable(instr.op_register(n), second);
            self.e.mov(second, value.full_register());
            return None;
        }
        let slow = self.reach_operand(nth, instr, Need::default(), false);
        let (code, register) = match instr.memory_size().size() {
            4 => (Code::Mov_r32_rm32, sized_bytes(second, 4)),
            _ => (Code::Mov_r64_rm64, second),
        };
        self.e.rm(code, register, at(first));
        Some(slow)
    }

    /// MUL and IMUL of RAX, to RDX and RAX.
    pub(super) fn multiply_wide(&mut self, nth: usize, instr: &Instruction, before: Need, after: Need) {
        let [first, second] = SCRATCH;
        let slow = self.operand(nth, instr, 0, before);
        let bytes = operand_bytes(instr);
        self.e.mov(first, ACCUMULATOR);
        let code = match (instr.mnemonic(), bytes) {
            (Mnemonic::Mul, 4) => Code::Mul_rm32,
            (Mnemonic::Mul, _) => Code::Mul_rm64,
            (_, 4) => Code::Imul_rm32,
            _ => Code::Imul_rm64,
        };
        self.e.r(code, sized_bytes(second, bytes));
        self.e.mov(ACCUMULATOR, first);
        self.flags = NOWHERE;
        if after.any() {
            self.save_product_flags(sized_bytes(Register::RAX, bytes));
            self.flags = IN_MEMORY;
        }
        self.slow_back(slow);
    }

    /// DIV and IDIV of RDX and RAX, if the quotient fits for sure.
    pub(super) fn divide(&mut self, nth: usize, instr: &Instruction, before: Need) {
        let [first, second] = SCRATCH;
        let slow = self.operand(nth, instr, 0, before);
        let wide = operand_bytes(instr) == 8;
        let part = |register| sized_bytes(register, if wide { 8 } else { 4 });
        let compare = if wide { Code::Cmp_r64_rm64 } else { Code::Cmp_r32_rm32 };
        let jumps = if instr.mnemonic() == Mnemonic::Div {
            self.e.rr(compare, part(Register::RDX), part(second));
            vec![self.e.jump_if(ConditionCode::ae)]
        } else {
            // RDX is the sign of RAX, and the divisor neither 0 nor -1.
            self.e.mov(first, ACCUMULATOR);
            let (shift, bits) = if wide { (Code::Sar_rm64_imm8, 63) } else { (Code::Sar_rm32_imm8, 31) };
            self.e.ri(shift, part(first), bits);
            self.e.rr(compare, part(first), part(Register::RDX));
            let sign = self.e.jump_if(ConditionCode::ne);
            let lea = if wide { Code::Lea_r64_m } else { Code::Lea_r32_m };
            self.e.rm(lea, part(first), MemoryOperand::with_base_displ(second, 1));
            self.e.ri(if wide { Code::Cmp_rm64_imm8 } else { Code::Cmp_rm32_imm8 }, part(first), 1);
            vec![sign, self.e.jump_if(ConditionCode::be)]
        };
        let also = self.slow(nth, jumps);
        self.e.mov(first, ACCUMULATOR);
        let code = match (instr.mnemonic(), wide) {
            (Mnemonic::Div, false) => Code::Div_rm32,
            (Mnemonic::Div, true) => Code::Div_rm64,
            (_, false) => Code::Idiv_rm32,
            _ => Code::Idiv_rm64,
        };
        self.e.r(code, part(second));
        self.e.mov(ACCUMULATOR, first);
        self.slow_back(slow);
        self.slow_back(Some(also));
    }

    /// CMPXCHG of memory.
    pub(super) fn compare_exchange(&mut self, nth: usize, instr: &Instruction, before: Need, after: Need) {
        let [first, second] = SCRATCH;
        let slow = self.reach_operand(nth, instr, before, true);
        let bytes = operand_bytes(instr);
        self.e.mov(second, first);
        // The third scratch register is brought back.
        let guest = instr.op1_register();
        let new = self.e.readable(guest, TLB);
        self.e.mov(first, ACCUMULATOR);
        let code = match bytes {
            1 => Code::Cmpxchg_rm8_r8,
            2 => Code::Cmpxchg_rm16_r16,
            4 => Code::Cmpxchg_rm32_r32,
            _ => Code::Cmpxchg_rm64_r64,
        };
        self.e.mr(code, at(second), new);
        self.e.rr(Code::Cmovne_r64_rm64, ACCUMULATOR, first);
        if self.e.host(guest.full_register().number()).is_none() {
            self.e.load(TLB, context!(data));
        }
        self.flags_set(instr, Effect::Sets, after);
        self.slow_back(Some(slow));
    }

    /// BSF and BSR, which leave their destination if there is no bit.
    pub(super) fn scan(&mut self, nth: usize, instr: &Instruction, before: Need, after: Need) {
        let [first, second] = SCRATCH;
        let slow = self.operand(nth, instr, 1, before);
        let to = instr.op0_register();
        let old = self.e.readable(to.full_register(), first);
        self.e.mov(first, old);
        let up = matches!(instr.mnemonic(), Mnemonic::Bsf | Mnemonic::Tzcnt);
        let code = match (up, to.size()) {
            (true, 4) => Code::Bsf_r32_rm32,
            (true, _) => Code::Bsf_r64_rm64,
            (_, 4) => Code::Bsr_r32_rm32,
            _ => Code::Bsr_r64_rm64,
        };
        let part = sized_bytes(second, to.size());
        self.e.rr(code, part, part);
        self.e.rr(Code::Cmovne_r64_rm64, first, second);
        self.e.set_guest(to.number(), first);
        self.flags = NOWHERE;
        if after.any() {
            // Those of zero, or of one.
            self.e.r(Code::Sete_rm8, Register::AL);
            self.e.rr(Code::Movzx_r32_rm8, Register::EAX, Register::AL);
            self.e.r(Code::Neg_rm32, Register::EAX);
            self.e.ri(Code::And_EAX_imm32, Register::EAX, 0x4400);
            self.e.mr(Code::Mov_rm16_r16, field(SAVED), Register::AX);
            self.flags = IN_MEMORY;
        }
        self.slow_back(slow);
    }

    /// LEAVE.
    pub(super) fn leave_frame(&mut self, nth: usize, before: Need) {
        self.give_up_host(before);
        self.e.mov(SCRATCH[0], FRAME);
        let missed = self.e.look_up(8, false);
        let slow = self.slow(nth, [missed]);
        self.e.rm(Code::Mov_r64_rm64, SCRATCH[0], at(SCRATCH[0]));
        self.e.rm(Code::Lea_r64_m, STACK, MemoryOperand::with_base_displ(FRAME, 8));
        self.e.mov(FRAME, SCRATCH[0]);
        self.slow_back(Some(slow));
    }

    /// An indirect call.
    pub(super) fn call_to(&mut self, nth: usize, instr: &Instruction) {
        let [first, second] = SCRATCH;
        self.save();
        self.target(nth, instr);
        let missed = self.e.look_up_code();
        self.slow(nth, missed);
        self.e.rm(Code::Mov_r64_rm64, first, code_found());
        self.e.store(context!(next_code), first);
        self.push_return(nth, instr);
        self.e.load(second, context!(next_page));
        self.e.store(context!(page), second);
        self.e.go_home();
        self.e.m(Code::Jmp_rm64, field(context!(next_code)));
    }
}
