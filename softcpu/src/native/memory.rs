//! Addresses, and lookups in the TLB.

use std::mem::offset_of;

use iced_x86::{Code, ConditionCode, Instruction, MemoryOperand, Register};

use super::emit::{Emitter, Jump, field};
use super::registers::{SCRATCH, slot};
use crate::cpu::Cpu;
use crate::generated::KnownJump;
use crate::mem::tlb::{CodeEntry, DataEntry, ENTRIES};

/// The offset of a field of [`Context`] in the CPU.
macro_rules! context {
    ($field:ident) => {
        std::mem::offset_of!(crate::cpu::Cpu, generated)
            + std::mem::offset_of!(crate::generated::Context, $field)
    };
}
pub(crate) use context;

/// Where [`look_up_code`](Emitter::look_up_code) has found the address of the code.
pub(crate) fn code_found() -> MemoryOperand {
    MemoryOperand::with_base_displ(SCRATCH[1], offset_of!(KnownJump, code) as i64)
}

const PAGE_BYTES: i32 = 4096;
const _: () =
    assert!(size_of::<DataEntry>() == 32 && size_of::<CodeEntry>() == 16 && size_of::<KnownJump>() == 16);

/// Memory at a register.
pub(crate) fn at(register: Register) -> MemoryOperand {
    MemoryOperand::with_base(register)
}

impl Emitter {
    /// The offset of a memory operand in its segment, in a register which may be the first scratch register. Both scratch registers
    /// are used. Flags stay.
    pub fn offset_of_operand(&mut self, instr: &Instruction, to: Register) {
        let [first, second] = SCRATCH;
        let displacement = instr.memory_displacement64() as i64;
        if instr.is_ip_rel_memory_operand() {
            self.load(first, context!(page));
            self.rm(Code::Lea_r64_m, to, MemoryOperand::with_base_displ(first, displacement));
            return;
        }
        let base = match instr.memory_base() {
            Register::None => Register::None,
            base => self.readable(base, first),
        };
        let index = match instr.memory_index() {
            Register::None => Register::None,
            index => self.readable(index, second),
        };
        if base != Register::None && index == Register::None && displacement == 0 {
            self.mov(to, base);
            return;
        }
        let scale = if index == Register::None { 1 } else { instr.memory_index_scale() };
        // A displacement of eight bytes is one of four that is sign-extended.
        let bytes = if displacement == 0 && base != Register::None { 0 } else { 8 };
        let operand = MemoryOperand::new(base, index, scale, displacement, bytes, false, Register::None);
        self.rm(Code::Lea_r64_m, to, operand);
    }

    /// The linear address of a memory operand, in the first scratch register. Both scratch registers and the flags are used.
    pub fn address(&mut self, instr: &Instruction) {
        self.offset_of_operand(instr, SCRATCH[0]);
        let segment = instr.memory_segment();
        if matches!(segment, Register::FS | Register::GS) {
            let base = offset_of!(Cpu, seg_base) + 8 * segment.number();
            self.rm(Code::Add_r64_rm64, SCRATCH[0], field(base));
        }
    }

    /// From a linear address in the first scratch register to where its bytes are in the host, if the TLB has them. Both scratch
    /// registers and the flags are used. The jump: it has not.
    pub fn look_up(&mut self, bytes: usize, write: bool) -> Jump {
        // Made for nearly every access, so as bytes.
        const MASK: [u8; 4] = ((ENTRIES as u32 - 1) << 5).to_le_bytes();
        const PAGE: u8 = offset_of!(DataEntry, page) as u8;
        let tag = if write { offset_of!(DataEntry, write) } else { offset_of!(DataEntry, read) } as u8;
        let most = (PAGE_BYTES - bytes as i32).to_le_bytes();
        // mov r14, rax; shr r14, 7
        self.bytes(&[0x4c, 0x8b, 0xf0, 0x49, 0xc1, 0xee, 7]);
        // and r14d, MASK
        self.bytes(&[0x41, 0x81, 0xe6, MASK[0], MASK[1], MASK[2], MASK[3]]);
        // sub rax, [r15 + r14 + tag]; cmp rax, most
        self.bytes(&[0x4b, 0x2b, 0x44, 0x37, tag, 0x48, 0x3d, most[0], most[1], most[2], most[3]]);
        let missed = self.jump_if(ConditionCode::a);
        // add rax, [r15 + r14 + PAGE]
        self.bytes(&[0x4b, 0x03, 0x44, 0x37, PAGE]);
        missed
    }

    /// The address of the code TLB's entry for the address in the first scratch register, in the second one.
    fn code_entry(&mut self) {
        let [address, entry] = SCRATCH;
        self.mov(entry, address);
        self.ri(Code::Shr_rm64_imm8, entry, 8);
        self.ri(Code::And_rm32_imm32, Register::R14D, (ENTRIES as i32 - 1) << 4);
        self.rm(Code::Add_r64_rm64, entry, field(context!(code)));
    }

    /// From an instruction pointer in the first scratch register to the generated code for it, whose address is then at
    /// [`KnownJump::code`] of the second one; the page of the code is in [`Context::next_page`]. Both scratch registers and the flags
    /// are used. The jumps: it is not known.
    pub fn look_up_code(&mut self) -> [Jump; 2] {
        let [target, entry] = SCRATCH;
        let entry32 = Register::R14D;
        self.code_entry();
        let part = |offset: usize| MemoryOperand::with_base_displ(entry, offset as i64);
        self.rm(Code::Sub_r64_rm64, target, part(offset_of!(CodeEntry, tag)));
        self.ri(Code::Cmp_RAX_imm32, Register::RAX, PAGE_BYTES - 1);
        let untranslated = self.jump_if(ConditionCode::a);
        self.rm(Code::Add_r64_rm64, target, part(offset_of!(CodeEntry, gpa)));
        self.rm(Code::Mov_r64_rm64, entry, part(offset_of!(CodeEntry, tag)));
        self.store(context!(next_page), entry);
        self.mov(entry, target);
        self.ri(Code::Shr_rm64_imm8, entry, 12);
        self.rr(Code::Xor_r32_rm32, entry32, Register::EAX);
        self.ri(Code::And_rm32_imm32, entry32, crate::generated::JUMPS as i32 - 1);
        self.ri(Code::Shl_rm32_imm8, entry32, 4);
        self.rm(Code::Add_r64_rm64, entry, field(context!(jumps)));
        self.rm(Code::Cmp_r64_rm64, target, part(offset_of!(KnownJump, gpa)));
        let unknown = self.jump_if(ConditionCode::ne);
        [untranslated, unknown]
    }

    /// Before a block whose only instruction reaches into the next page: that must be the physical page that it was decoded from. Both
    /// scratch registers and the flags are used. The jumps: it is not, or is not known.
    pub fn unless_next_page_is(&mut self, second: u64) -> [Jump; 2] {
        let [page, entry] = SCRATCH;
        self.load(page, context!(page));
        self.rm(Code::Lea_r64_m, page, MemoryOperand::with_base_displ(page, i64::from(PAGE_BYTES)));
        self.code_entry();
        let part = |offset: usize| MemoryOperand::with_base_displ(entry, offset as i64);
        self.rm(Code::Cmp_r64_rm64, page, part(offset_of!(CodeEntry, tag)));
        let untranslated = self.jump_if(ConditionCode::ne);
        self.constant(page, second);
        self.rm(Code::Cmp_r64_rm64, page, part(offset_of!(CodeEntry, gpa)));
        [untranslated, self.jump_if(ConditionCode::ne)]
    }

    /// Jumps to what [`look_up_code`](Self::look_up_code) has found, with the usual registers.
    pub fn jump_to_code(&mut self) {
        self.go_home();
        self.load(SCRATCH[0], context!(next_page));
        self.store(context!(page), SCRATCH[0]);
        self.m(Code::Jmp_rm64, code_found());
    }

    /// A guest's register gets the value of a host's, as a whole.
    pub fn set_guest(&mut self, number: usize, value: Register) {
        match self.host(number) {
            Some(register) => self.mov(register, value),
            None => self.store(slot(number), value),
        }
    }
}

#[cfg(test)]
mod tests {
    use iced_x86::{Decoder, DecoderOptions};

    use super::*;

    #[test]
    fn a_lookup_is_what_it_is_meant_to_be() {
        for (write, bytes) in [(false, 1), (true, 16)] {
            let mut emitter = Emitter::new(0);
            let missed = emitter.look_up(bytes, write);
            emitter.bind(missed);
            let code = emitter.finish().unwrap();
            let made: Vec<Instruction> = Decoder::new(64, &code, DecoderOptions::NONE).into_iter().collect();

            let codes: Vec<Code> = made.iter().map(Instruction::code).collect();
            use Code::*;
            let expected = [
                Mov_r64_rm64,
                Shr_rm64_imm8,
                And_rm32_imm32,
                Sub_r64_rm64,
                Cmp_RAX_imm32,
                Ja_rel32_64,
                Add_r64_rm64,
            ];
            assert_eq!(codes, expected);
            let first: Vec<Register> = made.iter().map(Instruction::op0_register).collect();
            use Register::{R14, R14D, RAX};
            assert_eq!(first, [R14, R14, R14D, RAX, RAX, Register::None, RAX]);
            assert_eq!(made[0].op1_register(), RAX);
            let immediates = [1, 2, 4].map(|n: usize| made[n].immediate(1));
            assert_eq!(immediates, [7, (ENTRIES as u64 - 1) << 5, 4096 - bytes as u64]);
            let tag = if write { offset_of!(DataEntry, write) } else { offset_of!(DataEntry, read) };
            for (n, offset) in [(3, tag), (6, offset_of!(DataEntry, page))] {
                let (base, index) = (made[n].memory_base(), made[n].memory_index());
                assert_eq!((base, index, made[n].memory_index_scale()), (Register::R15, R14, 1));
                assert_eq!(made[n].memory_displacement64(), offset as u64);
            }
            assert_eq!(made[5].near_branch_target(), code.len() as u64);
        }
    }
}
