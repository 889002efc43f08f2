//! Near jumps, calls, returns and loops.

use iced_x86::{Code, FlowControl, Instruction, Mnemonic, OpKind};

use crate::cpu::Cpu;
use crate::lower::{LowerCtx, Shape, condition, shape};
use crate::mem::access::canonical;
use crate::op::{Handler, Int, Op, Plain, RIP_BASE, Step, Trap, vector};
use crate::state::reg;
use crate::{by_condition, tri};

const RCX: u8 = 8;

impl Cpu {
    /// Linear address of the running block.
    #[inline(always)]
    pub(crate) fn start(&self) -> u64 {
        self.gpr[RIP_BASE as usize / 8]
    }

    /// Address of the instruction after this one.
    #[inline(always)]
    pub(crate) fn following(&self, op: &Op) -> u64 {
        self.start().wrapping_add(op.end())
    }

    /// Pushes a value of 2, 4 or 8 bytes. Not [`Step::Next`]: pass it on.
    #[inline(always)]
    pub(crate) fn push<T: Plain>(&mut self, op: &Op, value: T) -> Step {
        let at = self.gpr[reg::RSP].wrapping_sub(T::SIZE as u64);
        let step = self.store_stack(op, at, value);
        if step != Step::Trap {
            self.gpr[reg::RSP] = at;
        }
        step
    }

    /// Writes the stack at an offset: a bad address is #SS whatever the instruction's memory operand is.
    #[inline(always)]
    pub(crate) fn store_stack<T: Plain>(&mut self, op: &Op, offset: u64, value: T) -> Step {
        let at = self.stack_linear(offset);
        let step = self.store(op, at, value);
        if step == Step::Trap && !canonical(at) {
            self.raise(vector::SS, Some(0));
        }
        step
    }

    /// Reads the stack at an offset: a bad address is #SS whatever the instruction's memory operand is.
    #[inline(always)]
    pub(crate) fn load_stack<T: Plain>(&mut self, op: &Op, offset: u64) -> Result<T, Trap> {
        let at = self.stack_linear(offset);
        self.load(op, at).inspect_err(|_| {
            if !canonical(at) {
                self.raise(vector::SS, Some(0));
            }
        })
    }

    /// The linear address of a stack offset. The stack segment has a base only outside 64-bit code.
    #[inline(always)]
    pub(crate) fn stack_linear(&self, offset: u64) -> u64 {
        offset
    }
}

/// Where a block's end leads after a write that may have asked for attention.
#[inline(always)]
pub(super) fn arrive(step: Step, usual: Step) -> Step {
    match step {
        Step::Next => usual,
        Step::Trap => Step::Trap,
        _ => Step::Leave,
    }
}

fn jmp(cpu: &mut Cpu, op: &Op) -> Step {
    cpu.rip = cpu.start().wrapping_add(op.imm);
    Step::Taken
}

/// Both sides are computed: what the guest's branch does is a choice of data here, not a branch.
fn jcc<const CC: u8>(cpu: &mut Cpu, op: &Op) -> Step {
    let taken = cpu.flags.condition::<CC>();
    let distance = if taken { op.imm } else { op.end() };
    cpu.rip = cpu.start().wrapping_add(distance);
    if taken { Step::Taken } else { Step::Fall }
}

fn jmp_r<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let target = cpu.reg::<T>(op.dst).wide();
    go(cpu, target)
}

fn jmp_m<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let target = tri!(cpu.load::<T>(op, cpu.ea(op))).wide();
    go(cpu, target)
}

/// A target that is not canonical is the jump's own fault.
#[inline(always)]
fn go(cpu: &mut Cpu, target: u64) -> Step {
    if !canonical(target) {
        return cpu.raise(vector::GP, Some(0));
    }
    cpu.rip = target;
    Step::Jump
}

fn call<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let at = cpu.gpr[reg::RSP].wrapping_sub(T::SIZE as u64);
    let back = T::cut(cpu.following(op));
    if !cpu.put(cpu.stack_linear(at), back) {
        return call_slow::<T>(cpu, op);
    }
    cpu.gpr[reg::RSP] = at;
    cpu.rip = cpu.start().wrapping_add(op.imm);
    Step::Taken
}

#[cold]
#[inline(never)]
fn call_slow<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let back = cpu.following(op);
    let target = cpu.start().wrapping_add(op.imm);
    let step = cpu.push(op, T::cut(back));
    if step != Step::Trap {
        cpu.rip = target;
    }
    arrive(step, Step::Taken)
}

fn call_r<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let target = cpu.reg::<T>(op.dst).wide();
    call_to::<T>(cpu, op, target)
}

fn call_m<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let target = tri!(cpu.load::<T>(op, cpu.ea(op))).wide();
    call_to::<T>(cpu, op, target)
}

#[inline(always)]
fn call_to<T: Int>(cpu: &mut Cpu, op: &Op, target: u64) -> Step {
    if !canonical(target) {
        // Of two bad addresses the stack's is found first.
        let at = cpu.stack_linear(cpu.gpr[reg::RSP].wrapping_sub(T::SIZE as u64));
        if !canonical(at) {
            return cpu.raise(vector::SS, Some(0));
        }
        tri!(cpu.load_to_write::<T>(op, at));
        return cpu.raise(vector::GP, Some(0));
    }
    let back = cpu.following(op);
    let step = cpu.push(op, T::cut(back));
    if step != Step::Trap {
        cpu.rip = target;
    }
    arrive(step, Step::Jump)
}

/// RET, with the bytes to drop in the immediate.
fn ret<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let at = cpu.gpr[reg::RSP];
    match cpu.probe::<T>(cpu.stack_linear(at)).map(Int::wide) {
        Some(target) if canonical(target) => {
            cpu.gpr[reg::RSP] = at.wrapping_add(T::SIZE as u64).wrapping_add(op.imm & 0xffff);
            cpu.rip = target;
            Step::Jump
        }
        _ => ret_slow::<T>(cpu, op),
    }
}

#[cold]
#[inline(never)]
fn ret_slow<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let at = cpu.gpr[reg::RSP];
    let target = tri!(cpu.load_stack::<T>(op, at)).wide();
    if !canonical(target) {
        return cpu.raise(vector::GP, Some(0));
    }
    cpu.gpr[reg::RSP] = at.wrapping_add(T::SIZE as u64).wrapping_add(op.imm & 0xffff);
    cpu.rip = target;
    Step::Jump
}

const LOOP: u8 = 0;
const LOOPE: u8 = 1;
const LOOPNE: u8 = 2;
const JRCXZ: u8 = 3;

/// LOOPcc and JrCXZ with a counter of `T`.
fn counted<const WHAT: u8, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let mut count = cpu.reg::<T>(RCX).wide();
    if WHAT != JRCXZ {
        count = T::cut(count.wrapping_sub(1)).wide();
        cpu.set_reg(RCX, T::cut(count));
    }
    let taken = match WHAT {
        LOOP => count != 0,
        LOOPE => count != 0 && cpu.flags.zf(),
        LOOPNE => count != 0 && !cpu.flags.zf(),
        _ => count == 0,
    };
    if taken {
        cpu.rip = cpu.start().wrapping_add(op.imm);
        Step::Taken
    } else {
        cpu.rip = cpu.following(op);
        Step::Fall
    }
}

fn nop(_: &mut Cpu, _: &Op) -> Step {
    Step::Next
}

fn pick_counted(instr: &Instruction) -> Option<Handler> {
    use Code as C;
    Some(match instr.code() {
        C::Loop_rel8_64_RCX | C::Loop_rel8_16_RCX => counted::<LOOP, u64>,
        C::Loop_rel8_64_ECX | C::Loop_rel8_32_ECX => counted::<LOOP, u32>,
        C::Loope_rel8_64_RCX | C::Loope_rel8_16_RCX => counted::<LOOPE, u64>,
        C::Loope_rel8_64_ECX | C::Loope_rel8_32_ECX => counted::<LOOPE, u32>,
        C::Loopne_rel8_64_RCX | C::Loopne_rel8_16_RCX => counted::<LOOPNE, u64>,
        C::Loopne_rel8_64_ECX | C::Loopne_rel8_32_ECX => counted::<LOOPNE, u32>,
        C::Jrcxz_rel8_64 | C::Jrcxz_rel8_16 => counted::<JRCXZ, u64>,
        C::Jecxz_rel8_64 | C::Jecxz_rel8_32 => counted::<JRCXZ, u32>,
        _ => return None,
    })
}

/// The operation of a near branch, if it is one.
pub(super) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    use Mnemonic as M;
    let shape = shape(instr);
    let near = matches!(instr.op0_kind(), OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64);
    let run = match instr.mnemonic() {
        M::Jmp if near => jmp,
        M::Jmp => match (instr.flow_control(), shape.kind, shape.bytes) {
            (FlowControl::IndirectBranch, Shape::Reg, 8) => jmp_r::<u64>,
            (FlowControl::IndirectBranch, Shape::Reg, 4) => jmp_r::<u32>,
            (FlowControl::IndirectBranch, Shape::Mem, 8) if !is_far(instr) => jmp_m::<u64>,
            (FlowControl::IndirectBranch, Shape::Mem, 4) if !is_far(instr) => jmp_m::<u32>,
            _ => return None,
        },
        M::Call if near && ctx.bits == 64 => call::<u64>,
        M::Call if near => call::<u32>,
        M::Call => match (shape.kind, shape.bytes) {
            (Shape::Reg, 8) => call_r::<u64>,
            (Shape::Reg, 4) => call_r::<u32>,
            (Shape::Mem, 8) if !is_far(instr) => call_m::<u64>,
            (Shape::Mem, 4) if !is_far(instr) => call_m::<u32>,
            _ => return None,
        },
        M::Ret => match instr.code() {
            Code::Retnq | Code::Retnq_imm16 => ret::<u64>,
            Code::Retnd | Code::Retnd_imm16 => ret::<u32>,
            _ => return None,
        },
        M::Loop | M::Loope | M::Loopne | M::Jrcxz | M::Jecxz => pick_counted(instr)?,
        M::Nop | M::Reservednop => nop,
        M::Lfence | M::Mfence | M::Sfence => nop,
        _ if instr.flow_control() == FlowControl::ConditionalBranch => {
            by_condition!(condition(instr)?, jcc)
        }
        _ => return None,
    };
    Some(ctx.op(instr, run))
}

fn is_far(instr: &Instruction) -> bool {
    use Code as C;
    matches!(
        instr.code(),
        C::Jmp_m1616 | C::Jmp_m1632 | C::Jmp_m1664 | C::Call_m1616 | C::Call_m1632 | C::Call_m1664
    )
}
