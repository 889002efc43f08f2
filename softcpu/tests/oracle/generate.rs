//! Makes random instances of an instruction form, with the machine state that makes them worth running.

use iced_x86::{
    Code, Decoder, DecoderOptions, Encoder, Instruction, MemorySize, Mnemonic, OpCodeOperandKind, OpKind,
    Register,
};

use super::layout::{DATA, DATA_BYTES, DIRECTION, Machine, PAGE, START, STATUS_FLAGS};
use super::random::Random;

/// One instruction with the state it starts from.
pub struct Case {
    /// Decoded again from its bytes.
    pub instr: Instruction,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// State before.
    pub before: Machine,
    /// Where its memory operand is, if it has one.
    pub address: u64,
}

const RSP: usize = 4;

/// Makes cases of one form.
pub struct Maker<'a> {
    random: &'a mut Random,
    code: Code,
    /// 64 or 32.
    bits: u32,
    /// Wanted address of the memory operand.
    address: u64,
    gpr: [u64; 16],
    /// Registers that must keep their value, because an address hangs on them.
    instr: Instruction,
}

/// A case of `code`; `None` when the random choice cannot be encoded.
pub fn case(random: &mut Random, code: Code, bits: u32) -> Option<Case> {
    let mask = value_mask(bits);
    let gpr = general_registers(random, code).map(|value| value & mask);
    let address = address(random, code) & mask;
    let mut maker = Maker { random, code, bits, address, gpr, instr: Instruction::new() };
    maker.instr.set_code(code);
    for n in 0..code.op_code().op_count() {
        maker.operand(n)?;
    }
    maker.prefixes();
    maker.adjust();
    let Maker { gpr, instr, .. } = maker;
    let gpr = gpr.map(|value| value & mask);
    let (bytes, instr) = encode(&instr, bits)?;
    let rflags = 0x202 | random.bits() & STATUS_FLAGS | if random.once_in(4) { DIRECTION } else { 0 };
    let mut before = Machine { gpr, rip: START, rflags, fx: fpu_image(random) };
    limit_argument(random, code.mnemonic(), &mut before.fx);
    if compares_text(code.mnemonic()) {
        texts(random, &mut before);
    }
    Some(Case { instr, bytes, before, address })
}

/// A case of an encoding given as bytes, in a random state. No memory operand is arranged for.
pub fn raw(random: &mut Random, bytes: &[u8]) -> Case {
    let instr = decoded(bytes);
    let gpr = general_registers(random, instr.code());
    let rflags = 0x202 | random.bits() & STATUS_FLAGS;
    let before = Machine { gpr, rip: START, rflags, fx: fpu_image(random) };
    Case { instr, bytes: bytes.to_vec(), before, address: 0 }
}

/// What bytes of 64-bit code are.
pub fn decoded(bytes: &[u8]) -> Instruction {
    Decoder::with_ip(64, bytes, START, DecoderOptions::NONE).decode()
}

/// What of a register 32-bit code can see.
fn value_mask(bits: u32) -> u64 {
    if bits == 64 { !0 } else { 0xffff_ffff }
}

fn encode(instr: &Instruction, bits: u32) -> Option<(Vec<u8>, Instruction)> {
    let mut encoder = Encoder::new(bits);
    encoder.encode(instr, START).ok()?;
    let bytes = encoder.take_buffer();
    let decoded = Decoder::with_ip(bits, &bytes, START, DecoderOptions::NONE).decode();
    (decoded.code() == instr.code() && decoded.len() == bytes.len()).then_some((bytes, decoded))
}

/// Somewhere in the data pages, sometimes across their border, sometimes outside or not canonical.
fn address(random: &mut Random, code: Code) -> u64 {
    let aligned = random.once_in(2) || matches!(code, Code::Fxsave64_m512byte | Code::Fxrstor64_m512byte);
    let at = match random.below(40) {
        0 => DATA + DATA_BYTES as u64 - random.below(12),
        1 => DATA - random.below(12),
        2 => 0x8000_0000_0000_0000 | random.bits() >> 1,
        3..=8 => DATA + PAGE - random.below(24),
        _ => DATA + 1024 + random.below(DATA_BYTES as u64 - 2560),
    };
    if aligned { at & !15 } else { at }
}

/// Random, but what instructions use as a pointer or counter of their own lies where it must.
fn general_registers(random: &mut Random, code: Code) -> [u64; 16] {
    let mut gpr = std::array::from_fn(|_| random.integer());
    let middle = |random: &mut Random| DATA + 2048 + random.below(4096);
    for pointer in [4, 5, 6, 7] {
        gpr[pointer] = middle(random);
    }
    if !random.once_in(4) {
        gpr[RSP] &= !7;
    }
    match random.below(60) {
        0 => gpr[RSP] |= 0x4000_0000_0000_0000,
        1 => gpr[RSP] = DATA + random.below(24),
        2 => gpr[RSP] = DATA + DATA_BYTES as u64 - random.below(24),
        _ => {}
    }
    match code.mnemonic() {
        // Mostly quotients that fit.
        Mnemonic::Div | Mnemonic::Idiv if !random.once_in(4) => {
            let wide = random.once_in(2);
            gpr[2] = if wide { (gpr[0] as i64 >> 63) as u64 } else { random.below(2) };
        }
        // Lengths about what fits.
        Mnemonic::Pcmpestri | Mnemonic::Pcmpestrm => {
            for length in [0, 2] {
                if !random.once_in(4) {
                    gpr[length] = random.below(40).wrapping_sub(20);
                }
            }
        }
        Mnemonic::Xlatb => gpr[3] = middle(random),
        Mnemonic::Loop | Mnemonic::Loope | Mnemonic::Loopne | Mnemonic::Jecxz | Mnemonic::Jrcxz => {
            gpr[1] = random.below(3) | random.below(2) << 32;
        }
        _ => {}
    }
    gpr
}

impl Maker<'_> {
    fn operand(&mut self, n: u32) -> Option<()> {
        use OpCodeOperandKind as K;
        let kind = self.code.op_code().op_kind(n);
        match kind {
            K::r8_or_mem | K::r16_or_mem | K::r32_or_mem | K::r64_or_mem | K::xmm_or_mem | K::mm_or_mem => {
                if self.random.once_in(2) {
                    self.memory(n)
                } else {
                    self.register(n, kind)
                }
            }
            K::mem => self.memory(n),
            K::mem_offs => self.absolute(n),
            K::imm8
            | K::imm8sex16
            | K::imm8sex32
            | K::imm8sex64
            | K::imm16
            | K::imm32
            | K::imm32sex64
            | K::imm64
            | K::imm8_const_1 => self.immediate(n, kind),
            K::br64_1 | K::br64_4 | K::br32_1 | K::br32_4 | K::br16_1 | K::br16_2 => self.target(n, kind),
            K::es_rDI if self.bits == 32 => self.implicit(n, OpKind::MemoryESEDI),
            K::seg_rSI if self.bits == 32 => self.implicit(n, OpKind::MemorySegESI),
            K::seg_rDI if self.bits == 32 => self.implicit(n, OpKind::MemorySegEDI),
            K::es_rDI => self.implicit(n, OpKind::MemoryESRDI),
            K::seg_rSI => self.implicit(n, OpKind::MemorySegRSI),
            K::seg_rDI => self.implicit(n, OpKind::MemorySegRDI),
            K::seg_rBX_al => {
                self.instr.set_op_kind(n, OpKind::Memory);
                self.instr.set_memory_base(if self.bits == 32 { Register::EBX } else { Register::RBX });
                self.instr.set_memory_index(Register::AL);
                Some(())
            }
            _ => self.register(n, kind),
        }
    }

    fn implicit(&mut self, n: u32, kind: OpKind) -> Option<()> {
        self.instr.set_op_kind(n, kind);
        if matches!(kind, OpKind::MemorySegRDI | OpKind::MemorySegEDI)
            && self.address >= DATA
            && self.address < DATA + DATA_BYTES as u64
        {
            self.gpr[7] = self.address;
        }
        Some(())
    }

    fn register(&mut self, n: u32, kind: OpCodeOperandKind) -> Option<()> {
        use OpCodeOperandKind as K;
        let (first, count) = match kind {
            K::r8_reg | K::r8_or_mem | K::r8_opcode => (Register::AL, 20),
            K::r16_reg | K::r16_or_mem | K::r16_opcode | K::r16_rm => (Register::AX, 16),
            K::r32_reg | K::r32_or_mem | K::r32_opcode | K::r32_rm => (Register::EAX, 16),
            K::r64_reg | K::r64_or_mem | K::r64_opcode | K::r64_rm => (Register::RAX, 16),
            K::xmm_reg | K::xmm_or_mem | K::xmm_rm => (Register::XMM0, 16),
            K::mm_reg | K::mm_or_mem | K::mm_rm => (Register::MM0, 8),
            K::sti_opcode => (Register::ST0, 8),
            K::seg_reg => (Register::ES, 6),
            K::st0 => (Register::ST0, 1),
            K::al => (Register::AL, 1),
            K::ax => (Register::AX, 1),
            K::eax => (Register::EAX, 1),
            K::rax => (Register::RAX, 1),
            K::cl => (Register::CL, 1),
            K::es => (Register::ES, 1),
            K::cs => (Register::CS, 1),
            K::ss => (Register::SS, 1),
            K::ds => (Register::DS, 1),
            K::fs => (Register::FS, 1),
            K::gs => (Register::GS, 1),
            _ => return None,
        };
        // Eight of each outside 64-bit code: the first eight, of byte registers too.
        let count = if self.bits == 32 { count.min(8) } else { count };
        let register = Register::try_from(first as usize + self.random.below(count) as usize).ok()?;
        self.instr.set_op_kind(n, OpKind::Register);
        self.instr.set_op_register(n, register);
        Some(())
    }

    fn immediate(&mut self, n: u32, kind: OpCodeOperandKind) -> Option<()> {
        use OpCodeOperandKind as K;
        let value = if self.random.once_in(4) { self.random.bits() } else { self.random.integer() };
        let (op_kind, value) = match kind {
            K::imm8_const_1 => (OpKind::Immediate8, 1),
            // The second operand of ENTER is a nesting level: deep ones copy much.
            K::imm8 if n == 1 && self.code.mnemonic() == Mnemonic::Enter => {
                (OpKind::Immediate8_2nd, value & 3)
            }
            K::imm8 => (OpKind::Immediate8, value & 0xff),
            K::imm8sex16 => (OpKind::Immediate8to16, value as i8 as u64),
            K::imm8sex32 => (OpKind::Immediate8to32, value as i8 as u64),
            K::imm8sex64 => (OpKind::Immediate8to64, value as i8 as u64),
            K::imm16 if self.code.mnemonic() == Mnemonic::Enter => (OpKind::Immediate16, value & 0x3ff),
            K::imm16 => (OpKind::Immediate16, value & 0xffff),
            K::imm32 => (OpKind::Immediate32, value & 0xffff_ffff),
            K::imm32sex64 => (OpKind::Immediate32to64, value as i32 as u64),
            _ => (OpKind::Immediate64, value),
        };
        self.instr.set_op_kind(n, op_kind);
        self.instr.set_immediate_u64(n, value);
        Some(())
    }

    fn target(&mut self, n: u32, kind: OpCodeOperandKind) -> Option<()> {
        use OpCodeOperandKind as K;
        let reach = if matches!(kind, K::br64_1 | K::br32_1 | K::br16_1) { 100 } else { 1500 };
        let distance = self.random.below(reach) + 16;
        let to = if self.random.once_in(2) { START + distance } else { START - distance };
        match kind {
            K::br64_1 | K::br64_4 => {
                self.instr.set_op_kind(n, OpKind::NearBranch64);
                self.instr.set_near_branch64(to);
            }
            K::br32_1 | K::br32_4 => {
                self.instr.set_op_kind(n, OpKind::NearBranch32);
                self.instr.set_near_branch32(to as u32);
            }
            _ => {
                self.instr.set_op_kind(n, OpKind::NearBranch16);
                self.instr.set_near_branch16(to as u16);
            }
        }
        Some(())
    }

    fn absolute(&mut self, n: u32) -> Option<()> {
        self.instr.set_op_kind(n, OpKind::Memory);
        self.instr.set_memory_displ_size(self.bits / 8);
        self.instr.set_memory_displacement64(self.address);
        Some(())
    }

    /// A memory operand in one of the addressing forms, and registers that make it lead to the wanted address.
    fn memory(&mut self, n: u32) -> Option<()> {
        self.instr.set_op_kind(n, OpKind::Memory);
        let address = self.address;
        match self.random.below(10) {
            0 if address < 1 << 31 && self.bits == 64 => {
                self.instr.set_memory_base(Register::RIP);
                self.instr.set_memory_displ_size(8);
                self.instr.set_memory_displacement64(address);
                return Some(());
            }
            1 if address < 1 << 31 => {
                self.instr.set_memory_displ_size(self.bits / 8);
                self.instr.set_memory_displacement64(address);
                return Some(());
            }
            _ => {}
        }
        let registers = if self.bits == 32 { 8 } else { 16 };
        let base = self.random.below(registers) as usize;
        // Not for bit strings: where 32-bit addresses wrap differs once the bit offset is added.
        let narrow = self.bits == 32 || address < 1 << 31 && self.random.once_in(12) && !self.is_bit_test();
        let first = if narrow { Register::EAX } else { Register::RAX };
        let register = |number: usize| Register::try_from(first as usize + number).ok();
        self.instr.set_memory_base(register(base)?);
        let displacement = match self.random.below(3) {
            0 => 0,
            1 => self.random.bits() as i8 as i64,
            _ => i64::from(self.random.bits() as i32 >> 4),
        };
        self.instr.set_memory_displ_size(if displacement == 0 { 0 } else { self.bits / 8 });
        self.instr.set_memory_displacement64(if narrow {
            displacement as u32 as u64
        } else {
            displacement as u64
        });
        let mut rest = address.wrapping_sub(displacement as u64);
        let index = self.random.below(registers) as usize;
        if index != RSP && index != base && self.random.once_in(2) {
            let scale = 1 << self.random.below(4);
            self.instr.set_memory_index(register(index)?);
            self.instr.set_memory_index_scale(scale);
            rest = rest.wrapping_sub(self.gpr[index].wrapping_mul(u64::from(scale)));
        }
        // With 32-bit addresses the upper half of the register does not count.
        self.gpr[base] = if narrow { rest & 0xffff_ffff | self.random.bits() << 32 } else { rest };
        Some(())
    }

    fn is_bit_test(&self) -> bool {
        matches!(self.code.mnemonic(), Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc)
    }

    fn prefixes(&mut self) {
        let info = self.code.op_code();
        if info.can_use_lock_prefix() && self.instr.op0_kind() == OpKind::Memory && self.random.once_in(3) {
            self.instr.set_has_lock_prefix(true);
        }
        match self.random.below(3) {
            0 if info.can_use_rep_prefix() => self.instr.set_has_rep_prefix(true),
            1 if info.can_use_repne_prefix() && self.code.mnemonic() != Mnemonic::Nop => {
                self.instr.set_has_repne_prefix(true);
            }
            _ => {}
        }
        if self.instr.has_rep_prefix() || self.instr.has_repne_prefix() {
            self.gpr[1] = self.random.below(24);
        }
    }

    /// Bends values to what the operands need: bit offsets that stay near, counts whose result is defined.
    fn adjust(&mut self) {
        if matches!(self.code.mnemonic(), Mnemonic::Shld | Mnemonic::Shrd)
            && self.instr.op1_register().is_gpr16()
        {
            self.gpr[1] = self.gpr[1] & !0x1f | self.random.below(17);
            if self.instr.op_kind(2) == OpKind::Immediate8 {
                self.instr.set_immediate8(self.random.below(17) as u8);
            }
        }
        let number = |register: Register| register.full_register().number();
        if self.is_bit_test()
            && self.instr.op0_kind() == OpKind::Memory
            && self.instr.op1_kind() == OpKind::Register
        {
            let register = number(self.instr.op1_register());
            if number(self.instr.memory_base()) != register && number(self.instr.memory_index()) != register {
                self.gpr[register] = (self.random.bits() as i16 as i64 >> 4) as u64;
            }
        }
    }
}

fn compares_text(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(mnemonic, Pcmpestri | Pcmpestrm | Pcmpistri | Pcmpistrm)
}

/// Sixteen bytes of few kinds, as bytes or as words, often with an end.
fn text(random: &mut Random) -> u128 {
    let (words, kinds) = (random.once_in(2), 2 + random.below(4));
    let first = random.pick(&[0, 0, 1, 0x7e, 0xfe]);
    let byte = |random: &mut Random, i: u32| match i & 1 {
        1 if words => 0,
        _ => u128::from((first + random.below(kinds)) as u8) << (8 * i),
    };
    (0..16).map(|i| byte(random, i)).sum()
}

/// Mostly texts in XMM registers.
fn texts(random: &mut Random, before: &mut Machine) {
    for i in 0..16 {
        if !random.once_in(4) {
            before.fx[160 + 16 * i..176 + 16 * i].copy_from_slice(&text(random).to_le_bytes());
        }
    }
}

/// Keeps the argument of a transcendental function where the manual defines the result, and angles where the width of pi
/// does not matter.
fn limit_argument(random: &mut Random, mnemonic: Mnemonic, image: &mut [u8; 512]) {
    let most = match mnemonic {
        Mnemonic::F2xm1 => 0x3ffe,
        Mnemonic::Fyl2xp1 => 0x3ffc,
        Mnemonic::Fsin | Mnemonic::Fcos | Mnemonic::Fsincos | Mnemonic::Fptan => 0x4000,
        _ => return,
    };
    let top = u16::from_le_bytes([image[40], image[41]]);
    if (most..0x7fff).contains(&(top & 0x7fff)) {
        let exponent = most - random.below(20) as u16;
        image[40..42].copy_from_slice(&(top & 0x8000 | exponent).to_le_bytes());
    }
}

/// The x87, MMX and SSE state: mostly full and masked.
fn fpu_image(random: &mut Random) -> [u8; 512] {
    let mut image = [0; 512];
    let fcw = (random.bits() as u16 & 0x0f00)
        | 0x40
        | if random.once_in(5) { random.bits() as u16 & 0x3f } else { 0x3f };
    // Sticky flags that are masked; now and then one that is not, which waits as #MF.
    let mut fsw = random.bits() as u16 & 0x7f7f;
    if !random.once_in(40) {
        fsw &= !(!fcw & 0x3f);
    }
    if fsw & !fcw & 0x3f != 0 {
        fsw |= 0x8080;
    }
    let tags = if random.once_in(5) { random.bits() as u8 } else { 0xff };
    let masks = if random.once_in(5) { random.bits() as u32 & 0x1f80 } else { 0x1f80 };
    let mode = match random.below(3) {
        0 => random.bits() as u32 & 0xe040,
        1 => random.bits() as u32 & 0x6000,
        _ => 0,
    };
    let mxcsr = masks | mode | if random.once_in(2) { random.bits() as u32 & 0x3f } else { 0 };
    image[0..2].copy_from_slice(&fcw.to_le_bytes());
    image[2..4].copy_from_slice(&fsw.to_le_bytes());
    image[4] = tags;
    image[24..28].copy_from_slice(&mxcsr.to_le_bytes());
    for i in 0..8 {
        image[32 + 16 * i..48 + 16 * i].copy_from_slice(&random.extended().to_le_bytes());
    }
    for i in 0..16 {
        image[160 + 16 * i..176 + 16 * i].copy_from_slice(&random.vector().to_le_bytes());
    }
    image
}

/// Fills what lies at the memory operand, or is popped, with values that suit.
pub fn fill_memory(random: &mut Random, case: &Case, data: &mut [u8]) {
    fill_operand(random, case, data);
    if matches!(case.instr.mnemonic(), Mnemonic::Popf | Mnemonic::Popfd | Mnemonic::Popfq) {
        // Not the trap, nested-task and alignment flags: the host's own code would run with them.
        let at = case.before.gpr[RSP].wrapping_sub(DATA) as usize;
        let value = random.bits() & (STATUS_FLAGS | DIRECTION | 0x20_3202) | 2;
        for (place, byte) in data.iter_mut().skip(at).zip(value.to_le_bytes()) {
            *place = byte;
        }
    }
}

fn fill_operand(random: &mut Random, case: &Case, data: &mut [u8]) {
    let start = case.address.wrapping_sub(DATA) as usize;
    if start >= data.len() {
        return;
    }
    let mut bytes = [0u8; 16];
    match case.instr.memory_size() {
        MemorySize::Float80 => bytes = random.extended().to_le_bytes(),
        MemorySize::Float64 => bytes[..8].copy_from_slice(&random.double().to_le_bytes()),
        MemorySize::Float32 => bytes[..4].copy_from_slice(&random.single().to_le_bytes()),
        MemorySize::Bcd => {
            for byte in &mut bytes[..9] {
                *byte = (random.below(10) << 4 | random.below(10)) as u8;
            }
            bytes[9] = random.pick(&[0, 0x80]);
        }
        // The host's own mode bit (misaligned SSE operands) is not ours.
        MemorySize::UInt32 if case.instr.mnemonic() == Mnemonic::Ldmxcsr => {
            bytes[..4].copy_from_slice(&(random.integer() as u32 & !0x2_0000).to_le_bytes());
        }
        MemorySize::UInt64 | MemorySize::Int64 | MemorySize::UInt32 | MemorySize::Int32 => {
            let value = if random.once_in(4) { case.before.gpr[0] } else { random.integer() };
            bytes[..8].copy_from_slice(&value.to_le_bytes());
        }
        MemorySize::Fxsave_512Byte | MemorySize::Fxsave64_512Byte => {
            let image = fpu_image(random);
            let end = (start + 512).min(data.len());
            data[start..end].copy_from_slice(&image[..end - start]);
            return;
        }
        _ if compares_text(case.instr.mnemonic()) && !random.once_in(4) => bytes = text(random).to_le_bytes(),
        _ if random.once_in(3) => bytes[..8].copy_from_slice(&case.before.gpr[0].to_le_bytes()),
        _ => bytes = random.vector().to_le_bytes(),
    }
    let end = (start + 16).min(data.len());
    data[start..end].copy_from_slice(&bytes[..end - start]);
}
