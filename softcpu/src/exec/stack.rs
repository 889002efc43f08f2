//! PUSH, POP, PUSHA, POPA, PUSHF, POPF, ENTER, LEAVE.

use iced_x86::{Code, Instruction, Mnemonic, Register};

use crate::cpu::{Cpu, Handler, Op};
use crate::file;
use crate::lower::{LowerCtx, Shape, shape};
use crate::state::reg;
use crate::step::Step;
use crate::value::Int;
use crate::vector;
use crate::{flags, tri};

fn push_r<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let value = cpu.reg::<T>(op.reg1);
    let at = cpu.gpr[reg::RSP].wrapping_sub(T::SIZE as u64);
    if !cpu.put(cpu.stack_linear::<T>(at), value) {
        return push_r_slow::<T>(cpu, op);
    }
    cpu.set_stack::<T>(at);
    Step::Next
}

#[cold]
#[inline(never)]
fn push_r_slow<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let value = cpu.reg::<T>(op.reg1);
    cpu.push(op, value)
}

fn push_i<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    cpu.push(op, T::cut(op.imm))
}

fn push_m<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let value = tri!(cpu.load::<T>(op, cpu.ea(op)));
    cpu.push(op, value)
}

fn push_segment<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let selector = cpu.sys.seg[op.reg1 as usize % 6].selector;
    cpu.push(op, T::cut(u64::from(selector)))
}

fn pop_r<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let at = cpu.gpr[reg::RSP];
    let Some(value) = cpu.probe::<T>(cpu.stack_linear::<T>(at)) else { return pop_r_slow::<T>(cpu, op) };
    // The destination may be RSP itself.
    cpu.set_stack::<T>(at.wrapping_add(T::SIZE as u64));
    cpu.set_reg(op.reg1, value);
    Step::Next
}

#[cold]
#[inline(never)]
fn pop_r_slow<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let at = cpu.gpr[reg::RSP];
    let value = tri!(cpu.load_stack::<T>(op, at));
    cpu.set_stack::<T>(at.wrapping_add(T::SIZE as u64));
    cpu.set_reg(op.reg1, value);
    Step::Next
}

/// An address that uses RSP uses the one after the pop.
fn pop_m<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let at = cpu.gpr[reg::RSP];
    let value = tri!(cpu.load_stack::<T>(op, at));
    cpu.set_stack::<T>(at.wrapping_add(T::SIZE as u64));
    let step = cpu.store(op, cpu.ea(op), value);
    if step == Step::Trap {
        cpu.gpr[reg::RSP] = at;
    }
    step
}

fn pushf<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let value = cpu.rflags() & !(flags::VM | flags::RF);
    cpu.push(op, T::cut(value))
}

fn popf<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let at = cpu.gpr[reg::RSP];
    let value = tri!(cpu.load_stack::<T>(op, at)).wide();
    cpu.set_stack::<T>(at.wrapping_add(T::SIZE as u64));
    let mut allowed = flags::STATUS | flags::TF | flags::DF | flags::NT | flags::AC | flags::ID;
    let iopl = (cpu.control & flags::IOPL) >> 12;
    if cpu.cpl() == 0 {
        allowed |= flags::IOPL;
    }
    if u64::from(cpu.cpl()) <= iopl {
        allowed |= flags::IF;
    }
    if T::BITS == 16 {
        allowed &= 0xffff;
    }
    let before = cpu.rflags();
    cpu.set_rflags(before & !allowed | value & allowed);
    let watched = flags::IF | flags::TF;
    if (cpu.control & !before & watched) | (cpu.control & flags::TF) != 0 { Step::Stop } else { Step::Next }
}

/// ENTER: frame size in `imm`, nesting level in `aux`.
fn enter<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let size = T::SIZE as u64;
    let level = u64::from(op.aux & 31);
    let old_frame = cpu.gpr[reg::RBP];
    let mut at = cpu.gpr[reg::RSP].wrapping_sub(size);
    let frame = cpu.moved_stack(at);
    let mut end = cpu.store_stack(op, at, T::cut(old_frame));
    for n in 1..=level {
        if end == Step::Trap {
            return end;
        }
        let value = if n < level {
            let link = old_frame.wrapping_sub(n * size);
            tri!(cpu.load_stack::<T>(op, link))
        } else {
            T::cut(frame)
        };
        at = at.wrapping_sub(size);
        end = worse(end, cpu.store_stack(op, at, value));
    }
    let top = at.wrapping_sub(op.imm & 0xffff);
    // The new top of stack must be writable too.
    if end == Step::Trap || cpu.load_to_write::<T>(op, cpu.stack_linear::<T>(top)).is_err() {
        return Step::Trap;
    }
    // The whole frame pointer, in 64-bit code; else as much as the operand has.
    if cpu.mode == 64 {
        cpu.gpr[reg::RBP] = frame;
    } else {
        cpu.set_reg(file::RBP, T::cut(frame));
    }
    cpu.set_stack::<T>(top);
    end
}

fn worse(a: Step, b: Step) -> Step {
    if b == Step::Next { a } else { b }
}

fn leave<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let at = cpu.gpr[reg::RBP];
    let value = tri!(cpu.load_stack::<T>(op, at));
    cpu.set_stack::<T>(at.wrapping_add(T::SIZE as u64));
    cpu.set_reg(file::RBP, value);
    Step::Next
}

fn pop_segment<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let at = cpu.gpr[reg::RSP];
    let selector = tri!(cpu.load_stack::<T>(op, at)).wide() as u16;
    tri!(cpu.load_segment(op.reg1 as usize, selector));
    cpu.set_stack::<T>(at.wrapping_add(T::SIZE as u64));
    cpu.after_segment_load(op.reg1 as usize)
}

/// PUSHA: all eight registers in the encoding's order, the stack pointer as it was. Outside 64-bit code.
fn pusha<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let mut at = cpu.gpr[reg::RSP];
    let mut end = Step::Next;
    for register in 0..8 {
        at = at.wrapping_sub(T::SIZE as u64);
        let value = T::cut(cpu.gpr[register]);
        end = worse(end, cpu.store_stack(op, at, value));
        if end == Step::Trap {
            return end;
        }
    }
    cpu.set_stack::<T>(at);
    end
}

/// POPA: all registers but the stack pointer, whose slot is skipped. Registers popped before a fault keep their new value,
/// as on processors: the restart pops them again. Outside 64-bit code.
fn popa<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let mut at = cpu.gpr[reg::RSP];
    for register in (0..8).rev() {
        let value = tri!(cpu.load_stack::<T>(op, at));
        if register != reg::RSP {
            cpu.set_reg(file::offset(register), value);
        }
        at = at.wrapping_add(T::SIZE as u64);
    }
    cpu.set_stack::<T>(at);
    Step::Next
}

/// A form of ENTER that does not exist.
fn odd(cpu: &mut Cpu, _: &Op) -> Step {
    cpu.raise(vector::UD, None)
}

macro_rules! width {
    ($bytes:expr, $f:ident) => {
        match $bytes {
            2 => $f::<u16> as Handler,
            4 => $f::<u32>,
            _ => $f::<u64>,
        }
    };
}

/// How much an instruction moves the stack pointer: its operand size.
fn moved(instr: &Instruction) -> usize {
    instr.stack_pointer_increment().unsigned_abs() as usize
}

/// The operation of a stack instruction, if it is one.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    use Mnemonic as M;
    let shape = shape(instr);
    let bytes = moved(instr);
    let segment = shape.kind == Shape::Reg && instr.op0_register().is_segment_register();
    if segment {
        let run = match instr.mnemonic() {
            M::Push => width!(bytes, push_segment),
            M::Pop => width!(bytes, pop_segment),
            _ => return None,
        };
        return Some(ctx.op(instr, run));
    }
    let run = match (instr.mnemonic(), shape.kind) {
        (M::Push, Shape::Reg) => width!(bytes, push_r),
        (M::Push, Shape::Imm) => width!(bytes, push_i),
        (M::Push, Shape::Mem) => width!(bytes, push_m),
        (M::Pop, Shape::Reg) => width!(bytes, pop_r),
        (M::Pop, Shape::Mem) => width!(bytes, pop_m),
        (M::Pushf | M::Pushfd | M::Pushfq, _) => width!(bytes, pushf),
        (M::Popf | M::Popfd | M::Popfq, _) => width!(bytes, popf),
        (M::Pusha, _) => pusha::<u16>,
        (M::Pushad, _) => pusha::<u32>,
        (M::Popa, _) => popa::<u16>,
        (M::Popad, _) => popa::<u32>,
        (M::Leave, _) => match instr.code() {
            Code::Leavew => leave::<u16>,
            Code::Leaved => leave::<u32>,
            _ => leave::<u64>,
        },
        (M::Enter, _) => return Some(lower_enter(instr, ctx)),
        _ => return None,
    };
    let op = ctx.op(instr, run);
    if instr.mnemonic() == Mnemonic::Pop && instr.memory_base().full_register() == Register::RSP {
        ctx.after_pop(bytes as u64);
    }
    Some(op)
}

fn lower_enter(instr: &Instruction, ctx: &LowerCtx) -> Op {
    let run = match instr.code() {
        Code::Enterw_imm16_imm8 => enter::<u16> as Handler,
        Code::Enterd_imm16_imm8 => enter::<u32>,
        Code::Enterq_imm16_imm8 => enter::<u64>,
        _ => odd,
    };
    let mut op = ctx.bare(instr, run);
    op.imm = u64::from(instr.immediate16());
    op.aux = u16::from(instr.immediate8_2nd());
    op
}
