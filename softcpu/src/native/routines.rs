//! Routines that the generated code of all blocks uses: in, out, and into Rust and back.

use std::mem::offset_of;

use iced_x86::{Code, ConditionCode, IcedError, Instruction, MemoryOperand, Register};

use super::emit::{CPU, Emitter, field};
use super::memory::context;
use super::registers::{SCRATCH, TLB, held, slot};
use super::run::{handle, handle_with_flags, limit, side};
use crate::cpu::Cpu;
use crate::generated::{CodeBuffer, FLOAT_OFF, FLOAT_ON, Routines};
use crate::state::FpuState;

/// Where the guest's MXCSR is.
const MXCSR: usize = offset_of!(Cpu, fpu) + offset_of!(FpuState, mxcsr);

/// What a function's caller finds as it was (System V ABI for x86-64, 3.2.1).
const KEPT: [Register; 6] =
    [Register::RBX, Register::RBP, Register::R12, Register::R13, Register::R14, Register::R15];

/// Makes them. An error: iced cannot encode one, which no test has seen.
pub(crate) fn make(buffer: &mut CodeBuffer) -> Result<Routines, IcedError> {
    let enter = piece(buffer, enter)?;
    let leave = piece(buffer, leave)?;
    let call = |buffer: &mut CodeBuffer, function: usize| piece(buffer, |e| call(e, function));
    let float_on = piece(buffer, float_on)?;
    Ok(Routines {
        enter,
        float_on,
        nothing: piece(buffer, |e| e.bare(Code::Retnq))?,
        leave,
        handler: call(buffer, handle as *const () as usize)?,
        handler_with_flags: call(buffer, handle_with_flags as *const () as usize)?,
        side: call(buffer, side as *const () as usize)?,
        limit: call(buffer, limit as *const () as usize)?,
    })
}

fn piece(buffer: &mut CodeBuffer, make: impl FnOnce(&mut Emitter)) -> Result<u64, IcedError> {
    let start = buffer.next();
    let mut emitter = Emitter::new(start);
    make(&mut emitter);
    let added = buffer.push(&emitter.finish()?);
    debug_assert!(added, "the first pieces of an empty buffer");
    Ok(start)
}

/// `extern "sysv64" fn(cpu, code)`: jumps to generated code.
fn enter(e: &mut Emitter) {
    KEPT.iter().for_each(|register| e.r(Code::Push_r64, *register));
    // Now the stack pointer is a multiple of 16, with what the call has pushed.
    e.ri(Code::Sub_rm64_imm8, Register::RSP, 8);
    e.mov(CPU, Register::RDI);
    e.mov(SCRATCH[0], Register::RSI);
    load_guest(e);
    e.r(Code::Jmp_rm64, SCRATCH[0]);
}

/// Back to the caller of `enter`. The guest's registers are in memory already.
fn leave(e: &mut Emitter) {
    e.ri(Code::Add_rm64_imm8, Register::RSP, 8);
    KEPT.iter().rev().for_each(|register| e.r(Code::Pop_r64, *register));
    e.bare(Code::Retnq);
}

/// Calls `extern "sysv64" fn(cpu, first scratch register, second scratch register) -> u64`, and jumps to what that gives; zero: returns.
fn call(e: &mut Emitter, function: usize) {
    for (number, register) in held() {
        e.store(slot(number), register);
    }
    e.mov(Register::RDI, CPU);
    e.mov(Register::RSI, SCRATCH[0]);
    e.mov(Register::RDX, SCRATCH[1]);
    e.mi(Code::Cmp_rm8_imm8, field(context!(float)), i32::from(FLOAT_ON));
    let off = e.jump_if(ConditionCode::ne);
    e.m(Code::Stmxcsr_m32, field(MXCSR));
    e.m(Code::Ldmxcsr_m32, field(context!(mxcsr)));
    e.bind(off);
    // It was called, so the stack pointer is eight bytes off.
    e.ri(Code::Sub_rm64_imm8, Register::RSP, 8);
    e.constant(Register::RAX, function as u64);
    e.r(Code::Call_rm64, Register::RAX);
    e.ri(Code::Add_rm64_imm8, Register::RSP, 8);
    load_guest(e);
    e.rr(Code::Test_rm64_r64, Register::RAX, Register::RAX);
    let goes_on = e.jump_if(ConditionCode::ne);
    e.bare(Code::Retnq);
    e.bind(goes_on);
    // Nobody returns to the caller.
    e.rm(Code::Lea_r64_m, Register::RSP, MemoryOperand::with_base_displ(Register::RSP, 8));
    e.r(Code::Jmp_rm64, Register::RAX);
}

fn float_on(e: &mut Emitter) {
    e.mi(Code::Cmp_rm8_imm8, field(context!(float)), i32::from(FLOAT_OFF));
    let unmasked = e.jump_if(ConditionCode::ne);
    e.m(Code::Ldmxcsr_m32, field(MXCSR));
    e.mi(Code::Mov_rm8_imm8, field(context!(float)), i32::from(FLOAT_ON));
    e.bind(unmasked);
    e.bare(Code::Retnq);
}

fn load_guest(e: &mut Emitter) {
    for (number, register) in held() {
        e.load(register, slot(number));
    }
    e.rm(Code::Mov_r64_rm64, TLB, field(context!(data)));
}

/// A trap for code that is never reached.
pub(crate) fn never(e: &mut Emitter) {
    e.emit(&Instruction::with(Code::Ud2));
}
