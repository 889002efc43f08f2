//! Host instructions one after another, with jumps between them.

use iced_x86::{Code, ConditionCode, Encoder, IcedError, Instruction, MemoryOperand, Register};

use super::homes::Homes;

/// Generated code that is being made.
pub(crate) struct Emitter {
    encoder: Encoder,
    /// Where its first byte will be executed.
    start: u64,
    len: usize,
    /// Jumps whose four last bytes are at an offset, and the offset they lead to.
    jumps: Vec<(usize, usize)>,
    failed: Option<IcedError>,
    /// Where the guest's registers are.
    pub homes: Homes,
}

/// A jump that leads nowhere yet: the offset of its last four bytes.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Jump(pub usize);

/// The register that holds the CPU's address.
pub(crate) const CPU: Register = Register::RBP;

/// A field of the CPU, by its offset.
pub(crate) fn field(offset: usize) -> MemoryOperand {
    MemoryOperand::with_base_displ(CPU, offset as i64)
}

impl Emitter {
    /// For code that will be executed at `start`.
    pub fn new(start: u64) -> Emitter {
        Emitter::in_buffer(start, Vec::new())
    }

    /// The same, made in a buffer that has been used before: to let one grow takes long.
    pub fn in_buffer(start: u64, mut buffer: Vec<u8>) -> Emitter {
        let mut encoder = Encoder::new(64);
        buffer.clear();
        encoder.set_buffer(buffer);
        Emitter {
            encoder,
            start,
            len: 0,
            jumps: Vec::with_capacity(32),
            failed: None,
            homes: Homes::default(),
        }
    }

    /// Bytes so far.
    pub fn here(&self) -> usize {
        self.len
    }

    /// The code, unless an instruction could not be encoded.
    pub fn finish(mut self) -> Result<Vec<u8>, IcedError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut code = self.encoder.take_buffer();
        for (at, target) in self.jumps {
            let distance = (target as i64 - at as i64 - 4) as i32;
            if let Some(end) = code.get_mut(at..at + 4) {
                end.copy_from_slice(&distance.to_le_bytes());
            }
        }
        Ok(code)
    }

    /// One instruction.
    pub fn emit(&mut self, instruction: &Instruction) {
        let at = self.start + self.len as u64;
        match self.encoder.encode(instruction, at) {
            Ok(len) => self.len += len,
            Err(error) => self.failed = Some(error),
        }
    }

    fn made(&mut self, instruction: Result<Instruction, IcedError>) {
        match instruction {
            Ok(instruction) => self.emit(&instruction),
            Err(error) => self.failed = Some(error),
        }
    }

    /// One of two registers.
    pub fn rr(&mut self, code: Code, a: Register, b: Register) {
        self.made(Instruction::with2(code, a, b));
    }

    /// One of a register and an immediate.
    pub fn ri(&mut self, code: Code, a: Register, immediate: i32) {
        self.made(Instruction::with2(code, a, immediate));
    }

    /// One of a register and memory.
    pub fn rm(&mut self, code: Code, a: Register, memory: MemoryOperand) {
        self.made(Instruction::with2(code, a, memory));
    }

    /// One of memory and a register.
    pub fn mr(&mut self, code: Code, memory: MemoryOperand, a: Register) {
        self.made(Instruction::with2(code, memory, a));
    }

    /// One of memory and an immediate.
    pub fn mi(&mut self, code: Code, memory: MemoryOperand, immediate: i32) {
        self.made(Instruction::with2(code, memory, immediate));
    }

    /// One of a register.
    pub fn r(&mut self, code: Code, a: Register) {
        self.made(Instruction::with1(code, a));
    }

    /// One of memory.
    pub fn m(&mut self, code: Code, memory: MemoryOperand) {
        self.made(Instruction::with1(code, memory));
    }

    /// One without operands.
    pub fn bare(&mut self, code: Code) {
        self.emit(&Instruction::with(code));
    }

    /// A 64-bit move between registers, if they are two.
    pub fn mov(&mut self, to: Register, from: Register) {
        if to != from {
            let (to, from) = (to.number() as u8, from.number() as u8);
            self.bytes(&[0x48 | to >> 3 << 2 | from >> 3, 0x8b, 0xc0 | (to & 7) << 3 | from & 7]);
        }
    }

    /// A constant.
    pub fn constant(&mut self, to: Register, value: u64) {
        if let Ok(value) = u32::try_from(value) {
            let to = Register::EAX + to.number() as u32;
            self.made(Instruction::with2(Code::Mov_r32_imm32, to, value));
        } else {
            self.made(Instruction::with2(Code::Mov_r64_imm64, to, value));
        }
    }

    /// Reads a field of the CPU.
    pub fn load(&mut self, to: Register, offset: usize) {
        self.mov_field(0x8b, to, offset);
    }

    /// Writes a field of the CPU.
    pub fn store(&mut self, offset: usize, from: Register) {
        self.mov_field(0x89, from, offset);
    }

    /// MOV of 64 bits between a register and a field of the CPU. Such moves are a large part of all that is made: iced's encoder, which
    /// looks at every operand of any instruction, takes ten times as long.
    fn mov_field(&mut self, opcode: u8, register: Register, offset: usize) {
        let number = register.number() as u8;
        let head = [0x48 | number >> 3 << 2, opcode, (number & 7) << 3 | CPU.number() as u8];
        if let Ok(offset) = i8::try_from(offset) {
            self.bytes(&[head[0], head[1], 0x40 | head[2], offset as u8]);
        } else {
            let [a, b, c, d] = (offset as u32).to_le_bytes();
            self.bytes(&[head[0], head[1], 0x80 | head[2], a, b, c, d]);
        }
    }

    /// Machine code as it is.
    pub fn bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.encoder.write_u8(*byte));
        self.len += bytes.len();
    }

    /// R14 becomes the address that this is [bound](Self::bind) to later.
    pub fn address_to_r14(&mut self) -> Jump {
        self.bytes(&[0x4c, 0x8d, 0x35, 0, 0, 0, 0]);
        Jump(self.len - 4)
    }

    /// R14 becomes an address in the same buffer.
    pub fn known_address_to_r14(&mut self, address: u64) {
        let memory = MemoryOperand::with_base_displ(Register::RIP, address as i64);
        self.rm(Code::Lea_r64_m, Register::R14, memory);
    }

    /// A jump that is [bound](Self::bind) later.
    pub fn jump(&mut self) -> Jump {
        self.bytes(&[0xe9, 0, 0, 0, 0]);
        Jump(self.len - 4)
    }

    /// The same under a condition.
    pub fn jump_if(&mut self, condition: ConditionCode) -> Jump {
        self.bytes(&[0x0f, 0x80 | (condition as u8 - 1), 0, 0, 0, 0]);
        Jump(self.len - 4)
    }

    /// Lets a jump lead here.
    pub fn bind(&mut self, jump: Jump) {
        self.lead(jump, self.len);
    }

    /// Lets a jump lead to an offset.
    pub fn lead(&mut self, jump: Jump, target: usize) {
        self.jumps.push((jump.0, target));
    }

    /// A call of code in the same buffer.
    pub fn call(&mut self, target: u64) {
        self.made(Instruction::with_branch(Code::Call_rel32_64, target));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written as bytes is what iced's encoder makes.
    #[test]
    fn moves_are_those_of_the_encoder() {
        let made = |work: &dyn Fn(&mut Emitter)| {
            let mut emitter = Emitter::new(0x1000);
            work(&mut emitter);
            let here = emitter.here();
            let code = emitter.finish().unwrap();
            assert_eq!(code.len(), here);
            code
        };
        let register = |number: u32| Register::RAX + number;
        for number in 0..16 {
            for offset in [0, 8, 127, 128, 0x1234, 0x12_3456] {
                let loaded = made(&|e| e.load(register(number), offset));
                assert_eq!(loaded, made(&|e| e.rm(Code::Mov_r64_rm64, register(number), field(offset))));
                let stored = made(&|e| e.store(offset, register(number)));
                assert_eq!(stored, made(&|e| e.mr(Code::Mov_rm64_r64, field(offset), register(number))));
            }
            for other in (0..16).filter(|other| *other != number) {
                let moved = made(&|e| e.mov(register(number), register(other)));
                assert_eq!(moved, made(&|e| e.rr(Code::Mov_r64_rm64, register(number), register(other))));
            }
        }
    }
}
