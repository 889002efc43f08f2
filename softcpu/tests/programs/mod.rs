//! Random programs of user code.

// Each test uses its part of it.
#![allow(dead_code)]

use fencepost_random::Random;
use iced_x86::{
    Code, CpuidFeature, Decoder, DecoderOptions, Encoder, FlowControl, Formatter, GasFormatter, Instruction,
    MemoryOperand, Mnemonic, OpCodeOperandKind as K, Register, RflagsBits,
};

/// The forms that programs are made of: what user code can have, without jumps.
pub fn forms() -> Vec<Code> {
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
pub fn integer(random: &mut Random) -> u64 {
    let bits = random.bits();
    match random.below(4) {
        0 => random.below(4).wrapping_sub(2),
        1 => (1u64 << (bits & 63)).wrapping_add(random.below(3)).wrapping_sub(1),
        _ => bits,
    }
}

/// Where in the data the stack begins: what is pushed and popped stays within less than 2 KiB of it.
pub const HOST_STACK: u64 = 0x1800;

/// What programs are like.
pub struct Style {
    /// Where the data is that they work on.
    pub data: u64,
    /// They run on the host's processor too: with what every processor does in the same way, and ending at a breakpoint. The stack begins
    /// at [`HOST_STACK`].
    pub on_host: bool,
}

struct Maker<'a> {
    random: &'a mut Random,
    forms: &'a [Code],
    style: &'a Style,
    encoder: Encoder,
    /// Where the program will be, and how long it is by now.
    start: u64,
    len: usize,
    rewrites: u32,
}

/// A program, and how many of its instructions rewrite others.
pub struct Program {
    pub code: Vec<u8>,
    pub rewrites: u32,
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
            // Not over the stack, which has return addresses: nobody stops a program on the host that never ends.
            1 | 2 if self.style.on_host => 0x1ff8 + self.random.below(20) as i64,
            1 => 0x1000 + self.random.below(0x1000) as i64,
            2 => 0x2ff0 + self.random.below(20) as i64,
            _ => self.random.below(0xf00) as i64,
        };
        match self.random.below(6) {
            0 => MemoryOperand::new(Register::R11, Register::R14, 8, displacement, 4, false, Register::None),
            1 => MemoryOperand::with_base_displ(Register::RIP, self.style.data as i64 + displacement),
            2 => MemoryOperand::new(
                Register::None,
                Register::None,
                1,
                self.style.data as i64 + displacement,
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
        // On the host an access that is locked and crosses a cache line may be forbidden.
        if op_code.can_use_lock_prefix() && self.random.once_in(4) && !self.style.on_host {
            instruction.set_has_lock_prefix(true);
        }
        if self.push(&instruction) && self.style.on_host && leaves_undefined(&instruction) {
            let (a, b) = (self.general(4), self.general(4));
            self.push(&Instruction::with2(Code::Cmp_r32_rm32, a, b).expect("two registers"));
        }
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

    /// An instruction that writes a random value over the immediate of one that follows, which is executed with that then; or of one
    /// that it follows, for the next turn of the loop.
    fn rewrite(&mut self) {
        let (to, from) = (self.general(4), self.general(4));
        let (mut place, mut patch) = (0, 0);
        let ahead = self.random.once_in(2);
        for writes in [ahead, !ahead] {
            if writes {
                let memory = MemoryOperand::with_base_displ(Register::RIP, self.start as i64);
                self.push(&Instruction::with2(Code::Mov_rm32_r32, memory, from).expect("a store"));
                patch = self.len;
            } else {
                self.push(&Instruction::with2(Code::Add_rm32_imm32, to, 0x1234_5678).expect("a sum"));
                place = self.len - 4;
            }
            (0..self.random.below(3)).for_each(|_| self.instruction());
        }
        let mut bytes = self.encoder.take_buffer();
        let distance = place as i64 - patch as i64;
        bytes[patch - 4..patch].copy_from_slice(&(distance as i32).to_le_bytes());
        self.encoder.set_buffer(bytes);
        self.rewrites += 1;
    }
}

/// Whether it leaves flags that processors differ in. (AF after AND and its like is clear on all.)
fn leaves_undefined(instr: &Instruction) -> bool {
    let logic = matches!(instr.mnemonic(), Mnemonic::And | Mnemonic::Or | Mnemonic::Xor | Mnemonic::Test);
    instr.rflags_undefined() & !(if logic { RflagsBits::AF } else { 0 }) != 0
}

/// Whether processors differ in what a form does, or it reaches more than registers and its own operand.
pub fn differs_on_hosts(code: Code) -> bool {
    use Mnemonic::*;
    let op_code = code.op_code();
    let wide = (0..op_code.op_count())
        .any(|n| matches!(op_code.op_kind(n), K::r16_or_mem | K::r16_rm | K::r16_opcode));
    let by_register =
        (0..op_code.op_count()).any(|n| matches!(op_code.op_kind(n), K::r16_reg | K::r32_reg | K::r64_reg));
    match code.mnemonic() {
        Rcpps | Rcpss | Rsqrtps | Rsqrtss | Ldmxcsr | Stmxcsr | Maskmovdqu | Xlatb | Enter | Leave => true,
        Pushf | Pushfd | Pushfq | Popf | Popfd | Popfq | Cli | Sti | Lar | Lsl | Verr | Verw | Sldt | Str
        | Smsw | Sgdt | Sidt | Lmsw | Clts | Lss | Lfs | Lgs => true,
        Bswap | Shld | Shrd => wide,
        // Some read two bytes, some four.
        Movsxd => code == Code::Movsxd_r16_rm16,
        // A bit anywhere in memory.
        Bt | Btc | Btr | Bts => by_register,
        _ => false,
    }
}

/// A program: loops over straight code, calls and jumps, and a HLT behind it.
pub fn program(random: &mut Random, forms: &[Code], style: &Style, start: u64) -> Program {
    let mut m = Maker { random, forms, style, encoder: Encoder::new(64), start, len: 0, rewrites: 0 };
    for _ in 0..1 + m.random.below(3) {
        let count = 1 + m.random.below(12) as i32;
        let set = Instruction::with2(Code::Mov_r64_imm64, COUNTER, u64::from(count as u32)).unwrap();
        m.push(&set);
        let top = m.start + m.len as u64;
        for _ in 0..1 + m.random.below(20) {
            match m.random.below(15) {
                0 => m.forward(),
                3 if !style.on_host => m.rewrite(),
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
    m.push(&Instruction::with(if style.on_host { Code::Int3 } else { Code::Hlt }));
    Program { rewrites: m.rewrites, code: m.encoder.take_buffer() }
}

/// A program as text.
pub fn listing(code: &[u8], start: u64) -> String {
    let mut text = String::new();
    let mut formatter = GasFormatter::new();
    for instruction in Decoder::with_ip(64, code, start, DecoderOptions::NONE).iter() {
        text += &format!("{:x} ", instruction.ip());
        formatter.format(&instruction, &mut text);
        text.push('\n');
    }
    text
}
