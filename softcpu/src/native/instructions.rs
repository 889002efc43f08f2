//! Instructions that become the host's same ones, and those of the stack.

use std::mem::offset_of;

use iced_x86::{Code, ConditionCode, Instruction, MemoryOperand, Mnemonic, OpKind, Register};

use super::block::Translator;
use super::emit::field;
use super::ends::TAKEN;
use super::flags::Need;
use super::in_place::in_place;
use super::memory::{at, context};
use super::registers::{SCRATCH, STACK, sized, slot};
use super::select::{Effect, general_form, has_memory};
use super::vectors;
use crate::cpu::Cpu;
use crate::generated::FLOAT_ON;
use crate::state::FpuState;

impl Translator<'_> {
    /// The host's same instruction. If it accesses memory: its way through the handler, which must be told where it comes back.
    pub(super) fn same(
        &mut self,
        nth: usize,
        instr: &Instruction,
        effect: Effect,
        before: Need,
        after: Need,
    ) -> Option<usize> {
        let reads = match effect {
            Effect::Reads | Effect::ReadsSets => true,
            Effect::Some => after.any(),
            Effect::SomeByResult => after.read,
            _ => false,
        };
        if effect == Effect::SomeByResult && after.seen && !after.read {
            self.follow_change(instr);
        }
        if effect == Effect::MaySetButAuxiliary && after.any() {
            self.save();
        }
        let mut same = *instr;
        same.set_code(general_form(instr.code()));
        same.set_has_lock_prefix(false);
        same.set_has_rep_prefix(false);
        same.set_has_repne_prefix(false);
        let memory = has_memory(instr);
        let slow = memory.then(|| self.reach(nth, instr, before));
        let mut scratch = SCRATCH;
        if reads && memory {
            self.e.mov(SCRATCH[1], SCRATCH[0]);
            scratch.swap(0, 1);
        }
        if reads {
            self.want_host();
        }
        if memory {
            point_to(&mut same, scratch[0]);
        }
        match in_place(&self.e, instr, &same).filter(|_| !memory) {
            Some(made) => self.e.emit(&made),
            None => self.run_same(instr, same, if memory { [scratch[1]; 2] } else { scratch }),
        }
        self.flags_set(instr, effect, after);
        slow
    }

    /// The host's same instruction on XMM registers, as [`same`](Self::same).
    pub(super) fn vector(
        &mut self,
        nth: usize,
        instr: &Instruction,
        (effect, float): (Effect, bool),
        before: Need,
        after: Need,
    ) -> Option<usize> {
        let mut jumps = Vec::new();
        if !self.simd || float {
            self.give_up_host(before);
        }
        if !self.simd {
            self.e.mi(Code::Cmp_rm8_imm8, field(context!(simd)), 0);
            jumps.push(self.e.jump_if(ConditionCode::e));
            self.simd = true;
        }
        if float {
            self.e.mi(Code::Cmp_rm8_imm8, field(context!(float)), i32::from(FLOAT_ON));
            let on = self.e.jump_if(ConditionCode::e);
            self.e.call(self.routines.float_on);
            jumps.push(self.e.jump_if(ConditionCode::ne));
            self.e.bind(on);
        }
        let mut same = *instr;
        same.set_code(vectors::through_caches(instr.code()));
        let mut free = SCRATCH;
        if has_memory(instr) {
            self.give_up_host(before);
            self.e.address(instr);
            jumps.push(self.e.look_up(instr.memory_size().size(), writes_memory(instr)));
            if vectors::is_aligned(instr) {
                self.e.ri(Code::Test_rm8_imm8, Register::AL, 15);
                jumps.push(self.e.jump_if(ConditionCode::ne));
            }
            point_to(&mut same, SCRATCH[0]);
            free = [SCRATCH[1]; 2];
        }
        let slow = (!jumps.is_empty()).then(|| self.slow(nth, jumps));
        self.run_same(instr, same, free);
        self.flags_set(instr, effect, after);
        slow
    }

    /// Brings the host's address of the memory operand to the first scratch register.
    fn reach(&mut self, nth: usize, instr: &Instruction, before: Need) -> usize {
        self.reach_operand(nth, instr, before, writes_memory(instr))
    }

    /// The same, for reading or for writing.
    pub(super) fn reach_operand(
        &mut self,
        nth: usize,
        instr: &Instruction,
        before: Need,
        write: bool,
    ) -> usize {
        self.give_up_host(before);
        self.e.address(instr);
        let missed = self.e.look_up(instr.memory_size().size(), write);
        self.slow(nth, [missed])
    }

    /// Emits an instruction with the host's registers for the guest's; those that are in memory are brought to the free ones and back.
    fn run_same(&mut self, instr: &Instruction, mut same: Instruction, free: [Register; 2]) {
        self.bring_xmm(instr);
        let mut back = [None; 2];
        let registers = (0..instr.op_count()).filter(|&n| instr.op_kind(n) == OpKind::Register);
        for (n, place) in registers.zip(free.iter().cycle()) {
            let guest = instr.op_register(n);
            if guest.is_xmm() {
                continue;
            }
            let number = guest.full_register().number();
            let home = self.e.host(number);
            let register = home.unwrap_or(*place);
            if home.is_none() {
                if !only_written(instr, n) {
                    self.e.load(register, slot(number));
                }
                if is_written(instr, n) {
                    back[n as usize & 1] = Some((number, register));
                }
            }
            same.set_op_register(n, sized(register, guest));
        }
        self.e.emit(&same);
        // If both are the same register the first one counts.
        for (number, register) in back.into_iter().rev().flatten() {
            self.e.store(slot(number), register);
        }
        if instr.op0_kind() == OpKind::Register && instr.op0_register().is_xmm() && is_written(instr, 0) {
            let register = instr.op0_register();
            self.e.mr(Code::Movaps_xmmm128_xmm, field(xmm_slot(register.number())), register);
        }
    }

    /// Brings an instruction's XMM registers to the host's of the same numbers; not that which it only writes.
    fn bring_xmm(&mut self, instr: &Instruction) {
        let bits = |n: u32| match instr.op_kind(n) {
            OpKind::Register if instr.op_register(n).is_xmm() => 1 << instr.op_register(n).number(),
            _ => 0u16,
        };
        let first = bits(0);
        let others = (1..instr.op_count()).fold(0, |all, n| all | bits(n));
        let read = if vectors::only_written(instr) { others } else { first | others };
        self.load_xmm(read & !self.xmm);
        self.xmm |= first | others;
    }

    /// Brings XMM registers, given as bits, from memory, where all of them always are, to the host's of the same numbers.
    pub(super) fn load_xmm(&mut self, which: u16) {
        for number in (0..16).filter(|number| which & 1 << number != 0) {
            let register = Register::XMM0 + number;
            self.e.rm(Code::Movaps_xmm_xmmm128, register, field(xmm_slot(register.number())));
        }
    }

    pub(super) fn load_address(&mut self, instr: &Instruction) {
        let to = instr.op0_register();
        let host = self.e.host(to.number()).filter(|_| to.size() == 8);
        let register = host.unwrap_or(SCRATCH[0]);
        self.e.offset_of_operand(instr, register);
        if to.size() == 4 {
            self.e.rr(Code::Mov_r32_rm32, Register::EAX, Register::EAX);
        }
        if host.is_none() {
            self.e.set_guest(to.number(), SCRATCH[0]);
        }
    }

    pub(super) fn push(&mut self, nth: usize, instr: &Instruction, before: Need) {
        if instr.op0_kind() == OpKind::Memory {
            self.push_memory(nth, instr, before);
            return;
        }
        let slow = self.reach_stack(nth, before, -8, true);
        if instr.op0_kind() == OpKind::Register {
            let value = self.e.readable(instr.op0_register(), SCRATCH[1]);
            self.e.mr(Code::Mov_rm64_r64, at(SCRATCH[0]), value);
        } else {
            self.e.mi(Code::Mov_rm64_imm32, at(SCRATCH[0]), instr.immediate(0) as i32);
        }
        self.add(STACK, -8);
        self.slow_back(Some(slow));
    }

    fn push_memory(&mut self, nth: usize, instr: &Instruction, before: Need) {
        let [first, second] = SCRATCH;
        let read = self.reach_operand(nth, instr, before, false);
        self.e.rm(Code::Mov_r64_rm64, first, at(first));
        self.e.store(context!(operand), first);
        let written = self.reach_stack(nth, before, -8, true);
        self.e.load(second, context!(operand));
        self.e.mr(Code::Mov_rm64_r64, at(first), second);
        self.add(STACK, -8);
        self.slow_back(Some(read));
        self.slow_back(Some(written));
    }

    pub(super) fn pop(&mut self, nth: usize, instr: &Instruction, before: Need) {
        let slow = self.reach_stack(nth, before, 0, false);
        self.e.rm(Code::Mov_r64_rm64, SCRATCH[0], at(SCRATCH[0]));
        self.add(STACK, 8);
        self.e.set_guest(instr.op0_register().number(), SCRATCH[0]);
        self.slow_back(Some(slow));
    }

    /// Brings the host's address of eight bytes of the stack to the first scratch register.
    fn reach_stack(&mut self, nth: usize, before: Need, offset: i64, write: bool) -> usize {
        self.give_up_host(before);
        self.e.rm(Code::Lea_r64_m, SCRATCH[0], MemoryOperand::with_base_displ(STACK, offset));
        let missed = self.e.look_up(8, write);
        self.slow(nth, [missed])
    }

    pub(super) fn call(&mut self, nth: usize, instr: &Instruction) {
        self.save();
        self.push_return(nth, instr);
        self.side(TAKEN);
    }

    /// Pushes the address of the next instruction.
    pub(super) fn push_return(&mut self, nth: usize, instr: &Instruction) {
        self.reach_stack(nth, Need::default(), -8, true);
        self.e.load(SCRATCH[1], context!(page));
        self.add(SCRATCH[1], instr.next_ip() as i64);
        self.e.mr(Code::Mov_rm64_r64, at(SCRATCH[0]), SCRATCH[1]);
        self.add(STACK, -8);
    }

    /// Brings the target of an indirect jump or call to the first scratch register.
    pub(super) fn target(&mut self, nth: usize, instr: &Instruction) {
        if instr.op0_kind() == OpKind::Register {
            let target = self.e.readable(instr.op0_register(), SCRATCH[0]);
            self.e.mov(SCRATCH[0], target);
        } else {
            self.reach_operand(nth, instr, Need::default(), false);
            self.e.rm(Code::Mov_r64_rm64, SCRATCH[0], at(SCRATCH[0]));
        }
    }

    pub(super) fn ret(&mut self, nth: usize, instr: &Instruction) {
        self.save();
        self.reach_stack(nth, Need::default(), 0, false);
        self.e.rm(Code::Mov_r64_rm64, SCRATCH[0], at(SCRATCH[0]));
        let dropped = if instr.op_count() == 0 { 0 } else { i64::from(instr.immediate16()) };
        let missed = self.e.look_up_code();
        self.slow(nth, missed);
        self.add(STACK, 8 + dropped);
        self.e.jump_to_code();
    }

    pub(super) fn jump_to(&mut self, nth: usize, instr: &Instruction) {
        self.save();
        self.target(nth, instr);
        let missed = self.e.look_up_code();
        self.slow(nth, missed);
        self.e.jump_to_code();
    }
}

/// Lets the memory operand be what a host's register points to.
fn point_to(instr: &mut Instruction, register: Register) {
    instr.set_memory_base(register);
    instr.set_memory_index(Register::None);
    instr.set_memory_index_scale(1);
    instr.set_memory_displacement64(0);
    instr.set_memory_displ_size(0);
    instr.set_segment_prefix(Register::None);
}

fn only_compares(instr: &Instruction) -> bool {
    let mnemonic = instr.mnemonic();
    matches!(mnemonic, Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Bt) || vectors::only_compares(mnemonic)
}

/// The offset in the CPU of an XMM register.
fn xmm_slot(number: usize) -> usize {
    offset_of!(Cpu, fpu) + offset_of!(FpuState, xmm) + 16 * number
}

fn writes_memory(instr: &Instruction) -> bool {
    instr.op0_kind() == OpKind::Memory && !only_compares(instr)
        || matches!(instr.mnemonic(), Mnemonic::Xchg | Mnemonic::Xadd)
}

fn is_written(instr: &Instruction, n: u32) -> bool {
    match n {
        0 => !only_compares(instr),
        1 => matches!(instr.mnemonic(), Mnemonic::Xchg | Mnemonic::Xadd),
        _ => false,
    }
}

/// Whether an operand's old value does not matter at all.
fn only_written(instr: &Instruction, n: u32) -> bool {
    let moves =
        matches!(instr.mnemonic(), Mnemonic::Mov | Mnemonic::Movzx | Mnemonic::Movsx | Mnemonic::Movsxd);
    n == 0 && moves && instr.op0_register().size() >= 4
}
