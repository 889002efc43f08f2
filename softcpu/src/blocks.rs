//! Decoded blocks, kept by the physical address they were decoded from.

#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

use std::collections::HashMap;

use crate::cpu::Cpu;
use crate::lower::Pinned;
use crate::op::Op;

/// Most instructions in a block.
pub const BLOCK_OPS: usize = 64;
/// Most decoded instructions kept; beyond that everything is dropped and decoded again.
const MOST_OPS: usize = 500_000;
/// Enough that a stock boot's blocks (some 100,000) mostly have one each.
const BUCKETS: usize = 1 << 17;

/// A straight run of instructions within one page.
pub(crate) struct Block {
    /// Physical address of the first byte.
    pub gpa: u64,
    /// Which decoding (16, 32 or 64 bits).
    pub mode: u8,
    /// Physical page of the last byte, when the (single) instruction straddles two.
    pub second: Option<u64>,
    /// The instructions, and one more that only ends the block.
    pub ops: Box<[Op]>,
    /// What some of the instructions point to.
    pub _extended: Vec<Pinned>,
    /// Known successors in the same page: by the taken side of the last branch and the other side.
    pub links: [Link; 2],
    next: *mut Block,
}

impl Block {
    pub fn new(gpa: u64, mode: u8, second: Option<u64>, ops: Vec<Op>, extended: Vec<Pinned>) -> Block {
        Block {
            gpa,
            mode,
            second,
            ops: ops.into_boxed_slice(),
            _extended: extended,
            links: [Link::NONE; 2],
            next: std::ptr::null_mut(),
        }
    }

    /// Instructions in the block.
    #[inline(always)]
    pub fn len(&self) -> u64 {
        (self.ops.len() as u64).wrapping_sub(1)
    }
}

/// A successor; valid while no block was dropped since.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    pub to: *mut Block,
    pub epoch: u64,
}

impl Link {
    pub const NONE: Link = Link { to: std::ptr::null_mut(), epoch: 0 };
}

/// All blocks.
pub(crate) struct Blocks {
    buckets: Box<[*mut Block]>,
    /// Blocks by physical page.
    pages: HashMap<u64, Vec<*mut Block>>,
    /// Dropped, but perhaps still running: freed between blocks.
    graveyard: Vec<*mut Block>,
    ops: usize,
    /// Counts drops: a [`Link`] of an older epoch may dangle.
    pub epoch: u64,
}

#[inline(always)]
fn bucket(gpa: u64) -> usize {
    ((gpa ^ gpa >> 17) as usize) & (BUCKETS - 1)
}

impl Blocks {
    pub fn new() -> Blocks {
        let buckets = vec![std::ptr::null_mut(); BUCKETS].into_boxed_slice();
        Blocks { buckets, pages: HashMap::new(), graveyard: Vec::new(), ops: 0, epoch: 1 }
    }

    /// The block decoded at a physical address; null if there is none.
    #[inline(always)]
    pub fn find(&self, gpa: u64, mode: u8) -> *mut Block {
        let mut at = self.buckets[bucket(gpa)];
        // SAFETY: the table and the chains hold only live blocks.
        unsafe {
            while !at.is_null() && ((*at).gpa != gpa || (*at).mode != mode) {
                at = (*at).next;
            }
        }
        at
    }

    /// Keeps a block, in place of one at the same address if there is one. Returns it, and which pages it lies in.
    pub fn insert(&mut self, block: Block) -> *mut Block {
        let old = self.find(block.gpa, block.mode);
        if !old.is_null() {
            self.drop_page(block.gpa >> 12);
        }
        self.ops = self.ops.saturating_add(block.ops.len());
        let pages = [Some(block.gpa >> 12), block.second.map(|p| p >> 12)];
        let head = bucket(block.gpa);
        let at = Box::into_raw(Box::new(block));
        // SAFETY: `at` was just made.
        unsafe { (*at).next = self.buckets[head] };
        self.buckets[head] = at;
        for page in pages.into_iter().flatten() {
            self.pages.entry(page).or_default().push(at);
        }
        at
    }

    /// Drops every block of a physical page.
    pub fn drop_page(&mut self, page: u64) {
        let Some(dropped) = self.pages.remove(&page) else { return };
        self.epoch = self.epoch.wrapping_add(1);
        for at in dropped {
            self.unlink(at);
            // SAFETY: a block stays allocated while any page lists it.
            let (second, first) = unsafe { ((*at).second, (*at).gpa >> 12) };
            let other = if first == page { second.map(|p| p >> 12) } else { Some(first) };
            if let Some(list) = other.filter(|o| *o != page).and_then(|o| self.pages.get_mut(&o)) {
                list.retain(|b| *b != at);
            }
            // SAFETY: as above.
            let ops: &[Op] = unsafe { &(*at).ops };
            self.ops = self.ops.saturating_sub(ops.len());
            self.graveyard.push(at);
        }
    }

    /// Takes a block out of its chain.
    fn unlink(&mut self, block: *mut Block) {
        // SAFETY: chains hold only live blocks, and `block` is live.
        unsafe {
            let mut at: *mut *mut Block = &raw mut self.buckets[bucket((*block).gpa)];
            while !(*at).is_null() {
                if *at == block {
                    *at = (*block).next;
                    return;
                }
                at = &raw mut (**at).next;
            }
        }
    }

    /// Frees what was dropped. No block may be running.
    pub fn bury(&mut self) {
        for at in self.graveyard.drain(..) {
            // SAFETY: dropped blocks are in no table any more, links to them are of an older epoch, and none runs.
            drop(unsafe { Box::from_raw(at) });
        }
    }

    /// Whether anything waits for [`bury`](Self::bury).
    #[inline(always)]
    pub fn has_dropped(&self) -> bool {
        !self.graveyard.is_empty()
    }

    /// How many blocks wait for [`bury`](Self::bury).
    pub fn dropped(&self) -> usize {
        self.graveyard.len()
    }

    /// Whether it is time to drop everything.
    pub fn is_full(&self) -> bool {
        self.ops > MOST_OPS
    }

    /// The pages that hold blocks.
    pub fn page_numbers(&self) -> Vec<u64> {
        self.pages.keys().copied().collect()
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        for page in self.page_numbers() {
            self.drop_page(page);
        }
        self.bury();
    }
}

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
}

#[cfg(test)]
mod tests {
    use iced_x86::code_asm::*;

    use crate::bus::Exit;
    use crate::machine::{CODE, Machine, PRESENT, WRITE};

    /// One physical page ends with the first byte of an instruction, and is mapped twice, with different pages behind.
    #[test]
    fn decoding_in_turn_does_not_fill_memory() {
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
        assert_eq!(m.cpu.run(&mut m.bus, 50_000), Exit::Deadline);
        assert!(m.cpu.counters().blocks_decoded > 10_000, "they are decoded in turn");
        assert!(m.cpu.blocks.dropped() < 1100, "{} wait to be freed", m.cpu.blocks.dropped());
    }
}
