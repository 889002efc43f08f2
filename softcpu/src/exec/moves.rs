//! MOV and its relatives.

use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind};

use crate::cpu::{Cpu, Handler, Op};
use crate::file;
use crate::lower::{LowerCtx, Shape, Shaped, condition, gpr_offset, shape};
use crate::step::Step;
use crate::value::Int;
use crate::{by_condition, by_size, tri};

fn mov_rr<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let value = cpu.reg::<T>(op.reg2);
    cpu.set_reg(op.reg1, value);
    Step::Next
}

fn mov_ri<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    cpu.set_reg(op.reg1, T::cut(op.imm));
    Step::Next
}

/// The commonest instruction of all: what misses the TLB goes elsewhere by a jump, so that this needs no stack frame.
fn mov_rm<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let at = cpu.ea(op);
    let Some(value) = cpu.probe::<T>(at) else { return mov_rm_slow::<T>(cpu, op) };
    cpu.set_reg(op.reg1, value);
    Step::Next
}

#[cold]
#[inline(never)]
fn mov_rm_slow<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let value = tri!(cpu.load::<T>(op, cpu.ea(op)));
    cpu.set_reg(op.reg1, value);
    Step::Next
}

fn mov_mr<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let value = cpu.reg::<T>(op.reg1);
    cpu.store(op, cpu.ea(op), value)
}

fn mov_mi<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    cpu.store(op, cpu.ea(op), T::cut(op.imm))
}

fn movbe_rm<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let value = tri!(cpu.load::<T>(op, cpu.ea(op)));
    cpu.set_reg(op.reg1, reversed(value));
    Step::Next
}

fn movbe_mr<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let value = cpu.reg::<T>(op.reg1);
    cpu.store(op, cpu.ea(op), reversed(value))
}

/// The bytes in the other order.
fn reversed<T: Int>(value: T) -> T {
    T::cut(value.wide().swap_bytes() >> (64 - T::BITS))
}

fn lea<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let value = cpu.offset(op);
    cpu.set_reg(op.reg1, T::cut(value));
    Step::Next
}

fn movzx_r<D: Int, S: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let value = cpu.reg::<S>(op.reg2).wide();
    cpu.set_reg(op.reg1, D::cut(value));
    Step::Next
}

fn movzx_m<D: Int, S: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let at = cpu.ea(op);
    let Some(value) = cpu.probe::<S>(at) else { return movzx_m_slow::<D, S>(cpu, op) };
    cpu.set_reg(op.reg1, D::cut(value.wide()));
    Step::Next
}

#[cold]
#[inline(never)]
fn movzx_m_slow<D: Int, S: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let value = tri!(cpu.load::<S>(op, cpu.ea(op))).wide();
    cpu.set_reg(op.reg1, D::cut(value));
    Step::Next
}

fn movsx_r<D: Int, S: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let value = cpu.reg::<S>(op.reg2).sext() as u64;
    cpu.set_reg(op.reg1, D::cut(value));
    Step::Next
}

fn movsx_m<D: Int, S: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let value = tri!(cpu.load::<S>(op, cpu.ea(op))).sext() as u64;
    cpu.set_reg(op.reg1, D::cut(value));
    Step::Next
}

fn xchg_rr<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let (a, b) = (cpu.reg::<T>(op.reg1), cpu.reg::<T>(op.reg2));
    cpu.set_reg(op.reg1, b);
    cpu.set_reg(op.reg2, a);
    Step::Next
}

fn xchg_mr<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let ours = cpu.reg::<T>(op.reg1);
    cpu.modify::<T>(op, cpu.ea(op), |cpu, theirs| {
        cpu.set_reg(op.reg1, theirs);
        ours
    })
}

fn bswap<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let value = cpu.reg::<T>(op.reg1).wide().swap_bytes() >> (64 - T::BITS);
    cpu.set_reg(op.reg1, T::cut(value));
    Step::Next
}

/// CBW, CWDE, CDQE: sign-extends the lower half of RAX's `T`.
fn extend_a<T: Int>(cpu: &mut Cpu, _: &Op) -> Step {
    let half = 64 - T::BITS / 2;
    let value = ((cpu.reg::<u64>(file::RAX) << half) as i64 >> half) as u64;
    cpu.set_reg(file::RAX, T::cut(value));
    Step::Next
}

/// CWD, CDQ, CQO: the sign of RAX's `T` all over RDX's.
fn sign_to_d<T: Int>(cpu: &mut Cpu, _: &Op) -> Step {
    let sign = (cpu.reg::<T>(file::RAX).sext() >> 63) as u64;
    cpu.set_reg(file::RDX, T::cut(sign));
    Step::Next
}

fn cmov_rr<T: Int, const CC: u8>(cpu: &mut Cpu, op: &Op) -> Step {
    let source = if cpu.flags.condition::<CC>() { op.reg2 } else { op.reg1 };
    let value = cpu.reg::<T>(source);
    // A 32-bit move clears the upper half even when the condition is false.
    cpu.set_reg(op.reg1, value);
    Step::Next
}

fn cmov_rm<T: Int, const CC: u8>(cpu: &mut Cpu, op: &Op) -> Step {
    let loaded = tri!(cpu.load::<T>(op, cpu.ea(op)));
    let value = if cpu.flags.condition::<CC>() { loaded } else { cpu.reg::<T>(op.reg1) };
    cpu.set_reg(op.reg1, value);
    Step::Next
}

fn set_r<const CC: u8>(cpu: &mut Cpu, op: &Op) -> Step {
    cpu.set_reg(op.reg1, u8::from(cpu.flags.condition::<CC>()));
    Step::Next
}

fn set_m<const CC: u8>(cpu: &mut Cpu, op: &Op) -> Step {
    cpu.store(op, cpu.ea(op), u8::from(cpu.flags.condition::<CC>()))
}

/// XLAT: AL from the table at RBX, of which as much counts as the address size in the immediate says.
fn xlat(cpu: &mut Cpu, op: &Op) -> Step {
    let offset = cpu.reg::<u64>(op.base).wrapping_add(u64::from(cpu.reg::<u8>(file::RAX))) & op.imm;
    let at = cpu.segment_address(op.seg, offset, 1, false);
    let value = tri!(cpu.load::<u8>(op, at));
    cpu.set_reg(file::RAX, value);
    Step::Next
}

/// The operation of a data movement, if it is one.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    use Mnemonic as M;
    let shape = shape(instr);
    let run = match instr.mnemonic() {
        M::Mov => match shape.kind {
            Shape::RegReg => by_size!(shape.bytes, mov_rr),
            Shape::RegImm => by_size!(shape.bytes, mov_ri),
            Shape::RegMem => by_size!(shape.bytes, mov_rm),
            Shape::MemReg => by_size!(shape.bytes, mov_mr),
            Shape::MemImm => by_size!(shape.bytes, mov_mi),
            _ => return None,
        },
        M::Movbe => match shape.kind {
            Shape::RegMem => by_size!(shape.bytes, movbe_rm),
            Shape::MemReg => by_size!(shape.bytes, movbe_mr),
            _ => return None,
        },
        M::Lea => {
            let op = ctx.op(instr, by_size!(shape.bytes, lea));
            ctx.want_offset();
            return Some(op);
        }
        M::Movzx => extension(instr, shape, true)?,
        M::Movsx | M::Movsxd => extension(instr, shape, false)?,
        M::Xchg => match shape.kind {
            Shape::RegReg => by_size!(shape.bytes, xchg_rr),
            _ => by_size!(shape.bytes, xchg_mr),
        },
        M::Bswap => by_size!(shape.bytes, bswap),
        M::Cbw => extend_a::<u16>,
        M::Cwde => extend_a::<u32>,
        M::Cdqe => extend_a::<u64>,
        M::Cwd => sign_to_d::<u16>,
        M::Cdq => sign_to_d::<u32>,
        M::Cqo => sign_to_d::<u64>,
        M::Xlatb => return Some(lower_xlat(instr, ctx)),
        _ => return conditional(instr, ctx, shape),
    };
    Some(ctx.op(instr, run))
}

/// Whether all registers of a MOV are general ones: those to and from other registers are the system's.
pub(crate) fn is_general(instr: &Instruction) -> bool {
    (0..instr.op_count()).all(|n| instr.op_kind(n) != OpKind::Register || instr.op_register(n).is_gpr())
}

/// MOVZX and MOVSX, by both sizes.
fn extension(instr: &Instruction, shape: Shaped, zero: bool) -> Option<Handler> {
    let from = match instr.op_kind(1) {
        OpKind::Register => instr.op_register(1).size(),
        _ => instr.memory_size().size(),
    };
    let memory = shape.kind == Shape::RegMem;
    macro_rules! pick {
        ($d:ty, $s:ty) => {
            match (zero, memory) {
                (true, false) => movzx_r::<$d, $s>,
                (true, true) => movzx_m::<$d, $s>,
                (false, false) => movsx_r::<$d, $s>,
                (false, true) => movsx_m::<$d, $s>,
            }
        };
    }
    Some(match (shape.bytes, from) {
        (2, 1) => pick!(u16, u8),
        (4, 1) => pick!(u32, u8),
        (8, 1) => pick!(u64, u8),
        (2, 2) => pick!(u16, u16),
        (4, 2) => pick!(u32, u16),
        (8, 2) => pick!(u64, u16),
        (4, 4) => pick!(u32, u32),
        (8, 4) => pick!(u64, u32),
        _ => return None,
    })
}

/// SETcc and CMOVcc.
fn conditional(instr: &Instruction, ctx: &LowerCtx, shape: Shaped) -> Option<Op> {
    let cc = condition(instr)?;
    let run = match instr.flow_control() {
        FlowControl::Next if shape.bytes == 1 && instr.op_count() == 1 => match shape.kind {
            Shape::Reg => by_condition!(cc, set_r),
            _ => by_condition!(cc, set_m),
        },
        FlowControl::Next if instr.op_count() == 2 => match (shape.kind, shape.bytes) {
            (Shape::RegReg, 2) => by_condition!(cc, cmov_rr, u16),
            (Shape::RegReg, 4) => by_condition!(cc, cmov_rr, u32),
            (Shape::RegReg, _) => by_condition!(cc, cmov_rr, u64),
            (_, 2) => by_condition!(cc, cmov_rm, u16),
            (_, 4) => by_condition!(cc, cmov_rm, u32),
            (_, _) => by_condition!(cc, cmov_rm, u64),
        },
        _ => return None,
    };
    Some(ctx.op(instr, run))
}

/// iced shows `[rbx + al]`, `[ebx + al]` or `[bx + al]`; the index is added by the handler.
fn lower_xlat(instr: &Instruction, ctx: &LowerCtx) -> Op {
    let mut op = ctx.bare(instr, xlat);
    op.base = gpr_offset(instr.memory_base());
    op.seg = ctx.segment(instr.memory_segment());
    op.imm = u64::MAX >> (64 - 8 * instr.memory_base().size());
    op
}
