//! Random programs, by the interpreter and by the translator: after every stretch, which ends at a random deadline, registers, flags,
//! time, translations and counts are the same, and at the end memory is.
//!
//! `FENCEPOST_FUZZ=SECONDS[,SEED]` runs on with other programs for so long.

mod machine;

use std::time::{Duration, Instant};

use fencepost_random::Random;
use fencepost_softcpu::Translate;
use fencepost_softcpu::bus::Exit;
use fencepost_time::Cycles;
use iced_x86::code_asm::*;
use iced_x86::{
    Code, CpuidFeature, Decoder, DecoderOptions, Encoder, FlowControl, Formatter, GasFormatter, Instruction,
    MemoryOperand, OpCodeOperandKind as K, Register,
};
use machine::{CODE, Machine, PRESENT, USER, WRITE};
use vm_memory::{Bytes, GuestAddress};

/// Data that programs work on: four pages, the second of which may not be written, and the last is not there.
const DATA: u64 = 0x60_0000;
const PLACE: u64 = 0x30_0000;
const DATA_BYTES: usize = 0x3000;
/// Programs of the default run.
const PROGRAMS: u64 = 1500;

/// The forms that programs are made of: what user code can have, without jumps.
fn forms() -> Vec<Code> {
    let of_today = [
        CpuidFeature::INTEL8086,
        CpuidFeature::INTEL186,
        CpuidFeature::INTEL286,
        CpuidFeature::INTEL386,
        CpuidFeature::INTEL486,
        CpuidFeature::X64,
        CpuidFeature::CMOV,
        CpuidFeature::SSE,
        CpuidFeature::SSE2,
        CpuidFeature::SSE3,
        CpuidFeature::SSSE3,
        CpuidFeature::SSE4_1,
        CpuidFeature::POPCNT,
    ];
    let usable = |code: &Code| {
        let features = code.cpuid_features();
        let op_code = code.op_code();
        features.iter().all(|feature| of_today.contains(feature))
            && op_code.is_instruction()
            && op_code.mode64()
            && !op_code.is_privileged()
            && code.flow_control() == FlowControl::Next
            && (0..op_code.op_count()).all(|n| operand_is_made(op_code.op_kind(n)))
    };
    Code::values().filter(usable).collect()
}

fn operand_is_made(kind: K) -> bool {
    use K::*;
    matches!(
        kind,
        r8_or_mem
            | r16_or_mem
            | r32_or_mem
            | r64_or_mem
            | r8_reg
            | r16_reg
            | r32_reg
            | r64_reg
            | r8_opcode
            | r16_opcode
            | r32_opcode
            | r64_opcode
            | imm8
            | imm16
            | imm32
            | imm64
            | imm8sex16
            | imm8sex32
            | imm8sex64
            | imm32sex64
            | al
            | ax
            | eax
            | rax
            | cl
            | mem
            | xmm_reg
            | xmm_rm
            | xmm_or_mem
            | imm8_const_1
            | r16_rm
            | r32_rm
            | r64_rm
    )
}

/// Registers that programs may spoil: not those that keep loops and pointers.
const SPOILT: [u32; 12] = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 12, 13];
/// Counts a loop down.
const COUNTER: Register = Register::R15;

/// Often small, or near a power of two.
fn integer(random: &mut Random) -> u64 {
    let bits = random.bits();
    match random.below(4) {
        0 => random.below(4).wrapping_sub(2),
        1 => (1u64 << (bits & 63)).wrapping_add(random.below(3)).wrapping_sub(1),
        _ => bits,
    }
}

struct Maker<'a> {
    random: &'a mut Random,
    forms: &'a [Code],
    encoder: Encoder,
    /// Where the program will be, and how long it is by now.
    start: u64,
    len: usize,
}

impl Maker<'_> {
    fn push(&mut self, instruction: &Instruction) -> bool {
        match self.encoder.encode(instruction, self.start + self.len as u64) {
            Ok(len) => {
                self.len += len;
                true
            }
            Err(_) => {
                // What it has written of it before it failed.
                let mut bytes = self.encoder.take_buffer();
                bytes.truncate(self.len);
                self.encoder.set_buffer(bytes);
                false
            }
        }
    }

    fn general(&mut self, bytes: u32) -> Register {
        let number = SPOILT[self.random.below(SPOILT.len() as u64) as usize];
        match bytes {
            1 if self.random.once_in(5) => Register::AH + self.random.below(4) as u32,
            1 if number < 4 => Register::AL + number,
            1 => Register::SPL + (number - 4),
            2 => Register::AX + number,
            4 => Register::EAX + number,
            _ => Register::RAX + number,
        }
    }

    /// Mostly in the data, by RBX, which points into it.
    fn memory(&mut self) -> MemoryOperand {
        let displacement = match self.random.below(12) {
            0 => 0xff0 + self.random.below(32) as i64,
            1 => 0x1000 + self.random.below(0x1000) as i64,
            2 => 0x2ff0 + self.random.below(20) as i64,
            _ => self.random.below(0xf00) as i64,
        };
        match self.random.below(6) {
            0 => MemoryOperand::new(Register::R11, Register::R14, 8, displacement, 4, false, Register::None),
            1 => MemoryOperand::with_base_displ(Register::RIP, (DATA as i64) + displacement),
            2 => MemoryOperand::new(
                Register::None,
                Register::None,
                1,
                DATA as i64 + displacement,
                8,
                false,
                Register::GS,
            ),
            _ => MemoryOperand::with_base_displ(Register::R11, displacement),
        }
    }

    fn instruction(&mut self) {
        let code = self.forms[self.random.below(self.forms.len() as u64) as usize];
        let op_code = code.op_code();
        let mut instruction = Instruction::new();
        instruction.set_code(code);
        for n in 0..op_code.op_count() {
            self.operand(&mut instruction, n, op_code.op_kind(n));
        }
        if op_code.can_use_lock_prefix() && self.random.once_in(4) {
            instruction.set_has_lock_prefix(true);
        }
        self.push(&instruction);
    }

    fn operand(&mut self, instruction: &mut Instruction, n: u32, kind: K) {
        use K::*;
        let register = match kind {
            al => Register::AL,
            ax => Register::AX,
            eax => Register::EAX,
            rax => Register::RAX,
            cl => Register::CL,
            xmm_reg | xmm_rm => Register::XMM0 + self.random.below(16) as u32,
            r8_reg | r8_opcode => self.general(1),
            r16_reg | r16_opcode | r16_rm => self.general(2),
            r32_reg | r32_opcode | r32_rm => self.general(4),
            r64_reg | r64_opcode | r64_rm => self.general(8),
            r8_or_mem | r16_or_mem | r32_or_mem | r64_or_mem | xmm_or_mem if self.random.once_in(2) => {
                match kind {
                    r8_or_mem => self.general(1),
                    r16_or_mem => self.general(2),
                    r32_or_mem => self.general(4),
                    r64_or_mem => self.general(8),
                    _ => Register::XMM0 + self.random.below(16) as u32,
                }
            }
            _ => Register::None,
        };
        if register != Register::None {
            instruction.set_op_register(n, register);
        } else if matches!(kind, mem | r8_or_mem | r16_or_mem | r32_or_mem | r64_or_mem | xmm_or_mem) {
            let operand = self.memory();
            instruction.set_op_kind(n, iced_x86::OpKind::Memory);
            instruction.set_memory_base(operand.base);
            instruction.set_memory_index(operand.index);
            instruction.set_memory_index_scale(operand.scale);
            instruction.set_memory_displacement64(operand.displacement as u64);
            instruction.set_memory_displ_size(if operand.base == Register::RIP {
                8
            } else {
                operand.displ_size.max(4)
            });
            instruction.set_segment_prefix(operand.segment_prefix);
        } else {
            self.immediate(instruction, n, kind);
        }
    }

    fn immediate(&mut self, instruction: &mut Instruction, n: u32, kind: K) {
        use iced_x86::OpKind as O;
        let value = if self.random.once_in(3) { self.random.below(70) } else { integer(self.random) };
        let (op_kind, value) = match kind {
            K::imm8_const_1 => (O::Immediate8, 1),
            K::imm8 => (O::Immediate8, value & 0xff),
            K::imm16 => (O::Immediate16, value & 0xffff),
            K::imm32 => (O::Immediate32, value & 0xffff_ffff),
            K::imm64 => (O::Immediate64, value),
            K::imm8sex16 => (O::Immediate8to16, value as i8 as u64),
            K::imm8sex32 => (O::Immediate8to32, value as i8 as u64),
            K::imm8sex64 => (O::Immediate8to64, value as i8 as u64),
            _ => (O::Immediate32to64, value as i32 as u64),
        };
        instruction.set_op_kind(n, op_kind);
        match op_kind {
            O::Immediate8 => instruction.set_immediate8(value as u8),
            O::Immediate16 => instruction.set_immediate16(value as u16),
            O::Immediate32 => instruction.set_immediate32(value as u32),
            O::Immediate64 => instruction.set_immediate64(value),
            O::Immediate8to16 => instruction.set_immediate8to16(value as i16),
            O::Immediate8to32 => instruction.set_immediate8to32(value as i32),
            O::Immediate8to64 => instruction.set_immediate8to64(value as i64),
            _ => instruction.set_immediate32to64(value as i64),
        }
    }

    fn branch(&mut self, code: Code, target: u64) {
        if let Ok(instruction) = Instruction::with_branch(code, target) {
            self.push(&instruction);
        }
    }

    /// A jump over a few instructions, by a random condition.
    fn forward(&mut self) {
        let condition = Code::Jo_rel32_64 as u32 + 3 * self.random.below(16) as u32;
        let Ok(code) = Code::try_from(condition as usize) else { return };
        let at = self.len;
        self.branch(code, self.start);
        let end = self.len;
        (0..self.random.below(4)).for_each(|_| self.instruction());
        let mut bytes = self.encoder.take_buffer();
        bytes[end - 4..end].copy_from_slice(&((self.len - end) as u32).to_le_bytes());
        assert!(at < end);
        self.encoder.set_buffer(bytes);
    }
}

/// A program: loops over straight code, calls and jumps, and a HLT behind it.
fn program(random: &mut Random, forms: &[Code], start: u64) -> Vec<u8> {
    let mut m = Maker { random, forms, encoder: Encoder::new(64), start, len: 0 };
    for _ in 0..1 + m.random.below(3) {
        let count = 1 + m.random.below(12) as i32;
        let set = Instruction::with2(Code::Mov_r64_imm64, COUNTER, u64::from(count as u32)).unwrap();
        m.push(&set);
        let top = m.start + m.len as u64;
        for _ in 0..1 + m.random.below(20) {
            match m.random.below(14) {
                0 => m.forward(),
                1 => {
                    // A call over its own function: down here, then the function returns behind itself.
                    let call = m.len;
                    m.branch(Code::Call_rel32_64, m.start + call as u64 + 10);
                    let over = m.len;
                    m.branch(Code::Jmp_rel32_64, m.start);
                    m.instruction();
                    m.push(&Instruction::with(Code::Retnq));
                    let end = m.len;
                    let mut bytes = m.encoder.take_buffer();
                    bytes[over + 1..over + 5].copy_from_slice(&((end - over - 5) as u32).to_le_bytes());
                    m.encoder.set_buffer(bytes);
                }
                2 => {
                    let register = m.general(8);
                    let push = Instruction::with1(Code::Push_r64, register).unwrap();
                    m.push(&push);
                    m.instruction();
                    let register = m.general(8);
                    let pop = Instruction::with1(Code::Pop_r64, register).unwrap();
                    m.push(&pop);
                }
                _ => m.instruction(),
            }
        }
        let dec = Instruction::with1(Code::Dec_rm64, COUNTER).unwrap();
        m.push(&dec);
        m.branch(Code::Jne_rel32_64, top);
    }
    m.push(&Instruction::with(Code::Hlt));
    m.encoder.take_buffer()
}

fn machine(translate: Translate, (code, start): (&[u8], u64), seed: u64) -> Machine {
    let mut random = Random::new(seed);
    let mut m = Machine::with(translate);
    m.memory.write_slice(code, GuestAddress(start)).unwrap();
    for page in 0..3 {
        let write = if page == 1 && random.once_in(2) { 0 } else { WRITE };
        m.map(DATA + 0x1000 * page, PLACE + 0x1000 * page, PRESENT | USER | write);
    }
    let data: Vec<u8> = (0..DATA_BYTES).map(|_| random.bits() as u8).collect();
    m.memory.write_slice(&data, GuestAddress(PLACE)).unwrap();
    m.with_state(|state| {
        state.gpr.iter_mut().for_each(|register| *register = integer(&mut random));
        state.rip = start;
        state.gpr[4] = machine::STACK - 0x800;
        state.gpr[11] = DATA;
        state.gpr[14] = random.below(3);
        state.rflags = 2 | random.bits() & 0x8d5;
        state.fpu.mxcsr = 0x1f80
            | if random.once_in(3) { random.bits() as u32 & 0x6000 } else { 0 }
            | if random.once_in(5) { 0x8040 } else { 0 };
        if random.once_in(8) {
            state.fpu.mxcsr &= !(1 << (7 + random.below(6)));
        }
        state.fpu.xmm = std::array::from_fn(|_| {
            u128::from(integer(&mut random)) << 64 | u128::from(integer(&mut random))
        });
    });
    m
}

/// A program as text.
fn listing(code: &[u8], start: u64) -> String {
    let mut text = String::new();
    let mut formatter = GasFormatter::new();
    for instruction in Decoder::with_ip(64, code, start, DecoderOptions::NONE).iter() {
        text += &format!("{:x} ", instruction.ip());
        formatter.format(&instruction, &mut text);
        text.push('\n');
    }
    text
}

/// How programs ended.
#[derive(Debug, Default)]
struct Seen {
    programs: u64,
    stops: u64,
    faults: u64,
    instructions: u64,
}

fn compare(seed: u64, forms: &[Code], seen: &mut Seen) {
    let mut random = Random::new(seed);
    // Mostly across the end of a page.
    let start = CODE + 0xfff - random.below(250);
    let code = program(&mut random, forms, start);
    let mut both = [Translate::Never, Translate::Always].map(|which| machine(which, (&code, start), seed));
    let mut until = Cycles(0);
    let step = [3, 20, 200, 5000][random.below(4) as usize];
    for stop in 0.. {
        until += 1 + random.below(step);
        let exits = both.each_mut().map(|m| m.cpu.run(&mut m.bus, until));
        let states = both.each_ref().map(|m| m.cpu.state());
        assert_eq!(exits[0], exits[1], "program {seed}, stop {stop} at {until:?}");
        if states[0] != states[1] {
            println!("{}", listing(&code, start));
        }
        assert_eq!(states[0], states[1], "program {seed}, stop {stop} at {until:?}");
        let [a, b] = both.each_ref().map(|m| m.cpu.translations());
        assert!(a == b, "program {seed}, stop {stop} at {until:?}: other translations");
        seen.stops += 1;
        if exits[0] != Exit::Deadline || until > Cycles(20_000) {
            seen.faults += u64::from(states[0].rip < CODE);
            seen.instructions += states[0].retired;
            break;
        }
    }
    for (at, len) in [(PLACE, DATA_BYTES), (machine::STACK - 0x2000, 0x2000), (CODE, 0x2000)] {
        let [a, b] = both.each_ref().map(|m| {
            let mut bytes = vec![0u8; len];
            m.memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
            bytes
        });
        assert!(a == b, "program {seed}: other memory from {at:#x} on");
    }
    seen.programs += 1;
}

#[test]
fn random_programs_run_as_in_the_interpreter() {
    let forms = forms();
    assert!(forms.len() > 600, "{} forms", forms.len());
    let mut seen = Seen::default();
    (0..PROGRAMS).for_each(|seed| compare(seed, &forms, &mut seen));
    println!("{seen:?}, of {} forms", forms.len());
    assert!(seen.faults > PROGRAMS / 20 && seen.faults < PROGRAMS * 19 / 20, "{seen:?}");
    let Ok(wanted) = std::env::var("FENCEPOST_FUZZ") else { return };
    let (seconds, first) = wanted.split_once(',').unwrap_or((&wanted, "1000000"));
    let seconds: u64 = seconds.parse().expect("FENCEPOST_FUZZ=SECONDS[,SEED]");
    let first: u64 = first.parse().expect("FENCEPOST_FUZZ=SECONDS[,SEED]");
    let begun = Instant::now();
    (first..)
        .take_while(|_| begun.elapsed() < Duration::from_secs(seconds))
        .for_each(|seed| compare(seed, &forms, &mut seen));
    println!("{seen:?}");
}

/// A loop that rewrites the instruction behind it, again and again: all that was translated is dropped when there is no more room.
#[test]
fn code_that_rewrites_itself_is_run_as_written() {
    const TURNS: u64 = 2000;
    let results = [Translate::Never, Translate::Always].map(|which| {
        let mut m = Machine::with(which);
        m.assemble(CODE, |a| {
            let (mut top, mut patched) = (a.create_label(), a.create_label());
            a.mov(ecx, TURNS as u32).unwrap();
            a.lea(rdi, ptr(patched)).unwrap();
            a.xor(eax, eax).unwrap();
            a.set_label(&mut top).unwrap();
            a.mov(dword_ptr(rdi + 1), ecx).unwrap();
            a.set_label(&mut patched).unwrap();
            a.add(eax, 0x1234_5678).unwrap();
            // What makes much code.
            (0..50).for_each(|n| a.adc(dword_ptr(rdi + 0x1000 + 4 * n), edx).unwrap());
            a.dec(ecx).unwrap();
            a.jne(top).unwrap();
            a.hlt().unwrap();
        });
        assert_eq!(m.cpu.run(&mut m.bus, Cycles(100 * TURNS)), Exit::Halted);
        (m.cpu.state(), m.cpu.counters())
    });
    let [(by_interpreter, _), (by_translator, counters)] = &results;
    assert_eq!(by_interpreter, by_translator);
    assert_eq!(by_translator.gpr[0], (1..=TURNS).sum::<u64>() & 0xffff_ffff);
    assert!(counters.blocks_translated > TURNS && counters.translations_dropped > 0, "{counters:?}");
}
