//! Near jumps, calls, returns and loops.

use iced_x86::{Code, FlowControl, Instruction, Mnemonic, OpKind};

use crate::cpu::{Cpu, Handler, Op};
use crate::file::{self, RIP_BASE};
use crate::lower::{LowerCtx, Shape, condition, shape};
use crate::mem::access::canonical;
use crate::state::{reg, seg};
use crate::step::{Step, Trap};
use crate::value::{Int, Plain};
use crate::vector;
use crate::{by_condition, tri};

impl Cpu {
    /// Linear address of the running block.
    #[inline(always)]
    pub(crate) fn start(&self) -> u64 {
        self.gpr[file::word(RIP_BASE)]
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
            self.set_stack::<T>(at);
        }
        step
    }

    /// Writes the stack at an offset: a bad address is #SS whatever the instruction's memory operand is.
    #[inline(always)]
    pub(crate) fn store_stack<T: Plain>(&mut self, op: &Op, offset: u64, value: T) -> Step {
        let at = self.stack_linear::<T>(offset);
        let step = self.store(op, at, value);
        if step == Step::Trap && !canonical(at) {
            self.raise(vector::SS, Some(0));
        }
        step
    }

    /// Reads the stack at an offset: a bad address is #SS whatever the instruction's memory operand is.
    #[inline(always)]
    pub(crate) fn load_stack<T: Plain>(&mut self, op: &Op, offset: u64) -> Result<T, Trap> {
        let at = self.stack_linear::<T>(offset);
        self.load(op, at).inspect_err(|_| {
            if !canonical(at) {
                self.raise(vector::SS, Some(0));
            }
        })
    }

    /// The linear address of a stack offset, for an operand `T`. One of eight bytes is 64-bit code's own, whose stack is
    /// flat: nothing is looked up for it.
    #[inline(always)]
    pub(crate) fn stack_linear<T: Plain>(&self, offset: u64) -> u64 {
        if T::SIZE == 8 || self.mode == 64 {
            return offset;
        }
        self.checked_address(seg::SS as u8, offset & self.stack_mask, T::SIZE as u64, true)
    }

    /// Sets the stack pointer after an operand `T` was pushed or popped: as much of it as the stack's width says.
    #[inline(always)]
    pub(crate) fn set_stack<T: Plain>(&mut self, value: u64) {
        self.gpr[reg::RSP] = if T::SIZE == 8 { value } else { self.moved_stack(value) };
    }

    /// The stack pointer after a write of `value` with the stack's width.
    pub(crate) fn moved_stack(&self, value: u64) -> u64 {
        kept_above(self.stack_mask, self.gpr[reg::RSP]) | value & self.stack_mask
    }
}

/// What a stack or frame pointer keeps when the part in the mask is written: a 32-bit write clears what is above it.
#[inline(always)]
fn kept_above(mask: u64, old: u64) -> u64 {
    if mask == 0xffff { old & !mask } else { 0 }
}

/// The step of a branch that also wrote memory.
#[inline(always)]
pub(super) fn arrive(step: Step, usual: Step) -> Step {
    match step {
        Step::Next => usual,
        Step::Trap => Step::Trap,
        _ => Step::Leave,
    }
}

/// The target of a direct branch of operand size `T`.
#[inline(always)]
fn near<T: Int>(cpu: &Cpu, distance: u64) -> u64 {
    T::cut(cpu.start().wrapping_add(distance)).wide()
}

/// Whether a target lies beyond the code segment's limit. 64-bit code has no limit.
#[inline(always)]
fn leaves_segment<T: Int>(cpu: &Cpu, target: u64) -> bool {
    T::SIZE != 8 && cpu.mode != 64 && target > u64::from(cpu.sys.seg[seg::CS].limit)
}

/// The end of a branch of operand size `T` that is taken.
#[inline(always)]
fn branch<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let target = near::<T>(cpu, op.imm);
    if leaves_segment::<T>(cpu, target) {
        return cpu.raise(vector::GP, Some(0));
    }
    cpu.rip = target;
    Step::Taken
}

fn jmp<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    branch::<T>(cpu, op)
}

/// Both sides are computed: what the guest's branch does is a choice of data here, not a branch.
fn jcc<const CC: u8>(cpu: &mut Cpu, op: &Op) -> Step {
    let taken = cpu.flags.condition::<CC>();
    let distance = if taken { op.imm } else { op.end() };
    cpu.rip = cpu.start().wrapping_add(distance);
    if taken { Step::Taken } else { Step::Fall }
}

/// The same outside 64-bit code.
fn narrow_jcc<T: Int, const CC: u8>(cpu: &mut Cpu, op: &Op) -> Step {
    if cpu.flags.condition::<CC>() {
        return branch::<T>(cpu, op);
    }
    cpu.rip = cpu.following(op);
    Step::Fall
}

fn jmp_r<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let target = cpu.reg::<T>(op.reg1).wide();
    go::<T>(cpu, target)
}

fn jmp_m<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let target = tri!(cpu.load::<T>(op, cpu.ea(op))).wide();
    go::<T>(cpu, target)
}

/// Whether a target makes the branch fault: it is not canonical, or beyond the segment.
#[inline(always)]
fn bad<T: Int>(cpu: &Cpu, target: u64) -> bool {
    !canonical(target) || leaves_segment::<T>(cpu, target)
}

#[inline(always)]
fn go<T: Int>(cpu: &mut Cpu, target: u64) -> Step {
    if bad::<T>(cpu, target) {
        return cpu.raise(vector::GP, Some(0));
    }
    cpu.rip = target;
    Step::Jump
}

fn call<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let at = cpu.gpr[reg::RSP].wrapping_sub(T::SIZE as u64);
    let back = T::cut(cpu.following(op));
    let target = near::<T>(cpu, op.imm);
    if leaves_segment::<T>(cpu, target) {
        return cpu.raise(vector::GP, Some(0));
    }
    if !cpu.put(cpu.stack_linear::<T>(at), back) {
        return call_slow::<T>(cpu, op);
    }
    cpu.set_stack::<T>(at);
    cpu.rip = target;
    Step::Taken
}

#[cold]
#[inline(never)]
fn call_slow<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let back = cpu.following(op);
    let target = near::<T>(cpu, op.imm);
    let step = cpu.push(op, T::cut(back));
    if step != Step::Trap {
        cpu.rip = target;
    }
    arrive(step, Step::Taken)
}

fn call_r<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let target = cpu.reg::<T>(op.reg1).wide();
    call_to::<T>(cpu, op, target)
}

fn call_m<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let target = tri!(cpu.load::<T>(op, cpu.ea(op))).wide();
    call_to::<T>(cpu, op, target)
}

#[inline(always)]
fn call_to<T: Int>(cpu: &mut Cpu, op: &Op, target: u64) -> Step {
    if bad::<T>(cpu, target) {
        // The stack is checked before the target.
        let at = cpu.stack_linear::<T>(cpu.gpr[reg::RSP].wrapping_sub(T::SIZE as u64));
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
    match cpu.probe::<T>(cpu.stack_linear::<T>(at)).map(Int::wide) {
        Some(target) if !bad::<T>(cpu, target) => {
            cpu.set_stack::<T>(at.wrapping_add(T::SIZE as u64).wrapping_add(op.imm & 0xffff));
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
    if bad::<T>(cpu, target) {
        return cpu.raise(vector::GP, Some(0));
    }
    cpu.set_stack::<T>(at.wrapping_add(T::SIZE as u64).wrapping_add(op.imm & 0xffff));
    cpu.rip = target;
    Step::Jump
}

const LOOP: u8 = 0;
const LOOPE: u8 = 1;
const LOOPNE: u8 = 2;
const JRCXZ: u8 = 3;

/// LOOPcc and JrCXZ with a counter of `T` and targets of `W`.
fn counted<const WHAT: u8, T: Int, W: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let mut count = cpu.reg::<T>(file::RCX).wide();
    if WHAT != JRCXZ {
        count = T::cut(count.wrapping_sub(1)).wide();
    }
    let taken = match WHAT {
        LOOP => count != 0,
        LOOPE => count != 0 && cpu.flags.zf(),
        LOOPNE => count != 0 && !cpu.flags.zf(),
        _ => count == 0,
    };
    let step = if taken {
        branch::<W>(cpu, op)
    } else {
        cpu.rip = cpu.following(op);
        Step::Fall
    };
    if WHAT != JRCXZ && step != Step::Trap {
        cpu.set_reg(file::RCX, T::cut(count));
    }
    step
}

fn nop(_: &mut Cpu, _: &Op) -> Step {
    Step::Next
}

/// PAUSE is REP before the NOP of one byte.
fn is_pause(instr: &Instruction) -> bool {
    instr.has_rep_prefix() && matches!(instr.code(), Code::Nopw | Code::Nopd | Code::Nopq)
}

/// Lets another CPU run that has something to do.
fn pause(cpu: &mut Cpu, _: &Op) -> Step {
    cpu.paused = cpu.gives_way;
    if cpu.paused { Step::Stop } else { Step::Next }
}

/// LOOPcc or JrCXZ, by what its name in iced says of counter and target: `Loop_rel8_TARGET_COUNTER`, `Jcxz_rel8_TARGET`.
fn pick_counted(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    let name = format!("{:?}", instr.code());
    let counter = match instr.mnemonic() {
        M::Jcxz => 2,
        M::Jecxz => 4,
        M::Jrcxz => 8,
        _ if name.ends_with("_RCX") => 8,
        _ if name.ends_with("_ECX") => 4,
        _ => 2,
    };
    macro_rules! sized {
        ($what:ident, $w:ty) => {
            match counter {
                2 => counted::<$what, u16, $w> as Handler,
                4 => counted::<$what, u32, $w>,
                _ => counted::<$what, u64, $w>,
            }
        };
    }
    macro_rules! targeted {
        ($what:ident) => {
            match instr.op0_kind() {
                OpKind::NearBranch16 => sized!($what, u16),
                OpKind::NearBranch32 => sized!($what, u32),
                _ => sized!($what, u64),
            }
        };
    }
    Some(match instr.mnemonic() {
        M::Loop => targeted!(LOOP),
        M::Loope => targeted!(LOOPE),
        M::Loopne => targeted!(LOOPNE),
        M::Jcxz | M::Jecxz | M::Jrcxz => targeted!(JRCXZ),
        _ => return None,
    })
}

/// The operation of a near branch, if it is one.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    use Mnemonic as M;
    let shape = shape(instr);
    let near = matches!(instr.op0_kind(), OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64);
    let run = match instr.mnemonic() {
        M::Jmp if near => match instr.op0_kind() {
            OpKind::NearBranch16 => jmp::<u16>,
            OpKind::NearBranch32 => jmp::<u32>,
            _ => jmp::<u64>,
        },
        M::Jmp => match (instr.flow_control(), shape.kind, shape.bytes) {
            (FlowControl::IndirectBranch, Shape::Reg, 8) => jmp_r::<u64>,
            (FlowControl::IndirectBranch, Shape::Reg, 4) => jmp_r::<u32>,
            (FlowControl::IndirectBranch, Shape::Reg, 2) if ctx.bits != 64 => jmp_r::<u16>,
            (FlowControl::IndirectBranch, Shape::Mem, 8) => jmp_m::<u64>,
            (FlowControl::IndirectBranch, Shape::Mem, 4) => jmp_m::<u32>,
            (FlowControl::IndirectBranch, Shape::Mem, 2) if ctx.bits != 64 => jmp_m::<u16>,
            _ => return None,
        },
        M::Call if near && ctx.bits == 64 => call::<u64>,
        M::Call if instr.op0_kind() == OpKind::NearBranch16 => call::<u16>,
        M::Call if near => call::<u32>,
        M::Call => match (shape.kind, shape.bytes) {
            (Shape::Reg, 8) => call_r::<u64>,
            (Shape::Reg, 4) => call_r::<u32>,
            (Shape::Reg, 2) if ctx.bits != 64 => call_r::<u16>,
            (Shape::Mem, 8) => call_m::<u64>,
            (Shape::Mem, 4) => call_m::<u32>,
            (Shape::Mem, 2) if ctx.bits != 64 => call_m::<u16>,
            _ => return None,
        },
        M::Ret => match instr.code() {
            Code::Retnq | Code::Retnq_imm16 => ret::<u64>,
            Code::Retnd | Code::Retnd_imm16 => ret::<u32>,
            Code::Retnw | Code::Retnw_imm16 if ctx.bits != 64 => ret::<u16>,
            _ => return None,
        },
        M::Loop | M::Loope | M::Loopne | M::Jrcxz | M::Jecxz | M::Jcxz => pick_counted(instr)?,
        M::Nop if is_pause(instr) => pause,
        M::Nop | M::Reservednop => nop,
        _ if instr.flow_control() == FlowControl::ConditionalBranch => {
            let cc = condition(instr)?;
            match instr.op0_kind() {
                OpKind::NearBranch16 => narrow::<u16>(cc),
                OpKind::NearBranch32 => narrow::<u32>(cc),
                _ => by_condition!(cc, jcc),
            }
        }
        _ => return None,
    };
    Some(ctx.op(instr, run))
}

fn narrow<T: Int>(cc: u8) -> Handler {
    by_condition!(cc, narrow_jcc, T)
}

/// Whether a JMP or CALL goes to another segment: those are the system's.
pub(crate) fn is_far(instr: &Instruction) -> bool {
    instr.is_jmp_far() || instr.is_jmp_far_indirect() || instr.is_call_far() || instr.is_call_far_indirect()
}
