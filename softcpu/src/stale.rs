//! Drops decoded code when the memory that it was decoded from is written.

use crate::cpu::Cpu;

impl Cpu {
    /// Forgets the code decoded from a physical page (a page number): it was, or is about to be, written.
    pub(crate) fn drop_code(&mut self, page: u64) {
        self.counters.pages_dropped = self.counters.pages_dropped.saturating_add(1);
        self.blocks.drop_page(page);
        self.code.set_holds_code(page, false);
    }

    /// Takes the reports of everyone else who writes memory.
    #[cold]
    pub(crate) fn drain_code_reports(&mut self) {
        for page in self.code.take_written() {
            self.drop_code(page);
        }
    }

    /// Forgets all decoded code.
    pub(crate) fn drop_all_code(&mut self) {
        for page in self.blocks.page_numbers() {
            self.drop_code(page);
        }
    }

    /// Forgets all decoded code: memory was, or may have been, written by someone who does not report it.
    pub fn forget_code(&mut self) {
        self.drop_all_code();
        self.blocks.bury();
    }
}

#[cfg(test)]
mod tests {
    use fencepost_time::Cycles;
    use iced_x86::code_asm::*;

    use crate::bus::Exit;
    use crate::machine::{CODE, Machine, PRESENT, WRITE};

    /// One physical page ends with the first byte of an instruction, and is mapped twice, with different pages behind.
    #[test]
    fn decoding_two_straddling_blocks_in_turn_does_not_fill_memory() {
        const FIRST: u64 = 0x20_0000;
        let mut m = Machine::new();
        for (linear, behind) in [(0x60_0000u64, 0x21_0000u64), (0x62_0000, 0x22_0000)] {
            m.map(linear, FIRST, PRESENT | WRITE);
            m.map(linear + 0x1000, behind, PRESENT | WRITE);
            // The rest of `mov eax, ...`, and a return.
            m.write(behind, [behind as u8, 0, 0, 0, 0xc3]);
        }
        m.write(FIRST + 0xfff, 0xb8u8);
        m.assemble(CODE, |a| {
            let mut top = a.create_label();
            a.mov(rbx, 0x60_0fffu64).unwrap();
            a.mov(rsi, 0x62_0fffu64).unwrap();
            a.set_label(&mut top).unwrap();
            a.call(rbx).unwrap();
            a.call(rsi).unwrap();
            a.jmp(top).unwrap();
        });
        assert_eq!(m.cpu.run(&mut m.bus, Cycles(50_000)), Exit::Deadline);
        assert!(m.cpu.counters().blocks_decoded > 10_000, "they are decoded in turn");
        assert!(m.cpu.blocks.dropped() < 1100, "{} wait to be freed", m.cpu.blocks.dropped());
    }
}
