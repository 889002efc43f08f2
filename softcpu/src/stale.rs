//! Drops decoded code when the memory that it was decoded from is written.

use crate::cpu::Cpu;

/// Pages whose code is dropped until somebody looks at the stop flag again: there may be a block at each of their bytes.
const PAGES_AT_ONCE: usize = 4;

impl Cpu {
    /// Forgets the code decoded from a physical page (a page number): it was, or is about to be, written.
    pub(crate) fn drop_code(&mut self, page: u64) {
        self.counters.pages_dropped = self.counters.pages_dropped.saturating_add(1);
        self.blocks.drop_page(page);
        self.code.set_holds_code(page, false);
    }

    /// Takes reports of everyone else who writes memory; not all of many.
    #[cold]
    pub(crate) fn drain_code_reports(&mut self) {
        for page in self.code.take_written(PAGES_AT_ONCE) {
            self.drop_code(page);
        }
        self.obey_guards();
    }

    /// Sends the next write to each page that was put under guard through the slow path, which notes it. After every call that a
    /// device may observe pages in, and before it runs after another CPU.
    pub(crate) fn obey_guards(&mut self) {
        if self.guarded != self.code.guards() {
            let code = &self.code;
            self.guarded = code.guards();
            self.tlb.protect_unless(|page| code.may_be_written(page));
        }
    }

    /// Has writes to a page (a page number) go through the slow path from now on: code was decoded from it. The other CPUs find out
    /// when they run next.
    pub(crate) fn guard_code(&mut self, page: u64) {
        let current = self.guarded == self.code.guards();
        self.code.set_holds_code(page, true);
        self.tlb.protect(page << 12);
        if current {
            self.guarded = self.code.guards();
        }
    }

    /// Forgets decoded code until there is room for more.
    pub(crate) fn make_room_for_code(&mut self) {
        self.counters.code_gave_way = self.counters.code_gave_way.saturating_add(1);
        while !self.blocks.has_room() {
            for page in self.blocks.page_numbers(PAGES_AT_ONCE) {
                self.drop_code(page);
            }
        }
    }

    /// Forgets all decoded code: memory was, or may have been, written by someone who does not report it.
    pub fn forget_code(&mut self) {
        loop {
            let pages = self.blocks.page_numbers(usize::MAX);
            if pages.is_empty() {
                break;
            }
            pages.into_iter().for_each(|page| self.drop_code(page));
        }
        while self.blocks.has_dropped() {
            self.blocks.bury();
        }
    }
}

#[cfg(test)]
mod tests {
    use fencepost_time::Cycles;
    use iced_x86::code_asm::*;

    use crate::bus::Exit;
    use crate::machine::{CODE, Machine, OBSERVE, PRESENT, WRITE};

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

    #[test]
    fn writes_to_an_observed_page_are_counted_however_they_are_made() {
        const PAGE: u64 = 0x20_0000;
        let mut m = Machine::new();
        m.code.count_writes();
        m.assemble(CODE, |a| {
            a.mov(rdi, PAGE).unwrap();
            a.mov(rsi, PAGE).unwrap();
            a.mov(edx, u32::from(OBSERVE)).unwrap();
            a.mov(eax, (PAGE >> 12) as u32).unwrap();
            // The page is written before, so that the CPU may write it without a word, and then in ways of all kinds.
            a.mov(dword_ptr(rdi), eax).unwrap();
            a.out(dx, eax).unwrap();
            a.out(dx, eax).unwrap();
            a.mov(dword_ptr(rdi), eax).unwrap();
            a.out(dx, eax).unwrap();
            a.lock().add(dword_ptr(rdi), eax).unwrap();
            a.out(dx, eax).unwrap();
            a.movups(xmmword_ptr(rdi + 16), xmm0).unwrap();
            a.out(dx, eax).unwrap();
            a.mov(ecx, 16).unwrap();
            a.rep().movsb().unwrap();
            a.out(dx, eax).unwrap();
            a.mov(dword_ptr(rdi + 0xffd - 16), eax).unwrap();
            a.out(dx, eax).unwrap();
            // To read it is none.
            a.mov(ebx, dword_ptr(rsi)).unwrap();
            a.out(dx, eax).unwrap();
            a.hlt().unwrap();
        });
        m.run();
        let numbers: Vec<u32> = m.bus.observed.iter().map(|number| number.unwrap()).collect();
        let first = numbers[0];
        let steps: Vec<u32> = numbers.iter().map(|number| number - first).collect();
        assert_eq!(steps, [0, 0, 1, 2, 3, 4, 5, 5]);
    }
}
